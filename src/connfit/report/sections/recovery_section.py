"""The section of the report on recovery: what a student of a known teacher finds again, and what not."""

from __future__ import annotations

from connfit.analysis.recovery.recovery_results import Recovery
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.recovery_figure import (
    LEGEND,
    TABLE,
    conditions_figure,
    curves_figure,
    digits,
    in_words,
    number_of,
    observation_columns,
    own_columns,
    title,
    verdict,
)
from connfit.report.prose import write_prose


def blocks(recovery: Recovery) -> list[str]:
    """Write what the numbers say, a caution, and the table."""
    columns = (*TABLE, *own_columns(recovery), *observation_columns(recovery))
    rows = [[in_words(point), *(digits(number_of(point, key)) for _, key in columns)] for point in recovery.points]
    said = [*verdict(recovery), *write_prose("sections/recovery_caution.j2", {}).paragraphs]
    header = ["student", *(name for name, _ in columns)]
    caption = f"Means over {title(recovery)}. {LEGEND}"
    return [*map(page.paragraph, said), page.table(header, rows, caption=caption)]


def drawings(recovery: Recovery) -> list[Drawing]:
    """Draw curves over frames and recorded fraction, and all conditions side by side."""
    return [
        Drawing(
            "recovery_curves",
            "Recovery of SURROGATE teachers' parameters against training frames and the fraction of neurons recorded, "
            "and median correlation of activity on test time. Bands span the seeds. Best possible: each neuron's own "
            "regression. Truth: the teacher's own parameters in the model's place.",
            None,
            lambda: curves_figure(recovery),
        ),
        Drawing(
            "recovery_conditions",
            "All conditions: parameters (left) beside activity (right). Arrows at the left edge mark values below it.",
            None,
            lambda: conditions_figure(recovery),
            "All conditions of recovery",
        ),
    ]
