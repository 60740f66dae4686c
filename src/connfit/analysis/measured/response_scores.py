"""How well numbers rank responding pairs: scores with intervals by resampling stimulated, or silenced, neurons.

Pairs of one stimulated neuron share its stimulation, so neurons are resampled and not pairs; where neurons are silenced
while others are stimulated, the silenced ones vary. A resample is a weight for each such neuron, the same for all that
is scored, so that differences are paired. The first row of weights is 1 everywhere: the score itself.

AUROC is the probability that a responding pair ranks above one that does not respond, ties count half (Hanley & McNeil
1982, Radiology 143:29). Average precision is Σ (R_k - R_(k-1)) P_k over the values from the highest down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from connfit.errors import ConfigError

ENOUGH = 0.9
"""Share of resamples in which a score must be defined to have an interval."""

_CHUNK = 64
"""Resamples at once of a score that needs all pairs of each: bounds memory."""


@dataclass(frozen=True)
class Estimate:
    """A score with its interval over stimulated, or silenced, neurons.

    Parameters
    ----------
    value, low, high
        None where they are not defined.
    reason
        Why there is no value, or no interval.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @property
    def excludes_zero(self) -> bool | None:
        """Whether zero lies outside the interval; None without one."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


@dataclass(frozen=True, eq=False)
class Resamples:
    """Weights of stimulated, or silenced, neurons.

    Attributes
    ----------
    weights
        [B + 1, G] how often each is drawn; the first row is 1.
    level
        Confidence level of intervals.
    over
        `stimulated` or `silenced`: which neurons they are.
    """

    weights: Float[np.ndarray, "B1 G"]
    level: float
    over: str = "stimulated"

    @classmethod
    def draw(
        cls, groups: int, *, repeats: int = 2000, level: float = 0.95, seed: int = 0, over: str = "stimulated"
    ) -> Resamples:
        """Draw with replacement.

        Raises
        ------
        ConfigError
            If a number is out of range.
        """
        if repeats < 1 or not 0 < level < 1:
            raise ConfigError(f"resamples = {repeats} must be 1 or more, and level = {level:g} between 0 and 1")
        drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=repeats)
        return cls(np.concatenate([np.ones((1, groups)), drawn]), level, over)

    def estimate(self, values: Float[np.ndarray, "B1"], *, why: str = "it is not defined") -> Estimate:
        """Return the score and the percentiles of its resamples.

        Parameters
        ----------
        values
            The score, then that of each resample; NaN where it is not defined.
        why
            Reason to give where there is no score.
        """
        value, drawn = float(values[0]), values[1:]
        if not np.isfinite(value):
            return Estimate(reason=why)
        groups = int((self.weights[0] > 0).sum())
        if groups < 2:
            return Estimate(value, reason=f"one {self.over} neuron: there is no interval over neurons")
        good = drawn[np.isfinite(drawn)]
        if len(good) < ENOUGH * len(drawn):
            return Estimate(value, reason=f"it is not defined in enough resamples of {self.over} neurons")
        tail = 50 * (1 - self.level)
        low, high = np.percentile(good, [tail, 100 - tail])
        return Estimate(value, float(low), float(high))


def concordance(
    score: Float[np.ndarray, "R"], responds: Bool[np.ndarray, "R"], group: Int[np.ndarray, "R"], groups: int
) -> Float[np.ndarray, "G G"]:
    """Count, for two stimulated neurons, how often a response of the first ranks above a non-response of the second.

    Ties count half.
    """
    found = np.zeros((groups, groups))
    positive, of = score[responds], group[responds]
    silent = np.flatnonzero(~responds)
    silent = silent[np.lexsort((score[silent], group[silent]))]
    edges = np.searchsorted(group[silent], np.arange(groups + 1))
    for other in range(groups):
        below = score[silent[edges[other] : edges[other + 1]]]
        if len(below):
            wins = (np.searchsorted(below, positive, "left") + np.searchsorted(below, positive, "right")) / 2
            found[:, other] = np.bincount(of, wins, minlength=groups)
    return found


def auroc(
    score: Float[np.ndarray, "R"],
    responds: Bool[np.ndarray, "R"],
    group: Int[np.ndarray, "R"],
    weights: Float[np.ndarray, "B G"],
) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B"]]:
    """Return AUROC over all pairs, and its mean over stimulated neurons, each with its own pairs, by resample.

    NaN where a resample has no response, or nothing but responses.
    """
    groups = weights.shape[1]
    wins = concordance(score, responds, group, groups)
    yes, no = (np.bincount(group[chosen], minlength=groups) for chosen in (responds, ~responds))
    own = yes * no
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = ((weights @ wins) * weights).sum(axis=1) / ((weights @ yes) * (weights @ no))
        within = np.where(own > 0, np.diag(wins) / own, 0)
        mean = (weights @ within) / (weights @ (own > 0))
    return pooled, mean


def average_precision(
    score: Float[np.ndarray, "R"],
    responds: Bool[np.ndarray, "R"],
    group: Int[np.ndarray, "R"],
    weights: Float[np.ndarray, "B G"],
) -> Float[np.ndarray, "B"]:
    """Return the average precision by resample; pairs of equal score are taken together."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    found = []
    for begin in range(0, len(weights), _CHUNK):
        of_pair = weights[begin : begin + _CHUNK][:, group[order]]
        right = np.cumsum(of_pair * responds[order], axis=1)[:, last]
        chosen = np.cumsum(of_pair, axis=1)[:, last]
        gained = np.diff(right, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(chosen > 0, right / chosen, 0)
            found.append((gained * precision).sum(axis=1) / right[:, -1])
    return np.concatenate(found)


def rank_correlation(
    one: Float[np.ndarray, "R"],
    other: Float[np.ndarray, "R"],
    group: Int[np.ndarray, "R"],
    weights: Float[np.ndarray, "B G"],
) -> Float[np.ndarray, "B"]:
    """Return Spearman's correlation by resample; ranks are those among all pairs, once."""
    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (one, other))
    groups = weights.shape[1]
    sums = [np.bincount(group, values, minlength=groups) for values in (np.ones(len(x)), x, y, x * x, y * y, x * y)]
    n, sx, sy, sxx, syy, sxy = (weights @ np.column_stack(sums)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.maximum(sxx - sx * sx / n, 0) * np.maximum(syy - sy * sy / n, 0))
        return (sxy - sx * sy / n) / spread


