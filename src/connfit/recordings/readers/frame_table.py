"""Recordings from tables of one row per frame and one column per unit, whatever file holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit.errors import ConfigError, UnclearError, did_you_mean
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import check_units, frame_times, require_rate, settle_missing
from connfit.recordings.readers.input_table import settle_inputs
from connfit.recordings.readers.reader import stem


def recording_of_table(
    columns: Sequence[Float[np.ndarray, "T"]],
    header: Sequence[str],
    path: Path,
    *,
    name: str | None,
    frame_rate: float | None,
    time_column: str,
    kind: str,
    value_units: str,
    missing: str,
    inputs: Sequence[str],
) -> Recording:
    """Make a recording of the columns of a table.

    Parameters
    ----------
    columns
        One array of numbers [time] each, NaN where a cell is empty.
    header
        Their titles.
    path
        The file, for messages.
    name, frame_rate, time_column, kind, value_units, missing, inputs
        See `connfit.recordings.readers.csv.read_csv_recording`.

    Raises
    ------
    DataError
        If the frame rate is not known, times or names cannot be used, or values are missing.
    ConfigError
        If an input is no column.
    """
    notes: dict[str, object] = {"file": path.name}
    for title in inputs:
        if title not in header or title == time_column:
            raise ConfigError(f"{path}: the input {title!r} is no column{did_you_mean(title, header)}")
    chosen = [k for k, title in enumerate(header) if title != time_column and title not in inputs]
    seconds = None
    if time_column in header:
        seconds = columns[header.index(time_column)]
        times = frame_times(seconds, path, stated_rate=frame_rate)
        notes = with_cautions({**notes, **times.notes()}, times.cautions)
        rate = times.frame_rate if frame_rate is None else frame_rate
    elif frame_rate is None:
        near = next((title for title in header if title.lower().startswith("time")), None)
        hint = "" if near is None else f"If {near!r} holds the times in seconds, read with time_column={near!r}. "
        raise UnclearError(
            "the frame rate is not known",
            option="frame_rate",
            path=path,
            fix=f"{hint}Give frame_rate in Hz, or add a column {time_column!r} with the time of each frame in seconds",
        )
    else:
        rate = frame_rate
    units = check_units([header[k] for k in chosen], len(chosen), path)
    outside = None
    if inputs:
        beside = np.column_stack([columns[header.index(title)] for title in inputs])
        outside = settle_inputs(beside.astype(np.float64), inputs, path, missing=missing)
    values = np.column_stack([columns[k] for k in chosen]) if chosen else np.empty((len(columns[0]), 0))
    values, mask, absent = settle_missing(values, units, path, missing=missing)
    return Recording(
        name=name or stem(path),
        values=values,
        units=units,
        frame_rate=require_rate(rate, path),
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes={**notes, "missing_values": absent},
        inputs=outside,
        times=seconds,
    )
