"""A start of spiking networks: neither silent nor exploding, at the mean activity that was recorded.

Weights are those of the wiring, scaled by the gain of a neuron at its rate: `spectral_radius` is that of spikes caused
per spike; without it a synapse has the 0.275 mV of Shiu et al. 2024. Biases then follow from running the network
itself: each neuron's is moved until it spikes as often as the units that read it ask for (homeostasis; Turrigiano &
Nelson 2004, Nature Reviews Neuroscience 5:97). The mean of external events is taken off it first, and the network runs
with them. A recording that can be negative, or whose means are no rates of neurons, is not in hertz: its units then
begin at a low quantile, and `USUAL_HZ` bring them to their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

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
from connfit.models.init.starting_weights import initial_magnitudes, radius_factor, spread_factors
from connfit.models.maps import GainMap
from connfit.models.rollout import advance

USUAL_HZ = 5.0
"""Mean rate of neurons whose recording does not say one, in hertz."""

LEAST_HZ, MOST_HZ = 0.5, 100.0
"""Mean rates of units between which a recording is taken for one in hertz."""

ROUNDS, ROUND_S = 40, 0.5
"""Rounds of homeostasis, and seconds of the network in each."""

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
        Mean rate that was asked of each neuron, and that it had in the last rounds.
    """

    magnitudes: Float[Array, "M"]
    bias: Float[Array, "N"]
    base: Float[np.ndarray, "N"]
    response: Float[np.ndarray, "N"]
    target_hz: Float[np.ndarray, "N"]
    rate_hz: Float[np.ndarray, "N"]

    def facts(self, units: Sequence[str]) -> dict[str, object]:
        """Return mean rates and the share of silent neurons."""
        return {
            "target_hz": float(self.target_hz.mean()),
            "rate_hz": float(self.rate_hz.mean()),
            "silent": float((self.rate_hz == 0).mean()),
            "largest_hz": float(self.rate_hz.max(initial=0.0)),
        }


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
    steps = max(1, round(ROUND_S / model.step_s))
    target = jnp.asarray(target_hz * model.step_s)
    poisson = model.neuron.poisson
    first = needed if poisson is None else needed - poisson.mean(model.step_s)
    params = {**start, model.recurrent_group: strengths, "bias": first}
    bias, rate = _homeostasis(model, params, target, 0.1 * jnp.abs(needed), steps)
    magnitudes = model.recurrent.connection_strengths(strengths)
    return BalancedStart(magnitudes, bias, base, response, target_hz, np.asarray(rate) / model.step_s)


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


def _homeostasis(
    model: Model, params: Params, target: Float[Array, "N"], size: Float[Array, "N"], steps: int
) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
    """Move biases, by `size` at most in a round, until neurons spike as often as they are to.

    Returns them, and spikes per step of the last rounds.
    """
    bias, neurons = params["bias"], model.rest()
    mean = target
    late = jnp.zeros_like(target)
    for number in range(ROUNDS):
        neurons, spikes = _spikes(model, {**params, "bias": bias}, neurons, steps)
        # Of rates of a few hertz a round sees a spike or two: an average over rounds, and smaller steps later on.
        mean = 0.7 * mean + 0.3 * spikes
        bias += size * jnp.clip((target - mean) / target, -1, 1) / (1 + number / 8)
        if number >= ROUNDS // 2:
            late += spikes / (ROUNDS - ROUNDS // 2)
    return bias, late


@partial(jax.jit, static_argnames="steps")
def _spikes(model: Model, params: Params, start: Neurons, steps: int) -> tuple[Neurons, Float[Array, "N"]]:
    """Run the network with nothing but its bias; return its end, and spikes per step of each neuron."""
    theta, real = model.constants(params), jnp.result_type(float)
    shown, silent = jnp.zeros((model.units, 1), real), jnp.zeros((model.neurons, 1), real)
    model = for_run(model, params, start, steps)

    def step(_: int, now: tuple[Neurons, Array]) -> tuple[Neurons, Array]:
        neurons, count = now
        count += model.neuron.output(theta, neurons.states)[:, 0]
        after = advance(model, params, neurons, shown, shown == 0, forcing=False, drive=silent)[0]
        return after, count

    end, count = jax.lax.fori_loop(0, steps, step, (start, jnp.zeros(model.neurons, real)))
    return end, count / steps


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
