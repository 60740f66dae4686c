"""The hidden teacher of a surrogate brain: rate neurons with known parameters, slow shared input and private noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jaxtyping import Float, Int

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.errors import ConfigError, DataError, first_ten

_LARGEST_RATE = 1e6
"""Rates are of order 1; a unit that exceeds this has run away."""


@dataclass(frozen=True)
class TeacherConfig:
    """How a teacher is drawn and run; rates are in arbitrary units in which a bias is about 1.

    Parameters
    ----------
    weight_spread
        Standard deviation of the natural log of a connection's strength per synapse.
    input_scaling
        Strength per synapse falls with this power of the postsynaptic neuron's number of synapses.
        At 0, a few neurons with the most synapses are the whole dynamics; at 1, a weight is about
        a connection's share of its target's input, as in neurons that regulate their total input.
    spectral_radius
        Largest absolute eigenvalue that the signed weights may have, among all neurons and among those that are active
        under their bias alone (silent neurons do not inhibit); below 1 activity decays without input.
    time_constant_median_s, time_constant_spread, time_constant_bounds_s
        Median in seconds, standard deviation of the natural log, and bounds in seconds.
    bias_spread
        Standard deviation of the natural log of the biases, whose median is 1.
    sources, source_time_constants_s, source_strength
        Number of slow Ornstein-Uhlenbeck inputs shared between regions, the range of their time
        constants in seconds, and the median standard deviation of their sum in a neuron.
    regional_time_constant_s, regional_strength
        The same for one faster input per region: input from what is not recorded.
    private_time_constant_s, private_strength
        The same for the noise that each neuron has for itself.
    indicator_s
        Decay time of the calcium indicator in seconds; None records rates.
    observation_noise
        Standard deviation of the measurement noise as a fraction of each unit's own.
    substeps
        Simulation steps per frame.
    burn_in_s
        Seconds that are simulated and dropped before the first frame.
    """

    weight_spread: float = 0.4
    input_scaling: float = 1.0
    spectral_radius: float = 0.9
    time_constant_median_s: float = 1.0
    time_constant_spread: float = 0.7
    time_constant_bounds_s: tuple[float, float] = (0.3, 5.0)
    bias_spread: float = 0.5
    sources: int = 8
    source_time_constants_s: tuple[float, float] = (5.0, 30.0)
    source_strength: float = 0.15
    regional_time_constant_s: float = 1.0
    regional_strength: float = 0.3
    private_time_constant_s: float = 0.5
    private_strength: float = 1.0
    indicator_s: float | None = 1.0
    observation_noise: float = 0.05
    substeps: int = 4
    burn_in_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0 < self.spectral_radius < 1:
            raise ConfigError(
                f"spectral_radius = {self.spectral_radius} of a teacher must lie between 0 and 1; "
                "at 1 its activity can grow without bound"
            )
        if self.sources < 1 or self.substeps < 1:
            raise ConfigError(f"sources = {self.sources} and substeps = {self.substeps} must be at least 1")
        if not 0 < self.time_constant_bounds_s[0] < self.time_constant_bounds_s[1]:
            raise ConfigError(f"time_constant_bounds_s = {self.time_constant_bounds_s} must be 0 < low < high")


class Simulation(NamedTuple):
    """What one run of a teacher gave.

    Attributes
    ----------
    values
        [T, P] recorded units, ≥ 0.
    rates
        [T, N] rates of all neurons, or None if they were not asked for.
    sources
        [T, S] slow shared inputs.
    """

    values: Float[np.ndarray, "T P"]
    rates: Float[np.ndarray, "T N"] | None
    sources: Float[np.ndarray, "T S"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """True parameters of a surrogate brain, kept apart from its recordings.

    Parameters
    ----------
    config
        How it was drawn.
    weights
        [M] magnitudes, in the order of the connectome's connections.
    matrix
        [N, N] signed weights, [post, pre].
    time_constants
        [N] seconds.
    bias
        [N] background drive.
    source_loadings
        [N, S] standard deviation of each slow input in each neuron; negative where it inhibits.
    source_time_constants
        [S] seconds.
    region
        [N] position in `units` of each neuron's region; 0 where it has none.
    regional_gain
        [N] standard deviation, in each neuron, of its region's own input.
    units
        The P region names.
    readout
        [P, N] shares of neurons in units, rows sum to 1.
    """

    config: TeacherConfig
    weights: Float[np.ndarray, "M"]
    matrix: sp.csr_array
    time_constants: Float[np.ndarray, "N"]
    bias: Float[np.ndarray, "N"]
    source_loadings: Float[np.ndarray, "N S"]
    source_time_constants: Float[np.ndarray, "S"]
    region: Int[np.ndarray, "N"]
    regional_gain: Float[np.ndarray, "N"]
    units: tuple[str, ...]
    readout: sp.csr_array

    @classmethod
    def draw(cls, connectome: Connectome, config: TeacherConfig, rng: np.random.Generator) -> Teacher:
        """Draw parameters for a connectome; neurons without a region get private noise as their only varying input.

        Raises
        ------
        DataError
            If no neuron has a region, or nothing connects to the neurons of a region.
        """
        n = connectome.n
        units, presynapses = presynapses_by_region(connectome)
        total = np.asarray(presynapses.sum(axis=1), dtype=np.float64).ravel()
        if not total.all():
            unread = [unit for unit, synapses in zip(units, total, strict=True) if not synapses]
            raise DataError(f"connectome {connectome.name!r} has no synapses in the regions {first_ten(unread)}")
        readout = sp.csr_array(sp.diags_array(1 / total) @ presynapses)
        posts = connectome.posts
        received = np.bincount(posts, connectome.counts, n)
        per_synapse = rng.lognormal(0.0, config.weight_spread, connectome.m) * received[posts] ** -config.input_scaling
        weights = connectome.counts * per_synapse
        bias = rng.lognormal(0.0, config.bias_spread, n)
        weights *= _stable_scale(connectome.matrix(weights), bias, config.spectral_radius)
        low, high = config.time_constant_bounds_s
        fastest, slowest = np.log(config.source_time_constants_s)
        taus = np.clip(rng.lognormal(np.log(config.time_constant_median_s), config.time_constant_spread, n), low, high)

        position = {unit: k for k, unit in enumerate(units)}
        names = connectome.neurons["region"].fillna("").astype(str)
        located = names.isin(units).to_numpy()
        region = np.array([position.get(name, 0) for name in names], dtype=np.int64)
        # Each slow input reaches all regions to very different degrees, some with the opposite sign.
        regional = rng.standard_normal((len(units), config.sources)) * rng.gamma(1.0, 1.0, (len(units), config.sources))
        regional /= np.linalg.norm(regional, axis=1, keepdims=True)
        slow_gain = config.source_strength * rng.lognormal(0.0, 0.5, (n, 1))
        fast_gain = config.regional_strength * rng.lognormal(0.0, 0.5, n)
        return cls(
            config=config,
            weights=weights,
            matrix=connectome.matrix(weights),
            time_constants=taus,
            bias=bias,
            source_loadings=slow_gain * regional[region] * located[:, None],
            source_time_constants=np.exp(rng.uniform(fastest, slowest, config.sources)),
            region=region,
            regional_gain=fast_gain * located,
            units=units,
            readout=readout,
        )

    def simulate(
        self, frames: int, frame_rate: float, seed: int | tuple[int, ...], *, keep_rates: bool = False
    ) -> Simulation:
        """Run the teacher; the same arguments give the same numbers.

        Parameters
        ----------
        frames
            Number of frames T to record.
        frame_rate
            Frames per second.
        seed
            Seed of inputs, noise and measurement.
        keep_rates
            Keep the rates of all neurons at every frame.

        Raises
        ------
        ConfigError
            If activity grows without bound.
        """
        config = self.config
        rng = np.random.default_rng(seed)
        n, step_s = len(self.bias), 1 / (frame_rate * config.substeps)
        alpha = np.exp(-step_s / self.time_constants)
        follow = 1.0 if config.indicator_s is None else -np.expm1(-step_s / config.indicator_s)
        slow = _OrnsteinUhlenbeck(self.source_time_constants, step_s, rng)
        fast = _OrnsteinUhlenbeck(np.full(len(self.units), config.regional_time_constant_s), step_s, rng)
        private = _OrnsteinUhlenbeck(np.full(n, config.private_time_constant_s), step_s, rng)

        rates = self.bias.copy()
        seen = self.readout @ rates
        burn_in = int(np.ceil(config.burn_in_s * frame_rate))
        values, sources = np.empty((frames, len(self.units))), np.empty((frames, config.sources))
        kept = np.empty((frames, n)) if keep_rates else None
        for step in range((burn_in + frames) * config.substeps):
            x = self.matrix @ rates
            x += self.bias
            x += self.source_loadings @ slow.advance()
            x += self.regional_gain * fast.advance()[self.region]
            x += config.private_strength * private.advance()
            np.maximum(x, 0, out=x)
            rates += (1 - alpha) * (x - rates)
            seen += follow * (self.readout @ rates - seen)
            frame, substep = divmod(step + 1, config.substeps)
            if substep == 0 and frame > burn_in:
                values[frame - burn_in - 1], sources[frame - burn_in - 1] = seen, slow.state
                if kept is not None:
                    kept[frame - burn_in - 1] = rates
            if substep == 0 and not seen.max() < _LARGEST_RATE:
                raise ConfigError(
                    f"the teacher's activity grew without bound by frame {frame}; lower spectral_radius = "
                    f"{config.spectral_radius} or the strengths of its inputs"
                )
        noise = config.observation_noise * values.std(axis=0) * rng.standard_normal(values.shape)
        return Simulation(np.maximum(values + noise, 0), kept, sources)


class _OrnsteinUhlenbeck:
    """Independent stationary processes of unit variance with the time constants `tau` in seconds."""

    def __init__(self, tau: Float[np.ndarray, "k"], step_s: float, rng: np.random.Generator) -> None:
        self.keep = np.exp(-step_s / tau)
        self.kick = np.sqrt(1 - self.keep**2)
        self.rng = rng
        self.state = rng.standard_normal(len(tau))

    def advance(self) -> Float[np.ndarray, "k"]:
        self.state = self.keep * self.state + self.kick * self.rng.standard_normal(len(self.state))
        return self.state


def _stable_scale(matrix: sp.csr_array, bias: Float[np.ndarray, "N"], target: float) -> float:
    """Factor that brings the larger radius of the whole and of the active network to `target`."""
    scale = target / _spectral_radius(matrix)
    for _ in range(20):
        rates = bias.copy()
        for _ in range(300):
            rates += 0.5 * (np.maximum(scale * (matrix @ rates) + bias, 0) - rates)
        active = np.flatnonzero(rates > 1e-9 * rates.max())
        radius = scale * _spectral_radius(sp.csr_array(matrix[active][:, active]))
        if radius <= target * (1 + 1e-6):
            break
        scale *= target / radius
    return scale


def _spectral_radius(matrix: sp.csr_array) -> float:
    """Largest absolute eigenvalue, rounded so that it does not depend on the order in which a machine sums."""
    start = np.random.default_rng(0).standard_normal(len(matrix.indptr) - 1)
    values = spla.eigs(matrix, k=4, which="LM", v0=start, return_eigenvectors=False)
    return float(f"{np.abs(values).max():.7g}")
