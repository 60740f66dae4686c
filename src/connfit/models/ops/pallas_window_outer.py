"""`window_outer` and `sampled_outer` as Pallas kernels, which Triton compiles for NVIDIA cards.

A program takes a piece of at most 128 connections of one row: it holds the row's factors once, reads the window of each
connection's source as a row of K numbers, and reads and writes trace and gradient of a connection once. New traces take
the memory of old ones. Every connection is one program's alone, so nothing is added atomically.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from connfit.models.ops import portable
from connfit.models.ops.pallas_sums import PIECE
from connfit.models.ops.pattern import Pattern
from connfit.models.ops.pieces import cut

_STEPS = 16  # of a window at once: 128 x 16 products are 16 registers of each of 128 threads
_WARPS = 4


def sampled_outer(
    pattern: Pattern, left: Float[Array, "N K"], right: Float[Array, "C K"], *, interpret: bool = False
) -> Float[Array, "M"]:
    """Compute `portable.sampled_outer`; `interpret` runs the kernel as an XLA program, on any device and slowly."""
    if pattern.nnz == 0 or left.shape[1] == 0:
        return portable.sampled_outer(pattern, left, right)
    gradient = jax.ShapeDtypeStruct((pattern.nnz,), left.dtype)
    return _call(pattern, (left[:, None], right[:, None]), (), [gradient], interpret)[0]


def window_outer(
    pattern: Pattern,
    trace: Float[Array, "S M B"],
    carry: Float[Array, "N B S"],
    decay: Float[Array, "N B S S"],
    left: Float[Array, "N B K"],
    trace_left: Float[Array, "N B S K"],
    right: Float[Array, "C B K"],
    *,
    interpret: bool = False,
) -> tuple[Float[Array, "M"], Float[Array, "S M B"]]:
    """Compute `portable.window_outer`; traces may be bfloat16, the sums are in the type of the other operands."""
    if pattern.nnz == 0 or trace_left.size == 0:
        return portable.window_outer(pattern, trace, carry, decay, left, trace_left, right)
    results = [jax.ShapeDtypeStruct((pattern.nnz,), left.dtype), jax.ShapeDtypeStruct(trace.shape, trace.dtype)]
    gradient, kept = _call(pattern, (left, right), (carry, decay, trace_left, trace), results, interpret)
    return gradient, kept


def _call(
    pattern: Pattern, factors: tuple[Array, Array], traces: tuple[Array, ...], results: list, interpret: bool
) -> list[Array]:
    """One program for each piece; the new trace, the second result, takes the memory of the last operand."""
    pieces = cut(pattern.indptr, pattern.nnz, PIECE)
    operands = pieces.row, pieces.start, pieces.end, pattern.indices, *factors, *traces
    _, batch, steps = factors[0].shape
    found: list[Array] = pl.pallas_call(
        partial(_kernel, batch=batch, steps=steps, states=traces[0].shape[2] if traces else 0),
        out_shape=results,
        grid=(len(pieces.row),),
        input_output_aliases={len(operands) - 1: 1} if traces else {},
        interpret=interpret,
        compiler_params=triton.CompilerParams(num_warps=_WARPS),
        name="connfit_window_outer" if traces else "connfit_sampled_outer",
    )(*operands)
    return found


def _kernel(
    row_of: Any, start: Any, end: Any, indices: Any, left: Any, right: Any, *rest: Any, batch: int, steps: int,
    states: int,
) -> None:  # fmt: skip
    """Gradient, and with states also new traces, of the connections of one piece.

    `rest` is the gradient alone, or carry, decay, trace_left, trace, gradient, new trace.
    """
    *of_traces, gradient = rest[:-1] if states else rest
    piece, width = pl.program_id(0), min(_STEPS, pl.next_power_of_2(steps))
    row = row_of[piece]
    connection = start[piece] + jnp.arange(PIECE, dtype=jnp.int32)
    inside = connection < end[piece]
    source = triton.load(indices.at[connection], mask=inside, other=0)

    def recording(b: Array, total: Array) -> Array:
        kept: list[Array] = []
        if states:
            carry, decay, trace_left, trace = of_traces
            old = [
                triton.load(trace.at[s, connection, b], mask=inside, other=0).astype(gradient.dtype)
                for s in range(states)
            ]
            for s in range(states):
                total += carry[row, b, s] * old[s]
                kept.append(sum((decay[row, b, s, q] * old[q] for q in range(states)), jnp.zeros_like(total)))
        for first in range(0, steps, width):
            step = first + jnp.arange(width, dtype=jnp.int32)
            there = step < steps
            seen = triton.load(
                right.at[source[:, None], b, step[None, :]], mask=inside[:, None] & there[None, :], other=0
            )
            total += jnp.sum(seen * triton.load(left.at[row, b, step], mask=there, other=0)[None, :], axis=1)
            for s in range(states):
                factor = triton.load(trace_left.at[row, b, s, step], mask=there, other=0)
                kept[s] += jnp.sum(seen * factor[None, :], axis=1)
        for s in range(states):
            triton.store(rest[-1].at[s, connection, b], kept[s].astype(rest[-1].dtype), mask=inside)
        return total

    total = jax.lax.fori_loop(0, batch, recording, jnp.zeros(PIECE, gradient.dtype))
    triton.store(gradient.at[connection], total, mask=inside)
