"""The hidden teacher of a surrogate brain: rate neurons with known parameters, slow shared input and private noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.datasets.synthetic.teacher import (
    Inputs,
    OrnsteinUhlenbeck,
    Teacher,
    TeacherConfig,
    measurement_noise,
    spectral_radius,
)
from connfit.errors import DataError, first_ten

_LARGEST_RATE = 1e6
"""Rates are of order 1; a unit that exceeds this has run away."""


@dataclass(frozen=True, kw_only=True)
class DemoTeacherConfig(TeacherConfig):
    """How a teacher is drawn and run; rates are in arbitrary units in which a bias is about 1.

    The spectral radius is that among all neurons and among those that are active under their bias alone, whichever is
    larger (silent neurons do not inhibit).

    Parameters
    ----------
    input_scaling
        Weight per synapse falls with this power of the postsynaptic neuron's number of synapses.
        At 0, a few neurons with the most synapses are the whole dynamics; at 1, a weight is about
        a connection's share of its target's input, as in neurons that regulate their total input.
    bias_spread
        Standard deviation of the natural log of the biases, whose median is 1.
    private_time_constant_s
        Time constant of private noise in seconds.
    """

    weight_spread: float = 0.4
    input_scaling: float = 1.0
    spectral_radius: float = 0.9
    bias_spread: float = 0.5
    source_strength: float = 0.15
    regional_strength: float = 0.3
    private_time_constant_s: float = 0.5
    private_strength: float = 1.0
    observation_noise: float = 0.05
    substeps: int = 4


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


@dataclass(frozen=True, eq=False, kw_only=True)
class DemoTeacher(Teacher):
    """True parameters of a surrogate brain, kept apart from its recordings.

    Parameters
    ----------
    matrix
        [N, N] signed weights, [post, pre].
    """

    config: DemoTeacherConfig
    matrix: sp.csr_array

    @classmethod
    def draw(cls, connectome: Connectome, config: DemoTeacherConfig, rng: np.random.Generator) -> DemoTeacher:
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

        names = pd.Index(connectome.neurons["region"].fillna("").astype(str))
        region = pd.Index(units).get_indexer(names)
        inputs = Inputs.draw(config, region, len(units), rng)
        return cls(
            config=config,
            weights=weights,
            matrix=connectome.matrix(weights),
            time_constants=inputs.time_constants,
            bias=bias,
            source_loadings=inputs.source_loadings,
            source_time_constants=inputs.source_time_constants,
            region=np.maximum(region, 0),
            regional_gain=inputs.regional_gain,
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
        slow, fast, private = (
            OrnsteinUhlenbeck(tau, step_s, partial(rng.standard_normal, size))
            for tau, size in (
                (self.source_time_constants, config.sources),
                (config.regional_time_constant_s, len(self.units)),
                (config.private_time_constant_s, n),
            )
        )

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
            if substep == 0:
                config.check_bounded(seen.max(), _LARGEST_RATE, frame)
        noise = measurement_noise(values, config.observation_noise, rng)
        return Simulation(np.maximum(values + noise, 0), kept, sources)


def _stable_scale(matrix: sp.csr_array, bias: Float[np.ndarray, "N"], target: float) -> float:
    """Factor that brings the larger radius of the whole and of the active network to `target`."""
    scale = target / spectral_radius(matrix, digits=7)
    for _ in range(20):
        rates = bias.copy()
        for _ in range(300):
            rates += 0.5 * (np.maximum(scale * (matrix @ rates) + bias, 0) - rates)
        active = np.flatnonzero(rates > 1e-9 * rates.max())
        radius = scale * spectral_radius(sp.csr_array(matrix[active][:, active]), digits=7)
        if radius <= target * (1 + 1e-6):
            break
        scale *= target / radius
    return scale
