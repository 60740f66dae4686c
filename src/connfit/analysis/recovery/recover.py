"""Run a design, summarise it over seeds, and write `recovery.json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import write_json
from connfit.analysis.recovery.design import Condition, Design
from connfit.analysis.recovery.experiment import SETTLE_FRAMES, TEST_FRAMES, run_condition
from connfit.analysis.recovery.student import VALIDATION_FRAMES
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher, TeacherSettings

FILE = "recovery.json"

NUMBERS: dict[str, tuple[str, ...]] = {
    "weights_r2": ("recovered", "weights", "all", "r2"),
    "weights_rank": ("recovered", "weights", "all", "rank"),
    "weights_r2_between_recorded": ("recovered", "weights", "recorded", "r2"),
    "weights_r2_at_start": ("at_start", "weights", "all", "r2"),
    "weights_r2_regression": ("regression", "weights", "all", "r2"),
    "log_weights_r2": ("recovered", "log_weights", "all", "r2"),
    "time_constants_r2": ("recovered", "log_time_constants", "all", "r2"),
    "time_constants_r2_recorded": ("recovered", "log_time_constants", "recorded", "r2"),
    "time_constants_r2_unrecorded": ("recovered", "log_time_constants", "unrecorded", "r2"),
    "time_constants_r2_regression": ("regression", "log_time_constants", "all", "r2"),
    "bias_r2": ("recovered", "bias", "all", "r2"),
    "bias_r2_regression": ("regression", "bias", "all", "r2"),
    "recorded_r": ("activity", "recorded", "fitted", "r", "median"),
    "recorded_r_at_start": ("activity", "recorded", "at_start", "r", "median"),
    "recorded_r_teacher": ("activity", "recorded", "teacher", "r", "median"),
    "recorded_skill": ("activity", "recorded", "fitted", "skill_vs_persistence"),
    "recorded_skill_teacher": ("activity", "recorded", "teacher", "skill_vs_persistence"),
    "unrecorded_r": ("activity", "unrecorded", "fitted", "r", "median"),
    "unrecorded_r2": ("activity", "unrecorded", "fitted", "r2", "median"),
    "unrecorded_r_at_start": ("activity", "unrecorded", "at_start", "r", "median"),
    "unrecorded_r_shuffled": ("activity", "unrecorded", "shuffled", "r", "median"),
    "unrecorded_r_teacher": ("activity", "unrecorded", "teacher", "r", "median"),
}
"""Names in a summary, and where each is in the record of a condition."""


def recover(
    design: Design,
    out: str | Path,
    *,
    on_progress: Callable[[int, int, Condition], None] | None = None,
) -> dict[str, Any]:
    """Run all conditions of a design and write what was found.

    Parameters
    ----------
    out
        Folder; `recovery.json` is written to it after each condition, so that an
        interrupted run leaves what it has measured.
    on_progress
        Called before each condition with its number, how many there are, and the condition.

    Returns
    -------
    dict
        What was written.
    """
    from connfit._version import __version__

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    conditions = design.conditions()
    began = time.perf_counter()
    record: dict[str, Any] = {
        "connfit": __version__,
        "surrogate": True,
        "what": "SURROGATE teachers with known parameters, and students of the same equations fitted to their activity",
        "design": asdict(design),
        "teacher": asdict(TeacherSettings(neurons=design.neurons)),
        "frame_rate_hz": FRAME_RATE,
        "frames": {"validation": VALIDATION_FRAMES, "test": TEST_FRAMES, "test_not_scored": SETTLE_FRAMES},
        "complete": False,
        "conditions": [],
    }
    KnownTeacher.draw(TeacherSettings(neurons=design.neurons), 0)  # a size that no teacher can have is an error now
    for number, condition in enumerate(conditions):
        if on_progress is not None:
            on_progress(number, len(conditions), condition)
        record["conditions"].append(run_condition(condition, design))
        record["curves"] = _curves(design, record["conditions"])
        record["seconds"] = time.perf_counter() - began
        record["complete"] = number == len(conditions) - 1
        write_json(out / FILE, record)
    return record


def _curves(design: Design, done: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Each curve as points: the condition, and mean, smallest and largest over seeds of the `NUMBERS`."""
    curves = {}
    for name, conditions in design.curves().items():
        points = []
        for condition in conditions:
            settings = condition.without_seed()
            rows = [row for row in done if all(row[key] == value for key, value in settings.items())]
            if not rows:
                continue
            numbers = {key: over_seeds([_number(row, path) for row in rows]) for key, path in NUMBERS.items()}
            first = rows[0]
            points.append(
                {
                    **settings,
                    "seeds": len(rows),
                    "observations": first["observations"],
                    "parameters": sum(first["parameters"].values()),
                    **{key: value for key, value in numbers.items() if value is not None},
                }
            )
        curves[name] = points
    return curves


def _number(row: Mapping[str, Any], path: Sequence[str]) -> float | None:
    value: Any = row
    for key in path:
        if value is None:
            return None
        value = value[1] if key == "median" else value.get(key)
    return None if value is None else float(value)


def over_seeds(values: Sequence[float | None]) -> dict[str, float | int] | None:
    """Mean, smallest and largest of the values that exist; None if there is none."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return {"mean": float(np.mean(there)), "low": min(there), "high": max(there), "seeds": len(there)}
