"""The two-channel cell: excitatory and inhibitory synapses have time constants of their own."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array

from connfit.models.cells import CELLS, Cell
from connfit.models.cells.rate import Rate
from connfit.models.neuron import Jacobian, Slopes, States, Theta
from connfit.models.parameter import TimeConstant


@dataclass(frozen=True)
class TwoChannel(Rate):
    """A leaky rate behind two synaptic filters, of excitatory and of inhibitory input.

    ``e(t) = β_e e(t-1) + (1-β_e) x_e(t)``, i(t) alike, ``r(t) = α r(t-1) + (1-α) f(e(t) + i(t))``. Bias, drive and gap
    junctions come in with excitation.
    """

    states = ("rate", "excitation", "inhibition")
    channels = ("excitatory", "inhibitory")
    parameters = (
        TimeConstant("excitatory_decay", start=0.5, low=0.01, high=30.0),
        TimeConstant("inhibitory_decay", start=0.5, low=0.01, high=30.0),
    )

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Move both filters, and the rate by their sum."""
        excitation, inhibition = self._filtered(theta, h, x)
        (rate,) = super().step(theta, h, (excitation + inhibition,))
        return rate, excitation, inhibition

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        excitation, inhibition = self._filtered(theta, h, x)
        own = super().jacobian(theta, h, (excitation + inhibition,))
        from_e, from_i = h[1] - x[0], h[2] - x[1]
        ((gain,),) = own.inputs
        assert gain is not None
        by_parameters = {
            "time_constants": (*own.parameters["time_constants"], None, None),
            "excitatory_decay": (gain * from_e, from_e, None),
            "inhibitory_decay": (gain * from_i, None, from_i),
        }
        return Jacobian(*self._behind(theta, (own.states, own.inputs)), by_parameters)

    def for_slopes(self, theta: Theta, h: States, x: States) -> Array:
        """Return what the slope of the nonlinearity follows from."""
        excitation, inhibition = self._filtered(theta, h, x)
        return super().for_slopes(theta, h, (excitation + inhibition,))

    def slopes(self, theta: Theta, at: Array) -> Slopes:
        """Return the derivatives of a step by states and inputs."""
        return self._behind(theta, super().slopes(theta, at))

    def _behind(self, theta: Theta, slopes: Slopes) -> Slopes:
        (((alpha,),), ((gain,),)), e, i = slopes, theta["excitatory_decay"], theta["inhibitory_decay"]
        assert gain is not None
        return (
            ((alpha, gain * e, gain * i), (None, e, None), (None, None, i)),
            ((gain * (1 - e), gain * (1 - i)), (1 - e, None), (None, 1 - i)),
        )

    def _filtered(self, theta: Theta, h: States, x: States) -> States:
        e, i = theta["excitatory_decay"], theta["inhibitory_decay"]
        return e * h[1] + (1 - e) * x[0], i * h[2] + (1 - i) * x[1]


CELLS.register(
    Cell(
        name="two-channel", label="two channels", phrase="the rate neuron with two kinds of synapses", place=4,
        neuron=TwoChannel, in_studies=False,
    )
)  # fmt: skip
