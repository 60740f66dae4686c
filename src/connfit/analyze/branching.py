"""The branching ratio by multistep regression, which does not change under subsampling (Wilting & Priesemann 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Float, Shaped

from connfit.analyze.intervals import interval_of
from connfit.analyze.record import Result
from connfit.errors import ConfigError, DataError

LOWEST, HIGHEST = 0.01, 1.2
"""Range of branching ratios that is searched. Above 1 activity grows without end, as it can for a short while."""

MIN_BLOCKS = 5
"""Fewest blocks for a bootstrap."""


@dataclass(frozen=True, eq=False)
class Branching(Result):
    """Branching ratio of a population's activity.

    Parameters
    ----------
    m
        Branching ratio per frame: below 1 activity dies out, at 1 it is critical. None where no lag has a slope
        that can be told from 0, as for independent events: then m is not defined.
    interval
        Middle 95 % of a bootstrap over blocks of time; samples without a slope are left out.
    time_constant
        -1 / ln m, in seconds if a frame rate was given, else in frames; None for m from 1 on.
    amplitude
        b of slopes r(k) = b · m^k (+ offset). Below 1 under subsampling; above it, something else adds variance.
    offset
        Constant part of the slopes, for activity that drifts; 0 where none was fitted.
    r_squared
        Share of the slopes' variance over lags that the exponential explains.
    conventional
        The slope at lag 1 alone, which papers report and which subsampling biases towards 0.
    lags, slopes
        k in frames, and slopes r(k) of regressions of activity on activity k frames before.
    frames
        Observed frames.
    blocks
        Blocks of the bootstrap, and frames in each.
    reason
        What has to be said about m; None where nothing has to.
    """

    m: float | None
    interval: tuple[float, float] | None
    time_constant: float | None
    amplitude: float | None
    offset: float
    r_squared: float | None
    conventional: float
    lags: Shaped[np.ndarray, "K"]
    slopes: Float[np.ndarray, "K"]
    frames: int
    blocks: tuple[int, int]
    reason: str | None


def branching_ratio(
    activity: Shaped[np.ndarray, "T"],
    *,
    max_lag: int | None = None,
    offset: bool = False,
    frame_rate_hz: float | None = None,
    block_frames: int | None = None,
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
    offset
        Fit b · m^k + c, for drifts that are slow against `max_lag`.
    frame_rate_hz
        To have the time constant in seconds.
    block_frames
        Frames in a block of the bootstrap; None for 10 times `max_lag`, if that makes 10 blocks or more.
    repeats, seed
        Of the bootstrap.

    Raises
    ------
    DataError
        If there are too few frames, or activity does not vary.

    References
    ----------
    Wilting & Priesemann (2018) Nat. Commun. 9:2325, doi 10.1038/s41467-018-04725-4; Spitzner et al. (2021) PLoS ONE
    16:e0249447, doi 10.1371/journal.pone.0249447.
    """
    x = np.asarray(activity, np.float64)
    if x.ndim != 1:
        raise DataError(f"activity has {x.ndim} axes", fix="Pass the population's activity [time]")
    if np.isinf(x).any():
        raise DataError("activity has infinite values", fix="Mark missing frames with NaN")
    seen = np.isfinite(x)
    if max_lag is None:
        max_lag = max(2, min(150, len(x) // 10))
    if max_lag < 2 or repeats < 1 or (frame_rate_hz is not None and frame_rate_hz <= 0):
        raise ConfigError("max_lag must be 2 or more, repeats 1 or more, and frame_rate_hz above 0")
    if block_frames is None:
        block_frames = max(1, min(10 * max_lag, len(x) // 10))
    blocks = -(-len(x) // block_frames)
    if len(x) < 3 * max_lag or blocks < MIN_BLOCKS:
        raise DataError(
            f"{len(x)} frames are too few for lags up to {max_lag} and blocks of {block_frames} frames",
            fix="Lower max_lag or block_frames",
        )
    level = x[seen].mean() if seen.any() else np.nan
    if not seen.any() or np.ptp(x[seen]) <= 1e-12 * max(abs(level), 1e-300):
        raise DataError("activity does not vary, so it has no branching ratio")
    # Slopes do not depend on scale and origin; sums stay free of cancellation.
    scaled = np.where(seen, (x - level) / x[seen].std(), 0.0)
    sums = _block_sums(scaled, seen, max_lag, block_frames)
    if (sums.sum(axis=0)[:, 0] < 3).any():
        raise DataError("some lags have fewer than 3 pairs of observed frames", fix="Lower max_lag")
    lags = np.arange(1, max_lag + 1)
    slopes = _slopes(sums.sum(axis=0)[None])[0]
    fitted = _fit(slopes[None], lags, offset)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=repeats).astype(np.float64)
    drawn = _slopes(np.tensordot(weights, sums, axes=1))
    draws = _fit(drawn, lags, offset)[0]
    # Independent events have slopes around 0, to which some exponential always fits; this one must stand out.
    noise = drawn.std(axis=0)
    m, b, c = (float(one[0]) for one in fitted)
    model = b * m**lags + c
    variance = float(((slopes - slopes.mean()) ** 2).sum())
    r_squared = 1 - float(((slopes - model) ** 2).sum()) / variance if variance > 0 else None
    rest = {
        "conventional": float(slopes[0]),
        "lags": lags,
        "slopes": slopes,
        "frames": int(seen.sum()),
        "blocks": (blocks, block_frames),
    }
    if not slopes[0] > 2 * noise[0] or b <= 0:
        reason = "the slope at lag 1 is not above 0 by two standard errors: events may be independent"
        return Branching(None, None, None, None, 0.0, None, **rest, reason=reason)
    reason = None
    if not LOWEST * 1.01 < m < HIGHEST * 0.999:
        reason = f"m is at an end of the range {LOWEST} to {HIGHEST} that was searched"
    elif m < 1 and -1 / np.log(m) > max_lag:
        reason = f"the time constant, {-1 / np.log(m):.0f} frames, is longer than the largest lag, {max_lag}"
    return Branching(
        m=m,
        interval=interval_of(draws),
        time_constant=-1 / np.log(m) / (frame_rate_hz or 1.0) if m < 1 else None,
        amplitude=b,
        offset=c,
        r_squared=r_squared,
        **rest,
        reason=reason,
    )


def _block_sums(x: np.ndarray, seen: np.ndarray, max_lag: int, block: int) -> Float[np.ndarray, "B K 5"]:
    """Sums over pairs that start in a block: number, x, y, x², xy, of which slopes are made."""
    edges = np.arange(0, len(x), block)
    sums = np.empty((len(edges), max_lag, 5))
    for k in range(1, max_lag + 1):
        both = np.zeros(len(x), bool)
        both[:-k] = seen[:-k] & seen[k:]
        later = np.zeros(len(x))
        later[:-k] = x[k:]
        first, later = np.where(both, x, 0.0), np.where(both, later, 0.0)
        for j, term in enumerate((both.astype(np.float64), first, later, first * first, first * later)):
            sums[:, k - 1, j] = np.add.reduceat(term, edges)
    return sums


def _slopes(sums: Float[np.ndarray, "R K 5"]) -> Float[np.ndarray, "R K"]:
    n, x, y, xx, xy = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    variance = xx - x * x / n
    return np.where(variance > 0, (xy - x * y / n) / np.where(variance > 0, variance, 1.0), 0.0)


def _fit(
    slopes: Float[np.ndarray, "R K"], lags: np.ndarray, offset: bool
) -> tuple[Float[np.ndarray, "R"], Float[np.ndarray, "R"], Float[np.ndarray, "R"]]:
    """Least squares of b · m^k (+ c): for a given m it is linear, so only m is searched for, first on a grid."""
    grid = np.unique(
        np.concatenate(
            [np.linspace(LOWEST, 0.9, 120), 1 - np.geomspace(1e-5, 0.1, 160), [1.0], 1 + np.geomspace(1e-5, 0.2, 60)]
        )
    )

    def loss(m: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Squared error [R, G] that the best b and c leave."""
        basis, target = _basis(m, lags), rows
        if offset:
            basis, target = basis - basis.mean(axis=1, keepdims=True), rows - rows.mean(axis=1, keepdims=True)
        norm = (basis**2).sum(axis=1)
        usable = norm > 1e-14
        explained = (target @ basis.T) ** 2 / np.where(usable, norm, 1.0)
        # A negative amplitude is no branching process.
        explained = np.where(usable & (target @ basis.T > 0), explained, 0.0)
        return (target**2).sum(axis=1, keepdims=True) - explained

    place = np.argmin(loss(grid, slopes), axis=1)
    m = np.empty(len(slopes))
    for r, k in enumerate(place):
        low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
        one = slopes[r : r + 1]
        found = scipy.optimize.minimize_scalar(
            lambda at, one=one: loss(np.array([at]), one)[0, 0],
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-7},
        )
        m[r] = found.x
    # The search scaled each power of m to at most 1 at the end where it is largest.
    basis = m[:, None] ** lags
    if not offset:
        return m, (basis * slopes).sum(axis=1) / (basis**2).sum(axis=1), np.zeros(len(m))
    centred = basis - basis.mean(axis=1, keepdims=True)
    b = (centred * slopes).sum(axis=1) / np.maximum((centred**2).sum(axis=1), 1e-300)
    return m, b, slopes.mean(axis=1) - b * basis.mean(axis=1)


def _basis(m: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Powers of m over lags, scaled to a largest value of 1."""
    exponents = np.log(m)[:, None] * lags
    return np.exp(exponents - exponents.max(axis=1, keepdims=True))
