"""Skill unit by unit: the median unit with its interval, and two forecasters compared over units.

Pooled skill is a ratio of sums of squares, so the units that move most decide it. The median unit's skill is what a
unit in the middle gains, whatever the others do; a pooled lead that the median unit does not share comes from few.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.intervals import MIN_BLOCKS, block_length
from connfit.evaluation.metrics import diverged, unit_skill
from connfit.evaluation.predictions import horizon_starts
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.recordings import Recording

LEVEL = 0.95
"""Confidence level of all intervals here."""

REPEATS = 500
"""Resamples of an interval: its ends then move by about a twentieth of its width from seed to seed."""


@dataclass(frozen=True, eq=False)
class UnitErrors:
    """Squared errors of a forecaster and of persistence, at one horizon on one part, frame by frame and unit by unit.

    Parameters
    ----------
    squared, reference
        [S, unit] in squared units of the values; 0 where the entry is not scored.
    spacing
        Mean distance of two neighbouring rows in frames.
    horizon
        Frames ahead.
    """

    squared: Float[np.ndarray, "S P"]
    reference: Float[np.ndarray, "S P"]
    spacing: float
    horizon: int

    @property
    def skill(self) -> Float[np.ndarray, "P"]:
        """Skill over persistence of every unit; NaN where persistence has no error."""
        return _ratio_skill(self.squared.sum(axis=0), self.reference.sum(axis=0))


def unit_errors(
    one_step: Float[np.ndarray, "T P"],
    ahead: Float[np.ndarray, "S steps P"] | str,
    recording: Recording,
    part: str,
    config: EvaluateConfig,
) -> tuple[dict[int, UnitErrors], dict[int, str]]:
    """Errors of given predictions at 1 frame, every one of the part, and at the horizons of `config`.

    Parameters
    ----------
    one_step
        Prediction of every frame of the recording from the frames before it.
    ahead
        Predictions from the starts of `connfit.evaluation.predictions.horizon_starts` on, or why there are none.

    Returns
    -------
    errors
        By horizon.
    reasons
        By horizon that has no errors: why.
    """
    block = recording.require_parts()[part]
    reference = Persistence()
    starts, too_long = horizon_starts(recording, part, config)
    held = reference.horizon(recording, starts, 1)[:, 0]
    wanted: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    reasons: dict[int, str] = {}
    fault = "the part has no frames" if block.stop == block.start else diverged(one_step[block])
    if fault:
        reasons[ONE_STEP] = fault
    else:
        wanted[ONE_STEP] = np.arange(block.start, block.stop), one_step[block], reference.one_step(recording)[block]
    for h in config.horizons:
        if h == ONE_STEP:
            continue
        if isinstance(ahead, str) or h in too_long:
            reasons[h] = ahead if isinstance(ahead, str) else too_long[h]
        elif diverged(np.swapaxes(ahead[:, :h], 0, 1)):
            reasons[h] = f"the prediction stops being finite within {h} steps"
        else:
            wanted[h] = starts + h, ahead[:, h - 1], held
    found: dict[int, UnitErrors] = {}
    for h, (frames, prediction, last) in wanted.items():
        values = recording.values[frames].astype(np.float64)
        scored = recording.mask[frames] & np.isfinite(prediction) & np.isfinite(last)
        with np.errstate(over="ignore", invalid="ignore"):
            ours = np.where(scored, values - prediction, 0.0) ** 2
            theirs = np.where(scored, values - last, 0.0) ** 2
        if not np.isfinite(ours.sum()):
            reasons[h] = "the squared error overflows: the prediction diverged"
            continue
        spacing = (frames[-1] - frames[0]) / (len(frames) - 1) if len(frames) > 1 else 1.0
        found[h] = UnitErrors(ours, theirs, float(spacing), h)
    return found, reasons


def median_unit_scores(
    errors: Mapping[int, UnitErrors], reasons: Mapping[int, str], config: EvaluateConfig
) -> dict[str, dict[str, Any]]:
    """`horizon_median_unit` of `metrics.json`: by horizon as text, the median unit's skill with its interval."""
    return {
        str(h): median_unit([errors[h]]) if h in errors else _undefined(reasons[h])
        for h in sorted({ONE_STEP, *config.horizons})
    }


def median_unit(errors: Sequence[UnitErrors], *, repeats: int = REPEATS, seed: int = 0) -> dict[str, Any]:
    """Median over units of the skill over persistence, mean over recordings, with a 95 % interval.

    Parameters
    ----------
    errors
        Of one forecaster at one horizon, one entry per recording.
    repeats
        Number of resamples.
    seed
        Of the resampling.

    Returns
    -------
    dict
        `value`, `low` and `high`; None, with why under `reasons`, where they are not defined.

    Notes
    -----
    A circular block bootstrap over time (Politis & Romano 1992, in Exploring the Limits of Bootstrap, p. 263): blocks
    of consecutive frames, the same for all units, are drawn with replacement, and the median is taken again. Of B
    blocks, B - 1 are drawn and the ends are stretched by the ratio of Student's quantile to the normal one, as in
    `connfit.evaluation.intervals.paired_difference`. Units are not resampled: the interval is about other stretches of
    time of the same units.
    """
    return _interval([errors], repeats, seed)


