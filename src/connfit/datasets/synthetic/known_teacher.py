"""A teacher that a student of the same equations could equal: known parameters, a known stimulus, private noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

from connfit.connectome import Connectome, from_pairs
from connfit.datasets.synthetic.demo_wiring import WiringConfig, make_wiring
from connfit.datasets.synthetic.known_inputs import KnownInputs
from connfit.datasets.synthetic.known_settings import FRAME_RATE, TeacherSettings
from connfit.datasets.synthetic.teacher import OrnsteinUhlenbeck, measurement_noise, spectral_radius
from connfit.errors import ConfigError
from connfit.models.cells import find_cell
from connfit.models.neuron import Neuron, States, as_states
from connfit.models.parameter import Parameter, TimeConstant

_WIRING, _PARAMETERS, _ACTIVITY, _MEASUREMENT, _INPUTS = 0, 1, 2, 3, 5


@dataclass(frozen=True, eq=False)
class KnownTeacher:
    """A brain whose parameters are known.

    Attributes
    ----------
    connectome
        Wiring, signs and synapse counts: what a student is given.
    sensory
        [N] True for the neurons whose activity is the stimulus.
    weights
        [M] magnitudes |w|.
    time_constants
        [N] seconds. Those of sensory neurons have no meaning.
    bias
        [N]
    own
        [N] the cell's own parameters, by name.
    inputs
        External channels and their weights; None without any.
    """

    settings: TeacherSettings
    connectome: Connectome
    sensory: Bool[np.ndarray, "N"]
    weights: Float[np.ndarray, "M"]
    time_constants: Float[np.ndarray, "N"]
    bias: Float[np.ndarray, "N"]
    seed: int
    own: Mapping[str, Float[np.ndarray, "N"]] = field(default_factory=dict)
    inputs: KnownInputs | None = None

    @classmethod
    def draw(cls, settings: TeacherSettings, seed: int) -> KnownTeacher:
        """Draw wiring and parameters; the same settings and seed give the same numbers.

        Biases are those at which each neuron's own target rate, of log-normal distribution, is a fixed point, so that
        no neuron is silent.
        """
        rng = np.random.default_rng((seed, _PARAMETERS))
        brain, sensory = _wiring(settings, seed)
        weights = brain.counts * _factors(settings, brain, rng)
        matrix = brain.matrix(weights)
        scale = settings.spectral_radius / spectral_radius(matrix)
        low, high = settings.time_constant_bounds_frames
        frames = settings.time_constant_frames * rng.lognormal(0.0, settings.time_constant_spread, brain.n)
        target = rng.lognormal(0.0, settings.rate_spread, brain.n)
        neuron = find_cell(settings.cell).neuron()
        own = _own_parameters(neuron, settings.own_spread, brain.n, np.random.default_rng((seed, _PARAMETERS, 1)))
        held = np.asarray(neuron.balance(_theta(neuron.parameters, own), cast("Array", target[:, None])))[:, 0]
        bias = held - scale * (matrix @ target)
        seconds = np.clip(frames, low, high) / FRAME_RATE
        inputs = _inputs(settings, sensory, seed)
        return cls(settings, brain, sensory, scale * weights, seconds, bias, seed, own, inputs)

    @property
    def neuron(self) -> Neuron:
        """What one neuron does."""
        return find_cell(self.settings.cell).neuron()

    def play(self, frames: int, *, process_noise: float, burn_in: int = 100) -> Float[np.ndarray, "T N"]:
        """Simulate rates over time; a longer call continues a shorter one.

        ``r_i(t) = α_i r_i(t-1) + (1-α_i) relu(x_i(t)) η_i(t)``, where η is log-normal with mean 1 and standard
        deviation `process_noise`, independent between neurons and steps. Its mean of 1 is what keeps the teacher in
        the student's class: the expectation of the next rate, given all present ones, is exactly the model's step.
        Neurons of another cell have it on what they receive, and what is returned is what they show, before any
        indicator (`indicated`). Sensory neurons follow log-normal Ornstein-Uhlenbeck processes of mean 1. External
        inputs add to x, and are at their mean before the first frame.

        Parameters
        ----------
        process_noise
            Standard deviation of η, 0 or more.
        burn_in
            Frames that are dropped first.
        """
        if process_noise < 0:
            raise ConfigError(f"process_noise = {process_noise} must be 0 or more")
        settings, n = self.settings, self.connectome.n
        private, rng = (np.random.default_rng((self.seed, _ACTIVITY, k)) for k in range(2))
        sensory = int(self.sensory.sum())
        stimulus = OrnsteinUhlenbeck(settings.stimulus_frames, 1.0, lambda: rng.standard_normal(sensory))
        sigma, spread = np.sqrt(np.log1p(process_noise**2)), settings.stimulus_spread
        alpha = np.exp(-1 / (self.time_constants * FRAME_RATE))
        matrix = self.connectome.matrix(self.weights)
        rates, kept = np.ones(n), np.empty((frames, n))
        bias = np.broadcast_to(self.bias, (burn_in + frames, n))
        if self.inputs is not None:
            bias = np.concatenate([bias[:burn_in], self.bias + self.inputs.currents(frames)])
        if settings.cell != "rate":
            states = (np.zeros(n),) * len(self.neuron.states)
            for step in range(burn_in + frames):
                noise = np.exp(sigma * private.standard_normal(n) - sigma**2 / 2)
                given = np.exp(spread * stimulus.advance() - spread**2 / 2)
                states, observed = self._advance(states, noise, given, bias[step])
                if step >= burn_in:
                    kept[step - burn_in] = observed
            return kept
        for step in range(burn_in + frames):
            x = np.maximum(matrix @ rates + bias[step], 0)
            x *= np.exp(sigma * private.standard_normal(n) - sigma**2 / 2)
            rates = alpha * rates + (1 - alpha) * x
            rates[self.sensory] = np.exp(spread * stimulus.advance() - spread**2 / 2)
            if step >= burn_in:
                kept[step - burn_in] = rates
        return kept

    def follow(
        self, given: Float[np.ndarray, "T N"], recorded: Bool[np.ndarray, "N"], state_forcing: float
    ) -> Float[np.ndarray, "T-1 N"]:
        """Predict frames 1 to T - 1 as a student with the teacher's own parameters would: the best that there is.

        Of a teacher without indicator and external inputs; of others `connfit.analysis.recovery.student.true_params`
        are the parameters with which a student does so.

        Parameters
        ----------
        given
            What is measured of all neurons; only that of the recorded ones is used.
        recorded
            Which neurons those are. They are corrected by `state_forcing` of the way before each step.
        """
        alpha = np.exp(-1 / (self.time_constants * FRAME_RATE))
        matrix = self.connectome.matrix(self.weights)
        mean = given[:, recorded].mean()
        rates, predicted = np.full(len(recorded), mean), np.empty((len(given) - 1, len(recorded)))
        if self.settings.cell != "rate":
            start, shows = np.where(recorded, given.mean(axis=0), mean), self.neuron.shows
            states = (start,) * len(self.neuron.states)
            for step, seen in enumerate(given[:-1]):
                shown = np.where(recorded, states[shows] + state_forcing * (seen - states[shows]), states[shows])
                states, predicted[step] = self._advance((*states[:shows], shown, *states[shows + 1 :]))
            return predicted
        for step, seen in enumerate(given[:-1]):
            rates = np.where(recorded, rates + state_forcing * (seen - rates), rates)
            rates = alpha * rates + (1 - alpha) * np.maximum(matrix @ rates + self.bias, 0)
            predicted[step] = rates
        return predicted

    def _advance(
        self,
        states: tuple[Float[np.ndarray, "N"], ...],
        noise: Float[np.ndarray, "N"] | float = 1.0,
        stimulus: Float[np.ndarray, "n"] | None = None,
        bias: Float[np.ndarray, "N"] | None = None,
    ) -> tuple[tuple[Float[np.ndarray, "N"], ...], Float[np.ndarray, "N"]]:
        """Take one step of any cell, in JAX's default precision, and return the states and what is observed of them.

        Parameters
        ----------
        noise
            What neurons receive is multiplied by it.
        stimulus
            Rates of the sensory neurons; None: they have no input and are left alone.
        bias
            With what external inputs add; default: the teacher's own.
        """
        neuron, theta, parts = self._parts
        before = tuple(jnp.asarray(one[:, None]) for one in states)
        sent = np.asarray(neuron.output(theta, before))[:, 0]
        first, *others = (part @ sent for part in parts)
        bias = self.bias if bias is None else bias
        received = tuple(jnp.asarray(np.asarray(noise * one)[:, None]) for one in (first + bias, *others))
        held = None
        if stimulus is not None:
            rates = np.zeros((len(sent), 1))
            rates[self.sensory, 0] = stimulus
            held = jnp.asarray(rates)
        after, observed = _step(neuron, theta, before, received, jnp.asarray(self.sensory[:, None]), held)
        return tuple(np.asarray(one, np.float64)[:, 0] for one in after), np.asarray(observed, np.float64)[:, 0]

    @cached_property
    def _parts(self) -> tuple[Neuron, dict[str, Array], list[sp.csr_array]]:
        """The cell, its parameters as a step uses them, and the connections to each channel."""
        neuron, matrix = self.neuron, sp.csr_array(self.connectome.matrix(self.weights))
        values = {"time_constants": self.time_constants, **self.own}
        theta = _theta((TimeConstant("time_constants", 1.0), *neuron.parameters), values)
        if len(neuron.channels) == 1:
            return neuron, theta, [matrix]
        return neuron, theta, [sp.csr_array(matrix.maximum(0)), sp.csr_array(matrix.minimum(0))]

    def indicated(self, shown: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "T N"]:
        """Return what the indicator makes of what neurons show, as if the first frame had been there for long."""
        for one in self.settings.filters():
            keeps = np.exp(-1 / (one.start * FRAME_RATE))
            now, found = shown[0], np.empty_like(shown)
            for frame, each in enumerate(shown):
                now = keeps * now + (1 - keeps) * each
                found[frame] = now
            shown = found
        return shown

    def measure(self, rates: Float[np.ndarray, "T N"], noise: float) -> Float[np.ndarray, "T N"]:
        """Measure rates, or what an indicator makes of them: noise of `noise` times each neuron's standard deviation.

        The stimulus is known without noise. Values may fall below 0, as measurements do.
        """
        if noise < 0:
            raise ConfigError(f"observation noise = {noise} must be 0 or more")
        rng = np.random.default_rng((self.seed, _MEASUREMENT))
        return rates + measurement_noise(rates, np.where(self.sensory, 0.0, noise), rng)


def _inputs(settings: TeacherSettings, sensory: Bool[np.ndarray, "N"], seed: int) -> KnownInputs | None:
    own = (seed, _INPUTS)
    if settings.input_file:
        return KnownInputs.of_table(
            settings.input_file, settings.input_columns, FRAME_RATE, settings.input_strength, sensory, own
        )
    if not settings.inputs:
        return None
    return KnownInputs.drawn(settings.inputs, settings.input_strength, settings.input_frames, sensory, own)


@partial(jax.jit, static_argnums=0)
def _step(
    neuron: Neuron, theta: dict[str, Array], before: States, received: States, sensory: Array, held: Array | None
) -> tuple[States, Array]:
    after = as_states(neuron.step(theta, before, received))
    if held is not None:
        kept = as_states(neuron.hold(theta, before, after, held))
        after = tuple(jnp.where(sensory, one, free) for one, free in zip(kept, after, strict=True))
    return after, neuron.observed(theta, after)


def _theta(parameters: tuple[Parameter, ...], values: Mapping[str, Float[np.ndarray, "N"]]) -> dict[str, Array]:
    """What a step uses of parameters, [N, 1] each."""
    return {
        one.name: one.used(jnp.asarray(one.stored(cast("float", values[one.name]))), 1 / FRAME_RATE)[:, None]
        for one in parameters
    }


def _own_parameters(
    neuron: Neuron, spread: float, n: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "N"]]:
    """The cell's own parameters about where fits of it start, within their bounds."""
    found = {}
    for one in neuron.parameters:
        drawn = spread * rng.standard_normal(n)
        found[one.name] = np.clip(one.start * np.exp(drawn) if one.start > 0 else one.start + drawn, one.low, one.high)
    return found


