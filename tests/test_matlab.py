"""The reader of MATLAB's files: what it takes for values, units and times, in both kinds of files; what it refuses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from connfit.errors import ConfigError, ConnfitError, DataError, DataWarning
from connfit.recordings.readers import read_recording

FRAMES, RATE = 30, 4.0
UNITS = ("AVAL", "µ", "720575940600000001", "d")
VALUES = np.random.default_rng(0).normal(size=(FRAMES, len(UNITS)))
TIMES = np.arange(FRAMES) / RATE

Cells = list[str]
"""A cell array of text."""


def write_v5(path: Path, variables: Mapping[str, Any] | None = None, *, packed: bool = False) -> Path:
    savemat(path, _plain(SOME if variables is None else variables), do_compression=packed)
    return path


def write_packed(path: Path, variables: Mapping[str, Any] | None = None) -> Path:
    return write_v5(path, variables, packed=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        cells = np.empty((1, len(value)), object)
        cells[0] = value
        return cells
    return value


def write_v73(path: Path, variables: Mapping[str, Any] | None = None) -> Path:
    """Write as MATLAB does: its header in 512 bytes before the HDF5 file, axes in reverse, classes as attributes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")
        for name, value in (SOME if variables is None else variables).items():
            _put(file, references, name, value)
    with path.open("r+b") as file:
        words = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
        file.write(words.ljust(116) + b"\0" * 8 + b"\x00\x02IM")
    return path


