"""Symmetric block tridiagonal systems, as the precision matrices of processes in time are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def block_tridiagonal_inverse(
    diagonal: Sequence[Float[np.ndarray, "*b n n"]],
    above: Sequence[Float[np.ndarray, "*b n m"]],
    right: Sequence[Float[np.ndarray, "*b n"]],
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Solve a symmetric positive definite block tridiagonal system; also its inverse on the same blocks.

    Parameters
    ----------
    diagonal, above
        Blocks on the diagonal and right of it; the last of `above` is not used. Axes before the last two run along.
    right
        Right-hand side.
    """
    inverses, gains, values = [], [], []
    schur, carried = diagonal[0], right[0]
    for number in range(len(diagonal)):
        if number:
            schur = diagonal[number] - np.swapaxes(above[number - 1], -1, -2) @ gains[-1]
            carried = right[number] - (np.swapaxes(above[number - 1], -1, -2) @ values[-1][..., None])[..., 0]
        inverse = np.linalg.inv(schur)
        inverses.append((inverse + np.swapaxes(inverse, -1, -2)) / 2)
        values.append((inverses[-1] @ carried[..., None])[..., 0])
        if number + 1 < len(diagonal):
            gains.append(inverses[-1] @ above[number])
    within, across = [inverses[-1]], []
    solved = [values[-1]]
    for number in range(len(diagonal) - 2, -1, -1):
        back = -gains[number] @ within[0]
        across.insert(0, back)
        solved.insert(0, values[number] - (gains[number] @ solved[0][..., None])[..., 0])
        inverse = inverses[number] - back @ np.swapaxes(gains[number], -1, -2)
        within.insert(0, (inverse + np.swapaxes(inverse, -1, -2)) / 2)
    return solved, within, across
