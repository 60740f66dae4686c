"""How far two sets of weights agree, connection by connection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.analysis.parameters.rank_correlation import RankCorrelation
from connfit.analysis.result import Result


@dataclass(frozen=True)
class WeightComparison(Result):
    """How far two sets of magnitudes of the same connections agree, connection by connection.

    Parameters
    ----------
    count
        Connections.
    pearson, log_pearson, spearman
        Correlation of the magnitudes, of their logarithms where both are above 0, and of their ranks.
    zero_in_both, zero_in_first, zero_in_second
        Connections with magnitude 0 in both, in the first alone, in the second alone.
    relative_change_quantiles
        |second - first| / first at the quantiles 0.1, 0.25, 0.5, 0.75, 0.9 of the connections above 0 in the first.
    moved_by_over_1_percent
        Part of the connections whose magnitude differs by more than 1 % of the larger one.
    total_change
        Σ |second - first| / Σ first.
    change_pearson, change_spearman
        Correlation of what two fits each did to a start that they share; None without the start.
    """

    count: int = 0
    pearson: float | None = None
    log_pearson: float | None = None
    spearman: float | None = None
    zero_in_both: int = 0
    zero_in_first: int = 0
    zero_in_second: int = 0
    relative_change_quantiles: tuple[float | None, ...] = ()
    moved_by_over_1_percent: float | None = None
    total_change: float | None = None
    change_pearson: float | None = None
    change_spearman: float | None = None


def compare_weights(
    first: Float[np.ndarray, "M"],
    second: Float[np.ndarray, "M"],
    *,
    start: Float[np.ndarray, "M"] | tuple[Float[np.ndarray, "M"], Float[np.ndarray, "M"]] | None = None,
) -> WeightComparison:
    """Compare the magnitudes of two fits (two seeds, say), or of a fit and its start.

    Parameters
    ----------
    first, second
        [M] magnitudes; signs are dropped.
    start
        What both fits started from, or a pair where they started apart. Two fits that start alike agree by that
        alone: only the agreement of their changes shows what the data determine.

    Raises
    ------
    ConfigError
        If shapes differ or a number is not finite.
    """
    a, b = np.abs(np.asarray(first).ravel()), np.abs(np.asarray(second).ravel())
    spearman = RankCorrelation(a, b).overall()
    starts = start if isinstance(start, tuple) else None if start is None else (start, start)
    change_pearson = change_spearman = None
    if starts is not None:
        changes = [value - np.abs(np.asarray(first).ravel()) for value, first in zip((a, b), starts, strict=True)]
        change_pearson = pearson(*changes)
        change_spearman = RankCorrelation(*changes).overall()
    there, here = a > 0, b > 0
    both = there & here
    difference = np.abs(b - a)
    relative = np.percentile(difference[there] / a[there], [10, 25, 50, 75, 90]) if there.any() else np.full(5, np.nan)
    total = float(a.sum(dtype=np.float64))
    return WeightComparison(
        count=len(a),
        pearson=pearson(a, b),
        log_pearson=pearson(np.log(a[both]), np.log(b[both])),
        spearman=spearman,
        zero_in_both=int((~there & ~here).sum()),
        zero_in_first=int((~there & here).sum()),
        zero_in_second=int((there & ~here).sum()),
        relative_change_quantiles=tuple(relative),
        moved_by_over_1_percent=float((difference > 0.01 * np.maximum(a, b)).mean()) if len(a) else None,
        total_change=float(difference.sum(dtype=np.float64)) / total if total else None,
        change_pearson=change_pearson,
        change_spearman=change_spearman,
    )


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlate in double precision; NaN for fewer than three entries or a constant."""
    if len(a) < 3:
        return float("nan")
    x = a.astype(np.float64)
    y = b.astype(np.float64)
    x -= x.mean()
    y -= y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    rounding = 1e-12 * len(a) * max(1e-300, float(np.abs(a).max()) * float(np.abs(b).max()))
    return float(x @ y / scale) if scale > rounding else float("nan")
