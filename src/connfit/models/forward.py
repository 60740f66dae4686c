"""Running a model forward: one step, a window with all that an adjoint needs, or predictions alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import Correction, Model, Params
from connfit.models.maps import DenseMap


class Trajectory(NamedTuple):
    """What one step, or each of K steps, leaves behind.

    A relu at exactly 0 counts as open, so that a neuron that starts without input can come to life.

    Attributes
    ----------
    rates
        r(t-1), before the step, after `correct`.
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


class FedBack(NamedTuple):
    """The part of a dense drive through which the model's own predictions act.

    Attributes
    ----------
    units
        Its W units.
    strengths
        [N, W] their columns of the drive.
    """

    units: Int[Array, "W"]
    strengths: Float[Array, "N W"]


def correct(
    model: Model, rates: Float[Array, "N B"], given: Float[Array, "P B"], forced: Bool[Array, "P B"]
) -> Float[Array, "N B"]:
    """State forcing: move the state to what was recorded of it, where it was observed, before a step.

    A recorded neuron: ``r̃ = r + φ (u - r)``. Units that read several neurons: ``r̃ = r + φ Dᵀ (D Dᵀ)⁻¹ (u - D r)``,
    where D holds the rows of C that were observed: the smallest change of rates that brings these units by φ to what
    was recorded. Other units follow as far as they share neurons. How the neurons of a unit differ is left alone, and
    as the change is a projection, what is forced cannot grow; r̃ can be negative where a unit fell far below its
    prediction.

    With φ = 1 a step starts from the recorded activity itself, so that the others' influence on a neuron is seen apart
    from the model's own errors, one frame after them; with φ between 0 and 1, from a compromise that recordings with
    noise call for; with φ above 1, from ahead of it, which recordings call for that lag behind the activity, as calcium
    does: what was recorded beyond its prediction has only begun to show. φ is the gain of a Kalman filter that has come
    to rest (Anderson & Moore 1979, Optimal Filtering, 4.4), the same for all units; an error of the state that
    reading shows is multiplied by 1 - φ. Where nothing is recorded, as in a free run, nothing is moved. Up to 1
    this is generalised teacher forcing (Doya 1992; Hess, Monfared, Brenner & Durstewitz 2023), for a given read-out.
    """
    if not model.state_forcing:
        return rates
    phi = jnp.where(forced, model.state_forcing, 0)
    if model.correction is None:
        neurons = model.read_neurons
        return rates.at[neurons].set((1 - phi) * rates[neurons] + phi * given)
    k = model.correction
    return rates + _smallest_change(k, phi * (given - k.readout.apply(k.shares, rates)), forced)


def _smallest_change(k: Correction, error: Float[Array, "P B"], forced: Bool[Array, "P B"]) -> Float[Array, "N B"]:
    """Dᵀ (D Dᵀ)⁻¹ times the errors of the units that were observed, of each recording its own; others' are 0."""

    def one(e: Float[Array, "P"], seen: Bool[Array, "P"]) -> Float[Array, "P"]:
        among = jnp.where(seen[:, None] & seen, k.overlap, jnp.diag(jnp.where(seen, 0, 1).astype(e.dtype)))
        return jax.scipy.linalg.solve(among, e, assume_a="pos")

    return k.readout.adjoint(k.shares, jax.vmap(one, in_axes=1, out_axes=1)(error, forced))


def correct_adjoint(model: Model, adjoint: Float[Array, "N B"], forced: Bool[Array, "P B"]) -> Float[Array, "N B"]:
    """Adjoint of `correct` with respect to the rates, where units read several neurons."""
    if model.correction is None:
        return adjoint
    k = model.correction
    phi = jnp.where(forced, model.state_forcing, 0)
    return adjoint - _smallest_change(k, phi * k.readout.apply(k.shares, adjoint), forced)  # a symmetric map


def kept_share(model: Model, forced: Bool[Array, "K P B"]) -> Float[Array, "K N B"] | None:
    """How much of what a neuron's state adds to predictions is left by state forcing, at each step; None without it.

    A recorded neuron: ∂r̃/∂r = 1 - φ where it was observed, else 1. Where units read several neurons, one of them is
    hardly moved by its own state, but all of a unit are moved together until reading shows 1 - φ of it: a neuron keeps
    1 - φ s, with s the share of observed units in what is read of it. That is exact for what is read out next of
    neurons of one unit and one time constant, and an approximation otherwise.
    """
    if not model.state_forcing:
        return None
    k, p, b = forced.shape
    if model.correction is None:
        ones = jnp.ones((k, model.neurons, b))
        return ones.at[:, model.read_neurons].add(-model.state_forcing * forced.astype(ones.dtype))
    readout, shares = model.correction.readout, model.correction.shares
    total = readout.adjoint(shares, jnp.ones((p, 1), shares.dtype))
    observed = forced.astype(shares.dtype).transpose(1, 0, 2).reshape(p, k * b)
    seen = readout.adjoint(shares, observed) / jnp.where(total > 0, total, 1)
    return 1 - model.state_forcing * seen.reshape(-1, k, b).transpose(1, 0, 2)


