"""Distributions of positive quantities that spread over decades: weights, synapse counts, time constants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from connfit.analysis.result import Result
from connfit.errors import ConfigError

PROBABILITIES = np.array(
    [0.001, 0.01, *np.round(np.arange(0.05, 0.951, 0.05), 2), 0.98, 0.99, 0.995, 0.999, 0.9999, 0.99999]
)
"""Probabilities of the quantiles that distributions are compared at, dense in the tail of strong synapses."""


@dataclass(frozen=True)
class Distribution(Result):
    """Shape of a distribution of magnitudes on a logarithmic scale; None where it is not defined.

    Parameters
    ----------
    count, zeros, fraction_zero
        How many, how many of them are 0, and their share. All else but `mean` and `top_hundredth_share` is of those
        above 0.
    mean
        Of all, in the values' own units.
    log_mean, log_std, log_skew
        Mean, standard deviation and skewness of the natural logarithm; of a log-normal distribution μ, σ and 0.
    maximum
        The largest.
    top_hundredth_share
        Part of the sum that the largest hundredth of all carries.
    probabilities, quantiles
        `PROBABILITIES`, and the quantiles there, in the values' own units.
    """

    count: int = 0
    zeros: int = 0
    fraction_zero: float | None = None
    mean: float | None = None
    log_mean: float | None = None
    log_std: float | None = None
    log_skew: float | None = None
    maximum: float | None = None
    top_hundredth_share: float | None = None
    probabilities: tuple[float, ...] = ()
    quantiles: tuple[float | None, ...] = ()

    @property
    def median(self) -> float | None:
        """The middle of those above 0."""
        return self.quantiles[self.probabilities.index(0.5)]

    @property
    def relative(self) -> Float[np.ndarray, "Q"] | None:
        """[Q] quantiles over the geometric mean: two of these against each other are a Q-Q plot."""
        if self.log_mean is None or None in self.quantiles:
            return None
        return np.array(self.quantiles, np.float64) / np.exp(self.log_mean)


def distribution(values: np.ndarray) -> Distribution:
    """Describe the distribution of magnitudes; signs are dropped.

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
    found = Distribution(
        count=count,
        zeros=zeros,
        fraction_zero=zeros / count if count else None,
        mean=total / count if count else None,
        probabilities=tuple(PROBABILITIES),
        quantiles=(None,) * len(PROBABILITIES),
    )
    if not len(positive):
        return found
    quantiles = positive[np.floor(PROBABILITIES * (len(positive) - 1)).astype(np.int64)].astype(np.float64)
    logs = np.log(positive, dtype=np.float64)
    log_mean = float(logs.mean())
    logs -= log_mean
    squares = logs * logs
    variance = float(squares.mean())
    squares *= logs
    # Values that are all alike have rounding errors of the logarithm and no shape.
    skew = float(squares.mean()) / variance**1.5 if variance > 1e-12 else None
    return replace(
        found,
        log_mean=log_mean,
        log_std=variance**0.5,
        log_skew=skew,
        maximum=float(ordered[-1]),
        top_hundredth_share=top / total,
        quantiles=tuple(quantiles),
    )
