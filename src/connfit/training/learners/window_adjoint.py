"""The adjoint of a window: how its errors travel back through read-out, neurons, connections and drive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from connfit.models import ops
from connfit.models.base import Model, Params
from connfit.models.forward import Trajectory, correct_adjoint, fed_back_part, forcing_of, with_shown
from connfit.models.neuron import Jacobian, Slope, States, filled, times, total
from connfit.models.observation.innovation import Forcing
from connfit.training.learners.firing_rates import FiringAdjoint
from connfit.training.learners.learner import WindowArrays
from connfit.training.learners.window_sums import over_steps


class Adjoint(NamedTuple):
    """Derivatives of a window's loss.

    Attributes
    ----------
    states
        λ(t), by the states after each step.
    units
        By the predictions.
    start, start_units
        λ⁰, by the states before the first step, and by the prediction that fed it.
    forcing
        What state forcing left of small differences of states, before each step; None without it.
    sent
        By what neurons sent one step before each step; None where it is not asked for.
    on_the_way
        By what was sent before the first step and arrives later, the latest first; None where nothing is, or where it
        gets no credit.
    corrected
        By the states that each step started from, after state forcing; None where units have no gains of their own.
    """

    states: tuple[Float[Array, "K N B"], ...]
    units: Float[Array, "K P B"]
    start: tuple[Float[Array, "N B"], ...]
    start_units: Float[Array, "P B"]
    forcing: Forcing | None
    sent: Float[Array, "K N B"] | None
    on_the_way: Float[Array, "d N B"] | None
    corrected: tuple[Float[Array, "K N B"], ...] | None


def backward(
    model: Model,
    params: Params,
    forward: Trajectory,
    window: WindowArrays,
    error: Float[Array, "K P B"],
    after: States,
    credit: str,
    firing: FiringAdjoint | None = None,
) -> Adjoint:
    """Return λ(t) of every step, from 0 after the last one, and λ⁰ of the states at the window's start.

    Parameters
    ----------
    error
        ∂loss/∂y of each step.
    after
        States after each step.
    credit
        See `connfit.training.learners.windowed`.
    firing
        What a penalty says of the spikes with which each step begins.
    """
    strengths, network = model.readout_strengths(params), credit == "network"
    all_forced = window.fed_back is not None and not len(window.fed_back)
    feedback = model.drive if network and not all_forced else None
    part = fed_back_part(model, params, window.fed_back)
    forcing = forcing_of(model, params, window.forced)
    # With the whole network's credit the adjoint goes through the correction of units itself.
    exact = network and model.correction is not None
    shows, late = model.neuron.shows, model.delay if network else 0
    own_gains = model.own_gains
    neuron, theta = model.neuron, model.constants(params)
    wants_sent = (network or firing is not None) and not neuron.sends_first

    def back(carry: tuple[States, Array, Array | None], step: tuple[Any, ...]) -> tuple[Any, Any]:
        to_states, to_prediction, on_the_way = carry
        error_t, h, x, now, gate, forced, forcing_t, counted_t = step
        local = neuron.jacobian(theta, h, x)
        unit_adjoint = error_t + to_prediction
        read = neuron.seen(theta, now if now is not None else h).back(model.readout.adjoint(strengths, unit_adjoint))
        adjoint = tuple(_plus(to, one) for to, one in zip(to_states, read, strict=True))
        driven = driven_by(local, adjoint)
        sent = corrected = None
        columns = zip(*local.states, strict=True)
        to_states = tuple(
            filled(total(map(times, column, adjoint)), one) for column, one in zip(columns, adjoint, strict=True)
        )
        if network:
            sent = model.received_adjoint(params, driven)
            if on_the_way is not None:  # what this step received was sent `late` steps before the one before it
                queue = jnp.concatenate([on_the_way, sent[None]])
                sent, on_the_way = queue[0], queue[1:]
        if firing is not None:
            sent = _plus(firing.slope[:, None] * counted_t, sent)
        if sent is not None:
            back_through = neuron.sent(theta, h).back(sent)
            to_states = tuple(_plus(to, one) for to, one in zip(to_states, back_through, strict=True))
        if own_gains:
            corrected = to_states
        if forcing_t is not None:
            to_states = forcing_t.back(to_states)
        if credit == "none":
            to_states = tuple(jnp.zeros_like(one) for one in adjoint)
        if feedback is not None:
            if part is None:
                to_prediction = jnp.where(forced, 0, feedback.adjoint(params["drive"], gate * driven[0]))
            else:
                received = part.drive.adjoint(part.strengths, gate * driven[0])
                some = jnp.where(forced[part.units], 0, received)
                to_prediction = jnp.zeros_like(to_prediction).at[part.units].set(some)
        if exact:
            moved = to_states[shows]
            if feedback is not None:  # what was fed back was read after the correction
                moved += model.readout.adjoint(strengths, to_prediction)
                to_prediction = jnp.zeros_like(to_prediction)
            to_states = with_shown(model, to_states, correct_adjoint(model, moved, forced))
        kept = adjoint, unit_adjoint, sent if wants_sent else None, corrected
        return (to_states, to_prediction, on_the_way), kept

    like = jnp.zeros((model.neurons, error.shape[2]), error.dtype)
    on_the_way = jnp.zeros((late, *like.shape), like.dtype) if late else None
    zero = ((like,) * len(model.neuron.states), jnp.zeros_like(error[0]), on_the_way)
    # Where one state is read, its own derivative is known without the states after each step.
    now = None if neuron.shows_state else after
    counted = None if firing is None else firing.counted
    steps = (
        error, forward.states, forward.received, now, forward.gate, window.forced, None if exact else forcing, counted
    )  # fmt: skip
    (start, to_prediction, on_the_way), found = jax.lax.scan(back, zero, steps, reverse=True)
    states, units, sent, corrected = found
    if feedback is not None:
        read = neuron.seen(theta, tuple(one[0] for one in forward.states)).back(
            model.readout.adjoint(strengths, to_prediction)
        )
        start = tuple(_plus(to, one) for to, one in zip(start, read, strict=True))
    return Adjoint(states, units, start, to_prediction, forcing, sent, on_the_way, corrected)


def readout_gradient(
    model: Model, params: Params, forward: Trajectory, after: States, adjoint: Adjoint
) -> Float[Array, "P N"]:
    """Gradient of a learned read-out: Σ_t μ(t) a(t)ᵀ, the prediction that fed the first step included."""
    observed, theta = model.neuron.observed, model.constants(params)
    shown = observed(theta, tuple(one[0] for one in forward.states))
    before = jnp.matmul(adjoint.start_units, shown.T, precision=ops.EXACT)
    return before + jnp.einsum("kpb,knb->pn", adjoint.units, observed(theta, after), precision=ops.EXACT)


def direct_gradient(
    model: Model,
    params: Params,
    forward: Trajectory,
    after: States,
    adjoint: Adjoint,
    past: States | None,
    late: Float[Array, "H N B"] | None,
) -> dict[str, Float[Array, "N"]]:
    """Gradient of parameters without the states: through what is read of them, and through what they send.

    Parameters
    ----------
    past, late
        States before each step of a past, and the adjoint of what was sent before it and is on its way.
    """
    theta, found = model.constants(params), dict[str, Any]()

    def add(slopes: Mapping[str, Slope], adjoint: Float[Array, "K N B"]) -> None:
        for name, slope in slopes.items():
            if slope is not None:
                found[name] = found.get(name, 0) + over_steps(slope * adjoint).sum(axis=1)

    if not model.neuron.shows_state:
        read = partial(model.readout.adjoint, model.readout_strengths(params))
        add(model.neuron.seen(theta, after).parameters, jax.vmap(read)(adjoint.units))
        first = tuple(one[:1] for one in forward.states)
        add(model.neuron.seen(theta, first).parameters, read(adjoint.start_units)[None])
    if adjoint.sent is not None:
        add(model.neuron.sent(theta, forward.states).parameters, adjoint.sent)
        if past is not None and late is not None:
            add(model.neuron.sent(theta, past).parameters, late)
    return found


def driven_by(step: Jacobian, adjoint: States) -> States:
    """Return Bᵀ λ: the adjoint of the input of each channel."""
    channels = zip(*step.inputs, strict=True)
    return tuple(filled(total(map(times, channel, adjoint)), adjoint[0]) for channel in channels)


def changing(tree: Any) -> list[Array]:
    """Return the arrays that have a value for each step of a window."""
    return [leaf for leaf in jax.tree.leaves(tree) if changes(leaf)]


def with_changing(tree: Any, values: Iterable[Array]) -> Any:
    """Return the same with other values in place of `changing`."""
    leaves, kind = jax.tree.flatten(tree)
    new = iter(values)
    return jax.tree.unflatten(kind, [next(new) if changes(leaf) else leaf for leaf in leaves])


def changes(leaf: Any) -> bool:
    """Return whether an array has a value for each step of a window."""
    return getattr(leaf, "ndim", 0) == 3


def _plus(value: Array, added: Slope) -> Array:
    return value if added is None else value + added
