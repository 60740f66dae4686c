"""The adaptive integrate-and-fire cell: each spike raises the threshold of those that follow."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from connfit.models.cells import CELLS, Cell
from connfit.models.cells.integrate_fire import LIF
from connfit.models.neuron import CompiledCell, Jacobian, Reading, Slopes, States, Theta, times
from connfit.models.parameter import Parameter, TimeConstant


@dataclass(frozen=True)
class AdaptiveLIF(LIF):
    """A leaky integrate-and-fire neuron whose threshold rises with each spike and decays.

    All else is as in `LIF`, which it is where ``jump = 0``. In millivolts above rest, with the spike z that starts a
    step::

        z = [v(t-1) > θ + jump a(t-1)]          a(t) = ρ a(t-1) + z          ρ = exp(-Δt/τ_a)

    The form and the scale are those of the ALIF neuron of Bellec et al. 2020, Nature Communications 11:3625 (β for
    `jump`): a spike adds 1 to a, whatever the step, and `jump` is how many millivolts it raises the threshold by. At n
    steps from spike to spike a spike meets ``θ + jump ρ^(n-1) / (1 - ρ^n)``. `adaptation`, τ_a, starts at the 200 ms of
    their code, `jump` at a tenth of the threshold.

    Parameters
    ----------
    surrogate, surrogate_width, clears, poisson_hz, poisson_weight
        As of `LIF`.

    Raises
    ------
    ConfigError
        If there is no such surrogate, or a number is out of range.
    """

    code = "adaptive_lif"
    states = (*LIF.states, "adaptation")
    parameters = (
        *LIF.parameters,
        TimeConstant("adaptation", start=0.2, low=0.001, high=100.0),
        Parameter("jump", start=0.7, low=0.0, high=100.0, unit="mV"),
    )

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Move what `LIF` does, and let spikes raise the threshold."""
        return *super().step(theta, h, x), theta["adaptation"] * h[4] + self.output(theta, h)

    def _above(self, theta: Theta, h: States) -> Array:
        """Potential above the threshold; adaptation is the last of the states, and of `for_slopes`."""
        return super()._above(theta, h) - theta["jump"] * h[-1]

    def _threshold_at(self, theta: Theta, interval: Array) -> Array:
        """Threshold at a spike once adaptation is the same at each."""
        steps, rho = jnp.maximum(interval, 1), jnp.log(theta["adaptation"])
        met = jnp.exp((steps - 1) * rho) / -jnp.expm1(steps * rho)
        return super()._threshold_at(theta, interval) + theta["jump"] * met

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step."""
        found = super().jacobian(theta, h, x)
        sigma = self._parts(theta, self.for_slopes(theta, h, x))[2]
        threshold = *found.parameters["threshold"], -sigma
        by_parameters = {
            **{name: (*rows, None) for name, rows in found.parameters.items()},
            "threshold": threshold,
            "adaptation": (*(None,) * 4, h[4]),
            "jump": tuple(times(row, h[4]) for row in threshold),
        }
        return found._replace(parameters=by_parameters)

    def for_slopes(self, theta: Theta, h: States, x: States) -> States:
        """Return potential, where the neuron is free to move, and adaptation."""
        return *super().for_slopes(theta, h, x), h[4]

    def slopes(self, theta: Theta, at: States) -> Slopes:
        """Return the derivatives of a step by states and input."""
        rows, inputs = super().slopes(theta, at)
        sigma, jump = self._parts(theta, at)[2], theta["jump"]
        columns = None, None, None, -jump * self._seen_of_spike(theta, at)
        adapted = sigma, None, None, None, theta["adaptation"] - jump * sigma
        return (*((*row, column) for row, column in zip(rows, columns, strict=True)), adapted), (*inputs, (None,))

    def compiled(self, theta: Theta) -> CompiledCell:
        """Return what `cpp/lif.h` needs of a cell that adapts."""
        plain, own = super().compiled(theta), ("adaptation", "jump")
        numbers = jnp.concatenate([plain.theta, jnp.stack([theta[name][:, 0] for name in own])])
        return CompiledCell(self.code, numbers, plain.options, (*plain.learned, *own))

    def sent(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of the spike."""
        (slope, *others), parameters, _ = super().sent(theta, h)
        assert slope is not None
        by_jump = -slope * h[4]
        return Reading((slope, *others, -slope * theta["jump"]), {**parameters, "jump": by_jump})


CELLS.register(
    Cell(
        name="adaptive-lif", label="adaptive integrate and fire", place=6, neuron=AdaptiveLIF, in_studies=False,
        phrase="the leaky integrate-and-fire neuron that adapts",
    )
)  # fmt: skip
