"""How much of a unit's change from frame to frame is noise that is independent from frame to frame.

No forecaster of recorded values can have a mean squared error below the variance of such noise, however
much it knows: the noise of a frame is in no frame before it. That limits skill over persistence.

How much of it there is, cannot be read off without an assumption about the signal. Here a unit is a signal plus
white noise, and the autocovariance of the signal is a sum of two terms from a fixed set, each with a share
between 0 and 1: exponentials (first-order autoregressions) and (1 + lag/τ) exp(-lag/τ) (the same seen through an
indicator of that time constant), with τ of 1 to 1,000 frames. What fades within less than a frame counts as noise.
Shares and time constants are those of greatest Whittle likelihood of the changes from frame to frame; the interval is
that of the profile likelihood. Changes, because skill is over persistence and recordings drift.

Sources: Whittle (1953) Ark. Mat. 2:423; expected periodograms of short series in its place, Sykulski, Olhede,
Guillaumin, Lilly & Early (2019) Biometrika 106:251; missing values, Guillaumin, Sykulski, Olhede & Simons (2022) J. R.
Stat. Soc. B 84:1526. The share at lag 0 that signal does not explain is the nugget of geostatistics: Cressie (1993)
Statistics for Spatial Data, 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.preprocess import STEPS

MIN_CHANGES = 60
"""Observed changes from one frame to the next below which nothing is estimated for a unit."""

MOST_CHANGES = 2**13
"""Changes that are looked at: more say nothing new."""

EXPONENTIAL = (1.0, 1.4, 2.0, 3.0, 4.5, 7.0, 12.0, 20.0, 50.0, 200.0, 1000.0)
INDICATOR = (1.0, 1.6, 2.5, 4.0, 8.0, 16.0, 50.0)
"""Time constants of the signal in frames, without and with an indicator."""

WEIGHTS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Shares of the second of two terms in the changes of the signal."""

SHARES = np.linspace(0.0, 1.0, 26)
"""Shares of noise in the mean square of changes that are tried."""


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """Share of white noise in the mean square of each unit's change from frame to frame.

    Parameters
    ----------
    share, low, high
        [P] estimate and ends of the interval, from 0 to 1; NaN where nothing is estimated.
    changes
        [P] number of observed changes.
    mean_square
        [P] mean square of the change from one frame to the next, in squared units of the values. Noise of variance
        σ² adds 2σ² to it.
    """

    share: Float[np.ndarray, "P"]
    low: Float[np.ndarray, "P"]
    high: Float[np.ndarray, "P"]
    changes: np.ndarray
    mean_square: Float[np.ndarray, "P"]

    @property
    def variance(self) -> Float[np.ndarray, "3 P"]:
        """Estimate and ends of the interval of the noise's variance, in squared units of the values."""
        return np.stack([self.share, self.low, self.high]) * self.mean_square / 2


def noise_floor(values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], *, level: float = 0.95) -> NoiseFloor:
    """Estimate the share of white noise of every unit; see the module for what that assumes.

    Parameters
    ----------
    values, mask
        Recorded values, and where they were observed. Only changes between neighbouring frames that were both
        observed are used, of the first `MOST_CHANGES` + 1 frames; nothing is filled in.
    level
        Of the interval: where twice the drop of the profile log likelihood stays below the quantile of χ²(1).
    """
    values, mask = values[: MOST_CHANGES + 1], mask[: MOST_CHANGES + 1]
    seen = mask[1:] & mask[:-1]
    x = np.where(mask, values, 0.0).astype(np.float64)
    changes = np.where(seen, x[1:] - x[:-1], 0.0)
    count = seen.sum(axis=0)
    mean_square = (changes**2).sum(axis=0) / np.maximum(count, 1)
    size = np.abs(x).max(axis=0, initial=0.0)
    usable = (count >= MIN_CHANGES) & (mean_square > (1e-10 * size) ** 2) & (mean_square > 0)
    found = np.full((3, x.shape[1]), np.nan)
    drop = stats.chi2.ppf(level, 1) / 2
    groups: dict[bytes, list[int]] = {}
    for k in np.flatnonzero(usable):
        groups.setdefault(seen[:, k].tobytes(), []).append(int(k))
    for members in groups.values():
        profile = _profile(changes[:, members] / np.sqrt(mean_square[members]), seen[:, members[0]])
        inside = profile >= profile.max(axis=0) - drop
        step = SHARES[1] - SHARES[0]
        first, last = np.argmax(inside, axis=0), len(SHARES) - 1 - np.argmax(inside[::-1], axis=0)
        found[0, members] = SHARES[np.argmax(profile, axis=0)]
        # An end of the interval lies between two shares that were tried: the outer one is sure to hold it.
        found[1, members] = np.maximum(SHARES[first] - step, 0.0)
        found[2, members] = np.minimum(SHARES[last] + step, 1.0)
    return NoiseFloor(found[0], found[1], found[2], count, mean_square)


