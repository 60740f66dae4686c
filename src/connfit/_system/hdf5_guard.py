"""HDF5 files that are all there: nothing lies in other files, nothing is claimed that was never written."""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

import h5py

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
        If it claims more than what the file stores can unpack to, or a part of it was never written and
        has no fill value of its own.
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
    if problem:
        raise DataError(f"{dataset.name} {problem}", path=path, fix="Write all of it, or copy the file again")
    return dataset
