"""Variables of MATLAB's MAT-files of version 5 (v5 to v7.2), found without reading them.

Every size that the file claims is compared with what it holds, so that whoever reads a variable takes no more memory
than there is. The form is that of MathWorks' "MAT-File Format".
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from connfit._system.unpacked import check_size, most_bytes

_MATRIX, _COMPRESSED = 14, 15
_ITEM = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of one value, by the number of its type in a file."""
_CELL, _STRUCT, _OBJECT, _TEXT, _SPARSE, _OPAQUE = 1, 2, 3, 4, 5, 17
_KINDS = {_CELL: "cell", _STRUCT: "struct", _OBJECT: "object", _TEXT: "char", _SPARSE: "sparse", 16: "function"} | {
    6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32",
    14: "int64", 15: "uint64", _OPAQUE: "object",
}  # fmt: skip
NUMBERS = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
"""Kinds of variables that hold numbers."""

_MOST_ELEMENTS = 1 << 20
_DEEPEST = 16


@dataclass(frozen=True)
class MatVariable:
    """One variable: its name (`s.a` is a field of `s`), its shape as MATLAB says it, and its kind in its words."""

    name: str
    shape: tuple[int, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.name} ({' x '.join(map(str, self.shape))} {self.kind})"


@dataclass
class _Walk:
    """What was seen of a file: variables, elements, and the bytes that they take when they are read."""

    order: str
    found: list[MatVariable] = field(default_factory=list)
    elements: int = 0
    claimed: int = 0


def mat_variables(path: Path) -> list[MatVariable]:
    """List the variables of a MAT-file of version 5, and the fields of its structs.

    Raises
    ------
    ValueError, LookupError, struct.error, zlib.error
        If the file is damaged, or claims more than what it holds.
    DataError
        If reading it would take more bytes than it may.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if len(content) < 136:
            raise ValueError(f"{len(content)} bytes are no MAT-file")
        order = {b"IM": "<", b"MI": ">"}[content[126:128]]
        walk, at, end = _Walk(order), 128, len(content)
        while at < end:
            kind, start, stop, at = _element(content, at, end, walk)
            if kind == _COMPRESSED:
                unpacked = _unpacked(content, start, stop, path, most_bytes(path))
                inner, start, stop, _ = _element(unpacked, 0, len(unpacked), walk)
                if inner == _MATRIX:
                    _matrix(unpacked, start, stop, walk, "", 0)
            elif kind == _MATRIX:
                _matrix(content, start, stop, walk, "", 0)
            check_size(walk.claimed, path)
    return walk.found


def _unpacked(content: mmap.mmap, start: int, stop: int, path: Path, most: int) -> bytes:
    unpacking, parts, size = zlib.decompressobj(), [], 0
    for first in range(start, stop, 1 << 20):
        packed = content[first : min(first + (1 << 20), stop)]
        while packed:
            parts.append(unpacking.decompress(packed, 1 << 24))
            size += len(parts[-1])
            if size > most:
                check_size(size, path, "one of its variables")
            packed = unpacking.unconsumed_tail
    if not unpacking.eof:
        raise ValueError("a packed variable ends early")
    return b"".join(parts)


def _element(view: mmap.mmap | bytes, at: int, end: int, walk: _Walk) -> tuple[int, int, int, int]:
    """Type of the element at a place, where its content starts and stops, and where the next is."""
    walk.elements += 1
    if walk.elements > _MOST_ELEMENTS:
        raise ValueError(f"more than {_MOST_ELEMENTS:,} elements")
    kind, size = struct.unpack_from(f"{walk.order}II", view, at)
    small, start = kind >> 16, at + 8
    if small:
        kind, size, start = kind & 0xFFFF, small, at + 4
    stop = start + size
    if stop > end or (small and small > 4):
        raise ValueError(f"an element of {size:,} bytes, of which there are {end - start:,}")
    after = at + 8 if small else stop if kind == _COMPRESSED else start + -(-size // 8) * 8
    return kind, start, stop, min(after, end)


def _matrix(view: mmap.mmap | bytes, at: int, end: int, walk: _Walk, prefix: str, depth: int) -> None:
    """Check an array, and note it if it has a name, as all have but those in cells."""
    if depth > _DEEPEST:
        raise ValueError("cells or structs lie too deep in each other")
    if at == end:  # how an empty array is written in a cell
        return
    kind, start, stop, at = _element(view, at, end, walk)
    if stop - start != 8:
        raise ValueError("an array without a class")
    (flags,) = struct.unpack_from(f"{walk.order}I", view, start)
    which, shape = flags & 0xFF, ()
    if which not in _KINDS:
        raise ValueError(f"an array of the unknown class {which}")
    if which != _OPAQUE:
        kind, start, stop, at = _element(view, at, end, walk)
        if kind not in (5, 6) or (stop - start) % 4:
            raise ValueError("an array without a shape")
        shape = struct.unpack_from(f"{walk.order}{(stop - start) // 4}i", view, start)
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"an array of shape {shape}")
    _, start, stop, at = _element(view, at, end, walk)
    name = prefix + bytes(view[start:stop]).decode("latin1")
    if name:
        logical = "logical" if flags & 0x200 else "complex" if flags & 0x800 else _KINDS[which]
        walk.found.append(MatVariable(name, shape, logical))
    size = math.prod(shape)
    if which in (_CELL, _STRUCT, _OBJECT):
        _elements(view, at, end, walk, which, size, name, depth)
    elif which not in (_SPARSE, _OPAQUE, 16):
        walk.claimed += 8 * size
        kind, start, stop, _ = _element(view, at, end, walk)
        there = (stop - start) // _ITEM[kind]
        if size > there if which == _TEXT else size != there:
            raise ValueError(f"{name or 'an array'} claims the shape {shape}, and has {there:,} values")


def _elements(
    view: mmap.mmap | bytes, at: int, end: int, walk: _Walk, which: int, size: int, name: str, depth: int
) -> None:
    """Check what lies in cells, or in the fields of structs, whose names count if there is one struct."""
    fields = [""]
    if which != _CELL:
        if which == _OBJECT:
            at = _element(view, at, end, walk)[3]
        _, start, stop, at = _element(view, at, end, walk)
        (length,) = struct.unpack_from(f"{walk.order}i", view, start)
        _, start, stop, at = _element(view, at, end, walk)
        if length < 1 or (stop - start) % length:
            raise ValueError("a struct without names of its fields")
        listed = bytes(view[start:stop])
        names = [listed[first : first + length].split(b"\0")[0] for first in range(0, len(listed), length)]
        fields = [f"{name}.{each.decode('latin1')}" if name and size == 1 else "" for each in names]
    if 8 * size * max(len(fields), 1) > end - at:
        raise ValueError(f"{name or 'an array'} claims {size:,} cells in {end - at:,} bytes")
    walk.claimed += 8 * size * max(len(fields), 1)
    for number in range(size * len(fields)):
        kind, start, stop, at = _element(view, at, end, walk)
        if kind != _MATRIX:
            raise ValueError("a cell that is no array")
        _matrix(view, start, stop, walk, fields[number % len(fields)], depth + 1)
