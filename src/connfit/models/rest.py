"""Runs to rest: a model on constant input, until it stands still."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from connfit.errors import ConfigError
from connfit.models.base import Model, Params
from connfit.models.rollout import CHUNK, Shown, State, Stepped, rollout


class Settled(NamedTuple):
    """Return the rates after a run on a constant input.

    Attributes
    ----------
    rates
        [N].
    change
        ‖r(t) - r(t-1)‖ / ‖r(t)‖ of the last step: near 0 at a fixed point.
    steps
        Steps that were run.
    """

    rates: Float[np.ndarray, "N"]
    change: float
    steps: int


def settle(
    model: Model,
    params: Params,
    rates: Float[np.ndarray, "N"],
    *,
    inputs: Float[np.ndarray, "P"] | None = None,
    steps: int = 2000,
    tolerance: float = 1e-6,
) -> Settled:
    """Run the model until it stands still, on its own read-out or on constant `inputs` [P], for `steps` at most.

    What `inputs` show acts through the drive alone: state forcing is left out, which would put rates in their place.

    Raises
    ------
    ConfigError
        If rates or inputs have the wrong length or are not finite.
    """
    state = State.of(model, jnp.asarray(vector_of("rates", rates, model.neurons), params["bias"].dtype)[:, None])
    given = None if inputs is None else vector_of("inputs", inputs, model.units).astype(state.rates.dtype)
    done, change = 0, float("inf")
    while done < steps and change > tolerance:
        length = min(CHUNK, steps - done)
        shown = Shown.nothing(model, length) if given is None else Shown.constant(given, length)
        run = rollout(model, params, state, shown, _last_change, jnp.zeros((), state.rates.dtype), forcing=False)
        state, change, done = run.state, float(run.kept), done + length
    return Settled(np.asarray(state.rates[:, 0]), change, done)


def _last_change(model: Model, params: Params, kept: Array, now: Stepped, also: None) -> tuple[Array, None]:
    return jnp.linalg.norm(now.rates - now.before) / jnp.maximum(jnp.linalg.norm(now.rates), 1e-30), None


def vector_of(name: str, values: np.ndarray, length: int) -> np.ndarray:
    """Check that a vector is finite and as long as it must be.

    Raises
    ------
    ConfigError
        Names the vector, and its first entry that is not finite.
    """
    values = np.asarray(values)
    if values.shape != (length,):
        raise ConfigError(f"{name} has shape {values.shape}, but must have ({length},)")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} is not finite at {int(np.flatnonzero(~np.isfinite(values))[0])}")
    return values
