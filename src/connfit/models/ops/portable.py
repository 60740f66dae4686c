"""The operators in plain XLA: they run wherever JAX does and are the oracle of the native kernels.

Loops run over columns, recordings and steps one at a time, with everything in them fused into one pass over the
connections, so that nothing larger than a few arrays of M numbers is made. On a CPU sums over K steps in one pass were
2 to 3 times slower, for XLA makes the [M, K] array that they read.
All shapes are two-dimensional here; `connfit.models.ops.operators` brings them into this form.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.ops.pattern import Pattern
from connfit.models.ops.pieces import cut

EXACT = jax.lax.Precision.HIGHEST
"""Of matrix products: float32 is float32 on cards too, which by default round factors to 10 bits (tf32)."""

_PIECE = 32  # connections: on a CPU the fastest of 16, 32 and 64 over one and eight columns


def _at(values: Array, index: Array) -> Array:
    """values[index] without bounds checks: patterns are validated when they are made."""
    return values.at[index].get(mode="promise_in_bounds")


def with_inputs(
    x: Float[Array, "N B"],
    bias: Float[Array, "N"],
    others: Float[Array, "N B"] | None,
    drive: Float[Array, "N B"] | None,
) -> Float[Array, "N B"]:
    """Add to what came through connections what else neurons receive: of a drive what is above 0."""
    x = x + bias[:, None]
    x = x if others is None else x + others
    return x if drive is None else x + jnp.maximum(drive, 0)


def matvec(pattern: Pattern, w: Float[Array, "M"], x: Float[Array, "C B"]) -> Float[Array, "N B"]:
    """Compute y[i, b] = sum over connections e of row i of w[e] x[indices[e], b]."""
    return _sums_of_rows(pattern.indptr, pattern.indices, None, w, x)


def rmatvec(pattern: Pattern, w: Float[Array, "M"], v: Float[Array, "N B"]) -> Float[Array, "C B"]:
    """Compute g[j, b] = sum over connections e with indices[e] = j of w[e] v[row of e, b]."""
    if pattern.by_column is not None:
        sorted_by_column = pattern.by_column
        return _sums_of_rows(sorted_by_column.indptr, sorted_by_column.rows, sorted_by_column.places, w, v)
    if pattern.nnz == 0:
        return jnp.zeros((pattern.columns, v.shape[1]), v.dtype)
    row = pattern.row_of()

    def column(values: Array) -> Array:
        products = w * _at(values, row)
        return jax.ops.segment_sum(products, pattern.indices, pattern.columns, mode="promise_in_bounds")

    return jax.lax.map(column, v.T).T


def _sums_of_rows(indptr: Array, indices: Array, places: Array | None, w: Array, x: Array) -> Array:
    """Sum w x over each row, w at these places: gathers fused with sums over pieces, then one sum of few pieces.

    A sum over all connections at once would be a scatter, which XLA does connection by connection on a CPU (a third to
    a fifth of the speed) and by atomic additions on a card. What is left of it here are the rows of several pieces.
    """
    rows, nnz = indptr.shape[0] - 1, indices.shape[0]
    if nnz == 0:
        return jnp.zeros((rows, x.shape[1]), x.dtype)
    pieces = cut(indptr, nnz, _PIECE)

    def column(values: Array) -> Array:
        connection = pieces.start[:, None] + jnp.arange(_PIECE, dtype=jnp.int32)
        inside = connection < pieces.end[:, None]
        connection = jnp.where(inside, connection, 0)
        weights = _at(w, connection if places is None else _at(places, connection))
        products = jnp.where(inside, weights * _at(values, _at(indices, connection)), 0)
        return jax.ops.segment_sum(products.sum(1), pieces.row, rows, indices_are_sorted=True, mode="promise_in_bounds")

    return jax.lax.map(column, x.T).T


def sampled_outer(pattern: Pattern, left: Float[Array, "N K"], right: Float[Array, "C K"]) -> Float[Array, "M"]:
    """Compute G[e] = sum over k of left[row of e, k] right[indices[e], k]."""
    start = jnp.zeros(pattern.nnz, left.dtype)
    if pattern.nnz == 0:
        return start
    row = pattern.row_of()

    def add(total: Array, ends: tuple[Array, Array]) -> tuple[Array, None]:
        return total + _at(ends[0], row) * _at(ends[1], pattern.indices), None

    return jax.lax.scan(add, start, (left.T, right.T))[0]


def window_outer(
    pattern: Pattern,
    trace: Float[Array, "S M B"],
    carry: Float[Array, "N B S"],
    decay: Float[Array, "N B S S"],
    left: Float[Array, "N B K"],
    trace_left: Float[Array, "N B S K"],
    right: Float[Array, "C B K"],
) -> tuple[Float[Array, "M"], Float[Array, "S M B"]]:
    """Return the gradient with the trace's contribution, and the trace after the window (see
    `connfit.models.ops.window_outer`).
    """
    gradient = jnp.zeros(pattern.nnz, left.dtype)
    if pattern.nnz == 0:
        return gradient, trace
    stored, trace = trace.dtype, trace.astype(left.dtype)
    row, planes = pattern.row_of(), range(len(trace))

    def recording(gradient: Array, part: tuple[Array, ...]) -> tuple[Array, Array]:
        trace, carry, decay, *ends = part

        def step(sums: tuple[Array, tuple], ends: tuple[Array, ...]) -> tuple[tuple[Array, tuple], None]:
            left, trace_left, right = ends
            source = _at(right, pattern.indices)
            kept = tuple(kept + _at(left, row) * source for kept, left in zip(sums[1], trace_left, strict=True))
            return (sums[0] + _at(left, row) * source, kept), None

        for s in planes:
            gradient += _at(carry[s], row) * trace[s]
        kept = tuple(sum(_at(decay[p, q], row) * trace[q] for q in planes) for p in planes)
        gradient, kept = jax.lax.scan(step, (gradient, kept), tuple(ends))[0]
        return gradient, jnp.stack(kept)

    by_step = jnp.transpose(left, (1, 2, 0)), jnp.transpose(trace_left, (1, 3, 2, 0)), jnp.transpose(right, (1, 2, 0))
    by_recording = trace.transpose(2, 0, 1), carry.transpose(1, 2, 0), decay.transpose(1, 2, 3, 0)
    gradient, new_trace = jax.lax.scan(recording, gradient, (*by_recording, *by_step))
    return gradient, new_trace.transpose(1, 2, 0).astype(stored)


def dense_outer(
    trace: Float[Array, "S N B C"],
    carry: Float[Array, "N B S"],
    decay: Float[Array, "N B S S"],
    left: Float[Array, "N B K"],
    trace_left: Float[Array, "N B S K"],
    right: Float[Array, "C B K"],
) -> tuple[Float[Array, "N C"], Float[Array, "S N B C"]]:
    """Compute `window_outer` where every column connects to every row (see `connfit.models.ops.dense_outer`)."""
    stored, trace, einsum = trace.dtype, trace.astype(left.dtype), partial(jnp.einsum, precision=EXACT)
    gradient = einsum("rbs,srbc->rc", carry, trace) + einsum("rbk,cbk->rc", left, right)
    kept = einsum("rbpq,qrbc->prbc", decay, trace) + einsum("rbpk,cbk->prbc", trace_left, right)
    return gradient, kept.astype(stored)
