"""Measures of agreement between data and prediction: NumPy only, aware of missing values.

Arrays are [time, unit], in memory or on disk, and are read in blocks of frames. An entry counts where it was observed
and predicted. A measure that is not defined is `None` and comes with the reason; arrays use NaN for undefined units, as
documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.evaluation.pooling import Result, mean, total
from connfit.recordings.frame_blocks import Stored, frame_blocks

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


def _blocks(
    values: Stored, mask: Stored | None, *predictions: Stored
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]:
    """Blocks of frames: values, which entries are scored (see `_scored`), and predictions."""
    for block in frame_blocks(0, values.shape[0], int(np.prod(values.shape[1:]))):
        here, there = np.asarray(values[block]), tuple(np.asarray(prediction[block]) for prediction in predictions)
        yield here, _scored(here, None if mask is None else np.asarray(mask[block]), *there), there


def covered(values: Stored, mask: Stored, *predictions: Stored) -> Bool[np.ndarray, "t P"]:
    """Return the entries that are observed and that all predictions cover."""
    blocks = [scored for _, scored, _ in _blocks(values, mask, *predictions)]
    return np.concatenate(blocks) if blocks else np.zeros(values.shape, bool)


def mse(values: Stored, prediction: Stored, mask: Stored | None = None) -> Measured:
    """Return the mean squared error over the entries that are observed and predicted, all units pooled.

    MSE = mean (y - ŷ)², in squared units of the values.
    """
    (total,), count = _squared_errors(values, mask, prediction)
    if not count:
        return Measured(None, 0, reason="no entry is both observed and predicted")
    return _mean_square(total, count)


def _squared_errors(values: Stored, mask: Stored | None, *predictions: Stored) -> tuple[list[float], int]:
    """Sum of squared errors of each prediction over the entries that all of them cover, and their number."""
    totals, count = [0.0] * len(predictions), 0
    with np.errstate(over="ignore"):
        for here, scored, there in _blocks(values, mask, *predictions):
            count += int(scored.sum())
            known = here[scored].astype(np.float64)
            for at, prediction in enumerate(there):
                totals[at] += float(np.sum((known - prediction[scored]) ** 2))
    return totals, count


def _mean_square(total: float, count: int) -> Measured:
    if not np.isfinite(total):
        return Measured(None, count, reason="the squared error overflows: the prediction diverged")
    return Measured(total / count, count)


def skill(values: Stored, prediction: Stored, reference: Stored, mask: Stored | None = None) -> Measured:
    """Return the skill of a prediction over a reference: 1 - MSE(prediction) / MSE(reference), all units pooled.

    Both errors are taken over the same entries: observed, predicted and covered by the reference.
    1 is perfect, 0 is no better than the reference (DESIGN: persistence), below 0 is worse.
    Source: mean squared error skill score, Murphy (1988) Mon. Wea. Rev. 116:2417, eq. 4.
    """
    totals, count = _squared_errors(values, mask, prediction, reference)
    if not count:
        return Measured(None, 0, reason="no entry is observed, predicted and covered by the reference")
    ours, theirs = (_mean_square(total, count) for total in totals)
    if ours.value is None or theirs.value is None:
        return Measured(None, ours.count, reason=ours.reason or theirs.reason)
    if theirs.value == 0.0:
        return Measured(None, ours.count, reason="the reference has no error: the data do not change")
    return Measured(1.0 - ours.value / theirs.value, ours.count)


def unit_skill(
    values: Stored, prediction: Stored, reference: Stored, mask: Stored | None = None
) -> Float[np.ndarray, "P"]:
    """Return the skill over the reference of every unit by itself; NaN where it is not defined (see `skill`).

    Arguments are [t, P].
    """
    units = values.shape[1]
    size, squares = np.zeros(units), np.zeros((2, units))
    with np.errstate(over="ignore", invalid="ignore"):
        # Dividing by the largest error first keeps the squares of very small or large units in range.
        for here, scored, (_, last) in _blocks(values, mask, prediction, reference):
            theirs = np.where(scored, here - last.astype(np.float64), 0.0)
            size = np.maximum(size, np.abs(theirs).max(axis=0, initial=0.0))
        defined = size > 0
        size = np.where(defined, size, 1.0)
        for here, scored, there in _blocks(values, mask, prediction, reference):
            for at, guess in enumerate(there):
                error = np.where(scored, here - guess.astype(np.float64), 0.0)
                squares[at] += np.sum((error / size) ** 2, axis=0)
        ratio = squares[0] / np.where(defined, squares[1], 1.0)
    return np.where(defined & np.isfinite(ratio), 1.0 - ratio, np.nan)


def squares_by_unit(
    values: Stored, prediction: Stored, mask: Stored
) -> tuple[Float[np.ndarray, "P"], Int[np.ndarray, "P"]]:
    """Return the sum of squared errors of each unit over the entries that are observed and predicted, and their number.

    Arguments are [t, P].
    """
    total, count = np.zeros(values.shape[1]), np.zeros(values.shape[1], np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for here, scored, (there,) in _blocks(values, mask, prediction):
            total += (np.where(scored, here - there.astype(np.float64), 0.0) ** 2).sum(axis=0)
            count += scored.sum(axis=0)
    return total, count


@dataclass(frozen=True, eq=False)
class _Spread:
    """Of each unit over the scored frames: their number, largest magnitude, and mean and standard deviation over it."""

    count: np.ndarray
    size: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, blocks: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]], units: int) -> _Spread:
        """Measure what `blocks` yields: values, and which are scored."""
        count, size = np.zeros(units, np.int64), np.zeros(units)
        for values, scored in blocks():
            count += scored.sum(axis=0)
            size = np.maximum(size, np.abs(np.where(scored, values, 0.0).astype(np.float64)).max(axis=0, initial=0.0))
        # A diverging prediction can exceed the square root of the largest float before it ends.
        size = np.where(size > 0, size, 1.0)
        total, square, number = np.zeros(units), np.zeros(units), np.maximum(count, 1)
        for values, scored in blocks():
            total += (np.where(scored, values, 0.0).astype(np.float64) / size).sum(axis=0)
        mean = total / number
        for values, scored in blocks():
            x = np.where(scored, np.where(scored, values, 0.0).astype(np.float64) / size - mean, 0.0)
            square += (x**2).sum(axis=0)
        return cls(count, size, mean, np.sqrt(square / number))

    @property
    def varies(self) -> Bool[np.ndarray, "P"]:
        """Units that are not constant up to rounding."""
        return self.std > CONSTANT

    def standardised(self, values: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """Values with mean 0 and standard deviation 1; 0 where not scored, and of units that do not vary."""
        x = np.where(scored, np.where(scored, values, 0.0).astype(np.float64) / self.size - self.mean, 0.0)
        return np.where(self.varies, x / np.where(self.varies, self.std, 1.0), 0.0)


def functional_connectivity(
    values: Stored,
    mask: Stored | None = None,
    frames: Bool[np.ndarray, "t"] | None = None,
    units: Int[np.ndarray, "P"] | None = None,
) -> Float[np.ndarray, "P P"]:
    """Return Pearson correlations of all pairs of units over time, each over the frames in which both are observed.

    Parameters
    ----------
    values
        [time, unit]; entries that are not finite are left out.
    mask
        [time, unit], True where observed.
    frames, units
        Those that take part; None: all.

    Returns
    -------
    Float[np.ndarray, "P P"]
        Symmetric, diagonal 1. NaN for pairs that share fewer than `MIN_FRAMES` frames or of which
        one unit does not vary over the shared frames (both row and column of a constant unit).
    """
    columns, p = (slice(None), values.shape[1]) if units is None else (units, len(units))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for block in frame_blocks(0, values.shape[0], p):
            some = slice(None) if frames is None else frames[block]
            here = np.asarray(values[block])[some][:, columns]
            yield here, _scored(here, None if mask is None else np.asarray(mask[block])[some][:, columns])

    # Centring and scaling each unit keeps the differences of sums below free of cancellation.
    spread = _Spread.of(blocks, p)
    shared, sums, squares, products = np.zeros((4, p, p))
    for here, observed in blocks():
        x = spread.standardised(here, observed)
        products += x.T @ x
        if observed.all():
            shared += len(x)
            sums += x.sum(axis=0)[:, None]
            squares += (x**2).sum(axis=0)[:, None]
        else:
            seen = observed.astype(np.float64)
            shared += seen.T @ seen
            sums += x.T @ seen
            squares += (x**2).T @ seen
    n = np.maximum(shared, 1.0)
    covariance = products - sums * sums.T / n
    variance = squares - sums**2 / n
    varies = spread.varies
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
    excluded = int((~(np.isfinite(np.diag(first)) & np.isfinite(np.diag(second)))).sum())
    pairs, means = 0, np.zeros(2)
    for a, b in _pairs(first, second):
        pairs += len(a)
        means += a.sum(), b.sum()
    note = f"{excluded} of {len(first)} units do not vary and were left out" if excluded else None
    if pairs < MIN_PAIRS:
        reason = f"{pairs} pairs of units are defined in both, {MIN_PAIRS} are needed" + (f" ({note})" if note else "")
        return Measured(None, pairs, excluded, reason)
    means, products = means / pairs, np.zeros(3)
    for a, b in _pairs(first, second):
        a, b = a - means[0], b - means[1]
        products += (a**2).sum(), (b**2).sum(), (a * b).sum()
    norm = np.sqrt(products[0] * products[1])
    if norm <= CONSTANT * pairs:
        return Measured(None, pairs, excluded, "all pairs have the same correlation in one of the two")
    return Measured(float(np.clip(products[2] / norm, -1.0, 1.0)), pairs, excluded, note)


def _pairs(
    first: Float[np.ndarray, "P P"], second: Float[np.ndarray, "P P"]
) -> Iterator[tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]]:
    """Correlations of the pairs of units that are defined in both, in blocks of rows."""
    units = len(first)
    for rows in frame_blocks(0, units, units):
        above = np.arange(units) > np.arange(units)[rows, None]
        both = above & np.isfinite(first[rows]) & np.isfinite(second[rows])
        yield first[rows][both], second[rows][both]


def unit_correlations(values: Stored, prediction: Stored, mask: Stored | None = None) -> Float[np.ndarray, "P"]:
    """Return each unit's Pearson correlation over time of data and prediction; NaN where one of them does not vary.

    Arguments are [t, P].
    """
    data, model = _spreads(values, prediction, mask)
    product = np.zeros(values.shape[1])
    for here, scored, (there,) in _blocks(values, mask, prediction):
        product += np.sum(data.standardised(here, scored) * model.standardised(there, scored), axis=0)
    defined = data.varies & model.varies & (data.count >= MIN_FRAMES)
    return np.where(defined, np.clip(product / np.maximum(data.count, 1), -1.0, 1.0), np.nan)


def std_ratios(values: Stored, prediction: Stored, mask: Stored | None = None) -> Float[np.ndarray, "P"]:
    """Return the standard deviation of each unit's prediction over that of its data, over the same frames.

    Arguments are [t, P]. 0 for a prediction that does not move; NaN for units whose data do not vary.
    """
    data, model = _spreads(values, prediction, mask)
    own, other = data.std * data.size, np.where(model.varies, model.std * model.size, 0.0)
    return np.where(data.varies & (data.count >= MIN_FRAMES), other / np.where(data.varies, own, 1.0), np.nan)


def _spreads(values: Stored, prediction: Stored, mask: Stored | None) -> tuple[_Spread, _Spread]:
    """Of data and prediction over the same frames."""
    data = _Spread.of(
        lambda: ((here, scored) for here, scored, _ in _blocks(values, mask, prediction)), values.shape[1]
    )
    model = _Spread.of(
        lambda: ((there, scored) for _, scored, (there,) in _blocks(values, mask, prediction)), values.shape[1]
    )
    return data, model


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
