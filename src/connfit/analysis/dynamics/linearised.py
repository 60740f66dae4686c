"""A model near a state: how small differences go through one step, and where it stands still."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from connfit.errors import ConfigError
from connfit.models.base import Params
from connfit.models.cells.rate import RateModel
from connfit.models.forward import Trajectory, step


class Shown(NamedTuple):
    """What units show the model before a step; the rest is its own read-out.

    Attributes
    ----------
    given
        True where activity comes from outside, whatever the model does.
    noisy
        True where the model is shown its own read-out plus something, as in a driven free run.
    """

    given: Bool[Array, "P 1"]
    noisy: Bool[Array, "P 1"]


def tangent_step(
    model: RateModel, params: Params, seen: Trajectory, shown: Shown | None, tangent: Float[Array, "N B"]
) -> Float[Array, "N B"]:
    """One step of the linearised model: how a small difference in r(t-1) goes on into r(t), state forcing included.

    ``δr(t) = α δr̃ + (1-α) f'(x(t)) (W out(δr̃) + gate · E δu)`` with ``δr̃ = δr + φ Dᵀ(D Dᵀ)⁻¹ (δu - D δr)``,
    D the rows of C that are shown (`connfit.models.forward.correct`). δu is 0 for units that are given. Those that
    show the model's own read-out plus noise follow it, δu = C δr, and take nothing from δr; others follow C δr̃.

    Parameters
    ----------
    seen
        What the step itself left behind (`connfit.models.forward.step`); at the corner of a relu its slope is 1.
    shown
        Which units were shown what; None for a free run.
    tangent
        [N, B] the difference before the step; B are carried along one trajectory.
    """
    strengths = model.readout_strengths(params)
    moved = tangent if shown is None else _corrected_tangent(model, tangent, shown)
    through = model.recurrent.apply(model.recurrent_strengths(params), model.outputs(moved))
    if model.drive is not None:
        units = model.readout.apply(strengths, moved)
        if shown is not None:
            if model.state_forcing:
                units = jnp.where(shown.noisy, model.readout.apply(strengths, tangent), units)
            units = jnp.where(shown.given, 0, units)
        through += seen.gate * model.drive.apply(params["drive"], units)
    return model.decay(params)[:, None] * moved + seen.gain * through


def _corrected_tangent(model: RateModel, tangent: Float[Array, "N B"], shown: Shown) -> Float[Array, "N B"]:
    """A difference of rates after state forcing has moved both states to what is given."""
    if not model.state_forcing:
        return tangent
    phi = jnp.where(shown.given, model.state_forcing, 0).astype(tangent.dtype)
    if model.correction is None:
        return tangent.at[model.read_neurons].multiply(1 - phi)
    k = model.correction
    rows = (shown.given | shown.noisy)[:, 0]
    among = jnp.where(rows[:, None] & rows, k.overlap, jnp.diag(jnp.where(rows, 0, 1).astype(k.overlap.dtype)))
    error = phi * k.readout.apply(k.shares, tangent)
    return tangent - k.readout.adjoint(k.shares, jax.scipy.linalg.solve(among, error, assume_a="pos"))


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
    """Run the model until it stands still, on its own read-out or on constant `inputs` [P], for `steps` at most.

    What `inputs` show acts through the drive alone: state forcing is left out, which would put rates in their place.
    """
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
