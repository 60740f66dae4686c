"""Bound the frames of long recordings on which the choices of a fit rest.

A start is searched among some fifty candidates, learning rates among eight short trainings, and every epoch is compared
with the best before it. Each of these reads training or validation frames, which are more than a choice needs where a
recording has a million. The last training frames are taken, for they are nearest to what is to be predicted, and the
first validation frames. Training itself, the start that was chosen and the test scores use all frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from connfit._system.process_group import told
from connfit.errors import UnitsError
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.training.validation import selection_pairs

MOST_TRIED = 16_384
"""Training frames of a recording that candidates of the start and of the learning rate are made from."""

MOST_VALUES = 2**22
"""Frames times units that they have at most: fewer frames of more than 256 units, ..."""

FEWEST_TRIED = 256
"""... but so many at least."""

MOST_COMPARED = 4_096
"""Validation frames of a recording on which candidates and epochs are compared."""


class Finite:
    """Takes the place of an array [T, P] of predictions of which only one thing is kept: whether all were finite."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.all = True

    def __getitem__(self, at: Any, /) -> np.ndarray:
        """Raise an error: nothing is kept."""
        raise TypeError("predictions that are watched are not kept")

    def __setitem__(self, at: Any, values: Any, /) -> None:
        """Look at some frames."""
        self.all = self.all and bool(np.isfinite(values).all())


def stays_finite(forecaster: ModelForecaster) -> bool:
    """Return whether predictions of all training frames are finite.

    Spikes that nothing recorded reaches are not run for it: a neuron sends 0 or 1 whatever arrives, so that nothing
    grows from step to step.
    """
    model, cohort = forecaster.model, forecaster.cohort
    if model.neuron.spikes and model.drive is None and not model.forces:
        return True
    parts = [recording.frames_only(slice(recording.require_parts().train[1])) for recording in cohort.recordings]
    watched = [Finite(part.values.shape) for part in parts]
    forecaster.one_step_and_horizon_of(parts, [np.zeros(0, np.int64)] * len(parts), 0, watched)
    return bool(told(all(finite.all for finite in watched)))


def compared(cohort: Cohort) -> Cohort:
    """Return the cohort with the first `MOST_COMPARED` frames of longer validation parts.

    Twice as many, and so on, where a unit would not count that counts in the whole part. The same object where no part
    is longer.
    """
    recordings = tuple(_compared(cohort, member) for member in range(len(cohort.recordings)))
    if all(short is whole for short, whole in zip(recordings, cohort.recordings, strict=True)):
        return cohort
    return replace(cohort, recordings=recordings)


def tried(cohort: Cohort, *, warmup_frames: int = 0) -> Cohort:
    """Return the cohort as `compared` does, of longer training parts with the last `frames_tried` frames alone.

    Twice as many, and so on, where a unit does not change in them, or nothing is scored after the warm-up. What lies
    before and after is not in its recordings, their test parts are empty. The same object where no part is longer.

    Parameters
    ----------
    warmup_frames
        Training frames that are not scored.
    """
    cohort = compared(cohort)
    most = frames_tried(cohort)
    while True:
        recordings = tuple(_last_of_training(recording, most) for recording in cohort.recordings)
        if all(short is whole for short, whole in zip(recordings, cohort.recordings, strict=True)):
            return cohort
        short = replace(cohort, recordings=recordings)
        if _all_change(short) and any(short.scored("train", warmup_frames=warmup_frames)):
            return short
        most *= 2


def frames_tried(cohort: Cohort) -> int:
    """Return how many training frames of a recording choices are made from at most."""
    return max(FEWEST_TRIED, min(MOST_TRIED, MOST_VALUES // len(cohort.units)))


def bounds(cohort: Cohort) -> str | None:
    """Describe what choices of a fit rest on, where that is not all training and validation frames."""
    lengths = {part: [recording.require_parts().length(part) for recording in cohort.recordings]
               for part in ("train", "validation")}  # fmt: skip
    found = []
    if max(lengths["train"]) > (most := frames_tried(cohort)):
        found.append(f"starts and learning rates are tried on the last {most:,} training frames")
    if max(lengths["validation"]) > MOST_COMPARED:
        found.append(f"epochs, and what is tried, are compared on the first {MOST_COMPARED:,} validation frames")
    return f"long recordings: {', '.join(found)} (more where a unit needs them)" if found else None


def _compared(cohort: Cohort, member: int) -> Recording:
    recording = cohort.recordings[member]
    parts = recording.require_parts()
    start, stop = parts.validation
    count = _counting(cohort, member)
    most = MOST_COMPARED
    while start + most < stop:
        short = replace(recording, parts=replace(parts, validation=(start, start + most)))
        one = replace(cohort, recordings=(short,), columns=(cohort.columns[member],))
        if np.array_equal(_counting(one, 0), count):
            return short
        most *= 2
    return recording


def _counting(cohort: Cohort, member: int) -> np.ndarray:
    """Whether each unit, and each horizon, is scored in the validation part."""
    recording = cohort.recordings[member]
    start, stop = recording.require_parts().validation
    start = max(start, 1)
    both = recording.mask[start:stop] & recording.mask[start - 1 : max(stop - 1, 0)]
    return np.concatenate([both.any(axis=0), selection_pairs(cohort, member) > 0])


def _last_of_training(recording: Recording, most: int) -> Recording:
    """The last training frames and the validation part, as a recording of their own."""
    parts = recording.require_parts()
    start, stop = parts.train
    if stop - start <= most:
        return recording
    first, last = stop - most, parts.validation[1]
    validation = (parts.validation[0] - first, last - first)
    return replace(
        recording.frames_only(slice(first, last)), parts=Parts((0, most), validation, (last - first, last - first))
    )


def _all_change(cohort: Cohort) -> bool:
    try:
        cohort.change_variance()
    except UnitsError:
        return False
    return True
