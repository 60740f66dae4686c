"""Run a design, summarise it over seeds, and write `recovery.json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from connfit._io import write_json
from connfit._system.claim import claims
from connfit.analysis.recovery.design import Condition, Design
from connfit.analysis.recovery.experiment import SETTLE_FRAMES, TEST_FRAMES, run_condition
from connfit.analysis.recovery.recovery_results import ConditionResult, Point, Recovery
from connfit.analysis.recovery.student import VALIDATION_FRAMES
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher

FILE = "recovery.json"


@claims("out", make=True)
def recover(
    design: Design,
    out: str | Path,
    *,
    on_progress: Callable[[int, int, Condition], None] | None = None,
) -> Recovery:
    """Run all conditions of a design and write what was found.

    Parameters
    ----------
    out
        Folder; `recovery.json` is written to it after each condition, so that an
        interrupted run leaves what it has measured.
    on_progress
        Called before each condition with its number, how many there are, and the condition.
    """
    from connfit._version import __version__

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    conditions = design.conditions()
    began = time.perf_counter()
    recovery = Recovery(
        connfit=__version__,
        what="SURROGATE teachers with known parameters, and students of the same equations fitted to their activity",
        design=design,
        teacher=design.teacher(),
        frame_rate_hz=FRAME_RATE,
        frames={"validation": VALIDATION_FRAMES, "test": TEST_FRAMES, "test_not_scored": SETTLE_FRAMES},
    )
    # A size that no teacher can have, or inputs that are too short, are errors now.
    teacher = KnownTeacher.draw(recovery.teacher, 0)
    if teacher.inputs is not None:
        teacher.inputs.play(max(*design.frames, design.base_frames) + VALIDATION_FRAMES + TEST_FRAMES)
    for number, condition in enumerate(conditions):
        if on_progress is not None:
            on_progress(number, len(conditions), condition)
        done = (*recovery.conditions, run_condition(condition, design))
        recovery = replace(
            recovery, conditions=done, curves=_curves(design, done), seconds=time.perf_counter() - began,
            complete=number == len(conditions) - 1,
        )  # fmt: skip
        write_json(out / FILE, recovery)
    return recovery


def _curves(design: Design, done: Sequence[ConditionResult]) -> dict[str, tuple[Point, ...]]:
    """Each curve as points over seeds of those conditions that are done."""
    results: dict[Condition, list[ConditionResult]] = {}
    for result in done:
        results.setdefault(result.condition, []).append(result)
    return {
        name: tuple(Point.of(results[condition]) for condition in conditions if condition in results)
        for name, conditions in design.curves().items()
    }
