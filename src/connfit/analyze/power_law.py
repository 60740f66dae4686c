"""Discrete power laws: maximum likelihood, goodness of fit, and alternatives (Clauset, Shalizi & Newman 2009).

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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
from jaxtyping import Float, Int

from connfit.analyze.record import Result
from connfit.analyze.tails import (
    HIGHEST,
    LOWEST,
    Tail,
    fit_alternative,
    hurwitz,
    log_variance,
    power_law_exponent,
    power_law_norm,
)
from connfit.errors import ConfigError, DataError, one_of

ALTERNATIVES = ("lognormal", "exponential", "truncated_power_law")
NESTED = ("lognormal", "truncated_power_law")
"""Alternatives of which the power law is a limit: without curvature, or with the cut-off at infinity."""

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

    exponent: float | None
    r_squared: float | None
    points: int


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

    exponent: float
    interval: tuple[float, float]
    at_bound: bool
    xmin: int
    xmax: int | None
    xmin_searched: bool
    count: int
    tail: int
    beyond: int
    decades: float
    ks: float
    log_likelihood: float
    regression: Regression


@dataclass(frozen=True)
class Goodness(Result):
    """Bootstrap test of the hypothesis that values follow the fitted power law.

    Parameters
    ----------
    p
        Share of synthetic samples that lie further from their own fit than the data from theirs. Small: no power
        law (Clauset et al. use 0.1). Large: not rejected, which is no proof.
    repeats
        Synthetic samples.
    """

    p: float
    repeats: int


@dataclass(frozen=True)
class Comparison(Result):
    """Likelihood ratio of the power law over an alternative on the same range.

    Parameters
    ----------
    alternative
        One of `ALTERNATIVES`.
    log_ratio
        Sum of ln p(power law) - ln p(alternative): positive favours the power law.
    z, p
        Vuong's statistic, log_ratio / (√n · deviation of its terms), and its two-sided p.
    nested_p
        p of Wilks' test (χ², one degree of freedom) where the power law is a limit of the alternative: small means
        that the alternative's second parameter is needed. Vuong's p does not hold there. None for the exponential.
    favoured
        `"power_law"`, the alternative, or `"undecided"` at the level 0.05, by nested_p where there is one.
    parameters
        Of the alternative.
    """

    alternative: str
    log_ratio: float
    z: float
    p: float
    nested_p: float | None
    favoured: str
    parameters: dict[str, float | None]


@dataclass(frozen=True)
class Ends(Result):
    """Exponents with the same fit after values at the ends are left out; None where too few are left.

    Parameters
    ----------
    exponent
        With all values in the range.
    without_smallest
        Without the smallest value of the range.
    without_largest
        With the range ending below the last tenth of a decade.
    without_both
        Without either.
    """

    exponent: float
    without_smallest: float | None
    without_largest: float | None
    without_both: float | None


@dataclass(frozen=True)
class PowerLawTest(Result):
    """All that is asked of a distribution that is said to be a power law; see the fields' types."""

    fit: PowerLaw
    goodness: Goodness | None
    comparisons: tuple[Comparison, ...]
    ends: Ends


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    x, weights = _histogram(values)
    if xmin is not None and xmin < 1:
        raise ConfigError(f"xmin is {xmin}, but must be 1 or more")
    if xmax is not None and xmax <= (xmin or 1):
        raise ConfigError(f"xmax is {xmax}, but must be above xmin")
    return _fit(x, weights, xmin, xmax, min_tail)


