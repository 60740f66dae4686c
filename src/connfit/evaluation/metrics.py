"""Measures of agreement between data and prediction: NumPy only, aware of missing values.

Arrays are [time, unit]. An entry counts where it was observed and predicted. A measure that is not
defined is `None` and comes with the reason; arrays use NaN for undefined units, as documented.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.pooling import Result, mean, total

MIN_FRAMES = 3
"""Frames that two units must share for their correlation to mean anything."""

MIN_PAIRS = 3
"""Pairs of units without which two functional connectivities cannot be compared."""

CONSTANT = 1e-10
"""A unit whose standard deviation is below this fraction of its largest magnitude is constant up to rounding."""


@dataclass(frozen=True)
class Measured:
    """A number, or the reason why there is none.

    Parameters
    ----------
    value
        The measure; None where it is not defined.
    count
        How many entries, pairs or units it was computed from.
    excluded
        How many units could not take part.
    reason
        Why the value is None, or what was excluded; None where nothing needs saying.
    """

    value: float | None
    count: int
    excluded: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Quartiles(Result):
    """Quartiles of a number over units.

    Parameters
    ----------
    q25, median, q75
        None where no unit has the number.
    units, excluded
        Units that have it, and that do not.
    """

    q25: float | None = mean()
    median: float | None = mean()
    q75: float | None = mean()
    units: int = total()
    excluded: int = total()


ResultT = TypeVar("ResultT", bound=Result)


def with_measures(result: ResultT, **given: object) -> ResultT:
    """Return a result with measures under their names, and what has to be said about them as `reasons`."""
    reasons = {name: value.reason for name, value in given.items() if isinstance(value, Measured) and value.reason}
    values = {name: value.value if isinstance(value, Measured) else value for name, value in given.items()}
    return replace(result, **values, reasons=reasons)


def _scored(values: np.ndarray, mask: np.ndarray | None, *predictions: np.ndarray) -> np.ndarray:
    """Entries that are observed and that all predictions cover."""
    scored = np.isfinite(values) if mask is None else mask & np.isfinite(values)
    for prediction in predictions:
        scored = scored & np.isfinite(prediction)
    return scored


def mse(
    values: Float[np.ndarray, "*a"], prediction: Float[np.ndarray, "*a"], mask: Bool[np.ndarray, "*a"] | None = None
) -> Measured:
    """Return the mean squared error over the entries that are observed and predicted, all units pooled.

    MSE = mean (y - ŷ)², in squared units of the values.
    """
    scored = _scored(values, mask, prediction)
    if not scored.any():
        return Measured(None, 0, reason="no entry is both observed and predicted")
    error = values[scored].astype(np.float64) - prediction[scored]
    with np.errstate(over="ignore"):
        value = float(np.mean(error**2))
    if not np.isfinite(value):
        return Measured(None, int(scored.sum()), reason="the squared error overflows: the prediction diverged")
    return Measured(value, int(scored.sum()))


def skill(
    values: Float[np.ndarray, "*a"],
    prediction: Float[np.ndarray, "*a"],
    reference: Float[np.ndarray, "*a"],
    mask: Bool[np.ndarray, "*a"] | None = None,
) -> Measured:
    """Return the skill of a prediction over a reference: 1 - MSE(prediction) / MSE(reference), all units pooled.

    Both errors are taken over the same entries: observed, predicted and covered by the reference.
    1 is perfect, 0 is no better than the reference (DESIGN: persistence), below 0 is worse.
    Source: mean squared error skill score, Murphy (1988) Mon. Wea. Rev. 116:2417, eq. 4.
    """
    scored = _scored(values, mask, prediction, reference)
    if not scored.any():
        return Measured(None, 0, reason="no entry is observed, predicted and covered by the reference")
    ours, theirs = mse(values, prediction, scored), mse(values, reference, scored)
    if ours.value is None or theirs.value is None:
        return Measured(None, ours.count, reason=ours.reason or theirs.reason)
    if theirs.value == 0.0:
        return Measured(None, ours.count, reason="the reference has no error: the data do not change")
    return Measured(1.0 - ours.value / theirs.value, ours.count)


def unit_skill(
    values: Float[np.ndarray, "t P"],
    prediction: Float[np.ndarray, "t P"],
    reference: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"] | None = None,
) -> Float[np.ndarray, "P"]:
    """Return the skill over the reference of every unit by itself; NaN where it is not defined (see `skill`)."""
    scored = _scored(values, mask, prediction, reference)
    with np.errstate(over="ignore", invalid="ignore"):
        ours = np.where(scored, values - prediction.astype(np.float64), 0.0)
        theirs = np.where(scored, values - reference.astype(np.float64), 0.0)
        # Dividing by the largest error first keeps the squares of very small or large units in range.
        size = np.abs(theirs).max(axis=0, initial=0.0)
        defined = size > 0
        size = np.where(defined, size, 1.0)
        ratio = np.sum((ours / size) ** 2, axis=0) / np.where(defined, np.sum((theirs / size) ** 2, axis=0), 1.0)
    return np.where(defined & np.isfinite(ratio), 1.0 - ratio, np.nan)


def functional_connectivity(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"] | None = None
) -> Float[np.ndarray, "P P"]:
    """Return Pearson correlations of all pairs of units over time, each over the frames in which both are observed.

    Parameters
    ----------
    values
        [time, unit]; entries that are not finite are left out.
    mask
        [time, unit], True where observed.

    Returns
    -------
    Float[np.ndarray, "P P"]
        Symmetric, diagonal 1. NaN for pairs that share fewer than `MIN_FRAMES` frames or of which
        one unit does not vary over the shared frames (both row and column of a constant unit).
    """
    observed = _scored(values, mask)
    frames = observed.sum(axis=0)
    x = np.where(observed, values, 0.0).astype(np.float64)
    # A diverging prediction can exceed the square root of the largest float before it ends.
    size = np.abs(x).max(axis=0, initial=0.0)
    x = x / np.where(size > 0, size, 1.0)
    mean = x.sum(axis=0) / np.maximum(frames, 1)
    # Centring and scaling each unit keeps the differences of sums below free of cancellation.
    x = np.where(observed, x - mean, 0.0)
    scale = np.sqrt((x**2).sum(axis=0) / np.maximum(frames, 1))
    varies = scale > CONSTANT
    x = np.where(varies, x / np.where(varies, scale, 1.0), 0.0)
    seen = observed.astype(np.float64)
    shared = seen.T @ seen
    sums = x.T @ seen
    squares = (x**2).T @ seen
    n = np.maximum(shared, 1.0)
    covariance = x.T @ x - sums * sums.T / n
    variance = squares - sums**2 / n
    defined = varies[:, None] & varies[None, :] & (shared >= MIN_FRAMES)
    defined &= (variance > CONSTANT * n) & (variance.T > CONSTANT * n)
    norm = np.sqrt(np.where(defined, variance * variance.T, 1.0))
    matrix = np.where(defined, np.clip(covariance / norm, -1.0, 1.0), np.nan)
    own = np.diag(defined).copy()
    matrix[own, own] = 1.0
    return matrix


def fc_corr(first: Float[np.ndarray, "P P"], second: Float[np.ndarray, "P P"]) -> Measured:
    """Compare two functional connectivities: Pearson correlation of their upper triangles.

    Only pairs that are defined in both take part; units without any defined pair are counted as
    excluded. Source: DESIGN "What a fit must report", as in the fly whole-brain fits that it cites.
    """
    above = np.triu_indices(len(first), 1)
    a, b = first[above], second[above]
    both = np.isfinite(a) & np.isfinite(b)
    excluded = int((~(np.isfinite(np.diag(first)) & np.isfinite(np.diag(second)))).sum())
    pairs = int(both.sum())
    note = f"{excluded} of {len(first)} units do not vary and were left out" if excluded else None
    if pairs < MIN_PAIRS:
        reason = f"{pairs} pairs of units are defined in both, {MIN_PAIRS} are needed" + (f" ({note})" if note else "")
        return Measured(None, pairs, excluded, reason)
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    if norm <= CONSTANT * pairs:
        return Measured(None, pairs, excluded, "all pairs have the same correlation in one of the two")
    return Measured(float(np.clip((a * b).sum() / norm, -1.0, 1.0)), pairs, excluded, note)


def unit_correlations(
    values: Float[np.ndarray, "t P"], prediction: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"] | None = None
) -> Float[np.ndarray, "P"]:
    """Return each unit's Pearson correlation over time of data and prediction; NaN where one of them does not vary."""
    scored = _scored(values, mask, prediction)
    x, y = _centred(values, scored), _centred(prediction, scored)
    defined = np.isfinite(x[1]) & np.isfinite(y[1]) & (scored.sum(axis=0) >= MIN_FRAMES)
    r = np.sum(x[0] * y[0], axis=0) / np.maximum(scored.sum(axis=0), 1)
    return np.where(defined, np.clip(r, -1.0, 1.0), np.nan)


