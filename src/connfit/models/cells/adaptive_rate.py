"""The adaptive rate cell: what a neuron has fired is taken off its input."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array

from connfit.models.cells import CELLS, Cell
from connfit.models.cells.rate import Rate
from connfit.models.neuron import Jacobian, Slopes, States, Theta
from connfit.models.parameter import Parameter, TimeConstant


@dataclass(frozen=True)
class AdaptiveRate(Rate):
    """A leaky rate that adapts: a second state follows it and is taken off its input.

    ``r(t) = α r(t-1) + (1-α) f(x(t) - k a(t-1))``, ``a(t) = γ a(t-1) + (1-γ) r(t-1)``, ``γ = exp(-Δt/τ_a)``.
    """

    states = ("rate", "adaptation")
    parameters = (
        Parameter("adaptation_strength", start=0.1, low=0.0, high=10.0),
        TimeConstant("adaptation_time", start=5.0, low=0.05, high=300.0),
    )

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Move the rate, and adaptation towards it."""
        gamma = theta["adaptation_time"]
        (rate,) = super().step(theta, h, (self._left(theta, h, x),))
        return rate, gamma * h[1] + (1 - gamma) * h[0]

    def balance(self, theta: Theta, rate: Array) -> Array:
        """Return the input that holds a neuron at a rate: it has to make up for the adaptation."""
        return rate + theta["adaptation_strength"] * rate

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        own = super().jacobian(theta, h, (self._left(theta, h, x),))
        ((gain,),) = own.inputs
        assert gain is not None
        by_parameters = {
            "time_constants": (*own.parameters["time_constants"], None),
            "adaptation_strength": (-h[1] * gain, None),
            "adaptation_time": (None, h[1] - h[0]),
        }
        return Jacobian(*self._adapted(theta, (own.states, own.inputs)), by_parameters)

    def for_slopes(self, theta: Theta, h: States, x: States) -> Array:
        """Return what the slope of the nonlinearity follows from."""
        return super().for_slopes(theta, h, (self._left(theta, h, x),))

    def slopes(self, theta: Theta, at: Array) -> Slopes:
        """Return the derivatives of a step by states and input."""
        return self._adapted(theta, super().slopes(theta, at))

    def _adapted(self, theta: Theta, slopes: Slopes) -> Slopes:
        (((alpha,),), ((gain,),)), gamma = slopes, theta["adaptation_time"]
        assert gain is not None
        return ((alpha, -theta["adaptation_strength"] * gain), (1 - gamma, gamma)), ((gain,), (None,))

    def _left(self, theta: Theta, h: States, x: States) -> Array:
        return x[0] - theta["adaptation_strength"] * h[1]


CELLS.register(
    Cell(
        name="adaptive-rate", label="adaptive rate", phrase="the rate neuron that adapts", place=3,
        neuron=AdaptiveRate, in_studies=False,
    )
)  # fmt: skip