def _fit(x: np.ndarray, weights: np.ndarray, xmin: int | None, xmax: int | None, min_tail: int) -> PowerLaw:
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
    error = 1.96 / (n * log_variance(a, low, xmax)) ** 0.5
    return PowerLaw(
        exponent=a,
        interval=(a - error, a + error),
        at_bound=not LOWEST + 1e-3 < a < HIGHEST - 1e-3,
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
        return Regression(None, None, len(width))
    u, v = np.log10(middle), np.log10(mass[filled] / width)
    slope = float(np.cov(u, v)[0, 1] / u.var(ddof=1))
    return Regression(-slope, float(np.corrcoef(u, v)[0, 1] ** 2), len(width))


def sample_power_law(
    size: int, exponent: float, xmin: int, xmax: int | None, rng: np.random.Generator
) -> Float[np.ndarray, "size"]:
    """Random whole numbers from a discrete power law, as floats since they may exceed what integers hold.

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


def goodness_of_fit(
    values: Int[np.ndarray, "K"], fit: PowerLaw, *, repeats: int = 200, seed: int = 0, min_tail: int = 50
) -> Goodness:
    """Could values from the fitted power law be as far from their own fit as these are?

    Synthetic samples draw values below xmin from the data, those above from the law, and search for xmin as the
    data's fit did (Clauset et al. 2009, section 4.1).

    Parameters
    ----------
    values
        What was fitted.
    fit
        Its fit.
    repeats
        Synthetic samples; the standard error of p is at most 0.5 / √repeats.
    seed
        Seed of the samples.
    min_tail
        As in the fit.
    """
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}, but must be 1 or more")
    x, weights = _histogram(values)
    rng = np.random.default_rng(seed)
    below = x < fit.xmin
    total = fit.count - fit.beyond
    body = weights[below] / max(weights[below].sum(), 1.0)
    further = 0
    for _ in range(repeats):
        tail = int(rng.binomial(total, fit.tail / total))
        drawn, counts = np.unique(sample_power_law(tail, fit.exponent, fit.xmin, fit.xmax, rng), return_counts=True)
        if below.any():
            drawn = np.concatenate([x[below], drawn])
            counts = np.concatenate([rng.multinomial(total - tail, body), counts])
            drawn, counts = drawn[counts > 0], counts[counts > 0]
        own = _fit(
            drawn,
            counts.astype(np.float64),
            None if fit.xmin_searched else fit.xmin,
            fit.xmax,
            min(min_tail, fit.tail // 2),
        )
        further += own.ks >= fit.ks
    return Goodness(further / repeats, repeats)


def compare(
    values: Int[np.ndarray, "K"], fit: PowerLaw, alternatives: Sequence[str] = ALTERNATIVES
) -> tuple[Comparison, ...]:
    """Likelihood ratios of a fitted power law over other distributions, on the fit's range.

    Parameters
    ----------
    values
        What was fitted.
    fit
        Its fit.
    alternatives
        Of `ALTERNATIVES`. All are distributions of whole numbers, normalised over the same range.

    References
    ----------
    Vuong (1989) Econometrica 57:307, doi 10.2307/1912557; Clauset et al. (2009), section 5, doi 10.1137/070710111.
    """
    x, weights = _histogram(values)
    inside = (x >= fit.xmin) & (x <= (np.inf if fit.xmax is None else fit.xmax))
    x, weights = x[inside], weights[inside]
    ours = -fit.exponent * np.log(x) - np.log(power_law_norm(fit.exponent, fit.xmin, fit.xmax))
    found = []
    for name in alternatives:
        one_of("alternative", name, ALTERNATIVES)
        other = fit_alternative(name, Tail(fit.xmin, fit.xmax), x, weights, fit.exponent)
        ratio = ours - other.log_pmf(x)
        total, n = float(weights @ ratio), weights.sum()
        deviation = float(np.sqrt(weights @ (ratio - total / n) ** 2 / n))
        # A limit that is reached leaves nothing but rounding.
        z = total / (float(n) ** 0.5 * deviation) if deviation > 1e-7 else 0.0
        p = float(scipy.special.erfc(abs(z) / np.sqrt(2)))
        nested_p = float(scipy.special.chdtrc(1, 2 * max(-total, 0.0))) if name in NESTED else None
        if nested_p is not None:
            favoured = name if nested_p < 0.05 else "undecided"
        else:
            favoured = "undecided" if p >= 0.05 else ("power_law" if total > 0 else name)
        found.append(Comparison(name, total, z, p, nested_p, favoured, other.parameters()))
    return tuple(found)


def without_ends(values: Int[np.ndarray, "K"], fit: PowerLaw, *, min_tail: int = 50) -> Ends:
    """Exponents after the first and the last values of the range are left out.

    Where the exponent moves by more than its interval, these values carry the fit.
    """
    x, weights = _histogram(values)
    inside = x[(x >= fit.xmin) & (x <= (np.inf if fit.xmax is None else fit.xmax))]
    second, last = int(inside[1]), int(inside[-1] / 10**0.1)

    def refit(xmin: int, xmax: int | None) -> float | None:
        if xmax is not None and xmax <= xmin:
            return None
        try:
            return _fit(x, weights, xmin, xmax, min_tail).exponent
        except DataError:
            return None

    return Ends(fit.exponent, refit(second, fit.xmax), refit(fit.xmin, last), refit(second, last))


def examine_power_law(
    values: Int[np.ndarray, "K"],
    *,
    xmin: int | None = None,
    xmax: int | None = None,
    repeats: int = 200,
    seed: int = 0,
    min_tail: int = 50,
) -> PowerLawTest:
    """Fit, goodness of fit (none for repeats=0), alternatives and influence of the ends; see the single functions."""
    fit = fit_power_law(values, xmin=xmin, xmax=xmax, min_tail=min_tail)
    return PowerLawTest(
        fit=fit,
        goodness=goodness_of_fit(values, fit, repeats=repeats, seed=seed, min_tail=min_tail) if repeats else None,
        comparisons=compare(values, fit),
        ends=without_ends(values, fit, min_tail=min_tail),
    )
