"""A model near a state: how small differences go through one step, and where it stands still."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.models.forward import Trajectory, step
from connfit.models.rate import RateModel


def tangent_step(
    model: RateModel,
    params: Params,
    seen: Trajectory,
    fed_back: Float[Array, "P B"] | None,
    tangent: Float[Array, "N B"],
) -> Float[Array, "N B"]:
    """One step of the linearised model: how a small difference in r(t-1) goes on into r(t).

    ``δr(t) = α δr + (1-α) f'(x(t)) (W out(δr) + gate · E (fed_back · C δr))``

    Parameters
    ----------
    seen
        What the step itself left behind (`connfit.models.forward.step`); at the corner of a relu its slope is 1.
    fed_back
        1 for units whose input was the model's own read-out, 0 where it was given; None for all given.
    tangent
        [N, B] the difference before the step; B are carried along one trajectory.
    """
    through = model.recurrent.apply(model.recurrent_strengths(params), model.outputs(tangent))
    if model.drive is not None and fed_back is not None:
        units = fed_back * model.readout.apply(model.readout_strengths(params), tangent)
        through += seen.gate * model.drive.apply(params["drive"], units)
    return model.decay(params)[:, None] * tangent + seen.gain * through


class Settled(NamedTuple):
    """Rates after a run on a constant input.

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
    model: RateModel,
    params: Params,
    rates: Float[np.ndarray, "N"],
    *,
    inputs: Float[np.ndarray, "P"] | None = None,
    steps: int = 2000,
    tolerance: float = 1e-6,
) -> Settled:
    """Run the model until it stands still, on its own read-out or on constant `inputs` [P], for `steps` at most."""
    r = jnp.asarray(vector_of("rates", rates, model.neurons), params["bias"].dtype)[:, None]
    given, own = inputs_of(model, r, inputs)
    done, change = 0, jnp.inf
    while done < steps and change > tolerance:
        length = min(64, steps - done)
        r, change = _run_on(model, params, r, given, own, length)
        done += length
    return Settled(np.asarray(r[:, 0]), float(change), done)


@jax.jit
def _run_on(
    model: RateModel,
    params: Params,
    rates: Float[Array, "N 1"],
    given: Float[Array, "P 1"],
    own: Bool[Array, "P 1"],
    steps: Array | int,
) -> tuple[Float[Array, "N 1"], Array]:
    def one(_: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        return step(model, params, now[0], given, ~own)[0], now[0]

    new, old = jax.lax.fori_loop(0, steps, one, (rates, rates))
    return new, jnp.linalg.norm(new - old) / jnp.maximum(jnp.linalg.norm(new), 1e-30)


def inputs_of(model: RateModel, rates: Array, inputs: np.ndarray | None) -> tuple[Array, Array]:
    """Given activity [P, 1], and where the model's own is used instead."""
    own = jnp.full((model.units, 1), inputs is None)
    if inputs is None:
        return jnp.zeros((model.units, 1), rates.dtype), own
    return jnp.asarray(vector_of("inputs", inputs, model.units), rates.dtype)[:, None], own


def vector_of(name: str, values: np.ndarray, length: int) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (length,):
        raise ConfigError(f"{name} has shape {values.shape}, but must have ({length},)")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} is not finite at {int(np.flatnonzero(~np.isfinite(values))[0])}")
    return values
