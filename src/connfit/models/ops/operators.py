"""The sparse operators: shapes and derivative rules.

Every operator is linear in each of its operands, so each derivative is again one of the operators.
The rules are `jax.custom_vjp`: reverse mode of any order works, forward mode (`jax.jvp`) does not.

Under `jax.vmap`, more columns of `x` or `v` with a shared pattern and weights become columns of one
call; anything else that is mapped over runs one call after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.errors import ConfigError
from connfit.models.ops import native, portable
from connfit.models.ops.choice import resolve
from connfit.models.ops.pattern import Pattern


@partial(jax.jit, static_argnames=("operator", "path"), inline=True)
def _run(operator: str, path: str, *operands: Any) -> Any:
    """One operator without derivative rules."""
    linear = operator.removeprefix("event_")
    plain: Callable[..., Any] = getattr(portable, linear)
    if path == "portable":
        return plain(*operands)
    if path == "pallas":
        from connfit.models.ops import pallas_operators  # imported late: Pallas takes a third of a second

        return getattr(pallas_operators, linear)(*operands)
    compiled: Callable[..., Any] = getattr(native, operator)
    if path == "native":
        return compiled(*operands)
    return jax.lax.platform_dependent(*operands, cpu=compiled, default=plain)


def _matvec_backward(path: str, saved: tuple, g: Array) -> tuple:
    pattern, w, x = saved
    return None, _sampled_outer(path, pattern, g, x), _rmatvec(path, pattern, w, g)


def _rmatvec_backward(path: str, saved: tuple, g: Array) -> tuple:
    pattern, w, v = saved
    return None, _sampled_outer(path, pattern, v, g), _matvec(path, pattern, w, g)


def _sampled_outer_backward(path: str, saved: tuple, g: Array) -> tuple:
    pattern, left, right = saved
    return None, _matvec(path, pattern, g, right), _rmatvec(path, pattern, g, left)


def _window_outer_backward(path: str, saved: tuple, g: tuple[Array, Array]) -> tuple:
    pattern, trace, carry, decay, left, trace_left, right = saved
    g_gradient, g_trace = g
    row, einsum = pattern.row_of(), partial(jnp.einsum, precision=portable.EXACT)

    def by_row(values: Array) -> Array:
        return jax.ops.segment_sum(values, row, pattern.rows, indices_are_sorted=True)

    stored, trace, g_trace = trace.dtype, trace.astype(left.dtype), g_trace.astype(left.dtype)
    d_trace = g_gradient[:, None] * carry[row].transpose(2, 0, 1) + einsum("pmb,mbpq->qmb", g_trace, decay[row])
    d_carry = by_row(g_gradient[:, None, None] * trace.transpose(1, 2, 0))
    d_decay = by_row(einsum("pmb,qmb->mbpq", g_trace, trace))
    d_left = _matvec(path, pattern, g_gradient, right.reshape(pattern.columns, -1)).reshape(left.shape)
    d_right = _rmatvec(path, pattern, g_gradient, left.reshape(pattern.rows, -1)).reshape(right.shape)
    d_trace_left = jnp.zeros_like(trace_left)
    for s, b in product(range(len(trace)), range(trace.shape[2])):
        d_trace_left = d_trace_left.at[:, b, s].set(_matvec(path, pattern, g_trace[s, :, b], right[:, b]))
        d_right = d_right.at[:, b].add(_rmatvec(path, pattern, g_trace[s, :, b], trace_left[:, b, s]))
    return None, d_trace.astype(stored), d_carry, d_decay, d_left, d_trace_left, d_right


def _differentiable(operator: str, backward: Callable[..., tuple]) -> Callable[..., Any]:
    """The operator as a function of (path, pattern, *operands) with its reverse rule."""

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def call(path: str, pattern: Pattern, *operands: Array) -> Any:
        return _run(operator, path, pattern, *operands)

    def forward(path: str, pattern: Pattern, *operands: Array) -> tuple[Any, tuple]:
        return call(path, pattern, *operands), (pattern, *operands)

    call.defvjp(forward, backward)
    return call


_matvec = _differentiable("matvec", _matvec_backward)
_event_matvec = _differentiable("event_matvec", _matvec_backward)
_rmatvec = _differentiable("rmatvec", _rmatvec_backward)
_sampled_outer = _differentiable("sampled_outer", _sampled_outer_backward)
_event_sampled_outer = _differentiable("event_sampled_outer", _sampled_outer_backward)
_window_outer = _differentiable("window_outer", _window_outer_backward)
_event_window_outer = _differentiable("event_window_outer", _window_outer_backward)


def _dense_outer_backward(path: str, saved: tuple, g: tuple[Array, Array]) -> tuple:
    return jax.vjp(portable.dense_outer, *saved)[1](g)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _dense_outer(path: str, *operands: Array) -> Any:
    return _run("dense_outer", path, *operands)


_dense_outer.defvjp(lambda path, *operands: (_dense_outer(path, *operands), operands), _dense_outer_backward)


def _common_beside_trace(trace: Array, *others: Array) -> tuple[Array, ...]:
    """As `_common`, except that traces in bfloat16 stay so."""
    return (trace, *_common(*others)) if trace.dtype == jnp.bfloat16 else tuple(_common(trace, *others))


def _common(*operands: Array) -> list[Array]:
    """The operands in their common float type."""
    dtype = jnp.result_type(*operands)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ConfigError(f"operators need real floating point operands, got {dtype}")
    return [jnp.asarray(x, dtype) for x in operands]


def _expect(operator: str, **shapes: tuple[Array, tuple[int, ...]]) -> None:
    """Raise a ConfigError that names the first operand whose shape is wrong."""
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ConfigError(f"{operator}: {name} has shape {array.shape}, but must have {shape}")


def matvec(
    pattern: Pattern,
    w: Float[Array, "M"],
    x: Float[Array, "C *B"],
    *,
    spikes: bool = False,
    implementation: str = "auto",
) -> Float[Array, "N *B"]:
    """Sum the weighted inputs of every row: ``y_i = sum_e w_e x[indices_e]`` over the connections e of row i.

    Parameters
    ----------
    pattern
        Connections of N rows to C columns.
    w
        [M] weight of each connection.
    x
        [C] or [C, B] values of the columns; B of them share one pass over the connections.
    spikes
        Whether nearly all of `x` is 0: native code then follows the columns that are not, as long as that is quicker.
        It needs the connections by column, which it sorts at every call if `pattern` has none
        (`Pattern.with_columns`).
    implementation
        `"auto"`, `"native"`, `"portable"` or `"pallas"`, see `use`.

    Returns
    -------
    Array
        [N] or [N, B], in the common float type of `w` and `x`. Bit for bit the same for any
        number of threads.

    Raises
    ------
    ConfigError
        If shapes contradict the pattern.
    NotAvailableError
        If native code is asked for and was not compiled.
    """
    w, x = _common(w, x)
    _expect("matvec", w=(w, (pattern.nnz,)), x=(x, (pattern.columns, *x.shape[1:2])))
    path = resolve(implementation, x.dtype)
    product = _event_matvec if spikes else _matvec
    return product(path, pattern, w, x) if x.ndim == 2 else product(path, pattern, w, x[:, None])[:, 0]


def rmatvec(
    pattern: Pattern, w: Float[Array, "M"], v: Float[Array, "N *B"], *, implementation: str = "auto"
) -> Float[Array, "C *B"]:
    """Apply the adjoint of `matvec`: ``g_j = sum_e w_e v[row of e]`` over the connections e with column j.

    Parameters
    ----------
    pattern
        Connections of N rows to C columns.
    w
        [M] weight of each connection.
    v
        [N] or [N, B] values of the rows.
    implementation
        `"auto"`, `"native"`, `"portable"` or `"pallas"`, see `use`.

    Returns
    -------
    Array
        [C] or [C, B]. Bit for bit the same for any number of threads.

    Raises
    ------
    ConfigError, NotAvailableError
        As `matvec`.
    """
    w, v = _common(w, v)
    _expect("rmatvec", w=(w, (pattern.nnz,)), v=(v, (pattern.rows, *v.shape[1:2])))
    path = resolve(implementation, v.dtype)
    return _rmatvec(path, pattern, w, v) if v.ndim == 2 else _rmatvec(path, pattern, w, v[:, None])[:, 0]


def sampled_outer(
    pattern: Pattern,
    left: Float[Array, "N K"],
    right: Float[Array, "C K"],
    *,
    spikes: bool = False,
    implementation: str = "auto",
) -> Float[Array, "M"]:
    """Multiply ``left @ right.T`` only where there are connections: ``G_e = sum_k left[i, k] right[j, k]``.

    This is the gradient of `matvec` with respect to its weights, summed over K columns or steps.

    Parameters
    ----------
    pattern
        Connections of N rows to C columns; connection e joins row i and column j.
    left, right
        [N, K] and [C, K].
    spikes
        Whether nearly all of `right` is 0: native code then goes through what is not.
    implementation
        `"auto"`, `"native"`, `"portable"` or `"pallas"`, see `use`.

    Raises
    ------
    ConfigError, NotAvailableError
        As `matvec`.
    """
    left, right = _common(left, right)
    k = left.shape[-1] if left.ndim else 0
    _expect("sampled_outer", left=(left, (pattern.rows, k)), right=(right, (pattern.columns, k)))
    product = _event_sampled_outer if spikes else _sampled_outer
    return product(resolve(implementation, left.dtype), pattern, left, right)


def window_outer(
    pattern: Pattern,
    trace: Float[Array, "*S M B"],
    carry: Float[Array, "N B *S"],
    decay: Float[Array, "N B *SS"],
    left: Float[Array, "N B K"],
    trace_left: Float[Array, "N B *S K"],
    right: Float[Array, "C B K"],
    *,
    spikes: bool = False,
    implementation: str = "auto",
) -> tuple[Float[Array, "M"], Float[Array, "*S M B"]]:
    """Return the gradient of a window of K steps and the eligibility traces after it, in one pass over the connections.

    For connection e from column j to row i, summed over B recordings, K steps, and the S states of a neuron::

        G[e]             = sum_b ( sum_s carry[i,b,s] trace[s,e,b] + sum_k left[i,b,k] right[j,b,k] )
        new_trace[s,e,b] = sum_q decay[i,b,s,q] trace[q,e,b] + sum_k trace_left[i,b,s,k] right[j,b,k]

    Of neurons with one state the axes of length S may be left out.

    Native code overwrites `trace` where XLA may do so: under `jit` with the trace donated, or as
    the carry of a `scan`. Otherwise, and of a trace without the axis of states, XLA copies it first.

    Parameters
    ----------
    pattern
        Connections of N rows to C columns.
    trace
        [S, M, B] traces at the start of the window. In bfloat16 they are read as they are and the new ones
        rounded to the nearest, while all sums are in the float type of the other operands.
    carry
        [N, B, S] adjoint of the states at the start of the window.
    decay
        [N, B, S, S] what the whole window leaves of traces.
    left, trace_left
        [N, B, K] and [N, B, S, K] postsynaptic factors of gradient and traces.
    right
        [C, B, K] presynaptic factor; with K = 16 and B = 1 a row is one cache line.
    spikes
        Whether nearly all of `right` is 0: native code then lists what is not, once a window, and goes through these
        lists for every connection.
    implementation
        `"auto"`, `"native"`, `"portable"` or `"pallas"`, see `use`.

    Returns
    -------
    gradient, new_trace
        [M] and [S, M, B]. Bit for bit the same for any number of threads.

    Raises
    ------
    ConfigError, NotAvailableError
        As `matvec`.
    """
    trace, carry, decay, left, trace_left, right = _common_beside_trace(trace, carry, decay, left, trace_left, right)
    planes, steps = trace.shape[: trace.ndim - 2], left.shape[2] if left.ndim == 3 else 0
    batch = trace.shape[-1] if trace.ndim in (2, 3) else 0
    _expect(
        "window_outer",
        trace=(trace, (*planes, pattern.nnz, batch)),
        carry=(carry, (pattern.rows, batch, *planes)),
        decay=(decay, (pattern.rows, batch, *planes, *planes)),
        left=(left, (pattern.rows, batch, steps)),
        trace_left=(trace_left, (pattern.rows, batch, *planes, steps)),
        right=(right, (pattern.columns, batch, steps)),
    )
    path = resolve(implementation, left.dtype)
    outer = _event_window_outer if spikes else _window_outer
    if planes:
        return outer(path, pattern, trace, carry, decay, left, trace_left, right)
    one = trace[None], carry[..., None], decay[..., None, None], left, trace_left[:, :, None], right
    gradient, kept = outer(path, pattern, *one)
    return gradient, kept[0]


def dense_outer(
    trace: Float[Array, "*S N B C"],
    carry: Float[Array, "N B *S"],
    decay: Float[Array, "N B *SS"],
    left: Float[Array, "N B K"],
    trace_left: Float[Array, "N B *S K"],
    right: Float[Array, "C B K"],
    *,
    implementation: str = "auto",
) -> tuple[Float[Array, "N C"], Float[Array, "*S N B C"]]:
    """Compute `window_outer` where every column connects to every row, as in a dense drive.

    Parameters
    ----------
    trace
        [S, N, B, C] traces at the start of the window; may be bfloat16, as in `window_outer`.
    carry, decay, left, trace_left, right
        As in `window_outer`.
    implementation
        `"auto"`, `"native"`, `"portable"` or `"pallas"`, see `use`.

    Returns
    -------
    gradient, new_trace
        [N, C] and [S, N, B, C].

    Raises
    ------
    ConfigError, NotAvailableError
        As `matvec`.
    """
    trace, carry, decay, left, trace_left, right = _common_beside_trace(trace, carry, decay, left, trace_left, right)
    *planes, rows, batch, columns = trace.shape
    steps = left.shape[2] if left.ndim == 3 else 0
    _expect(
        "dense_outer",
        carry=(carry, (rows, batch, *planes)),
        decay=(decay, (rows, batch, *planes, *planes)),
        left=(left, (rows, batch, steps)),
        trace_left=(trace_left, (rows, batch, *planes, steps)),
        right=(right, (columns, batch, steps)),
    )
    path = resolve(implementation, left.dtype)
    if planes:
        return _dense_outer(path, trace, carry, decay, left, trace_left, right)
    one = trace[None], carry[..., None], decay[..., None, None], left, trace_left[:, :, None], right
    found: tuple[Array, Array] = _dense_outer(path, *one)
    return found[0], found[1][0]
