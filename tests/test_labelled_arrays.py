"""Recordings from netCDF files, data frames and arrays of xarray: what comes back is what their libraries wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import connfit as cf
from connfit.errors import ConfigError, DataError, UnclearError
from connfit.recordings.plausibility import CAUTIONS
from connfit.recordings.readers import read_recording

VALUES = np.random.default_rng(0).normal(size=(30, 4))
SECONDS = 3 + np.arange(30) / 2.0
NAMES = ["AVAL", "AVAR", "RIS", "ü x"]


def array(**changes: Any) -> xr.DataArray:
    given = {"data": VALUES, "dims": ("time", "unit"), "coords": {"time": SECONDS, "unit": NAMES}, "name": "traces"}
    return xr.DataArray(**{**given, **changes})


def write_netcdf(path: Path, *, values: np.ndarray, times: np.ndarray, units: tuple[str, ...] = ()) -> None:
    """As another reader's test writes its format."""
    names = list(units) or ["AVAL", "AVAR", "R, 1", "RIS"][: values.shape[1]]
    array(data=values, coords={"time": times, "unit": names}).to_netcdf(path, engine="h5netcdf")


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_file_of_xarray_comes_back(tmp_path: Path, engine: str, transposed: bool) -> None:
    path = tmp_path / "fish.nc"
    (array().T if transposed else array()).to_netcdf(path, engine=engine)
    got = read_recording(path)
    np.testing.assert_array_equal(got.values, VALUES)
    assert got.units == tuple(NAMES) and got.name == "fish" and got.frame_rate == pytest.approx(2.0)
    np.testing.assert_allclose(got.times, SECONDS)
    assert got.notes["variable"] == "traces"


def test_options_name_arrays_axes_and_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "many.nc"
    coordinates = {"clock": ("x", SECONDS), "label": ("y", np.array([7, 8, 9, 720575940600000001]))}
    dataset = xr.Dataset(
        {"a": (("x", "y"), VALUES), "b": (("x", "y"), -VALUES, {"kind": "zscore", "units": "standard deviations"})},
        coords=coordinates,
    )
    dataset.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(UnclearError, match=r"2 arrays could be the values; the arrays are a \('x', 'y'\)") as unclear:
        read_recording(path)
    assert unclear.value.choices == ("a", "b") and unclear.value.option == "values"
    with pytest.raises(UnclearError, match="not clear which axis of b is time"):
        read_recording(path, values="b")
    with pytest.raises(ConfigError, match=r"'aa' is no array"):
        read_recording(path, values="aa")
    got = read_recording(path, values="b", time="clock", unit="label", missing="mask")
    np.testing.assert_array_equal(got.values, -VALUES)
    assert got.units == ("7", "8", "9", "720575940600000001")
    assert (got.kind, got.value_units) == ("zscore", "standard deviations")


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 1e3), ("minutes", 1 / 60), ("seconds since 2020-01-01", 1)]
)
def test_times_are_brought_to_seconds(tmp_path: Path, unit: str, factor: float) -> None:
    path = tmp_path / "t.nc"
    clock = xr.Variable("time", SECONDS * factor, {"units": unit})
    xr.Dataset({"dff": (("time", "unit"), VALUES)}, coords={"time": clock, "unit": NAMES}).to_netcdf(
        path, engine="h5netcdf"
    )
    got = read_recording(path)
    assert got.frame_rate == pytest.approx(2.0) and got.notes.get(CAUTIONS) is None


def test_dates_and_steps_of_numpy_are_times() -> None:
    dates = np.datetime64("2024-05-01T10:00:00") + (np.arange(30) * 500).astype("timedelta64[ms]")
    for times in (dates, dates - dates[0]):
        got = cf.recording_from_xarray(array(coords={"time": times, "unit": NAMES}))
        assert got.frame_rate == pytest.approx(2.0) and got.name == "traces"
    got = cf.recording_from_frame(pd.DataFrame(VALUES, pd.DatetimeIndex(dates), NAMES), "mine")
    assert got.frame_rate == pytest.approx(2.0) and got.units == tuple(NAMES)


