"""Recordings in Zarr stores, of versions 2 and 3, as folders or ZIP archives (needs the extra `zarr`)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from connfit._io import require_file
from connfit._system.paths import user_path
from connfit._system.zarr_files import ZarrFiles, opened_files
from connfit._system.zarr_guard import ABSENT, check_letters, check_stored
from connfit._system.zarr_metadata import ZarrArray, arrays_of, attributes_of
from connfit.errors import (
    ConfigError,
    ConnfitError,
    DataError,
    NotAvailableError,
    UnclearError,
    did_you_mean,
    first_ten,
    one_of,
    unreadable,
)
from connfit.recordings import Recording
from connfit.recordings.labelled_arrays import recording_of_labelled, replaced
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import RATE_KEYS, unread
from connfit.recordings.readers.named_traces import (
    ARRAYS,
    ATTRIBUTES,
    OTHER_ATTRIBUTES,
    VALUES,
    NamedTraces,
    cleaned,
    other_seconds,
    recording_of_traces,
)
from connfit.recordings.readers.reader import READERS, Reader

SUFFIXES = (".zarr.zip", ".zarr", ".zip")


def read_zarr_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str | None = None,
    time: str | None = None,
    unit: str | None = None,
    frame_rate: float | None = None,
    kind: str | None = None,
    value_units: str | None = None,
    missing: str = "error",
    time_unit: str | None = None,
    absent_chunks: str = "error",
) -> Recording:
    """Read an array of a Zarr store.

    Parameters
    ----------
    path
        Folder or ZIP archive. It holds an array whose axes have names, with coordinates along them, as xarray writes it
        (see `connfit.recordings.readers.netcdf`); or one without, [time, trace], with arrays beside it as in HDF5:
        `neuron` [trace], `time_s` [time], and attributes of the store (see `connfit.recordings.readers.hdf5`); or
        that array alone.
    name
        Name of the recording. Default: the attribute `uid` of the store, else its name without the ending.
    values
        Name of the array. Default: `dff`, else the only array of numbers with two axes.
    time, unit
        Names of the axes, or of coordinates along them. Default: usual ones, as `time` and `unit`.
    frame_rate
        Frames per second (Hz), checked against the store's.
    kind, value_units
        What the values are. Default: the attributes `kind` and `units` of the array, else `"dff"` and
        `"dimensionless"`; of `zscore` what it says.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: what the store says, else seconds.
    absent_chunks
        What to do with chunks that were not written, for which Zarr puts a fill value. Where that is NaN they are
        missing values. Else `"error"`, which names the chunk, or `"fill"`: the fill value counts as measured, for
        writers leave out chunks that hold nothing else.

    Returns
    -------
    Recording
        With a caution on chunks that were not written.

    Raises
    ------
    DataError
        If the store is damaged, holds objects of Python, or it is not clear what is in it.
    ConfigError
        If an option names nothing in the store.
    NotAvailableError
        If zarr is not installed.
    """
    one_of("absent_chunks", absent_chunks, ABSENT)
    path = user_path(path)
    if not path.is_dir():
        path = require_file(path)
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise NotAvailableError(f"{path}: reading Zarr needs zarr: pip install 'connfit[zarr]'") from error
    try:
        with opened_files(path) as files, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays = arrays_of(files)
            chosen = _choose(arrays, values, path)
            attributes = attributes_of(files)
            if chosen.dims is None:
                found = _named_traces(files, arrays, chosen, attributes, absent_chunks, time_unit)
            else:
                found, cautions = _labelled(files, arrays, chosen, absent_chunks)
    except ConnfitError:
        raise
    # Damaged stores make zarr, its codecs and xarray raise exceptions of many unrelated types.
    except Exception as error:
        problem, fix = "truncated, damaged or not a Zarr store", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    name = name or str(attributes.get("uid", _stem(path)))
    if isinstance(found, NamedTraces):
        its_kind, its_units = VALUES.get(chosen.name, VALUES["dff"])
        told = chosen.attributes
        cautions = replaced(chosen.name, told, kind=kind, value_units=value_units)
        recording = recording_of_traces(
            found, path, name=name, kind=str(kind or told.get("kind", its_kind)),
            value_units=str(value_units or told.get("units", its_units)), frame_rate=frame_rate, missing=missing,
            time_unit=time_unit,
        )  # fmt: skip
    else:
        recording = recording_of_labelled(
            found, path, name=name, time=time, unit=unit, frame_rate=frame_rate, kind=kind, value_units=value_units,
            missing=missing, time_unit=time_unit,
        )  # fmt: skip
    return replace(recording, notes=with_cautions(recording.notes, cautions))


READERS.register(
    Reader(
        name="zarr",
        label="Zarr",
        suffixes=SUFFIXES,
        marks=(".zgroup", ".zarray", "zarr.json"),
        read=read_zarr_recording,
    )
)


def _stem(path: Path) -> str:
    end = next((end for end in sorted(SUFFIXES, key=len)[::-1] if path.name.lower().endswith(end)), "")
    return path.name[: len(path.name) - len(end)] or path.name


def _choose(arrays: Mapping[str, ZarrArray], wanted: str | None, path: Path) -> ZarrArray:
    """The array of a name, `dff`, or the only one of numbers with two axes."""
    listed = first_ten(f"{name or 'the store itself'} {each.shape}" for name, each in arrays.items()) or "none"
    if wanted is not None:
        if wanted not in arrays:
            near = did_you_mean(wanted, arrays)
            raise ConfigError(f"{path}: values = {wanted!r} is no array{near}; the arrays are {listed}")
        found = arrays[wanted]
    else:
        fits = [name for name, each in arrays.items() if each.numeric and len(each.shape) == 2]
        if "dff" in fits:
            fits = ["dff"]
        if len(fits) != 1:
            problem = f"{len(fits) or 'no'} arrays could be the values; the arrays are {listed}"
            raise UnclearError(problem, option="values", choices=fits, path=path, fix="Name it with the option values")
        found = arrays[fits[0]]
    if len(found.shape) != 2 or 0 in found.shape or not found.numeric:
        problem = f"{found.name or 'the array'} holds {found.dtype or 'text'} of shape {found.shape}"
        raise DataError(problem, path=path, fix="Choose an array of numbers with two axes, time and units")
    return found


def _open(files: ZarrFiles) -> Any:
    from zarr.storage import LocalStore, ZipStore

    return LocalStore(files.path, read_only=True) if files.archive is None else ZipStore(files.path, mode="r")


def _read(files: ZarrFiles, array: ZarrArray, absent_chunks: str, cautions: list[str]) -> np.ndarray:
    """The values of an array, all of which were written or are said."""
    import zarr

    cautions += check_stored(files, array, absent_chunks)
    store = _open(files)
    try:
        found = zarr.open_array(store, path=array.name, mode="r")
        values = np.asarray(found[...])
    finally:
        store.close()
    if values.shape != array.shape:
        raise DataError(f"{array.name} is {values.shape} in shape, not {array.shape}", path=files.path)
    check_letters(values, array, files)
    return values


def _named_traces(
    files: ZarrFiles,
    arrays: Mapping[str, ZarrArray],
    chosen: ZarrArray,
    attributes: Mapping[str, Any],
    absent_chunks: str,
    time_unit: str | None,
) -> NamedTraces:
    """Arrays without names of axes: what is beside the traces is known by its name."""
    path, cautions = files.path, []
    traces = _read(files, chosen, absent_chunks, cautions)
    times = None
    if "time_s" in arrays:
        times = _read(files, _numeric(arrays["time_s"], path), absent_chunks, cautions)
        cautions += other_seconds(arrays["time_s"].attributes, path, time_unit)
    labels, classes = (
        _labels(_read(files, arrays[key], absent_chunks, cautions), key, path) if key in arrays else None
        for key in ("neuron", "neuron_class")
    )
    rates = {
        key: _read(files, _numeric(arrays[key], path), absent_chunks, cautions) for key in RATE_KEYS if key in arrays
    }
    # What describes the array of a store that is one is its attributes.
    cautions += unread(arrays, (chosen.name, *VALUES, *ARRAYS, *RATE_KEYS), "arrays")
    known = (*ATTRIBUTES, *OTHER_ATTRIBUTES, *(("kind",) if not chosen.name else ()))
    cautions += unread(attributes, known, "attributes")
    return NamedTraces(
        values=chosen.name or "values",
        traces=traces,
        times=times,
        labels=labels,
        classes=classes,
        attributes={key: _plain(attributes[key]) for key in ATTRIBUTES if key in attributes},
        rates=rates,
        cautions=tuple(cautions),
    )


def _numeric(array: ZarrArray, path: Path) -> ZarrArray:
    if not array.numeric:
        raise DataError(f"{array.name} holds {array.dtype or 'text'}", path=path, fix="It must hold numbers")
    return array


def _labels(values: np.ndarray, key: str, path: Path) -> list[str]:
    if values.ndim != 1 or values.dtype.kind not in "OUST":
        problem = f"{key} holds {values.dtype} of shape {values.shape}"
        raise DataError(problem, path=path, fix="It must be a list of text, one entry per trace")
    return cleaned([each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values])


def _plain(value: object) -> object:
    """An attribute as one value; a list or table of them as text."""
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _labelled(
    files: ZarrFiles, arrays: Mapping[str, ZarrArray], chosen: ZarrArray, absent_chunks: str
) -> tuple[xr.DataArray, list[str]]:
    """An array whose axes have names, with its coordinates, as xarray reads it."""
    dims, cautions = chosen.dims or (), []
    if not chosen.name:
        values = _read(files, chosen, absent_chunks, cautions)
        return xr.DataArray(values, dims=dims, attrs=dict(chosen.attributes), name="values"), cautions
    along = {name: each for name, each in arrays.items() if each.dims is not None and len(each.dims) == 1
             and each.dims[0] in dims and name != chosen.name}  # fmt: skip

    def check(each: ZarrArray) -> None:
        if each.dtype is not None and each.dtype.kind == "U":
            _read(files, each, absent_chunks, cautions)
        else:
            cautions.extend(check_stored(files, each, absent_chunks))

    # Axes are read as the store is opened.
    for name in set(dims) & set(along):
        check(along[name])
    store = _open(files)
    try:
        # Times stay numbers with a unit: dates would lose fractions of a nanosecond, and the caution on seconds.
        with xr.open_dataset(
            store, engine="zarr", decode_times=False, cache=False, consolidated=False,
            drop_variables=[name for name in arrays if name not in (chosen.name, *along)],
        ) as dataset:  # fmt: skip
            array = dataset[chosen.name]
            for name in (chosen.name, *map(str, array.coords)):
                if name not in dims:
                    check(arrays[name])
            return array.load(), cautions
    finally:
        store.close()
