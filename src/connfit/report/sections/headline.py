"""Who wins, in a few sentences: the model beside the strongest baseline, by pooled skill and by the median unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from connfit.config import AUTO, FALLBACK
from connfit.evaluation.evaluated import Evaluation, RecordingScores
from connfit.evaluation.held_out import HELD_OUT
from connfit.evaluation.part_scores import ModelScores
from connfit.evaluation.strongest import strongest_baseline, strongest_median
from connfit.evaluation.unit_scores import UnitComparison
from connfit.recordings.preprocess import STEPS
from connfit.report.sections.training_status import NOT_TRAINED, is_untrained
from connfit.report.wording import capital, frames_ahead, listed, number, pretty, with_interval

Outcome = Literal["model", "baseline", "neither"]

FAR = 10
"""The horizon that headlines name beside one frame, or the longest below it that was scored."""


@dataclass(frozen=True)
class Side:
    """The model beside the strongest baseline by one measure.

    Parameters
    ----------
    baseline
        Its name in `metrics.json`; None if none was scored.
    ours, theirs
        Skill over persistence; None where it is not known.
    our_interval, their_interval
        Ends of their 95 % intervals, where there are any.
    outcome
        Who wins; None where the two were not both scored.
    units, better, p
        Units compared, those that the model predicts better, and p of Wilcoxon's signed-rank test over units.
    """

    baseline: str | None
    ours: float | None
    theirs: float | None
    our_interval: tuple[float, float] | None = None
    their_interval: tuple[float, float] | None = None
    outcome: Outcome | None = None
    units: int | None = None
    better: int | None = None
    p: float | None = None

    @property
    def baseline_is_ahead(self) -> bool:
        """Whether the baseline has the higher number."""
        return self.ours is not None and self.theirs is not None and self.theirs > self.ours

    @property
    def winner(self) -> str:
        """The side that wins, in words; empty where that is not known."""
        if self.outcome is None:
            return ""
        return {"model": "the model", "baseline": pretty(self.baseline or ""), "neither": "neither"}[self.outcome]


@dataclass(frozen=True)
class Contest:
    """Model and strongest baselines at one horizon of one part.

    Parameters
    ----------
    horizon
        Frames ahead.
    pooled, median
        By the skill of all units together, and by that of the median unit. The strongest baseline need not be the same.
    """

    horizon: int
    pooled: Side
    median: Side


def contests(scores: ModelScores, part: str = "test") -> list[Contest]:
    """Return one frame ahead and `FAR` frames ahead, without those at which the model has no skill."""
    ahead = [h for h, skill in scores.part(part).horizon_skill.items() if skill is not None]
    far = max((h for h in ahead if 1 < h <= FAR), default=None)
    found = [_contest(scores, part, h) for h in (1, far) if h is not None]
    return [contest for contest in found if contest is not None]


def headline(evaluation: Evaluation, part: str = "test", *, config: Mapping[str, Any] | None = None) -> list[str]:
    """Return sentences that name the strongest baseline, say who wins, and what to try where the model does not.

    Parameters
    ----------
    config
        The run's options: what they have already is not advised.
    """
    found = [f"This model was {NOT_TRAINED}. What follows is the start."] if is_untrained(evaluation) else []
    each = contests(evaluation, part)
    found += contests_in_words(each)
    if any(side.baseline_is_ahead for contest in each for side in (contest.pooled, contest.median)):
        found.append(advice(config))
    return found


def contests_in_words(each: Sequence[Contest]) -> list[str]:
    """Return a sentence or three for each horizon: both sides' numbers, who wins, and how many units agree."""
    return [_in_words(contest) for contest in each]


def advice(config: Mapping[str, Any] | None = None) -> str:
    """Suggest what to try where a baseline is ahead."""
    model, data = ((config or {}).get(section) or {} for section in ("model", "data"))
    fewer = []
    if model.get("strengths") != "fixed":
        gains = "" if model.get("strengths") == "gain_per_neuron" else " or `gain_per_neuron`"
        fewer.append(f"`model.strengths` = `fixed`{gains}")
    if model.get("drive") not in ("anatomical", "none"):
        fewer.append("`model.drive` = `anatomical`")
    tries = ["more frames or more animals"]
    if len(data.get("recordings") or []) == 1 and data.get("dataset"):
        tries = ["more animals (`--recording all`) or more frames"]
    if fewer:
        tries.append(f"fewer free parameters ({', '.join(fewer)})")
    steps = [STEPS.get(str(step.get("step"))) for step in data.get("preprocess") or []]
    if data and not any(step is not None and step.removes_drift for step in steps):
        tries.append("the step `high_pass`, where recordings drift out of the range of their training part")
    by_hand = [f"`model.{name}`" for name in FALLBACK if model.get(name, AUTO) != AUTO]
    if (config or {}).get("train", {}).get("learning_rate", AUTO) != AUTO:
        by_hand.append("`train.learning_rate`")
    if by_hand:
        tries.append(f"`auto` in place of options that were set by hand ({listed(by_hand)})")
    return (
        f"To try where a baseline is ahead: {'; '.join(tries)}. A study (`connfit evaluate DIR --full`) shows which "
        "parts of the model help."
    )


