"""Sizes, durations and shapes of avalanches together: the scaling relation and the collapse of shapes.

At a critical point the exponents tau of sizes, alpha of durations and gamma of mean size over duration are tied by
gamma = (alpha - 1) / (tau - 1) (Sethna, Dahmen & Myers 2001; Friedman et al. 2012), and mean courses of avalanches
of all durations are one shape. Neither is proof: systems that are not critical can meet the relation
(Touboul & Destexhe 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
from jaxtyping import Float

from connfit._io import finite
from connfit.analysis.criticality.avalanches import Avalanches
from connfit.analysis.criticality.power_law import PowerLaw
from connfit.analysis.criticality.tails import power_law_exponent
from connfit.analysis.percentiles import interval_of
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError

TOLERANCE = 0.2
"""Difference of exponents up to which the relation counts as met, as in Ma et al. (2019): laws that begin at small
sizes and durations, and thresholds, shift exponents of critical processes by about as much."""

POINT = 10
"""Fewest avalanches of a duration whose mean size is a point of its own."""

ITERATIONS = 12
"""Of the fit of mean sizes; it converges quadratically."""

BLOCK = 2**22
"""Entries of bootstrap weights held at a time."""

Interval = tuple[float | None, float | None]
UNKNOWN: Interval = (None, None)


@dataclass(frozen=True)
class ScalingRelation(Result):
    """Exponents of sizes and durations against that of mean size over duration.

    Intervals hold the middle 95 % of a bootstrap over avalanches, with both fits' ranges kept.

    Parameters
    ----------
    tau, tau_interval
        Exponent of sizes.
    alpha, alpha_interval
        Exponent of durations.
    predicted, predicted_interval
        (alpha - 1) / (tau - 1).
    gamma, gamma_interval
        Exponent of mean size over duration; see `method`.
    method
        `"durations"`: slope of ln mean size over ln duration, each duration weighted by its number of avalanches;
        `"avalanches"`: a fit to single avalanches, where too few durations have enough of them.
    difference, difference_interval
        predicted - gamma.
    consistent
        Whether the interval of the difference holds 0. A wide interval does too.
    within_tolerance
        Whether it reaches `TOLERANCE` of 0, which is what verdicts ask for.
    durations
        Smallest and largest duration that entered gamma.
    avalanches
        Avalanches with these durations.
    repeats
        Bootstrap samples.
    """

    tau: float | None = None
    tau_interval: Interval = UNKNOWN
    alpha: float | None = None
    alpha_interval: Interval = UNKNOWN
    predicted: float | None = None
    predicted_interval: Interval = UNKNOWN
    gamma: float | None = None
    gamma_interval: Interval = UNKNOWN
    difference: float | None = None
    difference_interval: Interval = UNKNOWN
    consistent: bool = False
    within_tolerance: bool = False
    durations: tuple[int, int] = (0, 0)
    avalanches: int = 0
    repeats: int = 0
    method: str = ""


def scaling_relation(
    avalanches: Avalanches,
    sizes: PowerLaw,
    durations: PowerLaw,
    *,
    repeats: int = 200,
    seed: int = 0,
) -> ScalingRelation:
    """Compare (alpha - 1) / (tau - 1) with gamma of mean size ∝ duration^gamma.

    A duration of `POINT` avalanches or more is a point of its own. Where fewer than 3 are, gamma is fitted to single
    avalanches of all durations within the range, as a generalised linear model with a logarithmic link and deviations
    in proportion to the mean.

    Parameters
    ----------
    avalanches
        The avalanches.
    sizes, durations
        Power laws fitted to their sizes and durations. gamma uses durations within the range of the latter.
    repeats, seed
        Of the bootstrap.

    Raises
    ------
    DataError
        If there are fewer than 3 durations.

    References
    ----------
    Sethna, Dahmen & Myers (2001) Nature 410:242, doi 10.1038/35065675; Friedman et al. (2012) Phys. Rev. Lett.
    108:208102, doi 10.1103/PhysRevLett.108.208102; Touboul & Destexhe (2017) Phys. Rev. E 95:012413,
    doi 10.1103/PhysRevE.95.012413; Ma, Turrigiano, Wessel & Hengen (2019) Neuron 104:655,
    doi 10.1016/j.neuron.2019.08.031.
    """
    _positive(repeats=repeats)
    # Avalanches that are alike are one row with a weight, so that a bootstrap draws a few thousand numbers.
    pairs, counts = np.unique(np.stack([avalanches.sizes, avalanches.durations]), axis=1, return_counts=True)
    s, d = pairs.astype(np.float64)
    lengths, index = np.unique(d, return_inverse=True)
    number = np.bincount(index, weights=counts)
    top = np.inf if durations.xmax is None else durations.xmax
    within = (lengths >= durations.xmin) & (lengths <= top)
    used = within & (number >= POINT)
    method = "durations" if used.sum() >= 3 else "avalanches"
    if method == "avalanches":
        used = within
    if used.sum() < 3:
        raise DataError(f"there are {int(used.sum())} durations from {durations.xmin} bins on; a slope needs 3")
    in_sizes = (s >= sizes.xmin) & (s <= (np.inf if sizes.xmax is None else sizes.xmax))
    in_durations = (d >= durations.xmin) & (d <= top)
    member = scipy.sparse.csr_array((np.ones(len(d)), (np.arange(len(d)), index)))

    def exponents(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """tau, alpha and gamma of samples [B, pairs]."""
        mean_s = weights[:, in_sizes] @ np.log(s[in_sizes]) / np.maximum(weights[:, in_sizes].sum(axis=1), 1)
        mean_d = weights[:, in_durations] @ np.log(d[in_durations])
        mean_d = mean_d / np.maximum(weights[:, in_durations].sum(axis=1), 1)
        tau = power_law_exponent(mean_s, sizes.xmin, sizes.xmax)
        alpha = power_law_exponent(mean_d, durations.xmin, durations.xmax)
        if method == "avalanches":
            return tau, alpha, _mean_size_exponents(np.log(d[in_durations]), s[in_durations], weights[:, in_durations])
        n, total = (weights @ member)[:, used], (weights * s @ member)[:, used]
        # A duration that a sample does not hold has no weight, and its mean size does not matter.
        y = np.log(np.where(n > 0, total / np.maximum(n, 1), 1.0))
        return tau, alpha, _slopes(np.log(lengths[used]), y, n)

    tau, alpha, gamma = (float(found[0]) for found in exponents(counts[None, :].astype(np.float64)))
    rng = np.random.default_rng(seed)
    total, drawn = int(counts.sum()), []
    for start in range(0, repeats, max(1, BLOCK // len(counts))):
        size = min(repeats - start, max(1, BLOCK // len(counts)))
        drawn.append(np.stack(exponents(rng.multinomial(total, counts / total, size=size).astype(np.float64))))
    taus, alphas, gammas = np.concatenate(drawn, axis=1)
    ratios = (alphas - 1) / (taus - 1)
    predicted = (alpha - 1) / (tau - 1)
    low, high = interval_of(ratios - gammas)
    return ScalingRelation(
        tau=tau,
        tau_interval=interval_of(taus),
        alpha=alpha,
        alpha_interval=interval_of(alphas),
        predicted=predicted,
        predicted_interval=interval_of(ratios),
        gamma=gamma,
        gamma_interval=interval_of(gammas),
        difference=predicted - gamma,
        difference_interval=(low, high),
        consistent=low <= 0 <= high,
        within_tolerance=low <= TOLERANCE and high >= -TOLERANCE,
        durations=(int(lengths[used][0]), int(lengths[used][-1])),
        avalanches=int(number[used].sum()),
        repeats=repeats,
        method=method,
    )


def _mean_size_exponents(
    x: Float[np.ndarray, "P"], s: Float[np.ndarray, "P"], weights: Float[np.ndarray, "B P"]
) -> Float[np.ndarray, "B"]:
    """Slopes of a gamma regression of sizes s on ln durations x, with a logarithmic link, for rows of weights."""
    w = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    dx = x - (w @ x)[:, None]
    spread = np.maximum((w * dx**2).sum(axis=1), 1e-12)
    y = np.broadcast_to(np.log(s), w.shape)
    for _ in range(ITERATIONS):
        # Iteratively reweighted least squares; the weights of this link are all alike.
        slope = (w * dx * y).sum(axis=1) / spread
        line = (w * y).sum(axis=1)[:, None] + slope[:, None] * dx
        y = line + s * np.exp(-line) - 1
    return (w * dx * y).sum(axis=1) / spread


def _slopes(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least-squares slopes of rows of y over x."""
    w = weights / weights.sum(axis=1, keepdims=True)
    dx = x - (w @ x)[:, None]
    return (w * dx * y).sum(axis=1) / (w * dx**2).sum(axis=1)


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}, but must be 1 or more")


