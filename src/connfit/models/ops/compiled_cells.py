"""Compiled cells: a step of all neurons, and with their connections, and the adjoint of a window (`cpp/cell_*.h`)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from connfit.models.neuron import CompiledCell, Neuron
from connfit.models.ops.native import by_column, handler, has
from connfit.models.ops.pattern import Pattern


def has_code(neuron: Neuron) -> bool:
    """Return whether the library has the code of this very step."""
    return neuron.has_compiled and has(f"connfit_{neuron.code}_step")


def cell_step(cell: CompiledCell, states: tuple[Array, ...], received: Array) -> tuple[Array, ...]:
    """Return each state [N, B] after a step, from those before it and what was received [N, B]."""
    taken = {3 + q: q for q in range(len(states))}
    call = handler(f"connfit_{cell.name}_step", *((one.shape, one.dtype) for one in states), aliases=taken)
    return tuple(call(cell.theta, jnp.asarray(cell.options, received.dtype), received, *states))


class CellInputs(NamedTuple):
    """What reaches neurons in a step.

    Attributes
    ----------
    sent
        [N, B] 1 where the spike of a neuron arrives at synapses.
    signs
        [C] of what each channel sends; channel c is neuron c % N.
    bias
        [N]
    others, drive
        [N, B] further input, and one of which what is above 0 counts.
    """

    sent: Array
    signs: Array
    bias: Array
    others: Array | None
    drive: Array | None


def cell_forward(
    cell: CompiledCell, pattern: Pattern, weights: Array, states: tuple[Array, ...], inputs: CellInputs
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Return what is received, where states before the step make a spike [N, B], and each state [N, B] after it."""
    sent, none = inputs.sent, jnp.zeros((0, 0), inputs.sent.dtype)
    results = [(one.shape, one.dtype) for one in (sent, sent, *states)]
    # Spikes take the memory of those that arrive, which are listed before neurons step.
    aliases = {8: 1, **{15 + q: 2 + q for q in range(len(states))}}
    call = handler(f"connfit_{cell.name}_forward", *results, aliases=aliases)
    received, spiked, *after = call(
        pattern.indptr, pattern.indices, *by_column(pattern), weights, sent, inputs.signs, inputs.bias,
        none if inputs.others is None else inputs.others, none if inputs.drive is None else inputs.drive, cell.theta,
        jnp.asarray(cell.options, sent.dtype), *states,
    )  # fmt: skip
    return received, spiked, tuple(after)


class CellRun(NamedTuple):
    """What a window left behind: all that its gradients need.

    Attributes
    ----------
    starts
        [Q, N, B] each state before the window.
    received
        [K, N, B]
    spiked, arrived
        [K, N, B] uint8, 1 where the states before a step make a spike, and where the spike of a neuron arrives.
    signs
        [C] of what each channel sends; channel c is neuron c % N.
    """

    starts: Array
    received: Array
    spiked: Array
    arrived: Array
    signs: Array


class CellWindow(NamedTuple):
    """Gradients and traces of a window of a compiled cell with S traced states, which learns L numbers per neuron.

    Attributes
    ----------
    gradient, trace
        [M] and [S, M, B] of connections.
    own_gradient, own_trace
        [L, N] and [L, S, N, B] of what neurons learn.
    left, trace_left
        [K, N, B] and [K, S, N, B] postsynaptic factors of gradient and traces; empty unless asked for.
    carry, decay
        [N, B, S] and [N, B, S, S], as of `connfit.models.ops.window_outer`.
    """

    gradient: Array
    trace: Array
    own_gradient: Array
    own_trace: Array
    left: Array
    trace_left: Array
    carry: Array
    decay: Array


def cell_window(
    cell: CompiledCell,
    pattern: Pattern,
    run: CellRun,
    readout: Pattern,
    strengths: Array,
    error: Array,
    trace: Array,
    own_trace: Array,
    firing: tuple[Array, Array] | None = None,
    *,
    others: bool,
) -> CellWindow:
    """Compute gradients and traces of a window; new traces take the memory of old ones.

    Parameters
    ----------
    readout, strengths
        With its connections by column: columns are the neurons.
    error
        [K, P, B] ∂loss/∂ of what is read.
    trace, own_trace
        [S, M, B] of connections, and [L, S, N, B] of what neurons learn.
    firing
        [N] and [K, B], whose product is the adjoint of the spikes with which each step begins.
    others
        Whether something else than connections reaches neurons and is learned.
    """
    name = f"connfit_{cell.name}_window{'_bf16' if trace.dtype == jnp.bfloat16 else ''}"
    (steps, rows, batch), planes, kind = run.received.shape, len(trace), run.received.dtype
    steps = steps if others else 0
    call = handler(
        name, ((pattern.nnz,), kind), (trace.shape, trace.dtype), ((len(cell.learned), rows), kind),
        (own_trace.shape, kind), ((steps, rows, batch), kind), ((steps, planes, rows, batch), kind),
        ((rows, batch, planes), kind), ((rows, batch, planes, planes), kind), aliases={14: 1, 15: 3},
    )  # fmt: skip
    by = readout.sorted_by_column()
    options = jnp.asarray(cell.options, kind)
    found = call(
        pattern.indptr, pattern.indices, by.indptr, by.rows, by.places, strengths, cell.theta, options, run.signs,
        run.starts, run.received, run.spiked, run.arrived, error, trace, own_trace, *(firing or ()),
    )  # fmt: skip
    return CellWindow(*found)
