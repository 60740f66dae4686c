"""A start of spiking networks: neither silent nor exploding, at the mean activity that was recorded.

Weights are those of the wiring, scaled by the gain of a neuron at its rate: `spectral_radius` is that of spikes caused
per spike; without it a synapse has the 0.275 mV of Shiu et al. 2024. Biases then follow from running the network
itself: each neuron's is moved until it spikes as often as the units that read it ask for (homeostasis; Turrigiano &
Nelson 2004, Nature Reviews Neuroscience 5:97). What others send and the mean of external events are taken off it first,
and the network runs with them. Near its threshold a neuron's rate rises steeply, so that a network may have no steady
state at these rates: some neurons fall silent, and others fire at many times their rate. Weights that a spectral radius
asks for are then halved until there is one. A recording that can be negative, or whose means are no rates of neurons,
is not in hertz: its units then begin at a low quantile, and `USUAL_HZ` bring them to their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from connfit.errors import ConfigError
from connfit.models.base import Model, Neurons, Params
from connfit.models.cells.integrate_fire import SYNAPSE_MV
from connfit.models.compiled_step import for_run
from connfit.models.init.start import STARTS, Start, StartConditions, Training
from connfit.models.init.starting_weights import initial_magnitudes, radius_factor, recurrent_input, spread_factors
from connfit.models.maps import GainMap
from connfit.models.rollout import advance
from connfit.recordings.plausibility import CAUTIONS

USUAL_HZ = 5.0
"""Mean rate of neurons whose recording does not say one, in hertz."""

LEAST_HZ, MOST_HZ = 0.5, 100.0
"""Mean rates of units between which a recording is taken for one in hertz."""

ROUNDS, LATE, ROUND_S = 40, 10, 0.5
"""Rounds of homeostasis, how many of the last are averaged over, and seconds of the network in each."""

FIRST, MOST = 0.02, 0.1
"""First and largest step of a bias, as parts of the input that a neuron needs."""

GROWS, SHRINKS, CALMS = 1.25, 0.6, 0.85
"""What a neuron's step is multiplied by where its error keeps its sign, where that changes, and in each late round."""

MANY = 5
"""Spikes in a round of which the rate is their number; of fewer it is that of the intervals between them."""

MEASURED_S = 4.0
"""Seconds of the network, with biases as they were found, of which rates are told."""

KICK, KICK_S = 0.1, 1.0
"""What is added to biases before that, as a part of the input that a neuron needs, and seconds with it and after it."""

TRIES = 7
"""Networks that are balanced, each with half the weights of the one before, until one has the rates."""

ROOM, ROOM_IN_ALL = 0.3, 0.15
"""Part by which rates may be off: of neurons on average, beyond what counts of spikes differ by chance, and of all."""

_QUANTILE = 0.05


@dataclass(frozen=True, eq=False)
class BalancedStart:
    """What was found for a spiking start.

    Attributes
    ----------
    magnitudes
        |w| in millivolts.
    bias
        Input of every step, in millivolts.
    base, response
        What read-outs see of a silent neuron, and of one spike per second.
    target_hz, rate_hz
        Mean rate that was asked of each neuron, and that it then has for `MEASURED_S`.
    halvings
        How often weights were halved.
    balanced
        Whether the rates are those that were asked for.
    """

    magnitudes: Float[Array, "M"]
    bias: Float[Array, "N"]
    base: Float[np.ndarray, "N"]
    response: Float[np.ndarray, "N"]
    target_hz: Float[np.ndarray, "N"]
    rate_hz: Float[np.ndarray, "N"]
    halvings: int
    balanced: bool

    def facts(self, units: Sequence[str]) -> dict[str, object]:
        """Return mean rates, the share of silent neurons, and what a user should know of them."""
        return {
            "target_hz": float(self.target_hz.mean()),
            "rate_hz": float(self.rate_hz.mean()),
            "silent": float((self.rate_hz == 0).mean()),
            "largest_hz": float(self.rate_hz.max(initial=0.0)),
            "halvings": self.halvings,
            CAUTIONS: self._cautions(),
        }

    def _cautions(self) -> list[str]:
        found = []
        if self.halvings:
            found.append(
                f"start by balance: weights are {0.5**self.halvings:g} of those that model.spectral_radius asks for: "
                "with these the network has no steady state in which neurons spike as often as recorded"
            )
        if not self.balanced:
            found.append(
                f"start by balance: neurons spike {self.rate_hz.mean():.3g} times per second on average, and one "
                f"{self.rate_hz.max():.3g} times, where {self.target_hz.mean():.3g} were asked for: give "
                "model.spectral_radius a smaller number, or neurons external events (model.cell_options.poisson_hz)"
            )
        return found