def coloured_by(steps: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first preprocessing step after which noise is not white in time; None if there is none."""
    for record in steps:
        name = str(record.get("step", ""))
        # Whether it does may follow from its options, which the record then says.
        if name in STEPS and record.get("colours_noise", STEPS[name].colours_noise):
            return name
    return None


def _profile(changes: Float[np.ndarray, "n p"], seen: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "S p"]:
    """Greatest log likelihood for each share of noise, over all signals, for units that were observed alike."""
    n, frames = int(seen.sum()), len(seen)
    spectrum = (np.abs(np.fft.rfft(changes, axis=0)) ** 2 / n)[1:]
    # How many pairs of frames at each lag were both observed, over n: what the periodogram expects of a covariance.
    pairs = np.fft.irfft(np.abs(np.fft.rfft(seen.astype(float), 2 * frames)) ** 2)[:frames].round() / n
    covariances, noise = _covariances(frames)
    expected = _expected_periodogram(np.concatenate([covariances, noise[None]]) * pairs, frames)
    signals, white = expected[:-1], expected[-1]
    first, second, weight = _mixtures()
    half = np.ones(len(spectrum))
    if frames % 2 == 0:
        half[-1] = 0.5
    best = np.full((len(SHARES), changes.shape[1]), -np.inf)
    for some in frame_blocks(0, len(weight), len(half)):
        part = weight[some, None]
        mixed = (1 - part) * signals[first[some]] + part * signals[second[some]]
        for at, share in enumerate(SHARES):
            shape = np.maximum((1 - share) * mixed + share * white, 1e-12)
            scale = (half / shape) @ spectrum / half.sum()
            likelihood = -half.sum() * np.log(np.maximum(scale, 1e-300)) - (np.log(shape) @ half)[:, None]
            best[at] = np.maximum(best[at], likelihood.max(axis=0))
    return best


@lru_cache(maxsize=4)
def _covariances(frames: int) -> tuple[Float[np.ndarray, "K n"], Float[np.ndarray, "n"]]:
    """Autocovariance at lags 0 ... n - 1 of the changes of each signal, and of those of noise, each 1 at lag 0."""
    lags = np.abs(np.arange(-1, frames + 1))[None, :]
    plain, seen = (lags / np.array(each)[:, None] for each in (EXPONENTIAL, INDICATOR))
    level = np.concatenate([np.exp(-plain), (1 + seen) * np.exp(-seen)])
    change = 2 * level[:, 1:-1] - level[:, :-2] - level[:, 2:]
    noise = np.zeros(frames)
    noise[:2] = 1.0, -0.5
    return change / change[:, :1], noise


def _expected_periodogram(covariance: Float[np.ndarray, "K n"], frames: int) -> Float[np.ndarray, "K F"]:
    """Periodogram at the Fourier frequencies but 0 that covariances, times the share of pairs, lead to."""
    folded = covariance.copy()
    folded[:, 1:] += covariance[:, :0:-1]
    return np.fft.rfft(folded, axis=1).real[:, 1:]


@lru_cache(maxsize=1)
def _mixtures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of terms, at least one of them without an indicator, and the share of the second."""
    plain, terms = len(EXPONENTIAL), len(EXPONENTIAL) + len(INDICATOR)
    made = [(k, k, 0.0) for k in range(terms)]
    made += [(i, j, w) for i in range(plain) for j in range(i + 1, terms) for w in WEIGHTS]
    first, second, weight = zip(*made, strict=True)
    return np.array(first), np.array(second), np.array(weight)
