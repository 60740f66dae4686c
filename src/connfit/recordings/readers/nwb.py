"""Recordings in Neurodata Without Borders files (needs the extra `nwb`)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from connfit._system.hdf5_guard import check_written, opened
from connfit.errors import ConnfitError, DataError, NotAvailableError, UnclearError, first_ten, unreadable
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import check_units, require_file, settle_missing
from connfit.recordings.readers.nwb_inputs import nwb_inputs, nwb_intervals
from connfit.recordings.readers.nwb_overrides import Overrides, scaled, series_times
from connfit.recordings.readers.reader import READERS, Reader
from connfit.recordings.stretches import epochs_of_seconds

UNIT_COLUMNS = "unit_columns"
"""Key of the notes under which columns are that could name the units, where none was chosen."""

_KINDS = {"DfOverF": "dff", "Fluorescence": "fluorescence"}


def read_nwb_recording(
    path: str | Path,
    *,
    name: str | None = None,
    series: str | None = None,
    unit_column: str | None = None,
    frame_rate: float | None = None,
    kind: str | None = None,
    missing: str = "error",
    inputs: Sequence[str] = (),
    resample: str = "mean",
    conversion: float | None = None,
    offset: float | None = None,
    rate: float | None = None,
    start_s: float | None = None,
) -> Recording:
    """Read one time series of an NWB file.

    Parameters
    ----------
    path
        NWB 2 file.
    name
        Name of the recording. Default: the file's identifier.
    series
        Name of the time series, or `Container/name` where a name is used twice. Default: the only
        two-dimensional RoiResponseSeries, else the only two-dimensional time series.
    unit_column
        Column of the table of ROIs or electrodes with the unit names. Default: the row's id, as in
        `roi-17` or `electrode-17`, or `column-17` for a series without such a table.
    frame_rate
        Frames per second (Hz), checked against the file's.
    kind
        What the values are. Default: `"dff"` in DfOverF, `"fluorescence"` in Fluorescence, else `"rate"`.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    inputs
        External inputs: names of time series (`series` or `Container/series`) or of intervals (`epochs`, `trials`, a
        tag), see `connfit.recordings.readers.nwb_inputs`.
    resample
        How a series is brought to the frames, see `connfit.recordings.readers.input_table`.
    conversion, offset
        What counts in the place of the series' own; factors of single columns (`channel_conversion`) stay.
    rate
        Frames per second (Hz) in the place of the series' timestamps, or of its rate, where these are wrong.
    start_s
        Time of the first frame in seconds, in the place of the file's: epochs and inputs count from the same zero.

    Returns
    -------
    Recording
        Values are `data * conversion + offset`, in the series' unit. What replaces something that the file says is a
        caution.

    Raises
    ------
    NotAvailableError
        If pynwb is not installed.
    DataError
        If the file or the series cannot be used.
    ConfigError
        If a number that replaces one of the file cannot be one.
    """
    path = require_file(path)
    overrides = Overrides(conversion=conversion, offset=offset, rate=rate, start_s=start_s)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynwb
    except ImportError as error:
        raise NotAvailableError(f"{path}: reading NWB needs pynwb: pip install 'connfit[nwb]'") from error
    try:
        # pynwb warns of cached namespaces and of links between tables; neither concerns the values.
        with opened(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pynwb.NWBHDF5IO(path=str(path), mode="r") as io:
                file = io.read()
                return _recording(
                    pynwb,
                    file,
                    path,
                    name,
                    series,
                    unit_column,
                    frame_rate,
                    kind,
                    missing,
                    tuple(inputs),
                    resample,
                    overrides,
                )
    except ConnfitError:
        raise
    # Damaged files make h5py, hdmf and pynwb raise exceptions of many unrelated types.
    except Exception as error:
        problem, fix = "truncated, damaged or not an NWB file", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error


READERS.register(Reader(name="nwb", label="NWB 2", suffixes=(".nwb",), read=read_nwb_recording))


def _recording(
    pynwb: Any,
    file: Any,
    path: Path,
    name: str | None,
    series: str | None,
    unit_column: str | None,
    frame_rate: float | None,
    kind: str | None,
    missing: str,
    inputs: Sequence[str],
    resample: str,
    overrides: Overrides,
) -> Recording:
    chosen = _choose(pynwb, file, path, series)
    container = getattr(chosen.parent, "neurodata_type", "")
    data = np.asarray(_written(chosen.data, path)[:])
    if data.dtype.kind not in "fiu":
        raise DataError(f"series {chosen.name!r} holds {data.dtype}", path=path, fix="It must hold numbers")
    values, replaced = scaled(chosen, data, path, overrides)
    units = check_units(_unit_names(chosen, values.shape[1], unit_column, path), values.shape[1], path)

    notes: dict[str, object] = {"file": path.name, "series": chosen.name, "container": container}
    if unit_column is None and (further := _unit_columns(chosen)):
        notes[UNIT_COLUMNS] = further
    notes["session_description"] = str(file.session_description)
    if file.subject is not None and file.subject.species:
        notes["organism"] = str(file.subject.species)
    times = series_times(chosen, len(values), path, overrides, frame_rate=frame_rate, written=_written)
    if times.intervals is not None:
        notes.update(times.intervals.notes())
    its_kind = _KINDS.get(container)
    if its_kind is not None and kind not in (None, its_kind):
        replaced += (f"series {chosen.name} is taken as {kind} (kind), though {container} holds {its_kind}",)
    outside = None
    if inputs:
        outside = nwb_inputs(
            pynwb, file, path, inputs, times.seconds, resample=resample, missing=missing, written=_written
        )
    settled, mask, absent = settle_missing(values, units, path, missing=missing)
    found = Recording(
        name=name or str(file.identifier),
        values=settled,
        units=units,
        frame_rate=times.frame_rate,
        kind=kind or its_kind or "rate",
        value_units=str(chosen.unit) or "dimensionless",
        mask=mask,
        notes=with_cautions({**notes, "missing_values": absent}, (*replaced, *times.cautions)),
        inputs=outside,
        times=times.seconds,
    )
    return replace(found, epochs=epochs_of_seconds(found, nwb_intervals(file, path, _written)))


def _written(values: Any, path: Path) -> Any:
    return check_written(values, path) if isinstance(values, h5py.Dataset) else values


def _choose(pynwb: Any, file: Any, path: Path, wanted: str | None) -> Any:
    series = [one for one in file.objects.values() if isinstance(one, pynwb.TimeSeries) and one.data is not None]
    candidates = [one for one in series if np.ndim(one.data) == 2]
    names = [_full_name(one) for one in candidates]
    listed = f"the two-dimensional time series are {', '.join(sorted(names)) or '(none)'}"
    others = sorted(f"{_full_name(one)} {np.shape(one.data)}" for one in series if np.ndim(one.data) != 2)
    if others:
        listed += f"; others are {first_ten(others)}"
    if wanted is not None:
        full = zip(candidates, names, strict=True)
        found = [candidate for candidate, name in full if wanted in (candidate.name, name)]
        if len(found) != 1:
            raise DataError(
                f"{len(found) or 'no'} time series named {wanted!r}; {listed}",
                path=path,
                fix="Name one as Container/name",
            )
        return found[0]
    rois = [candidate for candidate in candidates if candidate.neurodata_type == "RoiResponseSeries"]
    for group in (rois, candidates):
        if len(group) == 1:
            return group[0]
    problem, fix = f"which time series to read is not clear: {listed}", "Name it with the option series"
    raise UnclearError(problem, option="series", choices=sorted(names), path=path, fix=fix)


def _unit_columns(series: Any) -> list[str]:
    """Columns of the table of ROIs or electrodes that could name units."""
    region = getattr(series, "rois", None) or getattr(series, "electrodes", None)
    names = [] if region is None else region.table.colnames
    return [str(name) for name in names if name not in ("image_mask", "pixel_mask", "voxel_mask", "group", "location")]


def _full_name(series: Any) -> str:
    return f"{getattr(series.parent, 'name', '')}/{series.name}"


def _unit_names(series: Any, columns: int, unit_column: str | None, path: Path) -> list[str]:
    region, prefix = getattr(series, "rois", None), "roi"
    if region is None:
        region, prefix = getattr(series, "electrodes", None), "electrode"
    if region is None:
        if unit_column is not None:
            raise DataError(
                f"series {series.name!r} has no table of ROIs or electrodes", path=path, fix="Leave unit_column out"
            )
        return [f"column-{k}" for k in range(columns)]
    rows, table = np.asarray(region.data[:], int), region.table
    if unit_column is None:
        return [f"{prefix}-{table.id[int(row)]}" for row in rows]
    if unit_column not in table.colnames:
        raise DataError(
            f"the table {table.name!r} has no column {unit_column!r}; its columns are {', '.join(table.colnames)}",
            path=path,
            fix="Name one of them as unit_column",
        )
    column = table[unit_column][:]
    return [str(column[int(row)]) for row in rows]
