"""A cell seen through an indicator: what it shows goes through one leaky filter or two, and may drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from connfit.models.neuron import (
    Jacobian,
    Neuron,
    Parameter,
    Reading,
    Slope,
    Slopes,
    States,
    Theta,
    as_states,
    times,
    total,
)
from connfit.models.parameter import TimeConstant
from connfit.models.poisson_input import PoissonInput


@dataclass(frozen=True)
class Observed(Neuron):
    """A cell, and an indicator that follows what the cell shows and is what is recorded.

    ``c(t) = β c(t-1) + (1-β) a(t)``, ``β = exp(-Δt/τ)``, with a what the cell shows: order 1. Order 2 has a filter with
    the time constant of the rise before it. With drift, read-outs see ``c + d``, where the baseline d moves by its
    innovations alone: a random walk. Synapses see what they see without.

    Parameters
    ----------
    cell
        What is seen.
    filters
        Time constants of the indicator, in their order; at most two.
    drift
        Starting gain of the baseline; 0: there is none.
    """

    cell: Neuron
    filters: tuple[TimeConstant, ...] = ()
    drift: float = 0.0

    @property
    def states(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the cell, of the indicator, and the baseline."""
        names = ("rise", "indicator")[-len(self.filters) :] if self.filters else ()
        return (*self.cell.states, *names, *(("baseline",) if self.drift else ()))

    @property
    def channels(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the cell."""
        return self.cell.channels

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the cell, and time constants of the indicator."""
        return *self.cell.parameters, *self.filters

    @property
    def shows(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of the indicator's last state."""
        return self._own + len(self.filters) - 1 if self.filters else self.cell.shows

    @property
    def counters(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the cell."""
        return self.cell.counters

    @property
    def spikes(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the cell sends spikes."""
        return self.cell.spikes

    @property
    def poisson(self) -> PoissonInput | None:
        """Those of the cell."""
        return self.cell.poisson

    @property
    def shown(self) -> tuple[int, ...]:
        """The indicator, and the baseline."""
        seen = (self.shows,) if self.filters else self.cell.shown
        return (*seen, len(self.states) - 1) if self.drift and seen else seen

    @property
    def chain(self) -> tuple[int, ...]:
        """What the cell shows, if that is one state, and the indicator."""
        return *self.cell.chain, *range(self._own, self._own + len(self.filters))

    @property
    def observing(self) -> tuple[str, ...]:
        """Those of the cell, and the indicator's."""
        return *self.cell.observing, *(one.name for one in self.filters)

    @property
    def first_gains(self) -> Mapping[int, float]:
        """Starting gain of the baseline."""
        return {len(self.states) - 1: self.drift} if self.drift else {}

    @property
    def sends_first(self) -> bool:
        """Whether the cell sends its first state."""
        return self.cell.sends_first

    @property
    def sends_state(self) -> bool:
        """Whether the cell can be held."""
        return self.cell.sends_state

    @property
    def _own(self) -> int:
        return len(self.cell.states)

    def step(self, theta: Theta, h: States, x: States) -> States:
        """Step the cell, and let the indicator follow."""
        return self._followed(theta, h, as_states(self.cell.step(theta, h[: self._own], x)))

    def output(self, theta: Theta, h: States) -> Array:
        """Return what the cell sends."""
        return self.cell.output(theta, h[: self._own])

    def observed(self, theta: Theta, h: States) -> Array:
        """Return the indicator, with its baseline."""
        seen = h[self.shows] if self.filters else self.cell.observed(theta, h[: self._own])
        return seen + h[-1] if self.drift else seen

    def balance(self, theta: Theta, rate: Array) -> Array:
        """Return the input that holds the cell."""
        return self.cell.balance(theta, rate)

    def hold(self, theta: Theta, before: States, after: States, rate: Array) -> States:
        """Hold the cell; the indicator follows it."""
        own = self._own
        return self._followed(theta, before, as_states(self.cell.hold(theta, before[:own], after[:own], rate)))

    def held_from(self, theta: Theta, h: States, rate: Array, phase: Array | None = None) -> States:
        """Return the states of the cell when it is held from the next step on."""
        return (*as_states(self.cell.held_from(theta, h[: self._own], rate, phase)), *h[self._own :])

    def shown_at(self, theta: Theta, rate: Array) -> Array:
        """Return what the cell shows: the indicator follows it."""
        return self.cell.shown_at(theta, rate)

    def jacobian(self, theta: Theta, h: States, x: States) -> Jacobian:
        """Return the derivatives of a step, from those of the cell."""
        own, inner = self._own, self._inner(theta)
        local = self.cell.jacobian(inner, h[:own], x)
        new = as_states(self.cell.step(theta, h[:own], x))
        seen = self.cell.seen(inner, new)
        parameters = {name: list(local.parameters.get(name, (None,) * own)) for name in inner}
        by_own = {
            name: total((_through(seen, column), seen.parameters.get(name))) for name, column in parameters.items()
        }
        before = self.cell.observed(inner, new)
        for k, one in enumerate(self.filters):
            keeps, at = theta[one.name], own + k
            by_own = {name: times(1 - keeps, to) for name, to in by_own.items()}
            by_own[one.name] = h[at] - before
            before = keeps * h[at] + (1 - keeps) * before
            for name, to in by_own.items():
                parameters.setdefault(name, [None] * at).append(to)
        if self.drift:
            for column in parameters.values():
                column.append(None)
        by_parameters = {name: tuple(column) for name, column in parameters.items()}
        return Jacobian(*self._filtered(theta, (local.states, local.inputs), seen), by_parameters)

    def for_slopes(self, theta: Theta, h: States, x: States) -> Any:
        """Return what those of the cell follow from, if its indicator sees a state."""
        if not self._by_slopes:
            return super().for_slopes(theta, h, x)
        return self.cell.for_slopes(self._inner(theta), h[: self._own], x)

    def slopes(self, theta: Theta, at: Any) -> Slopes:
        """Return the derivatives of a step by states and inputs, from those of the cell."""
        if not self._by_slopes:
            return super().slopes(theta, at)
        inner = self._inner(theta)
        nothing = (jnp.zeros_like(theta["time_constants"]),) * self._own
        return self._filtered(theta, self.cell.slopes(inner, at), self.cell.seen(inner, nothing))

    @property
    def _by_slopes(self) -> bool:
        return self.cell.shows_state and self.cell.has_slopes

    def _inner(self, theta: Theta) -> Theta:
        own = {one.name for one in self.filters}
        return {name: value for name, value in theta.items() if name not in own}

    def check_step(self, step_s: float) -> None:
        """Check that steps are short enough for the cell."""
        self.cell.check_step(step_s)

    def derived(self, theta: Theta) -> Theta:
        """Return what the cell derives."""
        return self.cell.derived(self._inner(theta))

    def _filtered(self, theta: Theta, local: Slopes, seen: Reading) -> Slopes:
        """Put the filters behind the cell."""
        own, size = self._own, len(self.states)
        states, inputs = [_wide(row, size) for row in local[0]], [tuple(row) for row in local[1]]
        row = _wide(tuple(_through(seen, column) for column in zip(*local[0], strict=True)), size)
        by_input = tuple(_through(seen, column) for column in zip(*local[1], strict=True))
        for k, one in enumerate(self.filters):
            keeps, at = theta[one.name], own + k
            row = tuple(total((times(1 - keeps, to), keeps if q == at else None)) for q, to in enumerate(row))
            by_input = tuple(times(1 - keeps, to) for to in by_input)
            states.append(row)
            inputs.append(by_input)
        if self.drift:
            states.append((*(None,) * (size - 1), jnp.ones_like(theta["time_constants"])))
            inputs.append((None,) * len(self.channels))
        return tuple(states), tuple(inputs)

    def sent(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of what the cell sends."""
        found = self.cell.sent(theta, h[: self._own])
        return found._replace(states=_wide(found.states, len(self.states)))

    def seen(self, theta: Theta, h: States) -> Reading:
        """Return the derivatives of the indicator, with its baseline."""
        size, one = len(self.states), jnp.ones_like(theta["time_constants"])
        if not self.filters:
            found = self.cell.seen(theta, h[: self._own])
            states = list(_wide(found.states, size))
            if found.state is not None:
                states[found.state] = one
            if not self.drift:
                return found._replace(states=_wide(found.states, size))
            states[-1] = one
            return Reading(tuple(states), found.parameters)
        if not self.drift:
            return Reading((None,) * size, {}, self.shows)
        return Reading(tuple(one if q in self.shown else None for q in range(size)), {})

    def _followed(self, theta: Theta, before: States, cell: States) -> States:
        """States after a step, from those of the cell after it."""
        found, now = list(cell), self.cell.observed(theta, cell)
        for k, one in enumerate(self.filters):
            keeps = theta[one.name]
            now = keeps * before[self._own + k] + (1 - keeps) * now
            found.append(now)
        return (*found, before[-1]) if self.drift else tuple(found)


def _wide(row: Sequence[Slope], size: int) -> tuple[Slope, ...]:
    return *row, *(None,) * (size - len(row))


def _through(seen: Reading, column: Sequence[Slope]) -> Slope:
    """Derivative of what the cell shows, from those of its states."""
    return column[seen.state] if seen.state is not None else total(map(times, seen.states, column))
