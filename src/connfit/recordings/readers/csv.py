"""Recordings in CSV files: one row per frame, one column per unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connfit.connectome.cell_words import FLOAT, INTEGER
from connfit.connectome.table_files import read_table
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.readers.frame_table import recording_of_table
from connfit.recordings.readers.frames import require_file
from connfit.recordings.readers.reader import READERS, Reader
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
    time_unit: str | None = None,
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
        Column with the time of each frame, if the file has one.
    kind, value_units
        What the values are, see Recording.
    missing
        `"error"` or `"mask"`: what to do with empty cells, `NaN` and infinite values.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: seconds.
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
    columns = [table_numbers(table, column, path) for column in table.columns]
    return recording_of_table(
        columns, header, path, name=name, frame_rate=frame_rate, time_column=time_column, kind=kind,
        value_units=value_units, missing=missing, time_unit=time_unit, inputs=inputs,
    )  # fmt: skip


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
