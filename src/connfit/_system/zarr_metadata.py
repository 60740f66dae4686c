"""What the arrays of a Zarr store say of themselves, versions 2 and 3, before Zarr's library looks at it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from connfit._system.zarr_files import ZarrFiles
from connfit.errors import DataError, first_ten

GROUPS, ARRAYS, NODES = ".zgroup", ".zarray", "zarr.json"
"""Files that say what a folder of a store is: of version 2 a group or an array, of version 3 either."""

PACKERS = ("blosc", "zstd", "lz4", "gzip", "zlib")
"""Codecs that pack bytes: those whose unpacked size can be known before memory is taken."""

TEXT = "vlen-utf8"
"""The codec of text of any length."""

_PLAIN = ("bytes", "transpose", "crc32c", TEXT, "shuffle", "delta", "quantize", "fixedscaleoffset")
_LONGEST = 1 << 24
"""Bytes that a file of metadata may have."""

_FIXED = {"fixed_length_utf32": "U", "null_terminated_bytes": "S"}
"""Types of version 3 of text, and what NumPy calls them."""

_REWRITE = "Write the store anew with zarr: numbers, text as str, packed by zstd or blosc"


@dataclass(frozen=True)
class ZarrArray:
    """An array of a store.

    Parameters
    ----------
    name
        Of its folder, from the root; `""` of an array that is the whole store.
    shape, chunks
        Of the array, and of the parts of it that have a file each.
    dtype
        None of text of any length.
    codecs
        Names, in the order in which they are applied to write; of a sharded array those of the parts of a shard.
    fill
        What stands for chunks that were not written, as the metadata has it.
    dims
        Names of its axes; None where they have none.
    attributes
        What else is said of it.
    separator, prefix
        Of the names of its files.
    parts
        Shape of the parts that a file of a sharded array holds; None of others.
    index_last
        Whether the index of a shard is at its end.
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype | None
    codecs: tuple[str, ...]
    fill: Any
    dims: tuple[str, ...] | None
    attributes: Mapping[str, Any]
    separator: str
    prefix: str
    parts: tuple[int, ...] | None = None
    index_last: bool = True

    def file(self, at: tuple[int, ...]) -> str:
        """Return the name of the file of a chunk."""
        numbers = [*([self.prefix] if self.prefix else []), *map(str, at)]
        inside = self.separator.join(numbers) if numbers else "0"
        return f"{self.name}/{inside}" if self.name else inside

    @property
    def packer(self) -> str | None:
        """The codec that packs its bytes, if one does."""
        return next((codec for codec in self.codecs if codec in PACKERS), None)

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.dtype is not None and self.dtype.kind in "fiu"

    @property
    def unwritten_is_missing(self) -> bool:
        """Whether what was not written reads as missing values."""
        return self.dtype is not None and self.dtype.kind == "f" and self.fill == "NaN"


class _Array2(msgspec.Struct):
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    compressor: dict[str, Any] | None = None
    fill_value: Any = None
    filters: list[dict[str, Any]] | None = None
    dimension_separator: str = "."


class _Named(msgspec.Struct):
    name: str
    configuration: dict[str, Any] = {}


class _Array3(msgspec.Struct):
    shape: tuple[int, ...]
    data_type: str | _Named
    chunk_grid: _Named
    chunk_key_encoding: _Named
    codecs: list[str | _Named]
    fill_value: Any = None
    attributes: dict[str, Any] = {}
    dimension_names: list[str | None] | None = None


