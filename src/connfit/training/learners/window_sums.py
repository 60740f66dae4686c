"""Sums over the steps of a window, and how much of each step is left at its end."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.maps import SynapticMap


@dataclass(frozen=True)
class WindowSums:
    """The window's sums Σ_t left(t) right(t), plus λ⁰ ε where a trace ε is carried."""

    start: Float[Array, "N B"]
    fading: Float[Array, "K N b"]
    decay: Float[Array, "N B"]

    def strengths(
        self, synapses: SynapticMap, trace: Array | None, left: Array, trace_left: Array, right: Float[Array, "C B K"]
    ) -> tuple[Array, Array | None]:
        if trace is None:
            flat = (left.shape[1], -1)
            return synapses.outer(side_by_side(left).reshape(flat), right.reshape(right.shape[0], -1)), None
        columns = (side_by_side(left), side_by_side(self._faded(trace_left)), right)
        return synapses.outer_with_trace(trace, self.start, self.decay, *columns)

    def per_neuron(self, trace: Array | None, left: Array, trace_left: Array) -> tuple[Array, Array | None]:
        gradient = over_steps(left).sum(axis=1)
        if trace is None:
            return gradient, None
        faded = over_steps(self._faded(trace_left))
        return gradient + (self.start * trace).sum(axis=1), self.decay * trace + faded

    def _faded(self, values: Float[Array, "K N B"]) -> Float[Array, "K N B"]:
        """α^(K-t) times the value of step t: what is left of it at the window's end."""
        return self.fading * values


def fading_shares(alpha: Float[Array, "N"], steps: int) -> Float[Array, "K N 1"]:
    """Return α^(K-t), what is left of step t = 1..K at the end (by products, which are cheaper than powers)."""
    return jax.lax.scan(lambda left, _: (left * alpha, left), jnp.ones_like(alpha), length=steps, reverse=True)[1][
        ..., None
    ]


def fading_by_step(decay: Float[Array, "K N B"]) -> tuple[Float[Array, "K N B"], Float[Array, "N B"]]:
    """Return `fading_shares` where the decay differs from step to step, and what is left of what was before."""
    end, fading = jax.lax.scan(lambda left, now: (left * now, left), jnp.ones_like(decay[0]), decay, reverse=True)
    return fading, end


def over_steps(values: Float[Array, "K N B"]) -> Float[Array, "N B"]:
    """Sum over a window's steps, as a product: XLA's reduction over a leading axis strides through memory."""
    return jnp.tensordot(jnp.ones(len(values), values.dtype), values, 1)


def side_by_side(values: Float[Array, "K R B"]) -> Float[Array, "R B K"]:
    """Lay the window's steps side by side, so that a neuron's window is one stretch of memory."""
    return values.transpose(1, 2, 0)


def history_error(alpha: Float[Array, "N"], history: int) -> Float[Array, ""]:
    """Return the largest share α^H of a trace that `carry="history"` leaves out."""
    return jnp.max(alpha) ** history
