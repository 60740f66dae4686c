"""Files that claim, or unpack to, far more than they hold: refused before memory is taken."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from bounded import outcomes
from recording_files import write_csv
from test_turner import TABLE

from connfit._system import unpacked
from connfit._system.hdf5_guard import check_written
from connfit.connectome.table_files import read_table
from connfit.datasets.turner_files import LABELS, read_archive
from connfit.errors import DataError
from connfit.recordings.readers import read_recording

BLOCK = gzip.compress(b"0" * (1 << 24))
"""16 MB in 16 kB; members of gzip may follow each other."""


def read_any(path: Path) -> None:
    """Read a file as what its name says."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            check_written(file["values"], path)  # type: ignore[arg-type]
    elif path.suffix == ".npz" or "recording" in path.name:
        read_recording(path, missing="mask")
    elif ".tar" in path.name:
        read_archive(path)
    else:
        read_table(path, "edges").text("pre")


def gzip_of(size: int, *, first: bytes = b"pre,post\n", lie: bool = False) -> bytes:
    """Lines of zeros, packed; the last member says that it is small, if it lies."""
    line = gzip.compress((b"0,0\n" * (1 << 22))[: 1 << 24])
    packed = gzip.compress(first) + line * (size >> 24)
    return packed + (gzip.compress(b"0,0\n") if lie else b"")


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def response(number: int, content: bytes, **about: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(f"data/ito_responses/ito_2018-11-03_{number}.pkl")
    for name, value in about.items():
        setattr(member, name, value)
    return member, content


def parquet_of(text: str, rows: int) -> bytes:
    stream = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text])).cast(pa.string())
    pq.write_table(pa.table({"pre": column}), stream)
    return stream.getvalue()


def feather_of(column: pa.Array, compression: str = "uncompressed") -> bytes:
    stream = io.BytesIO()
    feather.write_feather(pa.table({"pre": column}), stream, compression=compression)
    return stream.getvalue()


def views(text: str, rows: int) -> pa.Array:
    """Rows that all point at one text."""
    view = struct.pack("<i4sii", len(text), text[:4].encode(), 0, 0)
    return pa.Array.from_buffers(pa.string_view(), rows, [None, pa.py_buffer(view * rows), pa.py_buffer(text.encode())])


def lying_feather() -> bytes:
    """A compressed buffer that says that it unpacks to 2^40 bytes."""
    content = bytearray(feather_of(pa.array(np.zeros(10_000, np.int64)), "lz4"))
    said = struct.pack("<q", 80_000)
    assert content.count(said) == 1
    return bytes(content.replace(said, struct.pack("<q", 1 << 40)))


