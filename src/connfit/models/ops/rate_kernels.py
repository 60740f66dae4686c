"""Compiled rate neurons: a step with the connections that lead to it, and what a window leaves (`cpp/rate.h`)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from connfit.models.ops.choice import runs_native
from connfit.models.ops.native import handler, has
from connfit.models.ops.operators import matvec
from connfit.models.ops.pattern import Pattern
from connfit.models.ops.portable import with_inputs


def has_rates(dtype: jnp.dtype) -> bool:
    """Return whether the library has this code, and native code runs here in this precision."""
    return runs_native(dtype) and has("connfit_rate_backward")


Operands = tuple[Pattern, Array, Array, Array, Array, Array | None, Array | None, Array]
"""Of `rate_step`."""


@jax.custom_vjp
def rate_step(
    pattern: Pattern,
    weights: Array,
    sources: Array,
    bias: Array,
    decay: Array,
    others: Array | None,
    drive: Array | None,
    rates: Array,
) -> tuple[Array, Array]:
    """Return the rates [N, B] after ``r <- α r + (1 - α) max(x, 0)``, and the input x [N, B].

    Parameters
    ----------
    weights, sources
        [M] and [C, B], of which the pattern makes what neurons receive.
    bias, decay
        [N] and α [N].
    others, drive
        [N, B] further input, and one of which what is above 0 counts.
    rates
        [N, B] before the step.
    """
    nothing = jnp.zeros((0, 0), rates.dtype)
    call = handler("connfit_rate_forward", (rates.shape, rates.dtype), (rates.shape, rates.dtype))
    after, received = call(
        pattern.indptr, pattern.indices, weights, sources, bias, decay, nothing if others is None else others,
        nothing if drive is None else drive, rates,
    )  # fmt: skip
    return after, received


def _in_operators(*operands: *Operands) -> tuple[Array, Array]:
    pattern, weights, sources, bias, decay, others, drive, rates = operands
    x = with_inputs(matvec(pattern, weights, sources), bias, others, drive)
    return decay[:, None] * rates + (1 - decay[:, None]) * jnp.maximum(x, 0), x


def _forward(*operands: *Operands) -> tuple[tuple[Array, Array], Operands]:
    return rate_step(*operands), operands


def _backward(operands: Operands, slopes: tuple[Array, Array]) -> tuple[Array | None, ...]:
    pattern, *numbers = operands
    return None, *jax.vjp(lambda *numbers: _in_operators(pattern, *numbers), *numbers)[1](slopes)


rate_step.defvjp(_forward, _backward)


class RateWindow(NamedTuple):
    """What a window of K steps leaves.

    Attributes
    ----------
    left, trace_left
        [N, B, K] and [N, B, 1, K] postsynaptic factors of gradient and traces.
    gated, trace_gated
        The same where the drive acts; empty without one.
    carry, decay
        [N, B, 1] and [N, B, 1, 1], as of `connfit.models.ops.window_outer`.
    own_gradient, own_trace
        [2, N] and [2, N, B] of time constants (by α) and bias.
    """

    left: Array
    trace_left: Array
    gated: Array
    trace_gated: Array
    carry: Array
    decay: Array
    own_gradient: Array
    own_trace: Array


def rate_window(
    decay: Array,
    states: Array,
    received: Array,
    errors: Array | tuple[Array, Array],
    kept: Array | None,
    gate: Array | None,
    own_trace: Array,
) -> RateWindow:
    """Follow errors back along each neuron's own rate, through all steps of a window, or take them as they are.

    Parameters
    ----------
    decay
        α [N].
    states, received
        [K, N, B] rates before each step, and the input.
    errors
        [N, K, B] adjoint of the rates after each step by what is read of them; or their whole adjoint [K, N, B], and
        that of the rates before the window [N, B].
    kept
        [K, N, B] of the rate before each step, after state forcing; None: all.
    gate
        [K, N, B] uint8, 1 where the drive acts; None without one.
    own_trace
        [2, N, B] of time constants and bias; its memory is taken.
    """
    (steps, rows, batch), kind = states.shape, states.dtype
    lefts = ((rows, batch, steps), kind), ((rows, batch, 1, steps), kind)
    gated = ((0, 0, 0), kind), ((0, 0, 0, 0), kind)
    call = handler(
        "connfit_rate_backward", *lefts, *(gated if gate is None else lefts), ((rows, batch, 1), kind),
        ((rows, batch, 1, 1), kind), ((2, rows), kind), (own_trace.shape, kind), aliases={8: 7},
    )  # fmt: skip
    nothing = jnp.zeros((0, 0, 0), kind)
    given = (nothing, *errors) if isinstance(errors, tuple) else (errors, nothing, jnp.zeros((0, 0), kind))
    kept = nothing if kept is None else kept
    gate = nothing.astype(jnp.uint8) if gate is None else gate
    found = call(decay, states, received, *given, kept, gate, own_trace)
    return RateWindow(*found)
