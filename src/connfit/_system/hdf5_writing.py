"""Write HDF5 files to disks that may fill up: the library itself crashes where a write fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file.

    Raises
    ------
    OSError
        If the system refused a write, the first such.
    """
    with _Written(path, "w+") as target:
        try:
            with h5py.File(target, "w") as file:
                yield file
        finally:
            if target.refused is not None:
                raise target.refused


class _Written(io.FileIO):
    """A file that keeps its first error, and from then on takes everything as if it wrote it."""

    refused: OSError | None = None

    def write(self, content: Any, /) -> int:
        size = len(memoryview(content).cast("B"))
        at = 0
        while at < size and self.refused is None:
            try:
                at += super().write(memoryview(content).cast("B")[at:]) or 0
            except OSError as error:
                self.refused = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        try:
            if self.refused is None:
                return super().truncate(size)
        except OSError as error:
            self.refused = error
        return size or 0
