"""What the numbers allow to be said about a model beside its opponents, from intervals alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connfit.analysis.measured.response_scores import Estimate

QUESTIONS = {
    "fitting": "what fitting adds to the wiring's start",
    "model_over_wiring": "what the model adds to counting paths",
    "wiring_over_recording": "what the wiring adds to the recording",
    "model_over_both": "what the model adds to paths and the recording together",
}
"""Questions that a paired difference answers."""


@dataclass(frozen=True)
class Verdict:
    """Who ranks responses better than whom.

    Parameters
    ----------
    model_is_above_chance
        Whether the interval of the model's AUROC lies above 0.5; None without one.
    beaten, better, undecided
        Opponents than which the model is better or worse by an interval that leaves zero out, and all others.
    first
        Of the highest AUROC, the model included; a choice made after the fact.
    """

    model_is_above_chance: bool | None = None
    beaten: tuple[str, ...] = ()
    better: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    first: str = ""

    @property
    def beats_all(self) -> bool:
        """Whether the model is better than every opponent."""
        return bool(self.beaten) and not self.better and not self.undecided


def judge(model: Estimate, differences: Mapping[str, Estimate], aurocs: Mapping[str, float | None]) -> Verdict:
    """Sort opponents by whether the interval of the model's lead leaves zero out.

    Parameters
    ----------
    model
        AUROC of the model.
    differences
        By opponent: that of the model minus that of the opponent, on the pairs of both.
    aurocs
        By predictor, the model included.
    """
    sides: dict[str, list[str]] = {"beaten": [], "better": [], "undecided": []}
    for name, lead in differences.items():
        if not lead.excludes_zero:
            sides["undecided"].append(name)
        else:
            sides["beaten" if (lead.value or 0) > 0 else "better"].append(name)
    known = {name: value for name, value in aurocs.items() if value is not None}
    above = None if model.low is None or model.high is None else model.low > 0.5
    return Verdict(
        above, tuple(sides["beaten"]), tuple(sides["better"]), tuple(sides["undecided"]),
        max(known, key=lambda name: known[name]) if known else "",
    )  # fmt: skip


def answer(difference: Estimate) -> str:
    """Say in a word what a paired difference shows: `more`, `less`, `undecided` or `unknown`."""
    if difference.excludes_zero is None:
        return "unknown"
    if not difference.excludes_zero:
        return "undecided"
    return "more" if (difference.value or 0) > 0 else "less"
