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
    add: Callable[[Neurons], Array] | None = None,
    many: Callable[[Neurons], tuple[Neurons, Array]] | None = None,
) -> tuple[Neurons, Trajectory, Array | None, Array | None]:
    """Return the neurons after a frame, what its last step leaves behind, what was kept of all steps, and a sum.

    Parameters
    ----------
    move
        Takes a step.
    keep
        What is kept after each, [steps, ...]; None: nothing.
    add
        What is added up over all; None: nothing.
    many
        Takes all but the last, of which nothing is kept, and adds up what `add` says; None: one by one.
    """
    now, inner = before, None
    total = None if add is None else jnp.zeros_like(add(before))
    if steps > 1 and many is not None:
        now, total = many(before)
    elif steps > 1:

        def moved(carry: tuple[Neurons, Array | None], _: None) -> tuple[tuple[Neurons, Array | None], Array | None]:
            after = move(carry[0])[0]
            return (after, _added(carry[1], add, after)), None if keep is None else keep(after)

        (now, total), inner = jax.lax.scan(moved, (now, total), None, steps - 1)
    now, seen = move(now)
    total = _added(total, add, now)
    if keep is None:
        return now, seen, None, total
    last = keep(now)[None]
    return now, seen, last if inner is None else jnp.concatenate([inner, last]), total


def _added(total: Array | None, add: Callable[[Neurons], Array] | None, now: Neurons) -> Array | None:
    return None if add is None or total is None else total + add(now)


def spike_bits(model: Model, theta: Theta, neurons: Neurons) -> UInt8[Array, "bytes"]:
    """Keep which neurons spike, a bit each as of `numpy.packbits`; of one run."""
    return jnp.packbits(model.neuron.output(theta, neurons.states)[:, 0] != 0)
