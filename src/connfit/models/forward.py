"""One step of a model: state forcing, the step itself, its tangent, and what its adjoint needs.

Who runs a model does so through `connfit.models.rollout`, which knows in what order these come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import INNOVATION_GAINS, Correction, Model, Neurons, Params
from connfit.models.compiled_step import connected_spikes, connected_step, step_neurons, steps_rates, steps_spikes
from connfit.models.maps import DenseMap
from connfit.models.neuron import filled, times, total
from connfit.models.observation.innovation import Forcing
from connfit.models.ops import EXACT
from connfit.models.ops.portable import with_inputs

T = TypeVar("T")


class Trajectory(NamedTuple):
    """What one step, or each of K steps, leaves behind: all that its derivatives need.

    Attributes
    ----------
    states
        h(t-1), before the step, after `correct`.
    received
        x(t), the input of each channel.
    gate
        1 where the relu of the drive is open; at exactly 0 it counts as open.
    inputs
        u(t-1): recorded where forced, else the model's own prediction.
    """

    states: tuple[Float[Array, "*K N B"], ...]
    received: tuple[Float[Array, "*K N B"], ...]
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
    drive
        Map from these units to neurons.
    """

    units: Int[Array, "W"]
    strengths: Float[Array, "N W"]
    drive: DenseMap


