"""Options that say what a file does not, or says wrongly: units of time, empty units, factors and times of NWB."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from recording_files import FRAMES, OPTIONS, RATE, TIMES, UNITS, VALUES, WRITERS, write_csv, write_hdf5, write_nwb
from typer.testing import CliRunner

from connfit import cli
from connfit import config as configuration
from connfit.config import DataConfig, FileRecordings
from connfit.datasets.loading import own_recordings
from connfit.errors import ConfigError, DataError, UnitsError
from connfit.recordings import Recording
from connfit.recordings.labelled_arrays import recording_from_xarray
from connfit.recordings.readers import READERS, find_reader, read_recording

pytestmark = pytest.mark.filterwarnings("ignore::connfit.errors.DataWarning")
TIMED = [name for name in WRITERS if "time_unit" in find_reader(name).options]
FACTORS = {"ms": 1e3, "us": 1e6, "min": 1 / 60}


def read(path: Path, **options: Any) -> Recording:
    return read_recording(path, **{**OPTIONS[path.name], **options})


def cautions(recording: Recording) -> str:
    return "; ".join(map(str, recording.notes.get("cautions", ())))


def configured(path: Path, **options: Any) -> Recording:
    (found,) = own_recordings(DataConfig(recording_files=FileRecordings(files=(str(path),), **options)))
    return found


def test_readers_of_files_with_times_have_a_unit_of_time() -> None:
    without = {name for name, reader in READERS.items() if "time_unit" not in reader.options}
    # Those state a rate, or seconds by their standard.
    assert without == {"suite2p", "caiman", "nwb"}


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("unit", list(FACTORS))
def test_times_are_read_in_their_unit(tmp_path: Path, name: str, unit: str) -> None:
    path = WRITERS[name](tmp_path / name, times=TIMES * FACTORS[unit])
    got = read(path, time_unit=unit, frame_rate=RATE)
    assert got.frame_rate == pytest.approx(RATE) and got.notes["time_unit"] == unit
    assert got.notes["median_interval_s"] == pytest.approx(0.5)
    if got.times is not None:
        np.testing.assert_allclose(got.times, TIMES, rtol=1e-12)
    with pytest.raises(DataError, match="frame times give"):
        read(path, frame_rate=RATE)
    with pytest.raises(ConfigError, match="time_unit is 'hours', but must be one of s, ms, us, min"):
        read(path, time_unit="hours")


def test_milliseconds_are_noticed_with_the_option_that_reads_them(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", times=TIMES * 1e5)
    assert "in milliseconds" in cautions(read(path)) and "time_unit" in cautions(read(path))
    path = write_csv(tmp_path / "r.csv", times=TIMES * 1e3)
    assert "milliseconds" in cautions(read(path)) and "milliseconds" not in cautions(read(path, time_unit="ms"))


def test_a_unit_that_a_file_states_is_overruled_and_said(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "r.h5", times=TIMES * 1e3)
    with h5py.File(path, "r+") as file:
        file["time_s"].attrs["units"] = "min"
    with pytest.raises(DataError, match=r"unit of time_s is 'min'.*time_unit"):
        read(path)
    got = read(path, time_unit="ms")
    assert got.frame_rate == pytest.approx(RATE) and "taken as ms (option time_unit), though the file says 'min'" in (
        cautions(got)
    )
    clock = xr.Variable("time", TIMES, {"units": "ms"})
    array = xr.DataArray(VALUES, dims=("time", "neuron"), coords={"time": clock, "neuron": list(UNITS)}, name="dff")
    array.to_netcdf(tmp_path / "r.nc", engine="scipy")
    assert read_recording(tmp_path / "r.nc").frame_rate == pytest.approx(RATE * 1e3)
    got = read_recording(tmp_path / "r.nc", time_unit="s")
    assert got.frame_rate == pytest.approx(RATE) and "though the file says 'ms'" in cautions(got)
    dated = array.assign_coords(time=np.datetime64("2020-01-01") + (TIMES * 1e9).astype("m8[ns]"))
    with pytest.raises(DataError, match="dates or durations"):
        recording_from_xarray(dated, time_unit="ms")


@pytest.mark.parametrize("name", list(WRITERS))
def test_units_without_values_are_left_out_or_an_error(tmp_path: Path, name: str) -> None:
    values = VALUES.copy()
    values[:, 1] = np.nan
    path = WRITERS[name](tmp_path / name, values=values)
    for missing in ("error", "mask"):
        got = read(path, missing=missing, empty_units="drop")
        assert got.units == (UNITS[0], UNITS[2]) and got.mask.all()
        np.testing.assert_allclose(got.values, VALUES[:, [0, 2]], rtol=1e-6)
        assert f"1 units without any observed value are left out: {UNITS[1]}" in cautions(got)
        with pytest.raises(
            UnitsError, match=f"without any observed value: {UNITS[1]}.*empty_units ?= ?'drop'"
        ) as raised:
            read(path, missing=missing, empty_units="error")
        assert set(raised.value.units) == {UNITS[1]}
    assert read(path, missing="mask").units == UNITS
    with pytest.raises(ConfigError, match="empty_units is 'keep', but must be one of error, drop"):
        read(path, empty_units="keep")
    values[3, 0] = np.nan
    path = WRITERS[name](tmp_path / name, values=values)
    with pytest.raises(DataError, match="missing or infinite"):
        read(path, empty_units="drop")
    assert read(path, missing="mask", empty_units="drop").mask.sum() == 2 * FRAMES - 1


def test_options_of_all_files_are_those_of_the_section(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[:, 1] = np.nan
    path = write_csv(tmp_path / "r.csv", values=values, times=TIMES * 1e3)
    got = configured(path, empty_units="drop", time_unit="ms")
    assert got.units == (UNITS[0], UNITS[2]) and got.frame_rate == pytest.approx(RATE)
    got = configured(path, each=({"empty_units": "drop", "time_unit": "ms"},))
    assert got.units == (UNITS[0], UNITS[2]) and got.frame_rate == pytest.approx(RATE)
    with pytest.raises(ConfigError, match=r"options\.time_unit: give it as data\.recording_files\.time_unit"):
        configured(path, options={"time_unit": "ms"})
    with pytest.raises(ConfigError, match=r"time_unit = 'hours'.*must be one of"):
        FileRecordings(files=(str(path),), time_unit="hours")  # type: ignore[arg-type]
    # What a first step leaves out need not be left out here.
    data = {"recording_files": {"files": [str(path)], "empty_units": "error", "time_unit": "ms"}}
    step = {"step": "select", "drop": [UNITS[1]]}
    config = configuration.from_dict({"data": {**data, "preprocess": [step]}})
    assert own_recordings(config.data)[0].units == UNITS
    with pytest.raises(UnitsError, match="empty_units"):
        own_recordings(configuration.from_dict({"data": data}).data)


def written(folder: Path, **options: Any) -> Path:
    pytest.importorskip("pynwb")
    return write_nwb(folder / "r.nwb", **options)


def changed(path: Path, **attributes: float) -> Path:
    """Another factor or offset of the series."""
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            file["processing/ophys/DfOverF/traces/data"].attrs[name] = value
    return path


def test_a_wrong_factor_of_nwb_is_replaced_and_said(tmp_path: Path) -> None:
    path = changed(written(tmp_path), conversion=1e-3, offset=5.0)
    np.testing.assert_allclose(read(path).values, VALUES * 1e-3 + 5, rtol=1e-6)
    assert not cautions(read(path))
    got = read(path, conversion=2.0, offset=0.0)
    np.testing.assert_allclose(got.values, 2 * VALUES, rtol=1e-6)
    assert "the conversion of series traces, 0.001, is replaced by 2 (conversion)" in cautions(got)
    assert "the offset of series traces, 5, is replaced by 0 (offset)" in cautions(got)
    assert not cautions(read(path, conversion=1e-3))
    changed(path, conversion=0.0, offset=0.0)
    with pytest.raises(DataError, match="give them as conversion and offset"):
        read(path)
    np.testing.assert_allclose(read(path, conversion=1).values, VALUES, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conversion": 0}, "conversion is 0"), ({"conversion": True}, "conversion is True"),
        ({"offset": float("nan")}, "offset is nan"), ({"rate": -1.0}, "rate is -1"), ({"rate": "2"}, "rate is '2'"),
        ({"start_s": float("inf")}, "start_s is inf"),
    ],
)  # fmt: skip
def test_what_cannot_replace_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "r.nwb").write_bytes(b"x")
    pytest.importorskip("pynwb")
    with pytest.raises(ConfigError, match=message):
        read_recording(tmp_path / "r.nwb", **options)


def test_wrong_times_of_nwb_are_replaced_and_said(tmp_path: Path) -> None:
    wrong = TIMES + 3
    wrong[20:] = 3
    path = written(tmp_path, times=wrong)
    with pytest.raises(DataError, match=r"is earlier than frame|repeats the time"):
        read(path)
    got = read(path, rate=RATE)
    assert got.frame_rate == RATE and "come at 2 Hz (rate), not at the timestamps of the file" in cautions(got)
    np.testing.assert_allclose(got.times, TIMES + 3)
    got = read(path, rate=RATE, start_s=1.0)
    np.testing.assert_allclose(got.times, TIMES + 1)
    assert "starts at 1 s (start_s), not at 3 s" in cautions(got)
    with pytest.raises(DataError, match="frame_rate = 5"):
        read(path, rate=RATE, frame_rate=5.0)
    right = written(tmp_path, times=TIMES + 3)
    got = read(right, start_s=0.0)
    np.testing.assert_allclose(got.times, TIMES, atol=1e-12)
    assert got.frame_rate == pytest.approx(RATE) and got.notes["median_interval_s"] == pytest.approx(0.5)
    rated = written(tmp_path, times=None)
    got = read(rated, rate=4.0)
    assert got.frame_rate == 4.0 and "not at the 2.0 Hz of the file" in cautions(got)
    assert not cautions(read(rated, rate=RATE, start_s=0.0))


def test_a_kind_that_is_given_counts_and_is_said(tmp_path: Path) -> None:
    path = written(tmp_path)
    named = {"options": {"unit_column": "label"}}
    assert configured(path, **named).kind == "dff" and not cautions(configured(path, **named))
    got = configured(path, kind="rate", **named)
    assert got.kind == "rate" and "taken as rate (kind), though DfOverF holds dff" in cautions(got)
    array = xr.DataArray(VALUES, dims=("time", "neuron"), coords={"time": TIMES}, name="dff", attrs={"kind": "zscore"})
    array.to_netcdf(tmp_path / "r.nc", engine="scipy")
    assert configured(tmp_path / "r.nc").kind == "zscore"
    got = configured(tmp_path / "r.nc", kind="dff")
    assert got.kind == "dff" and "though the file says 'zscore'" in cautions(got)
    store = zarr.open_group(tmp_path / "r.zarr", mode="w", zarr_format=2)
    store.create_array("dff", data=VALUES).attrs.update({"kind": "zscore", "units": "SD", "sampling_rate_hz": RATE})
    got = configured(tmp_path / "r.zarr", kind="dff", frame_rate=RATE, options={"value_units": "percent"})
    assert (got.kind, got.value_units) == ("dff", "percent")
    assert "dff is taken as dff (kind), though the file says 'zscore'" in cautions(got)
    assert "dff is taken as percent (value_units), though the file says 'SD'" in cautions(got)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert configured(write_hdf5(tmp_path / "r.h5"), kind="dff").kind == "dff"
    with pytest.warns(UserWarning, match="kind = 'rate' is not used; the file says it"):
        configured(tmp_path / "r.h5", kind="rate")


@pytest.mark.usefixtures("dots")
def test_check_says_and_writes_what_is_replaced(tmp_path: Path) -> None:
    path = changed(written(tmp_path), conversion=7.0)
    given = ("--option", "unit_column=label", "--option", "conversion=2.0", "--option", "start_s=4.0")
    ran = CliRunner().invoke(cli.app, ["check", str(path), *given, "--write", str(tmp_path / "c.toml")])
    said = " ".join(ran.output.split())
    assert "conversion of series traces, 7, is replaced by 2" in said and "starts at 4 s" in said
    text = (tmp_path / "c.toml").read_text(encoding="utf-8")
    assert "conversion = 2.0" in text and "start_s = 4.0" in text
    path = write_csv(tmp_path / "r.csv", times=TIMES * 1e3)
    ran = CliRunner().invoke(
        cli.app, ["check", str(path), "--option", "time_unit=ms", "--write", str(tmp_path / "d.toml")]
    )
    assert "times in ms" in " ".join(ran.output.split()), ran.output
    assert 'time_unit = "ms"' in (tmp_path / "d.toml").read_text(encoding="utf-8")