def share(
    holds: Bool[np.ndarray, "R"], group: Int[np.ndarray, "R"], weights: Float[np.ndarray, "B G"]
) -> Float[np.ndarray, "B"]:
    """Return the share of pairs of which something holds, by resample."""
    groups = weights.shape[1]
    held, all_of_them = np.bincount(group[holds], minlength=groups), np.bincount(group, minlength=groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ held) / (weights @ all_of_them)


def amplitude_ceiling(halves: Float[np.ndarray, "R"]) -> Float[np.ndarray, "R"]:
    """Return the correlation that a perfect prediction has with the mean of both halves, from that between them.

    The reliability of the mean is 2r / (1 + r) (Spearman 1910; Brown 1910), of which the correlation with what is
    measured without noise is the root. NaN where halves do not agree at all.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(halves > 0, np.sqrt(np.maximum(2 * halves / (1 + halves), 0)), np.nan)


def rank_sum(parts: Sequence[Float[np.ndarray, "R"]]) -> Float[np.ndarray, "R"]:
    """Return the mean rank, from 0 to 1, of the sizes of several predictions; NaN where one of them is."""
    sizes = np.abs(np.stack(parts))
    known = np.isfinite(sizes).all(axis=0)
    found = np.full(sizes.shape[1], np.nan)
    if known.any():
        ranks = [rankdata(size[known]) for size in sizes]
        found[known] = (np.mean(ranks, axis=0) - 0.5) / known.sum()
    return found


def roc_curve(
    score: Float[np.ndarray, "R"], responds: Bool[np.ndarray, "R"], at: Float[np.ndarray, "K"]
) -> Float[np.ndarray, "K"]:
    """Return the share of responses that are found at given shares of false alarms, ties drawn as straight lines."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    found = np.append(0, np.cumsum(responds[order])[last] / responds.sum())
    alarms = np.append(0, np.cumsum(~responds[order])[last] / (~responds).sum())
    return np.interp(at, alarms, found)
