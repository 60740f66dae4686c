"""D-RTRL of cells whose window is compiled as a whole: adjoint, gradients and traces in one pass over the neurons.

Errors travel along each neuron's own states alone, so that nothing of a window is needed of other neurons than their
spikes. What the operators of `connfit.models.ops` would need of every step, many arrays of a window, is then never
made. Contract tests compare a compiled window with the learner's own.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.base import Model, Params
from connfit.models.forward import Trajectory
from connfit.models.maps import SparseMap, SynapticMap
from connfit.models.ops import native
from connfit.models.ops.choice import runs_native
from connfit.training.learners.window_sums import side_by_side


def has_compiled_window(model: Model, params: Params, trained: tuple[str, ...]) -> bool:
    """Return whether the cell has a compiled window that does all that is asked of it, and native code runs here."""
    asked = (
        model.neuron.has_compiled
        and type(model.recurrent) is SparseMap  # not of one block of neurons
        and model.recurrent_group in trained
        and not model.forces
        and "readout" not in trained
        and runs_native(jnp.result_type(float))
    )
    cell = model.neuron.compiled(model.constants(params)) if asked else None
    return cell is not None and native.has_cell_window(cell)


def compiled_window(
    model: Model,
    params: Params,
    traces: dict[str, Any],
    forward: Trajectory,
    arrived: Float[Array, "K N B"],
    error: Float[Array, "K P B"],
    external: Float[Array, "K F B"] | None,
    trained: tuple[str, ...],
) -> tuple[Params, dict[str, Any]]:
    """Return gradients and traces of D-RTRL.

    Parameters
    ----------
    traces
        At the window's start, by group.
    arrived
        What arrived at synapses at each step.
    error
        ∂loss/∂y of each step.
    external
        Features of external inputs; None where there are none.
    """
    assert isinstance(model.recurrent, SparseMap)
    cell = model.neuron.compiled(model.constants(params))
    assert cell is not None
    traced, pattern, group = model.neuron.traced, model.recurrent.pattern, model.recurrent_group
    batch, strengths = error.shape[2], model.readout_strengths(params)
    scored = (error != 0).any(axis=(1, 2))

    def back(now: tuple[Array, Array]) -> Array:
        nothing = jnp.zeros((model.neurons, batch), error.dtype)
        return jax.lax.cond(now[0], lambda: model.readout.adjoint(strengths, now[1]), lambda: nothing)

    read = jax.lax.map(back, (scored, error))
    (sources,) = jax.vmap(model.sources)(arrived)
    nothing = jnp.zeros((len(traced), model.neurons, batch), read.dtype)
    own = [
        jnp.stack([traces[name][q] for q in traced]) if name in trained and name in traces else nothing
        for name in cell.learned
    ]
    others = {name: one for name, one in _others(model, forward, external).items() if name in trained}
    window = native.cell_window(
        cell, pattern, forward.states, sources, read, scored.astype(read.dtype), traces[group], jnp.stack(own),
        others=bool(others),
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
    numbers = {parameter.name: parameter for parameter in model.parameters}
    for k, name in enumerate(cell.learned):
        if name not in trained:
            continue
        after[name] = tuple(
            kept[k, traced.index(q)] if q in traced else one for q, one in enumerate(traces[name])
        )  # fmt: skip
        if (parameter := numbers.get(name)) is None:
            found[name] = by_number[k]
        else:
            found[parameter.key] = parameter.gradient(by_number[k], params[parameter.key], model.step_s)
    for parameter in model.parameters:
        if parameter.name in trained and parameter.key not in found:  # what counts, and has no derivative
            found[parameter.key] = jnp.zeros_like(params[parameter.key])
            after[parameter.name] = traces[parameter.name]
    return found, after


def _others(
    model: Model, forward: Trajectory, external: Float[Array, "K F B"] | None
) -> dict[str, tuple[SynapticMap, Array, Array | None]]:
    """What reaches neurons beside connections: its map, its sources at each step, and where it is open."""
    found: dict[str, tuple[SynapticMap, Array, Array | None]] = {}
    if model.drive is not None:
        found["drive"] = model.drive, forward.inputs, forward.gate
    if model.inputs is not None:
        steps, _, batch = forward.gate.shape
        nothing = jnp.zeros((steps, model.inputs.sources, batch), forward.gate.dtype)
        found["inputs"] = model.inputs, nothing if external is None else external, None
    return found
