"""Blocks of consecutive frames, so that what is computed of a recording needs no more memory than one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

BLOCK_VALUES = 2**18
"""Values in a block at most: 2 MB in double precision."""


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


def frame_blocks(start: int, stop: int, units: int) -> Iterator[slice]:
    """Yield consecutive blocks of the frames `start` to `stop - 1`, each of at most `BLOCK_VALUES` values.

    A recording of usual length is one block.

    Parameters
    ----------
    units
        Values in a frame. A block has a frame at least.
    """
    length = max(1, BLOCK_VALUES // max(units, 1))
    for first in range(start, stop, length):
        yield slice(first, min(first + length, stop))
