"""Skill unit by unit: the median unit with its interval, and two forecasters compared over units.

Pooled skill is a ratio of sums of squares, so the units that move most decide it. The median unit's skill is what a
unit in the middle gains, whatever the others do; a pooled lead that the median unit does not share comes from few.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from connfit.config import EvaluateConfig
from connfit.evaluation.block_bootstrap import draw_blocks, stretched, suitable_length
from connfit.evaluation.metrics import covered, unit_skill
from connfit.evaluation.pooling import Result, end, mean
from connfit.evaluation.squared_errors import ONE_STEP, UnitErrors, ratio_skill
from connfit.recordings.frame_blocks import Stored, frame_blocks

LEVEL = 0.95
"""Confidence level of all intervals here."""

REPEATS = 500
"""Resamples of an interval: its ends then move by about a twentieth of its width from seed to seed."""


@dataclass(frozen=True)
class Estimate(Result):
    """A number with the ends of its interval; of several recordings, their mean.

    Parameters
    ----------
    value, low, high
        None where they are not defined.
    """

    value: float | None = mean()
    low: float | None = end("low")
    high: float | None = end("high")

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends; None unless both are defined."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class UnitComparison(Result):
    """Two forecasters compared on the same frames of the same recordings.

    Parameters
    ----------
    baseline
        The one that the model is compared with.
    difference, low, high
        Skill over persistence of the model minus that of the baseline, mean over recordings, with its 95 % interval:
        of the median unit, or of all units pooled.
    units, better
        Units that both have a skill for, and those that the model predicts better.
    p
        Of Wilcoxon's signed-rank test of the units' differences in skill (two-sided; scipy.stats.wilcoxon). Units of
        one animal are not independent of each other: it is that of units as they are, not of other animals.
    """

    baseline: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    units: int = 0
    better: int = 0
    p: float | None = None


def median_unit_scores(
    errors: Mapping[int, UnitErrors], reasons: Mapping[int, str], config: EvaluateConfig
) -> dict[int, Estimate]:
    """Return `horizon_median_unit` of `metrics.json`: by horizon, the median unit's skill with its interval."""
    return {
        h: median_unit([errors[h]]) if h in errors else _undefined(reasons[h])
        for h in sorted({ONE_STEP, *config.horizons})
    }


def median_unit(errors: Sequence[UnitErrors], *, repeats: int = REPEATS, seed: int = 0) -> Estimate:
    """Return the median over units of the skill over persistence, mean over recordings, with a 95 % interval.

    Parameters
    ----------
    errors
        Of one forecaster at one horizon, one entry per recording.
    repeats
        Number of resamples.
    seed
        Of the resampling.

    Notes
    -----
    See `connfit.evaluation.block_bootstrap`: blocks are the same for all units, and the median is taken again. Units
    are not resampled: the interval is about other stretches of time of the same units.
    """
    return _interval([errors], repeats, seed)


def compare_units(
    ours: Sequence[UnitErrors], theirs: Sequence[UnitErrors], *, repeats: int = REPEATS, seed: int = 0
) -> UnitComparison:
    """Compare two forecasters unit by unit, on blocks of time that are drawn alike for both."""
    found = _interval([ours, theirs], repeats, seed)
    reasons = {"difference" if name == "value" else name: why for name, why in found.reasons.items()}
    change = np.concatenate([a.skill - b.skill for a, b in zip(ours, theirs, strict=True)] or [np.zeros(0)])
    change = change[np.isfinite(change)]
    p = None
    if (change != 0).any():
        p = float(np.asarray(stats.wilcoxon(change))[1])
    else:
        reasons["p"] = "no unit is predicted better by one than by the other"
    return UnitComparison(
        difference=found.value, low=found.low, high=found.high, units=len(change), better=int((change > 0).sum()), p=p,
        reasons=reasons,
    )  # fmt: skip


