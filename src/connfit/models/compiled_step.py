"""A step of all neurons by native code, where their cell has some, and together with their connections."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models import ops
from connfit.models.base import Model, Neurons, Params
from connfit.models.maps import SparseMap
from connfit.models.neuron import Neuron, States, Theta, as_states
from connfit.models.ops.choice import runs_native
from connfit.models.ops.compiled_cells import CellInputs, cell_forward, cell_step, has_code
from connfit.models.ops.pattern import Pattern
from connfit.models.ops.portable import with_inputs
from connfit.models.ops.rate_kernels import has_rates, rate_step


def step_neurons(neuron: Neuron, theta: Theta, h: States, x: States) -> States:
    """Return the states after `Neuron.step`, in one pass over memory where that is compiled."""
    if has_code(neuron) and h[0].ndim == 2 and runs_native(h[0].dtype):
        return _compiled(neuron, theta, h, x)
    return as_states(neuron.step(theta, h, x))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _compiled(neuron: Neuron, theta: Theta, h: States, x: States) -> States:
    cell = neuron.compiled(theta)
    assert cell is not None
    return cell_step(cell, h, x[0])


@_compiled.defjvp
def _along(
    neuron: Neuron, at: tuple[Theta, States, States], tangents: tuple[Theta, States, States]
) -> tuple[States, States]:
    return jax.jvp(lambda *at: as_states(neuron.step(*at)), at, tangents)


def steps_rates(model: Model, dtype: jnp.dtype) -> bool:
    """Return whether `connected_step` has the step of this model."""
    return type(model.recurrent) is SparseMap and model.neuron.rectifies and has_rates(dtype)  # not of one block


def connected_step(
    model: Model,
    params: Params,
    theta: Theta,
    rates: Float[Array, "N B"],
    arriving: Float[Array, "N B"],
    others: Float[Array, "N B"] | None,
    drive: Float[Array, "N B"] | None,
) -> tuple[Float[Array, "N B"], Float[Array, "N B"]]:
    """Return rates after a step, and the input: connections, bias, drive and step in one pass.

    Parameters
    ----------
    arriving
        What arrives at synapses.
    others, drive
        Further input, and the drive before its relu.
    """
    assert isinstance(model.recurrent, SparseMap)
    (sources,), decay = model.sources(arriving), theta["time_constants"][:, 0]
    weights = model.recurrent_strengths(params)
    return rate_step(model.recurrent.pattern, weights, sources, params["bias"], decay, others, drive, rates)


def steps_spikes(model: Model, dtype: jnp.dtype) -> bool:
    """Return whether `connected_spikes` has the step of this model."""
    recurrent = model.recurrent
    follows = type(recurrent) is SparseMap and recurrent.spikes and recurrent.pattern.by_column is not None
    return follows and has_code(model.neuron) and runs_native(dtype)


def connected_spikes(
    model: Model,
    params: Params,
    theta: Theta,
    states: States,
    arriving: Float[Array, "N B"],
    others: Float[Array, "N B"] | None,
    drive: Float[Array, "N B"] | None,
) -> tuple[Float[Array, "N B"], Float[Array, "N B"], States]:
    """Return the input, where neurons spiked, and their states after a step: all of it in one pass.

    Parameters
    ----------
    arriving
        1 where spikes arrive at synapses.
    others, drive
        Further input, and the drive before its relu.
    """
    assert isinstance(model.recurrent, SparseMap)
    signs = model.outputs(jnp.ones((model.neurons, 1), arriving.dtype))[:, 0]
    inputs = CellInputs(arriving, signs, params["bias"], others, drive)
    weights = model.recurrent_strengths(params)
    return spiking_step(model.neuron, model.recurrent.pattern, weights, theta, states, inputs)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def spiking_step(
    neuron: Neuron, pattern: Pattern, weights: Array, theta: Theta, states: States, inputs: CellInputs
) -> tuple[Array, Array, States]:
    """Return what is received, where states before the step make a spike [N, B], and the states after it."""
    cell = neuron.compiled(theta)
    assert cell is not None
    return cell_forward(cell, pattern, weights, states, inputs)


def _in_operators(
    neuron: Neuron, pattern: Pattern, weights: Array, theta: Theta, states: States, inputs: CellInputs
) -> tuple[Array, Array, States]:
    sent = inputs.sent
    sources = (inputs.signs.reshape(-1, len(sent), 1) * sent).reshape(-1, sent.shape[1])
    x = with_inputs(ops.matvec(pattern, weights, sources, spikes=True), inputs.bias, inputs.others, inputs.drive)
    return x, neuron.output(theta, states), as_states(neuron.step(theta, states, (x,)))


def _forward(neuron: Neuron, *operands: Any) -> tuple[tuple[Array, Array, States], tuple[Any, ...]]:
    return spiking_step(neuron, *operands), operands


def _backward(neuron: Neuron, operands: tuple[Any, ...], slopes: Any) -> tuple[Any, ...]:
    pattern, *numbers = operands
    return None, *jax.vjp(partial(_in_operators, neuron, pattern), *numbers)[1](slopes)


spiking_step.defvjp(_forward, _backward)


def for_run(model: Model, params: Params, start: Neurons, steps: int) -> Model:
    """Return the model for so many steps with these parameters and no others (`connfit.models.ops.lay_out`)."""
    recurrent = model.recurrent
    if type(recurrent) is not SparseMap or not recurrent.spikes:
        return model
    sent = model.neuron.output(model.constants(params), start.states) if start.sent is None else start.sent[0]
    pattern = ops.lay_out(recurrent.pattern, model.recurrent_strengths(params), sent, steps)
    return model.with_recurrent(replace(recurrent, pattern=pattern))
