"""What models of every cell share: wiring, signs, drive and read-out, and which parameters are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from connfit._display import Displayed
from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.base import GROUPS, INNOVATION_GAINS, NOISE_SCALE, Correction, Neurons, Params
from connfit.models.checked_neuron import check_declared, check_methods, is_foreign
from connfit.models.conditions import ModelConditions
from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap
from connfit.models.neuron import Neuron, States, check_neuron
from connfit.models.observation.innovation import deadbeat_gains, stable_gains
from connfit.models.observation.likelihood import Likelihood
from connfit.models.parameter import Parameter, TimeConstant
from connfit.models.poisson_input import Clock
from connfit.models.readout import overlap, own_overlap
from connfit.models.wired_neurons import driven_neurons, junctions_of, read_neurons_of

STATIC: Mapping[str, Any] = {"static": True}
"""Metadata of a field that is no array: a change of it compiles a program anew."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False, kw_only=True)
class ConnectomeModel(Displayed):
    """Neurons of one kind on a connectome. `wire` makes it.

    Parameters are separate (`connfit.models.init.initial`): a dictionary of `weights` [M] (magnitudes, ≥ 0) or, after
    `connfit.models.tie_weights`, `gains` [G] (≥ 0), `log_time_constants` [N] (natural log of seconds), `bias` [N],
    the cell's own [N], `drive` ([N, P] dense or one per anatomical pair), `inputs` if there are any, and, if learned,
    `readout` [P, N].

    Attributes
    ----------
    neuron
        What one neuron does.
    recurrent
        Map of the magnitudes or gains, from output channels to neurons. Channel j < N is the chemical output
        of neuron j with its sign; with gap junctions, channel N + j is its unsigned electrical output; where neurons
        make connections of both signs, the last N channels are the chemical outputs with the other sign.
    signs
        [N] sign of each neuron's chemical output, of most of it where there are both.
    junctions
        [2, G] the two connections that each gap junction consists of; None without gap junctions.
    step_s
        Length Δt of a step in seconds.
    bounds_s
        Smallest and largest time constant in seconds.
    read_neurons
        [P] the neuron that each unit reads, where each reads one and no two the same; else None.
    correction
        How state forcing moves neurons where units read several.
    state_forcing
        φ of `connfit.models.forward.correct`.
    forces
        Whether states are moved to what was recorded, by φ or gains of their own.
    own_gains
        Whether each unit has gains of its own in place of φ.
    likelihood
        What errors are scored by; None: their squares.
    delay
        d, steps by which synapses are late.
    mixed
        Whether neurons make connections of both signs.
    inputs
        Map of external inputs to neurons.
    first_neuron
        Number in the whole brain of the first neuron of a block; None: this is the whole.
    """

    neuron: Neuron = field(metadata=STATIC)
    recurrent: SparseMap | GainMap
    signs: Float[Array, "N"]
    drive: SparseMap | DenseMap | None
    readout: SparseMap | DenseMap
    fixed_readout: Float[Array, "R"] | None
    junctions: Int[Array, "2 G"] | None
    electrical: bool = field(metadata=STATIC)
    step_s: float = field(metadata=STATIC)
    bounds_s: tuple[float, float] = field(metadata=STATIC)
    read_neurons: Int[Array, "P"] | None = None
    correction: Correction | None = None
    inputs: SynapticMap | None = None
    first_neuron: UInt32[Array, ""] | None = None
    state_forcing: float = 0.0  # an array as others are: programs do not depend on it, only on `forces`
    forces: bool = field(default=False, metadata=STATIC)
    own_gains: bool = field(default=False, metadata=STATIC)
    likelihood: Likelihood | None = field(default=None, metadata=STATIC)
    delay: int = field(default=0, metadata=STATIC)
    mixed: bool = field(default=False, metadata=STATIC)

    @classmethod
    def wire(cls, given: ModelConditions, neuron: Neuron) -> Self:
        """Build the model.

        Parameters
        ----------
        neuron
            What one neuron does.

        Raises
        ------
        ConfigError
            If the cell cannot have what is asked for.
        """
        connectome, readout = given.connectome, given.readout
        cell = getattr(neuron, "cell", neuron)  # behind an indicator
        if is_foreign(type(cell)):
            check_declared(type(cell))
        check_neuron(neuron, GROUPS)
        cell.check_step(given.step_s)
        if neuron.poisson is not None:
            neuron.poisson.check(given.step_s)
        if is_foreign(type(cell)):
            check_methods(cell, given.step_s)
        if (given.state_forcing or given.own_gains) and not neuron.shows_state:
            raise ConfigError(
                f"state_forcing = {given.state_forcing} moves a state to what was recorded of it, but what is read of "
                f"the cell {type(neuron).__name__} is no state: set model.state_forcing = 0"
            )
        read_neurons = read_neurons_of(readout)
        electrical, flipped = bool(connectome.electrical.any()), connectome.flipped
        n = connectome.n
        columns = connectome.indices
        if electrical:
            columns = columns + np.where(connectome.electrical, np.int32(n), np.int32(0))
        if flipped is not None:
            columns = columns + np.where(flipped, np.int32((1 + electrical) * n), np.int32(0))
        outputs = (1 + electrical + (flipped is not None)) * n
        if neuron.spikes and electrical:
            raise ConfigError(
                f"the cell {type(cell).__name__} sends spikes, which gap junctions do not pass on: leave electrical "
                "connections out of the connectome, or take a cell that sends rates"
            )
        pattern = ops.prepare(ops.Pattern.of(connectome.indptr, columns, outputs), spikes=neuron.spikes)
        recurrent = SparseMap(pattern, neuron.spikes)
        by_unit = readout.matrix
        if given.drive == "dense":
            drive_map: SparseMap | DenseMap | None = DenseMap(n, readout.units)
        elif given.drive == "anatomical":
            by_neuron = driven_neurons(connectome, readout)
            drive_map = SparseMap(ops.prepare(ops.Pattern.of(by_neuron.indptr, by_neuron.indices, readout.units)))
        else:
            drive_map = None
        if readout.learned:
            readout_map: SparseMap | DenseMap = DenseMap(readout.units, n)
            fixed = None
        else:
            of_units = ops.Pattern.of(by_unit.indptr, by_unit.indices, n)
            readout_map = SparseMap(ops.prepare(of_units, spikes=neuron.spikes))
            fixed = jnp.array(by_unit.data, jnp.result_type(float))  # no view of an array that may change
        correction = None
        if given.state_forcing and read_neurons is None and isinstance(readout_map, SparseMap) and fixed is not None:
            diagonal = own_overlap(readout)
            shared = overlap(readout) if diagonal is None else diagonal
            correction = Correction(readout_map, fixed, jnp.asarray(shared, fixed.dtype))
        low, high = given.time_constant_bounds
        return cls(
            neuron=neuron,
            recurrent=recurrent,
            signs=jnp.asarray(connectome.signs, jnp.result_type(float)),
            drive=drive_map,
            readout=readout_map,
            fixed_readout=fixed,
            junctions=jnp.asarray(junctions_of(connectome)) if electrical else None,
            electrical=electrical,
            mixed=flipped is not None,
            step_s=float(given.step_s),
            bounds_s=(float(low), float(high)),
            read_neurons=None if read_neurons is None else jnp.asarray(read_neurons, jnp.int32),
            correction=correction,
            state_forcing=float(given.state_forcing),
            forces=given.own_gains or given.state_forcing != 0,
            own_gains=given.own_gains,
            likelihood=given.likelihood,
            delay=int(given.delay),
            inputs=given.inputs,
        )

    def _display(self) -> tuple[str, Mapping[str, str]]:
        drive = "none" if self.drive is None else "dense" if isinstance(self.drive, DenseMap) else "anatomical"
        own = [option.name for option in fields(self.neuron) if option.name != "starts"]
        return f"{type(self.neuron).__name__}Model", {
            "neurons": f"{self.neurons:,}",
            "connections": f"{self.connections:,}",
            "units": str(self.units),
            "learned": ", ".join(self.groups),
            "drive": drive,
            **{name.replace("_", " "): str(getattr(self.neuron, name)) for name in own},
            **{name.replace("_", " "): f"{start:g} at the start" for name, start in self.neuron.starts},
            **({"delay": f"{self.delay} steps"} if self.delay else {}),
            "step": f"{self.step_s:.4g} s",
            "state forcing": f"{self.state_forcing:g}{', then gains of each unit' if self.own_gains else ''}",
            **({} if self.likelihood is None else {"noise": self.likelihood.name}),
        }

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        return self.signs.shape[0]

    @property
    def connections(self) -> int:
        """Number of connections M."""
        return self.recurrent.connections

    @property
    def recurrent_group(self) -> str:
        """Group of the recurrent weights: `"weights"`, one per connection, or `"gains"`, which connections share."""
        return "gains" if isinstance(self.recurrent, GainMap) else "weights"

    @property
    def units(self) -> int:
        """Number of recorded units P."""
        return self.readout.rows if isinstance(self.readout, DenseMap) else self.readout.pattern.rows

    @property
    def groups(self) -> tuple[str, ...]:
        """Parameter groups that this model has."""
        absent = {"weights", "gains"} - {self.recurrent_group}
        if self.drive is None:
            absent.add("drive")
        if self.inputs is None:
            absent.add("inputs")
        if self.fixed_readout is not None:
            absent.add("readout")
        if not self.own_gains:
            absent.add(INNOVATION_GAINS)
        if self.likelihood is None:
            absent.add(NOISE_SCALE)
        own, after = [parameter.name for parameter in self.neuron.parameters], GROUPS.index("bias") + 1
        known = (*GROUPS[:after], *own, *GROUPS[after:])
        return tuple(group for group in known if group not in absent)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Learned numbers of each neuron that its step uses: `time_constants`, and those of the cell."""
        low, high = self.bounds_s
        return TimeConstant("time_constants", self.step_s, low, high), *self.neuron.parameters

    def constants(self, params: Params) -> dict[str, Float[Array, "N 1"]]:
        """Return the parameters of neurons as a step uses them, and what the cell derives from them, by name."""
        theta = {one.name: self._column(one.used(params[one.key], self.step_s)) for one in self.parameters}
        return {**theta, **self.neuron.derived(theta)}

    def own_start(self) -> Params:
        """Return the cell's own parameters before training, and the scale of noise."""
        starts = dict(self.neuron.starts)
        real = jnp.result_type(float)
        found = {
            one.key: jnp.full(1 if one.shared else self.neurons, one.stored(starts.get(one.name, one.start)), real)
            for one in self.neuron.parameters
        }
        if self.likelihood is not None:
            found[f"log_{NOISE_SCALE}"] = jnp.zeros(self.units, real)
        return found

    def with_gains(self, params: Params) -> Params:
        """Return parameters with the gains of each unit and state that stand for φ, where there are such gains."""
        if not self.own_gains:
            return params
        gains = self.state_forcing * deadbeat_gains(self, params)
        for state, gain in self.neuron.first_gains.items():
            gains = gains.at[state].set(gain)
        return {**params, INNOVATION_GAINS: stable_gains(self, gains, params)}

    def rest(self, batch: int = 1) -> Neurons:
        """Return neurons whose states are all 0, and whose external events are the same in all runs."""
        shape = (self.neurons, batch)
        sent = jnp.zeros((self.delay, *shape)) if self.delay else None
        clock = None if self.neuron.poisson is None else Clock.at(0, runs=batch)
        return Neurons(tuple(jnp.zeros(shape) for _ in self.neuron.states), sent, clock)

    def balance(self, rates: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return the input that holds neurons at rates when own parameters of the cell are at their start."""
        start = self.own_start()
        theta = {one.name: self._column(one.used(start[one.key], self.step_s)) for one in self.neuron.parameters}
        return np.asarray(self.neuron.balance(theta, cast("Array", rates[:, None])))[:, 0]

    def _column(self, used: Array) -> Float[Array, "N 1"]:
        return used[:, None] if used.shape[0] == self.neurons else jnp.broadcast_to(used[:, None], (self.neurons, 1))

    def decay(self, params: Params) -> Float[Array, "N"]:
        """Return α = exp(-Δt/τ) of each neuron."""
        return self.constants(params)["time_constants"][:, 0]

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Return signed chemical outputs, then what gap junctions and connections of the other sign see, if any."""
        chemical = self.signs[:, None] * r
        if not (self.electrical or self.mixed):
            return chemical
        return jnp.concatenate([chemical, *((r,) if self.electrical else ()), *((-chemical,) if self.mixed else ())])

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Apply the adjoint of `outputs`."""
        n = self.neurons
        chemical = self.signs[:, None] * (v[:n] - v[-n:] if self.mixed else v[:n])
        return chemical + v[n : 2 * n] if self.electrical else chemical

    def sources(self, sent: Float[Array, "N B"]) -> tuple[Float[Array, "C B"], ...]:
        """Return the part of `outputs` that reaches each channel."""
        if len(self.neuron.channels) == 1:
            return (self.outputs(sent),)
        excitatory = self.signs[:, None] > 0
        first, second = [jnp.where(excitatory, sent, 0)], [jnp.where(excitatory, 0, self.signs[:, None] * sent)]
        if self.electrical:
            first, second = [*first, sent], [*second, jnp.zeros_like(sent)]
        if self.mixed:
            first.append(jnp.where(excitatory, 0, sent))
            second.append(jnp.where(excitatory, -self.signs[:, None] * sent, 0))
        return jnp.concatenate(first), jnp.concatenate(second)

    def received(self, params: Params, sent: Float[Array, "N B"]) -> States:
        """Return what neurons receive through their connections, for each channel."""
        sources = self.sources(sent)
        received = self.recurrent.apply(self.recurrent_strengths(params), _beside(sources))
        return tuple(jnp.split(received, len(sources), axis=1)) if len(sources) > 1 else (received,)

    def received_adjoint(self, params: Params, adjoint: States) -> Float[Array, "N B"]:
        """Apply the adjoint of `received` with respect to what is sent."""
        back = self.recurrent.adjoint(self.recurrent_strengths(params), _beside(adjoint))
        if len(adjoint) == 1:
            return self.outputs_adjoint(back)
        first, second = jnp.split(back, 2, axis=1)
        n, signs = self.neurons, self.signs[:, None]
        chemical = jnp.where(signs > 0, first[:n], signs * second[:n])
        if self.mixed:
            chemical += jnp.where(signs > 0, -signs * second[-n:], first[-n:])
        return chemical + first[n : 2 * n] if self.electrical else chemical

    def recurrent_strengths(self, params: Params) -> Array:
        """Return what `recurrent` takes: magnitudes [M] or gains [G]."""
        return params[self.recurrent_group]

    def magnitudes(self, params: Params) -> Float[Array, "M"]:
        """Return |w| of every connection in the connectome's order, however weights are parametrised."""
        return self.recurrent.connection_strengths(self.recurrent_strengths(params))

    def readout_strengths(self, params: Params) -> Array:
        """Return C: the anatomical fractions, or the learned matrix."""
        return params["readout"] if self.fixed_readout is None else self.fixed_readout

    def with_recurrent(self, recurrent: SparseMap | GainMap) -> Self:
        """Return the same model with other recurrent connections."""
        return replace(self, recurrent=recurrent)

    @property
    def floors(self) -> Mapping[str, float]:
        """Smallest value of the arrays of which `project` asks nothing else."""
        return {"gains": 0.0} if self.junctions is not None else {"weights": 0.0, "gains": 0.0}

    def project(self, params: Params, frozen: Params | None = None) -> Params:
        """Return the nearest allowed parameters; bounds of gains depend on others, which may be `frozen`.

        Magnitudes and gains are ≥ 0, so that no sign can flip; a gap junction is as strong in one direction as in
        the other; parameters of neurons lie within their bounds.
        """
        projected = dict(params)
        if "gains" in params:
            projected["gains"] = jnp.maximum(params["gains"], 0)
        if "weights" in params:
            weights = jnp.maximum(params["weights"], 0)
            if self.junctions is not None:
                weights = weights.at[self.junctions].set(weights[self.junctions].mean(axis=0))
            projected["weights"] = weights
        for one in self.parameters:
            if one.key in params:
                projected[one.key] = jnp.clip(params[one.key], *one.stored_bounds)
        if INNOVATION_GAINS in params:
            known = {**(frozen or {}), **projected}
            projected[INNOVATION_GAINS] = stable_gains(self, params[INNOVATION_GAINS], known)
        return projected


def _beside(columns: States) -> Float[Array, "N RB"]:
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=1)
