"""Named epochs of a recording in a table: `name`, `start_s` and `stop_s`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit.connectome.table_files import read_table
from connfit.errors import DataError, DataWarning, first_ten
from connfit.recordings import Recording
from connfit.recordings.readers.frames import require_file
from connfit.recordings.readers.table_numbers import refuse_blank_lines, table_numbers
from connfit.recordings.stretches import epochs_of_seconds, frame_times_of


def read_epochs(path: str | Path, recording: Recording) -> Recording:
    """Return a recording with the epochs of a CSV file: a row for each, times in seconds on the clock of the frames.

    Raises
    ------
    DataError
        If the file cannot be used, or holds no frame of the recording.
    """
    path = require_file(path)
    table = read_table(path, "epochs", columns=("name", "start_s", "stop_s"), as_csv=True)
    refuse_blank_lines(path)
    names = table.text("name")
    starts, stops = (table_numbers(table, column, path) for column in ("start_s", "stop_s"))
    intervals: dict[str, list[tuple[float, float]]] = {}
    for row, (name, start, stop) in enumerate(zip(names, starts, stops, strict=True), 1):
        if not name or not np.isfinite([start, stop]).all() or stop <= start:
            raise DataError(
                f"row {row}: the epoch {name!r} is from {start:g} s to {stop:g} s",
                path=path,
                fix="Give every epoch a name, a start and a later end in seconds",
            )
        intervals.setdefault(name, []).append((start, stop))
    _say_what_is_cut(intervals, frame_times_of(recording), path)
    found = epochs_of_seconds(recording, intervals)
    if not found:
        raise DataError(
            f"no epoch holds a frame of recording {recording.name!r}, which are from 0 s on unless they have times",
            path=path,
            fix="Put both on one clock",
        )
    return replace(recording, epochs={**recording.epochs, **found})


def _say_what_is_cut(
    intervals: Mapping[str, Sequence[tuple[float, float]]], times: Float[np.ndarray, "T"], path: Path
) -> None:
    """Warn of epochs that hold frames before or after the recording, or none of it."""
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    # An epoch may end one frame after the last one: its end is not in it.
    first, last = times[0] - 0.5 * interval, times[-1] + 1.5 * interval
    beyond = [
        f"{name} ({start:g} s to {stop:g} s)"
        for name, each in intervals.items()
        for start, stop in each
        if start < first or stop > last or not np.diff(np.searchsorted(times, (start, stop)))[0]
    ]
    if beyond:
        warnings.warn(
            f"{path}: {len(beyond)} epochs are not, or not wholly, in the recording, whose frames are from "
            f"{times[0]:g} s to {times[-1]:g} s; the rest is left out: {first_ten(beyond)}",
            DataWarning, stacklevel=3,
        )  # fmt: skip
