"""Columns of a study's table: where each measure stands in the scores, and its mean over the seeds that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from connfit.evaluation.calibration import LEVELS
from connfit.evaluation.intervals import SeedErrors, skill_interval
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.study.tasks import Done
from connfit.evaluation.unit_intervals import median_unit_interval

LEVEL = 0.95
UNIT_REPEATS = 1000
"""Resamples of the median unit, each of which takes a hundred times as long."""


@dataclass(frozen=True)
class Measure:
    """A column of the table.

    Parameters
    ----------
    key
        Name in `study.json`.
    label
        In words.
    path
        Where it stands in the scores of a part.
    better
        `"high"`, `"low"`, `"one"` (near 1), or `"none"`: it only describes.
    horizon
        Frames ahead that it needs; seeds that diverged before are left out of its mean. None: the farthest.
    unit
        `"pooled"` or `"median"` for skill with an interval; empty otherwise.
    """

    key: str
    label: str
    path: tuple[str, ...]
    better: str = "high"
    horizon: int | None = ONE_STEP
    unit: str = ""


def measures(horizons: Sequence[int]) -> tuple[Measure, ...]:
    """Columns of a study with these horizons in frames."""
    skills = []
    for h in sorted({ONE_STEP, *horizons}):
        key, ahead = ("one_step", "one step") if h == ONE_STEP else (f"horizon_{h}", f"{h} frames ahead")
        path = ("one_step", "skill_vs_persistence") if h == ONE_STEP else ("horizon_skill", str(h))
        skills += [
            Measure(f"{key}_skill", f"skill, {ahead}", path, horizon=h, unit="pooled"),
            Measure(
                f"{key}_median_unit", f"median unit, {ahead}", ("median_unit_skill", str(h)), horizon=h, unit="median"
            ),
        ]
    return (
        *skills,
        Measure("one_step_fc", "FC of one-step predictions", ("one_step", "fc_corr")),
        Measure("free_run_fc", "FC of free runs with residuals", ("free_run", "fc_corr"), horizon=None),
        Measure("free_run_std_ratio", "std of free runs over data's", ("free_run", "std_ratio"), "one", None),
        Measure(
            "free_run_spectrum_db",
            "spectrum of free runs, distance in dB",
            ("free_run", "spectrum", "log_spectral_distance_db"),
            "low",
            None,
        ),
        Measure(
            "free_run_autocorrelation",
            "autocorrelation of free runs, difference",
            ("free_run", "autocorrelation", "rms_difference"),
            "low",
            None,
        ),
        *(
            Measure(
                f"coverage_{level}",
                f"coverage of {level} % intervals, one step",
                ("calibration", "coverage", str(level)),
                "none",
            )
            for level in LEVELS[1:]
        ),
        Measure("crps", "CRPS, one step", ("calibration", "crps"), "low"),
    )


def over_seeds(done: Mapping[int, Done], counting: Mapping[int, Done], measure: Measure) -> dict[str, Any]:
    """Mean and standard deviation over the seeds that count, and each seed's value; null with the reason why.

    Skill also has an interval, over blocks of time, seeds and, of the median unit, units.
    """
    values, reasons, counted = [], [], []
    for seed, one in sorted(done.items()):
        place, why = one.facts["scores"], {}
        for key in measure.path[:-1]:
            place = place.get(key) or {}
            why |= place.get("reasons", {})
        values.append(place.get(measure.path[-1]))
        counted.append(seed in counting)
        why |= one.facts["scores"].get("horizon", {}).get("reasons", {}) if measure.path[0] == "horizon_skill" else {}
        reasons.append(next((why[key] for key in reversed(measure.path) if key in why), "not computed"))
    known = [value for value, counts in zip(values, counted, strict=True) if value is not None and counts]
    result: dict[str, Any] = {"mean": mean(known), "std": None, "low": None, "high": None, "seeds": values}
    if len(known) > 1:
        result["std"] = float(np.std(known, ddof=1))
    if measure.unit and measure.horizon is not None:
        result |= _skill_interval(counting, measure.horizon, measure.unit)
    if known and len(known) < len(values) and not all(counted):
        result["reason"] = f"mean over {len(known)} of {len(values)} seeds: the others diverged"
    lacking = [why for value, why in zip(values, reasons, strict=True) if value is None]
    if lacking and "reason" not in result:
        result["reason"] = lacking[0] if not known else f"mean over {len(known)} of {len(values)} seeds: {lacking[0]}"
    return result


def _skill_interval(done: Mapping[int, Done], horizon: int, unit: str) -> dict[str, float | None]:
    errors = errors_by_seed(done)
    if not errors or not all(errors):
        return {"low": None, "high": None}
    if unit == "median":
        found = median_unit_interval(errors, horizon, level=LEVEL, repeats=UNIT_REPEATS)
    else:
        found = skill_interval(errors, horizon, level=LEVEL, repeats=UNIT_REPEATS)
    return {"low": found.low, "high": found.high}


def errors_by_seed(done: Mapping[int, Done]) -> list[SeedErrors]:
    """Errors on each recording, of seeds in ascending order."""
    return [one.errors for _, one in sorted(done.items())]


def mean(values: Sequence[float]) -> float | None:
    """Mean; None of nothing."""
    return float(np.mean(values)) if values else None
