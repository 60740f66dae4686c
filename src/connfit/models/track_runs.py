"""The compiled runs by which tracks are followed, of a model that is whole on one device.

`connfit.models.blocks.block_runs` has them of a model in blocks on several.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit.models.base import Model, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.poisson_input import Clock
from connfit.models.rollout import Limits, Shown, State, readings, rollout
from connfit.models.shelf import Shelf, empty_shelf, shelve


class TrackRuns(Protocol):
    """Runs of a model with its parameters. States and shelves are where the model is."""

    def settled(self, first: Shown, limits: Limits, clock: Clock) -> State:
        """Run as if one frame had been there for long, so that no transient from silence is scored.

        Parameters
        ----------
        clock
            Of external events, as it stands then.
        """
        ...

    def shelf(self, state: State, places: Int[np.ndarray, "B"]) -> Shelf:
        """Return a shelf for CHUNK starts, and a last place for scrap, with the state of each run in its place."""
        ...

    def follow(self, state: State, shown: Shown, limits: Limits) -> tuple[State, Float[Array, "K P B"]]:
        """Return the state after what is shown, and the reading of each frame."""
        ...

    def follow_and_shelve(
        self, state: State, shown: Shown, limits: Limits, shelf: Shelf, places: Int[np.ndarray, "K B"]
    ) -> tuple[State, Shelf, Float[Array, "K P B"]]:
        """Do so, and put the state after each frame in its place of the shelf, whose memory is given away."""
        ...

    def ahead(self, shelf: Shelf, last: Shown, shown: Shown, limits: Limits) -> Float[Array, "steps P B"]:
        """Predict on from the first places of a shelf, each after the frame that was last shown."""
        ...


@dataclass(frozen=True, eq=False)
class WholeRuns:
    """A model on one device.

    Attributes
    ----------
    substeps
        Steps of the model for each frame.
    """

    model: Model
    params: Params
    substeps: int

    def settled(self, first: Shown, limits: Limits, clock: Clock) -> State:
        return settled(self.model, self.params, first, limits, clock)

    def shelf(self, state: State, places: Int[np.ndarray, "B"]) -> Shelf:
        return shelf_with(self.model, state, jnp.asarray(places))

    def follow(self, state: State, shown: Shown, limits: Limits) -> tuple[State, Float[Array, "K P B"]]:
        run = rollout(self.model, self.params, state, shown, readings, limits=limits, substeps=self.substeps)
        return run.state, run.each

    def follow_and_shelve(
        self, state: State, shown: Shown, limits: Limits, shelf: Shelf, places: Int[np.ndarray, "K B"]
    ) -> tuple[State, Shelf, Float[Array, "K P B"]]:
        run = rollout(
            self.model, self.params, state, shown, shelve, shelf, places, limits=limits, substeps=self.substeps
        )
        return run.state, run.kept, run.each

    def ahead(self, shelf: Shelf, last: Shown, shown: Shown, limits: Limits) -> Float[Array, "steps P B"]:
        return ahead(self.model, self.params, shelf, last, shown, limits, substeps=self.substeps)


def settled(model: Model, params: Params, first: Shown, limits: Limits, clock: Clock) -> State:
    """Run as `TrackRuns.settled` says."""
    return _settled(model, params, first, limits, clock._replace(step=clock.step - jnp.uint32(CHUNK)))


@jax.jit
def _settled(model: Model, params: Params, first: Shown, limits: Limits, clock: Clock) -> State:
    shown = jax.tree.map(lambda one: jnp.broadcast_to(one, (CHUNK, *one.shape[1:])), first)
    start = State.at_rest(model, first.values.shape[2], clock)
    return rollout(model, params, start, shown, readings, limits=limits).state


@jax.jit
def shelf_with(model: Model, state: State, places: Int[Array, "B"]) -> Shelf:
    """Make the shelf of `TrackRuns.shelf`."""
    return empty_shelf(model, CHUNK + 1).put(places, state)


@partial(jax.jit, static_argnames="substeps")
def ahead(
    model: Model, params: Params, shelf: Shelf, last: Shown, shown: Shown, limits: Limits, *, substeps: int
) -> Float[Array, "steps P B"]:
    """Predict as `TrackRuns.ahead` says."""
    state = shelf.taken(model, slice(shown.values.shape[2]))
    state = state._replace(reading=jnp.asarray(last.values[0]), shown=jnp.asarray(last.given[0]))
    return rollout(model, params, state, shown, readings, limits=limits, substeps=substeps).each
