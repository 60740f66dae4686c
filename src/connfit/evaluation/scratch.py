"""Arrays that grow with the recording: small ones in memory, large ones in a file that goes when its user does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

IN_MEMORY = 4_000_000
"""Bytes up to which an array is held in memory."""


class Stored(Protocol):
    """What can be sliced and written like an array, wherever its values are: a NumPy array or an HDF5 dataset."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...

    def __getitem__(self, at: Any, /) -> np.ndarray:
        """Read a block."""
        ...

    def __setitem__(self, at: Any, values: Any, /) -> None:
        """Write a block."""
        ...


class Scratch:
    """Makes arrays that start as NaN.

    Parameters
    ----------
    file
        Holds those that are too large for memory.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file, self._count = file, 0

    def array(self, *shape: int, dtype: type = np.float64) -> Stored:
        """Return a new array of floating-point numbers."""
        if int(np.prod(shape)) * np.dtype(dtype).itemsize <= IN_MEMORY:
            return np.full(shape, np.nan, dtype)
        self._count += 1
        return self._file.create_dataset(str(self._count), shape, dtype, fillvalue=np.nan)


@contextmanager
def scratch(folder: str | Path | None = None) -> Iterator[Scratch]:
    """Keep large arrays in a file of this folder, which is removed at the end.

    Parameters
    ----------
    folder
        On a disk with space for them; None: that of temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as raw, h5py.File(raw, "w") as file:
        yield Scratch(file)
