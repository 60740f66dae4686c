"""One step of a model: state forcing, the step itself, its tangent, and what its adjoint needs.

Who runs a model does so through `connfit.models.rollout`, which knows in what order these come.
"""

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
    """Move the state to what was recorded of it, where it was observed, before a step: state forcing.

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

    def of_units(e: Float[Array, "P"], seen: Bool[Array, "P"]) -> Float[Array, "P"]:
        return _among_observed(k.overlap, seen, e)

    return k.readout.adjoint(k.shares, jax.vmap(of_units, in_axes=1, out_axes=1)(error, forced))


def _among_observed(
    overlap: Float[Array, "P P"] | Float[Array, "P"], seen: Bool[Array, "P"], error: Float[Array, "P *B"]
) -> Float[Array, "P *B"]:
    """(D Dᵀ)⁻¹ times the errors of the units that were observed; those of others stay."""
    if overlap.ndim == 1:
        own = jnp.where(seen, overlap, 1)
        return error / (own if error.ndim == 1 else own[:, None])
    among = jnp.where(seen[:, None] & seen, overlap, jnp.diag(jnp.where(seen, 0, 1).astype(overlap.dtype)))
    return jax.scipy.linalg.solve(among, error, assume_a="pos")


def correct_adjoint(model: Model, adjoint: Float[Array, "N B"], forced: Bool[Array, "P B"]) -> Float[Array, "N B"]:
    """Apply the adjoint of `correct` with respect to the rates, where units read several neurons."""
    if model.correction is None:
        return adjoint
    k = model.correction
    phi = jnp.where(forced, model.state_forcing, 0)
    return adjoint - _smallest_change(k, phi * k.readout.apply(k.shares, adjoint), forced)  # a symmetric map


def kept_share(model: Model, forced: Bool[Array, "K P B"]) -> Float[Array, "K N B"] | None:
    """Return how much of what a neuron's state adds to predictions state forcing leaves at each step; None without it.

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
    """Take one step of the model, from rates that are corrected already where the model asks for it (`correct`).

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
    """Return the weights of the drive of some units; None where the whole drive has to be computed at every step."""
    if units is None or not isinstance(model.drive, DenseMap):
        return None
    return FedBack(units, params["drive"][:, units])


def tangent_step(
    model: Model,
    params: Params,
    seen: Trajectory,
    given: Bool[Array, "P 1"],
    noisy: Bool[Array, "P 1"],
    tangent: Float[Array, "N B"],
) -> Float[Array, "N B"]:
    """Step the linearised model: how a small difference in r(t-1) goes on into r(t), state forcing included.

    ``δr(t) = α δr̃ + (1-α) f'(x(t)) (W out(δr̃) + gate · E δu)`` with ``δr̃ = δr + φ Dᵀ(D Dᵀ)⁻¹ (δu - D δr)``,
    D the rows of C that are shown (`correct`). δu is 0 for units that are given. Those that show the model's own
    read-out plus noise follow it, δu = C δr, and take nothing from δr; others follow C δr̃.

    Parameters
    ----------
    seen
        What the step itself left behind; at the corner of a relu its slope is 1.
    given
        True where activity comes from outside, whatever the model does.
    noisy
        True where the model is shown its own read-out plus noise. Elsewhere nothing is shown.
    tangent
        [N, B] the difference before the step; B are carried along one trajectory.
    """
    strengths = model.readout_strengths(params)
    moved = _corrected_tangent(model, tangent, given, noisy)
    through = model.recurrent.apply(model.recurrent_strengths(params), model.outputs(moved))
    if model.drive is not None:
        units = model.readout.apply(strengths, moved)
        if model.state_forcing:
            units = jnp.where(noisy, model.readout.apply(strengths, tangent), units)
        units = jnp.where(given, 0, units)
        through += seen.gate * model.drive.apply(params["drive"], units)
    return model.decay(params)[:, None] * moved + seen.gain * through


def _corrected_tangent(
    model: Model, tangent: Float[Array, "N B"], given: Bool[Array, "P 1"], noisy: Bool[Array, "P 1"]
) -> Float[Array, "N B"]:
    """A difference of rates after state forcing has moved both states to what is shown."""
    if not model.state_forcing:
        return tangent
    phi = jnp.where(given, model.state_forcing, 0).astype(tangent.dtype)
    if model.correction is None:
        return tangent.at[model.read_neurons].multiply(1 - phi)
    k = model.correction
    error = phi * k.readout.apply(k.shares, tangent)
    return tangent - k.readout.adjoint(k.shares, _among_observed(k.overlap, (given | noisy)[:, 0], error))
