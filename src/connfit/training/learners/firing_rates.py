"""A penalty on firing rates beside the loss: no neuron silent, none without end, strictly forward in time.

Each neuron's rate f is a running mean over time constants and recordings. With a band from `low` to `high` hertz

    ``Φ = weight · mean over neurons of [1 - f / low]₊² + [f / high - 1]₊²``

is added to the loss of each model step: a brain that is silent throughout costs `weight`, as much as persistence does
where `weight` is 1. Both halves are those of Zenke & Vogels 2021; with ``low = high`` it is the target rate of Bellec
et al. 2018 and 2020, in units of it.

What a window is to be told is what its own spikes do to the mean. As in e-prop, the mean decides how large the error
is, and a spike of the window counts as if its window were all that is averaged: a change of a parameter changes spikes
of all windows alike. So every counted spike z of a neuron has the adjoint

    ``∂Φ/∂z = weight φ'(f) / (N B Δt)``

for all K steps of the window together, from where it goes on through the surrogate of a spike's derivative.

References
----------
Zenke & Vogels 2021, Neural Computation 33:899, doi 10.1162/neco_a_01367. Bellec et al. 2018, NeurIPS 31,
arXiv:1803.09574. Bellec et al. 2020, Nature Communications 11:3625, doi 10.1038/s41467-020-17236-y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models import ops
from connfit.models.base import Model


class FiringMean(NamedTuple):
    """Running sums of a batch: spikes of each neuron, and the seconds in which they were counted.

    Attributes
    ----------
    share
        What each neuron counts in means over all: 1 / N; in a block of neurons 0 for those that fill it up.
    """

    spikes: Float[Array, "N"]
    seconds: Float[Array, ""]
    share: Float[Array, "N"]

    @property
    def rates(self) -> Float[Array, "N"]:
        """Hertz."""
        return self.spikes / self.seconds


class FiringScore(NamedTuple):
    """What a window says of firing rates; of a block of neurons its part of each sum.

    Attributes
    ----------
    penalty
        Φ per model step.
    below, above
        Shares of the neurons whose mean rate lies outside the band.
    """

    penalty: Float[Array, ""]
    below: Float[Array, ""]
    above: Float[Array, ""]


class FiringAdjoint(NamedTuple):
    """Adjoint of the spikes with which each step of a window begins: ``slope[i] · counted[t, b]``."""

    slope: Float[Array, "N"]
    counted: Float[Array, "K B"]


@dataclass(frozen=True)
class FiringPenalty:
    """How firing rates outside a band are penalised.

    Parameters
    ----------
    weight
        Of the penalty beside the loss; above 0.
    low, high
        The band in hertz; without a lower edge if `low` is 0.
    mean_s
        Time constant of the running mean in seconds.
    """

    weight: float
    low: float
    high: float
    mean_s: float

    def start(self, model: Model) -> FiringMean:
        """Return what is known before the first step: a single spike, in so long that the rate is an edge of the band.

        So neurons are not taken for silent before there was time for a spike.
        """
        edge = self.low or self.high
        ones = jnp.ones(model.neurons)
        return FiringMean(ones, jnp.full((), 1 / edge), ones / model.neurons)

    def score(
        self, model: Model, before: FiringMean, spikes: Float[Array, "K N B"], counted: Float[Array, "K B"] | None
    ) -> tuple[FiringScore, FiringAdjoint, FiringMean]:
        """Score a window.

        Parameters
        ----------
        before
            The mean at its start.
        spikes
            1 where the states before a step make a spike.
        counted
            1 where a step counts, else 0; None: all count.
        """
        steps, _, batch = spikes.shape
        kind = before.spikes.dtype
        if counted is None:
            counted = jnp.ones((steps, batch), kind)
        counts = jnp.einsum("knb,kb->n", spikes.astype(kind), counted, precision=ops.EXACT)
        seconds = counted.sum() * model.step_s
        # Where nothing counts, nothing is forgotten.
        keeps = jnp.where(seconds > 0, math.exp(-steps * model.step_s / self.mean_s), 1).astype(kind)
        mean = FiringMean(keeps * before.spikes + counts, keeps * before.seconds + seconds, before.share)
        rates = mean.rates
        above = jnp.maximum(rates / self.high - 1, 0)
        below = jnp.maximum(1 - rates / self.low, 0) if self.low else jnp.zeros_like(rates)
        slope = 2 * (above / self.high - (below / self.low if self.low else 0))
        found = FiringScore(
            self.weight * counted.mean() * (mean.share * (below**2 + above**2)).sum(),
            (mean.share * (below > 0)).sum(),
            (mean.share * (above > 0)).sum(),
        )
        each = self.weight * slope * mean.share / (batch * model.step_s)
        return found, FiringAdjoint(each, counted), mean