def _put(group: h5py.Group, references: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, each in value.items():
            _put(inner, references, key, each)
        return
    if isinstance(value, str):
        if not value:
            made = group.create_dataset(name, data=np.array([0, 0], np.uint64))
            made.attrs["MATLAB_empty"] = np.uint8(1)
        else:
            made = group.create_dataset(name, data=np.array([[ord(letter)] for letter in value], np.uint16))
        kind = "char"
    elif isinstance(value, list):
        cells = np.empty((len(value), 1), h5py.ref_dtype)
        for row, text in enumerate(value):
            at = f"{len(references)}"
            _put(references, references, at, text)
            cells[row, 0] = references[at].ref
        made, kind = group.create_dataset(name, data=cells, dtype=h5py.ref_dtype), "cell"
    else:
        array = np.atleast_2d(np.asarray(value))
        made = group.create_dataset(name, data=array.T, compression="gzip" if array.size > 50 else None)
        kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(str(array.dtype), str(array.dtype))
    made.attrs["MATLAB_class"] = np.bytes_(kind)


SOME = {"s": {"dff": VALUES, "names": list(UNITS)}, "note": "rest"}
WRITERS: dict[str, Callable[..., Path]] = {"v5": write_v5, "packed": write_packed, "v7.3": write_v73}
both = pytest.mark.parametrize("write", list(WRITERS.values()), ids=list(WRITERS))


@both
def test_values_units_and_rate_are_found(tmp_path: Path, write: Callable[..., Path]) -> None:
    given = {"dff": VALUES, "units": list(UNITS), "frame_rate": RATE}
    got = read_recording(write(tmp_path / "r.mat", given))
    np.testing.assert_array_equal(got.values, VALUES)
    assert got.units == UNITS and got.frame_rate == RATE and got.name == "r" and got.kind == "dff"
    assert got.notes["variables"] == {"values": "dff", "units": "units"} and "cautions" not in got.notes
    got = read_recording(write(tmp_path / "r.mat", {**given, "dff": VALUES.T.astype(np.float32)}), kind="zscore")
    np.testing.assert_array_equal(got.values, VALUES.astype(np.float32))
    assert got.values.dtype == np.float32 and got.kind == "zscore"
    got = read_recording(
        write(tmp_path / "r.mat", {"raw": np.round(VALUES.T * 99).astype(np.int16), "t": TIMES}), time="t"
    )
    np.testing.assert_array_equal(got.values, np.round(VALUES * 99))
    assert got.units == ("column-0", "column-1", "column-2", "column-3") and got.notes["median_interval_s"] == 0.25
    np.testing.assert_array_equal(got.times, TIMES)


@both
def test_variables_are_named_by_options(tmp_path: Path, write: Callable[..., Path]) -> None:
    inner = {"dff": VALUES, "raw": VALUES + 1, "fps": 2.5, "names": [*UNITS]}
    path = write(tmp_path / "r.mat", {"s": inner, "ids": np.array([3, 1, 2, 10], np.int64), "note": "a rest"})
    with pytest.warns(DataWarning, match="variables that are not read: note"):
        got = read_recording(path, values="s.raw", units="ids", rate="s.fps")
    np.testing.assert_array_equal(got.values, VALUES + 1)
    assert got.units == ("3", "1", "2", "10") and got.frame_rate == 2.5
    with pytest.warns(DataWarning, match="not read: ids, note"):
        assert read_recording(path, values="s.dff", units="s.names", frame_rate=3).units == UNITS
    with pytest.raises(ConfigError, match=r"r\.mat: values = 's\.rav' is no variable; did you mean 's\.raw'\?.*s\.dff"):
        read_recording(path, values="s.rav")
    with pytest.raises(DataError, match=r"2 matrices could be the values; .*s\.dff \(30 x 4 double\), .*s\.raw \("):
        read_recording(path)
    with pytest.raises(DataError, match=r"frame rate is not known; the variables are .*s\.fps \(1 x 1 double\)"):
        read_recording(path, values="s.dff", units="s.names")
    with pytest.raises(DataError, match=r"the file says 2\.5 Hz, the option frame_rate = 3 Hz"):
        read_recording(path, values="s.dff", units="s.names", rate="s.fps", frame_rate=3)


@both
def test_rows_are_what_units_and_times_say_or_an_option(tmp_path: Path, write: Callable[..., Path]) -> None:
    square = np.random.default_rng(1).normal(size=(4, 4))
    path = write(tmp_path / "r.mat", {"dff": square, "units": list(UNITS), "frame_rate": RATE})
    with pytest.raises(DataError, match=r"not clear whether the rows of dff \(4 x 4\) are .*units \(1 x 4 cell\)"):
        read_recording(path)
    np.testing.assert_array_equal(read_recording(path, rows="frames").values, square)
    np.testing.assert_array_equal(read_recording(path, rows="units").values, square.T)
    path = write(tmp_path / "r.mat", {"dff": VALUES, "frame_rate": RATE})
    with pytest.raises(DataError, match=r"not clear whether the rows of dff \(30 x 4\) are frames or units"):
        read_recording(path)
    assert read_recording(path, rows="frames").frames == FRAMES
    path = write(tmp_path / "r.mat", {"dff": VALUES, "units": list(UNITS[:3]), "time_s": TIMES})
    with pytest.raises(DataError, match=r"dff is 30 x 4, which does not fit 3 names of units and 30 times; the"):
        read_recording(path)
    with pytest.raises(ConfigError, match="rows is 'time'"):
        read_recording(path, rows="time")


@both
@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"dff": VALUES + 1j}, {}, r"no matrices could be the values; .*dff \(30 x 4 complex\)"),
        ({"dff": VALUES > 0}, {}, r"no matrices could be the values; .*logical"),
        ({"dff": VALUES + 1j}, {"values": "dff"}, r"dff \(30 x 4 complex\) holds no real numbers"),
        ({"units": np.arange(4) + 0.5}, {}, r"units \(1 x 4 double\) holds numbers that are not whole"),
        ({"units": np.arange(4) + 7.2e17}, {}, r"units \(1 x 4 double\) .*above 2\^53 exactly"),
        ({"units": {"a": 1.0}}, {"units": "units"}, r"units"),
        ({"units": ["a", "b", "a", "c"]}, {}, r"unit names repeat: a"),
        ({"units": ["a", "b", "", "c"]}, {}, r"units without a name in columns 2"),
        ({"frame_rate": np.array([1.0, 2.0])}, {}, r"frame_rate \(1 x 2 double\) is no single number"),
        ({"frame_rate": -1.0}, {}, r"frame_rate = -1\.0 is not a positive number"),
        ({"time_s": TIMES * 2}, {}, r"frame_rate = 4 Hz, but the frame times give 2 Hz"),
        ({"time_s": VALUES}, {"values": "dff"}, r"time_s has shape \(30, 4\)"),
        ({"dff": np.where(np.arange(4) == 1, np.nan, VALUES)}, {}, r"30 values are missing .*unit 'µ'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(
    tmp_path: Path, write: Callable[..., Path], changes: dict, options: dict, message: str
) -> None:
    path = write(tmp_path / "r.mat", {"dff": VALUES, "units": list(UNITS), "frame_rate": RATE, **changes})
    with pytest.raises(ConnfitError, match=rf"r\.mat: .*{message}"):
        read_recording(path, **options)


