"""One recording as a model is trained on it: inputs, targets and what is scored at each model step, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.recording import Recording, hold_last
from connfit.recordings.training_range import TrainingRange


class Steps(NamedTuple):
    """Some model steps of one recording.

    Attributes
    ----------
    inputs
        [t, p] recorded activity one step before, inside the range that training showed; NaN where there is none.
    targets
        [t, p] recorded activity, less what the last input lay beyond that range.
    scored
        [t, p] which targets are.
    """

    inputs: Float[np.ndarray, "t p"]
    targets: Float[np.ndarray, "t p"]
    scored: Bool[np.ndarray, "t p"]


def window_blocks(total: int, steps: int, values: int) -> Iterator[slice]:
    """Yield consecutive blocks of whole windows that hold `total` model steps.

    Parameters
    ----------
    steps
        Of a window.
    values
        Of a step; a block has about as many as one of `connfit.recordings.frame_blocks`, and a window at least.
    """
    for some in frame_blocks(0, -(-total // steps), steps * values):
        yield slice(some.start * steps, some.stop * steps)


def track(
    recording: Recording,
    block: tuple[int, int],
    substeps: int,
    within: TrainingRange,
    warmup_frames: int,
    blocks: Iterable[slice],
) -> Iterator[Steps]:
    """Yield the model steps of a block of frames; with substeps each frame is there until the next, and scored once.

    Parameters
    ----------
    block
        Half-open block of frames to predict. Its first has a frame before it.
    within
        What training showed.
    warmup_frames
        Frames at the start that are not scored.
    blocks
        Consecutive blocks of model steps, counted from the first; those after the last are empty.
    """
    first, last = substeps * block[0], substeps * block[1]
    # What a unit showed in another block says nothing of this one.
    begin = max((at for at, _ in recording.blocks if at < block[0]), default=0)
    held = _last_observed(recording, begin, first // substeps - 1)
    for some in blocks:
        start, stop = min(first + some.start, last), min(first + some.stop, last)
        values, scored = _steps(recording, start - 1, stop, substeps)
        past, scored = values[:-1], scored[1:]
        scored[: max(substeps * warmup_frames - some.start, 0)] = False
        known = hold_last(past, np.isfinite(past))
        known = np.where(np.isnan(known), held, known)
        held = known[-1] if len(known) else held
        yield Steps(within.inside(past), values[1:] - np.nan_to_num(known - within.inside(known)), scored)


def _steps(recording: Recording, start: int, stop: int, substeps: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of some model steps, NaN where nothing was observed, and which of them a frame is first there in.

    See `connfit.recordings.preprocess.to_substeps`.
    """
    if substeps == 1:
        mask = recording.mask[start:stop].copy()
        return np.where(mask, recording.values[start:stop], np.nan), mask
    step = 1 + np.arange(start, stop)
    frame = step // substeps - 1
    there = recording.mask[frame] & (frame >= 0)[:, None]
    return np.where(there, recording.values[frame], np.nan), there & (step % substeps == 0)[:, None]


def _last_observed(recording: Recording, begin: int, stop: int) -> Float[np.ndarray, "p"]:
    """The last value of each unit in frames `begin` to `stop - 1`, no further back than needed; NaN where none is."""
    found = np.full(len(recording.units), np.nan)
    for block in reversed(list(frame_blocks(begin, stop, len(recording.units)))):
        if not np.isnan(found).any():
            break
        found = np.where(np.isnan(found), hold_last(recording.values[block], recording.mask[block])[-1], found)
    return found
