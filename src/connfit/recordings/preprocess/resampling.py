"""Recordings at a lower frame rate: means over longer frames, so that nothing faster is folded into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from connfit.errors import ConfigError
from connfit.recordings.preprocess.preprocessing_step import STEPS, Step
from connfit.recordings.preprocess.step_record import number
from connfit.recordings.recording import SAME_RATE, Parts, Recording
from connfit.recordings.stretches import BETWEEN

_SEEN = 0.5
"""Share of a new frame that must have been observed."""

_ROUND = 1e-9


def resample(recording: Recording, *, rate_hz: float) -> Recording:
    """Bring a recording to a lower frame rate.

    A new frame is the mean over its time of the old ones, each of which counts for as long as it lies within: a
    low-pass filter whose first zero is at the new rate. It looks back alone, for what it holds was recorded before it
    ends.

    Parameters
    ----------
    recording
        Blocks are resampled each by itself; frames at their ends that fill no new one are left out and counted.
    rate_hz
        New frames per second (Hz). A recording of that rate (within 1 %) stays as it is.

    Returns
    -------
    Recording
        A value is observed if at least half of its frame was. A new frame over the border of two parts belongs to the
        later one. Epochs keep the frames that lie in them as a whole; times are those at which frames begin.

    Raises
    ------
    ConfigError
        If the rate is above the recording's, or leaves a part or a block without frames.
    """
    if any(each.get("step") == "to_substeps" for each in recording.steps):
        raise ConfigError(f"recording {recording.name!r} is already resampled: to_substeps must be the last step")
    rate = number("resample: rate_hz", rate_hz, above=0)
    ratio = recording.frame_rate / rate
    step = {"step": "resample", "rate_hz": rate, "from_hz": float(recording.frame_rate), "looks_ahead": False}
    if abs(ratio - 1) <= SAME_RATE:
        same = np.where(recording.mask, recording.values, np.nan).astype(recording.values.dtype)
        return recording.with_step(
            same, {**step, "frames_per_frame": 1.0, "left_out_frames": 0, "colours_noise": False}
        )
    if ratio < 1:
        raise ConfigError(
            f"resample: rate_hz = {rate:g} is above the {recording.frame_rate:.4g} Hz of recording {recording.name!r}: "
            "choose the rate of the slowest recording"
        )
    # A ratio that is nearly whole is meant to be: then no frame is divided between two.
    ratio = float(round(ratio)) if abs(ratio / round(ratio) - 1) <= SAME_RATE / 10 else ratio
    pieces = recording.blocks or ((0, recording.frames),)
    counts = [int((stop - start) / ratio + _ROUND) for start, stop in pieces]
    if min(counts) < 2:
        where = "a block of " if recording.blocks else ""
        raise ConfigError(f"resample: rate_hz = {rate:g} leaves {where}recording {recording.name!r} without frames")
    values, mask = _joined(recording.values, recording.mask, pieces, counts, ratio)
    firsts = np.cumsum([0, *(count + BETWEEN for count in counts)])[:-1]

    def moved(frame: int) -> int:
        """Where an old frame is, or the first that follows."""
        for (start, stop), first, count in zip(pieces, firsts, counts, strict=True):
            if frame < stop or (start, stop) == pieces[-1]:
                return int(first) + min(count, max(0, int((frame - start) / ratio + _ROUND)))
        raise AssertionError("there is a last piece")

    parts = recording.parts
    if parts is not None:
        parts = Parts(*((moved(start), moved(stop)) for start, stop in (parts.train, parts.validation, parts.test)))
        if parts.length("train") < 2 or not parts.length("test"):
            raise ConfigError(f"resample: rate_hz = {rate:g} leaves a part of {recording.name!r} without frames")
    inputs = recording.inputs
    if inputs is not None:
        outside, given = _joined(inputs.values, inputs.mask, pieces, counts, ratio)
        inputs = replace(inputs, values=outside, mask=given)
    times = None
    if recording.times is not None and not recording.blocks:
        times = np.interp(ratio * np.arange(counts[0]), np.arange(recording.frames), recording.times)
    left_out = sum(stop - start for start, stop in pieces) - sum(counts) * ratio
    return replace(
        recording,
        values=values,
        mask=mask,
        parts=parts,
        inputs=inputs,
        times=times,
        frame_rate=recording.frame_rate / ratio,
        epochs={} if recording.blocks else _epochs(recording, ratio, counts[0]),
        blocks=tuple((int(first), int(first) + count) for first, count in zip(firsts, counts, strict=True))
        if recording.blocks
        else (),
        steps=(
            *recording.steps,
            {
                **step,
                "frames_per_frame": ratio,
                "left_out_frames": round(left_out, 6),
                "colours_noise": not ratio.is_integer(),
            },
        ),
    )


STEPS.register(Step(name="resample", label="means over longer frames", apply=resample))


def _joined(
    values: Float[np.ndarray, "T P"],
    mask: Bool[np.ndarray, "T P"],
    pieces: Sequence[tuple[int, int]],
    counts: Sequence[int],
    ratio: float,
) -> tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]:
    """Means of every piece, with frames between pieces in which nothing was observed."""
    nothing = np.full((BETWEEN, values.shape[1]), np.nan, values.dtype)
    every: list[np.ndarray] = []
    for (start, stop), count in zip(pieces, counts, strict=True):
        seen = mask[start:stop]
        weights = _weights(stop - start, count, ratio)
        share = weights @ seen.astype(np.float64)
        total = weights @ np.where(seen, values[start:stop], 0).astype(np.float64)
        enough = share >= _SEEN - _ROUND
        every += [np.where(enough, total / np.where(enough, share, 1), np.nan).astype(values.dtype), nothing]
    joined = np.concatenate(every[:-1])
    return joined, np.isfinite(joined)


def _weights(frames: int, count: int, ratio: float) -> sp.csr_array:
    """[count, frames] share of each new frame's time in which each old one lies."""
    edges = ratio * np.arange(count + 1)
    first = np.floor(edges[:-1] + _ROUND).astype(np.int64)
    last = np.minimum(np.ceil(edges[1:] - _ROUND).astype(np.int64), frames)
    lengths = last - first
    rows = np.repeat(np.arange(count), lengths)
    columns = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(first, lengths)
    inside = np.minimum(columns + 1, edges[rows + 1]) - np.maximum(columns, edges[rows])
    return sp.csr_array((inside / ratio, (rows, columns)), shape=(count, frames))


def _epochs(recording: Recording, ratio: float, count: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Stretches of the new frames that lie in each epoch as a whole."""
    found = {}
    for name, stretches in recording.epochs.items():
        ends = [
            (int(np.ceil(start / ratio - _ROUND)), min(count, int(stop / ratio + _ROUND))) for start, stop in stretches
        ]
        found[name] = tuple((start, stop) for start, stop in ends if stop > start)
    return {name: each for name, each in found.items() if each}
