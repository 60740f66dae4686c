"""Scores as a share of what is possible: the ceilings of a recording, and what each forecaster reaches of them.

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
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.fc_ceiling import fc_ceiling
from connfit.evaluation.metrics import quartiles, unit_skill
from connfit.evaluation.noise_floor import MIN_CHANGES, NoiseFloor, coloured_by, noise_floor
from connfit.evaluation.pooling import pool
from connfit.evaluation.predictions import horizon_starts
from connfit.evaluation.trials import trial_power
from connfit.recordings import Recording

PART = "test"
ENDS = ("value", "low", "high")


def recording_ceilings(recording: Recording, config: EvaluateConfig | None = None) -> dict[str, Any]:
    """Ceilings of the test part of a recording, from its data alone.

    Returns
    -------
    dict
        `one_step` and `horizon` (by frames ahead): largest skill over persistence as `value`, `low`, `high`, all units
        pooled as in the score; `per_unit`: the same for single units one step ahead (NumPy arrays, NaN where unknown),
        with `noise_variance`; `noise_share`: quartiles of noise in the mean square of changes; `units`, `excluded`;
        `fc`, see `fc_ceiling`; `trials`, if the recording has them. Where there is no number, `reason` or `reasons`.
    """
    config = config or EvaluateConfig()
    values, mask = recording.part(PART)
    found: dict[str, Any] = {"part": PART, **_skill_ceilings(recording, config)}
    found["fc"] = fc_ceiling(values, mask) if len(values) else {"ceiling": None, "reason": "the part has no frames"}
    if recording.notes.get("trials"):
        found["trials"] = _trials(recording)
    return found


def _skill_ceilings(recording: Recording, config: EvaluateConfig) -> dict[str, Any]:
    values, mask = recording.part(PART)
    block = recording.require_parts()[PART]
    units = len(recording.units)
    unknown = np.full((3, units), np.nan)
    nothing = {"one_step": dict.fromkeys(ENDS), "horizon": {}, "per_unit": unknown, "noise_variance": unknown}
    coloured = coloured_by(recording.steps)
    if coloured:
        return {
            **nothing,
            "reason": f"after the preprocessing step {coloured} noise is not independent from frame to frame",
        }
    floor = noise_floor(values, mask)
    known = np.isfinite(floor.share)
    if not known.any():
        return {**nothing, "reason": f"no unit has {MIN_CHANGES} observed changes in the {PART} part, and varies"}
    reference = Persistence()
    last = reference.one_step(recording)[block]
    one_step = mask & np.isfinite(last)
    starts = horizon_starts(recording, PART, config)[0]
    held = reference.horizon(recording, starts, 1)[:, 0]
    horizon = {}
    for h in config.horizons:
        if len(starts) and starts.max() + h < block.stop:
            ahead = recording.values[starts + h]
            seen = recording.mask[starts + h] & np.isfinite(held)
            horizon[str(h)] = _pooled(floor, np.where(seen, ahead - held, 0.0), seen)
    per_unit = np.full((3, units), np.nan)
    error = np.where(one_step, values - last, 0.0).astype(np.float64)
    mean = (error**2).sum(axis=0) / np.maximum(one_step.sum(axis=0), 1)
    per_unit[:, known] = 1 - floor.variance[:, known] / mean[known]
    return {
        "one_step": _pooled(floor, error, one_step),
        "horizon": horizon,
        "per_unit": per_unit[[0, 2, 1]],
        "noise_variance": floor.variance,
        "noise_share": quartiles(floor.share),
        "units": int(known.sum()),
        "excluded": int((~known).sum()),
    }


def _pooled(floor: NoiseFloor, error: np.ndarray, seen: np.ndarray) -> dict[str, float | None]:
    """Largest pooled skill: units without an estimate count as noiseless, ends are as if all units erred together."""
    noise = np.nan_to_num(floor.variance) @ seen.sum(axis=0)
    total = float((error.astype(np.float64) ** 2).sum())
    if not total > 0:
        return dict.fromkeys(ENDS)
    value, high, low = (float(1 - one / total) for one in noise)
    return {"value": value, "low": low, "high": high}


def shares_of(
    ceilings: Mapping[str, Any],
    scores: Mapping[str, Any],
    recording: Recording,
    one_step: Float[np.ndarray, "T P"] | None,
) -> dict[str, Any]:
    """What a forecaster reaches of the ceilings.

    Parameters
    ----------
    ceilings
        Of `recording_ceilings`.
    scores
        Of the test part, as `connfit.evaluation.scores.score` makes them.
    one_step
        Prediction of all frames of the recording, for shares of single units.

    Returns
    -------
    dict
        `one_step`, `horizon` (by frames ahead), `fc`: score over ceiling as `value`, `low`, `high`; `unit_share`:
        quartiles over units; `below_floor`: units whose error is below the low end of the noise, where the assumption
        fails (1 in 40 is expected where it is as large as the error). A share is None where its ceiling is.
    """
    found: dict[str, Any] = {
        "one_step": _share((scores.get("one_step") or {}).get("skill_vs_persistence"), ceilings["one_step"])
    }
    skills = scores.get("horizon_skill") or {}
    found["horizon"] = {h: _share(skills.get(h), one) for h, one in ceilings["horizon"].items()}
    fc = ceilings["fc"]
    # The ceiling from dealt blocks is the higher one.
    bounds = {"value": fc.get("ceiling"), "low": fc.get("ceiling_in_order"), "high": fc.get("ceiling")}
    if bounds["low"] is not None and bounds["high"] is not None:
        bounds["low"] = min(bounds["low"], bounds["high"])
    found["fc"] = _share((scores.get("free_run") or {}).get("fc_corr"), bounds)
    if one_step is not None:
        block = recording.require_parts()[PART]
        values, mask = recording.part(PART)
        predicted = one_step[block]
        last = Persistence().one_step(recording)[block]
        scored = mask & np.isfinite(predicted) & np.isfinite(last)
        skill = unit_skill(values, predicted, last, scored)
        limit = ceilings["per_unit"][0]
        found["unit_share"] = quartiles(np.where(limit > 0, skill / np.where(limit > 0, limit, 1.0), np.nan))
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.where(scored, values - predicted.astype(np.float64), 0.0) ** 2
            mean = error.sum(axis=0) / np.maximum(scored.sum(axis=0), 1)
        least = ceilings["noise_variance"][1]
        found["below_floor"] = int((np.isfinite(least) & (scored.sum(axis=0) > 0) & (mean < least)).sum())
    return found


def _share(score: float | None, ceiling: Mapping[str, float | None]) -> dict[str, float | None]:
    """Score over ceiling; the interval is that of the ceiling alone. Undefined where the ceiling may be 0."""
    value, low, high = (ceiling.get(end) for end in ENDS)
    if score is None or value is None or value <= 0 or (low is not None and low <= 0):
        return dict.fromkeys(ENDS)
    ends = sorted(score / one for one in (low, high) if one is not None)
    return {"value": score / value, "low": ends[0] if ends else None, "high": ends[-1] if len(ends) > 1 else None}


def as_json(ceilings: Mapping[str, Any], recording: Recording) -> dict[str, Any]:
    """The ceilings of a recording without NumPy arrays, and with those of single units by name."""
    plain = {key: value for key, value in ceilings.items() if key not in ("per_unit", "noise_variance")}
    for key in ("per_unit", "noise_variance"):
        plain[key] = {
            "units": list(recording.units),
            **{end: _plain(row) for end, row in zip(ENDS, ceilings[key], strict=True)},
        }
    return plain


def _plain(numbers: Float[np.ndarray, "P"]) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in numbers]


def pool_ceilings(each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over recordings of ceilings (without those of single units), and of the shares of each forecaster.

    Recordings without a ceiling of skill are named under `lacking`, with the reason; `reason` is there where none has
    one.

    Parameters
    ----------
    each
        By name of the recording.
    """
    left_out = ("per_unit", "noise_variance", "reason")
    pooled = pool([{key: value for key, value in one.items() if key not in left_out} for one in each.values()])
    lacking = {name: one["reason"] for name, one in each.items() if one.get("reason")}
    if len(lacking) == len(each):
        pooled["reason"] = "; ".join(dict.fromkeys(lacking.values()))
    elif lacking:
        pooled["lacking"] = lacking
    for one in (pooled, *(share for share in (pooled.get("shares") or {}).values() if share)):
        one["horizon"] = {h: found for h, found in (one["horizon"] or {}).items() if h != "reasons"}
    return pooled


def _trials(recording: Recording) -> dict[str, Any]:
    try:
        power = trial_power(recording.values, recording.mask, recording.notes["trials"])
    except DataError as error:
        return {"reason": f"recording {recording.name!r}: {error}"}
    return {"trials": power.trials, "explainable": quartiles(power.explainable), "cc_max": quartiles(power.cc_max)}
