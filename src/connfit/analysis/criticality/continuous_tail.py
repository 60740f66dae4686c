"""Tails of positive numbers that are not whole, such as weights: power law against alternatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float

from connfit.analysis.criticality.likelihood_ratio import Comparison, likelihood_ratio
from connfit.analysis.result import Result, narrowed
from connfit.errors import ConfigError, DataError

ALTERNATIVES = ("lognormal", "exponential")
CANDIDATES = 50
"""Lengths of tails that are tried, evenly over their logarithm."""
LARGEST = 1_000_000
"""Longest tail that is tried: the largest million of fifteen million weights."""


@dataclass(frozen=True)
class ContinuousTail(Result):
    """A power law p(x) ∝ x^-exponent from xmin on, fitted to numbers by maximum likelihood.

    Parameters
    ----------
    exponent, interval
        The exponent and its 95 % interval, given xmin and if values are independent.
    xmin
        Chosen by the smallest Kolmogorov-Smirnov distance.
    tail, count
        Values from xmin on, and all.
    decades
        log10 of the largest value over xmin.
    ks
        Kolmogorov-Smirnov distance.
    comparisons
        With the log-normal and the exponential, cut off below xmin like the power law.
    """

    exponent: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    xmin: float = 0.0
    tail: int = 0
    count: int = 0
    decades: float = 0.0
    ks: float = 0.0
    comparisons: tuple[Comparison, ...] = ()


def continuous_tail(
    values: Float[np.ndarray, "K"], *, xmin: float | None = None, min_tail: int = 100
) -> ContinuousTail:
    """Fit a power law to the largest of positive numbers, and compare it with log-normal and exponential.

    Parameters
    ----------
    values
        Positive numbers.
    xmin
        Where the tail begins; None to search, among tails of up to `LARGEST` values.
    min_tail
        Fewest values in the tail.

    Raises
    ------
    DataError
        If values are too few, not positive or all alike.

    References
    ----------
    Clauset, Shalizi & Newman (2009) SIAM Review 51:661, doi 10.1137/070710111, table 2.1 and section 5.

    Examples
    --------
    >>> tail = continuous_tail(np.random.default_rng(0).pareto(1.5, 20_000) + 1, xmin=1.0)
    >>> bool(2.45 < tail.exponent < 2.55)
    True
    """
    ordered = np.sort(np.asarray(values, np.float64).ravel())[::-1]
    if min_tail < 10:
        raise ConfigError(f"min_tail is {min_tail}, but must be 10 or more")
    if len(ordered) < min_tail or not np.isfinite(ordered).all() or ordered[-1] <= 0:
        raise DataError(f"a tail needs {min_tail} positive numbers or more, there are {int((ordered > 0).sum())}")
    if xmin is None:
        longest = min(len(ordered), LARGEST)
        lengths = np.unique(np.geomspace(min_tail, longest, CANDIDATES).astype(np.int64))
    else:
        lengths = np.array([int((ordered >= xmin).sum())])
        if lengths[0] < min_tail:
            raise DataError(f"{lengths[0]} values from {xmin:g} on, a tail needs {min_tail}")
    logs = np.log(ordered[: lengths[-1]])
    sums = np.cumsum(logs)
    best: tuple[float, int, float] | None = None
    for n in lengths.tolist():
        low = logs[n - 1] if xmin is None else np.log(xmin)
        mean = sums[n - 1] / n - low
        if mean <= 1e-9:
            continue
        rate = 1 / mean
        # Of the largest value no share lies above, of the smallest all but one do.
        model = np.exp(-rate * (logs[:n] - low))
        at = np.arange(n)
        distance = float(np.maximum(np.abs(model - at / n), np.abs(model - (at + 1) / n)).max())
        if best is None or distance < best[0]:
            best = (distance, n, 1 + rate)
    if best is None:
        raise DataError("the largest values are all alike: they have no tail")
    distance, n, exponent = best
    low = float(np.exp(logs[n - 1])) if xmin is None else xmin
    error = 1.96 * (exponent - 1) / n**0.5
    tail = ordered[:n]
    return ContinuousTail(
        exponent=exponent,
        interval=(exponent - error, exponent + error),
        xmin=low,
        tail=n,
        count=len(ordered),
        decades=float(np.log10(tail[0] / low)),
        ks=distance,
        comparisons=tuple(_compare(name, tail, logs[:n], low, exponent) for name in ALTERNATIVES),
    )


def _compare(name: str, x: np.ndarray, logs: np.ndarray, xmin: float, exponent: float) -> Comparison:
    ours = np.log((exponent - 1) / xmin) - exponent * (logs - np.log(xmin))
    if name == "exponential":
        rate = 1 / max(float(x.mean()) - xmin, 1e-300)
        theirs, parameters = np.log(rate) - rate * (x - xmin), {"rate": rate}
    else:
        mu, sigma, theirs = _lognormal(logs, np.log(xmin))
        parameters = {"mu": mu, "sigma": sigma}
    nested = name == "lognormal"
    found = likelihood_ratio(ours - theirs, np.ones(len(x)), name, nested=nested, parameters=parameters)
    return narrowed(replace(found, p=found.nested_p) if nested else found, Comparison)


def _lognormal(logs: np.ndarray, low: float) -> tuple[float, float, np.ndarray]:
    """Mean and deviation of a Gaussian of the logarithms that is cut off below, and ln p(x) of each value."""
    mean, spread = float(logs.mean()), max(float(logs.std()), 1e-6)
    second = float((logs**2).mean())

    def loss(theta: np.ndarray) -> float:
        mu, sigma = theta[0], np.exp(theta[1])
        above = float(scipy.special.log_ndtr((mu - low) / sigma))
        return theta[1] + (second - 2 * mu * mean + mu**2) / (2 * sigma**2) + above

    # From a Gaussian whose mode is seen, and from the far side of one, which is nearly a power law.
    starts = (np.array([mean, np.log(spread)]), np.array([low - 10 * spread, np.log(4 * spread)]))
    exact = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4000}
    found = [scipy.optimize.minimize(loss, start, method="Nelder-Mead", options=exact) for start in starts]
    best = min(found, key=lambda result: result.fun)
    mu, sigma = float(best.x[0]), float(np.exp(best.x[1]))
    above = float(scipy.special.log_ndtr((mu - low) / sigma))
    density = -logs - np.log(sigma) - 0.5 * np.log(2 * np.pi) - (logs - mu) ** 2 / (2 * sigma**2) - above
    return mu, sigma, density
