"""How fast activity grows that a model feeds back to itself, through its connections and through read-out and drive."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.base import Model
from connfit.models.maps import DenseMap, SparseMap


class Loop(NamedTuple):
    """A model about a state in which all neurons are active, where it is linear.

    Attributes
    ----------
    strengths
        Of the recurrent connections.
    by_pre
        Factor of the weights of each presynaptic neuron.
    decay
        α of each neuron.
    readout, shares
        C [P, N] with its weights.
    drive, drive_strengths
        E [N, P] with its weights; None for a model without one.
    """

    strengths: Array
    by_pre: Float[Array, "N"]
    decay: Float[Array, "N"]
    readout: SparseMap
    shares: Array
    drive: SparseMap | DenseMap | None = None
    drive_strengths: Array | None = None


@partial(jax.jit, static_argnames="sweeps")
def growth_by_sweep(
    model: Model, loop: Loop, start: Float[Array, "N 1"], sweeps: int = 40
) -> tuple[Float[Array, "sweeps"], Float[Array, "N 1"]]:
    """Measure how the norm of rates grows in each step of ``α + (1-α) (W + E C)``; return the last rates too."""
    decay = loop.decay[:, None]

    def sweep(rates: Array, _: None) -> tuple[Array, Array]:
        new = model.recurrent.apply(loop.strengths, model.outputs(rates * loop.by_pre[:, None]))
        if loop.drive is not None and loop.drive_strengths is not None:
            new += loop.drive.apply(loop.drive_strengths, loop.readout.apply(loop.shares, rates))
        new = decay * rates + (1 - decay) * new
        norm = jnp.linalg.norm(new)
        return new / jnp.maximum(norm, 1e-30), norm / jnp.maximum(jnp.linalg.norm(rates), 1e-30)

    pattern, growth = jax.lax.scan(sweep, start, length=sweeps)
    return growth, pattern
