"""Scores as a share of the ceiling: the ceilings of a recording, and what each forecaster reaches of them.

- Skill, one step and more ahead: no forecaster is below the variance of noise that is white in time (`noise_floor`), so
  that skill over persistence is at most 1 - σ² / MSE of persistence. As persistence repeats one frame's noise and
  misses the next one's, that is never below a half. What else cannot be predicted is not in it: the ceiling is an upper
  bound.
- FC of free runs: the reliability of the part's own FC (`fc_ceiling`).
- Repeated trials, where a recording has them (`notes["trials"]`): what they share (`trials`).

The best forecaster that is known is no ceiling; it stands beside them in the table of scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from connfit._io import finite
from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.fc_ceiling import BetweenAnimals, FcCeiling, fc_ceiling
from connfit.evaluation.free_run import LONGEST_RUN
from connfit.evaluation.metrics import Quartiles, covered, quartiles, squares_by_unit, unit_skill
from connfit.evaluation.noise_floor import MIN_CHANGES, NoiseFloor, coloured_by, noise_floor
from connfit.evaluation.part_scores import PartScores
from connfit.evaluation.pooling import Result, apart, by_key, mean, nested, pool, same, total
from connfit.evaluation.predictions import horizon_starts
from connfit.evaluation.scratch import part_of
from connfit.evaluation.trials import trial_power
from connfit.evaluation.unit_scores import Estimate
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored

PART = "test"


@dataclass(frozen=True)
class OfUnits:
    """A number of each unit with the ends of its interval; None where it is not known."""

    units: tuple[str, ...] = ()
    value: tuple[float | None, ...] = ()
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Share(Result):
    """What a forecaster reaches of the ceilings: score over ceiling, None where the ceiling is not known.

    Parameters
    ----------
    one_step, horizon, fc
        Of skill one step and, by frames, more ahead, and of the FC of free runs.
    unit_share
        Of the skill of single units, one step ahead.
    below_floor
        Units whose error is below the low end of the noise, where the assumption fails (1 in 40 is expected where it is
        as large as the error).
    """

    one_step: Estimate = nested(Estimate)
    horizon: Mapping[int, Estimate] = by_key()
    fc: Estimate = nested(Estimate)
    unit_share: Quartiles | None = nested()
    below_floor: int | float | None = mean(optional=True)


@dataclass(frozen=True)
class TrialCeiling(Result):
    """What repeated trials share, or why it is unknown.

    Parameters
    ----------
    trials
        Their number.
    explainable, cc_max
        Over units, see `connfit.evaluation.trials.TrialPower`.
    """

    trials: int | float | None = mean(optional=True)
    explainable: Quartiles | None = nested()
    cc_max: Quartiles | None = nested()
    reason: str | None = same(optional=True)


@dataclass(frozen=True)
class Ceiling(Result):
    """Ceilings of one part, from its data alone, and what forecasters reach of them.

    Parameters
    ----------
    part
        Its name.
    one_step, horizon
        Largest skill over persistence, one step and, by frames, more ahead, all units pooled as in the score.
    per_unit, noise_variance
        Largest skill of single units one step ahead, and variance of their noise in squared units of the values.
    noise_share
        Noise in the mean square of changes, over units.
    units, excluded
        Units with and without an estimate of their noise.
    reason
        Why there is no ceiling of skill.
    lacking
        Of several recordings: those that have no ceiling of skill, with the reason.
    fc
        Ceiling of the FC of free runs.
    fc_between_animals
        FC of this animal against that of the others.
    trials
        Of recordings with repeated trials.
    shares
        By forecaster.
    """

    part: str | None = same()
    one_step: Estimate = nested(Estimate)
    horizon: Mapping[int, Estimate] = by_key()
    per_unit: OfUnits | None = apart()
    noise_variance: OfUnits | None = apart()
    noise_share: Quartiles | None = nested()
    units: int | None = total(optional=True)
    excluded: int | None = total(optional=True)
    reason: str | None = apart()
    lacking: Mapping[str, str] = apart(dict)
    fc: FcCeiling = nested(FcCeiling)
    trials: TrialCeiling | None = nested()
    shares: Mapping[str, Share] = by_key()
    fc_between_animals: BetweenAnimals | None = nested()


def recording_ceilings(
    recording: Recording, config: EvaluateConfig | None = None, last_values: Stored | None = None
) -> Ceiling:
    """Estimate the ceilings of the test part of a recording, from its data alone.

    Parameters
    ----------
    last_values
        One-step prediction by persistence of all frames, if it is there.
    """
    last_values = Persistence().one_step(recording) if last_values is None else last_values
    return replace(
        _skill_ceilings(recording, config or EvaluateConfig(), last_values),
        part=PART,
        # Of the frames that run freely, with whose FC free runs are compared.
        fc=fc_ceiling(*(of[:LONGEST_RUN] for of in recording.part(PART))),
        trials=_trials(recording) if recording.notes.get("trials") else None,
    )


def noise_of(ceiling: Ceiling) -> tuple[float | None, ...] | None:
    """Return the variance of the noise of every unit; None where nothing is known of any."""
    of = ceiling.noise_variance
    return None if of is None or ceiling.reason else of.value


def _skill_ceilings(recording: Recording, config: EvaluateConfig, last_values: Stored) -> Ceiling:
    values, mask = recording.part(PART)
    block = recording.require_parts()[PART]
    unknown = np.full((3, len(recording.units)), np.nan)

    def of_units(rows: Float[np.ndarray, "3 P"]) -> OfUnits:
        return OfUnits(recording.units, *(tuple(finite(row)) for row in rows))

    nothing = Ceiling(per_unit=of_units(unknown), noise_variance=of_units(unknown))
    coloured = coloured_by(recording.steps)
    if coloured:
        reason = f"after the preprocessing step {coloured} noise is not independent from frame to frame"
        return replace(nothing, reason=reason)
    floor = noise_floor(values, mask)
    known = np.isfinite(floor.share)
    if not known.any():
        reason = f"no unit has {MIN_CHANGES} observed changes in the {PART} part, and varies"
        return replace(nothing, reason=reason)
    reference = Persistence()
    last = part_of(last_values, block)
    starts = horizon_starts(recording, PART, config)[0]
    held = reference.horizon(recording, starts, 1)[:, 0]
    horizon = {}
    for h in config.horizons:
        if len(starts) and starts.max() + h < block.stop:
            ahead = recording.values[starts + h]
            seen = recording.mask[starts + h] & np.isfinite(held)
            horizon[h] = _pooled(floor, *squares_by_unit(ahead, held, seen))
    per_unit = unknown.copy()
    square, count = squares_by_unit(values, last, mask)
    per_unit[:, known] = 1 - floor.variance[:, known] / (square / np.maximum(count, 1))[known]
    return Ceiling(
        one_step=_pooled(floor, square, count),
        horizon=horizon,
        # Much noise leaves little to explain: the ends change places.
        per_unit=of_units(per_unit[[0, 2, 1]]),
        noise_variance=of_units(floor.variance),
        noise_share=quartiles(floor.share),
        units=int(known.sum()),
        excluded=int((~known).sum()),
    )


def _pooled(floor: NoiseFloor, squares: Float[np.ndarray, "P"], count: Int[np.ndarray, "P"]) -> Estimate:
    """Largest pooled skill: units without an estimate count as noiseless, ends are as if all units erred together."""
    noise = np.nan_to_num(floor.variance) @ count
    square = float(squares.sum())
    if not square > 0:
        return Estimate()
    value, high, low = (float(1 - variance / square) for variance in noise)
    return Estimate(value, low, high)


def shares_of(
    ceilings: Ceiling,
    scores: PartScores,
    recording: Recording,
    one_step: Stored | None,
    last_values: Stored | None = None,
) -> Share:
    """Compute what a forecaster reaches of the ceilings.

    Parameters
    ----------
    ceilings
        Of `recording_ceilings`.
    scores
        Of the test part.
    one_step
        Prediction of all frames of the recording, for shares of single units.
    last_values
        That by persistence, if it is there.
    """
    fc = ceilings.fc
    # The ceiling from dealt blocks is the higher one.
    low = None if fc.ceiling_in_order is None or fc.ceiling is None else min(fc.ceiling_in_order, fc.ceiling)
    found = Share(
        one_step=_share(scores.one_step.skill_vs_persistence, ceilings.one_step),
        horizon={h: _share(scores.horizon_skill.get(h), limit) for h, limit in ceilings.horizon.items()},
        fc=_share(scores.free_run.fc_corr, Estimate(fc.ceiling, low, fc.ceiling)),
    )
    if one_step is None or ceilings.per_unit is None or ceilings.noise_variance is None:
        return found
    block = recording.require_parts()[PART]
    values, mask = recording.part(PART)
    predicted = part_of(one_step, block)
    last = part_of(Persistence().one_step(recording) if last_values is None else last_values, block)
    scored = covered(values, mask, predicted, last)
    skill = unit_skill(values, predicted, last, scored)
    limit, least = (np.array(ends, float) for ends in (ceilings.per_unit.value, ceilings.noise_variance.low))
    squares, count = squares_by_unit(values, predicted, scored)
    square = squares / np.maximum(count, 1)
    return replace(
        found,
        unit_share=quartiles(np.where(limit > 0, skill / np.where(limit > 0, limit, 1.0), np.nan)),
        below_floor=int((np.isfinite(least) & (count > 0) & (square < least)).sum()),
    )


def _share(score: float | None, ceiling: Estimate) -> Estimate:
    """Score over ceiling; the interval is that of the ceiling alone. Undefined where the ceiling may be 0."""
    if score is None or ceiling.value is None or ceiling.value <= 0:
        return Estimate()
    if ceiling.low is not None and ceiling.low <= 0:
        return Estimate()
    ends = sorted(score / limit for limit in (ceiling.low, ceiling.high) if limit is not None)
    return Estimate(score / ceiling.value, ends[0] if ends else None, ends[-1] if len(ends) > 1 else None)


def pool_ceilings(each: Mapping[str, Ceiling]) -> Ceiling:
    """Pool the ceilings of recordings, by their name, without those of single units."""
    pooled = pool(list(each.values()))
    lacking = {name: ceiling.reason for name, ceiling in each.items() if ceiling.reason}
    none = len(lacking) == len(each)
    return replace(
        pooled,
        per_unit=None,
        noise_variance=None,
        reason="; ".join(dict.fromkeys(lacking.values())) if none else None,
        lacking={} if none else lacking,
    )


def _trials(recording: Recording) -> TrialCeiling:
    try:
        power = trial_power(recording.values, recording.mask, recording.notes["trials"])
    except DataError as error:
        return TrialCeiling(reason=f"recording {recording.name!r}: {error}")
    return TrialCeiling(power.trials, quartiles(power.explainable), quartiles(power.cc_max))
