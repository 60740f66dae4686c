"""Discrete power laws by maximum likelihood, and samples from them (Clauset, Shalizi & Newman 2009).

Written here rather than taken from the package `powerlaw`, for measured reasons. On samples of 2,000 values both give
the same exponent, xmin and likelihood ratios (`tests/test_power_law.py` holds them together). But version 2.0 of it

- has no test of goodness of fit, and searches xmin among 10⁵ avalanches for 48 s where this takes 0.1 s: a bootstrap of
  200 samples would take hours;
- fits log-normals that are rounded, of which the power law is no limit, and whose search stops short of that limit:
  for 10⁵ values from a power law with exponent 2.5 it reports a likelihood ratio of +43 (p = 1e-6) over the log-normal,
  which cannot fit worse than its own limit;
- takes probabilities below 1e-308 for that: on the same values the log-likelihood of its exponential is -135,489, of
  the true one -141,278 at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.criticality import tails
from connfit.analysis.criticality.tails import hurwitz, power_law_exponent, power_law_norm
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError

BLOCK = 2**20
"""Pairs of lower ends and values that are worked on at a time."""

CANDIDATES = 60
"""Lower ends that are tried: all observed values up to this many, else spread evenly over their logarithm."""


@dataclass(frozen=True)
class Regression(Result):
    """The straight line through a histogram in double logarithmic axes, as many papers report it.

    It is biased and its R² is high for many distributions that are no power laws (Clauset et al. 2009, appendix A);
    it is here for comparison with such papers only.

    Parameters
    ----------
    exponent
        Minus the slope of log density on log value, over non-empty logarithmic bins, unweighted.
    r_squared
        Share of variance that the line explains.
    points
        Non-empty bins, 10 per decade.
    """

    exponent: float | None = None
    r_squared: float | None = None
    points: int = 0


@dataclass(frozen=True)
class PowerLaw(Result):
    """A power law p(x) ∝ x^-exponent from xmin to xmax, fitted to whole numbers by maximum likelihood.

    Parameters
    ----------
    exponent
        The exponent.
    interval
        95 % of a normal approximation with the Fisher information; given xmin, and if values are independent.
    at_bound
        The exponent is at an end of the range that was searched, so it is none.
    xmin, xmax
        Range. xmax is None for a law without end.
    xmin_searched
        Whether xmin was chosen by the smallest Kolmogorov-Smirnov distance.
    count
        All values.
    tail
        Values within the range.
    beyond
        Values above xmax, which were left out.
    decades
        log10 of the largest value within the range over xmin.
    ks
        Kolmogorov-Smirnov distance within the range.
    log_likelihood
        Of the values within the range.
    regression
        The biased estimate from a line in double logarithmic axes.
    """

    exponent: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    at_bound: bool = False
    xmin: int = 1
    xmax: int | None = None
    xmin_searched: bool = False
    count: int = 0
    tail: int = 0
    beyond: int = 0
    decades: float = 0.0
    ks: float = 0.0
    log_likelihood: float = 0.0
    regression: Regression = field(default_factory=Regression)


def whole_number_histogram(
    values: Int[np.ndarray, "K"],
) -> tuple[Float[np.ndarray, "X"], Float[np.ndarray, "X"]]:
    """Count the values that occur; a DataError unless all are whole numbers from 1 on."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise DataError(f"values have {values.ndim} axes", fix="Pass one list of whole numbers")
    if not len(values):
        raise DataError("there are no values to fit a power law to")
    if values.dtype.kind not in "uif" or not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise DataError("values are not whole numbers", fix="Count sizes in events and durations in bins")
    if values.min() < 1:
        raise DataError(f"the smallest value is {values.min()}", fix="A power law starts at 1 or more; leave zeros out")
    x, weights = np.unique(values.astype(np.float64), return_counts=True)
    return x, weights.astype(np.float64)


def fit_power_law(
    values: Int[np.ndarray, "K"], *, xmin: int | None = None, xmax: int | None = None, min_tail: int = 50
) -> PowerLaw:
    """Fit a discrete power law by maximum likelihood.

    Parameters
    ----------
    values
        Whole numbers from 1 on: sizes, durations.
    xmin
        Smallest value of the law; None to choose the one with the smallest Kolmogorov-Smirnov distance.
    xmax
        Largest value of the law, say the number of units; values above it are left out and counted. None: no end.
        It is not searched for: a cut-off that follows the data would make any curved tail a power law.
    min_tail
        Fewest values within the range, and two different ones.

    Raises
    ------
    DataError
        If too few values are left.

    References
    ----------
    Clauset, Shalizi & Newman (2009) SIAM Review 51:661, doi 10.1137/070710111.

    Examples
    --------
    >>> fit = fit_power_law(np.random.default_rng(0).zipf(2.5, 5000), xmin=1)
    >>> 2.4 < fit.exponent < 2.6
    True
    """
    x, weights = whole_number_histogram(values)
    if xmin is not None and xmin < 1:
        raise ConfigError(f"xmin is {xmin}, but must be 1 or more")
    if xmax is not None and xmax <= (xmin or 1):
        raise ConfigError(f"xmax is {xmax}, but must be above xmin")
    return fit_histogram(x, weights, xmin, xmax, min_tail)


