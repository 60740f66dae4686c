"""Training steps on one device, or on several that hold a block of neurons each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, UInt32

from connfit._system import process_group
from connfit.errors import ConfigError
from connfit.models.base import INNOVATION_GAINS, NOISE_SCALE, Model, Neurons, Params
from connfit.models.blocks import (
    AXIS,
    BlockFacts,
    BlockRuns,
    Blocks,
    cut_model,
    device_mesh,
    gathered,
    of_devices,
    one_block,
    spread,
)  # fmt: skip
from connfit.models.connectome_model import ConnectomeModel
from connfit.models.poisson_input import Clock
from connfit.training.learners.firing_rates import FiringScore
from connfit.training.learners.learner import Learner, WindowArrays
from connfit.training.learners.windowed import WindowedLearner, WindowedMemory
from connfit.training.one_pass_adam import sum_of_squares
from connfit.training.step import StepOptions, Stepped, take_step, training_step

_BLOCK, _ALL = PartitionSpec(AXIS), PartitionSpec()


@dataclass(frozen=True)
class StepProgram:
    """What is compiled into a training step.

    Attributes
    ----------
    groups
        Groups that are trained.
    """

    learner: Learner[Any]
    groups: tuple[str, ...]
    options: StepOptions


class DeviceSteps(Protocol):
    """A model where it is trained. What it holds of parameters and moments goes in with `place`, out with `whole`."""

    def place(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        """Put parameters and their moments where they are trained; those that are given are used up."""
        ...

    def start(self, batch: int, streams: UInt32[np.ndarray, "B"] | None = None) -> Any:
        """Return the learner's memory before the first window of so many recordings.

        Parameters
        ----------
        streams
            Of each recording's external events, if it has any.
        """
        ...

    def step(
        self, params: Params, moments: optax.OptState, memory: Any, window: WindowArrays, rates: dict[str, Any]
    ) -> Stepped[Any]:
        """Take one training step; see `connfit.training.step.take_step`."""
        ...

    def whole(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        """Return what was placed, after some steps, in the layout of the whole model."""
        ...


@dataclass(frozen=True, eq=False)
class OneDevice:
    """The whole model on one device.

    Attributes
    ----------
    frozen
        Parameters that are not trained.
    anchor
        Parameters whose distance from here is a penalty.
    """

    model: Model
    frozen: Params
    anchor: Params | None
    program: StepProgram

    def place(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        return params, moments

    def start(self, batch: int, streams: UInt32[np.ndarray, "B"] | None = None) -> Any:
        memory = self.program.learner.start(self.model, batch, self.program.groups)
        if streams is None or self.model.neuron.poisson is None:
            return memory
        return _with_clock(memory, Clock.at(streams, runs=batch))

    def step(
        self, params: Params, moments: optax.OptState, memory: Any, window: WindowArrays, rates: dict[str, Any]
    ) -> Stepped[Any]:
        program = self.program
        return training_step(
            self.model, params, self.frozen, self.anchor, moments, memory, window, rates,
            learner=program.learner, groups=program.groups, options=program.options,
        )  # fmt: skip

    def whole(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        return params, moments


@dataclass(frozen=True, eq=False)
class ModelOnDevices:
    """A model that is cut into blocks, and each of them on its device.

    Attributes
    ----------
    mesh
        The devices.
    blocks
        How it is cut.
    model, facts
        Of all blocks; arrays have a leading axis of devices.
    """

    mesh: Mesh
    blocks: Blocks
    model: ConnectomeModel
    facts: BlockFacts

    @classmethod
    def of(cls, model: Model, params: Params, learner: Learner[Any], devices: int) -> ModelOnDevices:
        """Cut a model and put its blocks on devices.

        Raises
        ------
        ConfigError
            If there are fewer neurons than devices, or the learning rule is not one that can be cut.
        """
        if not isinstance(learner, WindowedLearner):
            raise ConfigError(
                f"train.devices = {devices}: the learning rule of {type(learner).__name__} knows neurons of one device "
                "alone; set train.devices = 1, or learner.preset to a rule of connfit's own, as 'd-rtrl' or 'hybrid'"
            )
        assert isinstance(model, ConnectomeModel)
        blocks, mesh = cut_model(model, params, devices), device_mesh(devices)
        local, facts = spread(mesh, blocks.of_block)
        return cls(mesh, blocks, local, facts)

    def spread(self, params: Params, *, moments: bool = False) -> Params:
        """Put each block's part of parameters, or of moments of them, on its device."""
        return spread(self.mesh, lambda k: self.blocks.params(params, k, moments=moments))  # pyright: ignore[reportReturnType]

    def runs(self, params: Params, substeps: int) -> BlockRuns:
        """Return the model where it is with other parameters, of which each device is given its part."""
        return BlockRuns(self.mesh, self.model, self.spread(params), substeps)