def npz_of(names: list[str]) -> bytes:
    """Members of 40 MB of zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": (10_000, 4_000)}
                )
                file.write(bytes(40_000_000))
    return stream.getvalue()


def hdf5_of(path: Path, shape: tuple[int, int], **how: object) -> bytes:
    with h5py.File(path, "w") as file:
        file.create_dataset("values", shape, "f4", **how)  # type: ignore[arg-type]
        file["units"] = np.array(["a", "b"], "S")
        file["frame_rate"] = 3.0
    return path.read_bytes()


def bomb_chunk(path: Path, size: int) -> bytes:
    """A chunk of 8,000 bytes that unpacks to `size`."""
    hdf5_of(path, (1000, 2), chunks=(1000, 2), compression="gzip")
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(size >> 24)) + packer.flush()
    with h5py.File(path, "r+") as file:
        file["values"].id.write_direct_chunk((0, 0), packed)  # type: ignore[union-attr]
    return path.read_bytes()


def packed_zeros(path: Path) -> bytes:
    """80 MB of zeros, all of them written."""
    hdf5_of(path, (10_000_000, 2), chunks=(500_000, 2), compression="gzip")
    packed = zlib.compress(bytes(4_000_000))
    with h5py.File(path, "r+") as file:
        for k in range(20):
            file["values"].id.write_direct_chunk((500_000 * k, 0), packed)  # type: ignore[union-attr]
    return path.read_bytes()


def test_what_is_large_only_when_unpacked_is_refused_in_time(tmp_path: Path) -> None:
    labels = tarfile.TarInfo(f"data/{LABELS}")
    link = response(1, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    device = response(1, b"", type=tarfile.CHRTYPE)
    hidden = tarfile.TarInfo("other")
    zeros = bytes(60_000_000)
    files: dict[str, tuple[bytes, str]] = {
        "oneline.csv.gz": (BLOCK * 2, "first line"),
        "members.tar.gz": (
            tar_of(*(response(k, zeros[:20_000_000]) for k in range(2))),
            "20,000,000 bytes, no regional",
        ),
        "many.tar.gz": (tar_of(*(response(k, zeros[: 1 << 24]) for k in range(4))), "CONNFIT_MAX_BYTES"),
        "hidden.tar.gz": (tar_of((hidden, zeros)), "CONNFIT_MAX_BYTES"),
        "link.tar.gz": (tar_of(link, (labels, TABLE.encode())), "is no plain file"),
        "device.tar.gz": (tar_of(device, (labels, TABLE.encode())), "is no plain file"),
        "empty.tar.gz": (b"\x1f\x8b", "damaged"),
        "rows.parquet": (parquet_of("0", 10_000_000), "CONNFIT_MAX_BYTES"),
        "text.parquet": (parquet_of("0" * 100_000, 1000), "CONNFIT_MAX_BYTES"),
        "zeros.feather": (feather_of(pa.array(np.zeros(10_000_000, np.int64)), "zstd"), "CONNFIT_MAX_BYTES"),
        "lying.feather": (lying_feather(), "CONNFIT_MAX_BYTES"),
        "words.feather": (
            feather_of(pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), pa.array(["0" * 100_000]))),
            "CONNFIT_MAX_BYTES",
        ),
        "views.feather": (feather_of(views("0" * 100_000, 1000)), "CONNFIT_MAX_BYTES"),
        "two.npz": (npz_of(["values", "other"]), "CONNFIT_MAX_BYTES"),
        "chunk.h5": (bomb_chunk(tmp_path / "made.h5", 1 << 28), "unpacks to more than"),
        "zeros.h5": (packed_zeros(tmp_path / "made.h5"), "CONNFIT_MAX_BYTES"),
    }
    paths = []
    for name, (content, _) in files.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    said = outcomes("test_sizes:read_any", paths, environment={"CONNFIT_MAX_BYTES": "50000000"})
    for path, line in zip(paths, said, strict=True):
        assert files[path.name][1] in line and path.name in line and "\n" not in line, (path.name, line)


def test_packed_text_is_refused_by_default(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("edges.csv.gz", "lying.csv.gz", "recording.csv.gz")]
    paths[0].write_bytes(gzip_of(3 << 30))
    paths[1].write_bytes(gzip_of(3 << 30, lie=True))
    paths[2].write_bytes(gzip_of(3 << 30, first=b"time_s,a\n"))
    for path, said in zip(paths, outcomes("test_sizes:read_any", paths), strict=True):
        assert "set CONNFIT_MAX_BYTES" in said and path.name in said, said


def test_the_bound_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "a.csv")
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr(unpacked, "SMALL", 10)
    monkeypatch.setattr(unpacked, "GROWTH", 1)
    for lie in (b"", gzip.compress(b"")):
        packed.write_bytes(gzip.compress(path.read_bytes()) + lie)
        monkeypatch.delenv("CONNFIT_MAX_BYTES", raising=False)
        with pytest.raises(DataError, match=r"b\.csv\.gz: it .* bytes.* set CONNFIT_MAX_BYTES"):
            read_recording(packed)
        monkeypatch.setenv("CONNFIT_MAX_BYTES", str(path.stat().st_size))
        np.testing.assert_array_equal(read_recording(packed).values, read_recording(path).values)


def test_tables_are_read_as_they_were(tmp_path: Path) -> None:
    """Text that is looked at before it is written out has the same values and types."""
    table = pa.table(
        {
            "pre": pa.array(["a", None, "é"]), "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "large": pa.array(["a", "b", None], pa.large_string()), "n": [1, 2, 3],
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    for compression in ("uncompressed", "lz4", "zstd"):
        path = tmp_path / f"{compression}.feather"
        feather.write_feather(table, path, compression=compression)
        assert read_table(path, "edges").data.to_pylist() == table.to_pylist()
    found = read_table(tmp_path / "a.parquet", "edges").data
    assert found.to_pylist() == table.to_pylist() and found.schema.types == table.schema.types
    assert read_table(tmp_path / "a.parquet", "edges", columns=["n", "pre"]).data.to_pylist() == [
        {"n": row["n"], "pre": row["pre"]} for row in table.to_pylist()
    ]
