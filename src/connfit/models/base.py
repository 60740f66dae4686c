"""What a learner needs to know of a model: its parts, and the derivatives that it declares itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap
from connfit.models.neuron import Neuron, States
from connfit.models.observation.likelihood import Likelihood
from connfit.models.parameter import Parameter
from connfit.models.poisson_input import Clock

Params = dict[str, Array]
"""Parameters by the key of their array: `weights` or `gains`, `bias`, `drive`, `inputs`, `readout`, and those of
neurons, of which time constants are kept as `log_` and their group: `log_time_constants`."""

INNOVATION_GAINS = "innovation_gains"
"""Group of the gains [S, P] by which a unit's innovation moves each state of its neuron."""

NOISE_SCALE = "noise_scale"
"""Group of the scale [P] of each unit's noise, in units of its change from frame to frame."""

GROUPS = ("weights", "gains", "time_constants", "bias", "drive", "inputs", "readout", INNOVATION_GAINS, NOISE_SCALE)
"""Groups of parameters that any cell can have, in the order of tables; its own come after `bias`."""


def group_of(key: str) -> str:
    """Return the group of an array of parameters."""
    return key.removeprefix("log_")


def key_of(group: str, params: Mapping[str, object]) -> str:
    """Return the key of a group's array."""
    return group if group in params else f"log_{group}"


def parameter_counts(params: Params) -> dict[str, int]:
    """Count the numbers of each group."""
    return {group_of(key): int(value.size) for key, value in params.items()}


class Neurons(NamedTuple):
    """The state of all neurons, of B runs side by side.

    Attributes
    ----------
    states
        One array for each state of a cell.
    sent
        With a synaptic delay of d steps, what neurons sent in the last d steps but is yet to arrive, the oldest first.
    clock
        Of external events, where the cell has such; it is counted, and has no derivatives.
    """

    states: tuple[Float[Array, "N B"], ...]
    sent: Float[Array, "d N B"] | None = None
    clock: Clock | None = None

    @property
    def rates(self) -> Float[Array, "N B"]:
        """The first state."""
        return self.states[0]

    def on_stream(self, stream: int | np.ndarray, step: int = 0) -> Neurons:
        """Return the same neurons with the events of a stream from a step on, of one or of each run; if they have any.

        See `connfit.models.poisson_input.stream_of`.
        """
        if self.clock is None:
            return self
        return self._replace(clock=Clock.at(stream, step, self.rates.shape[1]))


def as_columns(neurons: Neurons) -> Float[Array, "V B"]:
    """Return all that a state consists of, one below the other, but for the clock."""
    late = [] if neurons.sent is None else list(neurons.sent)
    columns = [*neurons.states, *late]
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns)


def as_neurons(columns: Float[Array, "V B"], like: Neurons) -> Neurons:
    """Undo `as_columns`, for a state of the same kind as another."""
    parts = columns.reshape(-1, len(like.rates), columns.shape[1])
    states = len(like.states)
    return Neurons(tuple(parts[:states]), None if like.sent is None else parts[states:])


def state_size(neurons: Neurons) -> int:
    """Return how many numbers the state of one run has."""
    return len(neurons.rates) * (len(neurons.states) + (0 if neurons.sent is None else len(neurons.sent)))


class Correction(NamedTuple):
    """What Dᵀ (D Dᵀ)⁻¹ is made of, D the rows of C that were observed: the smallest change of rates for these units.

    Attributes
    ----------
    readout
        C, whose weights are fixed.
    shares
        Weights of C.
    overlap
        [P, P] C Cᵀ; of many units that share no neuron its diagonal [P].
    """

    readout: SparseMap
    shares: Float[Array, "R"]
    overlap: Float[Array, "P P"] | Float[Array, "P"]


