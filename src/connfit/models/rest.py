"""Runs to rest: a model on constant input, until it stands still."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from connfit.errors import ConfigError
from connfit.models.base import Model, Neurons, Params
from connfit.models.frame_loop import CHUNK
from connfit.models.rollout import Shown, State, Stepped, rollout


class Settled(NamedTuple):
    """Return the states after a run on a constant input.

    Attributes
    ----------
    rates
        [N] what neurons send. Of cells that spike, spikes per step, the mean over the second half of the run.
    neurons
        All states of the neurons, as a further run starts from.
    change
        ‖h(t) - h(t-1)‖ / ‖h(t)‖ of the states in the last step: near 0 at a fixed point.
    steps
        Steps that were run.
    """

    rates: Float[np.ndarray, "N"]
    neurons: Neurons
    change: float
    steps: int


def settle(
    model: Model,
    params: Params,
    start: Neurons | Float[np.ndarray, "N"] | None = None,
    *,
    inputs: Float[np.ndarray, "P"] | None = None,
    steps: int = 2000,
    tolerance: float = 1e-6,
) -> Settled:
    """Run the model until it stands still, on its own read-out or on constant `inputs` [P], for `steps` at most.

    It starts from silence, from the states of an earlier run, or, of cells with one state, from their rates.

    What `inputs` show acts through the drive alone: state forcing is left out, which would put rates in their place.

    Raises
    ------
    ConfigError
        If rates or inputs have the wrong length or are not finite.
    """
    state = State.of(model, started(model, params, start))
    given = None if inputs is None else vector_of("inputs", inputs, model.units).astype(state.rates.dtype)
    done, change, spiked = 0, float("inf"), []
    while done < steps and change > tolerance:
        length = min(CHUNK, steps - done)
        shown = Shown.nothing(model, length) if given is None else Shown.constant(given, length)
        nothing = _Watched(jnp.zeros((), state.rates.dtype), jnp.zeros_like(state.rates))
        run = rollout(model, params, state, shown, _watch, nothing, forcing=False)
        state, change, done = run.state, float(run.kept.change), done + length
        spiked += [np.asarray(run.kept.sent[:, 0])] if model.neuron.spikes else []
    if not spiked:
        return Settled(np.asarray(sent_by(model, params, state.neurons)[:, 0]), state.neurons, change, done)
    late = len(spiked) // 2
    return Settled(np.sum(spiked[late:], axis=0) / (done - CHUNK * late), state.neurons, change, done)


class _Watched(NamedTuple):
    """Relative change of the states in the last step, and the sum of what was sent."""

    change: Float[Array, ""]
    sent: Float[Array, "N 1"]


def _watch(model: Model, params: Params, kept: _Watched, now: Stepped, also: None) -> tuple[_Watched, None]:
    before, after = (jnp.concatenate(neurons.states) for neurons in (now.before, now.neurons))
    change = jnp.linalg.norm(after - before) / jnp.maximum(jnp.linalg.norm(after), 1e-30)
    return _Watched(change, kept.sent + now.rates), None


def started(model: Model, params: Params, start: Neurons | Float[np.ndarray, "N"] | None) -> Neurons:
    """Return where one run starts: silence, the states of an earlier run, or rates of cells with one state.

    Raises
    ------
    ConfigError
        If rates have the wrong length or are not finite, or it is no state of this model.
    """
    kind = params["bias"].dtype
    if start is None:
        rest = model.rest()
        return rest._replace(**jax.tree.map(lambda one: one.astype(kind), {"states": rest.states, "sent": rest.sent}))
    if isinstance(start, Neurons):
        return State.of(model, start).neurons
    return State.of(model, jnp.asarray(vector_of("rates", start, model.neurons), kind)[:, None]).neurons


def sent_by(model: Model, params: Params, neurons: Neurons) -> Float[Array, "N B"]:
    """Return what neurons send, their rates."""
    return model.neuron.output(model.constants(params), neurons.states)


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