def arrays_of(files: ZarrFiles) -> dict[str, ZarrArray]:
    """Return the arrays of the root of a store by name.

    Raises
    ------
    DataError
        If the store has no metadata, or one of the arrays cannot be read safely: its values are objects of Python, or
        packed by a codec of which nobody knows what it unpacks to.
    """
    if ARRAYS in files.sizes or (NODES in files.sizes and _json(files, NODES).get("node_type") == "array"):
        return {"": _array(files, "")}
    if not {GROUPS, NODES} & set(files.sizes):
        inside = sorted({name.partition("/")[0] for name in files.sizes if name.endswith((GROUPS, ARRAYS, NODES))})
        fix = "Name the folder that zarr wrote"
        if inside:
            fix = f"The store lies in {first_ten(inside)}: {'pack what is in it' if files.archive else 'name that'}"
        raise DataError("it is no Zarr store: it has neither zarr.json nor .zgroup", path=files.path, fix=fix)
    folders = sorted({name.rpartition("/")[0] for name in files.sizes if name.count("/") == 1})
    return {name: _array(files, name) for name in folders if _is_array(files, name)}


def attributes_of(files: ZarrFiles, name: str = "") -> dict[str, Any]:
    """Return the attributes of the root, or of what is in a folder of it."""
    inside = f"{name}/" if name else ""
    if f"{inside}{NODES}" in files.sizes:
        found = _json(files, f"{inside}{NODES}").get("attributes", {})
    elif f"{inside}.zattrs" in files.sizes:
        found = _json(files, f"{inside}.zattrs")
    else:
        found = {}
    if not isinstance(found, dict):
        raise DataError(f"the attributes of {name or 'the store'} are no table", path=files.path, fix=_REWRITE)
    return found


def _is_array(files: ZarrFiles, name: str) -> bool:
    if f"{name}/{NODES}" in files.sizes:
        return _json(files, f"{name}/{NODES}").get("node_type") == "array"
    return f"{name}/{ARRAYS}" in files.sizes


