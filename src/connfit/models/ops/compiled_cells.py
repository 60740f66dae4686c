"""Compiled cells: a step of all neurons, and with their connections, and the adjoint of a window (`cpp/cell_*.h`)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
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


class StepInputs(NamedTuple):
    """What reaches neurons in steps beside the spikes on their way: R is the number of steps, or 1 for all alike.

    Attributes
    ----------
    signs, bias
        As of `CellInputs`.
    others, drive
        [R, N, B] further input, and one of which what is above 0 counts.
    events
        Stream and step [B] of external events, thresholds [K] (`connfit.models.ops.poisson_counts`), and what an event
        brings.
    """

    signs: Array
    bias: Array
    others: Array | None
    drive: Array | None
    events: tuple[Array, Array, np.ndarray, float] | None = None


class WhatIsRead(NamedTuple):
    """How units are read out after steps: connections by unit, their strengths, and in which steps [K] at all."""

    indptr: Array
    neurons: Array
    strengths: Array
    scored: Array


class Found(NamedTuple):
    """States after steps, spikes on their way, and what of each step was asked for.

    Attributes
    ----------
    counts
        [N, B] steps that began with a spike.
    received, spiked, read
        [K, N, B], uint8 [K, N, B] where a step began with a spike, and [K, P, B], 0 where nothing is scored.
    """

    states: tuple[Array, ...]
    sent: Array | None
    counts: Array
    received: Array | None
    spiked: Array | None
    read: Array | None


def has_steps(neuron: Neuron) -> bool:
    """Return whether the library takes many steps of this cell in one call."""
    return has_code(neuron) and has(f"connfit_{neuron.code}_run")


def cell_steps(
    cell: CompiledCell,
    pattern: Pattern,
    weights: Array,
    start: tuple[tuple[Array, ...], Array | None],
    inputs: StepInputs,
    steps: int,
    reads: WhatIsRead | None = None,
) -> Found:
    """Take steps of all neurons and their connections, each as `cell_forward`.

    Parameters
    ----------
    start
        States [N, B] before them, and what was sent [d, N, B] with a delay of d steps.
    reads
        None: nothing is read, and nothing of single steps is kept.
    """
    states, sent = start
    kind, (rows, batch) = weights.dtype, states[0].shape
    none, ints = jnp.zeros((0, rows, batch), kind), partial(jnp.zeros, dtype=jnp.int32)
    queue, kept = none if sent is None else sent, 0 if reads is None else steps
    stream, clock, thresholds, event = inputs.events or (*[jnp.zeros(0, jnp.uint32)] * 3, 0.0)
    reading = reads or WhatIsRead(ints(1), ints(0), jnp.zeros(0, kind), jnp.zeros(0, jnp.uint8))
    units = len(reading.indptr) - 1
    results = [
        (queue.shape, kind), ((rows, batch), kind), ((kept, rows, batch), kind), ((kept, rows, batch), jnp.uint8),
        ((kept, units, batch), kind), *((one.shape, one.dtype) for one in states),
    ]  # fmt: skip
    aliases = {13: 0, **{24 + q: 5 + q for q in range(len(states))}}
    after, counts, received, spiked, read, *moved = handler(f"connfit_{cell.name}_run", *results, aliases=aliases)(
        pattern.indptr, pattern.indices, *by_column(pattern), weights, inputs.signs, inputs.bias, cell.theta,
        jnp.asarray(cell.options, kind), jnp.array([steps], jnp.int32), queue,
        none if inputs.others is None else inputs.others, none if inputs.drive is None else inputs.drive, stream, clock,
        jnp.asarray(thresholds), jnp.full(1, event, kind), *reading, *states,
    )  # fmt: skip
    of_steps = (None, None, None) if reads is None else (received, spiked, read)
    return Found(tuple(moved), None if sent is None else after, counts, *of_steps)


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
