"""How free-running activity moves, beside the data: power spectrum and autocorrelation.

A free run is not to follow the data in time, but what it does should have the data's rhythm and memory. Both
are of the same frames, so that what their number does to an estimate, it does to both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.signal import welch

from connfit.evaluation.metrics import CONSTANT, Measured, with_measures
from connfit.evaluation.pooling import Result, mean, nested, total

MIN_SPECTRUM_FRAMES = 48
"""Consecutive observed frames without which there is no spectrum to speak of."""

LONGEST_SEGMENT = 128
"""Frames per segment of a spectrum, at most; at most a third of the frames, so that at least five are averaged."""

MAX_LAG = 30
"""Frames up to which autocorrelations are compared; at most a third of the frames."""

BLOCK_UNITS = 64
"""Units that are followed at once, so that their frames stay in the cache for all lags and segments."""


@dataclass(frozen=True)
class Spectrum(Result):
    """Power spectrum of free runs against that of the data.

    Parameters
    ----------
    log_spectral_distance_db
        Root mean square over frequencies above 0 of 10 log10 of the ratio of the two spectra (Gray & Markel 1976, IEEE
        Trans. Acoust. 24:380).
    slope, slope_data
        Of log power against log frequency, of the free runs and of the data.
    units
        Units that vary.
    """

    log_spectral_distance_db: float | None = mean()
    slope: float | None = mean()
    slope_data: float | None = mean()
    units: int = total()


@dataclass(frozen=True)
class Autocorrelation(Result):
    """Autocorrelation of free runs against that of the data.

    Parameters
    ----------
    rms_difference
        Root mean square over lags 1 to `lags` frames.
    timescale_frames, timescale_data_frames
        Lag at which the autocorrelation falls to 1/e, interpolated, of the free runs and of the data.
    timescale_ratio
        The first over the second.
    """

    rms_difference: float | None = mean()
    timescale_frames: float | None = mean()
    timescale_data_frames: float | None = mean()
    timescale_ratio: float | None = mean()
    lags: int | float | None = mean()


@dataclass(frozen=True)
class Dynamics(Result):
    """How activity moves beside the data."""

    spectrum: Spectrum = nested(Spectrum)
    autocorrelation: Autocorrelation = nested(Autocorrelation)


def dynamics(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], runs: Iterable[Float[np.ndarray, "t P"]]
) -> Dynamics:
    """Score how free runs move, by `spectrum_scores` and `autocorrelation_scores`."""
    return Dynamics(spectrum_scores(values, mask, runs), autocorrelation_scores(values, mask, runs))


def no_dynamics(reason: str) -> Dynamics:
    """Return what stands in the place of scores that are not defined."""
    return Dynamics(_no_spectrum(reason), _no_autocorrelation(reason))


def spectrum_scores(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], runs: Iterable[Float[np.ndarray, "t P"]]
) -> Spectrum:
    """Score the power spectrum of free runs against that of the data.

    Welch (1967) IEEE Trans. Audio Electroacoust. 15:70: Hann windows that overlap by half, means removed. Each
    unit's spectrum is divided by the variance of its data, and averaged over units, for the runs also over runs.

    Parameters
    ----------
    values, mask
        Data of the frames that run freely. Used is the longest stretch in which all units are observed, those left
        out that never are.
    runs
        The free runs, finite.
    """
    shown = mask.any(axis=0)
    first, stop = _longest(np.asarray(mask[:, shown].all(axis=1)) & shown.any())
    scale, varies = _spread(np.where(mask, values, 0.0)[first:stop])
    if stop - first < MIN_SPECTRUM_FRAMES or not varies.any():
        reason = (
            f"{stop - first} consecutive frames are observed in all units, {MIN_SPECTRUM_FRAMES} are needed"
            if stop - first < MIN_SPECTRUM_FRAMES
            else "the data do not vary"
        )
        return _no_spectrum(reason)
    segment = min(LONGEST_SEGMENT, (stop - first) // 3)
    frequency, power = _mean_spectrum(values[first:stop, varies], scale[varies], segment)
    simulated = np.mean([_mean_spectrum(run[first:stop][:, varies], scale[varies], segment)[1] for run in runs], axis=0)
    if simulated.min() <= CONSTANT * power.min() or not np.isfinite(simulated).all():
        nothing = _no_spectrum("the free run does not move, or without bound")
        return replace(nothing, slope_data=_slope(frequency, power), units=int(varies.sum()))
    distance = 10 * np.log10(simulated / power)
    return Spectrum(
        log_spectral_distance_db=float(np.sqrt(np.mean(distance**2))),
        slope=_slope(frequency, simulated),
        slope_data=_slope(frequency, power),
        units=int(varies.sum()),
    )


def _mean_spectrum(
    values: Float[np.ndarray, "t P"], scale: Float[np.ndarray, "P"], segment: int
) -> tuple[Float[np.ndarray, "f"], Float[np.ndarray, "f"]]:
    """Frequencies above 0, and the power there of units over their scale, averaged over units."""
    frequency, total = np.zeros(segment // 2 + 1), np.zeros(segment // 2 + 1)
    for first in range(0, values.shape[1], BLOCK_UNITS):
        block = slice(first, first + BLOCK_UNITS)
        units = np.ascontiguousarray((values[:, block] / scale[block]).T, np.float64)
        frequency, power = welch(units, nperseg=segment, axis=1)
        total += power.sum(axis=0)
    return frequency[1:], total[1:] / values.shape[1]


def _no_spectrum(reason: str) -> Spectrum:
    return Spectrum(reasons=dict.fromkeys(("log_spectral_distance_db", "slope", "slope_data"), reason))


def autocorrelation_scores(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], runs: Iterable[Float[np.ndarray, "t P"]]
) -> Autocorrelation:
    """Score the autocorrelation of free runs against that of the data, mean over units, and for the runs over runs."""
    lags = min(MAX_LAG, len(values) // 3)
    if lags < 1:
        return _no_autocorrelation(f"{len(values)} frames are too few")
    data = mean_autocorrelation(values, mask, lags)
    if not np.isfinite(data).all():
        return _no_autocorrelation("the data do not vary, or too few frames are observed")
    moving = [run for run in (mean_autocorrelation(run, mask, lags) for run in runs) if np.isfinite(run).all()]
    if not moving:
        return _no_autocorrelation("the free run does not vary")
    free = np.mean(moving, axis=0)
    ours, theirs = _timescale(free), _timescale(data)
    late = f"the autocorrelation stays above 1/e for {lags} frames"
    ratio = ours / theirs if ours and theirs else None
    return with_measures(
        Autocorrelation(lags=lags),
        rms_difference=float(np.sqrt(np.mean((free - data)[1:] ** 2))),
        timescale_frames=Measured(ours, 1, reason=None if ours else f"{late} in the free run"),
        timescale_data_frames=Measured(theirs, 1, reason=None if theirs else f"{late} in the data"),
        timescale_ratio=Measured(ratio, 1, reason=None if ratio else late),
    )


def _no_autocorrelation(reason: str) -> Autocorrelation:
    names = ("rms_difference", "timescale_frames", "timescale_data_frames", "timescale_ratio")
    return Autocorrelation(lags=0, reasons=dict.fromkeys(names, reason))


def mean_autocorrelation(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], lags: int
) -> Float[np.ndarray, "lags1"]:
    """Average the autocorrelation at lags 0 to `lags` over the units that vary, without pairs with a missing frame.

    The covariance at a lag is the sum over pairs divided by their number, over the variance of all frames: no taper
    towards long lags. NaN where no unit varies or no pair is observed.
    """
    total, units = np.zeros(lags + 1), np.zeros(lags + 1, int)
    for first in range(0, values.shape[1], BLOCK_UNITS):
        block = slice(first, first + BLOCK_UNITS)
        of_block, counted = _autocorrelations(values[:, block], mask[:, block], lags)
        total += of_block
        units += counted
    return np.where(units > 0, total / np.maximum(units, 1), np.nan)


def _autocorrelations(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"], lags: int
) -> tuple[Float[np.ndarray, "lags1"], Int[np.ndarray, "lags1"]]:
    """Sum the autocorrelation at each lag over the units that have one, and count these."""
    seen = np.ascontiguousarray((mask & np.isfinite(values)).T)
    shown = np.where(seen, values.T, 0.0).astype(np.float64)
    count = np.maximum(seen.sum(axis=1), 1)
    x = np.where(seen, shown - (shown.sum(axis=1) / count)[:, None], 0.0)
    variance = np.einsum("pt,pt->p", x, x) / count
    varies = np.sqrt(variance) > CONSTANT * np.maximum(np.abs(shown).max(axis=1, initial=0.0), 1)
    x, seen, variance = x[varies], seen[varies], variance[varies]
    observed, frames = (None if seen.all() else seen.astype(np.float64)), x.shape[1]
    total, units = np.zeros(lags + 1), np.zeros(lags + 1, int)
    for lag in range(lags + 1):
        early, late = slice(0, frames - lag), slice(lag, frames)
        if observed is None:
            pairs = np.full(len(x), float(frames - lag))
        else:
            pairs = np.einsum("pt,pt->p", observed[:, early], observed[:, late])
        each = np.einsum("pt,pt->p", x[:, early], x[:, late]) / np.maximum(pairs, 1) / variance
        total[lag], units[lag] = each[pairs > 0].sum(), (pairs > 0).sum()
    return total, units


def _timescale(autocorrelation: Float[np.ndarray, "lags1"]) -> float | None:
    """Lag at which it falls to 1/e, interpolated between frames; None if it does not."""
    below = np.flatnonzero(autocorrelation <= np.exp(-1))
    if not len(below):
        return None
    after = int(below[0])
    high, low = autocorrelation[after - 1], autocorrelation[after]
    return float(after - 1 + (high - np.exp(-1)) / (high - low))


def _slope(frequency: np.ndarray, power: np.ndarray) -> float:
    return float(np.polyfit(np.log10(frequency), np.log10(power), 1)[0])


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, and which units vary."""
    if not len(values):
        return np.ones(values.shape[1]), np.zeros(values.shape[1], bool)
    std = values.astype(np.float64).std(axis=0)
    varies = std > CONSTANT * np.maximum(np.abs(values).max(axis=0), 1e-300)
    return np.where(varies, std, 1.0), varies


def _longest(observed: Bool[np.ndarray, "t"]) -> tuple[int, int]:
    """First frame of the longest stretch of observed frames, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], observed.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    best = int(np.argmax(stops - starts))
    return int(starts[best]), int(stops[best])
