"""Sums over the steps of a window, and how much of each step is left at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models.maps import SynapticMap
from connfit.models.neuron import Slope, States, filled, times, total

Matrix: TypeAlias = tuple[tuple[Slope, ...], ...]
"""S x S derivatives of states by states, row by row; each [N, 1], [N, B] or, for all steps, [K, N, 1] or [K, N, B]."""


@dataclass(frozen=True)
class WindowSums:
    """The window's sums Σ_t left(t) right(t), plus λ⁰ ε where traces ε are carried.

    Parameters
    ----------
    start
        λ⁰ of each state, [N, B].
    fading
        Ψ(t), what is left of each state's change at the window's end.
    decay
        Φ, what is left of a change before the window.
    """

    start: States
    fading: Matrix
    decay: Matrix

    def strengths(
        self,
        synapses: SynapticMap,
        trace: Array | None,
        left: States,
        gains: Sequence[Sequence[Slope]],
        right: Sequence[Float[Array, "K C B"]],
    ) -> tuple[Array, Array | None]:
        """Return the gradient of a map's weights, and the traces after the window.

        Parameters
        ----------
        left
            λ · B of each channel.
        gains
            B, row by row: what each channel adds to each state.
        right
            What reaches each channel. Channels lie side by side, as more steps do.
        """
        lefts, rights = _one_after_other(left), _one_after_other(right)
        if trace is None:
            flat = (lefts.shape[0], -1)
            return synapses.outer(lefts.reshape(flat), rights.reshape(rights.shape[0], -1)), None
        channels = [self._faded([row[c] for row in gains], like) for c, like in enumerate(left)]
        by_state = [_one_after_other([channel[p] for channel in channels]) for p in range(len(self.start))]
        carry, decay = jnp.stack(self.start, -1), self._whole_decay()
        return synapses.outer_with_trace(trace, carry, decay, lefts, jnp.stack(by_state, axis=2), rights)

    def per_neuron(
        self, trace: States | None, left: Array, gains: Sequence[Slope]
    ) -> tuple[Float[Array, "N"], States | None]:
        """Return the gradient of a number of each neuron, and its traces; `gains` is what it adds to each state."""
        gradient = over_steps(left).sum(axis=1)
        if trace is None:
            return gradient, None
        for start, each in zip(self.start, trace, strict=True):
            gradient += (start * each).sum(axis=1)
        kept = [total(map(times, row, trace)) for row in self.decay]
        added = [over_steps(one) for one in self._faded(gains, left)]
        return gradient, tuple(total((old, new)) for old, new in zip(kept, added, strict=True))

    def _faded(self, gains: Sequence[Slope], like: Array) -> States:
        """What is left at the window's end of what each step adds to the states."""
        return tuple(filled(total(map(times, row, gains)), like) for row in self.fading)

    def _whole_decay(self) -> Float[Array, "N B S S"]:
        like = self.start[0]
        rows = [jnp.stack([filled(one, like) for one in row], -1) for row in self.decay]
        return jnp.stack(rows, -2)


def fading(local: Matrix, steps: int) -> tuple[Matrix, Matrix]:
    """Return Ψ(t) = A(K) ... A(t+1) of each step t = 1..K, and Φ = A(K) ... A(1), by products from the end.

    Parameters
    ----------
    local
        A(t), row by row. What does not change with time has no axis of steps.
    """
    size = range(len(local))
    reach = _reached([[one is not None for one in row] for row in local])
    moving = [[one if one is not None and one.ndim == 3 else None for one in row] for row in local]
    there = [one for row in local for one in row if one is not None]
    shape = jnp.broadcast_shapes((1, 1), *(one.shape[-2:] for one in there))
    ones, zeros = (make(shape, jnp.result_type(float, *there)) for make in (jnp.ones, jnp.zeros))
    whole = [[ones if p == q else zeros if reach[p][q] else None for q in size] for p in size]

    def back(left: list[list[Slope]], now: list[list[Slope]]) -> tuple[list[list[Slope]], list[list[Slope]]]:
        step = [[now[p][q] if moving[p][q] is not None else local[p][q] for q in size] for p in size]
        columns = [[step[q][r] for q in size] for r in size]
        product = [[total(map(times, row, column)) for column in columns] for row in left]
        return [[zeros if reach[p][q] and product[p][q] is None else product[p][q] for q in size] for p in size], left

    end, each = jax.lax.scan(back, whole, moving, length=steps, reverse=True)
    return tuple(map(tuple, each)), tuple(map(tuple, end))


def _reached(direct: list[list[bool]]) -> list[list[bool]]:
    """Which state acts on which, after any number of steps."""
    size = range(len(direct))
    reach = [[direct[p][q] or p == q for q in size] for p in size]
    for middle in size:
        reach = [[reach[p][q] or (reach[p][middle] and reach[middle][q]) for q in size] for p in size]
    return reach


def over_steps(values: Float[Array, "K N B"]) -> Float[Array, "N B"]:
    """Sum over a window's steps, as a product: XLA's reduction over a leading axis strides through memory."""
    return jnp.tensordot(jnp.ones(len(values), values.dtype), values, 1)


def side_by_side(values: Float[Array, "K R B"]) -> Float[Array, "R B K"]:
    """Lay the window's steps side by side, so that a neuron's window is one stretch of memory."""
    return values.transpose(1, 2, 0)


def _one_after_other(channels: Sequence[Float[Array, "K R B"]]) -> Float[Array, "R B KC"]:
    """Lay the steps of all channels side by side."""
    columns = [side_by_side(one) for one in channels]
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=2)


def history_error(alpha: Float[Array, "N"], history: int) -> Float[Array, ""]:
    """Return the largest share α^H of a trace that `carry="history"` leaves out."""
    return jnp.max(alpha) ** history
