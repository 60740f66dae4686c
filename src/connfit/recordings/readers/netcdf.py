"""Recordings in netCDF files: an array of time and units, as xarray writes it (netCDF 4 needs the extra `netcdf`)."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import h5py
import xarray as xr

from connfit._system.hdf5_guard import SIGNATURE, check_written, opened
from connfit.errors import (
    ConfigError,
    ConnfitError,
    DataError,
    NotAvailableError,
    UnclearError,
    did_you_mean,
    unreadable,
)
from connfit.recordings import Recording
from connfit.recordings.labelled_arrays import recording_of_labelled
from connfit.recordings.readers.frames import require_file
from connfit.recordings.readers.reader import READERS, Reader, stem

_CLASSIC = (b"CDF\x01", b"CDF\x02")


def read_netcdf_recording(
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
) -> Recording:
    """Read an array of a netCDF file, version 3 or 4.

    Parameters
    ----------
    path
        The file. Coordinates give the times (in seconds, or what their attribute `units` says) and the names of units.
    name
        Name of the recording. Default: the file's name without its ending.
    values
        Name of the array. Default: the only one of two axes.
    time, unit
        Names of the axes, or of coordinates along them. Default: usual ones, as `time` and `unit`.
    frame_rate
        Frames per second (Hz), checked against the file's.
    kind, value_units
        What the values are. Default: the attributes `kind` and `units` of the array, else `"dff"` and
        `"dimensionless"`.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: what the file says, else seconds.

    Raises
    ------
    DataError
        If the file is damaged, or it is not clear what is in it.
    ConfigError
        If an option names nothing in the file.
    NotAvailableError
        If the file is of version 4 and h5netcdf is not installed.
    """
    path = require_file(path)
    with path.open("rb") as file:
        start = file.read(8)
    try:
        if start.startswith(_CLASSIC):
            # From memory: SciPy would take as much as the file claims, and keep a damaged one open.
            found = _array(io.BytesIO(path.read_bytes()), path, "scipy", values)
        elif start.startswith(SIGNATURE):
            _check_hdf5(path)
            found = _array(path, path, "h5netcdf", values)
        else:
            raise DataError("truncated, damaged or not a netCDF file", path=path, fix="Copy or download it again")
    except ConnfitError:
        raise
    except ImportError as error:
        raise NotAvailableError(f"{path}: reading netCDF 4 needs h5netcdf: pip install 'connfit[netcdf]'") from error
    # Damaged files make xarray and what it reads with raise exceptions of many unrelated types.
    except Exception as error:
        problem, fix = "truncated, damaged or not a netCDF file", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    return recording_of_labelled(
        found, path, name=name or stem(path), time=time, unit=unit, frame_rate=frame_rate, kind=kind,
        value_units=value_units, missing=missing, time_unit=time_unit,
    )  # fmt: skip


READERS.register(Reader(name="netcdf", label="netCDF", suffixes=(".nc", ".nc4", ".cdf"), read=read_netcdf_recording))


def choose_array(dataset: xr.Dataset, wanted: str | None, path: Path) -> xr.DataArray:
    """Return the array of a name, or the only one of two axes.

    Raises
    ------
    ConfigError
        If there is none of the name.
    UnclearError
        If there are several of two axes, or none.
    """
    listed = ", ".join(f"{key} {tuple(map(str, each.dims))}" for key, each in dataset.data_vars.items()) or "none"
    if wanted is not None:
        if wanted not in dataset.data_vars:
            near = did_you_mean(wanted, dataset.data_vars)
            raise ConfigError(f"{path}: values = {wanted!r} is no array{near}; the arrays are {listed}")
        return dataset[wanted]
    fits = [str(key) for key, each in dataset.data_vars.items() if each.ndim == 2 and each.dtype.kind in "fiu"]
    if len(fits) != 1:
        problem = f"{len(fits) or 'no'} arrays could be the values; the arrays are {listed}"
        raise UnclearError(problem, option="values", choices=fits, path=path, fix="Name it with the option values")
    return dataset[fits[0]]


def _array(source: Path | io.BytesIO, path: Path, engine: str, wanted: str | None) -> xr.DataArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Times stay numbers with a unit: dates would lose fractions of a nanosecond, and the caution on seconds.
        with xr.open_dataset(source, engine=engine, decode_times=False, cache=False) as dataset:
            return choose_array(dataset, wanted, path).load()


def _check_hdf5(path: Path) -> None:
    """Refuse a file whose parts are elsewhere, or claim more than it holds."""
    with opened(path) as file:

        def check(_: str, found: object) -> None:
            if isinstance(found, h5py.Dataset):
                _check_axes(found, path)
            if isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu":
                # Axes without values of their own are stored as claims.
                if b"This is a netCDF dimension but not a netCDF variable" not in _label(found):
                    check_written(found, path)

        file.visititems(check)


def _check_axes(dataset: h5py.Dataset, path: Path) -> None:
    """Refuse a dataset whose lists of axes are of another length: the HDF5 library writes beyond its memory then."""
    for name in ("DIMENSION_LIST", "DIMENSION_LABELS"):
        if name in dataset.attrs and dataset.attrs.get_id(name).shape != (dataset.ndim,):
            problem = f"{dataset.name} has {dataset.ndim} axes, and {name} is for others"
            raise DataError(problem, path=path, fix="Write the file again, or copy it")


def _label(dataset: h5py.Dataset) -> bytes:
    name = dataset.attrs.get("NAME", b"")
    return name if isinstance(name, bytes) else str(name).encode()
