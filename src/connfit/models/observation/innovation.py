"""Innovations: by how much what was recorded beyond its prediction moves each state of a neuron.

``h̃ = h + k (u - mᵀh)`` before a step ``h' = A h̃ + ...``: errors of a neuron's states go on as ``A (I - k mᵀ)``.

References
----------
Anderson & Moore 1979, Optimal Filtering. Ljung 1999, System Identification: Theory for the User, 2nd ed., 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.neuron import Slope, States, filled, times, total

if TYPE_CHECKING:
    from connfit.models.base import Model, Params

DOUBLINGS = 10
"""Errors are followed for 2^10 steps: what grows by more than 0.1 % a step counts as growing."""

HALVINGS = 10
"""Steps of the search for the largest share of gains with which errors do not grow."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Forcing:
    """What state forcing leaves of small differences of states before a step, M = I - k mᵀ of each neuron.

    Attributes
    ----------
    kept
        1 - k, where only the state that read-outs see is moved.
    taken
        Where each state may be moved: k of each state, 0 where nothing was observed.
    shown
        Numbers of the states whose sum read-outs see.
    """

    kept: Float[Array, "*K N B"] | None
    taken: States | None
    shown: tuple[int, ...] = field(metadata={"static": True})

    def after(self, matrix: Sequence[Sequence[Slope]]) -> tuple[tuple[Slope, ...], ...]:
        """Return A M, row by row."""
        if self.taken is None:
            return tuple(
                tuple(times(entry, self.kept) if q in self.shown else entry for q, entry in enumerate(row))
                for row in matrix
            )
        rows = []
        for row in matrix:
            moved = total(map(times, row, self.taken))
            less = None if moved is None else -moved
            rows.append(tuple(total((entry, less)) if q in self.shown else entry for q, entry in enumerate(row)))
        return tuple(rows)

    def back(self, adjoint: States) -> States:
        """Return Mᵀ λ."""
        if self.taken is None:
            assert self.kept is not None
            return tuple(self.kept * each if q in self.shown else each for q, each in enumerate(adjoint))
        moved = sum(map(jnp.multiply, self.taken, adjoint))
        return tuple(each - moved if q in self.shown else each for q, each in enumerate(adjoint))


def deadbeat_gains(model: Model, params: Params) -> Float[Array, "S P"]:
    """Return the gains that take an innovation for a change of the neuron's input, and nothing for noise.

    ``k = b / (mᵀ b)``, with b what a change of the input does to the states of `connfit.models.neuron.Neuron.chain`
    within a step: of a chain of filters the gains with which errors are gone after as many steps as it has states. Of
    a rate alone k is 1, with an indicator of order 1, which keeps β, it is ``1 / (1-β)`` for the rate and 1 for the
    indicator: the rate becomes what the indicator, deconvolved, says. Other states are not moved, but by what the cell
    says itself.
    """
    neuron = model.neuron
    theta, zero = _about_silence(model, params)
    found = neuron.jacobian(theta, (zero,) * len(neuron.states), (zero,) * len(neuron.channels)).inputs
    by_state = [filled(row[0], zero)[:, 0] if q in neuron.chain else zero[:, 0] for q, row in enumerate(found)]
    moved = jnp.stack(by_state)
    seen = sum((moved[q] for q in neuron.shown), jnp.zeros_like(zero[:, 0]))
    gains = moved / jnp.where(seen == 0, 1, seen)
    return gains.at[neuron.shows].set(jnp.where(seen == 0, 1, gains[neuron.shows]))


def stable_gains(model: Model, gains: Float[Array, "S P"], params: Params) -> Float[Array, "S P"]:
    """Return the gains, or of each unit the largest share of them with which errors of its neuron do not grow.

    Neurons are taken one by one about silence: connections and nonlinearities are left out.
    """
    matrix, shown = _local(model, params), _shown(model, gains.dtype)

    def settles(share: Float[Array, "P"]) -> Array:
        moved = jnp.einsum("pij,jp->pi", matrix, gains)
        left = matrix - (share[:, None] * moved)[..., None] * shown
        for _ in range(DOUBLINGS):
            left = (left[:, :, :, None] * left[:, None, :, :]).sum(axis=2)
        return (jnp.abs(left) <= 2).all(axis=(1, 2))

    def search(_: None) -> Float[Array, "P"]:
        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            fine = settles(middle)
            return jnp.where(fine, middle, low), jnp.where(fine, high, middle)

        return jnp.where(fine, 1, jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(ones), ones))[0])

    ones = jnp.ones(gains.shape[1], gains.dtype)
    fine = settles(ones)
    return gains * jax.lax.cond(fine.all(), lambda _: ones, search, None)


def _local(model: Model, params: Params) -> Float[Array, "P S S"]:
    """A of the neurons that are read, about silence."""
    theta, zero = _about_silence(model, params)
    neuron = model.neuron
    found = neuron.jacobian(theta, (zero,) * len(neuron.states), (zero,) * len(neuron.channels)).states
    return jnp.stack([jnp.concatenate([filled(entry, zero) for entry in row], axis=1) for row in found], axis=1)


def _about_silence(model: Model, params: Params) -> tuple[dict[str, Array], Float[Array, "P 1"]]:
    """Parameters of the neurons that are read, and their states and inputs: 0."""
    theta = {name: value[model.read_neurons] for name, value in model.constants(params).items()}
    return theta, jnp.zeros_like(theta["time_constants"])


def _shown(model: Model, kind: jnp.dtype) -> Float[Array, "S"]:
    return jnp.zeros(len(model.neuron.states), kind).at[jnp.asarray(model.neuron.shown)].set(1)
