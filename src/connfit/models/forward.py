"""Running a model forward: one step, a window with all that an adjoint needs, or predictions alone."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from connfit.models.base import Model, Params


class Trajectory(NamedTuple):
    """What one step, or each of K steps, leaves behind.

    A relu at exactly 0 counts as open, so that a neuron that starts without input can come to life.

    Attributes
    ----------
    rates
        r(t-1), before the step.
    steady
        f(x(t)).
    gain
        (1-α) f'(x(t)).
    gate
        1 where the relu of the drive is open.
    inputs
        u(t-1): recorded where forced, else the model's own prediction.
    """

    rates: Float[Array, "*K N B"]
    steady: Float[Array, "*K N B"]
    gain: Float[Array, "*K N B"]
    gate: Float[Array, "*K N B"]
    inputs: Float[Array, "*K P B"]


def step(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"] | None,
    drive: Float[Array, "N B"] | None = None,
) -> tuple[Float[Array, "N B"], Trajectory]:
    """One step of the model.

    Parameters
    ----------
    given, forced
        Recorded activity of the step before and where it is to be used; `forced=None` uses all of it.
    drive
        E u if it is known already.
    """
    alpha = model.decay(params)[:, None]
    u = given
    if drive is None and model.drive is not None:
        if forced is not None:
            u = jnp.where(forced, given, model.readout.apply(model.readout_strengths(params), rates))
        drive = model.drive.apply(params["drive"], u)
    x = model.recurrent.apply(params["weights"], model.outputs(rates)) + params["bias"][:, None]
    gate = jnp.zeros_like(x)
    if drive is not None:
        x += jnp.maximum(drive, 0)
        gate = (drive >= 0).astype(x.dtype)
    steady, slope = model.activation(x)
    new = alpha * rates + (1 - alpha) * steady
    return new, Trajectory(rates, steady, (1 - alpha) * slope, gate, u)


def run_window(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    inputs: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
    *,
    all_forced: bool,
) -> tuple[Float[Array, "N B"], Trajectory]:
    """Run K steps and keep K numbers per neuron of each kind, nothing per connection.

    With `all_forced` (every entry of `forced` is True, or does not matter) the drive of all steps is
    one product.
    """
    drives = None
    if model.drive is not None and all_forced:
        k, p, b = inputs.shape
        flat = model.drive.apply(params["drive"], inputs.transpose(1, 0, 2).reshape(p, k * b))
        drives = flat.reshape(-1, k, b).transpose(1, 0, 2)

    def forward(r: Array, now: tuple[Array, Array, Array | None]) -> tuple[Array, Trajectory]:
        given, is_forced, drive = now
        return step(model, params, r, given, None if all_forced else is_forced, drive)

    return jax.lax.scan(forward, rates, (inputs, forced, drives))


def read_out(model: Model, params: Params, rates: Float[Array, "K N B"]) -> Float[Array, "K P B"]:
    """Predictions y = C r of K steps."""
    k, n, b = rates.shape
    flat = model.readout.apply(model.readout_strengths(params), rates.transpose(1, 0, 2).reshape(n, k * b))
    return flat.reshape(-1, k, b).transpose(1, 0, 2)


@partial(jax.jit, static_argnames=("all_forced",))
def predict(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    inputs: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
    *,
    all_forced: bool = False,
) -> tuple[Float[Array, "N B"], Float[Array, "K P B"]]:
    """Predictions of K steps, and the rates after them."""
    strengths = model.readout_strengths(params)

    def forward(r: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        r, _ = step(model, params, r, now[0], None if all_forced else now[1])
        return r, model.readout.apply(strengths, r)

    return jax.lax.scan(forward, rates, (inputs, forced))