def fit_histogram(
    x: Float[np.ndarray, "X"], weights: Float[np.ndarray, "X"], xmin: int | None, xmax: int | None, min_tail: int
) -> PowerLaw:
    """Fit a power law as `fit_power_law` does, to values that are counted already."""
    inside = x <= (np.inf if xmax is None else xmax)
    kept, w = x[inside], weights[inside]
    candidates = _candidates(kept, w, min_tail) if xmin is None else np.array([xmin], np.float64)
    above = kept[None, :] >= candidates[:, None]
    tail = above @ w
    # Two different values, or else there is nothing to fit a slope to.
    enough = (tail >= max(min_tail, 2)) & (above.sum(axis=1) > 1)
    if not enough.any():
        least = f"{max(min_tail, 2)} values, two of them different, are needed"
        raise DataError(f"{int(tail.max(initial=0))} values are left to fit a power law to; {least}")
    candidates, above, tail = candidates[enough], above[enough], tail[enough]
    mean_log = above @ (w * np.log(kept)) / tail
    exponents = power_law_exponent(mean_log, candidates, xmax)
    distances = _distances(kept, w, exponents, candidates, xmax)
    best = int(np.argmin(distances))
    a, low, n = float(exponents[best]), int(candidates[best]), int(tail[best])
    error = 1.96 / (n * tails.log_variance(a, low, xmax)) ** 0.5
    return PowerLaw(
        exponent=a,
        interval=(a - error, a + error),
        at_bound=not tails.LOWEST + 1e-3 < a < tails.HIGHEST - 1e-3,
        xmin=low,
        xmax=xmax,
        xmin_searched=xmin is None,
        count=int(weights.sum()),
        tail=n,
        beyond=int(weights[~inside].sum()),
        decades=float(np.log10(kept[-1] / low)),
        ks=float(distances[best]),
        log_likelihood=float(-n * (np.log(power_law_norm(a, low, xmax)) + a * mean_log[best])),
        regression=_regression(kept[above[best]], w[above[best]]),
    )


def _candidates(x: np.ndarray, weights: np.ndarray, min_tail: int) -> np.ndarray:
    left = np.cumsum(weights[::-1])[::-1]
    possible = x[left >= min_tail]
    if len(possible) <= CANDIDATES:
        return possible
    wanted = np.geomspace(possible[0], possible[-1], CANDIDATES)
    return np.unique(possible[np.minimum(np.searchsorted(possible, wanted), len(possible) - 1)])


def _distances(
    x: np.ndarray, weights: np.ndarray, exponents: np.ndarray, xmins: np.ndarray, xmax: int | None
) -> Float[np.ndarray, "C"]:
    """Largest distance of the cumulative distributions over all whole numbers, not only those that occur."""
    total = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    out = np.empty(len(xmins))
    step = max(1, BLOCK // len(x))
    for begin in range(0, len(xmins), step):
        a, low = exponents[begin : begin + step, None], xmins[begin : begin + step, None]
        inside = x >= low
        first = np.searchsorted(x, low[:, 0])[:, None]
        norm = power_law_norm(a, low, xmax)
        beyond = 0.0 if xmax is None else hurwitz(a, xmax + 1.0)
        # Shares above each value, and from it on: between observed values the empirical one waits while the
        # model's goes on.
        at, after = np.maximum(x, low), np.maximum(x, low) + 1
        from_here = np.abs((hurwitz(a, at) - beyond) / norm - total[:-1] / total[first])
        above = np.abs((hurwitz(a, after) - beyond) / norm - total[1:] / total[first])
        out[begin : begin + step] = np.where(inside, np.maximum(from_here, above), 0.0).max(axis=1)
    return out


def _regression(x: np.ndarray, weights: np.ndarray) -> Regression:
    edges = np.unique(np.ceil(10 ** np.arange(0.0, np.log10(x[-1]) + 0.2, 0.1) - 1e-9))
    edges = np.append(edges[edges > x[0]], 0)
    edges = np.concatenate([[x[0]], edges[:-1]])
    if edges[-1] <= x[-1]:
        edges = np.append(edges, x[-1] + 1)
    mass = np.histogram(x, edges, weights=weights)[0]
    filled = mass > 0
    # Bins hold the whole numbers from their lower edge up to, without it, the upper one.
    width, middle = np.diff(edges)[filled], np.sqrt(edges[:-1] * (edges[1:] - 1))[filled]
    if len(width) < 3:
        return Regression(points=len(width))
    u, v = np.log10(middle), np.log10(mass[filled] / width)
    slope = float(np.cov(u, v)[0, 1] / u.var(ddof=1))
    return Regression(-slope, float(np.corrcoef(u, v)[0, 1] ** 2), len(width))


def sample_power_law(
    size: int, exponent: float, xmin: int, xmax: int | None, rng: np.random.Generator
) -> Float[np.ndarray, "size"]:
    """Draw whole numbers from a discrete power law, as floats since they may exceed what integers hold.

    By inversion: exact up to 10⁴ above xmin, and beyond by the continuous law, which differs there by less than 1e-8.
    """
    norm = float(power_law_norm(exponent, xmin, xmax))
    table = np.arange(xmin, xmin + 10_000, dtype=np.float64)
    if xmax is not None:
        table = table[table <= xmax]
    survival = hurwitz(exponent, table + 1) - (0.0 if xmax is None else hurwitz(exponent, xmax + 1.0))
    u = rng.random(size)
    place = np.searchsorted(-survival / norm, -u, side="right")
    out = table[np.minimum(place, len(table) - 1)]
    far = place >= len(table)
    if far.any():
        # The sum from x on is the integral from x - 1/2 on.
        rest = u[far] * norm + (0.0 if xmax is None else float(hurwitz(exponent, xmax + 1.0)))
        with np.errstate(over="ignore"):
            out[far] = np.floor((rest * (exponent - 1)) ** (-1 / (exponent - 1)) + 0.5)
        out[far] = np.minimum(np.maximum(out[far], table[-1] + 1), 1e300 if xmax is None else xmax)
    return out
