"""What scores against measured responses say, in words; for the report and the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from connfit.analysis.measured.scored_responses import PredictorScores, ScoredResponses
from connfit.analysis.measured.verdict_on_responses import QUESTIONS, answer
from connfit.models.held_rates import SILENCE_IN_WORDS
from connfit.report.prose import write_prose
from connfit.report.traced import Traced
from connfit.report.wording import listed

WORDS = {
    "more": "which its interval tells from nothing",
    "less": "so it costs, which its interval tells from nothing",
    "undecided": "not distinguishable from nothing",
    "unknown": "without an interval",
}
"""What `connfit.analysis.measured.verdict_on_responses.answer` says."""

MANY = 30
"""Opponents that a sentence lists."""


def measured_words(record: str, scores: ScoredResponses) -> tuple[str, ...]:
    """Return paragraphs on one table of measured responses.

    Parameters
    ----------
    record
        Path of the file in the run directory.
    """
    return write_prose("sections/measured.j2", {record: scores}, **given(record, scores)).paragraphs


def given(record: str, scores: ScoredResponses) -> Mapping[str, object]:
    """Return what the templates on measured responses need beside the files."""

    def labels(names: Traced) -> str:
        return listed([label_of(scores.predictors[str(name)]) for name in names], most=MANY)

    return {
        "record": record, "labels": labels, "questions": QUESTIONS, "words": WORDS, "answer": answer,
        "silence": SILENCE_IN_WORDS,
    }  # fmt: skip


def label_of(row: PredictorScores) -> str:
    """Return the label of a predictor."""
    return row.label or row.name


def distance_caption(scores: ScoredResponses) -> str:
    """Say between which neurons connections are counted."""
    return "AUROC by connections " + (
        "between the two neurons" if scores.neurons_that_vary == "stimulated" else "from silenced to responding neuron"
    )
