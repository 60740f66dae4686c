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

    def put(self, places: Int[Array, "B"], state: State | Stepped) -> Shelf:
        """Put the state of each of B runs into a place."""
        neurons = jax.tree.map(lambda kept, runs: kept.at[places].set(run_first(runs)), self.neurons, state.neurons)
        return Shelf(neurons, self.beyond.at[places].set(state.beyond.T))

    def taken(self, model: Model, places: slice) -> State:
        """Return the states in some places as runs side by side."""
        neurons = jax.tree.map(lambda kept: jnp.moveaxis(kept[places], 0, -1), self.neurons)
        return State.of(model, neurons)._replace(beyond=self.beyond[places].T)


def empty_shelf(model: Model, places: int) -> Shelf:
    """Return a shelf of states at rest."""
    empty = State.at_rest(model, places)
    return Shelf(jax.tree.map(run_first, empty.neurons), empty.beyond.T)


def run_first(values: Array) -> Array:
    """Return values with the axis of runs first."""
    return jnp.moveaxis(values, -1, 0)


def shelve(
    model: Model, params: Params, shelf: Shelf, now: Stepped, places: Int[Array, "B"]
) -> tuple[Shelf, Float[Array, "P B"]]:
    """Keep readings, and the states that forecasts need, each in its place (the last place is scrap)."""
    return shelf.put(places, now), now.reading
