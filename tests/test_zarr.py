"""Zarr stores as zarr and xarray write them: round trips, and what is lost, damaged or claimed."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import FRAMES, RATE, TIMES, UNITS, VALUES, write_hdf5, write_zarr

from connfit.errors import ConfigError, DataError, UnclearError
from connfit.recordings import Recording
from connfit.recordings.readers import find_reader, read_recording

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore::connfit.errors.DataWarning")
writes_zarr = pytest.mark.skipif(
    tuple(map(int, xr.__version__.split(".")[:2])) < (2025, 6),
    reason="xarray before 2025.6 writes no Zarr with zarr 3.1.3",
)
both = pytest.mark.parametrize("version", [2, 3])

PACKERS: dict[int, list[Any]] = {
    2: [None, *({"id": packer} for packer in ("zstd", "lz4", "gzip", "zlib", "blosc"))],
    3: [None, {"name": "zstd", "configuration": {"level": 1, "checksum": True}}, zarr.codecs.GzipCodec(),
        zarr.codecs.BloscCodec(cname="zlib")],
}  # fmt: skip


def compressor(version: int, number: int) -> Any:
    import numcodecs

    found = PACKERS[version][number % len(PACKERS[version])]
    return numcodecs.get_codec(found) if version == 2 and found else found


def made(
    folder: Path, values: np.ndarray, *, version: int = 3, packer: int = 1, name: str = "r.zarr", **options: Any
) -> Path:
    """A store with one array of values, of which nothing else is said."""
    path = folder / name
    shutil.rmtree(path, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.create_array(path, data=values, zarr_format=version, compressors=compressor(version, packer), **options)
    return path


def packed(folder: Path) -> Path:
    """The archive of what is in a folder."""
    path = folder.with_suffix(".zarr.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def changed(path: Path, **values: Any) -> None:
    """Change the metadata of an array or a store."""
    file = next(path / name for name in ("zarr.json", ".zarray") if (path / name).exists())
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def same(got: Recording, values: np.ndarray) -> None:
    np.testing.assert_array_equal(got.values, np.asarray(values, got.values.dtype))


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 30), st.integers(1, 5)),
    chunks=st.tuples(st.integers(1, 9), st.integers(1, 5)),
    dtype=st.sampled_from(["f2", "<f4", ">f4", "f8", "i2", "u1", "i8"]),
    version=st.sampled_from([2, 3]),
    packer=st.integers(0, 5),
    sharded=st.booleans(),
    archive=st.booleans(),
    order=st.sampled_from(["C", "F"]),
)
def test_what_zarr_writes_is_read(
    shape: tuple[int, int], chunks: tuple[int, int], dtype: str, version: int, packer: int, sharded: bool,
    archive: bool, order: str,
) -> None:  # fmt: skip
    rng = np.random.default_rng(shape[0])
    values = rng.integers(1, 100, shape).astype(dtype)
    parts = tuple(min(sizes) for sizes in zip(shape, chunks, strict=True))
    shards = {"shards": (2 * parts[0], parts[1])} if sharded and version == 3 else {}
    turned = {"order": order} if version == 2 else {}
    with tempfile.TemporaryDirectory() as place:
        path = made(Path(place), values, version=version, packer=packer, chunks=parts, **shards, **turned)
        got = read_recording(packed(path) if archive else path, frame_rate=RATE)
        same(got, values)
        assert got.name == "r" and got.units == tuple(f"column-{k}" for k in range(shape[1]))


@writes_zarr
@settings(max_examples=8, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 30), st.integers(1, 5)),
    version=st.sampled_from([2, 3]),
    turned=st.booleans(),
    ids=st.booleans(),
    scaled=st.booleans(),
    archive=st.booleans(),
)
def test_what_xarray_writes_is_read_as_its_netcdf(
    shape: tuple[int, int], version: int, turned: bool, ids: bool, scaled: bool, archive: bool
) -> None:
    values = np.random.default_rng(shape[1]).integers(1, 1000, shape).astype(np.float64)
    clock = xr.Variable("time", np.arange(shape[0]) * 500.0, {"units": "ms"})
    names = [2**53 + k for k in range(shape[1])] if ids else [f"é{k}" for k in range(shape[1])]
    array = xr.DataArray(values, dims=("time", "neuron"), coords={"time": clock, "neuron": names}, name="dff")
    packing = {"dff": {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -1}} if scaled else {}
    if turned:
        array = array.T
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / "r.zarr"
        array.to_dataset().to_zarr(path, zarr_format=version, encoding=packing)
        array.to_netcdf(Path(place) / "r.nc", engine="h5netcdf", encoding=packing)
        got, other = read_recording(packed(path) if archive else path), read_recording(Path(place) / "r.nc")
    same(got, values)
    np.testing.assert_array_equal(got.values, other.values)
    assert got.units == other.units == tuple(map(str, names)) and got.frame_rate == other.frame_rate == 2.0


@both
def test_names_times_and_attributes_are_those_of_hdf5(tmp_path: Path, version: int) -> None:
    names = ["AVAL", "", "é 3"]
    path = write_zarr(tmp_path / "r.zarr", units=names, zarr_format=version)
    got = read_recording(path)
    other = read_recording(write_hdf5(tmp_path / "r.h5", units=names))
    assert got.units == other.units == ("AVAL", "unlabelled-001@animal-1", "é 3")
    np.testing.assert_array_equal(got.times, other.times)
    same(got, VALUES)
    assert got.name == "animal-1" and got.notes == {**other.notes, "file": "r.zarr"}
    assert find_reader(path).name == "zarr"


def test_text_of_any_length_names_units(tmp_path: Path) -> None:
    for version in (2, 3):
        path = write_zarr(tmp_path / f"{version}.zarr", zarr_format=version)
        shutil.rmtree(path / "neuron")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            group = zarr.open_group(path, mode="r+")
            words = group.create_array("neuron", shape=(3,), dtype="str", chunks=(2,))
            words[:] = np.array(["A" * 300, "b", "é"], object)
        assert read_recording(path).units == ("A" * 300, "b", "é")


@both
def test_a_chunk_that_was_not_written_is_said_or_missing(tmp_path: Path, version: int) -> None:
    inside = "c/1/0" if version == 3 else "1.0"
    path = made(tmp_path, VALUES, version=version, chunks=(10, 3), fill_value=0.0)
    (path / inside).unlink()
    for each in (path, packed(path)):
        with pytest.raises(DataError, match=rf"chunk {inside} was not written.*fill value 0.*absent_chunks = 'fill'"):
            read_recording(each, frame_rate=RATE)
    got = read_recording(path, frame_rate=RATE, absent_chunks="fill")
    assert (got.values[10:20] == 0).all() and f"1 of 4, the first {inside}" in str(got.notes["cautions"])
    same(read_recording(path, frame_rate=RATE, absent_chunks="fill"), np.where(got.values == 0, 0, VALUES))
    path = made(tmp_path, VALUES, version=version, chunks=(10, 3), fill_value=np.nan, name="nan.zarr")
    (path / inside).unlink()
    with pytest.raises(DataError, match="30 values are missing"):
        read_recording(path, frame_rate=RATE)
    got = read_recording(path, frame_rate=RATE, missing="mask")
    assert not got.mask[10:20].any() and got.mask[:10].all() and inside in str(got.notes["cautions"])


def test_a_chunk_that_a_shard_lacks_is_said(tmp_path: Path) -> None:
    path = made(tmp_path, VALUES, chunks=(10, 3), shards=(20, 3), fill_value=0.0)
    values = VALUES.copy()
    values[10:20] = 0
    zarr.open_array(path, mode="r+")[:] = values
    with pytest.raises(DataError, match=r"chunk c/0/0\[1,0\] was not written"):
        read_recording(path, frame_rate=RATE)
    same(read_recording(path, frame_rate=RATE, absent_chunks="fill"), values)


@both
def test_what_is_claimed_is_bounded(tmp_path: Path, version: int) -> None:
    path = made(tmp_path, VALUES, version=version, chunks=(10, 3), fill_value=np.nan)
    for shape in ([10**12, 3], [10**6, 1000], [40, 10**9]):
        changed(path, shape=shape)
        with pytest.raises(DataError, match=r"of which the store holds|would take"):
            read_recording(path, frame_rate=RATE, missing="mask")
    changed(path, shape=[4 * 10**5, 3])
    if version == 2:
        changed(path, chunks=[1, 1])
    with pytest.raises(DataError, match=r"chunks, and the store [56] files"):
        read_recording(path, frame_rate=RATE, missing="mask")
    changed(path, shape=[40, 3], **({"chunks": [2**40, 2**40]} if version == 2 else {}))
    if version == 3:
        grid = {"name": "regular", "configuration": {"chunk_shape": [2**40, 2**40]}}
        changed(path, chunk_grid=grid)
    with pytest.raises(DataError, match="of which the store holds"):
        read_recording(path, frame_rate=RATE)


@pytest.mark.parametrize("packer", ["gzip", "zlib", "zstd", "lz4", "blosc"])
def test_a_chunk_that_unpacks_to_more_than_a_chunk_is_refused(tmp_path: Path, packer: str) -> None:
    import numcodecs

    codec = numcodecs.get_codec({"id": packer})
    path = made(tmp_path, VALUES, version=2, packer=PACKERS[2].index({"id": packer}))
    same(read_recording(path, frame_rate=RATE), VALUES)
    (path / "0.0").write_bytes(codec.encode(np.zeros(1 << 23, np.uint8)))
    with pytest.raises(DataError, match=r"chunk 0\.0 unpacks to more than the 4,194,304 bytes"):
        read_recording(path, frame_rate=RATE)


def test_objects_of_python_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path, VALUES, version=2)
    for codec in ("pickle", "json2", "msgpack2"):
        changed(path, dtype="|O", filters=[{"id": codec}])
        with pytest.raises(DataError, match=f"{codec}, which is not read here"):
            read_recording(path, frame_rate=RATE)
    changed(path, dtype="|O", filters=None)
    with pytest.raises(DataError, match="holds objects of Python"):
        read_recording(path, frame_rate=RATE)
    path = made(tmp_path, VALUES)
    told = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    changed(path, codecs=[{"name": "numcodecs.pickle"}, *told["codecs"]])
    with pytest.raises(DataError, match="pickle, which is not read here"):
        read_recording(path, frame_rate=RATE)
    changed(path, codecs=[*told["codecs"], *told["codecs"][1:]])
    with pytest.raises(DataError, match="packed twice"):
        read_recording(path, frame_rate=RATE)


def test_a_link_in_a_store_is_not_followed(tmp_path: Path) -> None:
    path = made(tmp_path, VALUES)
    (tmp_path / "elsewhere").write_bytes((path / "c/0/0").read_bytes())
    (path / "c/0/0").unlink()
    (path / "c/0/0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="c/0/0 is a link"):
        read_recording(path, frame_rate=RATE)


def test_what_is_not_clear_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    group = zarr.open_group(path, mode="w")
    for name in ("raw", "clean"):
        group.create_array(name, data=VALUES)
    with pytest.raises(UnclearError, match=r"2 arrays could be the values.*clean \(40, 3\)") as caught:
        read_recording(path)
    assert set(caught.value.choices) == {"raw", "clean"}
    with pytest.raises(ConfigError, match="did you mean 'clean'"):
        read_recording(path, values="claen")
    with pytest.raises(UnclearError, match="frame rate is not known"):
        read_recording(path, values="clean")
    got = read_recording(path, values="clean", frame_rate=RATE)
    same(got, VALUES)
    assert "raw" in str(got.notes["cautions"]) and got.frames == FRAMES
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(path / "zarr.json", "r.zarr/zarr.json")
    with pytest.raises(DataError, match=r"The store lies in r\.zarr: pack what is in it"):
        read_recording(outer)


def test_times_of_other_units_are_refused(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "r.zarr", times=TIMES)
    zarr.open_array(path, path="time_s", mode="r+").attrs["units"] = "ms"
    with pytest.raises(DataError, match="unit of time_s is 'ms'"):
        read_recording(path)
    assert UNITS == read_recording(write_zarr(tmp_path / "s.zarr")).units
