"""Zarr arrays that are all there: what was not written is said, and nothing takes more memory than it may."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import struct
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from connfit._system.unpacked import check_size, most_bytes
from connfit._system.zarr_files import ZarrFiles
from connfit._system.zarr_metadata import ZarrArray, chunk_bytes
from connfit.errors import DataError

ABSENT = ("error", "fill")
"""What to do with chunks that were not written: the option `absent_chunks`."""

_SMALL = 1 << 22
"""Bytes that an array, or a chunk, may claim whatever the store holds."""

_DENSEST = 1 << 15
"""Times that zstd can shrink zeros, at most."""

_FEW, _SHARE = 1000, 10
"""Chunks that may be absent whatever is there, and times the files of the store beyond that."""

_NONE = (1 << 64) - 1
"""What the index of a shard has for a chunk that was not written."""

_BLOCK = 1 << 20
_AGAIN = "Copy the store again"


def check_stored(files: ZarrFiles, array: ZarrArray, absent_chunks: str) -> list[str]:
    """Check an array before it is read; return cautions on what was not written.

    Raises
    ------
    DataError
        If it claims more than the store may take, or a chunk unpacks to more than a chunk is; if chunks were not
        written and their fill value is no missing value, unless `absent_chunks` is `"fill"`: the message names the
        first.
    """
    path, what = files.path, f"array {array.name or 'of the store'}"
    width = 8 if array.dtype is None else array.dtype.itemsize
    claimed = math.prod(max(sizes) for sizes in zip(array.shape, array.chunks, strict=True)) * width
    grid = [-(-size // part) for size, part in zip(array.shape, array.chunks, strict=True)]
    count = math.prod(grid)
    if claimed > max(_SMALL, _DENSEST * files.stored):
        problem = f"{what} is {array.shape} in shape with chunks of {array.chunks}, {claimed:,} bytes, of which the "
        raise DataError(f"{problem}store holds {files.stored:,}", path=path, fix=_AGAIN)
    check_size(claimed, path, what, files.stored)
    most = max(chunk_bytes(array), _SMALL)
    if array.dtype is None:
        most = most_bytes(path, files.stored)
    fill = absent_chunks == "fill" or array.unwritten_is_missing
    if fill and count > _FEW + _SHARE * len(files.sizes):
        problem = f"{what} has {count:,} chunks, and the store {len(files.sizes):,} files"
        raise DataError(problem, path=path, fix=_AGAIN)
    written, absent, first = 0, 0, ""
    for at in itertools.product(*map(range, grid)):
        for where, packed in _packed(files, array, at, most):
            if packed is not None:
                written += 1
                _check_chunk(packed, array, where, most, files)
                continue
            absent, first = absent + 1, first or where
            if not fill:
                raise DataError(
                    f"{what}: chunk {where} was not written, {_in_place(array)}",
                    path=path,
                    fix="If the writer left out chunks that hold nothing else, read with absent_chunks = 'fill'; "
                    "otherwise they are lost: copy the store again",
                )
    if not absent:
        return []
    share = f"{absent} of {absent + written}, the first {first}"
    return [f"chunks that were not written, in {what}: {share}, {_in_place(array)}"]


def check_letters(values: np.ndarray, array: ZarrArray, files: ZarrFiles) -> None:
    """Refuse text of a fixed length with numbers that are no characters: Python ends when it makes a word of them."""
    if values.dtype.kind == "U" and values.size:
        codes = np.ascontiguousarray(values).reshape(-1).view(f"{values.dtype.byteorder}u4")
        if (codes > sys.maxunicode).any():
            problem = f"array {array.name} holds text with numbers that are no characters"
            raise DataError(problem, path=files.path, fix=_AGAIN)


def _in_place(array: ZarrArray) -> str:
    if array.unwritten_is_missing:
        return "whose values count as missing"
    return f"and Zarr would put its fill value {array.fill!r} there"


def _packed(files: ZarrFiles, array: ZarrArray, at: tuple[int, ...], most: int) -> Iterator[tuple[str, bytes | None]]:
    """Name and bytes of a chunk, or of each chunk of a shard; None where it was not written."""
    name = array.file(at)
    if name not in files.sizes:
        yield name, None
    elif array.parts is None:
        # What cannot be packed grows a little.
        if files.sizes[name] > most + most // 8 + _BLOCK:
            problem = f"chunk {name} has {files.sizes[name]:,} bytes, more than the {most:,} that it may take unpacked"
            raise DataError(problem, path=files.path, fix=_AGAIN)
        yield name, files.read(name)
    else:
        yield from _of_shard(files, array, at, name)


def _of_shard(files: ZarrFiles, array: ZarrArray, at: tuple[int, ...], name: str) -> Iterator[tuple[str, bytes | None]]:
    parts = array.parts or array.chunks
    grid = [whole // part for whole, part in zip(array.chunks, parts, strict=True)]
    count, size = math.prod(grid), files.sizes[name]
    length = 16 * count + 4
    if length > size:
        problem = f"{name} has {size:,} bytes, too few for the index of its {count:,} chunks"
        raise DataError(problem, path=files.path, fix=_AGAIN)
    index = np.frombuffer(files.read(name, size - length if array.index_last else 0, length - 4), "<u8")
    for inside, (start, bytes_) in zip(
        itertools.product(*map(range, grid)), index.reshape(-1, 2).tolist(), strict=True
    ):
        corner = [a * whole + b * part for a, whole, b, part in zip(at, array.chunks, inside, parts, strict=True)]
        if any(low >= size for low, size in zip(corner, array.shape, strict=True)):
            continue
        where = f"{name}[{','.join(map(str, inside))}]"
        if start == bytes_ == _NONE:
            yield where, None
        elif start + bytes_ > size:
            raise DataError(f"{where} lies beyond the {size:,} bytes of its file", path=files.path, fix=_AGAIN)
        else:
            yield where, files.read(name, start, bytes_)


def _check_chunk(packed: bytes, array: ZarrArray, where: str, most: int, files: ZarrFiles) -> None:
    """Refuse a chunk that would unpack to more than it may, or text that claims more words than a chunk has."""
    if array.codecs and array.codecs[-1] == "crc32c":
        packed = packed[:-4]
    try:
        size = _unpacked_size(array.packer, packed, most)
    except (ValueError, EOFError, OSError, zlib.error, struct.error) as error:
        raise DataError(f"chunk {where} is damaged ({error})", path=files.path, fix=_AGAIN) from error
    if size > most:
        problem = f"chunk {where} unpacks to more than the {most:,} bytes that it may take"
        raise DataError(problem, path=files.path, fix=_AGAIN)
    if array.dtype is None:
        words, expected = _words(array.packer, packed, where, files), math.prod(array.parts or array.chunks)
        if words != expected:
            raise DataError(f"chunk {where} holds {words:,} words, not {expected:,}", path=files.path, fix=_AGAIN)


def _unpacked_size(packer: str | None, packed: bytes, most: int) -> int:
    """What a chunk unpacks to: as it states, or counted as far as `most`."""
    if packer is None:
        return len(packed)
    if packer == "blosc":
        unpacked, block, stored = struct.unpack_from("<III", packed, 4)
        if stored != len(packed) or block > max(unpacked, 1 << 10):
            raise ValueError(f"it states {stored:,} bytes in blocks of {block:,}, and has {len(packed):,}")
        return unpacked
    if packer == "lz4":
        return struct.unpack_from("<I", packed)[0]
    if packer == "zstd":
        stated = _stated_by_zstd(packed)
        if stated is not None:
            return stated
        return _counted(pa.CompressedInputStream(pa.BufferReader(packed), "zstd"), most)
    if packer == "gzip":
        return _counted(gzip.GzipFile(fileobj=io.BytesIO(packed)), most)
    unpacking, size = zlib.decompressobj(), 0
    while packed and size <= most:
        size += len(unpacking.decompress(packed, _BLOCK))
        packed = unpacking.unconsumed_tail
    return size


def _counted(stream: io.RawIOBase | gzip.GzipFile | pa.NativeFile, most: int) -> int:
    size = 0
    while size <= most and (block := stream.read(_BLOCK)):
        size += len(block)
    return size


def _stated_by_zstd(packed: bytes) -> int | None:
    """The size that the header of a frame states (RFC 8878, 3.1.1.1), if it does."""
    magic, descriptor = struct.unpack_from("<IB", packed)
    if magic != 0xFD2FB528:
        raise ValueError("it does not begin as zstd does")
    flag, single = descriptor >> 6, descriptor >> 5 & 1
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    if flag == 0 and not single:
        return None
    width = (1, 2, 4, 8)[flag]
    stated = packed[start : start + width]
    if len(stated) < width:
        raise ValueError("it ends in its header")
    return int.from_bytes(stated, "little") + (256 if width == 2 else 0)


def _words(packer: str | None, packed: bytes, where: str, files: ZarrFiles) -> int:
    """How many words a chunk of text says that it holds, for which memory is taken."""
    import numcodecs

    try:
        plain = packed if packer is None else numcodecs.get_codec({"id": packer}).decode(packed)
    except (ValueError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"chunk {where} is damaged ({error})", path=files.path, fix=_AGAIN) from error
    return int.from_bytes(bytes(plain or b"")[:4], "little")
