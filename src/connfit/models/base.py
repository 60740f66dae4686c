"""What a learner needs to know of a model: its parts, and the derivatives that it declares itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, Self

from jaxtyping import Array, Float, Int

from connfit.models.maps import DenseMap, GainMap, SparseMap

Params = dict[str, Array]
"""Parameters by the key of their array: `weights` or `gains`, `log_time_constants`, `bias`, `drive`, `readout`."""

GROUPS = ("weights", "gains", "time_constants", "bias", "drive", "readout")
"""Groups of parameters in the order of tables."""

GROUP_OF: Mapping[str, str] = MappingProxyType({"log_time_constants": "time_constants"})
"""Groups by the key of their array, where the two differ."""

KEY_OF: Mapping[str, str] = MappingProxyType({group: key for key, group in GROUP_OF.items()})


def parameter_counts(params: Params) -> dict[str, int]:
    """Count the numbers of each group."""
    return {GROUP_OF.get(key, key): int(value.size) for key, value in params.items()}


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
    """Neurons with one leaky state each, coupled only through the output of the step before.

    One step is ``r(t) = α r(t-1) + (1-α) f(x(t))`` with
    ``x(t) = W out(r(t-1)) + b + relu(E u(t-1))`` and is read out as ``y(t) = C r(t)``.
    """

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
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
    def readout(self) -> SparseMap | DenseMap:
        """C, from neurons to units."""
        ...

    @property
    def state_forcing(self) -> float:
        """φ, how far states are moved to what was recorded of them before each step; 0: not at all."""
        ...

    @property
    def read_neurons(self) -> Int[Array, "P"] | None:
        """The neuron that each unit reads, where each reads one and no two the same."""
        ...

    @property
    def correction(self) -> Correction | None:
        """How state forcing moves neurons where units read several; None without it, or if `read_neurons` says it."""
        ...

    def decay(self, params: Params) -> Float[Array, "N"]:
        """Return α of each neuron, between 0 and 1."""
        ...

    def decay_slope(self, params: Params) -> Float[Array, "N"]:
        """Return dα / d log τ of each neuron."""
        ...

    def activation(self, x: Float[Array, "N B"]) -> tuple[Float[Array, "N B"], Float[Array, "N B"]]:
        """Return f(x) and f'(x)."""
        ...

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Return the signed output of each channel: what the connection magnitudes multiply."""
        ...

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Apply the adjoint of `outputs`."""
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

    def project(self, params: Params) -> Params:
        """Return the nearest allowed parameters."""
        ...

    def with_recurrent(self, recurrent: SparseMap | GainMap) -> Self:
        """Return the same model with other recurrent connections."""
        ...
