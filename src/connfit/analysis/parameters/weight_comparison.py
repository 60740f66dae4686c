"""How far two sets of connection strengths agree, connection by connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.analysis.parameters.rank_correlation import RankCorrelation
from connfit.analysis.plain import finite
from connfit.analysis.record import Result


@dataclass(frozen=True, eq=False)
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
    relative_change
        |second - first| / first at the quantiles 0.1, 0.25, 0.5, 0.75, 0.9 of the connections above 0 in the first.
    moved
        Part of the connections whose magnitude differs by more than 1 % of the larger one.
    total_change
        Σ |second - first| / Σ first.
    change_pearson, change_spearman
        Correlation of what two fits each did to a start that they share; None without the start.
    """

    count: int
    pearson: float
    log_pearson: float
    spearman: float
    zero_in_both: int
    zero_in_first: int
    zero_in_second: int
    relative_change: Float[np.ndarray, "5"]
    moved: float
    total_change: float
    change_pearson: float | None = field(default=None)
    change_spearman: float | None = field(default=None)

    def record(self) -> dict[str, Any]:
        """Everything as plain values; undefined numbers are None."""
        return {
            "count": self.count,
            "pearson": finite(self.pearson),
            "log_pearson": finite(self.log_pearson),
            "spearman": finite(self.spearman),
            "zero_in_both": self.zero_in_both,
            "zero_in_first": self.zero_in_first,
            "zero_in_second": self.zero_in_second,
            "relative_change_quantiles": finite(self.relative_change),
            "moved_by_over_1_percent": finite(self.moved),
            "total_change": finite(self.total_change),
            "change_pearson": finite(self.change_pearson),
            "change_spearman": finite(self.change_spearman),
        }


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
        changes = [value - np.abs(np.asarray(one).ravel()) for value, one in zip((a, b), starts, strict=True)]
        change_pearson = pearson(*changes)
        change_spearman = RankCorrelation(*changes).overall()
    there, here = a > 0, b > 0
    both = there & here
    difference = np.abs(b - a)
    relative = np.percentile(difference[there] / a[there], [10, 25, 50, 75, 90]) if there.any() else np.full(5, np.nan)
    total = float(a.sum(dtype=np.float64))
    return WeightComparison(
        len(a),
        pearson(a, b),
        pearson(np.log(a[both]), np.log(b[both])),
        spearman,
        int((~there & ~here).sum()),
        int((~there & here).sum()),
        int((there & ~here).sum()),
        relative,
        float((difference > 0.01 * np.maximum(a, b)).mean()) if len(a) else float("nan"),
        float(difference.sum(dtype=np.float64)) / total if total else float("nan"),
        change_pearson,
        change_spearman,
    )


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation in double precision; NaN for fewer than three entries or a constant."""
    if len(a) < 3:
        return float("nan")
    x = a.astype(np.float64)
    y = b.astype(np.float64)
    x -= x.mean()
    y -= y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    rounding = 1e-12 * len(a) * max(1e-300, float(np.abs(a).max()) * float(np.abs(b).max()))
    return float(x @ y / scale) if scale > rounding else float("nan")
