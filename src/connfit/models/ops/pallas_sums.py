"""`matvec` and `rmatvec` as Pallas kernels, which Triton compiles for NVIDIA cards.

A program sums the products of a few pieces of rows, each of at most 128 connections, and a second kernel adds the
pieces of each row in their order: no atomic additions, so results are the same in every call. Pieces rather than whole
rows, for a row of ten thousand connections would keep one program busy long after all others; pieces rather than padded
rows (ELL), for weights, traces and gradients stay as they are stored, and those of short rows are not padded to long
ones. `rmatvec` is the same over the connections by column, whose weights are read where they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from connfit.models.ops.pattern import Pattern
from connfit.models.ops.pieces import cut

PIECE = 128
"""Connections that a program takes at once: a row of the fly's connectome has 109 in the mean."""
_PIECES = 4  # of one program, one for each of its warps
_COLUMNS = 8  # of one program: indices and weights are read once for them
_ROWS, _AT_ONCE = 32, 16  # rows of a program that adds pieces, and pieces of each that it reads at once
_WARPS = 4


def matvec(
    pattern: Pattern, w: Float[Array, "M"], x: Float[Array, "C B"], *, interpret: bool = False
) -> Float[Array, "N B"]:
    """Compute `portable.matvec`; `interpret` runs the kernels as XLA programs, on any device and slowly."""
    return _sums_of_rows(pattern.indptr, pattern.indices, None, w, x, interpret)


def rmatvec(
    pattern: Pattern, w: Float[Array, "M"], v: Float[Array, "N B"], *, interpret: bool = False
) -> Float[Array, "C B"]:
    """Compute `portable.rmatvec`; connections are sorted in the program where `pattern.by_column` is not there."""
    if pattern.nnz == 0:
        return jnp.zeros((pattern.columns, v.shape[1]), v.dtype)
    ordered = pattern.sorted_by_column()
    return _sums_of_rows(ordered.indptr, ordered.rows, ordered.places, w, v, interpret)


def _sums_of_rows(
    indptr: Array, indices: Array, places: Array | None, w: Array, x: Array, interpret: bool
) -> Float[Array, "N B"]:
    rows, nnz, batch = indptr.shape[0] - 1, indices.shape[0], x.shape[1]
    if nnz == 0 or batch == 0:
        return jnp.zeros((rows, batch), x.dtype)
    pieces = cut(indptr, nnz, PIECE, _PIECES)
    total, blocks = len(pieces.row), -(-batch // _COLUMNS)
    call = partial(pl.pallas_call, interpret=interpret, compiler_params=triton.CompilerParams(num_warps=_WARPS))
    in_pieces = call(
        partial(_sum_pieces, blocks=blocks, batch=batch),
        out_shape=jax.ShapeDtypeStruct((total, batch), x.dtype),
        grid=(total // _PIECES * blocks,),
        name="connfit_sum_pieces",
    )(pieces.start, pieces.end, indices, w, x, *(() if places is None else (places,)))
    return call(
        partial(_add_pieces, rows=rows, batch=batch),
        out_shape=jax.ShapeDtypeStruct((rows, batch), x.dtype),
        grid=(-(-rows // _ROWS) * batch,),
        name="connfit_add_pieces",
    )(pieces.first, in_pieces)


def _sum_pieces(
    start: Any, end: Any, indices: Any, w: Any, x: Any, *places_and_sums: Any, blocks: int, batch: int
) -> None:
    """Sum w x over each of a few pieces, for a block of columns."""
    *places, sums = places_and_sums
    program = pl.program_id(0)
    piece = program // blocks * _PIECES + jnp.arange(_PIECES, dtype=jnp.int32)
    connection = start[piece][:, None] + jnp.arange(PIECE, dtype=jnp.int32)[None, :]
    inside = connection < end[piece][:, None]
    source = triton.load(indices.at[connection], mask=inside, other=0)
    if places:
        connection = triton.load(places[0].at[connection], mask=inside, other=0)
    weights = triton.load(w.at[connection], mask=inside, other=0)
    for k in range(min(_COLUMNS, batch)):
        column = program % blocks * _COLUMNS + k
        values = triton.load(x.at[source, column], mask=inside & (column < batch), other=0)
        triton.store(sums.at[piece, column], jnp.sum(weights * values, axis=1), mask=(piece >= 0) & (column < batch))


def _add_pieces(first: Any, in_pieces: Any, sums: Any, *, rows: int, batch: int) -> None:
    """Add the pieces of each of a few rows, for one column."""
    program = pl.program_id(0)
    row, column = program // batch * _ROWS + jnp.arange(_ROWS, dtype=jnp.int32), program % batch
    here = row < rows
    begin = triton.load(first.at[row], mask=here, other=0)
    end = triton.load(first.at[row + 1], mask=here, other=0)

    def add(turn: Array, total: Array) -> Array:
        piece = begin[:, None] + turn * _AT_ONCE + jnp.arange(_AT_ONCE, dtype=jnp.int32)[None, :]
        found = triton.load(in_pieces.at[piece, column], mask=piece < end[:, None], other=0)
        return total + jnp.sum(found, axis=1)

    turns = (jnp.max(end - begin) + _AT_ONCE - 1) // _AT_ONCE
    triton.store(sums.at[row, column], jax.lax.fori_loop(0, turns, add, jnp.zeros(_ROWS, sums.dtype)), mask=here)
