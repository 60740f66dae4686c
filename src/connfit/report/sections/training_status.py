"""Whether a run was trained at all, and how the report says so where it was not."""

from __future__ import annotations

from collections.abc import Mapping

from connfit.evaluation.evaluated import Evaluation

NOT_TRAINED = "not trained: no epoch was better on validation than the start"


def is_untrained(evaluation: object) -> bool:
    """Return whether every parameter is as it began; False where a run does not say, and of scores of a part of it."""
    return isinstance(evaluation, Evaluation) and evaluation.training.trained is False


def counted_parameters(evaluation: Evaluation) -> Mapping[str, int] | None:
    """Return how many parameters stand against observations: fitted ones, or those that a fit could have moved.

    Of a model that was not trained none is fitted, but the question how many there are stays.
    """
    available = evaluation.parameters_available
    return available if is_untrained(evaluation) and available else evaluation.parameters


def model_label(column: str, scores: object) -> str:
    """Return the heading of a column of scores; that of the model says where it was not trained."""
    return "model (not trained)" if column == "model" and is_untrained(scores) else column


def with_note(caption: str, evaluation: Evaluation) -> str:
    """Return a caption that says where the model that it shows was not trained."""
    note = "The model was not trained: its parameters are those of the start."
    return f"{caption} {note}" if is_untrained(evaluation) else caption
