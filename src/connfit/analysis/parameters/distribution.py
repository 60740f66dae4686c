"""Distributions of positive quantities that spread over decades: weights, synapse counts, time constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.analysis.plain import finite
from connfit.analysis.record import Result
from connfit.errors import ConfigError

PROBABILITIES = np.array(
    [0.001, 0.01, *np.round(np.arange(0.05, 0.951, 0.05), 2), 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999]
)
"""Probabilities of the quantiles that distributions are compared at, dense in the tail of strong synapses."""


@dataclass(frozen=True, eq=False)
class Distribution(Result):
    """Shape of a distribution of magnitudes on a logarithmic scale.

    Parameters
    ----------
    count, zeros
        How many, and how many of them are 0. All else but `mean` and `top_share` is of those above 0.
    mean
        Of all, in the values' own units.
    log_mean, log_std, log_skew
        Mean, standard deviation and skewness of the natural logarithm; of a log-normal distribution μ, σ and 0.
    quantiles
        At `PROBABILITIES`, in the values' own units.
    maximum
        The largest.
    top_share
        Part of the sum that the largest hundredth of all carries.
    """

    count: int
    zeros: int
    mean: float
    log_mean: float
    log_std: float
    log_skew: float
    quantiles: Float[np.ndarray, "Q"]
    maximum: float
    top_share: float

    @property
    def log10_relative(self) -> Float[np.ndarray, "Q"]:
        """[Q] log10 of the quantiles over the geometric mean: two of these against each other are a Q-Q plot."""
        return np.log10(self.quantiles) - self.log_mean / np.log(10)

    def record(self) -> dict[str, Any]:
        """Everything as plain values; undefined numbers are None."""
        return {
            "count": self.count,
            "zeros": self.zeros,
            "fraction_zero": self.zeros / self.count if self.count else None,
            "mean": finite(self.mean),
            "log_mean": finite(self.log_mean),
            "log_std": finite(self.log_std),
            "log_skew": finite(self.log_skew),
            "maximum": finite(self.maximum),
            "top_hundredth_share": finite(self.top_share),
            "probabilities": PROBABILITIES.tolist(),
            "quantiles": finite(self.quantiles),
        }


def distribution(values: np.ndarray) -> Distribution:
    """Distribution of magnitudes; signs are dropped.

    Raises
    ------
    ConfigError
        If a value is not finite.
    """
    ordered = np.abs(np.asarray(values).ravel())
    if not np.isfinite(ordered).all():
        raise ConfigError(f"value {int(np.flatnonzero(~np.isfinite(ordered))[0])} is not finite")
    ordered.sort()
    count = len(ordered)
    zeros = int(np.searchsorted(ordered, 0, side="right"))
    total = float(ordered.sum(dtype=np.float64))
    top = float(ordered[count - max(1, count // 100) :].sum(dtype=np.float64)) if count else 0.0
    positive = ordered[zeros:]
    if not len(positive):
        nothing = np.full(len(PROBABILITIES), np.nan)
        return Distribution(
            count, zeros, 0.0 if count else np.nan, np.nan, np.nan, np.nan, nothing, np.nan, np.nan
        )  # fmt: skip
    quantiles = positive[np.floor(PROBABILITIES * (len(positive) - 1)).astype(np.int64)].astype(np.float64)
    logs = np.log(positive, dtype=np.float64)
    log_mean = float(logs.mean())
    logs -= log_mean
    squares = logs * logs
    variance = float(squares.mean())
    squares *= logs
    # Values that are all alike have rounding errors of the logarithm and no shape.
    skew = float(squares.mean()) / variance**1.5 if variance > 1e-12 else np.nan
    return Distribution(
        count, zeros, total / count, log_mean, variance**0.5, skew, quantiles, float(ordered[-1]), top / total
    )
