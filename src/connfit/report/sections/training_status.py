"""Whether a run was trained at all, and how the report says so where it was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNTRAINED = "not trained: no epoch was better on validation than the start"


def is_untrained(metrics: Mapping[str, Any]) -> bool:
    """Say whether the best epoch is the start, and so every parameter as it began; False where a run does not say."""
    return (metrics.get("training") or {}).get("trained") is False


def counted_parameters(metrics: Mapping[str, Any]) -> str:
    """Return the key of the parameters that stand against observations: fitted ones, or those a fit could have moved.

    Of a model that was not trained none is fitted, but the question how many there are stays.
    """
    return "parameters_available" if is_untrained(metrics) and metrics.get("parameters_available") else "parameters"


def model_label(column: str, metrics: Mapping[str, Any]) -> str:
    """Return the heading of a column of scores; that of the model says where it was not trained."""
    return "model (not trained)" if column == "model" and is_untrained(metrics) else column


def with_note(caption: str, metrics: Mapping[str, Any]) -> str:
    """Add to a caption that the model which it shows was not trained, where that is so."""
    note = "The model was not trained: its parameters are those of the start."
    return f"{caption} {note}" if is_untrained(metrics) else caption


def untrained_limits(metrics: Mapping[str, Any]) -> list[str]:
    """Return the sentence for a run that never left its start; none for one that was trained or does not say."""
    if is_untrained(metrics):
        epochs = (metrics.get("training") or {}).get("epochs")
        tried = "" if epochs is None else f" of {epochs:,}"
        return [
            f"The model was not trained: no epoch{tried} was better on validation than the start, whose parameters are "
            "kept. Its scores are those of the start, and none of its parameters was learned."
        ]
    return []
