"""Medians, deviations and percentiles of units, each computed at most once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Shaped

from connfit.analysis.criticality.threshold import Threshold

GAUSSIAN = 1.482602218505602
"""Standard deviation over median absolute deviation of a Gaussian."""


class Levels:
    """Statistics of rows [unit, time], over the frames that are not missing."""

    def __init__(self, rows: Shaped[np.ndarray, "N T"], missing: Bool[np.ndarray, "N T"] | None) -> None:
        self.rows = rows
        self.whole = np.ones(len(rows), bool) if missing is None else ~missing.any(axis=1)
        self.seen = np.ones(len(rows), bool) if missing is None else ~missing.all(axis=1)

    def _each(self, rows: np.ndarray, whole: str, partial: str, *args: float) -> Float[np.ndarray, "N"]:
        """A NumPy statistic of every row; the slower one that leaves out NaN only where it is needed."""
        if self.whole.all():
            return np.asarray(getattr(np, whole)(rows, *args, axis=1), np.float64)
        out = np.full(len(rows), np.nan)
        if self.whole.any():
            out[self.whole] = getattr(np, whole)(rows[self.whole], *args, axis=1)
        rest = ~self.whole & self.seen
        if rest.any():
            out[rest] = getattr(np, partial)(rows[rest], *args, axis=1)
        return out

    @cached_property
    def varies(self) -> Bool[np.ndarray, "N"]:
        """Units that take more than one value."""
        return self._each(self.rows, "max", "nanmax") > self._each(self.rows, "min", "nanmin")

    @cached_property
    def median(self) -> Float[np.ndarray, "N"]:
        return self._each(self.rows, "median", "nanmedian")

    @cached_property
    def mad(self) -> Float[np.ndarray, "N"]:
        """Median absolute deviation, scaled to the standard deviation of a Gaussian."""
        kind = self.rows.dtype if self.rows.dtype.kind == "f" else np.float64
        return GAUSSIAN * self._each(np.abs(self.rows - self.median.astype(kind)[:, None]), "median", "nanmedian")

    @cached_property
    def mean(self) -> Float[np.ndarray, "N"]:
        return self._each(self.rows, "mean", "nanmean")

    @cached_property
    def deviation(self) -> Float[np.ndarray, "N"]:
        return self._each(self.rows, "std", "nanstd")

    def of(self, threshold: Threshold) -> Float[np.ndarray, "N"]:
        """Return the level of every unit, in the recording's units; infinite for units without a spread or events."""
        if threshold.rule == "mad":
            level, spread = self.median + threshold.level * self.mad, self.mad > 0
        elif threshold.rule == "zscore":
            level, spread = self.mean + threshold.level * self.deviation, self.deviation > 0
        elif threshold.rule == "percentile":
            level, spread = self._each(self.rows, "percentile", "nanpercentile", threshold.level), True
        else:
            return np.where(self.seen, threshold.level, np.inf)
        with np.errstate(invalid="ignore"):
            return np.where(self.varies & spread, level, np.inf)