def std_ratios(
    values: Float[np.ndarray, "t P"], prediction: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"] | None = None
) -> Float[np.ndarray, "P"]:
    """Return the standard deviation of each unit's prediction over that of its data, over the same frames.

    0 for a prediction that does not move; NaN for units whose data do not vary.
    """
    scored = _scored(values, mask, prediction)
    data, model = _centred(values, scored)[1], _centred(prediction, scored)[1]
    enough = scored.sum(axis=0) >= MIN_FRAMES
    return np.where(
        enough & np.isfinite(data), np.nan_to_num(model, nan=0.0) / np.where(np.isfinite(data), data, 1.0), np.nan
    )


def _centred(values: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised values (0 where not scored) and standard deviations (NaN for units that do not vary)."""
    count = np.maximum(scored.sum(axis=0), 1)
    x = np.where(scored, values, 0.0).astype(np.float64)
    # A diverged prediction can exceed the square root of the largest float.
    size = np.abs(x).max(axis=0, initial=0.0)
    unit = np.where(size > 0, size, 1.0)
    x = x / unit
    x = np.where(scored, x - x.sum(axis=0) / count, 0.0)
    std = np.sqrt((x**2).sum(axis=0) / count)
    varies = std > CONSTANT
    return np.where(varies, x / np.where(varies, std, 1.0), 0.0), np.where(varies, std * unit, np.nan)


def quartiles(numbers: Float[np.ndarray, "P"]) -> Quartiles:
    """Return the quartiles of the finite numbers, how many there are and how many are not defined."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return Quartiles(excluded=len(numbers))
    low, middle, high = map(float, np.percentile(known, [25, 50, 75]))
    return Quartiles(low, middle, high, len(known), len(numbers) - len(known))


def median_of(numbers: Float[np.ndarray, "*K P"], undefined: str, *, of: str = "units") -> Measured:
    """Return the median over units that have the number; `undefined` says what is wrong with the others."""
    finite = numbers[np.isfinite(numbers)]
    excluded = numbers.size - len(finite)
    note = f"{excluded} of {numbers.size} {of} were left out: {undefined}" if excluded else None
    if not len(finite):
        return Measured(None, 0, excluded, f"not defined for any of {numbers.size} {of}: {undefined}")
    return Measured(float(np.median(finite)), len(finite), excluded, note)


def diverged(prediction: Float[np.ndarray, "t *rest"]) -> str | None:
    """Report where a prediction is infinite, or stops being a number after it was one."""
    bad = ~np.isfinite(prediction)
    started = np.logical_or.accumulate(~bad, axis=0)
    fault = np.isinf(prediction) | (bad & started)
    if not fault.any():
        return None
    first = int(np.argmax(fault.reshape(len(fault), -1).any(axis=1)))
    return f"the prediction stops being finite at frame {first} of the part"
