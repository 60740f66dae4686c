"""The two-channel cell: excitatory and inhibitory synapses have time constants of their own."""

from __future__ import annotations

from dataclasses import dataclass

from connfit.models.cells import CELLS, Cell
from connfit.models.cells.rate import Rate
from connfit.models.neuron import Jacobian, States, Theta, TimeConstant


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
        ((alpha,),), ((gain,),), own = super().jacobian(theta, h, (excitation + inhibition,))
        e, i = theta["excitatory_decay"], theta["inhibitory_decay"]
        from_e, from_i = h[1] - x[0], h[2] - x[1]
        assert gain is not None
        return Jacobian(
            ((alpha, gain * e, gain * i), (None, e, None), (None, None, i)),
            ((gain * (1 - e), gain * (1 - i)), (1 - e, None), (None, 1 - i)),
            {
                "time_constants": (*own["time_constants"], None, None),
                "excitatory_decay": (gain * from_e, from_e, None),
                "inhibitory_decay": (gain * from_i, None, from_i),
            },
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
