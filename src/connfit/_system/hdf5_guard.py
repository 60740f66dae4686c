"""HDF5 files that are all there: nothing lies in other files, nothing is claimed that was never written."""

from __future__ import annotations

import contextlib
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from connfit._system.file_locks import NO_LOCKS
from connfit._system.hdf5_trial import try_once
from connfit._system.unpacked import DENSEST, check_size, most_bytes
from connfit.errors import DataError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""What an HDF5 file begins with."""

_SMALL = 1 << 22
"""Bytes that a dataset may claim whatever the file holds."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file of unknown origin, which was read once in a process of its own (see `hdf5_trial`).

    Raises
    ------
    DataError
        If it cannot be opened, crashes the library or keeps it busy for ever, or leads to other files.
    """
    if path.exists() and not path.is_file():
        raise DataError("is not a file", path=path)
    try:
        # What the library says of a file that may not be read looks like damage.
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path) from error
    try_once(path)
    try:
        with open_to_read(path) as file:
            check_links(file, path)
            yield file
    except MemoryError as error:
        raise DataError("reading it takes more memory than there is", path=path) from error
    except OSError as error:
        # Of damage the library has no number.
        if error.errno is None:
            raise
        raise DataError(f"cannot be read ({os.strerror(error.errno)})", path=path) from error


def open_to_read(path: Path) -> h5py.File:
    """Open an HDF5 file, on drives without locks, too."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return h5py.File(path, "r", locking=False)


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
                check_storage(found, where, path)


def check_storage(dataset: h5py.Dataset, where: str, path: Path) -> None:
    """Refuse a dataset of which a part lies in another file."""
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
    # A chunk may be larger than the dataset.
    shape = [max(sizes) for sizes in zip(dataset.shape, dataset.chunks or dataset.shape, strict=True)]
    claimed, stored = math.prod(shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    problem = None
    if claimed > max(_SMALL, DENSEST * stored):
        problem = f"is {tuple(shape)} in shape, {claimed:,} bytes, of which the file stores {stored:,}"
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
        if chunk.size * DENSEST > most:
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
