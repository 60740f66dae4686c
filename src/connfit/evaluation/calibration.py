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
from jaxtyping import Float
from scipy import stats

from connfit.evaluation.metrics import CONSTANT
from connfit.evaluation.pooling import Result, by_key, mean, same, total
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored, frame_blocks

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


def training_spread(one_step: Stored, recording: Recording, warmup: int = 0) -> Float[np.ndarray, "P"]:
    """Return the root mean square of each unit's one-step errors on the training part; NaN for a unit with too few.

    Parameters
    ----------
    warmup
        Frames at its start that are left out, at most a tenth, as in
        `connfit.evaluation.residual_noise.training_residuals`.
    """
    train, units = recording.require_parts()["train"], len(recording.units)
    square, count = np.zeros(units), np.zeros(units, np.int64)
    for block in frame_blocks(train.start + min(warmup, (train.stop - train.start) // 10), train.stop, units):
        predicted = np.asarray(one_step[block])
        known = recording.mask[block] & np.isfinite(predicted)
        with np.errstate(over="ignore"):
            square += (np.where(known, recording.values[block].astype(np.float64) - predicted, 0.0) ** 2).sum(axis=0)
        count += known.sum(axis=0)
    return np.where(count >= MIN_ERRORS, np.sqrt(square / np.maximum(count, 1)), np.nan)


def calibration_scores(values: Stored, mask: Stored, prediction: Stored, std: Stored, distribution: str) -> Calibration:
    """Score normal predictive distributions.

    Parameters
    ----------
    values, mask
        [t, P].
    prediction, std
        [t, P] mean and standard deviation of each entry. Entries without either are left out.
    distribution
        Where the standard deviation comes from.
    """
    units, size = values.shape[1], np.zeros(values.shape[1])
    for block in frame_blocks(0, values.shape[0], units):
        size = np.maximum(size, np.abs(np.where(mask[block], values[block], 0.0)).max(axis=0, initial=0.0))
    count, crps, likelihood, inside = 0, 0.0, 0.0, dict.fromkeys(LEVELS, 0)
    for block in frame_blocks(0, values.shape[0], units):
        here, predicted, spread = (np.asarray(each[block]) for each in (values, prediction, std))
        with np.errstate(invalid="ignore"):
            scored = mask[block] & np.isfinite(predicted) & np.isfinite(spread) & (spread > CONSTANT * size)
        sigma = spread[scored]
        with np.errstate(over="ignore", invalid="ignore"):
            z = (here[scored].astype(np.float64) - predicted[scored]) / sigma
            crps += np.sum(sigma * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)))
            likelihood += np.sum(0.5 * z**2 + np.log(sigma) + 0.5 * np.log(2 * np.pi))
        count += len(z)
        for level in LEVELS:
            inside[level] += int(np.sum(np.abs(z) <= stats.norm.ppf(0.5 + level / 200)))
    if not count:
        return _undefined("no entry is observed and has a prediction with a spread above 0", distribution)
    if not (np.isfinite(crps) and np.isfinite(likelihood)):
        return _undefined("the prediction diverged", distribution)
    coverage = {level: covered / count for level, covered in inside.items()}
    return Calibration(coverage, float(crps) / count, float(likelihood) / count, count, distribution)


def _undefined(reason: str, distribution: str) -> Calibration:
    names = ("coverage", "crps", "negative_log_likelihood")
    return Calibration(distribution=distribution, reasons=dict.fromkeys(names, reason))