def units_in_words(side: Side) -> str:
    """Describe how many units the model predicts better than the baseline, with the test; empty where unknown."""
    if side.units is None or side.better is None or side.baseline is None:
        return ""
    counted = f"{side.better:,} of {side.units:,} {'unit' if side.units == 1 else 'units'}"
    return f"{counted} better than {pretty(side.baseline)}{p_in_words(side.p)}"


def p_in_words(p: float | None) -> str:
    """Return the test over units in brackets; empty where there is none."""
    if p is None:
        return ""
    return f" (Wilcoxon signed-rank {'p < 0.001' if p < 0.001 else f'p = {p:.2g}'})"


def _in_words(contest: Contest) -> str:
    at, pooled, median = capital(frames_ahead(contest.horizon)), contest.pooled, contest.median
    ours = number(pooled.ours)
    if median.ours is not None:
        ours = f"{ours} pooled and {with_interval(median.ours, median.our_interval)} for the median unit"
    if pooled.baseline is None:
        return f"{at} the model has a skill over persistence of {ours}. No baseline was scored."
    theirs = f"{pretty(pooled.baseline)}, with {number(pooled.theirs)}"
    if median.baseline is not None:
        of_unit = f"{with_interval(median.theirs, median.their_interval)} for the median unit"
        theirs += (
            f" pooled and {of_unit}"
            if median.baseline == pooled.baseline
            else f" pooled, and by the median unit {pretty(median.baseline)}, with {of_unit.split(' for ')[0]}"
        )
    said = [f"{at} the model has a skill over persistence of {ours}; the strongest baseline is {theirs}."]
    sides = [pooled, *([median] if median.baseline != pooled.baseline else [])]
    units = [text for text in map(units_in_words, sides) if text]
    return " ".join([*said, _who_wins(contest), *([f"The model predicts {' and '.join(units)}."] if units else [])])


def _who_wins(contest: Contest) -> str:
    pooled, median = contest.pooled, contest.median
    if median.outcome is None:
        return "They are level." if pooled.outcome == "neither" else f"{capital(pooled.winner)} wins."
    if pooled.outcome == median.outcome == "neither":
        return "Neither wins: they are not distinguishable, pooled or by the median unit."
    if pooled.winner == median.winner:
        return f"{capital(pooled.winner)} wins, pooled and by the median unit."
    parts = [
        f"{how} {'they are not distinguishable' if side.outcome == 'neither' else f'{side.winner} wins'}"
        for how, side in (("pooled over units", pooled), ("by the median unit", median))
    ]
    few = " A few units carry the pooled lead." if pooled.outcome == "model" else ""
    return f"{capital(parts[0])}, {parts[1]}.{few}"


def _contest(scores: ModelScores, part: str, horizon: int) -> Contest | None:
    ours = scores.part(part)
    skill, median = ours.skill(horizon), ours.median_unit(horizon)
    if skill is None:
        return None
    # Of held-out animals there are numbers and no comparison with intervals.
    compared = scores.against_strongest if isinstance(scores, RecordingScores) and part != HELD_OUT else {}
    paired = compared.get(part, {}).get(horizon)
    name, theirs = strongest_baseline(scores.baselines, part, horizon) or (None, None)
    pooled = _side(name, skill, theirs, paired and paired.pooled)
    name, theirs = strongest_median(scores.baselines, part, horizon) or (None, None)
    by_median = replace(
        _side(name, median.value, theirs, paired and paired.median_unit),
        our_interval=median.interval,
        their_interval=None if name is None else scores.baselines[name].part(part).median_unit(horizon).interval,
    )
    return Contest(horizon, pooled, by_median)


def _side(name: str | None, ours: float | None, theirs: float | None, paired: UnitComparison | None) -> Side:
    paired = paired if paired and paired.baseline == name else None
    outcome = None if ours is None or theirs is None else _outcome(ours, theirs, paired)
    if paired is None:
        return Side(name, ours, theirs, outcome=outcome)
    return Side(name, ours, theirs, outcome=outcome, units=paired.units, better=paired.better, p=paired.p)


def _outcome(ours: float, theirs: float, paired: UnitComparison | None) -> Outcome:
    """By the interval of the difference where there is one, by the numbers otherwise."""
    if paired and paired.low is not None and paired.high is not None:
        return "model" if paired.low > 0 else "baseline" if paired.high < 0 else "neither"
    return "model" if ours > theirs else "baseline" if ours < theirs else "neither"
