"""Where predictions stop being finite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from connfit.evaluation.scratch import part_of
from connfit.recordings.frame_blocks import Stored, frame_blocks


def diverged(prediction: Stored, stretches: Sequence[tuple[int, int]] = ()) -> str | None:
    """Report where a prediction [t, ...] is infinite, or stops being a number after it was one.

    Parameters
    ----------
    stretches
        Half-open stretches of frames that each begin anew, for which what lies between them does not count; none: all
        frames are one.
    """
    for first, stop in stretches or [(0, prediction.shape[0])]:
        frame = _first_fault(part_of(prediction, slice(first, stop)))
        if frame is not None:
            return _fault_at(first + frame)
    return None


def any_diverged(runs: Iterable[Stored]) -> str | None:
    """Report where the first of several runs [t, ...] is infinite, or stops being a number after it was one."""
    first = min((frame for run in runs if (frame := _first_fault(run)) is not None), default=None)
    return None if first is None else _fault_at(first)


def _fault_at(frame: int) -> str:
    return f"the prediction stops being finite at frame {frame} of the part"


def _first_fault(prediction: Stored) -> int | None:
    started = np.zeros(prediction.shape[1:], bool)
    for block in frame_blocks(0, prediction.shape[0], int(np.prod(prediction.shape[1:]))):
        here = np.asarray(prediction[block])
        bad = ~np.isfinite(here)
        if bad.any():
            known = np.logical_or.accumulate(np.concatenate([started[None], ~bad]), axis=0)[1:]
            fault = np.isinf(here) | (bad & known)
            if fault.any():
                return block.start + int(np.argmax(fault.reshape(len(fault), -1).any(axis=1)))
        started = started | (~bad).any(axis=0)
    return None
