"""Data that are wrong though they can be read: right, one clear error, or one caution, and never silence."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from small import write_files
from test_recording_readers import TIMES, UNITS, VALUES, write_csv, write_hdf5, write_npz, write_nwb

from connfit import config as configuration
from connfit._io import read_arrays, read_json, require_file
from connfit.config import DataConfig, FileRecordings
from connfit.connectome.columns import read_table
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.loading import recordings_from_config
from connfit.errors import ConfigError, ConnfitError, DataError, DataWarning
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.plausibility import implausible
from connfit.recordings.readers import read_recording
from connfit.recordings.readers.frames import frame_times
from connfit.training.problem import prepare

X = Path("x")


def intervals(*stretches: tuple[float, float]) -> np.ndarray:
    """Frame times of stretches (interval, number of frames)."""
    return np.cumsum(np.concatenate([[0.0], *[np.full(int(n), step) for step, n in stretches]]))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("rates", [(3, 30), (30, 3), (3, 3.3), (3, 4)])
def test_two_frame_rates_in_one_file(share: float, rates: tuple[float, float]) -> None:
    times = intervals((1 / rates[0], 400 * (1 - share)), (1 / rates[1], 400 * share))
    if max(rates) < 30 and share in (0.01, 0.99):
        # Four frames that come a little early are jitter.
        assert frame_times(times, X).cautions == ()
    else:
        with pytest.raises(DataError, match=r"rate changes|too close|left out"):
            frame_times(times, X)


def test_jitter_and_slow_drift_of_a_clock_are_no_error() -> None:
    rng = np.random.default_rng(0)
    for frames in (10, 40, 100, 2000):
        k = np.arange(frames)
        for times in (
            0.3 * k + rng.uniform(-0.06, 0.06, frames),
            np.cumsum(0.3 * (1 + 0.1 * np.clip(rng.normal(size=frames), -3, 3))),
            np.cumsum(np.where(k % 2, 0.55, 0.65)),
            np.round(k / 30, 2),
            np.cumsum(0.3 * (1 + 0.005 * k / frames)),
        ):
            assert frame_times(times, X).cautions == ()


SECONDS: dict[str, tuple[np.ndarray, str]] = {
    "a frame twice": (intervals((0.5, 50), (0.25, 2), (0.5, 50)), "error: frames lie too close"),
    "a gap": (intervals((0.5, 50), (5, 1), (0.5, 50)), "error: frames are left out"),
    "time stands still": (intervals((0.5, 50), (0, 3), (0.5, 50)), "error: repeats the time"),
    "time runs backwards": (intervals((0.5, 50))[::-1].copy(), "error: is earlier than"),
    "milliseconds": (np.arange(200) * 500.0, "if they are in milliseconds"),
    "milliseconds at 30 Hz": (np.round(np.arange(200) * 33.333), "if they are in milliseconds"),
    "frames": (np.arange(200.0), "numbers of frames"),
    "minutes": (np.arange(400) / 120, "if they are in minutes"),
    "minutes at 30 Hz": (np.arange(400) / 1800, "if they are in minutes"),
}


@pytest.mark.parametrize("case", list(SECONDS))
def test_times_that_are_no_seconds(tmp_path: Path, case: str) -> None:
    times, outcome = SECONDS[case]
    path = write_csv(tmp_path / "r.csv", np.random.default_rng(0).normal(size=(len(times), 3)), times=times)
    if outcome.startswith("error: "):
        with pytest.raises(DataError, match=outcome.removeprefix("error: ")):
            read_recording(path)
        return
    with pytest.warns(DataWarning, match=rf"r\.csv: the frame times .*{outcome}"):
        rate = read_recording(path).frame_rate
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*implausible")
        assert read_recording(path, frame_rate=rate).frame_rate == rate


def changed(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "a") as file:
        change(file)
    return path


def attribute(where: str, key: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file[where].attrs.__setitem__(key, value)


TRACES = "processing/ophys/DfOverF/traces"


def _rate_beside_timestamps(file: h5py.File) -> None:
    start = file[TRACES].create_dataset("starting_time", data=0.0)
    start.attrs["rate"], start.attrs["unit"] = 30.0, "seconds"


def npz(path: Path, **more: object) -> Path:
    np.savez(path, **{"values": VALUES, "units": np.array(UNITS), "time_s": TIMES, **more})  # pyright: ignore[reportArgumentType]
    return path


def rows(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "r.csv").write_bytes(text.encode())
        return folder / "r.csv"

    return write


BODY = "".join(f"{k / 2},{k % 7 / 10},{k % 5 / 10}\n" for k in range(30))
NUMBERED = "".join(f"{k},{line}\n" for k, line in enumerate(BODY.split()))

RECORDINGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "hdf5, rate as text": (
        lambda f: changed(write_hdf5(f / "r.h5"), attribute("/", "sampling_rate_hz", "30")),
        "error: frame_rate = 30 Hz",
    ),
    "hdf5, rate as array": (
        lambda f: changed(write_hdf5(f / "r.h5"), attribute("/", "sampling_rate_hz", [30.0])),
        "error: frame_rate = 30 Hz",
    ),
    "hdf5, rate NaN": (
        lambda f: changed(write_hdf5(f / "r.h5"), attribute("/", "sampling_rate_hz", np.nan)),
        "error: not a positive",
    ),
    "hdf5, rate as dataset": (
        lambda f: changed(write_hdf5(f / "r.h5"), lambda h: h.__setitem__("frame_rate", 30.0)),
        "error: frame_rate = 30 Hz",
    ),
    "hdf5, factor": (
        lambda f: changed(write_hdf5(f / "r.h5"), attribute("dff", "scale_factor", 0.1)),
        "attributes of dff .*scale_factor",
    ),
    "hdf5, milliseconds": (
        lambda f: changed(write_hdf5(f / "r.h5"), attribute("time_s", "units", "ms")),
        "error: unit of time_s is 'ms'",
    ),
    "hdf5, unknown": (
        lambda f: changed(write_hdf5(f / "r.h5"), lambda h: h.__setitem__("Neuron_clas", 1)),
        "did you mean 'neuron_class'",
    ),
    "npz, rate contradicts": (lambda f: npz(f / "r.npz", frame_rate=3.0), "error: frame_rate = 3 Hz"),
    "npz, sampling rate contradicts": (lambda f: npz(f / "r.npz", sampling_rate_hz=3.0), "error: frame_rate = 3 Hz"),
    "npz, two rates": (lambda f: npz(f / "r.npz", frame_rate=2, sampling_rate_hz=3), "error: frame_rate says 2 Hz"),
    "npz, rate NaN": (lambda f: npz(f / "r.npz", frame_rate=np.nan), "error: not a positive"),
    "npz, rate 0": (lambda f: npz(f / "r.npz", frame_rate=0), "error: not a positive"),
    "npz, misspelt": (lambda f: npz(f / "r.npz", Mask=np.zeros(3)), "not read: Mask; did you mean 'mask'"),
    "npz, factor": (lambda f: npz(f / "r.npz", conversion=1e-9), "not read: conversion"),
    "npz, mask upside down": (
        lambda f: npz(f / "r.npz", mask=np.arange(120).reshape(40, 3) % 10 == 0),
        "90% of the values are masked",
    ),
    "npz, transposed": (lambda f: npz(f / "r.npz", values=VALUES.T), "error: transpose"),
    "npz, too large for single precision": (
        lambda f: npz(f / "r.npz", values=VALUES.astype(np.float64) * 1e39),
        "error: missing or infinite",
    ),
    "npz, text": (lambda f: npz(f / "r.npz", values=VALUES.astype(str)), "error: values are"),
    "nwb, rate and timestamps": (
        lambda f: changed(write_nwb(f / "r.nwb"), _rate_beside_timestamps),
        "error: frame_rate = 30 Hz",
    ),
    "nwb, milliseconds": (
        lambda f: changed(write_nwb(f / "r.nwb"), attribute(TRACES + "/timestamps", "unit", "milliseconds")),
        "error: in 'milliseconds'",
    ),
    "nwb, conversion NaN": (
        lambda f: changed(write_nwb(f / "r.nwb"), attribute(TRACES + "/data", "conversion", np.nan)),
        "error: conversion nan",
    ),
    "nwb, conversion 0": (
        lambda f: changed(write_nwb(f / "r.nwb"), attribute(TRACES + "/data", "conversion", 0.0)),
        "error: conversion 0.0",
    ),
    "csv, semicolons": (rows("time_s;a;b\n" + BODY.replace(",", ";")), "error: separated by ';'"),
    "csv, decimal commas": (rows('time_s,a\n0,"0,1"\n1,"0,2"\n'), "error: decimal point"),
    "csv, carriage returns": (rows(("time_s,a,b\n" + BODY).replace("\n", "\r")), "right"),
    "csv, mixed line ends": (rows("time_s,a,b\r\n" + BODY), "right"),
    "csv, blank line between carriage returns": (rows("time_s,a\r0,1\r\r1,2\r"), "error: line 3 is blank"),
    "csv, byte order mark": (rows("\ufefftime_s,a,b\n" + BODY), "right"),
    "csv, no header": (rows("0.2,0.4,0.6\n" + BODY), "error: holds numbers"),
    "csv, time under another name": (rows("Time,a,b\n" + BODY), "error: time_column='Time'"),
    "csv, an index": (rows("Unnamed: 0,time_s,a,b\n" + NUMBERED), "error: 'Unnamed: 0' is no unit"),
    "csv, an index without a name": (rows(",time_s,a,b\n" + NUMBERED), "error: without a name"),
    "csv, a second clock": (rows("frame,time_s,a,b\n" + NUMBERED), "error: 'frame' is no unit"),
    "csv, transposed": (rows("unit,0.0,0.5\nAVAL,1,2\nAVAR,2,3\n"), "error: transpose"),
    "csv, transposed without names": (rows("0.0,0.5\n1,2\n2,3\n"), "error: transpose"),
    "csv, a comment": (rows("# made by hand\ntime_s,a,b\n" + BODY), "error: begins with a comment"),
    "csv, an open quote": (rows('time_s,a\n0,1\n1,"2\n2,3\n3,4\n'), "error: goes on over further rows"),
    "csv, trailing column": (rows("time_s,a,b,\n" + BODY.replace("\n", ",\n")), "error: without a name"),
    "csv, a dash": (rows("time_s,a\n0,1\n1,-\n2,3\n"), "error: 1 values are missing"),
}


@pytest.mark.parametrize("case", list(RECORDINGS))
def test_wrong_recordings(tmp_path: Path, case: str) -> None:
    write, outcome = RECORDINGS[case]
    path = write(tmp_path)
    options = {"unit_column": "label"} if path.suffix == ".nwb" else {}
    if outcome == "right":
        got = read_recording(path)
        assert got.units == ("a", "b") and got.frame_rate == 2.0
        np.testing.assert_allclose(got.values[:, 0], np.arange(30) % 7 / 10)
    elif outcome.startswith("error: "):
        with pytest.raises(DataError, match=outcome.removeprefix("error: ")) as caught:
            read_recording(path, **options)
        assert path.name in str(caught.value)
    else:
        with pytest.warns(DataWarning, match=rf"{path.name}: .*{outcome}"):
            read_recording(path, **options)


def test_factors_of_channels_are_applied(tmp_path: Path) -> None:
    path = changed(write_nwb(tmp_path / "r.nwb"), attribute(TRACES + "/data", "conversion", 2.0))
    np.testing.assert_allclose(read_recording(path, unit_column="label").values, 2 * VALUES, rtol=1e-6)


NEURONS = "id,type,region,transmitter\n1,A,R1,ACH\n2,B,R2,GABA\n"
EDGES = "pre,post,synapses\n1,2,5\n2,1,4\n"
BIG = 720575940612345000
TABLES: dict[str, tuple[str, str, str]] = {
    **{f"a region {word!r}": (EDGES, NEURONS.replace("R1", word), "empty") for word in ("n/a", "-", "", "#N/A", " ")},
    **{
        f"a region {word!r}": (EDGES, NEURONS.replace("R1", word), f"says '{word}', which counts as empty")
        for word in ("NA", "None", "null")
    },
    "a NUL byte": (EDGES, NEURONS.replace("R1", "R\0"), "error: holds a NUL byte"),
    "a failed formula": (EDGES, NEURONS.replace("R1", "#REF!"), "error: formula of a spreadsheet failed"),
    "regions that look alike": (EDGES, NEURONS.replace("R2", "R1\u200b"), "look the same"),
    **{
        f"a count {count!r}": (f'pre,post,synapses\n1,2,"{count}"\n', NEURONS, "error: row 1")
        for count in ("-3", "0", "2.5", "nan", "3e9", "1e30", "1,000", "")
    },
    "counts that sum to more than 2^31": (
        "pre,post,synapses\n1,2,2000000000\n1,2,2000000000\n",
        NEURONS,
        "error: int32",
    ),
    "every row twice": ("pre,post,synapses\n" + "1,2,5\n2,1,4\n1,1,7\n" * 2, NEURONS, "more than once"),
    "an id of a spreadsheet": (EDGES, NEURONS.replace("2,B", "1.23E+17,B"), "error: as a spreadsheet shows"),
    "an id with separators": (EDGES, NEURONS.replace("2,B", '"1,234",B'), "error: as a spreadsheet shows"),
    "ids that lost digits": (
        f"pre,post,synapses\n{BIG},{BIG + 1000},5\n",
        f"id,type,region,transmitter\n{BIG},A,R1,ACH\n{BIG + 1000},B,R2,GABA\n",
        "lost their last digits",
    ),
    "semicolons": (EDGES.replace(",", ";"), NEURONS, "error: separated by ';'"),
    "no header": (EDGES.partition("\n")[2], NEURONS, "error: no column 'pre'"),
    "a comment": ("# made by hand\n" + EDGES, NEURONS, "error: begins with a comment"),
    "carriage returns": (EDGES.replace("\n", "\r"), NEURONS, "right"),
    "blank lines": (EDGES.replace("\n", "\n\n"), NEURONS, "right"),
    "a byte order mark": ("\ufeff" + EDGES, "\ufeff" + NEURONS, "right"),
    "an open quote": (EDGES, NEURONS.replace(",ACH", ',"ACH') + "3,C,R3,ACH\n", "error: goes on over further rows"),
    "a header twice": (EDGES, NEURONS.replace("type", "region"), "error: more than once: 'region'"),
}


@pytest.mark.parametrize("case", list(TABLES))
def test_wrong_tables(tmp_path: Path, case: str) -> None:
    edges, neurons, outcome = TABLES[case]
    (tmp_path / "edges.csv").write_bytes(edges.encode())
    (tmp_path / "neurons.csv").write_bytes(neurons.encode())

    def build() -> object:
        brain = connectome_from_tables("b", tmp_path / "edges.csv", tmp_path / "neurons.csv", sign_rule="fly-paper")
        return brain.neurons["region"].tolist(), brain.counts.tolist(), brain.notes.get("cautions")

    if outcome.startswith("error: "):
        with pytest.raises(DataError, match=outcome.removeprefix("error: ")):
            build()
    elif outcome in ("right", "empty"):
        assert build() == (["R1" if outcome == "right" else "", "R2"], [4, 5], None)
    else:
        with pytest.warns(DataWarning, match=outcome) as said:
            *_, cautions = build()
        assert cautions == [str(said[0].message)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_tables_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    for name, text in (("r.csv", "time_s,\u00e9\n" + BODY), ("n.csv", NEURONS.replace("R1", "\u00e9"))):
        (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"r\.csv: .*UTF-8"):
        read_recording(tmp_path / "r.csv")
    with pytest.raises(DataError, match=r"n\.csv: .*UTF-8"):
        read_table(tmp_path / "n.csv", "neurons")


def test_codes_beyond_the_words_of_a_column_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "neurons.feather"
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["A", "B"]))
    feather.write_feather(pa.table({"region": words}), path, compression="uncompressed")
    content, codes = path.read_bytes(), np.array([0, 1], np.int32).tobytes()
    before, _, behind = content.rpartition(codes)
    path.write_bytes(before + np.array([0, 7], np.int32).tobytes() + behind)
    with pytest.raises(DataError, match=r"neurons\.feather: cannot be read"):
        read_table(path, "neurons").text("region")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("transmitter,sign\nACH,0\n", "must be .1 or -1"),
        ("transmitter,sign\nACH,\uff11\n", "must be .1 or -1"),
        ("transmitter,sign,sign\nACH,1,-1\n", "transmitter,sign once"),
        ("transmitter;sign\nACH;1\n", "not a sign table"),
    ],
)
def test_wrong_tables_of_signs(tmp_path: Path, rule: str, message: str) -> None:
    (tmp_path / "signs.csv").write_text(rule, encoding="utf-8")
    edges, neurons = (pd.DataFrame({"pre": [1], "post": [2], "synapses": [5]}), pd.DataFrame({"id": [1, 2]}))
    with pytest.raises(DataError, match=rf"signs\.csv: .*{message}"):
        connectome_from_tables("b", edges, neurons, sign_rule=tmp_path / "signs.csv", unknown_transmitter="drop")
    with pytest.raises(ConfigError, match="to itself"):
        connectome_from_tables("b", edges, neurons, post="pre", sign_rule="shiu")


def test_a_misspelt_transmitter_is_said_where_the_unknown_is_allowed() -> None:
    edges = pd.DataFrame({"pre": [1], "post": [2], "synapses": [5]})
    neurons = pd.DataFrame({"id": [1, 2], "transmitter": ["acetylcholne", "dopamine"]})
    with pytest.warns(DataWarning, match="'acetylcholne' of 1 neurons counts as unknown; did you mean 'acetylcholine'"):
        connectome_from_tables("b", edges, neurons, sign_rule="worm", unknown_transmitter="drop")


RNG = np.random.default_rng(0)
WALK = 0.1 * np.cumsum(RNG.normal(size=(300, 6)), 0) + 0.1 * RNG.normal(size=(300, 6))


def altered(rows: slice, column: int | slice, value: object, values: np.ndarray = WALK) -> np.ndarray:
    values = values.copy()
    values[rows, column] = value
    return values


def movie(values: np.ndarray, frame_rate: float = 2.0) -> Recording:
    return Recording("r", values, tuple("abcdefghijklmnopqrstuvwxyz"[: values.shape[1]]), frame_rate)


@pytest.mark.parametrize(
    ("values", "rate", "message"),
    [
        (WALK, 1500.0, "1500 frames/s are implausible"),
        (WALK, 0.005, "0.005 frames/s are implausible"),
        (WALK * [1, 1, 1e6, 1, 1, 1], 2, "another scale than most .*: c$"),
        (WALK * [1, 1, 1e-6, 1, 1, 1], 2, "another scale than most .*: c$"),
        (altered(slice(50, 60, 5), 1, -9999), 2, r"stand for missing: b \(-9999\)"),
        (altered(slice(50, 120), 1, 0.3), 2, r"keep one value for long: b \(70 of 300 frames\)"),
        (altered(slice(60, 70), slice(None), WALK[60]), 2, r"9 frames are equal to the frame before .*frame 61"),
        (altered(slice(100, 160), 3, 0, RNG.normal(500, 20, (300, 6))), 2, r"one value for long: d"),
        (altered(slice(None), 1, WALK[:, 4]), 2, "units with the same values: b and e"),
        (RNG.normal(size=(24, 24)), 2, "as many frames as units"),
    ],
)
def test_what_is_implausible_is_said(values: np.ndarray, rate: float, message: str) -> None:
    (caution,) = implausible(movie(values, rate))
    assert re.search(message, caution)


@pytest.mark.parametrize(
    "values",
    [
        WALK,
        np.maximum(WALK, 0),
        RNG.poisson(0.1, (300, 6)),
        np.where(RNG.random((300, 6)) < 0.03, RNG.gamma(2, 1, (300, 6)), 0),
        RNG.standard_t(2, (3000, 6)),
        RNG.normal(size=(300, 6)) * np.exp(2 * RNG.normal(size=6)),
        np.where(RNG.random((300, 6)) < 0.2, WALK, 0.0),
    ],
)
def test_what_is_plausible_is_not_said(values: np.ndarray) -> None:
    assert implausible(movie(values)) == []


def test_frame_rates_of_a_cohort_are_compared_with_each_other() -> None:
    movies = [replace(movie(WALK, rate), name=str(rate)).split() for rate in (2.0, 2.015, 1.985)]
    with pytest.raises(DataError, match=r"'2.015' has 2.015 frames/s, '1.985' 1.985"):
        Cohort.from_recordings(movies)
    for rate in ("2", True, np.nan, -1, None):
        with pytest.raises(DataError, match="must be positive, and a number"):
            replace(movie(WALK), frame_rate=rate)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EMFILE, "too many files are open"),
        (errno.EIO, "the disk or the network drive failed"),
        (errno.ESTALE, "the disk or the network drive failed"),
        (errno.ENOENT, "no such file"),
    ],
)
def test_an_error_of_the_system_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    paths = [write_csv(tmp_path / "r.csv"), write_npz(tmp_path / "r.npz"), write_hdf5(tmp_path / "r.h5")]
    (tmp_path / "record.json").write_text("{}")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "refused")

    def read_all() -> None:
        for read in (*(lambda path=path: read_recording(path) for path in paths), *others):
            with pytest.raises(DataError) as caught:
                read()
            assert cause in str(caught.value) and "damaged" not in str(caught.value)

    others = (
        lambda: read_json(tmp_path / "record.json", dict[str, object]),
        lambda: read_arrays(paths[1]),
        lambda: read_table(paths[0], "neurons"),
    )
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(h5py, "File", refuse)
    read_all()


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path, cause in (
        (tmp_path, "this is a folder"),
        (tmp_path / "pipe.csv", "not a regular file"),
        (tmp_path / ("a" * 300), "the path is too long"),
        (tmp_path / "absent.csv", "no such file"),
        (write_csv(tmp_path / "r.csv") / "below.csv", "no such file"),
    ):
        with pytest.raises(DataError, match=cause):
            require_file(path)


def own_files(folder: Path, arrays: dict[str, np.ndarray], **options: object) -> DataConfig:
    paths = []
    for name, values in arrays.items():
        units = [f"n{k}" for k in range(values.shape[1])] if name != "other" else ["n0", "n1", "n9"]
        np.savez(folder / f"{name}.npz", values=values, units=np.array(units), frame_rate=2.0)
        paths.append(str(folder / f"{name}.npz"))
    missing = options.pop("missing", "error")
    return DataConfig(recording_files=FileRecordings(files=tuple(paths), missing=missing), **options)  # pyright: ignore[reportArgumentType]


def pasted(folder: Path, error: ConnfitError) -> tuple[dict[str, object], ...]:
    """The steps of the line that an error suggests, read back from a configuration that it was pasted into."""
    path = folder / "pasted.toml"
    path.write_text("[data]\n" + str(error).partition("under [data]: ")[2] + "\n", encoding="utf-8")
    steps = configuration.read(path).data.preprocess
    assert steps is not None
    return steps


def test_flat_units_of_all_recordings_are_named_at_once_and_the_suggested_line_leaves_them_out(tmp_path: Path) -> None:
    first, other = altered(slice(None), 1, 0.5), altered(slice(None), 2, 0.0)[:, :3]
    first[:200, 3:5] = 7, np.nan
    config = own_files(tmp_path, {"first": first, "other": other}, missing="mask")
    with pytest.raises(DataError, match=r"'first': .*: n1, n3, n4 \(3 of 6\); .*'other': .*: n9 \(1 of 3\)") as caught:
        recordings_from_config(config)
    steps = pasted(tmp_path, caught.value)
    assert steps[0] == {"step": "select", "drop": ["n1", "n3", "n4", "n9"], "absent": "skip"}
    got = recordings_from_config(own_files(tmp_path, {"first": first, "other": other}, preprocess=steps))
    assert [one.units for one in got] == [("n0", "n2", "n5"), ("n0",)]
    with pytest.raises(DataError, match=r"'n1' does not change.*; .*'n4' is not observed.*drop = \[.n1., .n3., .n4.\]"):
        Cohort.from_recordings(
            recordings_from_config(own_files(tmp_path, {"first": first}, preprocess=(), missing="mask"))
        ).change_variance()


@pytest.mark.filterwarnings("error")
def test_a_unit_without_values_is_left_out_by_select_or_by_missing(tmp_path: Path) -> None:
    values = altered(slice(None), 2, np.nan)
    with pytest.raises(DataError, match=r"without any observed value: n2 \(1 of 6\).*missing='mask'.*'select'"):
        recordings_from_config(own_files(tmp_path, {"a": values}))
    (masked,) = recordings_from_config(own_files(tmp_path, {"a": values}, missing="mask"))
    assert masked.notes["cautions"] == ["1 units without any observed value are left out: n2"]
    steps = ({"step": "select", "drop": ["n2"]}, {"step": "scale"})
    (chosen,) = recordings_from_config(own_files(tmp_path, {"a": values}, preprocess=steps))
    assert masked.units == chosen.units == ("n0", "n1", "n3", "n4", "n5") and "cautions" not in chosen.notes
    values[5, 0] = np.nan
    with pytest.raises(DataError, match="the first at frame 0, unit 'n2'"):
        recordings_from_config(own_files(tmp_path, {"a": values}, preprocess=steps))


def test_the_suggested_line_fits_and_cautions_are_kept_with_the_run(tmp_path: Path) -> None:
    path = write_files(tmp_path)
    for name, column, value in (("movie1", 2, 0.5), ("movie2", 5, np.nan)):
        with np.load(tmp_path / f"{name}.npz") as archive:
            arrays = dict(archive)
        arrays["values"][:, column] = value
        np.savez(tmp_path / f"{name}.npz", **arrays, scale=1.0)
    text = path.read_text().replace("epochs = 4\nfree_run_epochs = 2", "epochs = 1\nfree_run_epochs = 0")
    path.write_text(text.replace('"movie2.npz"]', '"movie2.npz"]\nmissing = "mask"'))
    with pytest.raises(DataError, match=r"'movie1': units .*: n2 \(1 of 8\)\. Leave them out") as caught:
        prepare(configuration.read(path))
    line = str(caught.value).partition("under [data]: ")[2]
    path.write_text(path.read_text().replace("[data]\n", f"[data]\n{line}\n"))
    job = prepare(configuration.read(path))
    assert job.cohort.units == ("n0", "n1", "n3", "n4", "n5", "n6", "n7") and "n5" not in job.cohort.recordings[1].units
    assert job.fit().history
    copy = replace(job.cohort.recordings[0], name="copy")
    twins = replace(job, cohort=replace(job.cohort, recordings=(*job.cohort.recordings, copy)))
    assert any("movie1 and copy have the same values" in caution for caution in twins.cautions())
    left_out = "movie2: 1 units without any observed value are left out: n5"
    assert {"movie1: arrays that are not read: scale", left_out} <= set(job.cautions())
