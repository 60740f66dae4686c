"""Sums over the steps of a window, and how much of each step is left at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models import ops
from connfit.models.maps import SynapticMap
from connfit.models.neuron import Jacobian, Slope, States, filled, times, total
from connfit.models.observation.innovation import Forcing

Matrix: TypeAlias = tuple[tuple[Slope, ...], ...]
"""S x S derivatives of states by states, row by row; each [N, 1], [N, B] or, for all steps, [K, N, 1] or [K, N, B]."""


class Steps(NamedTuple):
    """The derivatives of the neurons' steps, from what they follow from at each step.

    Attributes
    ----------
    arrays
        [K, N, B], far fewer than there are derivatives.
    fixed
        [N, 1], the same at all steps.
    find
        ``find(fixed, arrays)`` returns the derivatives: of all steps, or of one.
    """

    arrays: Any
    fixed: Any
    find: Callable[[Any, Any], Jacobian]

    @property
    def whole(self) -> Jacobian:
        """Derivatives of all steps."""
        return self.at(self.arrays)

    def at(self, arrays: Any) -> Jacobian:
        """Return the derivatives of all steps, or of one."""
        return self.find(self.fixed, arrays)

    def rows(self, first: Array, count: int) -> Steps:
        """Return the derivatives of some neurons."""
        return self._replace(arrays=rows_of(self.arrays, first, count), fixed=rows_of(self.fixed, first, count, 0))


def rows_of(tree: Any, first: Array, count: int, axis: int = 1) -> Any:
    """Take some neurons of arrays [K, N, B], or along another axis of neurons; leave what all of them share."""

    def some(one: Any) -> Any:
        shared = jnp.ndim(one) <= axis or one.shape[axis] == 1
        return one if shared else jax.lax.dynamic_slice_in_dim(one, first, count, axis)

    return jax.tree.map(some, tree)


Gains: TypeAlias = Callable[[Jacobian], Sequence[Slope]]
"""What one step adds to each state."""


class PerNeuron(NamedTuple):
    """A number of each neuron.

    Attributes
    ----------
    trace
        At the window's start; None where none are carried.
    gains
        What it adds to each state, times `gate`.
    left
        What it adds to the loss at each step, where that is not what it adds to each state times the state's adjoint.
    """

    trace: States | None
    gains: Gains
    gate: Float[Array, "T N B"] | None = None
    left: Float[Array, "T N B"] | None = None

    def adds(self, step: Jacobian, adjoints: States) -> Array:
        """Return what it adds to the loss in all steps, or in one of which it has gate and `left`."""
        if self.left is not None:
            return self.left
        through = filled(total(map(times, self.gains(step), adjoints)), adjoints[0])
        return through if self.gate is None else self.gate * through


@dataclass(frozen=True)
class WindowSums:
    """The window's sums Σ_t left(t) right(t), plus λ⁰ ε where traces ε are carried.

    Parameters
    ----------
    start
        λ⁰ of each state, [N, B].
    steps
        Derivatives of each step.
    forcing
        What state forcing left of small differences of states before each step; None without it.
    later
        Steps after these, which the sums have and traces have not seen yet.
    slopes
        A and B of each step from less than that; None: from `steps`.
    traced
        Numbers of the states of which connections have traces; None: all.
    """

    start: States
    steps: Steps
    forcing: Forcing | None
    later: int = 0
    slopes: Steps | None = None
    traced: tuple[int, ...] | None = None

    def strengths(
        self,
        synapses: SynapticMap,
        trace: Array | None,
        left: States,
        gains: Sequence[Gains],
        right: Sequence[Float[Array, "K C B"]],
        gate: Float[Array, "T N B"] | None = None,
        first: Any = (),
    ) -> tuple[Array, Array | None]:
        """Return the gradient of a map's weights, and the traces after the window.

        Parameters
        ----------
        left
            λ · B of each channel, which `gate` multiplies.
        gains
            B of each channel, which `gate` multiplies.
        right
            What reaches each channel. Channels lie side by side, as more steps do.
        first
            What is to be computed before: XLA would else keep the arrays of the window that it follows from beside a
            gradient of every connection.
        """
        rights = _one_after_other(right)
        if trace is None or len(self.start) == 1:
            lefts = _one_after_other(_opened(left, gate))
            if trace is None:
                flat = (lefts.shape[0], -1)
                return synapses.outer(lefts.reshape(flat), rights.reshape(rights.shape[0], -1)), None
            carry, decay, trace_left = self._before_and_left_over(gains, gate)
            return synapses.outer_with_trace(trace, once_there(carry, first), decay, lefts, trace_left, rights)

        steps, opened = self.steps if self.slopes is None else self.slopes, None if gate is None else gate != 0

        def of_rows(first: Array, count: int) -> tuple[Array, Array, Array, Array]:
            some = replace(
                self, start=rows_of(self.start, first, count, 0), steps=steps.rows(first, count), slopes=None,
                forcing=rows_of(self.forcing, first, count),
            )  # fmt: skip
            open_ones = None if opened is None else rows_of(opened, first, count).astype(self.start[0].dtype)
            carry, decay, trace_left = some._before_and_left_over(gains, open_ones)
            return carry, decay, _one_after_other(_opened(rows_of(left, first, count), open_ones)), trace_left

        return synapses.outer_by_rows(trace, of_rows, rights, _one_of_each((first, left, rights, steps.arrays, opened)))

    def _before_and_left_over(
        self, gains: Sequence[Gains], gate: Float[Array, "T N B"] | None
    ) -> tuple[Float[Array, "N B S"], Float[Array, "N B S S"], Float[Array, "N B S KC"]]:
        """λ⁰, and what is left at the window's end of what was before it, and of what each step adds."""
        faded, decay = zip(*(self._faded(one, self._seen(gate)) for one in gains), strict=True)
        columns = [one.transpose(2, 3, 1, 0) for one in faded]
        if self.later:
            columns = [jnp.pad(one, [(0, 0)] * 3 + [(0, self.later)]) for one in columns]
        trace_left = columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=3)
        rows = [[filled(decay[0][p][q], self.start[0]) for q in self._traced] for p in self._traced]
        whole = jnp.stack([jnp.stack(row, -1) for row in rows], -2)
        return jnp.stack([self.start[p] for p in self._traced], -1), whole, trace_left

    @property
    def _traced(self) -> tuple[int, ...]:
        return tuple(range(len(self.start))) if self.traced is None else self.traced

    def _seen(self, gate: Float[Array, "T N B"] | None) -> Float[Array, "K N B"] | None:
        """The steps that traces see."""
        return gate if gate is None or not self.later else gate[: -self.later]

    def per_neuron(
        self, given: Mapping[str, PerNeuron], whole: Jacobian, adjoints: States
    ) -> tuple[dict[str, Float[Array, "N"]], dict[str, States | None]]:
        """Return gradients of numbers of each neuron, and their traces after the window.

        Of neurons with several states both come from one pass over the steps, so that no array of a window is kept for
        any of them.

        Parameters
        ----------
        whole, adjoints
            Derivatives of all steps, and λ after each.
        """
        carried = {name: one for name, one in given.items() if one.trace is not None}
        together = carried if len(self.start) > 1 else {}
        sums, traces = self._follow(together, adjoints)
        for name, one in given.items():
            if name not in sums:
                sums[name] = over_steps(one.adds(whole, adjoints))
            if name not in traces:
                traces[name] = self._single(one) if one.trace is not None else None
        for name, one in carried.items():
            sums[name] = sum(
                (start * each for start, each in zip(self.start, one.trace or (), strict=True)), sums[name]
            )
        return {name: value.sum(axis=1) for name, value in sums.items()}, traces

    def _follow(
        self, given: Mapping[str, PerNeuron], adjoints: States
    ) -> tuple[dict[str, Float[Array, "N B"]], dict[str, States | None]]:
        """Go through the steps: what they add to the loss, unless there are later ones, and traces."""
        if not given:
            return {}, {}
        gates = {name: self._seen(one.gate) for name, one in given.items()}
        summed = {} if self.later else given
        lefts = {name: one.left for name, one in summed.items()}

        def follow(now: tuple[dict[str, Array], dict[str, States]], at: Any) -> tuple[Any, None]:
            matrix, step = _forced(self.steps, *at[:2])
            (sums, traces), (gate, adjoint, left) = now, at[2:]

            def moved(name: str) -> States:
                added = zip(matrix, _gated(given[name].gains(step), gate[name]), strict=True)
                return tuple(filled(total((*map(times, row, traces[name]), gain)), adjoint[0]) for row, gain in added)

            here = {name: one._replace(gate=gate[name], left=left[name]) for name, one in summed.items()}
            added = {name: one.adds(step, adjoint) for name, one in here.items()}
            return ({name: sums[name] + added[name] for name in sums}, {name: moved(name) for name in traces}), None

        zero = jnp.zeros_like(self.start[0])
        begin = dict.fromkeys(summed, zero), {name: one.trace for name, one in given.items()}
        seen = tuple(one[: len(one) - self.later] for one in adjoints)
        steps = (self.steps.arrays, self.forcing, gates, seen, lefts)
        sums, traces = jax.lax.scan(follow, begin, steps)[0]
        return sums, traces

    def _single(self, one: PerNeuron) -> States:
        assert one.trace is not None
        faded, ((decay,),) = self._faded(one.gains, self._seen(one.gate))
        return (filled(times(decay, one.trace[0]), one.trace[0]) + over_steps(faded[:, 0]),)

    def _faded(self, gains: Gains, gate: Array | None) -> tuple[Float[Array, "K S N B"], Matrix]:
        """What is left at the window's end of what each step adds to the states, and of what was before the window.

        For one state the shares of all steps are one array, whose product fuses with what it is used for; for more they
        are never kept.
        """
        like = self.start[0]
        if len(self.start) == 1:
            whole = self.steps.whole
            ((each,),), decay = fading(self.steps, self.forcing)
            (gain,) = gains(whole)
            gain = filled(gain, jnp.broadcast_to(like, (len(each), *like.shape)))
            return (each * (gain if gate is None else gate * gain))[:, None], decay

        def add(left: Matrix, step: Jacobian, gate: Array | None) -> Array:
            added = _gated(gains(step), gate)
            return jnp.stack([filled(total(map(times, left[p], added)), like) for p in self._traced])

        return fading(self.steps, self.forcing, add, gate)


