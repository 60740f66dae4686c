"""What models of every cell share: wiring, signs, drive and read-out, and which parameters are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit._display import Displayed
from connfit.connectome import Connectome
from connfit.errors import ConfigError, one_of
from connfit.models import ops
from connfit.models.base import GROUPS, Correction, Neurons, Params
from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap
from connfit.models.neuron import Neuron, Parameter, States, TimeConstant, check_neuron
from connfit.models.readout import Readout, overlap
from connfit.models.wiring import driven_neurons, junctions_of

DRIVES = ("dense", "anatomical", "none")

STATIC: Mapping[str, Any] = {"static": True}
"""Metadata of a field that is no array: a change of it compiles a program anew."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelConditions:
    """What a model is built from, whatever its cell.

    Parameters
    ----------
    connectome
        Wiring and signs.
    readout
        Which neurons each unit reads; see `connfit.models.readout`.
    step_s
        Length of a step in seconds.
    drive
        `"dense"`: every unit may drive every neuron. `"anatomical"`: a region drives only the neurons
        with input synapses in it, where the source counts them (`Connectome.regions`); otherwise a
        unit drives only the neurons that it reads. `"none"`.
    bounds_s
        Smallest and largest time constant in seconds; default 0.2 and 50 steps.
    delay
        Steps by which synapses are late, beside the one step that a signal always takes.
    inputs
        Which features of external inputs act on which neurons; see `connfit.models.input_map`.
    state_forcing
        Share φ of the way by which states are moved to what was recorded before each step: 0 not at all, 1 until
        the read-out of the state is what was recorded, more (below 2) beyond it. See
        `connfit.models.forward.correct`.

    Raises
    ------
    ConfigError
        If a name or a bound is not valid.
    """

    connectome: Connectome
    readout: Readout
    step_s: float
    drive: str = "dense"
    bounds_s: tuple[float, float] | None = None
    state_forcing: float = 0.0
    delay: int = 0
    inputs: SynapticMap | None = None

    def __post_init__(self) -> None:
        one_of("drive", self.drive, DRIVES)
        low, high = self.time_constant_bounds
        if not 0 < low < high or self.step_s <= 0:
            raise ConfigError(
                f"time constants must have bounds 0 < low < high and a positive step, got {(low, high)} s and "
                f"{self.step_s} s"
            )
        if self.delay < 0:
            raise ConfigError(f"delay = {self.delay} must be a number of steps, 0 or more")
        if self.readout.neurons != self.connectome.n:
            raise ConfigError(
                f"the read-out is for {self.readout.neurons} neurons, the connectome has {self.connectome.n}"
            )
        if not 0 <= self.state_forcing < 2:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} must be 0 or more and below 2, from where errors grow"
            )
        if self.state_forcing and self.readout.learned:
            raise ConfigError(
                f"state_forcing = {self.state_forcing} moves neurons to what was recorded of them, but which neurons a "
                "unit reads is learned here; set one of the two to its default"
            )

    @property
    def time_constant_bounds(self) -> tuple[float, float]:
        """Smallest and largest time constant in seconds."""
        return self.bounds_s or (0.2 * self.step_s, 50 * self.step_s)


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
        of neuron j with its sign; with gap junctions, channel N + j is its unsigned electrical output.
    signs
        [N] sign of each neuron's chemical output.
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
    delay
        d, steps by which synapses are late.
    inputs
        Map of external inputs to neurons.
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
    state_forcing: float = field(default=0.0, metadata=STATIC)
    delay: int = field(default=0, metadata=STATIC)

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
        check_neuron(neuron, GROUPS)
        if given.state_forcing and not neuron.shows_state:
            raise ConfigError(
                f"state_forcing = {given.state_forcing} moves a state to what was recorded of it, but what is read of "
                f"the cell {type(neuron).__name__} is no state: set model.state_forcing = 0"
            )
        read_neurons = _read_neurons(readout)
        electrical = bool(connectome.electrical.any())
        n = connectome.n
        columns = connectome.indices
        if electrical:
            columns = columns + np.where(connectome.electrical, np.int32(n), np.int32(0))
        recurrent = SparseMap(ops.Pattern.of(connectome.indptr, columns, (1 + electrical) * n))
        by_unit = readout.matrix
        if given.drive == "dense":
            drive_map: SparseMap | DenseMap | None = DenseMap(n, readout.units)
        elif given.drive == "anatomical":
            by_neuron = driven_neurons(connectome, readout)
            drive_map = SparseMap(ops.Pattern.of(by_neuron.indptr, by_neuron.indices, readout.units))
        else:
            drive_map = None
        if readout.learned:
            readout_map: SparseMap | DenseMap = DenseMap(readout.units, n)
            fixed = None
        else:
            readout_map = SparseMap(ops.Pattern.of(by_unit.indptr, by_unit.indices, n))
            fixed = jnp.asarray(by_unit.data, jnp.result_type(float))
        correction = None
        if given.state_forcing and read_neurons is None and isinstance(readout_map, SparseMap) and fixed is not None:
            correction = Correction(readout_map, fixed, jnp.asarray(overlap(readout), fixed.dtype))
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
            step_s=float(given.step_s),
            bounds_s=(float(low), float(high)),
            read_neurons=None if read_neurons is None else jnp.asarray(read_neurons, jnp.int32),
            correction=correction,
            state_forcing=float(given.state_forcing),
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
            "state forcing": f"{self.state_forcing:g}",
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
        own, after = [parameter.name for parameter in self.neuron.parameters], GROUPS.index("bias") + 1
        known = (*GROUPS[:after], *own, *GROUPS[after:])
        return tuple(group for group in known if group not in absent)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Learned numbers of each neuron that its step uses: `time_constants`, and those of the cell."""
        low, high = self.bounds_s
        return TimeConstant("time_constants", self.step_s, low, high), *self.neuron.parameters

    def constants(self, params: Params) -> dict[str, Float[Array, "N 1"]]:
        """Return the parameters of neurons as a step uses them, by name."""
        return {one.name: one.used(params[one.key], self.step_s)[:, None] for one in self.parameters}

    def own_start(self) -> Params:
        """Return the cell's own parameters before training."""
        starts = dict(self.neuron.starts)
        real = jnp.result_type(float)
        return {
            one.key: jnp.full(self.neurons, one.stored(starts.get(one.name, one.start)), real)
            for one in self.neuron.parameters
        }

    def rest(self, batch: int = 1) -> Neurons:
        """Return neurons whose states are all 0."""
        shape = (self.neurons, batch)
        sent = jnp.zeros((self.delay, *shape)) if self.delay else None
        return Neurons(tuple(jnp.zeros(shape) for _ in self.neuron.states), sent)

    def balance(self, rates: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return the input that holds neurons at rates when own parameters of the cell are at their start."""
        theta = {one.name: one.used(self.own_start()[one.key], self.step_s)[:, None] for one in self.neuron.parameters}
        return np.asarray(self.neuron.balance(theta, cast("Array", rates[:, None])))[:, 0]

    def decay(self, params: Params) -> Float[Array, "N"]:
        """Return α = exp(-Δt/τ) of each neuron."""
        return self.constants(params)["time_constants"][:, 0]

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Return the signed chemical output of each neuron, then its electrical output if there are gap junctions."""
        chemical = self.signs[:, None] * r
        return jnp.concatenate([chemical, r]) if self.electrical else chemical

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Apply the adjoint of `outputs`."""
        n = self.neurons
        chemical = self.signs[:, None] * v[:n]
        return chemical + v[n:] if self.electrical else chemical

    def sources(self, sent: Float[Array, "N B"]) -> tuple[Float[Array, "C B"], ...]:
        """Return the part of `outputs` that reaches each channel."""
        if len(self.neuron.channels) == 1:
            return (self.outputs(sent),)
        excitatory = self.signs[:, None] > 0
        first, second = jnp.where(excitatory, sent, 0), jnp.where(excitatory, 0, self.signs[:, None] * sent)
        if self.electrical:
            first, second = jnp.concatenate([first, sent]), jnp.concatenate([second, jnp.zeros_like(sent)])
        return first, second

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
        return chemical + first[n:] if self.electrical else chemical

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

    def project(self, params: Params) -> Params:
        """Return the nearest allowed parameters.

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
        return projected


def _beside(columns: States) -> Float[Array, "N RB"]:
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=1)


def reads_several(readout: Readout) -> bool:
    """Return whether units read several neurons, or share one, so that state forcing moves neurons together."""
    return _read_neurons(readout) is None


def _read_neurons(readout: Readout) -> Int[np.ndarray, "P"] | None:
    """The one neuron that each unit reads; None if a unit reads several or two units read the same."""
    neurons = readout.matrix.indices
    single = np.diff(readout.matrix.indptr) == 1
    return neurons if single.all() and len(np.unique(neurons)) == len(neurons) else None
