"""Whether a signal is more than linear and Gaussian: growth of its noise against phase-randomised surrogates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError


@dataclass(frozen=True)
class NoiseGrowth(Result):
    """Test of the hypothesis that a signal is linear and Gaussian.

    Parameters
    ----------
    p
        Share of surrogates, the signal among them, with as large a correlation or a larger one.
    correlation
        Of squared one-step errors with the level before them: above 0 where noise grows with activity.
    reason
        Why there was no test, where both are None.
    """

    p: float | None = None
    correlation: float | None = None
    reason: str | None = None


def noise_growth(courses: Sequence[Shaped[np.ndarray, "t"]], *, surrogates: int = 199, seed: int = 0) -> NoiseGrowth:
    """Test whether noise grows with activity, as that of a branching process does and of a linear process does not.

    Any linear Gaussian process with the same spectrum is as good a candidate as these surrogates, so that a threshold
    on it gives avalanches like those of the signal; but the variance of its errors is the same at every level.

    Parameters
    ----------
    courses
        Activity of the population in each recording, without gaps. Each has its own mean and scale.
    surrogates
        Signals with the same spectrum and random phases.
    seed
        Of the phases.

    Raises
    ------
    DataError
        If a recording has gaps, fewer than 20 frames, or does not vary.

    References
    ----------
    Theiler, Eubank, Longtin, Galdrikian & Farmer (1992) Physica D 58:77, doi 10.1016/0167-2789(92)90102-S.
    """
    if surrogates < 1:
        raise ConfigError(f"surrogates is {surrogates}, but must be 1 or more")
    rng, products = np.random.default_rng(seed), np.zeros((3, surrogates + 1))
    for course in courses:
        x = np.asarray(course, np.float64)
        if len(x) < 20 or not np.isfinite(x).all() or np.ptp(x) <= 1e-12 * max(np.abs(x).max(), 1e-300):
            raise DataError("a spectrum needs 20 frames or more without gaps, and activity that varies")
        x = (x - x.mean()) / x.std()
        spectrum = np.tile(np.fft.rfft(x), (surrogates + 1, 1))
        free = slice(1, (len(x) + 1) // 2)
        spectrum[1:, free] *= np.exp(2j * np.pi * rng.random((surrogates, spectrum[:, free].shape[1])))
        products += _products(np.fft.irfft(spectrum, n=len(x), axis=1))
    found = products[0] / np.sqrt(np.maximum(products[1] * products[2], 1e-300))
    return NoiseGrowth(float((found >= found[0]).mean()), float(found[0]))


def _products(x: Float[np.ndarray, "S T"]) -> Float[np.ndarray, "3 S"]:
    """Sums of products of squared one-step errors with levels, and of their squares."""
    before = x[:, :-1] - x[:, :-1].mean(axis=1, keepdims=True)
    later = x[:, 1:] - x[:, 1:].mean(axis=1, keepdims=True)
    slope = (before * later).sum(axis=1) / (before**2).sum(axis=1)
    squares = (later - slope[:, None] * before) ** 2
    squares = squares - squares.mean(axis=1, keepdims=True)
    return np.stack([(squares * before).sum(axis=1), (squares**2).sum(axis=1), (before**2).sum(axis=1)])
