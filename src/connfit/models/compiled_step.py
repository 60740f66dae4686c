"""A step of all neurons by native code, where their cell has some."""

from __future__ import annotations

from functools import partial

import jax

from connfit.models.neuron import Neuron, States, Theta, as_states
from connfit.models.ops.choice import runs_native
from connfit.models.ops.compiled_cells import cell_step, has_code


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
