"""Changes of archives, arrays and tables from inside, so that what is damaged is found only once they are open."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from fuzz_changes import TOKENS, Change, as_bytes, as_json, mutate

ODD = (0, 1, -1, 2, 300, 2**31 - 1, 2**40, 2**63 - 1, np.nan, np.inf, -np.inf, 1e308, -1e-300)
"""What numbers in arrays are replaced by."""

DTYPES = ("f2", "f4", "f8", ">f8", "c16", "i1", "i4", "i8", "u8", "?", "U3", "S3", "M8[s]", "V8", "f16")
NAMES = ("x", "", "../x", "/etc/passwd", "a/b", "\u202e", "values", "\x1b[31m", "x" * 300)


def array(values: np.ndarray, rng: random.Random) -> np.ndarray:
    """Change numbers, type or shape."""
    with np.errstate(all="ignore"):
        match rng.randrange(9):
            case 0 if values.ndim == 0 and values.dtype.kind == "U":
                text = str(values)
                changed = as_json(text.encode(), rng) if text.startswith("{") else mutate(text.encode(), rng)
                return np.array(changed.decode("utf-8", "replace"))
            case 1:
                try:
                    return values.astype(rng.choice(DTYPES))
                except (TypeError, ValueError):
                    return values[:0] if values.ndim else values.reshape(1)
            case 2:
                shapes = (values.ravel(), values[None], values[..., None], values.T, np.repeat(values.ravel(), 3))
                return rng.choice(shapes)
            case 3 if values.ndim:
                return values[rng.choice((slice(-1), slice(0), slice(1, None), slice(None, None, -1)))]
            case 4 if values.dtype.kind in "fiu":
                return np.full_like(values, np.array(rng.choice(ODD)).astype(values.dtype))
            case 5:
                return np.random.default_rng(rng.randrange(2**32)).permutation(np.atleast_1d(values))
            case _ if values.size:
                flat = values.copy().ravel()
                at = rng.randrange(flat.size)
                if values.dtype.kind in "US":
                    flat = flat.astype(f"{values.dtype.kind}400")
                    flat[at] = rng.choice(TOKENS)[:400].replace(b"\0", b"").decode("latin-1").encode("ascii", "replace")
                elif values.dtype.kind in "fiu":
                    flat[at] = np.array(rng.choice(ODD)).astype(values.dtype)
                return flat.reshape(values.shape)
            case _:
                return values.reshape(1) if not values.ndim else values


def npz(content: bytes, rng: random.Random) -> bytes:
    """Change one array of an archive, or its name, and pack it anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    match rng.randrange(8):
        case 0:
            del members[name]
        case 1:
            members[rng.choice(NAMES) + ".npy"] = members.pop(name)
        case 2:
            members[name] = as_bytes(members[name], rng)
        case _:
            values = np.load(io.BytesIO(members[name]), allow_pickle=False)
            if name == "__meta__.npy":
                values = np.frombuffer(_facts(values.tobytes(), rng), np.uint8)
            else:
                values = array(values, rng)
            stream = io.BytesIO()
            np.save(stream, values, allow_pickle=False)
            members[name] = stream.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, data in members.items():
            archive.writestr(zipfile.ZipInfo(each[:60000]), data, archive.compression)
    return stream.getvalue()


def _facts(text: bytes, rng: random.Random) -> bytes:
    """What is said beside arrays: most often not their names, without which nothing else is looked at."""
    facts = json.loads(text)
    if rng.random() < 0.1:
        return as_json(text, rng)
    return json.dumps(facts | {"meta": json.loads(as_json(json.dumps(facts["meta"]).encode(), rng))}).encode()


def hdf5(content: bytes, rng: random.Random) -> bytes:
    """Change one dataset, attribute or name; or the places in the heap at which text of any length lies."""
    stream = io.BytesIO(content)
    text: list[tuple[int, int]] = []
    with h5py.File(stream, "r+") as file:
        paths: list[str] = []
        file.visit(paths.append)
        named = {path: file[path] for path in paths}
        datasets = [path for path, found in named.items() if isinstance(found, h5py.Dataset)]
        path = rng.choice(sorted(datasets if datasets and rng.random() < 0.8 else paths))
        found = named[path]
        match rng.randrange(10):
            case 0:
                del file[path]
            case 1:
                file.move(path, rng.choice(("x", "a/b/c", f"{path}x", "\u202e")))
            case 2:
                other = rng.choice(sorted(paths))
                del file[path]
                file[path] = rng.choice(
                    (h5py.SoftLink("/"), h5py.SoftLink(f"/{path}"), h5py.SoftLink(f"/{other}"),
                     h5py.ExternalLink("/etc/passwd", "/"), h5py.ExternalLink("a.h5", f"/{other}"))
                )  # fmt: skip
            case 3:
                holder = rng.choice((file, found))
                names = sorted(holder.attrs) or ["sampling_rate_hz", "units", "name", "drawn"]
                values = (1, -1.5, "x", b"\xff", np.nan, 2**63, [1.0, 2.0], "9" * 5000, np.zeros(0), h5py.Empty("f"))
                holder.attrs[rng.choice(names)] = rng.choice(values)
            case 4 | 5:
                text = [at for each in datasets if (at := _heap_places(named[each]))]
            case _ if isinstance(found, h5py.Dataset) and found.shape is not None:
                _rewritten(file, path, rng)
            case _:
                del file[path]
                file[path] = rng.choice((0, "x", np.zeros((0, 3)), h5py.Empty("f8")))
    return _shared(stream.getvalue(), text, rng) if text else stream.getvalue()


