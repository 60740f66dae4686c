"""What a learner needs to know of a model: its parts, and the derivatives that it declares itself."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Array, Float, Int

from connfit.models.maps import SynapticMap

Params = dict[str, Array]
"""Parameters by group: `weights` or `gains`, `log_time_constants`, `bias`, `drive`, `readout`."""


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
        """φ, how far a recorded neuron's state is moved to its recorded activity before each step; 0: not at all."""
        ...

    @property
    def read_neurons(self) -> Int[Array, "P"] | None:
        """The neuron that each unit reads, where each reads one and no two the same."""
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