def correct(
    model: Model,
    states: tuple[Float[Array, "N B"], ...],
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"],
    params: Params | None = None,
) -> tuple[Float[Array, "N B"], ...]:
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
    to rest (Anderson & Moore 1979, Optimal Filtering, 4.4), the same for all units; an error of the state that reading
    shows is multiplied by 1 - φ. r is the state that read-outs see; others go on by themselves. Where nothing is
    recorded, as in a free run, nothing is moved. Up to 1 this is generalised teacher forcing (Doya 1992; Hess,
    Monfared, Brenner & Durstewitz 2023), for a given read-out.

    Where units have gains of their own, in `params`, each state of a recorded neuron is moved: ``h̃ = h + k (u - r)``
    (`connfit.models.observation.innovation`).
    """
    if not model.forces:
        return states
    if model.own_gains:
        assert params is not None and model.read_neurons is not None
        neurons = model.read_neurons
        innovation = jnp.where(forced, given - shown_sum(model, states)[neurons], 0)
        gains = params[INNOVATION_GAINS]
        return tuple(one.at[neurons].add(gain[:, None] * innovation) for one, gain in zip(states, gains, strict=True))
    shown = states[model.neuron.shows]
    phi = jnp.where(forced, model.state_forcing, 0)
    if model.correction is None:
        neurons = model.read_neurons
        moved = shown.at[neurons].set((1 - phi) * shown[neurons] + phi * given)
    else:
        k = model.correction
        moved = shown + _smallest_change(k, phi * (given - k.readout.apply(k.shares, shown)), forced)
    return with_shown(model, states, moved)


def shown_sum(model: Model, states: tuple[Array, ...]) -> Array:
    """Return what read-outs see, where that is a state or a sum of states."""
    first, *others = (states[q] for q in model.neuron.shown)
    return sum(others, first)


def innovations(
    model: Model,
    start: Neurons,
    after: tuple[Float[Array, "K N B"], ...],
    given: Float[Array, "K P B"],
    forced: Bool[Array, "K P B"],
) -> Float[Array, "K N B"]:
    """Return what was recorded of neurons beyond what a window's states showed before each step; 0 elsewhere.

    Parameters
    ----------
    start, after
        States before the window, and after each of its steps.
    """
    shown = shown_sum(model, after)
    before = jnp.concatenate([shown_sum(model, start.states)[None], shown[:-1]])
    neurons = model.read_neurons
    beyond = jnp.where(forced, given - before[:, neurons], 0)
    return jnp.zeros_like(before).at[:, neurons].set(beyond)


def with_shown(model: Model, states: tuple[T, ...], shown: T) -> tuple[T, ...]:
    """Return the states with another in place of the one that read-outs see."""
    k = model.neuron.shows
    return *states[:k], shown, *states[k + 1 :]


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
    """Apply the adjoint of `correct` with respect to what read-outs see, where units read several neurons."""
    if model.correction is None:
        return adjoint
    k = model.correction
    phi = jnp.where(forced, model.state_forcing, 0)
    return adjoint - _smallest_change(k, phi * k.readout.apply(k.shares, adjoint), forced)  # a symmetric map


def forcing_of(model: Model, params: Params, forced: Bool[Array, "K P B"]) -> Forcing | None:
    """Return what state forcing leaves of small differences of states at each step; None without it.

    A recorded neuron: ∂r̃/∂r = 1 - φ where it was observed, else 1. Where units read several neurons, one of them is
    hardly moved by its own state, but all of a unit are moved together until reading shows 1 - φ of it: a neuron keeps
    1 - φ s, with s the share of observed units in what is read of it. That is exact for what is read out next of
    neurons of one unit and one time constant, and an approximation otherwise.
    """
    if not model.forces:
        return None
    k, p, b = forced.shape
    shown = model.neuron.shown
    if model.own_gains:
        gains = params[INNOVATION_GAINS]
        none = jnp.zeros((k, model.neurons, b), gains.dtype)
        observed = forced.astype(gains.dtype)
        taken = tuple(none.at[:, model.read_neurons].set(gain[:, None] * observed) for gain in gains)
        return Forcing(None, taken, shown)
    if model.correction is None:
        ones = jnp.ones((k, model.neurons, b))
        kept = ones.at[:, model.read_neurons].add(-model.state_forcing * forced.astype(ones.dtype))
        return Forcing(kept, None, shown)
    readout, shares = model.correction.readout, model.correction.shares
    total = readout.adjoint(shares, jnp.ones((p, 1), shares.dtype))
    observed = forced.astype(shares.dtype).transpose(1, 0, 2).reshape(p, k * b)
    seen = readout.adjoint(shares, observed) / jnp.where(total > 0, total, 1)
    return Forcing(1 - model.state_forcing * seen.reshape(-1, k, b).transpose(1, 0, 2), None, shown)


def pass_on(
    sent: Float[Array, "d N B"] | None, output: Float[Array, "N B"]
) -> tuple[Float[Array, "N B"], Float[Array, "d N B"] | None]:
    """Put what neurons send into the queue of a synaptic delay, and take out what arrives; without one, the same."""
    if sent is None:
        return output, None
    queue = jnp.concatenate([sent, output[None]])
    return queue[0], queue[1:]


def step(
    model: Model,
    params: Params,
    before: Neurons,
    given: Float[Array, "P B"],
    forced: Bool[Array, "P B"] | None,
    drive: Float[Array, "N B"] | None = None,
    fed_back: FedBack | None = None,
    current: Float[Array, "N #B"] | None = None,
    external: Float[Array, "F #B"] | None = None,
) -> tuple[Neurons, Trajectory]:
    """Take one step of the model, from states that are corrected already where the model asks for it (`correct`).

    Parameters
    ----------
    given, forced
        Recorded activity of the step before and where it is to be used; `forced=None` uses all of it.
    drive
        E u if it is known already, without the units that are fed back.
    fed_back
        Units whose part of the drive is still to be added.
    current
        Injected into neurons: added to their input.
    external
        Features of external inputs; None: they are at their mean.
    """
    theta, h = model.constants(params), before.states
    u = given
    if model.drive is not None and forced is not None and (drive is None or fed_back is not None):
        own = model.readout.apply(model.readout_strengths(params), model.neuron.observed(theta, h))
        if fed_back is None:
            u = jnp.where(forced, given, own)
        else:
            at = fed_back.units
            some = jnp.where(forced[at], given[at], own[at])
            u = given.at[at].set(some)
            drive = (0 if drive is None else drive) + fed_back.drive.apply(fed_back.strengths, some)
    if drive is None and model.drive is not None:
        drive = model.drive.apply(params["drive"], u)
    beside, clock = None, before.clock
    if clock is not None:
        assert model.neuron.poisson is not None
        beside = model.neuron.poisson.received(clock, model.first_neuron, len(h[0]), model.step_s, h[0].dtype)
        clock = clock.after_step()
    if current is not None:
        injected = jnp.broadcast_to(current, h[0].shape)
        beside = injected if beside is None else beside + injected
    if model.inputs is not None and external is not None:
        outside = jnp.broadcast_to(model.inputs.apply(params["inputs"], external), h[0].shape)
        beside = outside if beside is None else beside + outside
    gate = jnp.zeros_like(h[0]) if drive is None else jnp.broadcast_to(drive >= 0, h[0].shape).astype(h[0].dtype)
    if steps_spikes(model, h[0].dtype):
        arriving = model.neuron.output(theta, h) if before.sent is None else before.sent[0]
        x, spiked, new = connected_spikes(model, params, theta, h, arriving, beside, drive)
        sent = None if before.sent is None else jnp.concatenate([before.sent[1:], spiked[None]])
        return Neurons(new, sent, clock), Trajectory(h, (x,), gate, u)
    arriving, sent = pass_on(before.sent, model.neuron.output(theta, h))
    if steps_rates(model, h[0].dtype):
        new, x = connected_step(model, params, theta, h[0], arriving, beside, drive)
        return Neurons((new,), sent), Trajectory(h, (x,), gate, u)
    x, *others = model.received(params, arriving)
    x = with_inputs(x, params["bias"], beside, drive)
    new = step_neurons(model.neuron, theta, h, (x, *others))
    return Neurons(new, sent, clock), Trajectory(h, (x, *others), gate, u)


def fed_back_part(model: Model, params: Params, units: Int[Array, "W"] | None) -> FedBack | None:
    """Return the weights of the drive of some units; None where the whole drive has to be computed at every step."""
    if units is None or not isinstance(model.drive, DenseMap):
        return None
    return FedBack(units, params["drive"][:, units], replace(model.drive, columns=len(units)))


def known_drive(model: Model, params: Params, shown: Float[Array, "K P B"]) -> Float[Array, "K N B"]:
    """Return the drive in K steps, in the order in which these take it, of units that show all of it."""
    assert model.drive is not None
    if isinstance(model.drive, DenseMap):
        return jnp.einsum("np,kpb->knb", params["drive"], shown, precision=EXACT)
    k, p, b = shown.shape
    flat = model.drive.apply(params["drive"], shown.transpose(1, 0, 2).reshape(p, k * b))
    return flat.reshape(-1, k, b).transpose(1, 0, 2)


def tangent_step(
    model: Model,
    params: Params,
    seen: Trajectory,
    given: Bool[Array, "P 1"],
    noisy: Bool[Array, "P 1"],
    tangent: Neurons,
) -> Neurons:
    """Step the linearised model: how a small difference before a step goes on, state forcing included.

    ``δh(t) = A δh̃ + B (W δo + gate · E δu)``, where δh̃ differs from δh by ``φ Dᵀ(D Dᵀ)⁻¹ (δu - D δa)`` in the state
    that read-outs see, D the rows of C that are shown (`correct`). δu is 0 for units that are given. Those that show
    the model's own read-out plus noise follow it, δu = C δa, and take nothing from δh; others follow C δã.

    Parameters
    ----------
    seen
        What the step itself left behind; at the corner of a relu its slope is 1.
    given
        True where activity comes from outside, whatever the model does.
    noisy
        True where the model is shown its own read-out plus noise. Elsewhere nothing is shown.
    tangent
        [N, B] the difference of each state before the step; B are carried along one trajectory.
    """
    strengths, theta, neuron = model.readout_strengths(params), model.constants(params), model.neuron
    local, shows = neuron.jacobian(theta, seen.states, seen.received), neuron.seen(theta, seen.states)
    moved = _corrected_tangent(model, params, tangent.states, given, noisy)
    arriving, sent = pass_on(tangent.sent, neuron.sent(theta, seen.states).along(moved))
    first, *others = model.received(params, arriving)
    if model.drive is not None:
        units = model.readout.apply(strengths, shows.along(moved))
        if model.forces:
            units = jnp.where(noisy, model.readout.apply(strengths, shows.along(tangent.states)), units)
        units = jnp.where(given, 0, units)
        first += seen.gate * model.drive.apply(params["drive"], units)
    new = tuple(
        filled(total((*map(times, own, moved), *map(times, by_input, (first, *others)))), first)
        for own, by_input in zip(local.states, local.inputs, strict=True)
    )
    return Neurons(new, sent)


def _corrected_tangent(
    model: Model,
    params: Params,
    tangents: tuple[Float[Array, "N B"], ...],
    given: Bool[Array, "P 1"],
    noisy: Bool[Array, "P 1"],
) -> tuple[Float[Array, "N B"], ...]:
    """A difference of states after state forcing has moved both to what is shown."""
    if not model.forces:
        return tangents
    if model.own_gains:
        forcing = forcing_of(model, params, given[None])
        assert forcing is not None and forcing.taken is not None
        shown = shown_sum(model, tangents)
        return tuple(one - taken[0] * shown for one, taken in zip(tangents, forcing.taken, strict=True))
    tangent = tangents[model.neuron.shows]
    phi = jnp.where(given, model.state_forcing, 0).astype(tangent.dtype)
    if model.correction is None:
        return with_shown(model, tangents, tangent.at[model.read_neurons].multiply(1 - phi))
    k = model.correction
    error = phi * k.readout.apply(k.shares, tangent)
    moved = tangent - k.readout.adjoint(k.shares, _among_observed(k.overlap, (given | noisy)[:, 0], error))
    return with_shown(model, tangents, moved)