@dataclass(frozen=True)
class ShapeCollapse:
    """The exponent that makes mean courses of avalanches one shape.

    Parameters
    ----------
    gamma
        Exponent for which mean courses s(t, D) / D^(gamma - 1) over t / D differ least between durations.
    interval
        Middle 95 % of a bootstrap over avalanches.
    error
        The remaining difference: variance between durations, averaged over t / D, over the squared range of the mean
        shape (Marshall et al. 2016).
    error_flat
        The same for gamma = 1, no scaling.
    at_bound
        The exponent is at an end of the range that was searched.
    durations
        Durations, in bins.
    counts
        Avalanches of each.
    asymmetry
        Centre of mass of the mean shape minus 1/2, in parts of the duration: 0 for a symmetric one.
    """

    gamma: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    error: float | None = None
    error_flat: float | None = None
    at_bound: bool = False
    durations: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    asymmetry: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class CollapsedShapes(ShapeCollapse):
    """Mean courses of avalanches, with the exponent that makes them one shape.

    Parameters
    ----------
    shapes
        [duration, time] collapsed mean courses at equal steps of t / D.
    """

    shapes: Float[np.ndarray, "L P"]


SEARCHED = (0.0, 4.0)
"""Range of exponents for the collapse."""


def shape_collapse(
    avalanches: Avalanches,
    *,
    shortest: int = 5,
    longest: int | None = None,
    min_count: int = 20,
    points: int = 50,
    repeats: int = 100,
    seed: int = 0,
) -> CollapsedShapes:
    """Find the exponent under which mean shapes of avalanches of different durations fall together.

    Parameters
    ----------
    avalanches
        The avalanches.
    shortest, longest
        Durations in bins that take part. Below four or five bins there is no shape to speak of.
    min_count
        Fewest avalanches of a duration.
    points
        Steps of t / D at which shapes are compared.
    repeats, seed
        Of the bootstrap.

    Raises
    ------
    DataError
        If fewer than 3 durations take part.

    References
    ----------
    Friedman et al. (2012), doi 10.1103/PhysRevLett.108.208102; Marshall et al. (2016) Front. Physiol. 7:250,
    doi 10.3389/fphys.2016.00250.
    """
    _positive(shortest=shortest, min_count=min_count, repeats=repeats, points=points)
    lengths, number = np.unique(avalanches.durations, return_counts=True)
    top = np.inf if longest is None else longest
    used = (lengths >= shortest) & (lengths <= top) & (number >= min_count)
    if used.sum() < 3:
        raise DataError(f"{int(used.sum())} durations have {min_count} avalanches or more; a collapse needs 3")
    lengths, number = lengths[used], number[used]
    at = (np.arange(points) + 0.5) / points
    courses = []
    for length in lengths:
        starts = avalanches.starts[avalanches.durations == length]
        course = avalanches.profile[starts[:, None] + np.arange(length)].astype(np.float64)
        courses.append(course)

    def resampled(weights: list[np.ndarray]) -> np.ndarray:
        rows = []
        for course, w in zip(courses, weights, strict=True):
            middle = (np.arange(course.shape[1]) + 0.5) / course.shape[1]
            rows.append(np.interp(at, middle, w @ course / w.sum()))
        return np.stack(rows)

    def best(shapes: np.ndarray) -> float:
        found: Any = scipy.optimize.minimize_scalar(
            lambda g: _spread(shapes, lengths, g), bounds=SEARCHED, method="bounded", options={"xatol": 1e-4}
        )
        return float(found.x)

    shapes = resampled([np.ones(n) for n in number])
    gamma = best(shapes)
    rng = np.random.default_rng(seed)
    draws = [best(resampled([rng.multinomial(n, np.full(n, 1 / n)) for n in number])) for _ in range(repeats)]
    collapsed = shapes / (lengths[:, None] ** (gamma - 1.0))
    mean = collapsed.mean(axis=0)
    return CollapsedShapes(
        gamma=gamma,
        interval=interval_of(np.array(draws)),
        error=finite(_spread(shapes, lengths, gamma)),
        error_flat=finite(_spread(shapes, lengths, 1.0)),
        at_bound=not SEARCHED[0] + 1e-2 < gamma < SEARCHED[1] - 1e-2,
        durations=tuple(lengths.tolist()),
        counts=tuple(number.tolist()),
        asymmetry=finite(float(mean @ at / mean.sum() - 0.5)),
        shapes=collapsed,
    )


def _spread(shapes: np.ndarray, lengths: np.ndarray, gamma: float) -> float:
    scaled = shapes / (lengths[:, None].astype(np.float64) ** (gamma - 1))
    mean = scaled.mean(axis=0)
    span = float(mean.max() - mean.min())
    return float(scaled.var(axis=0).mean() / span**2) if span > 0 else float("inf")
