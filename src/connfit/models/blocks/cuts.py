"""How arrays are cut into blocks of one length, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int


class Cut(Protocol):
    """How one array is cut."""

    @property
    def everywhere(self) -> bool:
        """Whether every block has all of it."""
        ...

    def block(self, array: np.ndarray, k: int, *, moment: bool = False) -> np.ndarray:
        """Return the part of block k; `moment`: of a moment of the array, which is 0 where there is nothing."""
        ...

    def whole(self, blocks: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Put the parts together."""
        ...


@dataclass(frozen=True, eq=False)
class Along:
    """Contiguous parts along one axis, each filled up to one length.

    Parameters
    ----------
    bounds
        Part k is `bounds[k]:bounds[k + 1]`.
    size
        Length of each part.
    axis
        Axis that is cut.
    by_first
        Fill up with the first entry of all, which is a number that such an entry can have, in place of 0.
    """

    bounds: Int[np.ndarray, "D+1"]
    size: int
    axis: int = 0
    by_first: bool = False

    @property
    def everywhere(self) -> bool:
        return False

    def block(self, array: np.ndarray, k: int, *, moment: bool = False) -> np.ndarray:
        start, stop = self.bounds[k : k + 2]
        part = array[self._at(slice(start, stop))]
        shape = list(part.shape)
        shape[self.axis] = self.size
        first = array[self._at(slice(0, 1))]
        fill = first if self.by_first and not moment else np.zeros_like(first)
        filled = np.broadcast_to(fill, shape).copy()
        filled[self._at(slice(0, stop - start))] = part
        return filled

    def whole(self, blocks: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        lengths = np.diff(self.bounds)
        parts = [block[self._at(slice(0, length))] for block, length in zip(blocks, lengths, strict=True)]
        return np.concatenate(parts, axis=self.axis)

    def _at(self, part: slice) -> tuple[slice, ...]:
        return (*(slice(None),) * self.axis, part)


@dataclass(frozen=True)
class Everywhere:
    """Not cut: every block has all of it."""

    @property
    def everywhere(self) -> bool:
        return True

    def block(self, array: np.ndarray, k: int, *, moment: bool = False) -> np.ndarray:
        return array

    def whole(self, blocks: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        return blocks[0]


def equal_shares(held: Int[np.ndarray, "N"], blocks: int) -> Int[np.ndarray, "D+1"]:
    """Cut rows into contiguous blocks that hold about equal numbers.

    Parameters
    ----------
    held
        Numbers that each row holds.
    """
    before = np.concatenate([[0], np.cumsum(held, dtype=np.int64)])
    targets = before[-1] * np.arange(1, blocks) / blocks
    above = np.searchsorted(before, targets)
    nearer = above - (targets - before[above - 1] < before[above] - targets)
    return np.concatenate([[0], np.maximum.accumulate(nearer), [len(held)]])


def part_of_rows(starts: Int[np.ndarray, "N+1"], bounds: Int[np.ndarray, "D+1"]) -> Along:
    """Return how entries that belong to rows, those of row i at `starts[i]:starts[i + 1]`, are cut with the rows."""
    at = starts[bounds].astype(np.int64)
    return Along(at, int(np.diff(at).max()))
