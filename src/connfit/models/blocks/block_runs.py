"""The runs by which tracks are followed, of a model in blocks: each device steps its neurons, all know the units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from connfit._system import process_group
from connfit.models.base import Params
from connfit.models.blocks.device_mesh import AXIS, of_devices, one_block
from connfit.models.connectome_model import ConnectomeModel
from connfit.models.poisson_input import Clock
from connfit.models.rollout import Limits, Shown, State, readings, rollout
from connfit.models.shelf import Shelf, shelve
from connfit.models.track_runs import ahead, settled, shelf_with

_BLOCK, _ALL = PartitionSpec(AXIS), PartitionSpec()
_STATE: Any = State(_BLOCK, _ALL, _ALL, _ALL)  # pyright: ignore[reportArgumentType]
_SHELF: Any = Shelf(_BLOCK, _ALL)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, eq=False)
class BlockRuns:
    """A block of neurons on each device; see `connfit.models.track_runs.TrackRuns`.

    Attributes
    ----------
    mesh
        The devices.
    model, params
        Of all blocks; arrays have a leading axis of devices, as those of neurons have in states and shelves.
    substeps
        Steps of the model for each frame.
    """

    mesh: Mesh
    model: ConnectomeModel
    params: Params
    substeps: int

    def settled(self, first: Shown, limits: Limits, clock: Clock) -> State:
        return _settled(self.model, self.params, *_everywhere(first, limits, clock), mesh=self.mesh)

    def shelf(self, state: State, places: Int[np.ndarray, "B"]) -> Shelf:
        return _shelf(self.model, state, places, mesh=self.mesh)

    def follow(self, state: State, shown: Shown, limits: Limits) -> tuple[State, Float[Array, "K P B"]]:
        given = _everywhere(shown, limits)
        return _follow(self.model, self.params, state, *given, mesh=self.mesh, substeps=self.substeps)

    def follow_and_shelve(
        self, state: State, shown: Shown, limits: Limits, shelf: Shelf, places: Int[np.ndarray, "K B"]
    ) -> tuple[State, Shelf, Float[Array, "K P B"]]:
        given = _everywhere(shown, limits, places)
        return _follow_and_shelve(
            self.model, self.params, state, shelf, *given, mesh=self.mesh, substeps=self.substeps
        )  # fmt: skip

    def ahead(self, shelf: Shelf, last: Shown, shown: Shown, limits: Limits) -> Float[Array, "steps P B"]:
        given = _everywhere(last, shown, limits)
        return _ahead(self.model, self.params, shelf, *given, mesh=self.mesh, substeps=self.substeps)


def _everywhere(*given: Any) -> Any:
    """What every device is given; of several processes arrays of one alone are none of all devices."""
    return given if process_group.alone() else jax.tree.map(np.asarray, given)


def _of_state(state: State) -> State:
    return state._replace(neurons=of_devices(state.neurons))


def _of_shelf(shelf: Shelf) -> Shelf:
    return shelf._replace(neurons=of_devices(shelf.neurons))


def _own_state(state: State) -> State:
    return state._replace(neurons=one_block(state.neurons))


def _own_shelf(shelf: Shelf) -> Shelf:
    return shelf._replace(neurons=one_block(shelf.neurons))


@partial(jax.jit, static_argnames="mesh")
def _settled(
    model: ConnectomeModel, params: Params, first: Shown, limits: Limits, clock: Clock, *, mesh: Mesh
) -> State:  # fmt: skip
    def of_block(blocks: Any, first: Shown, limits: Limits, clock: Clock) -> State:
        model, params = one_block(blocks)
        return _of_state(settled(model, params, first, limits, clock))

    run = jax.shard_map(
        of_block, mesh=mesh, in_specs=(_BLOCK, _ALL, _ALL, _ALL), out_specs=_STATE, check_vma=False
    )  # fmt: skip
    return run((model, params), first, limits, clock)


@partial(jax.jit, static_argnames="mesh")
def _shelf(model: ConnectomeModel, state: State, places: Int[Array, "B"], *, mesh: Mesh) -> Shelf:
    def of_block(model: Any, state: State, places: Array) -> Shelf:
        return _of_shelf(shelf_with(one_block(model), _own_state(state), jnp.asarray(places)))

    run = jax.shard_map(of_block, mesh=mesh, in_specs=(_BLOCK, _STATE, _ALL), out_specs=_SHELF, check_vma=False)
    return run(model, state, places)


@partial(jax.jit, static_argnames=("mesh", "substeps"))
def _follow(
    model: ConnectomeModel, params: Params, state: State, shown: Shown, limits: Limits, *, mesh: Mesh, substeps: int
) -> tuple[State, Float[Array, "K P B"]]:
    def of_block(blocks: Any, state: State, shown: Shown, limits: Limits) -> tuple[State, Array]:
        model, params = one_block(blocks)
        found = rollout(model, params, _own_state(state), shown, readings, limits=limits, substeps=substeps)
        return _of_state(found.state), found.each

    run = jax.shard_map(
        of_block, mesh=mesh, in_specs=(_BLOCK, _STATE, _ALL, _ALL), out_specs=(_STATE, _ALL), check_vma=False
    )  # fmt: skip
    return run((model, params), state, shown, limits)


@partial(jax.jit, static_argnames=("mesh", "substeps"), donate_argnames="shelf")
def _follow_and_shelve(
    model: ConnectomeModel, params: Params, state: State, shelf: Shelf, shown: Shown, limits: Limits,
    places: Int[Array, "K B"], *, mesh: Mesh, substeps: int,
) -> tuple[State, Shelf, Float[Array, "K P B"]]:  # fmt: skip
    def of_block(
        blocks: Any, state: State, shelf: Shelf, shown: Shown, limits: Limits, places: Array
    ) -> tuple[State, Shelf, Array]:
        model, params = one_block(blocks)
        found = rollout(
            model, params, _own_state(state), shown, shelve, _own_shelf(shelf), places, limits=limits,
            substeps=substeps,
        )  # fmt: skip
        return _of_state(found.state), _of_shelf(found.kept), found.each

    run = jax.shard_map(
        of_block, mesh=mesh, in_specs=(_BLOCK, _STATE, _SHELF, _ALL, _ALL, _ALL), out_specs=(_STATE, _SHELF, _ALL),
        check_vma=False,
    )  # fmt: skip
    return run((model, params), state, shelf, shown, limits, places)


@partial(jax.jit, static_argnames=("mesh", "substeps"))
def _ahead(
    model: ConnectomeModel, params: Params, shelf: Shelf, last: Shown, shown: Shown, limits: Limits, *, mesh: Mesh,
    substeps: int,
) -> Float[Array, "steps P B"]:  # fmt: skip
    def of_block(blocks: Any, shelf: Shelf, last: Shown, shown: Shown, limits: Limits) -> Array:
        model, params = one_block(blocks)
        return ahead(model, params, _own_shelf(shelf), last, shown, limits, substeps=substeps)

    run = jax.shard_map(
        of_block, mesh=mesh, in_specs=(_BLOCK, _SHELF, _ALL, _ALL, _ALL), out_specs=_ALL, check_vma=False
    )  # fmt: skip
    return run((model, params), shelf, last, shown, limits)
