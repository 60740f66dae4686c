"""Standard deviation of recorded units over their training frames: the scale of what is added to a neuron's input."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from connfit.recordings.cohort import Cohort
from connfit.recordings.frame_blocks import frame_blocks


def unit_deviations(cohort: Cohort) -> Float[np.ndarray, "P"]:
    """Compute each unit's standard deviation over observed training frames, root mean square over recordings.

    A recording in which a unit was observed in fewer than two training frames says nothing of it.

    Returns
    -------
    array
        In the units of the recordings; NaN where no recording says anything.
    """
    total, recordings = np.zeros(len(cohort.units)), np.zeros(len(cohort.units))
    for recording, columns in zip(cohort.recordings, cohort.columns, strict=True):
        values, mask = recording.part("train")
        blocks = list(frame_blocks(0, *values.shape))
        frames = mask.sum(axis=0)
        sums = sum(np.where(mask[at], values[at], 0).sum(axis=0, dtype=np.float64) for at in blocks)
        mean = sums / np.maximum(frames, 1)
        squares = sum((np.where(mask[at], values[at] - mean, 0) ** 2).sum(axis=0) for at in blocks)
        known = frames > 1
        total[columns] += np.where(known, squares / np.maximum(frames, 1), 0)
        recordings[columns] += known
    return np.sqrt(total / np.where(recordings > 0, recordings, np.nan))


def typical_deviation(cohort: Cohort) -> float:
    """Return the median of `unit_deviations` over units, what a stimulation of strength 1 adds; 1 where it is 0."""
    found = unit_deviations(cohort)
    known = found[np.isfinite(found)]
    return (float(np.median(known)) if len(known) else 0.0) or 1.0
