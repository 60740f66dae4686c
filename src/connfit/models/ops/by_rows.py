"""Gradients and traces of what is computed only when it is needed, row by row: in blocks where native code runs."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.ops import native
from connfit.models.ops.choice import resolve
from connfit.models.ops.native import OfRows
from connfit.models.ops.operators import dense_outer, window_outer
from connfit.models.ops.pattern import Pattern


def window_outer_by_rows(
    pattern: Pattern,
    trace: Float[Array, "S M B"],
    of_rows: OfRows,
    right: Float[Array, "C B K"],
    after: Array,
    *,
    spikes: bool = False,
) -> tuple[Float[Array, "M"], Float[Array, "S M B"]]:
    """Compute `window_outer` of what is computed only when it is needed; it has no derivative rules.

    Native code goes through large patterns in blocks of rows, so that nothing else of a window is held for all of them.

    Parameters
    ----------
    of_rows
        ``of_rows(first, count)`` returns `carry`, `decay`, `left` and `trace_left` of the rows from `first` on.
    after
        Something to be computed before the memory of the gradient is taken.
    spikes
        As of `window_outer`.
    """
    return _by_rows(
        pattern.rows, trace, of_rows, right,
        lambda carry, decay, left, later: window_outer(pattern, trace, carry, decay, left, later, right, spikes=spikes),
        lambda block: native.window_outer_in_blocks(pattern, trace, of_rows, right, after, block, spikes),
    )  # fmt: skip


def dense_outer_by_rows(
    trace: Float[Array, "S N B C"], of_rows: OfRows, right: Float[Array, "C B K"], after: Array
) -> tuple[Float[Array, "N C"], Float[Array, "S N B C"]]:
    """Compute `dense_outer` of what is computed only when it is needed, as `window_outer_by_rows` does."""
    return _by_rows(
        trace.shape[1], trace, of_rows, right,
        lambda carry, decay, left, later: dense_outer(trace, carry, decay, left, later, right),
        lambda block: native.dense_outer_in_blocks(trace, of_rows, right, after, block),
    )  # fmt: skip


def _by_rows(
    rows: int,
    trace: Array,
    of_rows: OfRows,
    right: Array,
    operator: Callable[..., tuple[Array, Array]],
    in_blocks: Callable[[int], tuple[Array, Array]],
) -> tuple[Array, Array]:
    """Everything at once, or in blocks where native code runs and there is more than one of them."""

    def at_once() -> tuple[Array, Array]:
        return operator(*of_rows(jnp.zeros((), jnp.int32), rows))

    path, (_, batch, steps) = resolve("auto", right.dtype), right.shape
    block = native.rows_at_once(rows, batch * steps * (1 + len(trace)))
    if path in ("portable", "pallas") or block >= rows:
        return at_once()
    if path == "native":
        return in_blocks(block)
    return jax.lax.platform_dependent(cpu=lambda: in_blocks(block), default=at_once)
