"""Read HDF5 files in processes of their own, which a damaged file may crash or keep busy for ever.

`python -m connfit._system.hdf5_probe` takes names of files, one JSON text a line, and answers each with the status of a
process that opened the file and read all of it. That process is a fork of this one, which has no threads and has loaded
the library already: a file costs milliseconds. Errors that the library reports are left to whoever reads the file.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from connfit._system.hdf5_guard import check_storage, check_written, open_to_read
from connfit._system.hdf5_trial import TOO_LARGE
from connfit._system.unpacked import DENSEST

SECONDS = 3
"""Processor time that one call of the library may take, and that for the bytes it reads."""

_BYTES_PER_SECOND = 50e6

_PIECE, _OBJECTS = 1 << 26, 1 << 20
"""Bytes that are read at once: of numbers, and of what becomes Python objects."""

_MEMORY = 1 << 30
"""Bytes that a file may take, whatever its size."""

_SMALL = 1 << 22
"""Bytes that text may have, whatever the size of its file: a fill value is there once, and is read often."""


def main() -> None:
    """Serve until the other side hangs up."""
    # An interrupt from the keyboard is for whoever asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = sys.stdout
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(f"{_status(Path(json.loads(line)))}\n")
        answers.flush()


def _status(path: Path) -> int:
    """Read a file in a fork; returns how that ended, as `os.waitpid` says it."""
    process = os.fork()
    if not process:
        code = 0
        try:
            _limit_memory(path)
            read_all(path)
        except MemoryError:
            code = TOO_LARGE
        except Exception:
            pass  # the reader meets it too, and has words for it
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1]


def read_all(path: Path) -> None:
    """Read every attribute and every value that an HDF5 file holds, and follow its references, in bounded pieces."""
    with _bounded():
        file = open_to_read(path)
    waiting: list[Any] = [file]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        with _bounded():
            place = h5py.h5o.get_info(found.id).addr  # pyright: ignore[reportAttributeAccessIssue]
            if place in seen:
                continue
            seen.add(place)
            waiting += _attributes(file, found)
        with _bounded():
            if isinstance(found, h5py.Group):
                waiting += _members(found)
            elif isinstance(found, h5py.Dataset):
                waiting += _values(file, found, path)


@contextlib.contextmanager
def _bounded(size: int = 0) -> Iterator[None]:
    """Bound the processor time of some calls, and leave their errors to the reader."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time() + SECONDS + size / _BYTES_PER_SECOND)
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))
    with contextlib.suppress(Exception):
        try:
            yield
        except MemoryError:
            os._exit(TOO_LARGE)


def _attributes(file: h5py.File, found: Any) -> list[Any]:
    objects = []
    for name in found.attrs:
        with _bounded():
            objects += _targets(file, found.attrs[name])
    return objects


def _members(group: h5py.Group) -> list[Any]:
    objects = []
    for name in group:
        with _bounded():
            if not isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                objects.append(group[name])
    return objects


def _values(file: h5py.File, dataset: h5py.Dataset, path: Path) -> list[Any]:
    check_storage(dataset, str(dataset.name), path)
    check_written(dataset, path)
    objects, held = [], 0
    for selection, size in _pieces(dataset):
        with _bounded(size):
            value = dataset[selection]
            held += _held(value) if dataset.dtype.hasobject else 0
            objects += _targets(file, value)
        # Of any length is only what lies in the heap, which nothing packs: more than the file was never written.
        if held > max(_SMALL, path.stat().st_size):
            os._exit(TOO_LARGE)
    return objects


def _held(value: object) -> int:
    """Bytes of text and lists of any length in a value."""
    if isinstance(value, np.ndarray | np.void) and value.dtype.names:
        return sum(_held(value[name]) for name in value.dtype.names if value.dtype[name].hasobject)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return sum(map(_held, value.ravel()))
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes) else 0


def _pieces(dataset: h5py.Dataset) -> Iterator[tuple[Any, int]]:
    """Selections that together are all values, with their bytes; of plain values in one piece only the ends."""
    if not dataset.shape:
        yield (), dataset.dtype.itemsize
        return
    if not dataset.size:
        return
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    high = dataset.chunks[0] if dataset.chunks else 1
    if not dataset.chunks and not dataset.dtype.hasobject:
        yield (0,) * dataset.ndim, dataset.dtype.itemsize
        yield (-1,) * dataset.ndim, dataset.dtype.itemsize
    elif high * row > _PIECE and dataset.chunks:
        for selection in dataset.iter_chunks():
            yield selection, math.prod(dataset.chunks) * dataset.dtype.itemsize
    else:
        piece = _OBJECTS if dataset.dtype.hasobject else _PIECE
        rows = max(piece // max(row, 1) // high, 1) * high
        for first in range(0, dataset.shape[0], rows):
            yield slice(first, first + rows), rows * row


def _targets(file: h5py.File, value: object) -> list[Any]:
    """The objects that references in a value point to, each once."""
    objects: dict[int, Any] = {}
    for reference in _references(value):
        with _bounded():
            found: Any = file[reference]
            place = h5py.h5o.get_info(found.id).addr  # pyright: ignore[reportAttributeAccessIssue]
            if place not in objects:
                objects[place] = found
                found.name  # noqa: B018  # which the library searches the file for
    return list(objects.values())


def _references(value: object) -> Iterator[h5py.Reference]:
    if isinstance(value, h5py.Reference):
        if value:
            yield value
    elif isinstance(value, np.ndarray | np.void) and value.dtype.names:
        for name in value.dtype.names:
            yield from _references(value[name])
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        for item in value.ravel():
            yield from _references(item)


def _limit_memory(path: Path) -> None:
    # Not everywhere can the memory of a process be known or bounded.
    with contextlib.suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        most = taken + max(_MEMORY, DENSEST * path.stat().st_size)
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main()
