"""States that forecasts start from, kept along a run until there are enough to run ahead side by side."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from connfit.models.base import Model, Neurons, Params
from connfit.models.rollout import State, Stepped


class Shelf(NamedTuple):
    """States that forecasts start from, one in each of R places along the first axis."""

    neurons: Neurons
    beyond: Float[Array, "R P"]

    def put(self, place: int | Int[Array, ""], state: State | Stepped) -> Shelf:
        """Put the first run's state into one of the places."""
        neurons = jax.tree.map(lambda kept, one: kept.at[place].set(one[..., 0]), self.neurons, state.neurons)
        return Shelf(neurons, self.beyond.at[place].set(state.beyond[:, 0]))


def run_first(values: Array) -> Array:
    """Return values with the axis of runs first."""
    return jnp.moveaxis(values, -1, 0)


def shelve(
    model: Model, params: Params, shelf: Shelf, now: Stepped, place: Int[Array, ""]
) -> tuple[Shelf, Float[Array, "P 1"]]:
    """Keep readings, and the states that forecasts need, each in its place (the last place is scrap)."""
    return shelf.put(place, now), now.reading
