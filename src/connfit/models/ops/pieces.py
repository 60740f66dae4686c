"""Rows cut into pieces of equal length at most: what a fused sum, or a program on a card, takes at once.

Rows of a connectome have anything between no and ten thousand connections. Padding all of them to the longest would
multiply every array of connections; padding pieces of L connections costs less than L indices per row, and no array of
weights, traces or gradients changes its order.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int


class Pieces(NamedTuple):
    """Pieces of rows, in the order of the connections; those beyond the last hold none.

    Attributes
    ----------
    row
        [P] row of each piece.
    start, end
        [P] its connections are `start:end`.
    first
        [N + 1] the pieces of row i are `first[i]:first[i + 1]`.
    """

    row: Int[Array, "P"]
    start: Int[Array, "P"]
    end: Int[Array, "P"]
    first: Int[Array, "N+1"]


def cut(indptr: Int[Array, "N+1"], nnz: int, length: int, multiple: int = 1) -> Pieces:
    """Cut rows into pieces of at most `length` connections.

    Their number P follows from the shapes alone, so that this can be compiled: as many as there could be, rounded up
    to a `multiple`.

    Parameters
    ----------
    indptr
        [N + 1] as in `Pattern`, N at least 1.
    nnz
        M, at least 1.
    """
    rows = indptr.shape[0] - 1
    pieces = -(-min(nnz, rows + nnz // length) // multiple) * multiple
    counts = -(-(indptr[1:] - indptr[:-1]) // length)
    first = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)])
    row = jnp.repeat(jnp.arange(rows, dtype=jnp.int32), counts, total_repeat_length=pieces)
    number = jnp.arange(pieces, dtype=jnp.int32)
    start = jnp.where(number < first[-1], indptr[row] + length * (number - first[row]), nnz)
    return Pieces(row, start, jnp.minimum(start + length, indptr[row + 1]), first)