def test_without_times_the_rate_is_asked_for(tmp_path: Path) -> None:
    bare = xr.DataArray(VALUES, dims=("frame", "cell"), name="x")
    bare.to_netcdf(tmp_path / "bare.nc", engine="scipy")
    with pytest.raises(UnclearError, match="frame rate is not known") as unclear:
        read_recording(tmp_path / "bare.nc")
    assert unclear.value.option == "frame_rate"
    got = read_recording(tmp_path / "bare.nc", frame_rate=3)
    assert got.frame_rate == 3 and got.units[0] == "column-0"
    stated = bare.assign_attrs(sampling_rate_hz=4.0)
    assert cf.recording_from_xarray(stated).frame_rate == 4.0
    with pytest.raises(DataError, match="frame_rate = 5"):
        cf.recording_from_xarray(stated, frame_rate=5)


def test_scaled_integers_and_missing_values_are_what_xarray_says(tmp_path: Path) -> None:
    held = VALUES.copy()
    held[3, 2] = np.nan
    packed = {"traces": {"dtype": "int16", "scale_factor": 1e-3, "add_offset": 1.0, "_FillValue": -32768}}
    array(data=held).to_netcdf(tmp_path / "p.nc", engine="h5netcdf", encoding=packed)
    got = read_recording(tmp_path / "p.nc", missing="mask")
    np.testing.assert_allclose(got.values, held, atol=6e-4)
    assert not got.mask[3, 2] and got.mask.sum() == 119


def test_a_data_frame_is_a_recording() -> None:
    frame = pd.DataFrame(VALUES, SECONDS, NAMES)
    got = cf.recording_from_frame(frame, "mine", kind="zscore")
    np.testing.assert_array_equal(got.values, VALUES)
    assert (got.name, got.kind, got.frame_rate) == ("mine", "zscore", pytest.approx(2.0))
    counted = frame.reset_index(drop=True)
    with pytest.raises(UnclearError, match="frame rate is not known"):
        cf.recording_from_frame(counted, "mine")
    assert cf.recording_from_frame(counted, "mine", frame_rate=2).times is None
    with pytest.raises(DataError, match="columns hold no numbers: RIS"):
        cf.recording_from_frame(frame.astype({"RIS": str}), "mine")
    with pytest.raises(DataError, match="1 values are missing"):
        cf.recording_from_frame(frame.mask(frame == VALUES[2, 1]), "mine")


@pytest.mark.parametrize("cut", [5, 600, -40])
def test_damaged_files_are_one_line(tmp_path: Path, cut: int) -> None:
    for engine in ("h5netcdf", "scipy"):
        path = tmp_path / f"{engine}.nc"
        array().to_netcdf(path, engine=engine)
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(DataError, match=path.name) as error:
            read_recording(path)
        assert "\n" not in str(error.value)


def test_sizes_that_are_not_there_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "big.nc"
    array().to_netcdf(path, engine="h5netcdf")
    with h5py.File(path, "r+") as file:
        del file["traces"]
        file.create_dataset("traces", (10**6, 10**6), "f4", chunks=(10, 10))
    with pytest.raises(DataError, match=r"big\.nc"):
        read_recording(path)


def test_lists_of_axes_that_do_not_fit_never_reach_the_library(tmp_path: Path) -> None:
    path = tmp_path / "axes.nc"
    array().to_netcdf(path, engine="h5netcdf")
    with h5py.File(path, "r+") as file:
        held = {name: file["traces"].attrs[name] for name in ("DIMENSION_LIST",)}
        del file["traces"]
        file["traces"] = VALUES.ravel()
        references = h5py.vlen_dtype(h5py.ref_dtype)
        file["traces"].attrs.create("DIMENSION_LIST", held["DIMENSION_LIST"], dtype=references)
    with pytest.raises(DataError, match="traces has 1 axes, and DIMENSION_LIST is for others"):
        read_recording(path)
