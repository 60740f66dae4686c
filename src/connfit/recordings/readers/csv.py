"""Recordings in CSV files: one row per frame, one column per unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from connfit.connectome.cell_words import FLOAT, INTEGER
from connfit.connectome.columns import read_table
from connfit.errors import ConfigError, DataError, did_you_mean
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import check_units, frame_times, require_file, require_rate, settle_missing
from connfit.recordings.readers.input_table import settle_inputs
from connfit.recordings.readers.reader import READERS, Reader, stem
from connfit.recordings.readers.table_numbers import refuse_blank_lines, table_numbers


def read_csv_recording(
    path: str | Path,
    *,
    name: str | None = None,
    frame_rate: float | None = None,
    time_column: str = "time_s",
    kind: str = "dff",
    value_units: str = "dimensionless",
    missing: str = "error",
    inputs: Sequence[str] = (),
) -> Recording:
    """Read a CSV (or `.csv.gz`) file with one row per frame and one column per unit.

    Parameters
    ----------
    path
        The header holds the unit names.
    name
        Name of the recording. Default: the file's name without its ending.
    frame_rate
        Frames per second (Hz). Needed unless there is a time column; checked against it if there is.
    time_column
        Column with the time of each frame in seconds, if the file has one.
    kind, value_units
        What the values are, see Recording.
    missing
        `"error"` or `"mask"`: what to do with empty cells, `NaN` and infinite values.
    inputs
        Columns that are external inputs and no units.

    Raises
    ------
    DataError
        If the file cannot be used: the message names row and column.
    """
    path = require_file(path)
    table = read_table(path, "recording", as_csv=True)
    refuse_blank_lines(path)
    header = [title.strip() for title in table.columns]
    _refuse_numbers(header, path)
    numbers = np.column_stack([table_numbers(table, column, path) for column in table.columns])

    notes: dict[str, object] = {"file": path.name}
    for title in inputs:
        if title not in header or title == time_column:
            raise ConfigError(f"{path}: the input {title!r} is no column{did_you_mean(title, header)}")
    columns = [k for k, title in enumerate(header) if title != time_column and title not in inputs]
    seconds = None
    if time_column in header:
        seconds = numbers[:, header.index(time_column)]
        times = frame_times(seconds, path, stated_rate=frame_rate)
        notes = with_cautions({**notes, **times.notes()}, times.cautions)
        rate = times.frame_rate if frame_rate is None else frame_rate
    elif frame_rate is None:
        near = next((title for title in header if title.lower().startswith("time")), None)
        hint = "" if near is None else f"If {near!r} holds the times in seconds, read with time_column={near!r}. "
        raise DataError(
            "the frame rate is not known",
            path=path,
            fix=f"{hint}Give frame_rate in Hz, or add a column {time_column!r} with the time of each frame in seconds",
        )
    else:
        rate = frame_rate
    units = check_units([header[k] for k in columns], len(columns), path)
    outside = None
    if inputs:
        outside = settle_inputs(numbers[:, [header.index(title) for title in inputs]], inputs, path, missing=missing)
    values, mask, absent = settle_missing(numbers[:, columns], units, path, missing=missing)
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


READERS.register(Reader(name="csv", label="CSV, CSV.gz", suffixes=(".csv", ".csv.gz"), read=read_csv_recording))


def _refuse_numbers(header: list[str], path: Path) -> None:
    """A header of numbers alone is a frame, or a row of times; neuron ids are whole numbers."""
    named = [title for title in header if title]
    numbers = [title for title in named if FLOAT.fullmatch(title)]
    if numbers and all(FLOAT.fullmatch(title) or INTEGER.fullmatch(title) for title in named):
        raise DataError(
            f"the header holds numbers ({numbers[0]}, ...) and no unit names",
            path=path,
            fix="Write the unit names in the first line; if it holds times, transpose the table",
        )
