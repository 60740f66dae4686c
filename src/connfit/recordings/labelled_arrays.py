"""Recordings from arrays in memory: data frames of pandas, arrays of xarray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from connfit.errors import DataError, UnclearError, first_ten
from connfit.recordings.inputs import Inputs
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import (
    RATE_KEYS,
    check_units,
    frame_times,
    require_rate,
    settle_missing,
    stated_rate,
)  # fmt: skip
from connfit.recordings.recording import Recording
from connfit.recordings.time_units import in_seconds, overruled

TIME_NAMES = ("time_s", "time", "times", "t", "timestamp", "timestamps", "frame", "frames", "sample")
"""Names that the axis of time has."""

UNIT_NAMES = (
    "unit",
    "units",
    "neuron",
    "neurons",
    "cell",
    "cells",
    "roi",
    "rois",
    "region",
    "regions",
    "id",
    "channel",
)
"""Names that the axis of units has."""


def recording_from_frame(
    frame: pd.DataFrame,
    name: str,
    *,
    frame_rate: float | None = None,
    kind: str = "dff",
    value_units: str = "dimensionless",
    missing: str = "error",
    time_unit: str | None = None,
) -> Recording:
    """Make a recording of a data frame with a row for each frame and a column for each unit.

    Parameters
    ----------
    frame
        Columns are named by units and hold numbers. Its index is the time of each frame in seconds, or a time of
        pandas; where `frame_rate` is given and the index only counts rows, it is not looked at.
    name
        Name of the recording.
    frame_rate
        Frames per second (Hz), checked against the index.
    kind, value_units
        What the values are, see `Recording`.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    time_unit
        Unit of the index where it holds numbers, `"s"`, `"ms"`, `"us"` or `"min"`. Default: seconds.

    Raises
    ------
    DataError
        If it cannot be used: the message names the column.
    """
    place = Path(f"data frame {name!r}")
    odd = [str(column) for column, kind_of in frame.dtypes.items() if kind_of.kind not in "fiub"]
    if odd:
        raise DataError(f"columns hold no numbers: {first_ten(odd)}", path=place, fix="Leave them out")
    index = frame.index
    counts = isinstance(index, pd.RangeIndex) or (
        index.dtype.kind in "iu" and np.array_equal(np.asarray(index), np.arange(len(index)))
    )
    times = None if counts else in_seconds(np.asarray(index), place, time_unit=time_unit)
    return labelled_recording(
        frame.to_numpy(), list(map(str, frame.columns)), times, place, name=name, frame_rate=frame_rate, kind=kind,
        value_units=value_units, missing=missing, notes={},
    )  # fmt: skip


def recording_from_xarray(
    array: xr.DataArray,
    name: str | None = None,
    *,
    time: str | None = None,
    unit: str | None = None,
    frame_rate: float | None = None,
    kind: str | None = None,
    value_units: str | None = None,
    missing: str = "error",
    time_unit: str | None = None,
) -> Recording:
    """Make a recording of an array with an axis of time and one of units.

    Parameters
    ----------
    array
        [time, unit], or the other way round. A coordinate of time holds seconds, or what its attribute `units` says; a
        coordinate of units holds their names. `frame_rate` (or `sampling_rate_hz`, Hz), `kind` and `units` are looked
        for in its attributes.
    name
        Name of the recording. Default: the array's.
    time, unit
        Names of the axes, or of coordinates along them. Default: usual ones, as `time` and `unit`.
    frame_rate, kind, value_units, missing, time_unit
        As of `recording_from_frame`; those that are given count.

    Raises
    ------
    DataError
        If it cannot be used.
    UnclearError
        If it is not clear which axis is which.
    """
    return recording_of_labelled(
        array, Path(f"array {name or array.name!r}"), name=name or str(array.name or "recording"), time=time, unit=unit,
        frame_rate=frame_rate, kind=kind, value_units=value_units, missing=missing, time_unit=time_unit,
    )  # fmt: skip


def recording_of_labelled(
    array: xr.DataArray,
    path: Path,
    *,
    name: str,
    time: str | None,
    unit: str | None,
    frame_rate: float | None,
    kind: str | None,
    value_units: str | None,
    missing: str,
    time_unit: str | None,
) -> Recording:
    """Make a recording of an array, as of a file; see `recording_from_xarray`.

    Parameters
    ----------
    path
        Where it is from, for messages.
    """
    if array.ndim != 2 or 0 in array.shape:
        sizes = ", ".join(f"{axis} {size}" for axis, size in array.sizes.items())
        raise DataError(f"{array.name} has the axes {sizes or 'of a single number'}", path=path,
                        fix="Choose an array of time and units, at least one of each")  # fmt: skip
    if array.dtype.kind not in "fiub":
        raise DataError(f"{array.name} holds {array.dtype}", path=path, fix="It must hold numbers")
    axis, other = _axes(array, time, unit, path)
    array = array.transpose(axis, other)
    clock = _coordinate(array, axis, time, TIME_NAMES)
    named = _coordinate(array, other, unit, UNIT_NAMES)
    units = [f"column-{k}" for k in range(array.shape[1])] if named is None else _names(named, path)
    seconds, cautions = None, []
    if clock is not None:
        said = str(clock.attrs.get("units", ""))
        seconds = in_seconds(np.asarray(clock), path, time_unit=time_unit, stated=said)
        cautions = overruled(time_unit, said)
    facts = dict(array.attrs)
    cautions = [*cautions, *replaced(str(array.name), facts, kind=kind, value_units=value_units)]
    rate = stated_rate({key: facts[key] for key in RATE_KEYS if key in facts}, frame_rate, path)
    return labelled_recording(
        array.to_numpy(), units, seconds, path, name=name, frame_rate=rate,
        kind=str(kind or facts.get("kind", "dff")),
        value_units=str(value_units or facts.get("units", "dimensionless")), missing=missing,
        notes=with_cautions({"variable": str(array.name)}, cautions),
    )  # fmt: skip


def replaced(array: str, attributes: Mapping[str, object], *, kind: str | None, value_units: str | None) -> list[str]:
    """Return a caution for each attribute of an array that an option replaces with something else."""
    given = (("kind", kind, attributes.get("kind")), ("value_units", value_units, attributes.get("units")))
    return [
        f"{array or 'the array'} is taken as {value} ({option}), though the file says {said!r}"
        for option, value, said in given
        if value is not None and said is not None and value != str(said)
    ]


def labelled_recording(
    values: np.ndarray,
    units: list[str],
    seconds: Float[np.ndarray, "T"] | None,
    path: Path,
    *,
    name: str,
    frame_rate: float | None,
    kind: str,
    value_units: str,
    missing: str,
    notes: dict[str, Any],
    inputs: Inputs | None = None,
) -> Recording:
    """Make a recording of values [time, unit], names, and times in seconds where they are known."""
    rate, cautions = frame_rate, ()
    if seconds is not None:
        times = frame_times(seconds, path, stated_rate=frame_rate)
        notes, cautions = {**notes, **times.notes()}, times.cautions
        rate = times.frame_rate if frame_rate is None else frame_rate
    rate = require_rate(rate, path)
    names = check_units(units, values.shape[1], path)
    values = values.astype(np.result_type(values.dtype, np.float32), order="C", copy=False)
    settled, mask, absent = settle_missing(values, names, path, missing=missing)
    return Recording(
        name=name,
        values=settled,
        units=names,
        frame_rate=rate,
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions({"file": path.name, **notes, "missing_values": absent}, cautions),
        inputs=inputs,
        times=seconds,
    )


def _axes(array: xr.DataArray, time: str | None, unit: str | None, path: Path) -> tuple[str, str]:
    """Names of the axis of time and of that of units."""
    axes = [str(axis) for axis in array.dims]

    def along(name: str | None, usual: tuple[str, ...], option: str) -> str | None:
        if name is not None:
            if name in axes:
                return name
            if name not in array.coords or array.coords[name].ndim != 1:
                problem = f"{option} = {name!r} is no axis and no coordinate of {array.name}, whose axes are {axes}"
                raise DataError(problem, path=path, fix="Name one of the axes")
            return str(array.coords[name].dims[0])
        return next((axis for axis in axes if axis.casefold() in usual), None)

    first, second = along(time, TIME_NAMES, "time"), along(unit, UNIT_NAMES, "unit")
    if first is None and second is not None:
        first = next(axis for axis in axes if axis != second)
    if first is None or first == second:
        problem = f"it is not clear which axis of {array.name} is time: {axes}"
        raise UnclearError(problem, option="time", choices=axes, path=path, fix="Name it with the option time")
    return first, next(axis for axis in axes if axis != first)


def _coordinate(array: xr.DataArray, axis: str, given: str | None, usual: tuple[str, ...]) -> xr.DataArray | None:
    """Values along an axis: the coordinate that was given, that of the axis itself, or one of a usual name."""
    along = {str(name): each for name, each in array.coords.items() if each.dims == (axis,)}
    for name in (given, axis, *usual):
        if name is not None and name in along:
            return along[name]
    return None


def _names(coordinate: xr.DataArray, path: Path) -> list[str]:
    values = coordinate.to_numpy()
    if values.dtype.kind in "fc" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        problem = f"the names of units ({coordinate.name}) are numbers that are not whole"
        raise DataError(problem, path=path, fix="Write them as text or whole numbers")
    if values.dtype.kind == "f":
        if (np.abs(values) >= 2**53).any():
            problem = f"{coordinate.name} holds floating point numbers, which cannot hold ids above 2^53 exactly"
            raise DataError(problem, path=path, fix="Write the ids as int64 or as text")
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuUSO":
        raise DataError(
            f"the names of units ({coordinate.name}) are {values.dtype}", path=path, fix="Write them as text"
        )
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values.tolist()]
