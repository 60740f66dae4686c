"""HDF5 files that are all there: nothing lies in other files, nothing is claimed that was never written."""

from __future__ import annotations

import contextlib
import math
import mmap
import struct
import zlib
from pathlib import Path

import h5py

from connfit._system.unpacked import check_size, most_bytes
from connfit.errors import DataError

_DENSEST = 1100
"""Times that deflate can shrink zeros, at most (1032), and a little more."""

_SMALL = 1 << 22
"""Bytes that a dataset may claim whatever the file holds."""

_SCANNED = 1 << 28
"""Bytes of a file beyond which its heaps are not looked at."""

_HEAP = b"GCOL\x01\0\0\0"
_HEAP_HEADER, _OBJECT_HEADER = 16, 16


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap of text on which the HDF5 library would never end, before it is opened.

    Raises
    ------
    DataError
        If an object of a heap has no size.
    """
    if not _HEAP_HEADER <= path.stat().st_size <= _SCANNED:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        heap = pages.find(_HEAP)
        while heap >= 0:
            if heap + _HEAP_HEADER <= len(pages) and not _ends(pages, heap):
                raise DataError(
                    f"damaged HDF5 file (the heap at byte {heap})",
                    path=path,
                    fix="Copy or download it again, or write it anew with h5repack",
                )
            heap = pages.find(_HEAP, heap + 1)


def _ends(pages: mmap.mmap, heap: int) -> bool:
    """Whether walking from object to object gets to the end of a heap; object 0 is free, its size counts its header."""
    end = min(heap + struct.unpack_from("<Q", pages, heap + 8)[0], len(pages))
    at = heap + _HEAP_HEADER
    while at + _OBJECT_HEADER <= end:
        number, size = struct.unpack_from("<H6xQ", pages, at)
        # The library adds in 64 bits.
        step = (size if number == 0 else _OBJECT_HEADER + (size + 7) // 8 * 8) % 2**64
        if step == 0:
            return False
        at += step
    return True


def check_links(file: h5py.File, path: Path) -> None:
    """Refuse a file of which a part lies in another file.

    Raises
    ------
    DataError
        Names the link or the dataset, and the other file.
    """
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    seen = set()
    while waiting:
        at, group = waiting.pop()
        for name in group:
            where = f"{at}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(where, "is a link", str(link.filename), path)
            if isinstance(link, h5py.SoftLink):
                continue
            found = group[name]
            place = h5py.h5o.get_info(found.id).addr  # pyright: ignore[reportAttributeAccessIssue]
            if place in seen:
                continue
            seen.add(place)
            if isinstance(found, h5py.Group):
                waiting.append((where, found))
            elif isinstance(found, h5py.Dataset):
                _check_storage(found, where, path)


def _check_storage(dataset: h5py.Dataset, where: str, path: Path) -> None:
    for other, *_ in dataset.external or ():
        raise _elsewhere(where, "has its values", str(other), path)
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            if source.file_name != ".":
                raise _elsewhere(where, "has values", source.file_name, path)


def _elsewhere(where: str, what: str, other: str, path: Path) -> DataError:
    return DataError(
        f"{where} {what} in another file, {other!r}, which is not followed",
        path=path,
        fix="Copy the values into this file",
    )


def check_written(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    """Return a dataset whose values are all in the file.

    Raises
    ------
    DataError
        If it claims more than what the file stores can unpack to, or more than the file may take; a part of it was
        never written and has no fill value of its own; or a chunk unpacks to more than a chunk is.
    """
    if dataset.shape is None or not dataset.size or dataset.is_virtual:
        return dataset
    claimed, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    problem = None
    if claimed > max(_SMALL, _DENSEST * stored):
        problem = f"is {dataset.shape} in shape, {claimed:,} bytes, of which the file stores {stored:,}"
    elif dataset.id.get_create_plist().fill_value_defined() != h5py.h5d.FILL_VALUE_USER_DEFINED:
        if dataset.chunks:
            chunks = math.prod(-(-size // part) for size, part in zip(dataset.shape, dataset.chunks, strict=True))
            written = dataset.id.get_num_chunks()
            problem = f"has {chunks} chunks, of which {written} were written" if written < chunks else None
        elif not stored:
            problem = f"is {dataset.shape} in shape, but was never written"
    if problem is None:
        check_size(claimed, path, str(dataset.name))
        problem = _packed_chunk(dataset, most_bytes(path))
    if problem:
        raise DataError(f"{dataset.name} {problem}", path=path, fix="Write all of it, or copy the file again")
    return dataset


def _packed_chunk(dataset: h5py.Dataset, most: int) -> str | None:
    """What is wrong with a chunk that deflate packed: the library takes all the memory that it unpacks to.

    Only chunks are looked at that could take more than `most`.
    """
    if not dataset.chunks:
        return None
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return None
    if filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
        return "is packed twice"
    large: list[tuple[int, ...]] = []

    def look(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.size * _DENSEST > most:
            large.append(chunk.chunk_offset)

    dataset.id.chunk_iter(look)
    # A checksum of the file's own may be packed, too.
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize + 4 * (h5py.h5z.FILTER_FLETCHER32 in filters)
    for offset in large:
        unpacking, left = zlib.decompressobj(), size + 1
        packed = dataset.id.read_direct_chunk(offset)[1]
        # The library stops at what is damaged, as this does.
        with contextlib.suppress(zlib.error):
            while packed and left > 0:
                left -= len(unpacking.decompress(packed, min(left, 1 << 24)))
                packed = unpacking.unconsumed_tail
        if left <= 0:
            return f"has a chunk at {offset} that unpacks to more than the {size:,} bytes of a chunk"
    return None
