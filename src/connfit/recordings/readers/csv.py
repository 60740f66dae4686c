"""Recordings in CSV files: one row per frame, one column per unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from connfit.connectome.cell_words import FLOAT, INTEGER, MISSING_WORDS
from connfit.connectome.columns import NamedTable, read_table
from connfit.connectome.text_files import lines
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import check_units, frame_times, require_file, require_rate, settle_missing
from connfit.recordings.readers.reader import READERS, Reader, stem


def read_csv_recording(
    path: str | Path,
    *,
    name: str | None = None,
    frame_rate: float | None = None,
    time_column: str = "time_s",
    kind: str = "dff",
    value_units: str = "dimensionless",
    missing: str = "error",
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

    Raises
    ------
    DataError
        If the file cannot be used: the message names row and column.
    """
    path = require_file(path)
    table = read_table(path, "recording", as_csv=True)
    _refuse_blank_lines(path)
    header = [title.strip() for title in table.columns]
    _refuse_numbers(header, path)
    numbers = np.column_stack([_numbers(table, column, path) for column in table.columns])

    notes: dict[str, object] = {"file": path.name}
    columns = [k for k, title in enumerate(header) if title != time_column]
    if len(columns) < len(header):
        times = frame_times(numbers[:, header.index(time_column)], path, stated_rate=frame_rate)
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
    )


READERS.register(Reader(name="csv", label="CSV, CSV.gz", suffixes=(".csv", ".csv.gz"), read=read_csv_recording))


def _refuse_blank_lines(path: Path) -> None:
    """A blank line between others may be a frame that was lost: without it, later frames would move up in time."""
    blank = None
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            blank = blank or number
        elif blank:
            raise DataError(
                f"line {blank} is blank: a frame may be lost there",
                path=path,
                fix="Delete the line, or write a row of empty cells and read with missing='mask'",
            )


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


def _numbers(table: NamedTable, name: str, path: Path) -> np.ndarray:
    """One CSV column as float64, NaN where a cell is empty or says so."""
    text = table.data.column(name).to_pandas().fillna("").str.strip()
    numbers = np.asarray(pd.to_numeric(text, errors="coerce"), np.float64)
    odd = np.isnan(numbers) & ~text.str.lower().isin(MISSING_WORDS).to_numpy()
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"row {row + 1}, column {name!r}: {text.iloc[row]!r} is not a number ({int(odd.sum())} such cells)",
            path=path,
            fix=_how_to_correct(text),
        )
    return numbers


def _how_to_correct(text: pd.Series) -> str:
    if text.str.fullmatch(r"-?[0-9]+,[0-9]+").any():
        return "Write numbers with a decimal point, not a comma"
    if text.str.fullmatch(r"[^\W\d].*").all():
        return "Rows must be frames and columns units: if this column holds the unit names, transpose the table"
    return "Correct the cell; rows count from 1 below the header"
