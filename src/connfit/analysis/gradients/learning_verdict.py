"""Whether temporal credit matters on these data, in sentences made from the numbers alone, whichever rule wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNSTEADY = 1.5
"""Median time of an epoch over the fastest from which on it is said that times are not to be relied on."""

FAR = 10
"""Frames ahead, at most, that sentences speak of beside one frame."""

AXES = {"equal_steps": "equal steps", "equal_seconds": "equal time"}


@dataclass(frozen=True)
class Contest:
    """The best rule with credit through time beside the best without, both chosen on validation.

    Parameters
    ----------
    with_credit, without_credit
        Labels.
    difference
        By horizon: skill of the first minus that of the second on test, with its interval.
    """

    with_credit: str
    without_credit: str
    difference: Mapping[str, Mapping[str, Any]]


def verdict(curves: Mapping[str, Any]) -> list[str]:
    """Which rule is best on test after equal steps and equal time, and whether the cheap one is as good.

    Parameters
    ----------
    curves
        As `connfit.analysis.gradients.learning_curves.learning_curves` returns them.
    """
    said = []
    for axis, words in AXES.items():
        at = curves[axis]
        if at is None:
            continue
        amount = f"{curves['epochs']} epochs" if axis == "equal_steps" else f"{at['seconds']:.3g} s of training"
        for h in horizons_spoken_of(at):
            best = best_on_test(at, h)
            skill = at["rules"][best]["test"][h]
            text = f"After {words} ({amount}), {ahead(h)}: best on test is {best} with a skill of {skill:.3f}"
            reference = curves["reference"]
            if best != reference and at["rules"].get(reference, {}).get("test", {}).get(h) is not None:
                theirs = at["rules"][reference]["test"].get(h)
                of = at["rules"][best]["difference"].get(h)
                text += f"; {reference}, which all are compared with, has {theirs:.3f}"
                text += f" (difference {_interval(of)})" if of else ""
            said.append(f"{text}.")
            if at["credit"] is not None and h in at["credit"]["difference"]:
                said.append(temporal_credit(at["credit"], h))
    unsteady = max((one.get("median_over_fastest") or 1.0 for one in curves["curves"]), default=1.0)
    if unsteady > UNSTEADY and curves["equal_seconds"] is not None:
        said.append(
            f"Times are not steady: of one rule the median epoch took {unsteady:.1f} times as long as the fastest, as "
            "where other work runs on the machine. What is said after equal time is to be repeated on an idle one."
        )
    return said


def temporal_credit(contest: Mapping[str, Any], horizon: str) -> str:
    """One sentence on the best rule with credit through time beside the best without."""
    first, second = contest["with_credit"], contest["without_credit"]
    one = contest["difference"][horizon]
    between = f"{first} minus {second}, both chosen on validation: {_interval(one)}"
    outcome = outcome_of(one)
    if outcome == "matters":
        return f"Temporal credit matters here: the best rule with it is ahead of the best without it ({between})."
    if outcome == "cheap wins":
        return f"The cheap rule wins: without any credit through time the fit predicts better ({between})."
    if outcome == "cheap as good":
        return f"The cheap rule is as good: with and without credit through time are not distinguishable ({between})."
    return f"Whether temporal credit matters is left open: {one['reason']} ({between})."


def outcome_of(difference: Mapping[str, Any]) -> str | None:
    """`"matters"`, `"cheap wins"` or `"cheap as good"` by the interval of with minus without; None without one."""
    if difference["excludes_zero"] is None or difference["value"] is None:
        return None
    if not difference["excludes_zero"]:
        return "cheap as good"
    return "matters" if difference["value"] > 0 else "cheap wins"


def horizons_spoken_of(at: Mapping[str, Any]) -> list[str]:
    """One frame, and the longest horizon up to `FAR` frames that some rule has a score of."""
    known = {int(h) for row in at["rules"].values() for h, skill in row.get("test", {}).items() if skill is not None}
    far = max((h for h in known if 1 < h <= FAR), default=None)
    return [str(h) for h in (1 if 1 in known else None, far) if h is not None]


def best_on_test(at: Mapping[str, Any], horizon: str) -> str:
    """Label of the rule with the highest skill on test."""
    skills = {label: row.get("test", {}).get(horizon) for label, row in at["rules"].items()}
    known = {label: skill for label, skill in skills.items() if skill is not None}
    return max(known, key=lambda label: known[label])


def ahead(horizon: str) -> str:
    """A horizon in words."""
    return "one frame ahead" if horizon == "1" else f"{horizon} frames ahead"


def _interval(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "not defined"
    if one["low"] is None:
        return f"{one['value']:+.3f}"
    return f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
