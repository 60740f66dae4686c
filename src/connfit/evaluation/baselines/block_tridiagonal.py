"""Symmetric block tridiagonal systems, as the precision matrices of processes in time are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Row = tuple[Float[np.ndarray, "*b n n"], Float[np.ndarray, "*b n m"] | None, Float[np.ndarray, "*b n"]]
"""Blocks on the diagonal and right of it, of which the last row has none, and right-hand side."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Solution and inverse in some consecutive rows of blocks.

    Parameters
    ----------
    first
        Number of the first row.
    values, within
        Solution, and blocks of the inverse on the diagonal; there is one more, of the row after the last, if there is
        such a row.
    across
        Blocks of the inverse right of the diagonal.
    """

    first: int
    values: list[Float[np.ndarray, "*b n"]]
    within: list[Float[np.ndarray, "*b n n"]]
    across: list[Float[np.ndarray, "*b n m"]]


def block_tridiagonal_inverse(count: int, row: Callable[[int], Row], most: int) -> Iterator[Solved]:
    """Solve a symmetric positive definite block tridiagonal system, with its inverse on the same blocks.

    However many rows there are, no more than `most` are held: the way forward is gone twice, and what is found comes
    from the last rows to the first.

    Parameters
    ----------
    count
        Rows of blocks.
    row
        Makes one; axes of its blocks before the last two run along.
    most
        Rows that are yielded at once.
    """
    entry = {0: (row(0)[0], row(0)[2])}

    def forward(first: int) -> tuple[list, list, list]:
        inverses, gains, values = [], [], []
        (schur, carried), above = entry[first], row(first)[1]
        for number in range(first, min(first + most, count)):
            inverse = np.linalg.inv(schur)
            inverses.append((inverse + np.swapaxes(inverse, -1, -2)) / 2)
            values.append((inverses[-1] @ carried[..., None])[..., 0])
            if number + 1 < count:
                assert above is not None
                gains.append(inverses[-1] @ above)
                diagonal, further, right = row(number + 1)
                back = np.swapaxes(above, -1, -2)
                schur, carried = diagonal - back @ gains[-1], right - (back @ values[-1][..., None])[..., 0]
                above = further
        entry[first + len(inverses)] = schur, carried
        return inverses, gains, values

    starts = range(0, count, most)
    found: list[tuple[list, list, list]] = []
    for first in starts:
        found.clear()
        found.append(forward(first))
    within, solved = [], []
    for first in reversed(starts):
        inverses, gains, values = found.pop() if found else forward(first)
        within, solved, across = within[:1], solved[:1], []
        for number in range(len(inverses) - 1, -1, -1):
            if not within:
                within, solved = [inverses[number]], [values[number]]
                continue
            back = -gains[number] @ within[0]
            across.insert(0, back)
            solved.insert(0, values[number] - (gains[number] @ solved[0][..., None])[..., 0])
            inverse = inverses[number] - back @ np.swapaxes(gains[number], -1, -2)
            within.insert(0, (inverse + np.swapaxes(inverse, -1, -2)) / 2)
        yield Solved(first, solved, within, across)
