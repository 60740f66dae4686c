"""Columns of a study's table: where each measure stands in the scores, and its mean over the seeds that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from connfit.evaluation.calibration import LEVELS
from connfit.evaluation.intervals import SeedErrors, skill_interval
from connfit.evaluation.squared_errors import ONE_STEP
from connfit.evaluation.study.seed_result import Done
from connfit.evaluation.study.study import Column, Score
from connfit.evaluation.unit_intervals import median_unit_interval

LEVEL = 0.95
UNIT_REPEATS = 1000
"""Resamples of the median unit, each of which takes a hundred times as long."""


@dataclass(frozen=True)
class Measure:
    """A column of the table, and where its values are.

    Parameters
    ----------
    column
        As the table has it.
    path
        Where it stands in the scores of a part.
    """

    column: Column
    path: tuple[str, ...]


def measures(horizons: Sequence[int]) -> tuple[Measure, ...]:
    """Return the columns of a study with these horizons in frames."""
    skills = []
    for h in sorted({ONE_STEP, *horizons}):
        key, ahead = ("one_step", "one step") if h == ONE_STEP else (f"horizon_{h}", f"{h} frames ahead")
        path = ("one_step", "skill_vs_persistence") if h == ONE_STEP else ("horizon_skill", str(h))
        skills += [
            Measure(Column(f"{key}_skill", f"skill, {ahead}", unit="pooled", horizon=h), path),
            Measure(
                Column(f"{key}_median_unit", f"median unit, {ahead}", unit="median", horizon=h),
                ("median_unit_skill", str(h)),
            ),
        ]
    free_run = [
        ("fc", "FC of free runs with residuals", "high", ("fc_corr",)),
        ("std_ratio", "std of free runs over data's", "one", ("std_ratio",)),
        ("spectrum_db", "spectrum of free runs, distance in dB", "low", ("spectrum", "log_spectral_distance_db")),
        ("autocorrelation", "autocorrelation of free runs, difference", "low", ("autocorrelation", "rms_difference")),
    ]
    return (
        *skills,
        _one_step("one_step_fc", "FC of one-step predictions", "high", "one_step", "fc_corr"),
        *(Measure(Column(f"free_run_{key}", label, better), ("free_run", *at)) for key, label, better, at in free_run),
        *(
            _one_step(
                f"coverage_{level}", f"coverage of {level} % intervals, one step", "none",
                "calibration", "coverage", str(level),
            )
            for level in LEVELS[1:]
        ),
        _one_step("crps", "CRPS, one step", "low", "calibration", "crps"),
    )  # fmt: skip


def _one_step(key: str, label: str, better: str, *path: str) -> Measure:
    return Measure(Column(key, label, better, horizon=ONE_STEP), path)


def over_seeds(done: Mapping[int, Done], counting: Mapping[int, Done], measure: Measure) -> Score:
    """Average a measure over the seeds that count; None where it is not defined, with the reason why.

    Skill also has an interval, over blocks of time, seeds and, of the median unit, units.
    """
    found = {seed: _value(of_seed.result.scores, measure.path) for seed, of_seed in sorted(done.items())}
    values = tuple(value for value, _ in found.values())
    known = [value for seed, (value, _) in found.items() if value is not None and seed in counting]
    reason = None
    if known and len(known) < len(values) and not all(seed in counting for seed in done):
        reason = f"mean over {len(known)} of {len(values)} seeds: the others diverged"
    elif lacking := next((why for value, why in found.values() if value is None), None):
        reason = f"mean over {len(known)} of {len(values)} seeds: {lacking}" if known else lacking
    column, low, high = measure.column, None, None
    errors = errors_by_seed(counting)
    if column.unit and column.horizon is not None and errors and all(errors):
        interval = median_unit_interval if column.unit == "median" else skill_interval
        estimate = interval(errors, column.horizon, level=LEVEL, repeats=UNIT_REPEATS)
        low, high = estimate.low, estimate.high
    std = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return Score(mean(known), std, low, high, values, reason)


def _value(scores: Mapping[str, Any], path: Sequence[str]) -> tuple[float | None, str]:
    """The number at a path, and why there is none."""
    place, reasons = scores, {}
    for key in path[:-1]:
        place = place.get(key) or {}
        reasons |= place.get("reasons", {})
    if path[0] == "horizon_skill":
        reasons |= scores.get("horizon", {}).get("reasons", {})
    return place.get(path[-1]), next((reasons[key] for key in reversed(path) if key in reasons), "not computed")


def errors_by_seed(done: Mapping[int, Done]) -> list[SeedErrors]:
    """Return the errors on each recording, of seeds in ascending order."""
    return [of_seed.errors for _, of_seed in sorted(done.items())]


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None of nothing."""
    return float(np.mean(values)) if values else None
