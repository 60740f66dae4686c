"""Recordings from tables of one row per frame and one column per unit, whatever file holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit.errors import ConfigError, UnclearError, did_you_mean
from connfit.recordings import Recording
from connfit.recordings.labelled_arrays import labelled_recording
from connfit.recordings.readers.input_table import settle_inputs
from connfit.recordings.readers.reader import stem
from connfit.recordings.time_units import in_seconds


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
    time_unit: str | None,
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
    name, frame_rate, time_column, kind, value_units, missing, time_unit, inputs
        See `connfit.recordings.readers.csv.read_csv_recording`.

    Raises
    ------
    DataError
        If the frame rate is not known, times or names cannot be used, or values are missing.
    ConfigError
        If an input is no column.
    """
    for title in inputs:
        if title not in header or title == time_column:
            raise ConfigError(f"{path}: the input {title!r} is no column{did_you_mean(title, header)}")
    chosen = [k for k, title in enumerate(header) if title != time_column and title not in inputs]
    seconds = None
    if time_column in header:
        seconds = in_seconds(columns[header.index(time_column)], path, time_unit=time_unit)
    if seconds is None and frame_rate is None:
        near = next((title for title in header if title.lower().startswith("time")), None)
        hint = "" if near is None else f"If {near!r} holds the times in seconds, read with time_column={near!r}. "
        raise UnclearError(
            "the frame rate is not known",
            option="frame_rate",
            path=path,
            fix=f"{hint}Give frame_rate in Hz, or add a column {time_column!r} with the time of each frame in seconds",
        )
    outside = None
    if inputs:
        beside = np.column_stack([columns[header.index(title)] for title in inputs])
        outside = settle_inputs(beside.astype(np.float64), inputs, path, missing=missing)
    values = np.column_stack([columns[k] for k in chosen]) if chosen else np.empty((len(columns[0]), 0))
    return labelled_recording(
        values, [header[k] for k in chosen], seconds, path, name=name or stem(path), frame_rate=frame_rate, kind=kind,
        value_units=value_units, missing=missing, notes={}, inputs=outside,
    )  # fmt: skip
