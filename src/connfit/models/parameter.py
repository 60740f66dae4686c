"""Learned numbers of neurons: their bounds, how they are stored, and what a step uses of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array

Slope: TypeAlias = Array | None
"""A derivative that broadcasts to the states; None where it is 0 whatever the state."""


@dataclass(frozen=True)
class Parameter:
    """A learned number of each neuron.

    Parameters
    ----------
    name
        Its group, as in `model.learn`; its array in parameters has the same key.
    start
        Value before training; the option of the cell of this name sets another.
    low, high
        Bounds.
    unit
        For tables; empty: none.
    shared
        Whether all neurons have the same one.
    fixed
        Whether it is given and never learned.
    """

    name: str
    start: float
    low: float = float("-inf")
    high: float = float("inf")
    unit: str = ""
    shared: bool = False
    fixed: bool = False

    @property
    def key(self) -> str:
        """Key of its array in parameters."""
        return self.name

    @property
    def stored_bounds(self) -> tuple[float | Array, float | Array]:
        """Bounds of what is stored."""
        return self.low, self.high

    def stored(self, value: float) -> float | Array:
        """Return what is stored of a value."""
        return value

    def value(self, stored: Array) -> Array:
        """Return the value of what is stored."""
        return stored

    def used(self, stored: Array, step_s: float) -> Array:
        """Return what a step uses."""
        return stored

    def slope(self, stored: Array, step_s: float) -> Slope:
        """Return the derivative of `used`; None where it is 1."""
        return None

    def gradient(self, by_used: Array, stored: Array, step_s: float) -> Array:
        """Return the derivative by what is stored, from that [N] by what a step uses of each neuron."""
        slope = self.slope(stored, step_s)
        by_stored = by_used if slope is None else by_used * slope
        return by_stored.sum(keepdims=True) if self.shared else by_stored


@dataclass(frozen=True)
class TimeConstant(Parameter):
    """A time constant τ in seconds: learned as its logarithm, it reaches a step as α = exp(-Δt/τ), what it keeps."""

    low: float = 0.01
    high: float = 1000.0
    unit: str = "s"

    @property
    def key(self) -> str:
        return f"log_{self.name}"

    @property
    def stored_bounds(self) -> tuple[Array, Array]:
        return jnp.log(self.low), jnp.log(self.high)

    def stored(self, value: float) -> Array:
        return jnp.log(value)

    def value(self, stored: Array) -> Array:
        return jnp.exp(stored)

    def used(self, stored: Array, step_s: float) -> Array:
        return jnp.exp(-step_s / jnp.exp(stored))

    def slope(self, stored: Array, step_s: float) -> Array:
        return self.used(stored, step_s) * step_s / jnp.exp(stored)


@dataclass(frozen=True)
class Duration(Parameter):
    """A time in seconds that reaches a step as a number of steps."""

    unit: str = "s"

    def used(self, stored: Array, step_s: float) -> Array:
        return stored / step_s

    def slope(self, stored: Array, step_s: float) -> Array:
        return jnp.full_like(stored, 1 / step_s)


@dataclass(frozen=True)
class PerSecond(Parameter):
    """What one event per second stands for; a step uses what one event per step does."""

    def used(self, stored: Array, step_s: float) -> Array:
        return stored / step_s

    def slope(self, stored: Array, step_s: float) -> Array:
        return jnp.full_like(stored, 1 / step_s)
