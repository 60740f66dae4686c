"""A teacher that a student of the same equations could equal: known parameters, a known stimulus, private noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from connfit.connectome import Connectome, from_pairs
from connfit.datasets.synthetic.demo_wiring import WiringConfig, make_wiring
from connfit.datasets.synthetic.teacher import OrnsteinUhlenbeck, check_radius, measurement_noise, spectral_radius
from connfit.errors import ConfigError, one_of

TEACHER_STRENGTHS = ("free", "gain_per_neuron", "gain_per_type_pair")
FRAME_RATE = 2.0
"""Frames per second (Hz) of all recordings of a teacher: one model step each."""

_WIRING, _PARAMETERS, _ACTIVITY, _MEASUREMENT = 0, 1, 2, 3


@dataclass(frozen=True)
class TeacherSettings:
    """How a teacher is drawn.

    Parameters
    ----------
    neurons
        N, sensory neurons included.
    sensory_fraction
        Share of neurons without inputs, whose activity is a stimulus that the experimenter knows.
    mean_degree
        Outgoing connections per neuron.
    strengths
        What the true weights are: synapse counts times a factor for each connection (`"free"`), for each postsynaptic
        neuron (`"gain_per_neuron"`) or for each pair of cell types (`"gain_per_type_pair"`).
    weight_spread
        Standard deviation of the natural log of that factor.
    spectral_radius
        Largest absolute eigenvalue of the signed weights.
    time_constant_frames, time_constant_spread, time_constant_bounds_frames
        Median in frames, standard deviation of the natural log, and bounds in frames.
    rate_spread
        Standard deviation of the natural log of the rates about which neurons fluctuate, whose median is 1.
    stimulus_spread, stimulus_frames
        Standard deviation of the natural log of the sensory neurons' rates, and its correlation time in frames.
    """

    neurons: int = 500
    sensory_fraction: float = 0.1
    mean_degree: float = 20.0
    strengths: str = "free"
    weight_spread: float = 0.5
    spectral_radius: float = 0.8
    time_constant_frames: float = 2.0
    time_constant_spread: float = 0.6
    time_constant_bounds_frames: tuple[float, float] = (0.5, 10.0)
    rate_spread: float = 0.3
    stimulus_spread: float = 0.7
    stimulus_frames: float = 3.0

    def __post_init__(self) -> None:
        one_of("strengths of the teacher", self.strengths, TEACHER_STRENGTHS)
        if self.neurons < 30:
            raise ConfigError(f"neurons = {self.neurons} must be 30 or more")
        check_radius(self.spectral_radius)
        if not 0 < self.sensory_fraction < 1:
            raise ConfigError(f"sensory_fraction = {self.sensory_fraction} must lie between 0 and 1")


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
    """

    settings: TeacherSettings
    connectome: Connectome
    sensory: Bool[np.ndarray, "N"]
    weights: Float[np.ndarray, "M"]
    time_constants: Float[np.ndarray, "N"]
    bias: Float[np.ndarray, "N"]
    seed: int

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
        bias = target - scale * (matrix @ target)
        return cls(settings, brain, sensory, scale * weights, np.clip(frames, low, high) / FRAME_RATE, bias, seed)

    def play(self, frames: int, *, process_noise: float, burn_in: int = 100) -> Float[np.ndarray, "T N"]:
        """Simulate rates over time; a longer call continues a shorter one.

        ``r_i(t) = α_i r_i(t-1) + (1-α_i) relu(x_i(t)) η_i(t)``, where η is log-normal with mean 1 and standard
        deviation `process_noise`, independent between neurons and steps. Its mean of 1 is what keeps the teacher in
        the student's class: the expectation of the next rate, given all present ones, is exactly the model's step.
        Sensory neurons follow log-normal Ornstein-Uhlenbeck processes of mean 1.

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
        for step in range(burn_in + frames):
            x = np.maximum(matrix @ rates + self.bias, 0)
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
        for step, seen in enumerate(given[:-1]):
            rates = np.where(recorded, rates + state_forcing * (seen - rates), rates)
            rates = alpha * rates + (1 - alpha) * np.maximum(matrix @ rates + self.bias, 0)
            predicted[step] = rates
        return predicted

    def measure(self, rates: Float[np.ndarray, "T N"], noise: float) -> Float[np.ndarray, "T N"]:
        """Measure the rates: noise of `noise` times each neuron's standard deviation is added.

        The stimulus is known without noise. Values may fall below 0, as measurements do.
        """
        if noise < 0:
            raise ConfigError(f"observation noise = {noise} must be 0 or more")
        rng = np.random.default_rng((self.seed, _MEASUREMENT))
        return rates + measurement_noise(rates, np.where(self.sensory, 0.0, noise), rng)


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
