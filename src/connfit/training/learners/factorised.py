"""Eligibility traces as products of a postsynaptic and a presynaptic factor: memory O(N) instead of O(M).

D-RTRL keeps ``ε_ij(t) = α_i ε_ij(t-1) + g_i(t) x_j(t)`` for every weight, with ``g_i = (1-α_i) f'_i`` and ``x_j`` the
signed rate (or unit) that weight ij multiplies. pp-prop (also ES-D-RTRL) keeps one number per neuron of each kind,

    post_i(t) = γ α_i post_i(t-1) + (1-γ) g_i(t)
    pre_j(t)  = γ pre_j(t-1) + x_j(t)
    ε_ij(t)   ≈ post_i(t) pre_j(t) / (1 - γ^t)

with a decay 0 ≤ γ < 1 (an integer rank n stands for γ = (n-1) / (n+1)), t counted from the start of a recording.
The divisor is the published normalisation: without it the smoothed post factor starts near 0. (The authors' program
leaves it out from step 1,000 on, where it is 1 for any useful γ.)

Of neurons with several states, post has one factor per state (α is then A, the states' own Jacobian) and channel.

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
from connfit.models.neuron import Slope, States, filled, times, total
from connfit.training.learners.window_adjoint import changing, with_changing
from connfit.training.learners.window_sums import Matrix


class Factors(NamedTuple):
    """One map's factors, after one step or after each of K steps, for each channel; `post` also for each state."""

    post: tuple[tuple[Float[Array, "*K R B"], ...], ...]
    pre: tuple[Float[Array, "*K C B"], ...]


class FactorisedTraces(NamedTuple):
    """Factors of all maps that are trained, and the number of steps since the recording's start."""

    steps: Int[Array, ""]
    maps: dict[str, Factors]

    @classmethod
    def at_rest(
        cls, neurons: int, states: int, maps: Mapping[str, tuple[int, int]], batch: int, late: int = 0
    ) -> FactorisedTraces:
        """Start before the first step.

        Parameters
        ----------
        maps
            Number of sources and of channels of each map.
        late
            Steps by which factors are behind.
        """

        def factors(sources: int, channels: int) -> Factors:
            def zeros(rows: int, count: int) -> States:
                return tuple(jnp.zeros((rows, batch)) for _ in range(count))

            return Factors(tuple(zeros(neurons, states) for _ in range(channels)), zeros(sources, channels))

        return cls(jnp.full((), -late, jnp.int32), {name: factors(*size) for name, size in maps.items()})


@dataclass(frozen=True, eq=False)
class FactorisedSums:
    """Gradients of weights in one window, from factors that were carried to its start.

    Parameters
    ----------
    before
        Factors at the window's start.
    trace_decay
        γ.
    local
        A of each step, row by row.
    direct
        ∂loss(t)/∂h(t) through the read-out alone: every step's error meets the factors of that step, which is
        pp-prop as published, the same for every K. None: the window itself is exact, and only what lies before it is
        a product of factors.
    start
        λ⁰, adjoint of the states at the window's start.
    later
        Steps at the end, which the sums have and factors have not seen yet.
    at_start
        With `direct`: what the window's loss says of the states at its start by itself; None: nothing.
    """

    before: FactorisedTraces
    trace_decay: float
    local: Matrix
    direct: tuple[Slope, ...] | None
    start: States
    later: int = 0
    at_start: tuple[Slope, ...] | None = None

    def strengths(
        self, name: str, synapses: SynapticMap, driven: States, gains: Matrix, sources: States
    ) -> tuple[Array, Factors]:
        """Return the gradient of one map's weights, and its factors after the window.

        Parameters
        ----------
        driven
            B(t) λ(t) of each channel.
        gains, sources
            B(t), row by row, and what reaches each channel.
        """
        before, steps = self.before.maps[name], len(sources[0])
        every = self._each_step(before, gains, sources)
        end = jax.tree.map(lambda one: one[-1], every)
        lefts, rights = [], []
        for c, (post, pre) in enumerate(zip(every.post, every.pre, strict=True)):
            if self.direct is not None:
                scale = self._correction(1 + jnp.arange(steps))[:, None, None]
                left, right = filled(total(map(times, self.direct, post)), post[0]) / scale, pre
            else:
                left, right = driven[c], sources[c]
            start = self.start if self.direct is None else self.at_start
            if start is not None:
                past = filled(total(map(times, start, before.post[c])), self.start[0])
                past /= self._correction(jnp.zeros((), jnp.int32))
                left, right = jnp.concatenate([past[None], left]), jnp.concatenate([before.pre[c][None], right])
            lefts.append(_flat(left))
            rights.append(_flat(right))
        if len(lefts) == 1:
            return synapses.outer(lefts[0], rights[0]), end
        return synapses.outer(jnp.concatenate(lefts, axis=1), jnp.concatenate(rights, axis=1)), end

    def after(self, maps: dict[str, Factors], steps: int) -> FactorisedTraces:
        """Return what the next window starts from."""
        return FactorisedTraces(self.before.steps + steps, maps)

    def _each_step(self, before: Factors, gains: Matrix, sources: States) -> Factors:
        decay, fresh = self.trace_decay, 1 - self.trace_decay
        fixed, moving = (self.local, gains), changing((self.local, gains))
        if self.later:
            moving, sources = [one[: -self.later] for one in moving], tuple(one[: -self.later] for one in sources)

        def advance(now: Factors, step: tuple[list[Array], States]) -> tuple[Factors, Factors]:
            (local, gain), arrived = with_changing(fixed, step[0]), step[1]
            post = tuple(
                tuple(
                    filled(
                        total(
                            (
                                *(times(_scaled(one, decay), old) for one, old in zip(row, channel, strict=True)),
                                _scaled(gain[p][c], fresh),
                            )
                        ),
                        channel[p],
                    )
                    for p, row in enumerate(local)
                )
                for c, channel in enumerate(now.post)
            )
            pre = tuple(decay * old + new for old, new in zip(now.pre, arrived, strict=True))
            return Factors(post, pre), Factors(post, pre)

        return jax.lax.scan(advance, before, (moving, sources))[1]

    def _correction(self, later: Int[Array, "*K"]) -> Float[Array, "*K"]:
        """1 - γ^t of the steps `later` than the window's start; 1 before the first step, where the factors are 0."""
        t = (self.before.steps + later).astype(self.start[0].dtype)
        log = math.log(self.trace_decay) if self.trace_decay else -math.inf
        return jnp.where(t > 0, -jnp.expm1(jnp.maximum(t, 1) * log), 1)


def _scaled(slope: Slope, factor: float) -> Slope:
    return None if slope is None else factor * slope


def _flat(values: Float[Array, "K R B"]) -> Float[Array, "R KB"]:
    """Steps and recordings side by side: the sum over both is one product."""
    return values.transpose(1, 2, 0).reshape(values.shape[1], -1)
