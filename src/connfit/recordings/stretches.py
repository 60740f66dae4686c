"""Stretches of a recording: cropping, and named epochs or trials as blocks between which nothing is carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from connfit.errors import ConfigError, DataError, did_you_mean, first_ten
from connfit.recordings.recording import Recording

BETWEEN = 60
"""Frames without any observed value between two blocks: more than any lag, and than the longest forecast allowed."""


def crop(
    recording: Recording,
    *,
    seconds: tuple[float, float] | None = None,
    frames: tuple[int, int] | None = None,
) -> Recording:
    """Return a stretch of a recording, with its inputs; its first frame is then frame 0.

    Parameters
    ----------
    seconds
        From and to, of the times of the frames; without times, from the first frame on.
    frames
        From and to, without the last; one of both is given.

    Raises
    ------
    ConfigError
        If the stretch is empty or goes beyond the recording.
    """
    if (seconds is None) == (frames is None):
        raise ConfigError("crop needs either seconds or frames")
    if frames is not None:
        start, stop = frames
        whole = all(isinstance(at, int | np.integer) and not isinstance(at, bool) for at in frames)
        if not whole or not 0 <= start < stop <= recording.frames:
            raise ConfigError(
                f"crop_frames = ({start}, {stop}) must be a stretch of recording {recording.name!r}, which has "
                f"{recording.frames} frames"
            )
    else:
        assert seconds is not None
        times = frame_times_of(recording)
        if not (times[0] <= seconds[0] < seconds[1] <= times[-1] + 1.5 / recording.frame_rate):
            raise ConfigError(
                f"crop_s = ({seconds[0]:g}, {seconds[1]:g}) must be a stretch of recording {recording.name!r}, whose "
                f"frames are from {times[0]:g} s to {times[-1]:g} s"
            )
        start, stop = np.searchsorted(times, seconds)
        if start == stop:
            raise ConfigError(f"crop_s = ({seconds[0]:g}, {seconds[1]:g}) holds no frame of {recording.name!r}")
    kept = recording.frames_only(slice(int(start), int(stop)))
    return replace(kept, notes={**kept.notes, "crop": [int(start), int(stop)]})


def select_epochs(recording: Recording, names: Sequence[str]) -> Recording:
    """Return the epochs of some names, in the order of time, as blocks; see `as_blocks`.

    Raises
    ------
    ConfigError
        If the recording has no epoch of a name.
    DataError
        If two of them overlap.
    """
    for name in names:
        if name not in recording.epochs:
            near = did_you_mean(name, recording.epochs)
            raise ConfigError(
                f"data.epochs names {name!r}, which recording {recording.name!r} does not have{near}; it has "
                f"{first_ten(recording.epochs) or 'none'}"
            )
    found = sorted((start, stop, name) for name in names for start, stop in recording.epochs[name])
    for (start, stop, name), (after, until, other) in pairwise(found):
        if after < stop:
            raise DataError(
                f"recording {recording.name!r}: the epochs {name!r} from frame {start} to {stop} and {other!r} from "
                f"frame {after} to {until} overlap",
                fix="Name epochs that follow each other as data.epochs, or correct their times",
            )
    return as_blocks(recording, [(start, stop) for start, stop, _ in found])


def as_blocks(recording: Recording, stretches: Sequence[tuple[int, int]]) -> Recording:
    """Return stretches of frames one after the other, with `BETWEEN` frames between them in which nothing is observed.

    Models start anew at each block, no window of training and no forecast crosses the border, and what lies before it
    is out of the reach of any lag of a baseline.

    Raises
    ------
    DataError
        If stretches are empty, overlap, or go beyond the recording.
    """
    stretches = [(int(start), int(stop)) for start, stop in stretches]
    if not stretches:
        raise DataError(f"recording {recording.name!r}: there is no stretch to keep")
    for (start, stop), (after, _) in zip(stretches, [*stretches[1:], (recording.frames, 0)], strict=True):
        if not 0 <= start < stop <= min(after, recording.frames) or stop - start < 2:
            raise DataError(
                f"recording {recording.name!r}: the stretch of frames {start} to {stop} is shorter than two frames, "
                f"overlaps with the next or goes beyond the {recording.frames} frames",
                fix="Name stretches that follow each other",
            )
    at, blocks, first = [], [], 0
    for number, (start, stop) in enumerate(stretches):
        if number:
            at.append(np.full(BETWEEN, -1))
            first += BETWEEN
        at.append(np.arange(start, stop))
        blocks.append((first, first + stop - start))
        first += stop - start
    where = np.concatenate(at)
    there = where >= 0
    mask = recording.mask[where] & there[:, None]
    values = np.where(mask, recording.values[where], np.nan).astype(recording.values.dtype)
    inputs = recording.inputs
    if inputs is not None:
        kept = inputs.part(where)
        inputs = replace(kept, mask=kept.mask & there[:, None])
    return replace(
        recording, values=values, mask=mask, inputs=inputs, times=None, parts=None, epochs={}, blocks=tuple(blocks),
        notes={**recording.notes, "stretches": [list(stretch) for stretch in stretches]},
    )  # fmt: skip


def epochs_of_seconds(
    recording: Recording, intervals: Mapping[str, Sequence[tuple[float, float]]]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return named stretches of frames: those frames from the start of each interval to before its end.

    Intervals without a frame are left out.
    """
    times = frame_times_of(recording)
    found = {}
    for name, each in intervals.items():
        ends = [tuple(map(int, np.searchsorted(times, interval))) for interval in each]
        found[name] = tuple(sorted((start, stop) for start, stop in ends if stop > start))
    return {name: each for name, each in found.items() if each}


def frame_times_of(recording: Recording) -> np.ndarray:
    """Return the time of each frame in seconds, from 0 at the frame rate where the source does not say it."""
    return recording.times if recording.times is not None else np.arange(recording.frames) / recording.frame_rate