def _opened(left: States, gate: Array | None) -> States:
    return left if gate is None else tuple(gate * one for one in left)


def _gated(gains: Sequence[Slope], gate: Array | None) -> Sequence[Slope]:
    return gains if gate is None else [times(one, gate) for one in gains]


def fading(
    steps: Steps,
    forcing: Forcing | None,
    use: Callable[[Matrix, Jacobian, Array | None], Any] = lambda left, step, also: left,
    also: Array | None = None,
) -> tuple[Any, Matrix]:
    """Go back through the steps t = K..1 with Ψ(t) = A(K) ... A(t+1), what each leaves at the end.

    Parameters
    ----------
    forcing
        As of `WindowSums`.
    use
        ``use(Ψ(t), derivatives, also(t))`` says what is kept of each step; by default Ψ(t).

    Returns
    -------
    each, end
        What was kept, stacked over steps, and Φ = A(K) ... A(1). An entry that does not change with time and recording
        is [N, 1].
    """
    arrays = (steps.arrays, forcing, also)
    shapes = jax.eval_shape(lambda: _forced(steps, *jax.tree.map(lambda one: one[0], arrays[:2]))[0])
    size = range(len(shapes))
    there = [one for row in shapes for one in row if one is not None]
    shape = jnp.broadcast_shapes((1, 1), *(one.shape for one in there))
    ones, zeros = (make(shape, jnp.result_type(float, *there)) for make in (jnp.ones, jnp.zeros))
    reach = _reached([[one is not None for one in row] for row in shapes])
    start = tuple(tuple(ones if p == q else zeros if reach[p][q] else None for q in size) for p in size)

    def back(left: Matrix, now: Any) -> tuple[Matrix, Any]:
        matrix, step = _forced(steps, *now[:2])
        product = [[total(map(times, row, column)) for column in zip(*matrix, strict=True)] for row in left]
        new = tuple(
            tuple(zeros if reach[p][q] and product[p][q] is None else product[p][q] for q in size) for p in size
        )
        return new, use(left, step, now[2])

    end, each = jax.lax.scan(back, start, arrays, reverse=True)
    return each, end


