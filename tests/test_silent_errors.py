"""Recordings that are wrong though they can be read: right, one clear error, or one caution, and never silence."""

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
import pytest
from recording_files import TIMES, UNITS, VALUES, write_csv, write_hdf5, write_npz, write_nwb

from connfit._io import read_arrays, read_json, require_file
from connfit.connectome.table_files import read_table
from connfit.errors import ConfigError, DataError, DataWarning
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.plausibility import implausible
from connfit.recordings.readers import read_recording
from connfit.recordings.readers.frames import frame_times

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
        (tmp_path / "absent.csv", "no such file"),
        (write_csv(tmp_path / "r.csv") / "below.csv", "no such file"),
    ):
        with pytest.raises(DataError, match=cause):
            require_file(path)
    with pytest.raises(ConfigError, match="longer than a file name can be"):
        require_file(tmp_path / ("a" * 300))