def fit_balance(model: Model, given: StartConditions, training: Training) -> BalancedStart:
    """Find weights and biases at which every neuron spikes as often as the units that read it ask for.

    Raises
    ------
    ConfigError
        If the cell does not spike.
    """
    if not model.neuron.spikes:
        raise ConfigError(
            "the start 'balance' is for cells that send spikes, as lif: set model.drive_start to another, or to auto"
        )
    base, response, target_hz = _asked(given, [frames for frames, _ in training])
    own = model.own_start() | {"base": jnp.asarray(base), "response": jnp.asarray(response)}
    shown = base + response * target_hz
    start: Params = {
        **own,
        "log_time_constants": jnp.full(model.neurons, jnp.log(given.time_constant_s)),
        "weights": jnp.zeros(0),
    }
    theta = model.constants(start)
    needed = model.neuron.balance(theta, jnp.asarray(shown)[:, None])[:, 0]
    strengths = _weights(model, given, target_hz * model.step_s, np.asarray(needed))
    target = jnp.asarray(target_hz * model.step_s)
    poisson = model.neuron.poisson
    first = needed if poisson is None else needed - poisson.mean(model.step_s)
    params = {**start, model.recurrent_group: strengths, "bias": first}
    tries = 1 if given.spectral_radius is None else TRIES
    params, rate, halvings, balanced = _balanced(model, params, target, jnp.abs(needed), tries)
    return BalancedStart(
        magnitudes=model.recurrent.connection_strengths(params[model.recurrent_group]), bias=params["bias"],
        base=base, response=response, target_hz=target_hz, rate_hz=np.asarray(rate) / model.step_s,
        halvings=halvings, balanced=balanced,
    )  # fmt: skip


