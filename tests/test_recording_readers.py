"""Readers of recordings: CSV, NPZ, HDF5, NWB, Parquet, Feather, MATLAB; what they return and how they refuse."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import FRAMES, OPTIONS, RATE, TIMES, UNITS, VALUES, WRITERS, write_csv, write_hdf5, write_nwb

from connfit.config import DataConfig, FileRecordings
from connfit.datasets.loading import preprocessing_steps, recordings_from_config
from connfit.errors import ConfigError, ConnfitError, DataError
from connfit.recordings import Recording
from connfit.recordings.readers import nwb, read_recording
from connfit.recordings.readers.frames import frame_times

every_format = pytest.mark.parametrize("name", list(WRITERS))


def read(path: Path, **options: object) -> Recording:
    return read_recording(path, **{**OPTIONS[path.name], **options})


@every_format
def test_every_format_returns_what_was_written(tmp_path: Path, name: str) -> None:
    got = read(WRITERS[name](tmp_path / name))
    np.testing.assert_allclose(got.values, VALUES, rtol=1e-6)
    assert got.units == UNITS and got.frame_rate == pytest.approx(RATE) and got.kind == "dff"
    assert got.mask.all() and got.notes["median_interval_s"] == pytest.approx(0.5)
    assert got.notes["missing_values"] == 0 and got.notes["file"] == name


@every_format
def test_missing_values_are_an_error_or_masked(tmp_path: Path, name: str) -> None:
    values = VALUES.copy()
    values[3, 1], values[5, 2] = np.nan, np.inf
    path = WRITERS[name](tmp_path / name, values=values)
    with pytest.raises(
        DataError, match=r"2 values are missing or infinite, the first at frame 3, unit 'AVAR'.*missing='mask'"
    ) as caught:
        read(path)
    assert name in str(caught.value)
    got = read(path, missing="mask")
    assert (~got.mask).sum() == 2 and np.isnan(got.values[~got.mask]).all() and got.notes["missing_values"] == 2
    with pytest.raises(ConfigError, match="missing is 'drop'"):
        read(path, missing="drop")
    values[:, 0] = np.nan
    path = WRITERS[name](tmp_path / name, values=values)
    assert not read(path, missing="mask").mask[:, 0].any()
    with pytest.raises(DataError, match=f"{name}.*without any observed value: AVAL"):
        read(path)
    values[:] = np.nan
    with pytest.raises(DataError, match=f"{name}.*no unit has an observed value"):
        read(WRITERS[name](tmp_path / name, values=values), missing="mask")


@every_format
def test_shuffled_repeated_and_left_out_frames_are_refused(tmp_path: Path, name: str) -> None:
    shuffled, repeated, gap, missing = TIMES.copy(), TIMES.copy(), TIMES.copy(), TIMES.copy()
    shuffled[[4, 9]] = shuffled[[9, 4]]
    repeated[7] = repeated[6]
    gap[20:] += 3
    missing[3] = np.nan
    cases = [
        (shuffled, "is earlier than frame"),
        (repeated, "repeats the time of frame 6"),
        (gap, "frames are left out"),
        (missing, "time of frame 3 is missing"),
    ]
    for times, message in cases:
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            read(WRITERS[name](tmp_path / name, times=times))


@every_format
def test_repeated_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}.*(repeat|more than once).*AVAL"):
        read(WRITERS[name](tmp_path / name, units=("AVAL", "b", "AVAL")))


@every_format
def test_truncated_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    cuts = 6 if name == "r.nwb" else 25
    for size in (0, 1, 9, *rng.integers(1, len(content) - 1, cuts)):
        path.write_bytes(content[:size])
        try:
            got = read(path)
        except ConnfitError as error:
            assert name in str(error)
        else:
            # Only a text table cut at the end of a row, or of a number, can pass.
            assert (name == "r.csv" and got.frames < FRAMES) or size > len(content) - 20
    for foreign in (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, b"\x80\x04\x95" * 30, b"\x93NUMPY\x01\x00"):
        path.write_bytes(foreign)
        with pytest.raises(DataError, match=name):
            read(path)
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: no such file"):
        read(path)


@pytest.mark.filterwarnings("ignore::connfit.errors.DataWarning")
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["r.csv", "r.npz", "r.h5", "r.parquet", "r.feather"]))
def test_any_values_and_names_survive(tmp_path_factory, seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    frames, units = int(rng.integers(2, 30)), int(rng.integers(1, 6))
    values = rng.normal(size=(frames, units)) * 10.0 ** rng.integers(-5, 5)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[0] = 1.0
    names = [f'{k} µ"{chr(rng.integers(65, 91))}, x' for k in range(units)]
    path = WRITERS[name](tmp_path_factory.mktemp("r") / name, values=values, units=names, times=np.arange(frames) / 3)
    got = read(path, missing="mask")
    np.testing.assert_allclose(got.values, values, rtol=1e-12, equal_nan=True)
    np.testing.assert_array_equal(got.mask, np.isfinite(values))
    assert got.units == tuple(names) and got.frame_rate == pytest.approx(3)


def test_csv_frame_rate(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", times=None)
    with pytest.raises(DataError, match=r"r\.csv: the frame rate is not known.*time_s"):
        read(path)
    assert read(path, frame_rate=1.2).frame_rate == 1.2
    with pytest.raises(DataError, match=r"r\.csv: frame_rate = -1"):
        read(path, frame_rate=-1)
    path = write_csv(tmp_path / "r.csv")
    assert read(path, frame_rate=2.01).frame_rate == 2.01
    with pytest.raises(DataError, match=r"frame_rate = 3 Hz, but the frame times give 2 Hz"):
        read(path, frame_rate=3.0)
    with pytest.raises(DataError, match=r"column 'time_s' is no unit"):
        read(path, time_column="clock", frame_rate=1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"row 2, column 'b': 'x' is not a number"),
        ("a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        ("a,b\n1,2\n3,\n4,5\n", "1 values are missing"),
        ("a,b\n1,2,3\n3,4\n", "Row #2: Expected 2 columns, got 3"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "more than once: 'a'"),
        ("a,\n1,2\n", "without a name in columns 1"),
        ("\n\n", "cannot be read"),
        ("time_s\n0\n1\n", "shape"),
    ],
)
def test_bad_csv_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_recording(path, frame_rate=1.0)
    assert "r.csv" in str(caught.value)


def test_compressed_csv_whole_and_truncated(tmp_path: Path) -> None:
    content = write_csv(tmp_path / "r.csv").read_bytes()
    packed = gzip.compress(content)
    path = tmp_path / "session.csv.gz"
    path.write_bytes(packed)
    got = read_recording(path)
    assert got.name == "session" and got.frames == FRAMES
    for size in range(1, len(packed) - 1, 97):
        path.write_bytes(packed[:size])
        with pytest.raises(DataError, match=r"session\.csv\.gz"):
            read_recording(path)


def test_npz_options_and_masks(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    mask = np.ones(VALUES.shape, bool)
    mask[4, 1] = False
    values = VALUES.copy()
    values[4, 1] = 9999
    np.savez_compressed(
        path, values=values, units=UNITS, frame_rate=1.2, mask=mask, kind="rate", value_units="Hz", name="fly"
    )
    got = read(path)
    assert (got.name, got.kind, got.value_units, got.frame_rate) == ("fly", "rate", "Hz", 1.2)
    from_config = recordings_from_config(DataConfig(recording_files=FileRecordings(files=(str(path),))))
    assert from_config[0].kind == "rate"
    # A value that was not observed must not reach a model as an input.
    assert np.isnan(got.values[4, 1]) and not got.mask[4, 1]
    with pytest.raises(DataError, match=r"the file says 1.2 Hz, the option frame_rate = 2"):
        read(path, frame_rate=2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": None}, "lacks units; it holds values, frame_rate"),
        ({"values": None}, "lacks values"),
        ({"frame_rate": None}, "frame rate is not known"),
        ({"frame_rate": np.array("fast")}, "not a positive number"),
        ({"frame_rate": np.array([1.0, 2.0])}, "not a positive number"),
        ({"values": VALUES.T}, "3 unit names for 40 columns"),
        ({"values": VALUES[:, 0]}, r"values are float32 of shape \(40,\)"),
        ({"values": np.full((4, 3), "x")}, "values are <U1"),
        ({"values": VALUES.astype(complex)}, "values are complex"),
        ({"units": np.array(UNITS, object)}, "holds Python objects"),
        ({"units": np.array([1.5, 2, 3])}, "units are float64"),
        ({"mask": np.ones((2, 2), bool)}, "mask is bool of shape"),
        ({"mask": np.ones(VALUES.shape)}, "mask is float64"),
        ({"time_s": np.zeros(3)}, r"time_s has shape \(3,\)"),
    ],
)
def test_bad_npz_archives(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "r.npz"
    arrays = {"values": VALUES, "units": np.array(UNITS), "frame_rate": np.array(RATE), **change}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "r.npz" in str(caught.value)


def test_npz_that_is_a_single_array(tmp_path: Path) -> None:
    with (tmp_path / "r.npz").open("wb") as file:
        np.save(file, VALUES)
    with pytest.raises(DataError, match=r"r\.npz: a single array"):
        read(tmp_path / "r.npz")


def test_hdf5_unlabelled_traces_and_other_values(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "r.h5", units=("AVAL", "", ""))
    got = read(path)
    assert got.name == "animal-1" and got.units == ("AVAL", "unlabelled-001@animal-1", "unlabelled-002@animal-1")
    assert got.notes["unlabelled"] == list(got.units[1:])
    assert not set(got.units[1:]) & set(read(path, name="animal-2").units)
    scored = read(path, values="zscore")
    assert scored.kind == "zscore" and scored.value_units == "standard deviations"
    np.testing.assert_allclose(scored.values, 2 * VALUES)
    with pytest.raises(ConfigError, match="values is 'raw'"):
        read(path, values="raw")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dff", None, "lacks the datasets dff"),
        ("neuron", None, "lacks the datasets neuron"),
        ("time_s", None, "the frame rate is not known"),
        ("dff", VALUES[:, 0], "dff has shape"),
        ("dff", VALUES.T, "time_s has shape"),
        ("dff", VALUES[:, :2], "3 neuron names for 2 traces"),
        ("dff", np.full((FRAMES, 3), b"x"), "holds"),
        ("neuron", np.arange(3), "list of text"),
        ("neuron_class", [b"AVA"], "neuron names for"),
        ("time_s", TIMES[:-1], "time_s has shape"),
    ],
)
def test_bad_hdf5_layouts(tmp_path: Path, key: str, value: object, message: str) -> None:
    path = write_hdf5(tmp_path / "r.h5")
    with h5py.File(path, "a") as file:
        if key in file:
            del file[key]
        if value is not None:
            file[key] = value
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "r.h5" in str(caught.value)


def test_hdf5_stated_rate_must_agree(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "r.h5")
    with pytest.raises(DataError, match=r"r\.h5: frame_rate = 1\.2 Hz, but the frame times give 2 Hz"):
        recordings_from_config(DataConfig(recording_files=FileRecordings(files=(str(path),), frame_rate=1.2)))
    with h5py.File(path, "a") as file:
        file.attrs["sampling_rate_hz"] = 3.0
    with pytest.raises(DataError, match=r"r\.h5.*frame times give 2 Hz"):
        read(path)


def test_options_of_a_reader_and_its_format_reach_it_from_a_configuration(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "r.data")
    files = FileRecordings(files=(str(path),), format="hdf5", options={"values": "zscore"})
    (got,) = recordings_from_config(DataConfig(recording_files=files, preprocess=()))
    assert got.kind == "zscore"
    np.testing.assert_allclose(got.values, 2 * VALUES)
    with pytest.warns(UserWarning, match=r"r\.data: data\.recording_files\.kind = 'rate' is not used"):
        recordings_from_config(
            DataConfig(recording_files=FileRecordings(files=(str(path),), format="hdf5", kind="rate"))
        )


def test_nwb_series_and_units(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "r.nwb", times=None, more=True)
    with pytest.raises(DataError, match=r"r\.nwb: which time series.*DfOverF/traces, Fluorescence/traces.*position"):
        read(path)
    with pytest.raises(DataError, match="2 time series named 'traces'"):
        read(path, series="traces")
    with pytest.raises(DataError, match="no time series named 'x'"):
        read(path, series="x")
    raw = read(path, series="Fluorescence/traces")
    assert raw.kind == "fluorescence" and raw.value_units == "counts" and raw.units == UNITS
    np.testing.assert_allclose(raw.values, 2 * (VALUES + 1), rtol=1e-6)
    by_id = read(path, series="DfOverF/traces", unit_column=None)
    assert by_id.units == ("roi-2", "roi-1", "roi-0") and by_id.frame_rate == RATE and by_id.name == "animal-1"
    with pytest.raises(DataError, match="no column 'class'; its columns are"):
        read(path, series="DfOverF/traces", unit_column="class")
    plain = read(path, series="position", unit_column=None)
    assert plain.units == ("column-0", "column-1") and plain.kind == "rate" and plain.value_units == "m"
    with pytest.raises(DataError, match="no table of ROIs"):
        read(path, series="position")
    with pytest.raises(DataError, match="the file says 2 Hz"):
        read(path, series="DfOverF/traces", frame_rate=3.0)


def test_nwb_series_of_other_shapes_are_named() -> None:
    class Series:
        def __init__(self, name: str, *shape: int) -> None:
            self.name, self.data, self.parent = name, np.zeros(shape), SimpleNamespace(name="acquisition")

    file = SimpleNamespace(objects={1: Series("a", 5), 2: Series("b", 2, 3, 4)})
    with pytest.raises(
        DataError, match=r"'c'; .* are \(none\); others are acquisition/a \(5,\), acquisition/b \(2, 3, 4\)"
    ):
        nwb._choose(SimpleNamespace(TimeSeries=Series), file, Path("x.nwb"), "c")


def test_nwb_without_pynwb_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.nwb"
    path.write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(ConnfitError, match=r"pip install 'connfit\[nwb\]'"):
        read(path)


def test_format_by_name_or_option(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "table.dat")
    with pytest.raises(DataError, match=r"table\.dat.*format"):
        read_recording(path)
    assert read_recording(path, format="csv").units == UNITS
    with pytest.raises(ConfigError, match=r"format is 'cvs'.*did you mean 'csv'"):
        read_recording(path, format="cvs")
    with pytest.raises(ConfigError, match=r"reader csv has no option 'framerate'.*did you mean 'frame_rate'"):
        read_recording(path, format="csv", framerate=2)


def test_frame_times_of_irregular_frames() -> None:
    times = np.cumsum(np.r_[0, np.tile([0.55, 0.65], 50)])
    got = frame_times(times, Path("x"))
    assert got.frame_rate == pytest.approx(1 / 0.6) and got.longest_interval_s == pytest.approx(0.65)
    with pytest.raises(DataError, match="too few"):
        frame_times(times[:1], Path("x"))


def test_files_of_a_configuration_are_cut_and_then_preprocessed(tmp_path: Path) -> None:
    values = VALUES.copy()
    paths = []
    for k in range(2):
        values[30:] *= 5
        paths.append(str(write_csv(tmp_path / f"r{k}.csv", values=values)))
    files = FileRecordings(files=tuple(paths))
    got = recordings_from_config(
        DataConfig(recording_files=files, train=0.5, validation=0.25, preprocess=({"step": "scale"},))
    )
    assert [one.name for one in got] == ["r0", "r1"] and got[0].parts.train == (0, 20)
    # Constants come from the training part, which is the same in both.
    assert got[0].steps[0]["scale"] == got[1].steps[0]["scale"]
    assert recordings_from_config(DataConfig(recording_files=files, preprocess=()))[0].steps == ()
    own = DataConfig(recording_files=files)
    usual, (step,) = recordings_from_config(own), preprocessing_steps(own)
    assert step == {"step": "scale", "method": "std", "margin": 2.0}
    explicit = recordings_from_config(DataConfig(recording_files=files, preprocess=(step,)))
    for one, other in zip(usual, explicit, strict=True):
        assert one.steps == other.steps and len(one.steps) == 1
        np.testing.assert_array_equal(one.values, other.values)
    with pytest.raises(ConfigError, match="both set"):
        recordings_from_config(DataConfig(recording_files=files, recordings=("x",)))
    with pytest.raises(ConfigError, match="no recording"):
        recordings_from_config(DataConfig())


@pytest.mark.parametrize("name", ["r.parquet", "r.feather"])
def test_tables_of_arrow_keep_single_precision_and_refuse_what_is_no_number(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def write(clock: str = "time_s", **columns: object) -> Path:
        table = pa.table({clock: TIMES, **columns})
        (pq.write_table if path.suffix == ".parquet" else feather.write_feather)(table, path)
        return path

    values, light = VALUES[:, 0], pa.array([None, *VALUES[1:, 1]], pa.float32())
    got = read_recording(write(a=values, light=light), inputs=("light",), missing="mask")
    assert got.values.dtype == np.float32 and got.units == ("a",)
    assert got.inputs is not None and got.inputs.channels == ("light",)
    got = read_recording(write(a=values, b=pa.array([None] * 2 + list(range(38)))), missing="mask")
    assert got.values.dtype == np.float64 and got.notes["missing_values"] == 2 and got.values[-1, 1] == 37
    assert not read_recording(write(a=values, b=pa.nulls(FRAMES)), missing="mask").mask[:, 1].any()
    stamps = pa.array((TIMES * 1000).astype(np.int64), pa.timestamp("ms"))
    for column, message in (
        (pa.array(["x"] * FRAMES), r"column 'b' holds string.*columns units"),
        (stamps, r"column 'b' holds timestamp\[ms\].*in seconds, as numbers"),
        (pa.array([[1.0]] * FRAMES), r"column 'b' holds list.*Write numbers"),
    ):
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            read_recording(write(a=values, b=column))
    with pytest.raises(DataError, match=rf"{name}: the frame rate is not known.*'times'.*time_column='times'"):
        read_recording(write("times", a=values))
    with pytest.raises(ConfigError, match="the input 'lihgt' is no column; did you mean 'light'"):
        read_recording(write(a=values, light=light), inputs=("lihgt",))


def test_an_index_of_a_data_frame_is_no_unit(tmp_path: Path) -> None:
    frame = pd.DataFrame(VALUES, columns=list(UNITS), index=TIMES)
    frame.to_parquet(tmp_path / "r.parquet")
    with pytest.raises(DataError, match=r"__index_level_0__.*name it time_s"):
        read_recording(tmp_path / "r.parquet")
    frame.rename_axis("time_s").to_parquet(tmp_path / "r.parquet")
    got = read_recording(tmp_path / "r.parquet")
    assert got.units == UNITS and got.frame_rate == pytest.approx(RATE)
    np.testing.assert_array_equal(got.values, VALUES)


def test_hdf5_without_times_takes_a_rate_from_the_file_or_the_option(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "r.h5")
    with h5py.File(path, "a") as file:
        del file["time_s"]
    got = read_recording(path, frame_rate=3.0)
    assert got.frame_rate == 3.0 and got.times is None
    with h5py.File(path, "a") as file:
        file.attrs["sampling_rate_hz"] = 4.0
    assert read_recording(path).frame_rate == 4.0
    with pytest.raises(DataError, match="frame_rate = 3"):
        read_recording(path, frame_rate=3.0)
