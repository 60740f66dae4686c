"""Arrays that grow with the recording: small ones in memory, large ones in a file that goes when its user does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from connfit.recordings.frame_blocks import Stored

IN_MEMORY = 4_000_000
"""Bytes up to which an array is held in memory."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some consecutive frames of a stored array, as an array of their own."""

    whole: Stored
    frames: slice

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return (self.frames.stop - self.frames.start, *self.whole.shape[1:])

    def __getitem__(self, at: slice, /) -> np.ndarray:
        """Read a block."""
        first, stop, step = at.indices(self.shape[0])
        return np.asarray(self.whole[self.frames.start + first : self.frames.start + stop : step])

    def __setitem__(self, at: slice, values: np.ndarray, /) -> None:
        """Write a block."""
        first, stop, step = at.indices(self.shape[0])
        self.whole[self.frames.start + first : self.frames.start + stop : step] = values


def part_of(stored: Stored, frames: slice) -> Stored:
    """Return some consecutive frames of an array, without reading them where it is on disk."""
    return stored[frames] if isinstance(stored, np.ndarray) else Part(stored, frames)


class Scratch:
    """Makes arrays that start as NaN.

    Parameters
    ----------
    file
        Holds those that are too large for memory; None: all are held in memory.
    folder
        Where that file is.
    """

    def __init__(self, file: h5py.File | None = None, folder: Path | None = None) -> None:
        self._file, self._folder, self._count = file, folder, 0

    def array(self, *shape: int, dtype: type = np.float64) -> Stored:
        """Return a new array of floating-point numbers."""
        if self._file is None or int(np.prod(shape)) * np.dtype(dtype).itemsize <= IN_MEMORY:
            return np.full(shape, np.nan, dtype)
        self._count += 1
        return self._file.create_dataset(str(self._count), shape, dtype, fillvalue=np.nan)

    @contextmanager
    def more(self) -> Iterator[Scratch]:
        """Make arrays of the same kind that are gone at the end."""
        with scratch(self._folder, in_memory=self._file is None) as other:
            yield other


@contextmanager
def scratch(folder: Path | None = None, *, in_memory: bool = False) -> Iterator[Scratch]:
    """Keep large arrays in a file of this folder, which is gone at the end.

    Parameters
    ----------
    folder
        On a disk with space for them; None: that of temporary files.
    in_memory
        Whether to keep all of them in memory instead.
    """
    if in_memory:
        yield Scratch()
        return
    with tempfile.TemporaryFile(dir=folder) as raw, h5py.File(raw, "w") as file:
        yield Scratch(file, folder)
