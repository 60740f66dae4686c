"""Zarr stores for `fuzz`, as archives and as folders, of which several files are damaged."""

from __future__ import annotations

import io
import random
import shutil
import warnings
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import xarray as xr
import zarr
from fuzz import Kind
from fuzz_changes import as_bytes, as_json, mutate
from recording_files import RATE, TIMES, UNITS, VALUES, write_zarr

from connfit._io import DAMAGE
from connfit.recordings.readers import read_recording

PACKERS = ("zstd", "lz4", "gzip", "zlib", "blosc")


def zarr_kinds(folder: Path) -> dict[str, Kind]:
    """Stores of versions 2 and 3, with every packer, sharded, and as xarray writes them."""
    place = folder / "zarr"
    place.mkdir()
    good = tuple(_good(place))
    opened = place / "opened.zarr"

    def read_folder(path: Path) -> None:
        shutil.rmtree(opened, ignore_errors=True)
        opened.mkdir()
        try:
            with zipfile.ZipFile(path) as archive:
                inside = {name: archive.read(name) for name in archive.namelist()}
        except DAMAGE:
            return  # Of a change that could not be made: there is no folder in it.
        for name, content in inside.items():
            file = opened / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _read(opened)

    return {
        "store.zarr.zip": Kind(".zarr.zip", good, _read, stored),
        "store.zarr": Kind(".zip", good, read_folder, members),
    }


def _read(path: Path) -> None:
    read_recording(path, missing="mask", absent_chunks="fill")


def _good(place: Path) -> list[bytes]:
    found = [write_zarr(place / f"{version}.zarr.zip", zarr_format=version) for version in (2, 3)]
    clock = xr.Variable("time", TIMES, {"units": "s"})
    array = xr.DataArray(VALUES, dims=("time", "neuron"), coords={"time": clock, "neuron": list(UNITS)}, name="dff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for version in (2, 3):
            found.append(place / f"x{version}.zip")
            with zarr.storage.ZipStore(found[-1], mode="w") as store:
                array.to_dataset().to_zarr(store, zarr_format=version, consolidated=False)
        for packer in PACKERS:
            found.append(place / f"{packer}.zip")
            with zarr.storage.ZipStore(found[-1], mode="w") as store:
                group = zarr.open_group(store, mode="w", zarr_format=2)
                packed = {"chunks": (10, 3), "compressors": numcodecs.get_codec({"id": packer})}
                group.create_array("dff", data=VALUES, **packed)
                group.create_array("time_s", data=TIMES)
                words = group.create_array("neuron", shape=(3,), dtype="str")
                words[:] = np.array(UNITS, object)
        found.append(place / "sharded.zip")
        with zarr.storage.ZipStore(found[-1], mode="w") as store:
            group = zarr.open_group(store, mode="w")
            group.create_array("dff", data=VALUES, chunks=(5, 3), shards=(20, 3))
            group.create_array("frame_rate", data=np.array(RATE))
            words = group.create_array("neuron", shape=(3,), dtype="str")
            words[:] = np.array(UNITS, object)
    return [path.read_bytes() for path in found]


def members(content: bytes, rng: random.Random) -> bytes:
    """Change, exchange, move or remove a few files of a store; the archive stays whole."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(sorted(inside))
        match rng.randrange(8):
            case 0 if len(inside) > 1:
                del inside[name]
            case 1:
                other = rng.choice(sorted(inside))
                inside[name], inside[other] = inside[other], inside[name]
            case 2:
                inside[name] = b""
            case _ if inside[name][:1] == b"{":
                inside[name] = as_json(inside[name], rng) if rng.random() < 0.9 else mutate(inside[name], rng)
            case _:
                inside[name] = as_bytes(inside[name], rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in inside.items():
            archive.writestr(zipfile.ZipInfo(name), data, archive.compression)
    return stream.getvalue()


def stored(content: bytes, rng: random.Random) -> bytes:
    """Change files of a store, or the archive itself."""
    return members(content, rng) if rng.random() < 0.8 else as_bytes(content, rng)