def skill_over_simple(
    values: Float[np.ndarray, "t P"], prediction: Stored, persistence: Stored, mask: Stored
) -> Float[np.ndarray, "P"]:
    """Return the skill of every unit over the better of persistence and its own mean; NaN where it is not defined.

    Skill over persistence alone is 0.5 for white noise that is predicted by its mean: for such a unit the mean is the
    bar, and nothing can clear it. For a unit that drifts persistence is. Above 0, something was predicted that neither
    the level nor the last value says.
    """
    seen = covered(values, mask, prediction, persistence)
    total = np.zeros(values.shape[1])
    for block in frame_blocks(0, *values.shape):
        total += np.where(seen[block], values[block], 0.0).sum(axis=0, dtype=np.float64)
    mean = total / np.maximum(seen.sum(axis=0), 1)
    level = np.broadcast_to(mean, values.shape)
    both = np.stack([unit_skill(values, prediction, simple, seen) for simple in (persistence, level)])
    defined = np.isfinite(both).all(axis=0)
    return np.where(defined, np.where(np.isfinite(both), both, np.inf).min(axis=0), np.nan)


def _undefined(reason: str) -> Estimate:
    return Estimate(reasons=dict.fromkeys(("value", "low", "high"), reason))


def _median(skill: np.ndarray) -> np.ndarray:
    """Median over units, of those that have a skill; NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return np.nanmedian(skill, axis=-1)


def _interval(forecasters: Sequence[Sequence[UnitErrors]], repeats: int, seed: int) -> Estimate:
    """Median unit's skill of the first forecaster, minus that of the second if there is one."""
    signs = (1.0, -1.0)[: len(forecasters)]
    recordings = list(zip(*forecasters, strict=True))
    value, drawn, freedom = 0.0, np.zeros(repeats), 0.0
    generator = np.random.default_rng(seed)
    short = None
    for sides in recordings:
        medians = [float(_median(side.skill)) for side in sides]
        if not np.isfinite(medians).all():
            return _undefined("persistence has no error in any unit: the data do not change")
        value += sum(sign * median for sign, median in zip(signs, medians, strict=True)) / len(recordings)
        rows = len(sides[0].squared)
        length = suitable_length(_influence(sides), sides[0].spacing, sides[0].horizon)
        blocks = draw_blocks(generator, rows, length, repeats)
        if blocks is None:
            short = f"{rows} frames are too few for two blocks of {length}"
            continue
        freedom += rows / length - 1
        for some in frame_blocks(0, repeats, 2 * rows + sides[0].squared.shape[1]):
            weights = blocks.weights(some)
            for sign, side, median in zip(signs, sides, medians, strict=True):
                again = _median(ratio_skill(weights @ side.squared, weights @ side.reference))
                # A resample in which nothing moves has no skill of its own; it says nothing.
                drawn[some] += sign * np.where(np.isfinite(again), again, median) / len(recordings)
    if short is not None:
        return Estimate(value, reasons=dict.fromkeys(("low", "high"), short))
    low, high = stretched(value, drawn, LEVEL, freedom, most=1.0 if len(forecasters) == 1 else np.inf)
    return Estimate(value, min(low, value), max(high, value))


def _influence(sides: Sequence[UnitErrors]) -> Float[np.ndarray, "S"]:
    """How each frame moves the skill of the units about the median: of the middle half, which decide it, the mean."""
    series = np.zeros(len(sides[0].squared))
    for sign, side in zip((1.0, -1.0), sides, strict=False):
        skill = side.skill
        # Units of the data, not interpolated: of few units none may lie between two percentiles.
        low, high = np.nanpercentile(skill, 25, method="lower"), np.nanpercentile(skill, 75, method="higher")
        middle = (skill >= low) & (skill <= high)
        reference = side.reference[:, middle].mean(axis=0)
        ratio = side.squared[:, middle].mean(axis=0) / reference
        series += sign * (-(side.squared[:, middle] - ratio * side.reference[:, middle]) / reference).mean(axis=1)
    return series