def step(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"] | None,
    drive: Float[Array, "N B"] | None = None,
    fed_back: FedBack | None = None,
) -> tuple[Float[Array, "N B"], Trajectory]:
    """One step of the model, from rates that are corrected already where the model asks for it (`correct`).

    Parameters
    ----------
    given, forced
        Recorded activity of the step before and where it is to be used; `forced=None` uses all of it.
    drive
        E u if it is known already, without the units that are fed back.
    fed_back
        Units whose part of the drive is still to be added.
    """
    alpha = model.decay(params)[:, None]
    u = given
    if model.drive is not None and forced is not None and (drive is None or fed_back is not None):
        own = model.readout.apply(model.readout_strengths(params), rates)
        if fed_back is None:
            u = jnp.where(forced, given, own)
        else:
            at = fed_back.units
            some = jnp.where(forced[at], given[at], own[at])
            u = given.at[at].set(some)
            drive = (0 if drive is None else drive) + fed_back.strengths @ some
    if drive is None and model.drive is not None:
        drive = model.drive.apply(params["drive"], u)
    x = model.recurrent.apply(model.recurrent_strengths(params), model.outputs(rates)) + params["bias"][:, None]
    gate = jnp.zeros_like(x)
    if drive is not None:
        x += jnp.maximum(drive, 0)
        gate = (drive >= 0).astype(x.dtype)
    steady, slope = model.activation(x)
    new = alpha * rates + (1 - alpha) * steady
    return new, Trajectory(rates, steady, (1 - alpha) * slope, gate, u)


def fed_back_part(model: Model, params: Params, units: Int[Array, "W"] | None) -> FedBack | None:
    """Strengths of the drive of some units; None where the whole drive has to be computed at every step."""
    if units is None or not isinstance(model.drive, DenseMap):
        return None
    return FedBack(units, params["drive"][:, units])


def run_window(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    inputs: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
    fed_back: Int[Array, "W"] | None = None,
) -> tuple[Float[Array, "N B"], Trajectory]:
    """Run K steps and keep K numbers per neuron of each kind, nothing per connection.

    Where only some units are fed back (`connfit.training.learners.learner.WindowArrays`), the drive of all the others
    is one product for all steps.
    """
    drives, part, is_forced = None, None, forced
    if model.drive is not None and fed_back is not None:
        part = fed_back_part(model, params, fed_back) if len(fed_back) else None
        if part is not None or not len(fed_back):
            k, p, b = inputs.shape
            known = inputs.at[:, fed_back].set(0)
            flat = model.drive.apply(params["drive"], known.transpose(1, 0, 2).reshape(p, k * b))
            drives = flat.reshape(-1, k, b).transpose(1, 0, 2)
            is_forced = forced if part is not None else None

    def forward(r: Array, now: tuple[Array, Array, Array | None, Array | None]) -> tuple[Array, Trajectory]:
        given, observed, used, drive = now
        return step(model, params, correct(model, r, given, observed), given, used, drive, part)

    return jax.lax.scan(forward, rates, (inputs, forced, is_forced, drives))


def read_out(model: Model, params: Params, rates: Float[Array, "K N B"]) -> Float[Array, "K P B"]:
    """Predictions y = C r of K steps."""
    k, n, b = rates.shape
    flat = model.readout.apply(model.readout_strengths(params), rates.transpose(1, 0, 2).reshape(n, k * b))
    return flat.reshape(-1, k, b).transpose(1, 0, 2)


@jax.jit
def predict(
    model: Model,
    params: Params,
    rates: Float[Array, "N B"],
    inputs: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
) -> tuple[Float[Array, "N B"], Float[Array, "K P B"]]:
    """Predictions of K steps, and the rates after them."""
    strengths = model.readout_strengths(params)

    def forward(r: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        r, _ = step(model, params, correct(model, r, *now), *now)
        return r, model.readout.apply(strengths, r)

    return jax.lax.scan(forward, rates, (inputs, forced))
