"""Calibration of predictions one step ahead: is a forecaster as uncertain as it should be?

Most forecasters say one number. For them the distribution is a normal one around it with the standard deviation of
each unit's errors on the training part, and it is named so; a forecaster with a distribution of its own is
scored on that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from connfit.evaluation.metrics import CONSTANT
from connfit.evaluation.pooling import Result, by_key, mean, same, total
from connfit.recordings import Recording

LEVELS = (50, 80, 95)
"""Per cent that central intervals are to cover."""

OWN = "own"

MIN_ERRORS = 10
"""Training frames in which a unit must be predicted for its spread to be known."""


@dataclass(frozen=True)
class Calibration(Result):
    """Coverage and proper scores of normal predictive distributions, one step ahead.

    Parameters
    ----------
    coverage
        By nominal per cent: the share of entries inside the central interval.
    crps
        Mean continuous ranked probability score in the values' unit (Gneiting & Raftery 2007, J. Am. Stat. Assoc.
        102:359, eq. 21); less is better.
    negative_log_likelihood
        In nats per entry; less is better.
    scored
        Entries.
    distribution
        Where the standard deviation comes from.
    """

    coverage: Mapping[int, float] | None = by_key(of="mean", default=None)
    crps: float | None = mean()
    negative_log_likelihood: float | None = mean()
    scored: int = total()
    distribution: str | None = same()


@runtime_checkable
class Predictive(Protocol):
    """A forecaster with a normal predictive distribution of its own."""

    def predictive_std(self, recording: Recording) -> Float[np.ndarray, "T P"]:
        """Return the standard deviation of each unit and frame given the frames before it; NaN without a prediction."""
        ...


def training_spread(
    one_step: Float[np.ndarray, "T P"], recording: Recording, warmup: int = 0
) -> Float[np.ndarray, "P"]:
    """Return the root mean square of each unit's one-step errors on the training part; NaN for a unit with too few.

    Parameters
    ----------
    warmup
        Frames at its start that are left out, at most a tenth, as in `connfit.evaluation.free_run.training_residuals`.
    """
    train = recording.require_parts()["train"]
    block = slice(train.start + min(warmup, (train.stop - train.start) // 10), train.stop)
    known = recording.mask[block] & np.isfinite(one_step[block])
    error = np.where(known, recording.values[block].astype(np.float64) - one_step[block], 0.0)
    count = known.sum(axis=0)
    with np.errstate(over="ignore"):
        spread = np.sqrt((error**2).sum(axis=0) / np.maximum(count, 1))
    return np.where(count >= MIN_ERRORS, spread, np.nan)


def calibration_scores(
    values: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
    prediction: Float[np.ndarray, "t P"],
    std: Float[np.ndarray, "t P"],
    distribution: str,
) -> Calibration:
    """Score normal predictive distributions.

    Parameters
    ----------
    prediction, std
        Mean and standard deviation of each entry. Entries without either are left out.
    distribution
        Where the standard deviation comes from.
    """
    size = np.abs(np.where(mask, values, 0.0)).max(axis=0, initial=0.0)
    with np.errstate(invalid="ignore"):
        scored = mask & np.isfinite(prediction) & np.isfinite(std) & (std > CONSTANT * size)
    if not scored.any():
        return _undefined("no entry is observed and has a prediction with a spread above 0", distribution)
    sigma = std[scored]
    with np.errstate(over="ignore", invalid="ignore"):
        z = (values[scored].astype(np.float64) - prediction[scored]) / sigma
        crps = np.mean(sigma * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)))
        likelihood = np.mean(0.5 * z**2 + np.log(sigma) + 0.5 * np.log(2 * np.pi))
    if not (np.isfinite(crps) and np.isfinite(likelihood)):
        return _undefined("the prediction diverged", distribution)
    inside = {level: float(np.mean(np.abs(z) <= stats.norm.ppf(0.5 + level / 200))) for level in LEVELS}
    return Calibration(inside, float(crps), float(likelihood), int(scored.sum()), distribution)


def _undefined(reason: str, distribution: str) -> Calibration:
    names = ("coverage", "crps", "negative_log_likelihood")
    return Calibration(distribution=distribution, reasons=dict.fromkeys(names, reason))