def compare_units(
    ours: Sequence[UnitErrors], theirs: Sequence[UnitErrors], *, repeats: int = REPEATS, seed: int = 0
) -> dict[str, Any]:
    """Two forecasters unit by unit, on the same frames of the same recordings.

    Returns
    -------
    dict
        `difference`, `low`, `high`: the median unit's skill of `ours` minus that of `theirs`, mean over recordings,
        with a 95 % interval of blocks that are drawn alike for both; `units` that both have a skill for, `better`:
        those that `ours` predicts better; `p` of Wilcoxon's signed-rank test of the units' differences in skill (two
        sided; scipy.stats.wilcoxon). None, with why under `reasons`, where they are not defined. Units of one animal
        are not independent of each other: p is that of units as they are, not of other animals.
    """
    found = _interval([ours, theirs], repeats, seed)
    reasons = dict(found.pop("reasons", {}))
    change = np.concatenate([a.skill - b.skill for a, b in zip(ours, theirs, strict=True)] or [np.zeros(0)])
    change = change[np.isfinite(change)]
    p = None
    if not (change != 0).any():
        reasons["p"] = "no unit is predicted better by one than by the other"
    else:
        p = float(np.asarray(stats.wilcoxon(change))[1])
    if "value" in reasons:
        reasons["difference"] = reasons.pop("value")
    return {
        "difference": found["value"],
        "low": found["low"],
        "high": found["high"],
        "units": len(change),
        "better": int((change > 0).sum()),
        "p": p,
        **({"reasons": reasons} if reasons else {}),
    }


def skill_over_simple(
    values: Float[np.ndarray, "t P"],
    prediction: Float[np.ndarray, "t P"],
    persistence: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
) -> Float[np.ndarray, "P"]:
    """Skill of every unit over the better of persistence and the unit's own mean over these frames; NaN: not defined.

    Skill over persistence alone is 0.5 for white noise that is predicted by its mean: for such a unit the mean is the
    bar, and nothing can clear it. For a unit that drifts persistence is. Above 0, something was predicted that neither
    the level nor the last value says.
    """
    seen = mask & np.isfinite(prediction) & np.isfinite(persistence)
    count = seen.sum(axis=0)
    mean = np.where(seen, values, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    level = np.broadcast_to(mean, values.shape)
    both = np.stack([unit_skill(values, prediction, one, seen) for one in (persistence, level)])
    defined = np.isfinite(both).all(axis=0)
    return np.where(defined, np.where(np.isfinite(both), both, np.inf).min(axis=0), np.nan)


def _undefined(reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "low", "high"))
    return {**nothing, "reasons": dict.fromkeys(nothing, reason)}


def _ratio_skill(squared: np.ndarray, reference: np.ndarray) -> np.ndarray:
    defined = reference > 0
    return np.where(defined, 1.0 - squared / np.where(defined, reference, 1.0), np.nan)


def _median(skill: np.ndarray) -> np.ndarray:
    """Median over units, of those that have a skill; NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return np.nanmedian(skill, axis=-1)


def _interval(forecasters: Sequence[Sequence[UnitErrors]], repeats: int, seed: int) -> dict[str, Any]:
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
        value += sum(sign * one for sign, one in zip(signs, medians, strict=True)) / len(recordings)
        rows = len(sides[0].squared)
        length = _block(sides)
        count = rows / length
        if count < 2:
            short = f"{rows} frames are too few for two blocks of {length}"
            continue
        freedom += count - 1
        starts = generator.integers(rows, size=(repeats, max(1, round(count - 1))))
        weights = _weights(starts, length, rows)
        for sign, side, median in zip(signs, sides, medians, strict=True):
            again = _median(_ratio_skill(weights @ side.squared, weights @ side.reference))
            # A resample in which nothing moves has no skill of its own; it says nothing.
            drawn += sign * np.where(np.isfinite(again), again, median) / len(recordings)
    if short is not None:
        return {"value": value, "low": None, "high": None, "reasons": dict.fromkeys(("low", "high"), short)}
    tail = (1 - LEVEL) / 2
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    low, high = (float(value + stretch * (end - value)) for end in np.quantile(drawn, [tail, 1 - tail]))
    if len(forecasters) == 1:
        # No skill is above 1; the stretch for few blocks does not know it.
        high = min(high, 1.0)
    return {"value": value, "low": min(low, value), "high": max(high, value)}


def _block(sides: Sequence[UnitErrors]) -> int:
    """Rows per block: what suits the units about the median, and at least the horizon.

    Those of the middle half decide the median; their mean influence on their own skill is the series whose
    autocorrelation counts.
    """
    series = np.zeros(len(sides[0].squared))
    for sign, side in zip((1.0, -1.0), sides, strict=False):
        skill = side.skill
        # Units of the data, not interpolated: of few units none may lie between two percentiles.
        low, high = np.nanpercentile(skill, 25, method="lower"), np.nanpercentile(skill, 75, method="higher")
        middle = (skill >= low) & (skill <= high)
        reference = side.reference[:, middle].mean(axis=0)
        ratio = side.squared[:, middle].mean(axis=0) / reference
        series += sign * (-(side.squared[:, middle] - ratio * side.reference[:, middle]) / reference).mean(axis=1)
    overlap = int(np.ceil(sides[0].horizon / sides[0].spacing))
    return min(max(block_length(series), overlap), max(1, len(series) // MIN_BLOCKS))


def _weights(starts: Int[np.ndarray, "repeats B"], length: int, rows: int) -> Float[np.ndarray, "repeats S"]:
    """How often each row is in the drawn blocks of `length` rows, around the end to the start."""
    repeats = len(starts)
    at = (starts[:, :, None] + np.arange(length)) % rows + rows * np.arange(repeats)[:, None, None]
    return np.bincount(at.ravel(), minlength=repeats * rows).reshape(repeats, rows).astype(np.float64)
