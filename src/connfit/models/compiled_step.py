"""A step of all neurons by native code, where their cell has some; of rates together with their connections."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.base import Model, Params
from connfit.models.maps import SparseMap
from connfit.models.neuron import Neuron, States, Theta, as_states
from connfit.models.ops.choice import runs_native
from connfit.models.ops.compiled_cells import cell_step, has_code
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
