"""What a reader must not conclude from a fit, from its `metrics.json` and `record.json`. Text only, no drawing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.evaluation.evaluated import FILE, Evaluation
from connfit.report.prose import Prose, write_prose
from connfit.report.sections.comparison import INITIAL, MODEL, Row, comparison, fixed_point_in_words, shortly
from connfit.report.sections.headline import Contest, contests
from connfit.report.sections.training_status import is_untrained
from connfit.report.wording import MOST


def limitations(evaluation: Evaluation, record: Mapping[str, Any] | None = None) -> list[str]:
    """Return what the reader must not conclude from this fit, from its own numbers. Empty where nothing was found."""
    cautions = [caution if caution.endswith("?") else f"{caution}." for caution in (record or {}).get("cautions") or ()]
    return [*fit_prose(evaluation).paragraphs, *_unit_limits(record or {}), *cautions]


def fit_prose(evaluation: Evaluation) -> Prose:
    """Write the limitations that follow from scores, one paragraph each."""
    return write_prose(
        "limits/fit.j2",
        {FILE: evaluation},
        untrained=is_untrained(evaluation),
        settled=fixed_point_in_words(evaluation.part("test")),
        worse=shortly([row for row in comparison(evaluation) if _before_was_better(row)]),
        better=_one_step_better(evaluation),
        few_units=[contest for contest in contests(evaluation) if _is_of_few_units(contest)],
    )


def _unit_limits(record: Mapping[str, Any]) -> list[str]:
    """Recorded units that the connectome lacks, the recordings with most of them by themselves."""
    lost = {
        name: (len(recording["unmatched"]), len(recording.get("matched") or []))
        for name, recording in (record.get("recordings") or {}).items()
        if recording.get("unmatched")
    }
    ordered = sorted(lost, key=lambda name: -lost[name][0])
    found = [
        f"{name}: {lost[name][0]} of {sum(lost[name])} recorded units have no neuron in the connectome and were "
        "not fitted."
        for name in ordered[:MOST]
    ]
    if len(ordered) > MOST:
        found.append(f"So have some units of {len(ordered) - MOST} more recordings, named under how it was made.")
    return found


def _one_step_better(evaluation: Evaluation) -> list[str]:
    """Baselines whose one-step MSE on test is below the model's, without persistence."""
    values = comparison(evaluation)[0].values
    ours, others = values[MODEL], {name: values[name] for name in values if name not in (INITIAL, "persistence")}
    return [] if ours is None else [name for name, value in others.items() if value is not None and value < ours]


def _is_of_few_units(contest: Contest) -> bool:
    """Whether few units carry what the model is ahead by."""
    pooled, median = contest.pooled, contest.median
    return bool(pooled.baseline and median.baseline) and pooled.outcome == "model" != median.outcome


def _before_was_better(row: Row) -> bool:
    ours, before = row.values[MODEL], row.values.get(INITIAL)
    return row.better != "none" and ours is not None and before is not None and row.merit(ours) < row.merit(before)