def _wiring(settings: TeacherSettings, seed: int) -> tuple[Connectome, Bool[np.ndarray, "N"]]:
    """A surrogate's wiring, in which whole cell types are sensory: they have no inputs."""
    regions = max(2, settings.neurons // 100)
    config = WiringConfig(
        neurons=settings.neurons,
        regions=regions,
        mean_degree=min(settings.mean_degree, settings.neurons / regions / 2),
        neurons_per_type=10.0,
    )
    brain = make_wiring(config, np.random.default_rng((seed, _WIRING)), name="recovery-teacher")
    rng = np.random.default_rng((seed, _WIRING, 1))
    types = brain.neurons["type"].to_numpy(str)
    sensory = np.zeros(brain.n, bool)
    for name in rng.permutation(np.unique(types)):
        if sensory.sum() >= settings.sensory_fraction * brain.n:
            break
        sensory |= types == name
    kept = ~sensory[brain.posts]
    wired = from_pairs(
        brain.name, brain.indices[kept], brain.posts[kept], brain.counts[kept], brain.signs, brain.neurons,
        notes=brain.notes,
    )  # fmt: skip
    return replace(wired, notes={**brain.notes, "sensory_neurons": int(sensory.sum())}), sensory


def _factors(settings: TeacherSettings, brain: Connectome, rng: np.random.Generator) -> Float[np.ndarray, "M"]:
    """Weight per synapse, up to a common factor: log-normal, over about the synapses that the neuron receives."""
    posts, n = brain.posts, brain.n
    received = np.bincount(posts, brain.counts, n)
    if settings.strengths == "free":
        return rng.lognormal(0.0, settings.weight_spread, brain.m) / received[posts]
    if settings.strengths == "gain_per_neuron":
        return (rng.lognormal(0.0, settings.weight_spread, n) / np.maximum(received, 1))[posts]
    types, names = pd.factorize(brain.neurons["type"].to_numpy(str))
    members = np.bincount(types, received > 0)
    mean = np.bincount(types, received) / np.maximum(members, 1)
    pair = types[posts] * len(names) + types[brain.indices]
    gains = rng.lognormal(0.0, settings.weight_spread, len(names) ** 2)
    return gains[pair] / mean[types[posts]]