def _json(files: ZarrFiles, name: str) -> dict[str, Any]:
    if files.sizes[name] > _LONGEST:
        raise DataError(f"{name} has {files.sizes[name]:,} bytes", path=files.path, fix="Is this a Zarr store?")
    try:
        found = json.loads(files.read(name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is damaged ({error})", path=files.path, fix="Copy the store again") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} is damaged: it holds no table", path=files.path, fix="Copy the store again")
    return found


def _array(files: ZarrFiles, name: str) -> ZarrArray:
    inside = f"{name}/" if name else ""
    version = 3 if f"{inside}{NODES}" in files.sizes else 2
    told = _json(files, f"{inside}{NODES if version == 3 else ARRAYS}")
    try:
        found = _version_3(name, told) if version == 3 else _version_2(name, told, attributes_of(files, name))
    except (msgspec.ValidationError, TypeError, ValueError, KeyError, OverflowError) as error:
        problem = f"array {name or 'of the store'}: its metadata are damaged ({error})"
        raise DataError(problem, path=files.path, fix="Copy the store again") from error
    if len(found.shape) != len(found.chunks) or min(found.shape, default=0) < 0 or min(found.chunks, default=1) < 1:
        problem = f"array {name!r} has shape {found.shape} and chunks of {found.chunks}"
        raise DataError(problem, path=files.path, fix="Copy the store again")
    if found.parts is not None and (
        len(found.parts) != len(found.chunks)
        or any(part < 1 or whole % part for whole, part in zip(found.chunks, found.parts, strict=True))
    ):
        problem = f"array {name!r} has shards of {found.chunks} with chunks of {found.parts}"
        raise DataError(problem, path=files.path, fix="Copy the store again")
    unknown = [codec for codec in found.codecs if codec not in (*PACKERS, *_PLAIN)]
    if unknown:
        problem = f"array {name!r} is written by {first_ten(unknown)}, which is not read here"
        raise DataError(problem, path=files.path, fix=_REWRITE)
    if sum(codec in PACKERS for codec in found.codecs) > 1:
        raise DataError(f"array {name!r} is packed twice", path=files.path, fix=_REWRITE)
    if (found.dtype is None) != (TEXT in found.codecs) or (found.dtype is not None and found.dtype.hasobject):
        problem = f"array {name!r} holds objects of Python, which are not read"
        raise DataError(problem, path=files.path, fix=_REWRITE)
    return found


def _version_2(name: str, told: dict[str, Any], attributes: dict[str, Any]) -> ZarrArray:
    found = msgspec.convert(told, _Array2)
    dims = attributes.get("_ARRAY_DIMENSIONS")
    filters = [str(each.get("id")) for each in found.filters or []]
    if any(each in PACKERS for each in filters):
        raise ValueError("its filters pack, as its compressor may")
    return ZarrArray(
        name=name,
        shape=found.shape,
        chunks=found.chunks,
        dtype=None if found.dtype == "|O" and TEXT in filters else np.dtype(found.dtype),
        codecs=(*filters, *([] if found.compressor is None else [str(found.compressor.get("id"))])),
        fill=found.fill_value,
        dims=_dims(dims, len(found.shape)),
        attributes={key: value for key, value in attributes.items() if key != "_ARRAY_DIMENSIONS"},
        separator=found.dimension_separator,
        prefix="",
    )


def _version_3(name: str, told: dict[str, Any]) -> ZarrArray:
    found = msgspec.convert(told, _Array3)
    if found.chunk_grid.name != "regular":
        raise ValueError(f"chunks are {found.chunk_grid.name}")
    chunks = msgspec.convert(found.chunk_grid.configuration["chunk_shape"], tuple[int, ...])
    keys = found.chunk_key_encoding
    if keys.name not in ("default", "v2"):
        raise ValueError(f"names of chunks are {keys.name}")
    codecs, parts, index_last = _named(found.codecs), None, True
    if any(codec.name == "sharding_indexed" for codec in codecs):
        if len(codecs) > 1:
            raise ValueError("its shards are packed")
        inner = codecs[0].configuration
        parts = msgspec.convert(inner["chunk_shape"], tuple[int, ...])
        codecs = _named(msgspec.convert(inner["codecs"], list[str | _Named]))
        index = _named(msgspec.convert(inner.get("index_codecs", []), list[str | _Named]))
        little = [codec.configuration.get("endian", "little") for codec in index if codec.name == "bytes"]
        if [codec.name for codec in index] != ["bytes", "crc32c"] or little != ["little"]:
            raise ValueError("the index of its shards is not written as bytes with crc32c")
        index_last = inner.get("index_location", "end") == "end"
    return ZarrArray(
        name=name,
        shape=found.shape,
        chunks=chunks,
        dtype=_dtype_3(found.data_type),
        codecs=tuple(codec.name.removeprefix("numcodecs.") for codec in codecs),
        fill=found.fill_value,
        dims=_dims(found.dimension_names, len(found.shape)),
        attributes=found.attributes,
        separator=str(keys.configuration.get("separator", "/" if keys.name == "default" else ".")),
        prefix="c" if keys.name == "default" else "",
        parts=parts,
        index_last=index_last,
    )


def _named(codecs: list[str | _Named]) -> list[_Named]:
    return [_Named(codec) if isinstance(codec, str) else codec for codec in codecs]


def _dtype_3(kind: str | _Named) -> np.dtype | None:
    if isinstance(kind, str):
        return None if kind in ("string", "str") else np.dtype(kind)
    if kind.name not in _FIXED:
        raise ValueError(f"its type is {kind.name}")
    size = msgspec.convert(kind.configuration["length_bytes"], int)
    letter = _FIXED[kind.name]
    return np.dtype(f"{letter}{size // 4 if letter == 'U' else size}")


def _dims(names: Any, axes: int) -> tuple[str, ...] | None:
    if not isinstance(names, list) or len(names) != axes or not all(isinstance(each, str) for each in names):
        return None
    return tuple(names)


def chunk_bytes(array: ZarrArray) -> int:
    """Return the bytes of a chunk of numbers, or of text of a fixed length; 8 for each word of any other."""
    return math.prod(array.chunks) * (8 if array.dtype is None else array.dtype.itemsize)
