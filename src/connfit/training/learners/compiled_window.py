"""D-RTRL of cells whose window is compiled as a whole: adjoint, gradients and traces in one pass over the neurons.

Errors travel along each neuron's own states alone, so that nothing of a window is needed of other neurons than their
spikes. What the operators of `connfit.models.ops` would need of every step, many arrays of a window, is then never
made. Contract tests compare a compiled window with the learner's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.base import Model, Neurons, Params
from connfit.models.compiled_run import spiking_window, window_in_one_call
from connfit.models.forward import Trajectory
from connfit.models.maps import SparseMap, SynapticMap
from connfit.models.ops.choice import runs_native
from connfit.models.ops.compiled_cells import CellRun, cell_window, has_code
from connfit.models.windows import run_steps
from connfit.training.learners.firing_rates import FiringAdjoint
from connfit.training.learners.learner import WindowArrays
from connfit.training.learners.window_sums import side_by_side

COMPILED = "neuron", "trace"
"""Credit and carry of D-RTRL."""


def has_compiled_window(model: Model, trained: tuple[str, ...]) -> bool:
    """Return whether the cell has a compiled window that does all that is asked of it, and native code runs here."""
    return (
        has_code(model.neuron)
        and type(model.recurrent) is type(model.readout) is SparseMap  # not of one block of neurons
        and model.recurrent_group in trained
        and not model.forces
        and "readout" not in trained
        and runs_native(jnp.result_type(float))
    )


class CompiledForward(NamedTuple):
    """A window that was run, for its adjoint.

    Attributes
    ----------
    run
        What neurons received and when they spiked.
    gate, inputs
        As of `Trajectory`; None without a drive that is learned.
    external
        Features of external inputs; None where there are none.
    """

    run: CellRun
    gate: Float[Array, "K N B"] | None
    inputs: Float[Array, "K P B"] | None
    external: Float[Array, "K F B"] | None


def forward_window(
    model: Model, params: Params, start: Neurons, window: WindowArrays
) -> tuple[Neurons, Float[Array, "K P B"], CompiledForward]:
    """Return the neurons after a window, what is read of them after each step, and what the adjoint needs.

    Nothing is read after a step in which nothing is scored: most, where a frame lasts for many.
    """
    theta, strengths, neuron = model.constants(params), model.readout_strengths(params), model.neuron

    def keep(after: Neurons, seen: Trajectory, scored: Array) -> tuple[Array, Array, Array, Array | None, Array | None]:
        def read_out() -> Array:
            return model.readout.apply(strengths, neuron.observed(theta, after.states))

        read = jax.lax.cond(scored, read_out, lambda: jnp.zeros(window.inputs.shape[1:], seen.received[0].dtype))
        spiked = neuron.output(theta, seen.states) if after.sent is None else after.sent[-1]
        gate, inputs = (None, None) if model.drive is None else (seen.gate, seen.inputs)
        return read, seen.received[0], spiked.astype(jnp.uint8), gate, inputs

    scored = (window.weights != 0).any((1, 2))
    if window_in_one_call(model, window.fed_back, start.rates.dtype):
        end, (read, received, spiked, gate) = spiking_window(
            model, params, start, window.inputs, window.external, scored
        )
        inputs = None if gate is None else window.inputs
    else:
        given = window.inputs, window.forced, window.fed_back, window.external
        end, (read, received, spiked, gate, inputs) = run_steps(model, params, start, given, keep, scored)
    arrived = spiked
    if start.sent is not None:
        arrived = jnp.concatenate([start.sent.astype(jnp.uint8), spiked])[: len(spiked)]
    signs = model.outputs(jnp.ones((model.neurons, 1), read.dtype))[:, 0]
    run = CellRun(jnp.stack(start.states), received, spiked, arrived, signs)
    return end, read, CompiledForward(run, gate, inputs, window.external)


def compiled_window(
    model: Model,
    params: Params,
    traces: dict[str, Any],
    forward: CompiledForward,
    error: Float[Array, "K P B"],
    trained: tuple[str, ...],
    firing: FiringAdjoint | None = None,
) -> tuple[Params, dict[str, Any]]:
    """Return gradients and traces of D-RTRL.

    Parameters
    ----------
    traces
        At the window's start, by group.
    error
        ∂loss/∂y of each step.
    firing
        What a penalty says of the spikes with which each step begins.
    """
    assert isinstance(model.recurrent, SparseMap) and isinstance(model.readout, SparseMap)
    cell = model.neuron.compiled(model.constants(params))
    assert cell is not None
    traced, pattern, group = model.neuron.traced, model.recurrent.pattern, model.recurrent_group
    nothing = jnp.zeros((len(traced), model.neurons, error.shape[2]), error.dtype)
    own = [
        jnp.stack([traces[name][q] for q in traced]) if name in trained and name in traces else nothing
        for name in cell.learned
    ]
    others = {name: one for name, one in _others(model, forward).items() if name in trained}
    window = cell_window(
        cell, pattern, forward.run, model.readout.pattern, model.readout_strengths(params), error, traces[group],
        jnp.stack(own), firing, others=bool(others),
    )  # fmt: skip
    found: Params = {group: window.gradient}
    after: dict[str, Any] = {group: window.trace}
    for name, (synapses, right, gate) in others.items():
        left, trace_left = window.left, window.trace_left
        if gate is not None:
            left, trace_left = gate * left, gate[:, None] * trace_left
        found[name], after[name] = synapses.outer_with_trace(
            traces[name], window.carry, window.decay, side_by_side(left), trace_left.transpose(2, 3, 1, 0),
            side_by_side(right),
        )  # fmt: skip
    by_number, kept = window.own_gradient, window.own_trace
    for k, name in enumerate(cell.learned):
        if name not in trained:
            continue
        after[name] = tuple(
            kept[k, traced.index(q)] if q in traced else one for q, one in enumerate(traces[name])
        )  # fmt: skip
        key, slope = as_stored(model, params, name, by_number[k])
        found[key] = slope
    for parameter in model.parameters:
        if parameter.name in trained and parameter.key not in found:  # what counts, and has no derivative
            found[parameter.key] = jnp.zeros_like(params[parameter.key])
            after[parameter.name] = traces[parameter.name]
    return found, after


def as_stored(model: Model, params: Params, name: str, slope: Float[Array, "N"]) -> tuple[str, Float[Array, "#N"]]:
    """Return the key under which neurons' numbers of a group are stored, and the gradient of what is stored."""
    parameter = next((one for one in model.parameters if one.name == name), None)
    if parameter is None:
        return name, slope
    return parameter.key, parameter.gradient(slope, params[parameter.key], model.step_s)


def _others(model: Model, forward: CompiledForward) -> dict[str, tuple[SynapticMap, Array, Array | None]]:
    """What reaches neurons beside connections: its map, its sources at each step, and where it is open."""
    found: dict[str, tuple[SynapticMap, Array, Array | None]] = {}
    if model.drive is not None:
        assert forward.inputs is not None
        found["drive"] = model.drive, forward.inputs, forward.gate
    if model.inputs is not None:
        steps, _, batch = forward.run.received.shape
        nothing = jnp.zeros((steps, model.inputs.sources, batch), forward.run.received.dtype)
        found["inputs"] = model.inputs, nothing if forward.external is None else forward.external, None
    return found
