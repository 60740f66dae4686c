"""The section of the report on recovery: what a student of a known teacher finds again, and what not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connfit.errors import DataError
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.recovery_figure import (
    LEGEND,
    TABLE,
    conditions_figure,
    curves_figure,
    digits,
    distinct_points,
    in_words,
    verdict,
)

FILE = "recovery.json"

CAUTION = (
    "Teachers are SURROGATES: networks of the same equations as the model, with parameters that are known, a stimulus "
    "that is known and private noise. What is not recovered here will not be recovered from a brain; what is may still "
    "not be, for a brain is no such network."
)


def read_recovery(folder: str | Path) -> Mapping[str, Any] | None:
    """The record in a folder; None if there is none.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"curves", "design", "conditions"} - set(record)
    except (ValueError, TypeError) as error:
        raise DataError(f"damaged ({error})", path=path, fix="Run connfit recover again") from error
    if missing:
        raise DataError(f"lacks {', '.join(sorted(missing))}", path=path, fix="Run connfit recover again")
    return record


def recovery_blocks(folder: str | Path) -> list[str]:
    """What the numbers say, the caution, and the table; nothing where the folder holds no recovery."""
    record = read_recovery(folder)
    if record is None:
        return []
    rows = [[in_words(point), *(digits(point.get(key)) for _, key in TABLE)] for point in distinct_points(record)]
    seeds = record["design"]["seeds"]
    unfinished = [] if record.get("complete") else ["The run was interrupted: some conditions are missing."]
    return [
        *(page.paragraph(sentence) for sentence in [*unfinished, *verdict(record)]),
        page.paragraph(CAUTION),
        page.table(
            ["student", *(name for name, _ in TABLE)],
            rows,
            caption=f"SURROGATE teachers of {record['design']['neurons']} neurons; means over {seeds} seed"
            f"{'s' * (seeds > 1)}. {LEGEND}",
        ),
    ]


def recovery_drawings(folder: str | Path) -> list[Drawing]:
    """Curves over frames and recorded fraction, and all conditions side by side."""
    record = read_recovery(folder)
    if record is None:
        return []
    return [
        Drawing(
            "recovery_curves",
            "Recovery of SURROGATE teachers' parameters against training frames and the fraction of neurons recorded, "
            "and median correlation of activity on test time. Bands span the seeds. Best possible: each neuron's own "
            "regression. Truth: the teacher's own parameters in the model's place.",
            None,
            lambda: curves_figure(record),
        ),
        Drawing(
            "recovery_conditions",
            "All conditions: parameters (left) beside activity (right). Arrows at the left edge mark values below it.",
            None,
            lambda: conditions_figure(record),
            "All conditions of recovery",
        ),
    ]
