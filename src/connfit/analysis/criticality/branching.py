"""The branching ratio by multistep regression, which does not change under subsampling (Wilting & Priesemann 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
import scipy.special
from jaxtyping import Bool, Float, Shaped

from connfit.analysis.criticality.branching_simulation import residual_noise, simulate
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError

LOWEST, HIGHEST = 0.01, 1.2
"""Range of branching ratios that is searched. Above 1 activity grows without end, as it can for a short while."""

GRID = 9
"""Branching ratios that are simulated for an interval."""

BLOCK = 2**22
"""Entries of simulations held at a time."""


@dataclass(frozen=True)
class Branching(Result):
    """Branching ratio of a population's activity.

    Parameters
    ----------
    m
        Branching ratio per frame: below 1 activity dies out, at 1 it is critical. None where no lag has a slope
        distinguishable from 0, as for independent events: then m is not defined.
    interval
        95 %, by inversion of a test: all ratios up to 1 under which the estimate is not among the lowest or highest
        2.5 % of those from simulations (see `branching_ratio`). None without simulations, and where m is above 1 and
        too high for any ratio up to 1.
    time_constant
        -1 / ln m, in seconds if a frame rate was given, else in frames; None for m from 1 on.
    amplitude
        b of slopes r(k) = b · m^k (+ offset). Below 1 under subsampling; above it, something else adds variance.
    offset
        Constant part of the slopes; 0, for none is fitted.
    r_squared
        Share of the slopes' variance over lags that the exponential explains.
    conventional
        The slope at lag 1 alone, which papers report and which subsampling biases towards 0.
    lags, slopes
        k in frames, and slopes r(k) of regressions of activity on activity k frames before.
    frames
        Observed frames.
    repeats
        Simulations at each ratio that was tried for the interval.
    reason
        What has to be said about m; None where nothing has to.
    """

    m: float | None = None
    interval: tuple[float, float] | None = None
    time_constant: float | None = None
    amplitude: float | None = None
    offset: float = 0.0
    r_squared: float | None = None
    conventional: float | None = None
    lags: tuple[int, ...] = ()
    slopes: tuple[float, ...] = ()
    frames: int = 0
    repeats: int = 0
    reason: str | None = None


def branching_ratio(
    activity: Shaped[np.ndarray, "T"],
    *,
    max_lag: int | None = None,
    frame_rate_hz: float | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Branching:
    """Estimate the branching ratio from slopes of activity on activity 1, 2, ... frames before.

    In a branching process with drive, slopes fall as b · m^k. Observing few of many units lowers b, not m.

    Parameters
    ----------
    activity
        Events, or any signal that is proportional to activity, of the whole population per frame; NaN where it was
        not observed. It should be stationary: slow drifts look like m near 1.
    max_lag
        Largest lag in frames; None for a tenth of the frames, at most 150. Should be a few time constants long.
    frame_rate_hz
        To have the time constant in seconds.
    repeats, seed
        Simulations at each of the ratios that are tried for the interval; 0 for none.

    Raises
    ------
    DataError
        If there are too few frames, or activity does not vary.

    Notes
    -----
    For the interval, series with the same length, gaps, noise and first frame are simulated for several m around the
    estimate, and each is estimated in the same way (the grid bootstrap of Hansen 1999, which holds near m = 1, where
    estimates are skewed and too low). A process with slopes b · m^k is an autoregression seen through noise. In a
    branching process noise grows with activity, and under weak drive, where activity often dies out, that decides on
    how estimates are distributed: with noise that is alike in all frames intervals held m = 0.99 in 43 of 100
    cases at a mean activity of 2. How much it grows is estimated
    (`connfit.analysis.criticality.branching_simulation`), so that neither a true zero of activity nor its unit matter,
    and a signal whose noise does not depend on its level, as of z-scores or dF/F, is simulated with noise that does
    not. These intervals hold m in 90 to 98 % of cases (`benchmarks/branching_coverage.py`, table in docs/methods.md).

    References
    ----------
    Wilting & Priesemann (2018) Nat. Commun. 9:2325, doi 10.1038/s41467-018-04725-4; Spitzner et al. (2021) PLoS ONE
    16:e0249447, doi 10.1371/journal.pone.0249447; Hansen (1999) Rev. Econ. Stat. 81:594,
    doi 10.1162/003465399558463.
    """
    x = np.asarray(activity, np.float64)
    if x.ndim != 1:
        raise DataError(f"activity has {x.ndim} axes", fix="Pass the population's activity [time]")
    if np.isinf(x).any():
        raise DataError("activity has infinite values", fix="Mark missing frames with NaN")
    seen = np.isfinite(x)
    if max_lag is None:
        max_lag = max(2, min(150, len(x) // 10))
    if max_lag < 2 or repeats < 0 or (frame_rate_hz is not None and frame_rate_hz <= 0):
        raise ConfigError("max_lag must be 2 or more, repeats 0 or more, and frame_rate_hz above 0")
    if len(x) < 3 * max_lag:
        raise DataError(f"{len(x)} frames are too few for lags up to {max_lag}", fix="Lower max_lag")
    level = x[seen].mean() if seen.any() else np.nan
    if not seen.any() or np.ptp(x[seen]) <= 1e-12 * max(abs(level), 1e-300):
        raise DataError("activity does not vary, so it has no branching ratio")
    # Slopes do not depend on scale and origin; sums stay free of cancellation.
    scaled = np.where(seen, (x - level) / x[seen].std(), 0.0)
    pairs = _pairs(seen, max_lag)
    if (pairs < 3).any():
        raise DataError("some lags have fewer than 3 pairs of observed frames", fix="Lower max_lag")
    lags = np.arange(1, max_lag + 1)
    slopes = _slopes(scaled[None], seen, pairs)[0]
    m, b = (float(fitted[0]) for fitted in _fit(slopes[None], lags))
    model = b * m**lags
    variance = float(((slopes - slopes.mean()) ** 2).sum())
    r_squared = 1 - float(((slopes - model) ** 2).sum()) / variance if variance > 0 else None
    found = Branching(
        conventional=float(slopes[0]),
        lags=tuple(lags.tolist()),
        slopes=tuple(slopes.tolist()),
        frames=int(seen.sum()),
        repeats=repeats,
    )
    if not _stands_out(slopes[:1], np.array([b]), pairs)[0]:
        reason = "the slope at lag 1 is not above 0 by two standard errors: events may be independent"
        return replace(found, reason=reason)
    reason = None
    if not LOWEST * 1.01 < m < HIGHEST * 0.999:
        reason = f"m is at an end of the range {LOWEST} to {HIGHEST} that was searched"
    elif m < 1 and -1 / np.log(m) > max_lag:
        reason = f"the time constant, {-1 / np.log(m):.0f} frames, is longer than the largest lag, {max_lag}"
    interval = None
    if repeats:
        interval = _interval(scaled, seen, pairs, m, repeats, np.random.default_rng(seed))
    if m > 1 and reason is None:
        reason = "m is above 1: activity grows over the recording"
        if repeats:
            up_to_1 = (
                "and no ratio up to 1 is likely to give such an estimate"
                if interval is None
                else ("as it may by chance under the ratios of the interval, which ends at 1")
            )
            reason = f"{reason}, {up_to_1}"
    constant = -1 / np.log(m) / (frame_rate_hz or 1.0) if m < 1 else None
    return replace(
        found, m=m, interval=interval, time_constant=constant, amplitude=b, r_squared=r_squared, reason=reason
    )


def joint_branching(
    courses: Sequence[Float[np.ndarray, "t"]],
    *,
    max_lag: int | None = None,
    frame_rate_hz: float | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Branching:
    """Estimate the branching ratio that several recordings share; see `branching_ratio`.

    No pair of frames belongs to two recordings, and no difference of their means looks like memory. The default of
    `max_lag` is a tenth of the shortest recording, at most 150 frames.
    """
    max_lag = max_lag or max(2, min(150, min(len(course) for course in courses) // 10))
    pieces = []
    for course in courses:
        level = np.nanmean(course) if np.isfinite(course).any() else 0.0
        pieces += [course - level, np.full(max_lag, np.nan)]
    return branching_ratio(
        np.concatenate(pieces[:-1]),
        max_lag=max_lag, frame_rate_hz=frame_rate_hz, repeats=repeats, seed=seed,
    )  # fmt: skip


def _interval(
    x: np.ndarray, seen: np.ndarray, pairs: np.ndarray, m: float, repeats: int, rng
) -> tuple[float, float] | None:
    """Ratios under which the estimate m is neither too low nor too high, between those that were simulated.

    None where it is too high under all up to 1.
    """
    lags = np.arange(1, len(pairs) + 1)

    def estimates(ratios: np.ndarray) -> list[np.ndarray]:
        """Estimates from the simulations under each ratio that have one."""
        noises = [residual_noise(x, seen, float(ratio)) for ratio in ratios]
        found: list[list[np.ndarray]] = [[] for _ in ratios]
        step = max(1, BLOCK // (2 * len(x) * len(ratios)))
        for first in range(0, repeats, step):
            size = min(step, repeats - first)
            drawn = simulate(noises, ratios, len(x), size, rng)
            for k, series in enumerate(drawn.reshape(len(ratios), size, len(x))):
                slopes = _slopes(series, seen, pairs)
                fitted, b = _fit(slopes, lags)
                found[k].append(fitted[_stands_out(slopes[:, 0], b, pairs)])
        return [np.concatenate(each) for each in found]

    first = estimates(np.array([min(m, 0.9999)]))[0]
    low, high = np.percentile(first, [2.5, 97.5]) if len(first) >= 10 else (0.5 * m, 1.0)
    steps, at = np.linspace(0.25, 2.0, GRID // 2), min(m, 1.0)
    tried = np.concatenate([at - max(high - m, 1e-4) * steps[::-1], [at], at + max(m - low, 1e-4) * steps])
    tried = np.unique(np.clip(tried, LOWEST, 1.0))

    def quantiles(ratios: np.ndarray) -> np.ndarray:
        """Shares of estimates up to m as quantiles of a Gaussian: nearly a straight line over the ratios."""
        found = estimates(ratios)
        share = np.array([((each <= m).sum() + 0.5) / (len(each) + 1) for each in found])
        # Under a ratio that hardly ever gives an estimate, this one is too high.
        rare = np.array([len(each) < 0.2 * repeats for each in found]) & (ratios < m)
        return np.where(rare, 3.0, scipy.special.ndtri(share))

    z = quantiles(tried)
    # Estimates may spread further under other ratios: where an end was not reached, up to that of the range.
    more = np.array([0.1, 0.3, 0.6, 1.0])
    if z.max() < 1.96 and tried[0] > LOWEST:
        lower = (tried[0] - (tried[0] - LOWEST) * more)[::-1]
        tried, z = np.concatenate([lower, tried]), np.concatenate([quantiles(lower), z])
    if z.min() > -1.96 and tried[-1] < 1:
        upper = tried[-1] + (1 - tried[-1]) * more
        tried, z = np.concatenate([tried, upper]), np.concatenate([z, quantiles(upper)])
    z = np.minimum.accumulate(z)
    if z[-1] > 1.96:
        return None
    ends = np.interp([-1.96, 1.96], -z, tried)
    return float(ends[0]), float(ends[1])


def _stands_out(first: np.ndarray, b: np.ndarray, pairs: np.ndarray) -> Bool[np.ndarray, "R"]:
    """Whether slopes at lag 1 are above those of independent events, to which some exponential always fits."""
    return (first > 2 / pairs[0] ** 0.5) & (b > 0)


def _pairs(seen: Bool[np.ndarray, "T"], max_lag: int) -> Float[np.ndarray, "K"]:
    """Pairs of observed frames at each lag."""
    return np.array([float((seen[:-k] & seen[k:]).sum()) for k in range(1, max_lag + 1)])


def _slopes(
    x: Float[np.ndarray, "R T"], seen: Bool[np.ndarray, "T"], pairs: Float[np.ndarray, "K"]
) -> Float[np.ndarray, "R K"]:
    """Slopes of least squares of x(t + k) on x(t) over the pairs of observed frames."""
    frames, max_lag = x.shape[1], len(pairs)
    size = scipy.fft.next_fast_len(frames + max_lag, real=True)
    x = np.where(seen, x, 0.0)
    spectrum = np.asarray(scipy.fft.rfft(x, size, axis=1))

    def lagged(product: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.fft.irfft(product, size, axis=1))[:, 1 : max_lag + 1]

    xy = lagged(spectrum * np.conj(spectrum))
    if seen.all():
        sums, squares = np.cumsum(x, axis=1), np.cumsum(x * x, axis=1)
        first = frames - 1 - np.arange(1, max_lag + 1)
        before, later = sums[:, first], sums[:, -1:] - sums[:, :max_lag]
        xx = squares[:, first]
    else:
        mask = np.asarray(scipy.fft.rfft(seen.astype(np.float64), size))
        before, later = lagged(np.conj(spectrum) * mask), lagged(spectrum * np.conj(mask))
        xx = lagged(np.conj(np.asarray(scipy.fft.rfft(x * x, size, axis=1))) * mask)
    variance = xx - before * before / pairs
    sound = variance > 1e-9 * pairs
    return np.where(sound, (xy - before * later / pairs) / np.where(sound, variance, 1.0), 0.0)


def _fit(slopes: Float[np.ndarray, "R K"], lags: np.ndarray) -> tuple[Float[np.ndarray, "R"], Float[np.ndarray, "R"]]:
    """Least squares of b · m^k: for a given m it is linear, so only m is searched for, first on a grid."""
    grid = np.unique(
        np.concatenate(
            [np.linspace(LOWEST, 0.9, 120), 1 - np.geomspace(1e-5, 0.1, 160), [1.0], 1 + np.geomspace(1e-5, 0.2, 60)]
        )
    )

    def powers(m: np.ndarray) -> np.ndarray:
        """Powers of m [G] over lags, scaled to a largest value of 1."""
        exponents = np.log(m)[:, None] * lags
        return np.exp(exponents - exponents.max(axis=1, keepdims=True))

    def gain(projection: np.ndarray, norm: np.ndarray) -> np.ndarray:
        """What the best b explains; a negative one is no branching process."""
        usable = (norm > 1e-14) & (projection > 0)
        return np.where(usable, projection**2 / np.where(usable, norm, 1.0), 0.0)

    at_grid = powers(grid)
    place = np.argmax(gain(slopes @ at_grid.T, (at_grid**2).sum(axis=1)), axis=1)
    low, high = grid[np.maximum(place - 1, 0)], grid[np.minimum(place + 1, len(grid) - 1)]

    def explained(m: np.ndarray) -> np.ndarray:
        basis = powers(m)
        return gain((slopes * basis).sum(axis=1), (basis**2).sum(axis=1))

    # Golden sections, for all rows at once.
    golden = (np.sqrt(5) - 1) / 2
    inner = [high - golden * (high - low), low + golden * (high - low)]
    value = [explained(m) for m in inner]
    for _ in range(32):
        left = value[0] > value[1]
        low, high = np.where(left, low, inner[0]), np.where(left, inner[1], high)
        fresh = np.where(left, high - golden * (high - low), low + golden * (high - low))
        new = explained(fresh)
        inner = [np.where(left, fresh, inner[1]), np.where(left, inner[0], fresh)]
        value = [np.where(left, new, value[1]), np.where(left, value[0], new)]
    m = (low + high) / 2
    basis = m[:, None] ** lags
    return m, (basis * slopes).sum(axis=1) / (basis**2).sum(axis=1)