def _rewritten(file: h5py.File, path: str, rng: random.Random) -> None:
    """Write a dataset anew, with other values and another layout."""
    found = file[path]
    attributes, values = dict(found.attrs), found[()]
    if found.dtype.kind == "O":
        values = np.asarray(values, object).ravel()
        values = [one.decode("utf-8", "replace").replace("\0", "") for one in values if isinstance(one, bytes)]
        values = values[: rng.choice((0, 1, len(values), len(values)))] * rng.choice((1, 1, 2))
        if values:
            values[rng.randrange(len(values))] = rng.choice(("", "x", "NA", "n/a", values[0], "\x1b[31m", "9" * 5000))
        values = np.array(values, object)
    else:
        values = array(np.asarray(values), rng)
    kind = h5py.string_dtype() if values.dtype.kind in "OU" else values.dtype
    values = values.astype(object) if values.dtype.kind == "U" else values
    packed = [{}, {"chunks": True}, {"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True}]
    options = rng.choice(packed) if values.ndim and values.size else {}
    del file[path]
    try:
        file.create_dataset(path, data=values, dtype=kind, **options)
        for name, value in attributes.items():
            file[path].attrs[name] = value
    except (TypeError, ValueError):
        file[path] = 0


def _heap_places(dataset: h5py.Dataset) -> tuple[int, int] | None:
    """Where a dataset of text of any length says where in the heap it lies, and of how many texts."""
    plain = dataset.shape and dataset.chunks is None and h5py.check_string_dtype(dataset.dtype)
    if not plain or plain.length is not None or not dataset.size or dataset.id.get_offset() is None:
        return None
    return dataset.id.get_offset(), dataset.size


def _shared(content: bytes, places: list[tuple[int, int]], rng: random.Random) -> bytes:
    """Have texts share a place in the heap, or claim another length or place."""
    data, (first, count) = bytearray(content), rng.choice(places)
    for _ in range(rng.choice((1, 2, count))):
        here, there = (first + 16 * rng.randrange(count) for _ in range(2))
        match rng.randrange(4):
            case 0:
                data[here : here + 4] = rng.choice((0, 1, 5000, 2**31 - 1, 2**32 - 1)).to_bytes(4, "little")
            case 1:
                data[here + 12 : here + 16] = rng.choice((0, 1, 2, 65535, 2**31)).to_bytes(4, "little")
            case _:
                data[here : here + 16] = data[there : there + 16]
    return bytes(data)


def table(content: bytes, rng: random.Random) -> bytes:
    """Change a column of a Parquet or Feather table, its name or its type."""
    parquet = content.startswith(b"PAR1")
    source = pa.BufferReader(content)
    found = pq.read_table(source) if parquet else feather.read_table(source)
    at = rng.randrange(found.num_columns)
    name, column = found.column_names[at], found.column(at)
    match rng.randrange(7):
        case 0:
            found = found.remove_column(at)
        case 1:
            found = found.rename_columns(
                [rng.choice(NAMES) if k == at else one for k, one in enumerate(found.column_names)]
            )
        case 2:
            found = found.append_column(rng.choice((name, "x")), column)
        case 3:
            kinds = (
                pa.string(), pa.large_string(), pa.binary(), pa.float16(), pa.float32(), pa.float64(), pa.int8(),
                pa.uint64(), pa.bool_(), pa.timestamp("ns"), pa.decimal128(38, 2), pa.list_(column.type),
                pa.dictionary(pa.int8(), column.type), pa.null(),
            )  # fmt: skip
            kind = rng.choice(kinds)
            try:
                changed = column.cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                changed = pa.nulls(len(column), kind)
            found = found.set_column(at, name, changed)
        case 4:
            found = rng.choice((found.slice(0, 0), found.slice(1), pa.concat_tables([found, found]), found.slice(0, 1)))
        case _ if len(column):
            values = column.to_pylist()
            odd = (None, "", "x", "NA", "9" * 5000, "\x1b[31m") if isinstance(values[0], str) else (None, 0, -1, 2**62)
            values[rng.randrange(len(values))] = rng.choice(odd)
            try:
                found = found.set_column(at, name, pa.array(values, column.type))
            except (pa.ArrowInvalid, OverflowError):
                pass
        case _:
            pass
    stream = io.BytesIO()
    try:
        if parquet:
            pq.write_table(found, stream, compression=rng.choice(("none", "snappy", "gzip", "zstd")))
        else:
            feather.write_feather(found, stream, compression=rng.choice(("uncompressed", "lz4", "zstd")))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
        return as_bytes(content, rng)
    return stream.getvalue()


def packed(content: bytes, rng: random.Random) -> bytes:
    """Change what gzip packed, and pack it again; of a tar, most often one member."""
    try:
        inside = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return as_bytes(content, rng)
    tar = inside[257:262] == b"ustar" and rng.random() < 0.7
    return gzip.compress(_member(inside, rng) if tar else mutate(inside, rng), mtime=0)


def _member(content: bytes, rng: random.Random) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(one, file.read() if (file := archive.extractfile(one)) else b"") for one in archive.getmembers()]
    at = rng.randrange(len(members))
    info, data = members[at]
    match rng.randrange(5):
        case 0:
            info.name = rng.choice(NAMES) or "x"
        case 1:
            info.type = rng.choice(
                (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
            )
            info.linkname = rng.choice(("/etc/passwd", info.name, "../x"))
        case 2:
            members.append(members[at])
        case _:
            data = mutate(data, rng)
            info.size = len(data)
            members[at] = info, data
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for each, held in members:
            archive.addfile(each, io.BytesIO(held))
    return stream.getvalue()


SHAPES: Mapping[bytes, Change] = {
    b"{": as_json, b"PK\x03\x04": npz, b"\x89HDF": hdf5, b"PAR1": table, b"ARROW1": table, b"\x1f\x8b": packed
}  # fmt: skip
"""By the first bytes of a file."""