def _forced(steps: Steps, arrays: Any, forcing: Forcing | None) -> tuple[Matrix, Jacobian]:
    """A of a step after what state forcing left of the states, and all derivatives of the step."""
    step = steps.at(arrays)
    return (step.states if forcing is None else forcing.after(step.states)), step


def _reached(direct: list[list[bool]]) -> list[list[bool]]:
    """Which state acts on which, after any number of steps."""
    size = range(len(direct))
    reach = [[direct[p][q] or p == q for q in size] for p in size]
    for middle in size:
        reach = [[reach[p][q] or (reach[p][middle] and reach[middle][q]) for q in size] for p in size]
    return reach


def over_steps(values: Float[Array, "K N B"]) -> Float[Array, "N B"]:
    """Sum over a window's steps, as a product: XLA's reduction over a leading axis strides through memory."""
    return jnp.tensordot(jnp.ones(len(values), values.dtype), values, 1, precision=ops.EXACT)


def once_there(value: Array, others: Any) -> Array:
    """Return the same numbers, but not before the others are computed, which are finite or have diverged."""
    return value + 0 * _one_of_each(others).astype(value.dtype)


def _one_of_each(arrays: Any) -> Array:
    """Return a number that is there when all arrays are, which are finite or have diverged."""
    numbers = (one[(0,) * one.ndim].astype(jnp.result_type(float)) for one in jax.tree.leaves(arrays) if one.size)
    return sum(numbers, jnp.zeros(()))


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
