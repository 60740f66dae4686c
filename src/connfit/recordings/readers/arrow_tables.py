"""Recordings in Parquet and Feather tables: one row per frame, one column per unit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from connfit.connectome.table_files import read_table
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.readers.frame_table import recording_of_table
from connfit.recordings.readers.frames import require_file
from connfit.recordings.readers.reader import READERS, Reader

_INDEX = re.compile(r"__index_level_\d+__")
"""How pandas calls an index without a name."""


def read_arrow_recording(
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
    """Read a Parquet or Feather table with one row per frame and one column per unit.

    Parameters
    ----------
    path
        File whose columns are named by units and hold numbers; a null counts as missing. An index that pandas wrote is
        a column by its name.
    name, frame_rate, time_column, kind, value_units, missing, time_unit, inputs
        As of `connfit.recordings.readers.csv.read_csv_recording`.

    Raises
    ------
    DataError
        If the file cannot be used: the message names the column.
    """
    path = require_file(path)
    table = read_table(path, "recording").data
    header = [title.strip() for title in table.column_names]
    repeated = [title for title, times in Counter(header).items() if times > 1]
    if repeated:
        raise DataError(f"unit names repeat: {', '.join(map(repr, repeated))}", path=path, fix="Rename the columns")
    columns = [_numbers(values, title, path) for values, title in zip(table.columns, header, strict=True)]
    return recording_of_table(
        columns, header, path, name=name, frame_rate=frame_rate, time_column=time_column, kind=kind,
        value_units=value_units, missing=missing, time_unit=time_unit, inputs=inputs,
    )  # fmt: skip


READERS.register(Reader(name="parquet", label="Parquet", suffixes=(".parquet", ".pq"), read=read_arrow_recording))
READERS.register(Reader(name="feather", label="Feather", suffixes=(".feather", ".arrow"), read=read_arrow_recording))


def _numbers(values: pa.ChunkedArray, title: str, path: Path) -> np.ndarray:
    """One column as floating point numbers, NaN where it is null; single precision stays."""
    if _INDEX.fullmatch(title):
        fix = "If it holds the times in seconds, name it time_s (frame.index.name); else write with index=False"
        raise DataError(f"column {title!r} is the index of a data frame, which has no name", path=path, fix=fix)
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        fix = "Write numbers"
        if pa.types.is_temporal(kind):
            fix = "Write the time of each frame in seconds, as numbers"
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            fix = "Write numbers; rows must be frames and columns units, each with a column of its own"
        raise DataError(f"column {title!r} holds {kind}", path=path, fix=fix)
    single = pa.types.is_float32(kind) or pa.types.is_float16(kind)
    return values.to_numpy().astype(np.float32 if single else np.float64)
