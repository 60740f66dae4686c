"""Recordings in CSV and NPZ files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connfit.connectome.columns import NamedTable, read_table
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.readers.frames import check_units, frame_times, require_file, require_rate, settle_missing

_HOW_TO_WRITE = "Write it with numpy.savez(path, values=..., units=..., frame_rate=...), unit names as an array of text"
# Damaged archives make zipfile and NumPy's header parser raise all of these.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_MISSING_WORDS = ("", "na", "nan", "null", "none")


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
    header = [one.strip() for one in table.columns]
    numbers = np.column_stack([_numbers(table, column, path) for column in table.columns])

    notes: dict[str, Any] = {"file": path.name}
    columns = [k for k, one in enumerate(header) if one != time_column]
    if len(columns) < len(header):
        times = frame_times(numbers[:, header.index(time_column)], path, stated_rate=frame_rate)
        notes.update(times.notes())
        rate = times.frame_rate if frame_rate is None else frame_rate
    elif frame_rate is None:
        raise DataError(
            "the frame rate is not known",
            path=path,
            fix=f"Give frame_rate in Hz, or add a column {time_column!r} with the time of each frame in seconds",
        )
    else:
        rate = frame_rate
    units = check_units([header[k] for k in columns], len(columns), path)
    values, mask, absent = settle_missing(numbers[:, columns], units, path, missing=missing)
    return Recording(
        name=name or _stem(path),
        values=values,
        units=units,
        frame_rate=require_rate(rate, path),
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes={**notes, "missing_values": absent},
    )


def read_npz_recording(
    path: str | Path,
    *,
    name: str | None = None,
    frame_rate: float | None = None,
    kind: str | None = None,
    value_units: str | None = None,
    missing: str = "error",
) -> Recording:
    """Read a NumPy archive.

    Parameters
    ----------
    path
        Holds `values` [time, unit], `units` [unit] (text), and `frame_rate` (Hz) or `time_s` [time];
        optionally `mask` [time, unit] (True where observed), `kind`, `value_units`, `name`.
    name, frame_rate, kind, value_units
        Used where the file does not say; a frame rate that contradicts the file's is an error.
    missing
        `"error"` or `"mask"`: what to do with values that the mask calls observed but that are not finite.

    Raises
    ------
    DataError
        If the file is not such an archive.
    """
    path = require_file(path)
    try:
        # Opened here, for NumPy leaves a damaged archive open.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError("a single array, not an archive", path=path, fix=_HOW_TO_WRITE)
            arrays = {key: archive[key] for key in archive.files}
    except _DAMAGE as error:
        problem = (
            "holds Python objects" if "pickle" in str(error) else f"truncated, damaged or not an NPZ file ({error})"
        )
        raise DataError(problem, path=path, fix=_HOW_TO_WRITE) from error
    absent = [key for key in ("values", "units") if key not in arrays]
    if absent:
        raise DataError(
            f"the archive lacks {', '.join(absent)}; it holds {', '.join(arrays)}",
            path=path,
            fix="Write values, units and frame_rate",
        )
    values = arrays["values"]
    if values.dtype.kind not in "fiub" or values.ndim != 2:
        raise DataError(
            f"values are {values.dtype} of shape {values.shape}", path=path, fix="They must be numbers [time, unit]"
        )
    names = arrays["units"]
    if names.dtype.kind not in "Uiu" or names.ndim != 1:
        raise DataError(
            f"units are {names.dtype} of shape {names.shape}",
            path=path,
            fix="They must be a one-dimensional array of text",
        )
    units = check_units(names.tolist(), values.shape[1], path)

    notes: dict[str, Any] = {"file": path.name}
    stated = require_rate(arrays["frame_rate"], path) if "frame_rate" in arrays else None
    if stated is not None and frame_rate is not None and abs(stated / frame_rate - 1) > 0.01:
        raise DataError(
            f"the file says {stated:g} Hz, the option frame_rate = {frame_rate:g} Hz",
            path=path,
            fix="Leave the option out or correct the file",
        )
    rate = stated or frame_rate
    if "time_s" in arrays:
        if arrays["time_s"].shape != (len(values),) or arrays["time_s"].dtype.kind not in "fiu":
            raise DataError(
                f"time_s has shape {arrays['time_s'].shape} for {len(values)} frames",
                path=path,
                fix="One time in seconds per frame",
            )
        times = frame_times(arrays["time_s"], path, stated_rate=rate)
        notes.update(times.notes())
        rate = rate or times.frame_rate
    if rate is None:
        raise DataError(
            "the frame rate is not known",
            path=path,
            fix="Add frame_rate (Hz) or time_s (seconds) to the archive, or give frame_rate",
        )
    mask = arrays.get("mask")
    if mask is not None and (mask.shape != values.shape or mask.dtype.kind != "b"):
        raise DataError(
            f"mask is {mask.dtype} of shape {mask.shape}, values have shape {values.shape}",
            path=path,
            fix="The mask must be boolean, True where a value was observed",
        )
    settled, observed, missing_values = settle_missing(values, units, path, missing=missing, mask=mask)
    return Recording(
        name=name or (str(arrays["name"]) if "name" in arrays else _stem(path)),
        values=settled,
        units=units,
        frame_rate=require_rate(rate, path),
        kind=str(arrays.get("kind", kind or "dff")),
        value_units=str(arrays.get("value_units", value_units or "dimensionless")),
        mask=observed,
        notes={**notes, "missing_values": missing_values},
    )


def _numbers(table: NamedTable, name: str, path: Path) -> np.ndarray:
    """One CSV column as float64, NaN where a cell is empty or says so."""
    text = table.data.column(name).to_pandas().fillna("").str.strip()
    numbers = np.asarray(pd.to_numeric(text, errors="coerce"), np.float64)
    odd = np.isnan(numbers) & ~text.str.lower().isin(_MISSING_WORDS).to_numpy()
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"row {row + 1}, column {name!r}: {text.iloc[row]!r} is not a number ({int(odd.sum())} such cells)",
            path=path,
            fix="Correct the cell; rows count from 1 below the header",
        )
    return numbers


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]
