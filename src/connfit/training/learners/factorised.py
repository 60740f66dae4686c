"""Eligibility traces as products of a postsynaptic and a presynaptic factor: memory O(N) instead of O(M).

D-RTRL keeps ``ε_ij(t) = α_i ε_ij(t-1) + g_i(t) x_j(t)`` for every weight, with ``g_i = (1-α_i) f'_i`` and ``x_j`` the
signed rate (or unit) that weight ij multiplies. pp-prop (also ES-D-RTRL) keeps one number per neuron of each kind,

    post_i(t) = γ α_i post_i(t-1) + (1-γ) g_i(t)
    pre_j(t)  = γ pre_j(t-1) + x_j(t)
    ε_ij(t)   ≈ post_i(t) pre_j(t) / (1 - γ^t)

with a decay 0 ≤ γ < 1 (an integer rank n stands for γ = (n-1) / (n+1)), t counted from the start of a recording.
The divisor is the published normalisation: without it the smoothed post factor starts near 0. (The authors' program
leaves it out from step 1,000 on, where it is 1 for any useful γ.)

What is biased: the product of the sums also pairs the gain of one step with the source of another one. With sources
that do not change in time it is the trace itself, with γ α_i in place of α_i, so exact as γ → 1; with γ = 0 it is the
last step alone. Biases and time constants have one trace per neuron anyway, and keep it exactly.

References
----------
Wang et al., "Model-agnostic linear-memory online learning in spiking neural networks", Nature Communications 2026,
doi 10.1038/s41467-026-68453-w.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from connfit.models.maps import SynapticMap


class Factors(NamedTuple):
    """One map's factors, after one step or after each of K steps."""

    post: Float[Array, "*K R B"]
    pre: Float[Array, "*K C B"]


class FactorisedTraces(NamedTuple):
    """Factors of all maps that are trained, and the number of steps since the recording's start."""

    steps: Int[Array, ""]
    maps: dict[str, Factors]

    @classmethod
    def at_rest(cls, neurons: int, sources: Mapping[str, int], batch: int) -> FactorisedTraces:
        """Start before the first step.

        Parameters
        ----------
        sources
            Number of sources of each map.
        """
        maps = {name: Factors(jnp.zeros((neurons, batch)), jnp.zeros((c, batch))) for name, c in sources.items()}
        return cls(jnp.zeros((), jnp.int32), maps)


@dataclass(frozen=True, eq=False)
class FactorisedSums:
    """Gradients of weights in one window, from factors that were carried to its start.

    Parameters
    ----------
    before
        Factors at the window's start.
    trace_decay
        γ.
    alpha
        α of each neuron.
    direct
        ∂loss(t)/∂r(t) through the read-out alone: every step's error meets the factors of that step, which is
        pp-prop as published, the same for every K. None: the window itself is exact, and only what lies before it is
        a product of factors.
    start
        λ⁰, adjoint of the rates at the window's start.
    """

    before: FactorisedTraces
    trace_decay: float
    alpha: Float[Array, "N"]
    direct: Float[Array, "K N B"] | None
    start: Float[Array, "N B"]

    def strengths(
        self,
        name: str,
        synapses: SynapticMap,
        driven: Float[Array, "K R B"],
        gain: Float[Array, "K R B"],
        sources: Float[Array, "K C B"],
    ) -> tuple[Array, Factors]:
        """Return the gradient of one map's weights, and its factors after the window.

        Parameters
        ----------
        driven
            gλ(t), the gain times the adjoint of the rates.
        gain, sources
            g(t) and x(t).
        """
        before = self.before.maps[name]
        every = self._each_step(before, gain, sources)
        end = Factors(every.post[-1], every.pre[-1])
        if self.direct is not None:
            left = self.direct * every.post / self._correction(1 + jnp.arange(len(gain)))[:, None, None]
            return synapses.outer(_flat(left), _flat(every.pre)), end
        past = self.start * before.post / self._correction(jnp.zeros((), jnp.int32))
        left = jnp.concatenate([past[None], driven])
        right = jnp.concatenate([before.pre[None], sources])
        return synapses.outer(_flat(left), _flat(right)), end

    def after(self, maps: dict[str, Factors], steps: int) -> FactorisedTraces:
        """Return what the next window starts from."""
        return FactorisedTraces(self.before.steps + steps, maps)

    def _each_step(self, before: Factors, gain: Array, sources: Array) -> Factors:
        kept, fresh = self.trace_decay * self.alpha[:, None], 1 - self.trace_decay

        def advance(now: Factors, step: tuple[Array, Array]) -> tuple[Factors, Factors]:
            gain_t, sources_t = step
            now = Factors(kept * now.post + fresh * gain_t, self.trace_decay * now.pre + sources_t)
            return now, now

        return jax.lax.scan(advance, before, (gain, sources))[1]

    def _correction(self, later: Int[Array, "*K"]) -> Float[Array, "*K"]:
        """1 - γ^t of the steps `later` than the window's start; 1 before the first step, where the factors are 0."""
        t = (self.before.steps + later).astype(self.alpha.dtype)
        log = math.log(self.trace_decay) if self.trace_decay else -math.inf
        return jnp.where(t > 0, -jnp.expm1(jnp.maximum(t, 1) * log), 1)


def _flat(values: Float[Array, "K R B"]) -> Float[Array, "R KB"]:
    """Steps and recordings side by side: the sum over both is one product."""
    return values.transpose(1, 2, 0).reshape(values.shape[1], -1)
