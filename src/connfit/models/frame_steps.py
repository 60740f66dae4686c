"""The model steps of one frame, with what is kept after each of them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8

from connfit.models.base import Model, Neurons
from connfit.models.forward import Trajectory
from connfit.models.neuron import Theta

Within = Callable[[Model, Theta, Neurons], Array]
"""What is kept of neurons after a model step; a function of a module, for a new one is compiled anew."""


def frame_steps(
    move: Callable[[Neurons], tuple[Neurons, Trajectory]],
    before: Neurons,
    steps: int,
    keep: Callable[[Neurons], Array] | None,
) -> tuple[Neurons, Trajectory, Array | None]:
    """Return the neurons after a frame, what its last step leaves behind, and what was kept of all steps.

    Parameters
    ----------
    move
        Takes a step.
    keep
        What is kept after each, [steps, ...]; None: nothing.
    """
    now, inner = before, None
    if steps > 1:

        def moved(now: Neurons, _: None) -> tuple[Neurons, Array | None]:
            after = move(now)[0]
            return after, None if keep is None else keep(after)

        now, inner = jax.lax.scan(moved, now, None, steps - 1)
    now, seen = move(now)
    if keep is None:
        return now, seen, None
    last = keep(now)[None]
    return now, seen, last if inner is None else jnp.concatenate([inner, last])


def spike_bits(model: Model, theta: Theta, neurons: Neurons) -> UInt8[Array, "bytes"]:
    """Keep which neurons spike, a bit each as of `numpy.packbits`; of one run."""
    return jnp.packbits(model.neuron.output(theta, neurons.states)[:, 0] != 0)