class Model(Protocol):
    """Neurons of one kind, coupled only through what they sent one step before, or d steps earlier with a delay of d.

    One step is ``h(t) = step(θ, h(t-1), x(t))`` with ``x(t) = W o(t-1-d) + b + relu(E u(t-1)) + F v(t)`` for the first
    channel, and is read out as ``y(t) = C a(t)``; o and a are what a neuron sends and shows (`connfit.models.neuron`),
    v external inputs as they are known before t.
    """

    @property
    def neuron(self) -> Neuron:
        """What one neuron does."""
        ...

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Learned numbers of each neuron that its step uses."""
        ...

    @property
    def delay(self) -> int:
        """d, steps by which synapses are late."""
        ...

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        ...

    @property
    def first_neuron(self) -> UInt32[Array, ""] | None:
        """Number of the first neuron in the whole brain; None: 0."""
        ...

    @property
    def connections(self) -> int:
        """Number of connections M."""
        ...

    @property
    def units(self) -> int:
        """Number of recorded units P."""
        ...

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of parameters that this model has, in the order of tables."""
        ...

    @property
    def step_s(self) -> float:
        """Length Δt of a step in seconds."""
        ...

    @property
    def bounds_s(self) -> tuple[float, float]:
        """Smallest and largest time constant in seconds."""
        ...

    @property
    def signs(self) -> Float[Array, "N"]:
        """Sign of each neuron's chemical output."""
        ...

    @property
    def electrical(self) -> bool:
        """Whether there are gap junctions, and so an unsigned output of each neuron beside the signed one."""
        ...

    @property
    def mixed(self) -> bool:
        """Whether neurons make connections of both signs, and so an output of the other sign, too."""
        ...

    @property
    def junctions(self) -> Int[Array, "2 G"] | None:
        """The two connections that each gap junction consists of; None without gap junctions."""
        ...

    @property
    def recurrent(self) -> SparseMap | GainMap:
        """W, from output channels to neurons."""
        ...

    @property
    def recurrent_group(self) -> str:
        """Group that holds the parameters of W: `weights` or `gains`."""
        ...

    @property
    def drive(self) -> SparseMap | DenseMap | None:
        """E, from units to neurons; None without background drive."""
        ...

    @property
    def inputs(self) -> SynapticMap | None:
        """F, from features of external inputs to neurons; None without inputs."""
        ...

    @property
    def readout(self) -> SparseMap | DenseMap:
        """C, from neurons to units."""
        ...

    @property
    def state_forcing(self) -> float:
        """φ, how far states are moved to what was recorded of them before each step; 0: not at all."""
        ...

    @property
    def own_gains(self) -> bool:
        """Whether each unit has a gain of its own for each state, among the parameters, in place of φ."""
        ...

    @property
    def forces(self) -> bool:
        """Whether states are moved to what was recorded of them before each step."""
        ...

    @property
    def likelihood(self) -> Likelihood | None:
        """What errors are scored by; None: their squares."""
        ...

    @property
    def read_neurons(self) -> Int[Array, "P"] | None:
        """The neuron that each unit reads, where each reads one and no two the same."""
        ...

    @property
    def correction(self) -> Correction | None:
        """How state forcing moves neurons where units read several; None without it, or if `read_neurons` says it."""
        ...

    def constants(self, params: Params) -> dict[str, Float[Array, "N 1"]]:
        """Return the parameters of neurons as a step uses them, by name."""
        ...

    def own_start(self) -> Params:
        """Return the cell's own parameters before training."""
        ...

    def rest(self, batch: int = 1) -> Neurons:
        """Return neurons whose states are all 0."""
        ...

    def balance(self, rates: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return the input that holds neurons at rates when own parameters of the cell are at their start."""
        ...

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Return the signed output of each source: what the connection magnitudes multiply, for all channels."""
        ...

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Apply the adjoint of `outputs`."""
        ...

    def sources(self, sent: Float[Array, "N B"]) -> tuple[Float[Array, "C B"], ...]:
        """Return the part of `outputs` that reaches each channel."""
        ...

    def received(self, params: Params, sent: Float[Array, "N B"]) -> States:
        """Return what neurons receive through their connections, for each channel."""
        ...

    def received_adjoint(self, params: Params, adjoint: States) -> Float[Array, "N B"]:
        """Apply the adjoint of `received` with respect to what is sent."""
        ...

    def recurrent_strengths(self, params: Params) -> Array:
        """Return the parameters of W: magnitudes of connections, or gains."""
        ...

    def readout_strengths(self, params: Params) -> Array:
        """Return the weights of C: fixed by anatomy, or learned."""
        ...

    def magnitudes(self, params: Params) -> Float[Array, "M"]:
        """Return |w| of every connection in the connectome's order, however weights are parametrised."""
        ...

    def with_gains(self, params: Params) -> Params:
        """Return parameters with the gains of each unit and state that stand for φ, where there are such gains."""
        ...

    @property
    def floors(self) -> Mapping[str, float]:
        """Smallest value of the arrays of which `project` asks nothing else."""
        ...

    def project(self, params: Params, frozen: Params | None = None) -> Params:
        """Return the nearest allowed parameters; bounds of some depend on others, which may be `frozen`."""
        ...

    def with_recurrent(self, recurrent: SparseMap | GainMap) -> Self:
        """Return the same model with other recurrent connections."""
        ...
