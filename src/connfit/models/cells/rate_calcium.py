"""The rate cell seen through calcium: an indicator follows the rate, and read-outs see the indicator."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array

from connfit.models.cells import CELLS, Cell
from connfit.models.cells.rate import Rate
from connfit.models.neuron import Jacobian, Slopes, States, Theta
from connfit.models.parameter import TimeConstant


@dataclass(frozen=True)
class RateCalcium(Rate):
    """A leaky rate, and calcium that follows it and is what is recorded.

    ``c(t) = β c(t-1) + (1-β) r(t)``, ``β = exp(-Δt/τ_c)``; synapses see the rate, read-outs the calcium.
    """

    states = ("rate", "calcium")
    parameters = (TimeConstant("calcium_decay", start=1.0, low=0.02, high=60.0),)
    shows = 1

    @property
    def observing(self) -> tuple[str, ...]:
        """Calcium."""
        return ("calcium_decay",)

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Move the rate, and calcium towards it."""
        (rate,) = super().step(theta, h, x)
        return rate, self._calcium(theta, h[1], rate)

    def hold(self, theta: Theta, before: States, after: States, rate: Array) -> States:
        """Let calcium follow the rate at which a neuron is held."""
        return rate, self._calcium(theta, before[1], rate)

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        own, (rate,) = super().jacobian(theta, h, x), super().step(theta, h, x)
        (leak,), passed = own.parameters["time_constants"], 1 - theta["calcium_decay"]
        assert leak is not None
        by_parameters = {"time_constants": (leak, passed * leak), "calcium_decay": (None, h[1] - rate)}
        return Jacobian(*self._followed(theta, (own.states, own.inputs)), by_parameters)

    def slopes(self, theta: Theta, at: Array) -> Slopes:
        """Return the derivatives of a step by states and input."""
        return self._followed(theta, super().slopes(theta, at))

    def _followed(self, theta: Theta, slopes: Slopes) -> Slopes:
        (((alpha,),), ((gain,),)), beta = slopes, theta["calcium_decay"]
        assert alpha is not None and gain is not None
        passed = 1 - beta
        return ((alpha, None), (passed * alpha, beta)), ((gain,), (passed * gain,))

    def _calcium(self, theta: Theta, calcium: Array, rate: Array) -> Array:
        beta = theta["calcium_decay"]
        return beta * calcium + (1 - beta) * rate


CELLS.register(
    Cell(
        name="rate-calcium", label="rate and calcium", phrase="the rate neuron seen through calcium", place=2,
        neuron=RateCalcium, in_studies=False,
    )
)  # fmt: skip