def test_rows_of_characters_are_names(tmp_path: Path) -> None:
    savemat(tmp_path / "r.mat", {"dff": VALUES, "units": np.array(["AVAL", "b", "cc", "d"]), "frame_rate": 1.0})
    assert read_recording(tmp_path / "r.mat").units == ("AVAL", "b", "cc", "d")


@pytest.mark.filterwarnings("ignore::connfit.errors.DataWarning")
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(WRITERS)))
def test_any_matrix_comes_back(tmp_path_factory: pytest.TempPathFactory, seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    frames, columns = (int(size) for size in rng.integers(2, 9, 2))
    values = (rng.normal(size=(frames, columns)) * 10.0 ** rng.integers(-4, 5)).astype(rng.choice(["f4", "f8"]))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[0] = 1
    names = [f"{k} {chr(rng.integers(0x3B1, 0x3C9))}" for k in range(columns)]
    rows = rng.choice(["frames", "units"])
    given = {"m": values if rows == "frames" else values.T, "units": names, "frame_rate": 2.0}
    path = WRITERS[name](tmp_path_factory.mktemp("m") / "r.mat", given)
    got = read_recording(path, rows=str(rows), missing="mask")
    np.testing.assert_array_equal(got.values, values)
    assert got.units == tuple(names)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def array(which: int, shape: tuple[int, ...], name: bytes, *rest: bytes) -> bytes:
    head = element(6, struct.pack("<II", which, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(rest))


def stored(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def packed(content: bytes) -> bytes:
    squeezed = zlib.compress(content)
    return struct.pack("<II", 15, len(squeezed)) + squeezed


HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (stored(array(6, (HUGE, HUGE), b"dff", element(9, b"\0" * 64))), r"claims the shape \(2147483647, 2"),
        (stored(array(1, (HUGE, HUGE), b"units", element(14, b""))), r"claims 4,611,686,014,132,420,609 cells"),
        (stored(array(2, (HUGE, 1), b"s", element(5, b"\4\0\0\0"), element(1, b"abc\0"))), r"claims 2,147,483,647"),
        (stored(array(4, (1, HUGE), b"units", element(4, b"ab"))), r"claims the shape \(1, 2147483647\)"),
        (stored(struct.pack("<II", 14, 2**32 - 8)), r"an element of 4,294,967,288 bytes, of which there are 0"),
        (stored(packed(array(6, (1, 2), b"dff", element(9, b"\0" * 16))))[:-6], r"an element of|ends early"),
        (stored(array(6, (-1, 2), b"dff", element(9, b""))), r"an array of shape \(-1, 2\)"),
        (b"\0\0\0\0" * 50, r"no MAT-file, or one of version 4"),
        (stored(), r"136|no MAT-file"),
    ],
)  # fmt: skip
def test_claimed_sizes_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"r\.mat: .*({message})"):
        read_recording(path)


def test_what_unpacks_to_more_than_a_file_may_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNFIT_MAX_BYTES", "1000000")
    (tmp_path / "r.mat").write_bytes(stored(packed(b"\0" * 20_000_000)))
    with pytest.raises(DataError, match=r"r\.mat: one of its variables would take"):
        read_recording(tmp_path / "r.mat")


def test_cells_within_cells_end(tmp_path: Path) -> None:
    deep = array(6, (1, 1), b"", element(9, b"\0" * 8))
    for _ in range(3000):
        deep = array(1, (1, 1), b"", deep)
    (tmp_path / "r.mat").write_bytes(stored(array(1, (1, 1), b"units", deep)))
    with pytest.raises(DataError, match=r"r\.mat: .*too deep"):
        read_recording(tmp_path / "r.mat")


def test_a_file_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "r.mat", {"units": list(UNITS), "frame_rate": RATE})
    with h5py.File(path, "r+") as file:
        file["dff"] = h5py.ExternalLink("other.mat", "/dff")
    with pytest.raises(DataError, match=r"/dff is a link in another file"):
        read_recording(path)


def test_a_group_that_holds_itself_is_listed_once(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "r.mat", {"s": {"dff": VALUES, "names": list(UNITS)}})
    with h5py.File(path, "r+") as file:
        for number in range(20):
            file[f"s/again{number}"] = file["s"]
    got = read_recording(path, values="s.dff", units="s.names", frame_rate=1.0)
    np.testing.assert_array_equal(got.values, VALUES)