def _asked(
    given: StartConditions, training: Sequence[Float[np.ndarray, "T P"]]
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """What a silent neuron shows, what one spike per second adds to it, and how many are asked of each."""
    frames = np.concatenate(training)
    mean, low = np.nanmean(frames, axis=0), np.nanquantile(frames, _QUANTILE, axis=0)
    shares = sp.csr_array(given.readout.matrix)
    weight = np.asarray(shares.sum(axis=0)).ravel()

    def of_neurons(values: np.ndarray) -> np.ndarray:
        """Of a neuron what the units that read it have, in the shares in which they do; of others the mean."""
        read = shares.T @ values
        return np.where(weight > 0, read / np.where(weight > 0, weight, 1), values.mean())

    if np.nanmin(frames) >= 0 and ((mean >= LEAST_HZ) & (mean <= MOST_HZ)).all():
        return np.zeros_like(weight), np.ones_like(weight), of_neurons(mean)
    span = np.maximum(mean - low, 1e-6 * max(1.0, float(np.abs(mean).max())))
    return of_neurons(low), of_neurons(span) / USUAL_HZ, np.full_like(weight, USUAL_HZ)


def _weights(
    model: Model, given: StartConditions, spikes: Float[np.ndarray, "N"], inputs: Float[np.ndarray, "N"]
) -> Array:
    """Magnitudes of the wiring, with `spectral_radius` of spikes caused per spike."""
    if isinstance(model.recurrent, GainMap):
        strengths = jnp.ones(model.recurrent.strengths_shape, jnp.result_type(float))
    else:
        strengths = jnp.asarray(initial_magnitudes(given.connectome, given.weights, seed=given.seed))
    if given.weight_spread:
        strengths *= spread_factors(model, given.weight_spread, given.seed)
    if given.spectral_radius is None or not given.connectome.m:
        return SYNAPSE_MV * strengths
    # A neuron that spikes p times a step at an input x spikes about p / x times more for an input of one more.
    slope = float(np.mean(spikes / np.maximum(inputs, 1e-6)))
    return strengths * radius_factor(model, given.connectome, strengths, given.spectral_radius) / slope


class _Running(NamedTuple):
    """A network between two rounds: its neurons, and steps since the last spike of each."""

    neurons: Neurons
    since: Float[Array, "N"]


def _balanced(
    model: Model, params: Params, target: Float[Array, "N"], needed: Float[Array, "N"], tries: int
) -> tuple[Params, Float[Array, "N"], int, bool]:
    """Find biases, with half the weights where there are none, from those that neurons without others need.

    Returns parameters, spikes per step, how often weights were halved, and whether the rates are those of `target`.
    """
    key = model.recurrent_group
    steps, kicked, measured = (max(1, round(seconds / model.step_s)) for seconds in (ROUND_S, KICK_S, MEASURED_S))
    running = _Running(model.rest(), jnp.zeros_like(target))
    received = recurrent_input(model, params[key], target)
    params, halvings = {**params, "bias": params["bias"] - received}, 0
    while True:
        params["bias"], running = _homeostasis(model, params, target, running, needed, steps)
        # A network with two states may stay in the right one until something moves it.
        running, *_ = _run(model, params | {"bias": params["bias"] + KICK * needed}, running, kicked)
        running, *_ = _run(model, params, running, kicked)
        running, spikes, _ = _run(model, params, running, measured)
        expected = target * measured
        balanced = bool(
            jnp.abs(spikes.sum() / expected.sum() - 1) <= ROOM_IN_ALL
            and jnp.abs(spikes - expected).sum() <= (ROOM * expected + jnp.sqrt(2 / jnp.pi * expected)).sum()
        )
        if balanced or halvings + 1 == tries:
            return params, spikes / measured, halvings, balanced
        halvings, received = halvings + 1, received / 2
        params |= {key: params[key] / 2, "bias": params["bias"] + received}


def _homeostasis(
    model: Model, params: Params, target: Float[Array, "N"], running: _Running, needed: Float[Array, "N"], steps: int
) -> tuple[Float[Array, "N"], _Running]:
    """Move biases until neurons spike as often as they are to, by parts of the input that a neuron needs.

    A step grows while the neuron's error keeps its sign and shrinks when that changes (Riedmiller & Braun 1993, Proc
    IEEE ICNN): of neurons without noise a thousandth of the input lies between none and ten spikes a second. Where
    there are many spikes in a round, chance changes the sign, and steps shrink with the number of rounds.
    """
    bias, size, last = params["bias"], FIRST * needed, jnp.zeros_like(target)
    many, late = target * steps >= MANY, jnp.zeros_like(target)
    for number in range(ROUNDS):
        running, spikes, intervals = _run(model, {**params, "bias": bias}, running, steps)
        # Of a spike or two the intervals tell the rate to a step. One that has not ended says what it is below.
        rate = jnp.where(spikes > 0, spikes / jnp.maximum(intervals, 1), target)
        rate = jnp.minimum(rate, 1 / jnp.maximum(running.since, 1))
        rate = jnp.where(spikes < MANY, rate, spikes / steps)
        error = jnp.clip((target - rate) / target, -1, 1)
        same, calm = error * last, CALMS if number > ROUNDS // 2 else 1
        size *= calm * jnp.where(same > 0, GROWS, jnp.where(same < 0, SHRINKS, 1))
        size = jnp.where(many, MOST / (1 + number / 8) * needed, jnp.minimum(size, MOST * needed))
        bias += size * error
        last = error
        if number >= ROUNDS - LATE:
            late += bias / LATE
    return late, running


@partial(jax.jit, static_argnames="steps")
def _run(
    model: Model, params: Params, start: _Running, steps: int
) -> tuple[_Running, Float[Array, "N"], Float[Array, "N"]]:
    """Run the network with nothing but its bias; return its end, and of each neuron spikes and steps between them."""
    theta, real = model.constants(params), jnp.result_type(float)
    shown, silent = jnp.zeros((model.units, 1), real), jnp.zeros((model.neurons, 1), real)
    model = for_run(model, params, start.neurons, steps)

    def step(_: int, now: tuple[_Running, Array, Array]) -> tuple[_Running, Array, Array]:
        (neurons, since), spikes, intervals = now
        spiked = model.neuron.output(theta, neurons.states)[:, 0]
        since += 1
        after = advance(model, params, neurons, shown, shown == 0, forcing=False, drive=silent)[0]
        return _Running(after, since * (1 - spiked)), spikes + spiked, intervals + since * spiked

    none = jnp.zeros(model.neurons, real)
    return jax.lax.fori_loop(0, steps, step, (start, none, none))


def balanced_start(model: Model, given: StartConditions) -> Params:
    """Return the parameters of what was found; a drive begins at 0."""
    found = given.fitted
    assert isinstance(found, BalancedStart)
    real = jnp.result_type(float)
    params: Params = {
        model.recurrent_group: found.magnitudes
        if model.recurrent_group == "weights"
        else jnp.ones(model.recurrent.strengths_shape, real),
        "log_time_constants": jnp.full(model.neurons, jnp.log(given.time_constant_s), real),
        "bias": jnp.asarray(found.bias, real),
        "base": jnp.asarray(found.base, real),
        "response": jnp.asarray(found.response, real),
    }
    if model.drive is not None:
        params["drive"] = jnp.zeros(model.drive.strengths_shape, real)
    if given.readout.learned:
        params["readout"] = jnp.asarray(given.readout.matrix.toarray(), real)
    return model.project(params)


STARTS.register(
    Start(
        name="balance",
        label="biases at which every neuron spikes as often as its units ask for",
        parameters=balanced_start,
        fit=fit_balance,
        automatic=True,
        spiking=True,
        searched=(("time_constant_frames",), ("weights",)),
        place=40,
    )
)
