"""External inputs in tables: columns of a recording's own table, or a table of their own with its own times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from connfit.connectome.table_files import read_table
from connfit.errors import DataError, first_ten, one_of
from connfit.recordings import Inputs, Recording
from connfit.recordings.readers.frames import MISSING_POLICIES, refuse_clocks, require_file
from connfit.recordings.readers.table_numbers import refuse_blank_lines, table_numbers
from connfit.recordings.stretches import frame_times_of

RULES = ("mean", "last")


def settle_inputs(
    values: Float[np.ndarray, "T Q"], channels: Sequence[str], path: Path, *, missing: str, units: Sequence[str] = ()
) -> Inputs:
    """Return inputs whose missing and infinite values are marked as not known.

    Raises
    ------
    DataError
        If values are missing and the policy is `"error"`.
    """
    one_of("missing", missing, MISSING_POLICIES)
    known = np.isfinite(values) & (np.abs(values) <= np.finfo(np.float32).max)
    if missing == "error" and not known.all():
        frame, channel = np.argwhere(~known)[0]
        raise DataError(
            f"{int((~known).sum())} values of inputs are missing or infinite, the first in row {frame + 1}, channel "
            f"{channels[channel]!r}",
            path=path,
            fix="Read with missing='mask': a missing input then adds nothing, as if it were at its mean",
        )
    try:
        return Inputs(np.where(known, values, np.nan), tuple(channels), tuple(units), known)
    except DataError as error:
        raise DataError(str(error), path=path) from None


def read_input_table(
    path: str | Path,
    recording: Recording,
    *,
    channels: Sequence[str] = (),
    time_column: str = "time_s",
    resample: str = "mean",
    missing: str = "error",
) -> Recording:
    """Return a recording with the inputs of a CSV file beside those that it has.

    Without a column of times the file has a row for each frame. With one, frame k gets what came after frame k - 1 and
    no later than frame k: nothing is shown before it happened.

    Parameters
    ----------
    path
        The header names the channels.
    channels
        Which columns; none: all but the times.
    time_column
        Column with the time of each row in seconds, on the clock of the recording's frames (of frames without times the
        first is at 0 s).
    resample
        `"mean"` of the rows since the last frame, or the `"last"` of them; without any, the last row before.
    missing
        `"error"`, or `"mask"`: what cells without a number, and frames that the rows do not cover, are.

    Raises
    ------
    DataError
        If the file cannot be used, or does not cover the recording.
    """
    path = require_file(path)
    one_of("resample", resample, RULES)
    table = read_table(path, "inputs", as_csv=True)
    refuse_blank_lines(path)
    header = [title.strip() for title in table.columns]
    chosen = list(channels) or [title for title in header if title != time_column]
    if repeated := [name for k, name in enumerate(chosen) if name in chosen[:k]]:
        raise DataError(f"the inputs {first_ten(repeated)} are named twice", path=path, fix="Rename or remove them")
    absent = [name for name in chosen if name not in header]
    if absent or not chosen:
        raise DataError(
            f"there is no column {first_ten(absent) or 'beside the times'}; its columns are {first_ten(header)}",
            path=path,
            fix="Name columns of the file as inputs",
        )
    numbers = np.column_stack([table_numbers(table, table.columns[header.index(name)], path) for name in chosen])
    if time_column in header:
        times = table_numbers(table, table.columns[header.index(time_column)], path)
        numbers = at_frames(numbers, times, frame_times_of(recording), path, resample, missing)
    elif len(numbers) != recording.frames:
        raise DataError(
            f"{len(numbers)} rows for the {recording.frames} frames of recording {recording.name!r}, and no column of "
            f"times",
            path=path,
            fix=f"Give a row for each frame, or a column {time_column!r} with the time of each row in seconds",
        )
    if not channels:
        refuse_clocks(numbers, chosen, path)
    found = settle_inputs(numbers, chosen, path, missing=missing)
    own = recording.inputs
    if own is not None and (twice := set(own.channels) & set(chosen)):
        raise DataError(f"the recording has an input {first_ten(sorted(twice))} already", path=path, fix="Rename one")
    return replace(recording, inputs=found if own is None else own.beside(found))


def at_frames(
    values: Float[np.ndarray, "R Q"],
    times: Float[np.ndarray, "R"],
    frames: Float[np.ndarray, "T"],
    path: Path,
    resample: str,
    missing: str,
) -> Float[np.ndarray, "T Q"]:
    """Return values at frames by one of `RULES`; NaN where no row covers them, which may be an error."""
    if not np.isfinite(times).all():
        row = int(np.flatnonzero(~np.isfinite(times))[0])
        raise DataError(f"row {row + 1} has no time", path=path, fix="Every row needs its time in seconds")
    if len(times) < 2 or (np.diff(times) <= 0).any():
        row = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1 if len(times) > 1 else 0
        raise DataError(f"the time of row {row + 1} is not later than that of the row before", path=path,
                        fix="Sort the rows by time, at least two of them, none twice")  # fmt: skip
    covered = _covered(times, frames)
    if not covered.all() and missing == "error":
        raise DataError(
            f"its rows, from {times[0]:g} s to {times[-1]:g} s, cover {int(covered.sum())} of {len(frames)} frames, "
            f"which are from {frames[0]:g} s to {frames[-1]:g} s",
            path=path,
            fix="Put both on one clock, or read with missing='mask', which marks inputs of the other frames as missing",
        )
    slack = 1e-9 * max(1.0, np.abs(frames).max())
    stop = np.searchsorted(times, frames + slack, side="right")
    start = np.concatenate([[0], stop[:-1]])
    start[0] = max(stop[0] - 1, 0)
    last = values[np.maximum(stop - 1, 0)]
    found = np.where(covered[:, None], last, np.nan)
    if resample == "mean":
        known = np.isfinite(values)
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(np.where(known, values, 0.0), axis=0)])
        counts = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(known, axis=0)])
        number = counts[stop] - counts[start]
        mean = (sums[stop] - sums[start]) / np.maximum(number, 1)
        found = np.where(covered[:, None] & (number > 0), mean, found)
    return found


def _covered(times: Float[np.ndarray, "R"], frames: Float[np.ndarray, "T"]) -> Bool[np.ndarray, "T"]:
    """Frames with a row no longer before than rows, or frames, usually lie apart."""
    usual = max(np.median(np.diff(times)), np.median(np.diff(frames)) if len(frames) > 1 else 0.0)
    at = np.searchsorted(times, frames + 1e-9 * max(1.0, np.abs(frames).max()), side="right") - 1
    return (at >= 0) & (frames - times[np.maximum(at, 0)] <= 1.5 * usual)
