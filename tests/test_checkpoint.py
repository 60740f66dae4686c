"""Files of arrays are complete or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from connfit import _io
from connfit._io import read_arrays, replacing_together, write_arrays, write_bytes, write_json
from connfit.errors import DataError

dtypes = st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_])
arrays = st.dictionaries(
    st.text("abcxyz/_.", min_size=1, max_size=6).filter(lambda name: name.strip("/.") == name and "//" not in name),
    hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
    max_size=3,
)
facts = st.dictionaries(st.text(max_size=5), st.none() | st.floats(allow_nan=False) | st.text(max_size=5), max_size=3)


@given(arrays, facts)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, named: dict, meta: dict) -> None:
    path = tmp_path_factory.mktemp("arrays") / "state.npz"
    write_arrays(path, named, meta)
    got, got_meta = read_arrays(path)
    assert got_meta == meta and set(got) == set(named)
    for key, value in named.items():
        assert got[key].dtype == value.dtype and got[key].shape == value.shape
        assert got[key].tobytes() == value.tobytes()
    assert os.listdir(path.parent) == ["state.npz"]


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "state.npz"
    write_arrays(path, {"a": np.arange(1000.0), "b": np.arange(5)}, {"epoch": 3})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(DataError, match=r"state.npz: damaged, or not written by connfit"):
        read_arrays(path)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_anywhere_is_named_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damage") / "state.npz"
    named = {"a": np.arange(6.0), "b": np.arange(3)}
    write_arrays(path, named, {"epoch": 3})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        got, meta = read_arrays(path)
    except DataError as error:
        assert "damaged, or not written by connfit" in str(error)
    else:
        assert meta == {"epoch": 3}
        for key, value in named.items():
            np.testing.assert_array_equal(got[key], value)


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    with pytest.raises(DataError, match=r"other.npz: no such file"):
        read_arrays(path)
    np.savez(path, a=np.arange(3))
    with pytest.raises(DataError, match="not written by connfit"):
        read_arrays(path)
    np.savez(path, __meta__=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="not written by connfit"):
        read_arrays(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(DataError, match="not written by connfit"):
        read_arrays(path)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.npz"
    write_arrays(path, {"a": np.zeros(3)})
    write_bytes(tmp_path / "table.csv", b"old")

    def crash(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(_io.os, "fsync", crash)
    with pytest.raises(OSError, match="no space"):
        write_arrays(path, {"a": np.ones(3)})
    with pytest.raises(OSError, match="no space"):
        write_bytes(tmp_path / "table.csv", b"new")
    assert (tmp_path / "table.csv").read_bytes() == b"old"
    np.testing.assert_array_equal(read_arrays(path)[0]["a"], np.zeros(3))


def test_files_that_belong_together_are_never_of_two_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / name for name in ("a.npz", "b.csv", "c.json")]
    real, calls = os.replace, 0

    def write(text: str) -> None:
        with replacing_together(*places) as files:
            for file in files:
                file.write_text(text)

    def crash(*names: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        real(*names)

    monkeypatch.setattr(_io.os, "replace", crash)
    for at in (0, 1, 2, 3):
        calls = 10
        write("old")
        calls = 0
        with contextlib.suppress(KeyboardInterrupt):
            write("new")
        found = {path.read_text() for path in places if path.exists()}
        assert places[-1].exists() == (at == 0) and (not at or len(found) <= 2)
        assert {path.name for path in tmp_path.iterdir()} <= {path.name for path in places}


def test_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"loss": 1.5})
    with pytest.raises(ValueError, match="loss is nan"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{\n  "loss": 1.5\n}\n'
