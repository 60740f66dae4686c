"""What a learner needs to know of a model: its parts, and the derivatives that it declares itself."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from jaxtyping import Array, Float, Int

from connfit.models.maps import SparseMap, SynapticMap

Params = dict[str, Array]
"""Parameters by group: `weights` or `gains`, `log_time_constants`, `bias`, `drive`, `readout`."""


class Correction(NamedTuple):
    """What Dᵀ (D Dᵀ)⁻¹ is made of, D the rows of C that were observed: the smallest change of rates for these units.

    Attributes
    ----------
    readout
        C, whose strengths are fixed.
    shares
        Strengths of C.
    overlap
        [P, P] C Cᵀ.
    """

    readout: SparseMap
    shares: Float[Array, "R"]
    overlap: Float[Array, "P P"]


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
    def units(self) -> int:
        """Number of recorded units P."""
        ...

    @property
    def recurrent(self) -> SynapticMap:
        """W, from output channels to neurons."""
        ...

    @property
    def recurrent_group(self) -> str:
        """Group that holds the strengths of W: `weights` or `gains`."""
        ...

    @property
    def drive(self) -> SynapticMap | None:
        """E, from units to neurons; None without background drive."""
        ...

    @property
    def readout(self) -> SynapticMap:
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
        """α of each neuron, between 0 and 1."""
        ...

    def decay_slope(self, params: Params) -> Float[Array, "N"]:
        """dα / d log τ of each neuron."""
        ...

    def activation(self, x: Float[Array, "N B"]) -> tuple[Float[Array, "N B"], Float[Array, "N B"]]:
        """f(x) and f'(x)."""
        ...

    def outputs(self, r: Float[Array, "N B"]) -> Float[Array, "C B"]:
        """Signed output of each channel: what the connection magnitudes multiply."""
        ...

    def outputs_adjoint(self, v: Float[Array, "C B"]) -> Float[Array, "N B"]:
        """Adjoint of `outputs`."""
        ...

    def recurrent_strengths(self, params: Params) -> Array:
        """Strengths of W: magnitudes of connections, or gains."""
        ...

    def readout_strengths(self, params: Params) -> Array:
        """Strengths of C: fixed by anatomy, or learned."""
        ...
