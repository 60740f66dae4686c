"""What the teachers of surrogate brains have in common: how parameters and inputs are drawn, and how noise goes on.

A teacher is a rate model with known parameters. The demo's and the fly's are driven by slow inputs that regions share,
by one input for each region and by noise of each neuron's own, and are recorded through a read-out of regions; that of
recovery experiments is driven by a known stimulus and recorded neuron by neuron. Each steps in its own precision: the
demo's and the known teacher's in double, the fly's in single, in which all animals share a pass over the connections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jaxtyping import Float, Int

from connfit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """How a teacher of a whole brain is drawn, driven and recorded.

    Parameters
    ----------
    weight_spread
        Standard deviation of the natural log of a connection's weight per synapse.
    spectral_radius
        Largest absolute eigenvalue of the signed weights; below 1 activity decays without input.
    time_constant_median_s, time_constant_spread, time_constant_bounds_s
        Median in seconds, standard deviation of the natural log, and bounds in seconds.
    sources, source_time_constants_s, source_strength
        Number of slow Ornstein-Uhlenbeck inputs shared between regions, the range of their time constants in
        seconds, and the median standard deviation of their sum in a neuron.
    regional_time_constant_s, regional_strength
        The same for one faster input per region: what a model that sees the other regions cannot know.
    private_strength
        Standard deviation of the noise that each neuron has for itself.
    indicator_s
        Decay time of the calcium indicator in seconds; None records rates.
    observation_noise
        Standard deviation of the measurement noise as a fraction of each unit's own.
    substeps
        Simulation steps per frame.
    burn_in_s
        Seconds that are simulated and dropped before the first frame.
    """

    weight_spread: float
    spectral_radius: float
    time_constant_median_s: float = 1.0
    time_constant_spread: float = 0.7
    time_constant_bounds_s: tuple[float, float] = (0.3, 5.0)
    sources: int = 8
    source_time_constants_s: tuple[float, float] = (5.0, 30.0)
    source_strength: float
    regional_time_constant_s: float = 1.0
    regional_strength: float
    private_strength: float
    indicator_s: float | None = 1.0
    observation_noise: float
    substeps: int
    burn_in_s: float = 120.0

    def __post_init__(self) -> None:
        check_radius(self.spectral_radius)
        if self.sources < 1 or self.substeps < 1:
            raise ConfigError(f"sources = {self.sources} and substeps = {self.substeps} must be at least 1")
        self.check_range("time_constant_bounds_s")

    def check_range(self, name: str) -> None:
        """Raise an error for a range whose ends are not positive and ascending."""
        low, high = getattr(self, name)
        if not 0 < low < high:
            raise ConfigError(f"{name} = {(low, high)} must be 0 < low < high")

    def check_bounded(self, largest: float, limit: float, frame: int) -> None:
        """Raise an error if activity has grown beyond what a stable network can have."""
        if not largest < limit:
            raise ConfigError(
                f"the teacher's activity grew without bound by frame {frame}; lower spectral_radius = "
                f"{self.spectral_radius} or the strengths of its inputs"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Teacher:
    """True parameters of a whole brain, kept apart from what a fit sees.

    Parameters
    ----------
    config
        How it was drawn.
    weights
        [M] magnitudes, in the order of the connectome's connections.
    time_constants
        [N] seconds.
    bias
        [N] background drive.
    source_loadings
        [N, S] standard deviation of each slow input in each neuron; negative where it inhibits.
    source_time_constants
        [S] seconds.
    region
        [N] position in `units` of each neuron's region; any where its gains are 0.
    regional_gain
        [N] standard deviation, in each neuron, of its region's own input.
    units
        The P region names.
    readout
        [P, N] shares of the neurons' output synapses in each region, rows sum to 1.
    """

    config: TeacherConfig
    weights: Float[np.ndarray, "M"]
    time_constants: Float[np.ndarray, "N"]
    bias: Float[np.ndarray, "N"]
    source_loadings: Float[np.ndarray, "N S"]
    source_time_constants: Float[np.ndarray, "S"]
    region: Int[np.ndarray, "N"]
    regional_gain: Float[np.ndarray, "N"]
    units: tuple[str, ...]
    readout: sp.csr_array


@dataclass(frozen=True, eq=False)
class Inputs:
    """Time constants and varying inputs of N neurons, named as in `Teacher`."""

    time_constants: Float[np.ndarray, "N"]
    source_loadings: Float[np.ndarray, "N S"]
    source_time_constants: Float[np.ndarray, "S"]
    regional_gain: Float[np.ndarray, "N"]

    @classmethod
    def draw(cls, config: TeacherConfig, region: Int[np.ndarray, "N"], units: int, rng: np.random.Generator) -> Inputs:
        """Draw them; a neuron whose region is -1 has no input but private noise."""
        n, located = len(region), region >= 0
        low, high = config.time_constant_bounds_s
        taus = np.clip(rng.lognormal(np.log(config.time_constant_median_s), config.time_constant_spread, n), low, high)
        # Each slow input reaches all regions to very different degrees, some with the opposite sign.
        shape = (units, config.sources)
        mixture = rng.standard_normal(shape) * rng.gamma(1.0, 1.0, shape)
        mixture /= np.linalg.norm(mixture, axis=1, keepdims=True)
        slow = config.source_strength * rng.lognormal(0.0, 0.5, n) * located
        fast = config.regional_strength * rng.lognormal(0.0, 0.5, n) * located
        fastest, slowest = np.log(config.source_time_constants_s)
        sources = np.exp(rng.uniform(fastest, slowest, config.sources))
        return cls(taus, slow[:, None] * mixture[region], sources, fast)


class OrnsteinUhlenbeck:
    """Independent stationary processes of unit variance.

    Parameters
    ----------
    tau, step
        Time constants and the length of a step, in one unit.
    noise
        Draws standard normal numbers in the shape of the state, of which `tau` is broadcast.
    """

    def __init__(
        self, tau: float | Float[np.ndarray, "..."], step: float, noise: Callable[[], Float[np.ndarray, "..."]]
    ) -> None:
        self.keep = np.exp(-step / tau)
        self.kick = np.sqrt(1 - self.keep**2)
        self.noise = noise
        self.state = noise()

    def advance(self) -> Float[np.ndarray, "..."]:
        """Advance by one step and return the state."""
        self.state = self.keep * self.state + self.kick * self.noise()
        return self.state


def measurement_noise(
    values: Float[np.ndarray, "T P"], fraction: float | Float[np.ndarray, "P"], rng: np.random.Generator
) -> Float[np.ndarray, "T P"]:
    """Draw white noise whose standard deviation is a fraction of each unit's own."""
    return fraction * values.std(axis=0) * rng.standard_normal(values.shape)


def spectral_radius(matrix: sp.csr_array, *, digits: int | None = None, tol: float = 0.0) -> float:
    """Compute the largest absolute eigenvalue.

    Parameters
    ----------
    digits
        Significant digits to round to, so that it does not depend on the order in which a machine sums.
    tol
        Relative accuracy of the eigenvalue; 0: that of the machine.
    """
    start = np.random.default_rng(0).standard_normal(len(matrix.indptr) - 1)
    values = spla.eigs(matrix, k=4, which="LM", v0=start, return_eigenvectors=False, tol=tol)  # pyright: ignore[reportArgumentType]
    radius = np.abs(values).max()
    return float(radius if digits is None else f"{radius:.{digits}g}")


def check_radius(radius: float) -> None:
    """Raise an error for a spectral radius at which activity can grow."""
    if not 0 < radius < 1:
        raise ConfigError(
            f"spectral_radius = {radius} of a teacher must lie between 0 and 1; "
            "at 1 its activity can grow without bound"
        )