@dataclass(frozen=True, eq=False)
class ManyDevices:
    """A block of neurons on each device.

    Attributes
    ----------
    frozen, anchor
        As of `OneDevice`, in blocks.
    """

    on: ModelOnDevices
    frozen: Params
    anchor: Params | None
    program: StepProgram

    @classmethod
    def of(cls, on: ModelOnDevices, frozen: Params, anchor: Params | None, program: StepProgram) -> ManyDevices:
        """Put what is not trained where it is used."""
        return cls(on, on.spread(frozen), None if anchor is None else on.spread(anchor), program)

    def place(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        return self._taken(params), _each_part(
            moments, lambda part: self._taken(part, moments=True), lambda one: spread(self.on.mesh, lambda _: one)
        )

    def _taken(self, whole: Params, *, moments: bool = False) -> Params:
        """Spread arrays one after the other, and give up each: a process need not hold what its devices do twice."""
        return {key: self.on.spread({key: whole.pop(key)}, moments=moments)[key] for key in tuple(whole)}

    def start(self, batch: int, streams: UInt32[np.ndarray, "B"] | None = None) -> Any:
        neurons = self.on.blocks.model.neurons
        memory = _start(
            self.on.model, self.on.facts, mesh=self.on.mesh, program=self.program, batch=batch, neurons=neurons
        )  # fmt: skip
        if streams is None or self.on.model.neuron.poisson is None:
            return memory
        return _with_clock(memory, spread(self.on.mesh, lambda _: Clock.at(streams, runs=batch)))

    def step(
        self, params: Params, moments: optax.OptState, memory: Any, window: WindowArrays, rates: dict[str, Any]
    ) -> Stepped[Any]:
        on = self.on
        if not process_group.alone():  # arrays of this process alone are none of all devices
            window = jax.tree.map(np.asarray, window)
        everywhere = tuple(sorted(key for key, cut in on.blocks.cuts.items() if cut.everywhere))
        return _step(
            on.model, on.facts, params, self.frozen, self.anchor, moments, memory, window, rates,
            mesh=on.mesh, program=self.program, everywhere=everywhere, sizes=self._sizes,
        )  # fmt: skip

    @property
    def _sizes(self) -> tuple[tuple[str, int], ...]:
        """Numbers that groups with penalties have in the whole model."""
        model = self.on.blocks.model
        drive = 0 if model.drive is None else int(np.prod(model.drive.strengths_shape))
        return ("weights", model.connections), ("drive", drive)

    def whole(self, params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
        def joined(parts: Params) -> Params:
            found = self.on.blocks.whole({key: gathered(value) for key, value in parts.items()})
            # On the host: a device has its block to hold.
            return cast("Params", found)

        return joined(params), _each_part(moments, joined, lambda one: gathered(one)[0])


def _each_part(moments: Any, of_params: Any, of_number: Any) -> Any:
    """Change an optimiser's state: what it has for each parameter, and single numbers."""
    parts = {
        name: of_params(part) if isinstance(part, dict) else of_number(part) for name, part in moments._asdict().items()
    }
    return type(moments)(**parts)


@dataclass(frozen=True)
class _OneBlock:
    """The `connfit.training.step.Share` of one block."""

    model: ConnectomeModel
    facts: BlockFacts
    everywhere: tuple[str, ...]
    sizes: dict[str, int]

    def _of_units(self, values: Float[Array, "S P"]) -> Float[Array, "S P"]:
        """Take what is each unit's own from the block of the neuron that it reads."""
        assert self.model.read_neurons is not None
        return jax.lax.psum(jnp.where(self.model.read_neurons < self.model.neurons, values, 0), AXIS)

    def complete(self, gradient: Params) -> Params:
        found = dict(gradient)
        for key in found:
            if key == INNOVATION_GAINS:
                found[key] = self._of_units(found[key])
            elif key == "readout":  # what fills up a block is silent, not constant
                here = jnp.arange(found[key].shape[1]) < self.facts.neurons
                found[key] = jnp.where(here, found[key], 0)
            elif key in self.everywhere and key != f"log_{NOISE_SCALE}":  # whose errors all blocks have
                found[key] = jax.lax.psum(found[key], AXIS)
        return found

    def squares(self, key: str, values: Array) -> Float[Array, ""]:
        own = sum_of_squares(values)
        return own if key in self.everywhere else jax.lax.psum(own, AXIS)

    def size(self, key: str, values: Array) -> int:
        return self.sizes[key]

    def own_connections(self, values: Float[Array, "M"]) -> Float[Array, "M"]:
        return jnp.where(jnp.arange(values.size) < self.facts.connections, values, 0)

    def of_all(self, firing: FiringScore) -> FiringScore:
        return jax.tree.map(partial(jax.lax.psum, axis_name=AXIS), firing)

    def floors(self, model: Model) -> Mapping[str, float]:
        return model.floors if self.facts.junctions is None else {}

    def project(self, model: Model, params: Params, frozen: Params) -> Params:
        found = model.project(params, frozen)
        if INNOVATION_GAINS in found:
            found[INNOVATION_GAINS] = self._of_units(found[INNOVATION_GAINS])
        if self.facts.junctions is not None and "weights" in found:
            # Both directions of a gap junction, which may end in two blocks, are as strong as each other.
            at, weights = self.facts.junctions, found["weights"]
            here = at < weights.size
            both = jax.lax.psum(jnp.where(here, weights.at[at].get(mode="clip"), 0), AXIS)
            found["weights"] = weights.at[at].set(both.mean(axis=0), mode="drop")
        return found


def _with_clock(memory: Any, clock: Clock) -> Any:
    """Set the clock of the neurons that a learner remembers, where they have one."""

    def of(one: Any) -> Any:
        return one._replace(clock=clock) if isinstance(one, Neurons) and one.clock is not None else one

    return jax.tree.map(of, memory, is_leaf=lambda one: isinstance(one, Neurons))


@partial(jax.jit, static_argnames=("mesh", "program", "batch", "neurons"))
def _start(
    model: ConnectomeModel, facts: BlockFacts, *, mesh: Mesh, program: StepProgram, batch: int, neurons: int
) -> Any:
    def of_block(blocks: tuple[ConnectomeModel, BlockFacts]) -> Any:
        model, facts = one_block(blocks)
        memory = program.learner.start(model, batch, program.groups)
        if isinstance(memory, WindowedMemory) and memory.firing is not None:
            own = jnp.arange(model.neurons) < facts.neurons
            memory = memory._replace(firing=memory.firing._replace(share=own / neurons))
        return of_devices(memory)

    return jax.shard_map(of_block, mesh=mesh, in_specs=_BLOCK, out_specs=_BLOCK, check_vma=False)((model, facts))


@partial(
    jax.jit,
    static_argnames=("mesh", "program", "everywhere", "sizes"),
    donate_argnames=("params", "moments", "memory"),
)
def _step(
    model: ConnectomeModel,
    facts: BlockFacts,
    params: Params,
    frozen: Params,
    start: Params | None,
    moments: optax.OptState,
    memory: Any,
    window: WindowArrays,
    rates: dict[str, Float[Array, ""]],
    *,
    mesh: Mesh,
    program: StepProgram,
    everywhere: tuple[str, ...],
    sizes: tuple[tuple[str, int], ...],
) -> Stepped[Any]:
    def of_block(blocks: Any, window: WindowArrays, rates: dict[str, Array]) -> Any:
        model, facts, params, frozen, start, moments, memory = one_block(blocks)
        *after, loss, norms, firing = take_step(
            model, params, frozen, start, moments, memory, window, rates,
            learner=program.learner, groups=program.groups, options=program.options,
            share=_OneBlock(model, facts, everywhere, dict(sizes)),
        )  # fmt: skip
        return *of_devices(after), loss, norms, firing

    step = jax.shard_map(
        of_block, mesh=mesh, in_specs=(_BLOCK, _ALL, _ALL), out_specs=(_BLOCK, _BLOCK, _BLOCK, _ALL, _ALL, _ALL),
        check_vma=False,
    )  # fmt: skip
    return step((model, facts, params, frozen, start, moments, memory), window, rates)
