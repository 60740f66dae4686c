"""What the numbers of `metrics.json` amount to: rows of the table, and who won which. Text only, no drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from connfit.evaluation.connectivity import MOST_COMPARED
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.free_run import FreeRunScores
from connfit.evaluation.held_out import OWN, HeldOut
from connfit.evaluation.part_scores import ModelScores, PartScores
from connfit.evaluation.residual_noise import OTHERS_RESIDUALS
from connfit.report.sections.training_status import counted_parameters, is_untrained
from connfit.report.wording import capital, first_of, listed, number, pretty

MODEL = "model"
INITIAL = "untrained"

SETTLED = 0.1
"""Standard deviation over the data's below which a run without noise has come to rest, in its second half."""


Better = Literal["higher", "lower", "near 1", "none"]


@dataclass(frozen=True)
class Row:
    """One measure for the model, the untrained model, and every baseline.

    Parameters
    ----------
    key
        Path of the measure inside a part of `metrics.json`.
    label
        In words.
    better
        Which values are better: `"higher"`, `"lower"` or `"near 1"`; `"none"` where the measure
        describes and does not judge.
    values
        Column name to value; None where it is not defined.
    reasons
        Column name to why it is not.
    outside
        Columns that are shown but do not compete.
    intervals
        Column name to the ends of its 95 % interval, where there is one.
    """

    key: tuple[str, ...]
    label: str
    better: Better
    values: Mapping[str, float | None]
    reasons: Mapping[str, str]
    outside: tuple[str, ...] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def winners(self) -> tuple[str, ...]:
        """Columns with the best value; several if they tie, none if nothing is defined or nothing is to be won."""
        if self.better == "none":
            return ()
        scored = {
            name: self.merit(value)
            for name, value in self.values.items()
            if value is not None and name not in self.outside
        }
        best = max(scored.values(), default=-math.inf)
        if best == -math.inf:
            return ()
        return tuple(name for name, merit in scored.items() if merit >= best - 1e-12 * abs(best))

    def merit(self, value: float) -> float:
        """Return how good a value is: higher is better, whatever the measure."""
        if self.better == "near 1":
            # Half the spread is as wrong as twice the spread, and no spread at all is no contender.
            return -abs(math.log(value)) if value > 0 else -math.inf
        return value if self.better == "higher" else -value


@dataclass(frozen=True)
class _Column:
    """Scores of one model on a part, or why there are none."""

    scores: PartScores
    reason: str = "not computed"

    def measure(self, key: tuple[str, str]) -> tuple[float | None, str]:
        """A measure by its path in the part, and why it is None."""
        group, name = key
        if group == "horizon_skill":
            value, reasons = self.scores.horizon_skill.get(int(name)), self.scores.horizon.reasons
        elif group == "horizon_median_unit":
            median = self.scores.median_unit(int(name))
            return median.value, median.reasons.get("value") or self.reason
        else:
            of = getattr(self.scores, group) or FreeRunScores()
            value, reasons = getattr(of, name), of.reasons
        return value, reasons.get(name) or self.reason


def comparison(scores: ModelScores, part: str = "test") -> list[Row]:
    """Return the rows of the table that compares model, untrained model and baselines on one part."""
    columns = {MODEL: _Column(scores.part(part))}
    if scores.at_initialisation:
        columns[INITIAL] = _Column(scores.untrained(part))
    for name, baseline in scores.baselines.items():
        columns[pretty(name)] = _Column(baseline.part(part), baseline.reason or "not computed")
    horizons = sorted({h for column in columns.values() for h in column.scores.horizon_skill})
    rows = [
        _row(columns, ("one_step", "mse"), "one step: MSE", "lower"),
        _row(columns, ("one_step", "skill_vs_persistence"), "one step: skill", "higher"),
        *_median_rows(columns, 1, "one step: median unit's skill"),
        # What persistence predicts is the data one frame late: the nearer to it, the nearer to 1.
        _row(columns, ("one_step", "fc_corr"), "one step: FC correlation", "none"),
    ]
    for h in horizons:
        ahead = f"{h} frame{'s' if h > 1 else ''} ahead"
        rows.append(_row(columns, ("horizon_skill", str(h)), f"skill {ahead}", "higher"))
        rows += _median_rows(columns, h, f"median unit, {ahead}") if h > 1 else []
    return [*rows, *_free_run_rows(columns)]


def _median_rows(columns: Mapping[str, _Column], horizon: int, label: str) -> list[Row]:
    """The median unit's skill with its intervals; none of runs that were scored before there was one."""
    if not any(horizon in column.scores.horizon_median_unit for column in columns.values()):
        return []
    found = {name: column.scores.median_unit(horizon).interval for name, column in columns.items()}
    intervals = {name: interval for name, interval in found.items() if interval}
    return [replace(_row(columns, ("horizon_median_unit", str(horizon)), label, "higher"), intervals=intervals)]


def _free_run_rows(columns: Mapping[str, _Column]) -> list[Row]:
    """With noise a run cannot follow the data in time, without it it need not vary like them: neither is a contest."""
    quiet, driven = "free run without noise", "free run with residuals"
    if not columns[MODEL].scores.free_run.is_driven:
        return [
            _row(columns, ("free_run", "fc_corr"), f"{quiet}: FC correlation", "higher"),
            _row(columns, ("free_run", "median_unit_r"), f"{quiet}: median unit r", "higher"),
            _row(columns, ("free_run", "std_ratio"), f"{quiet}: std over data's", "near 1"),
        ]
    return [
        _row(columns, ("free_run", "fc_corr"), f"{driven}: FC correlation", "higher"),
        _row(columns, ("free_run", "std_ratio"), f"{driven}: std over data's", "near 1"),
        _row(columns, ("free_run", "median_unit_r"), f"{driven}: median unit r", "none"),
        _row(columns, ("free_run_deterministic", "fc_corr"), f"{quiet}: FC correlation", "none"),
        _row(columns, ("free_run_deterministic", "std_ratio"), f"{quiet}: std over data's", "none"),
        _row(columns, ("free_run_deterministic", "median_unit_r"), f"{quiet}: median unit r", "higher"),
    ]


def free_runs_in_words(scores: ModelScores, part: str = "test") -> str:
    """Describe what the free runs of a part are and what their rows can be read for."""
    if part not in scores.parts:
        return ""
    free_run = scores.parts[part].free_run
    if free_run.noise is None:
        return ""
    fc = _connected_in_words(scores)
    after = f" after {free_run.warmup_frames} recorded frames" if free_run.warmup_frames is not None else ""
    quiet = f"Free run without noise: each prediction is fed back as it is{after}."
    if not free_run.is_driven:
        return quiet + fc
    runs = free_run.runs or 1
    several = f"mean of {runs} runs" if runs != 1 else "one run"
    others = free_run.noise == OTHERS_RESIDUALS
    frames, whose = ("training frames of the other animals", "animals'") if others else ("training frames", "part's")
    return (
        f"Free run with residuals: {several}{after}; each column's own one-step errors on {frames}, drawn at "
        "random as whole frames, are added to its predictions and fed back. Such a run is not expected to follow the "
        "data in time. The errors carry correlations of their own: for the mean they are all there is, and its FC is a "
        f"copy of the training {whose}. {quiet} Measures that only describe carry no *.{fc}"
    )


def _connected_in_words(scores: ModelScores) -> str:
    """Return which units FC is of, where it is not of all."""
    recordings = scores.recordings if isinstance(scores, Evaluation | HeldOut) else {}
    most = max((recording.units for recording in recordings.values()), default=0)
    return f" FC is that of {MOST_COMPARED:,} of {most:,} units, evenly spaced." if most > MOST_COMPARED else ""


def fixed_point_in_words(scores: PartScores) -> str:
    """Return a sentence where the model's free run without noise stands still; empty where it does not."""
    whole, late = scores.quiet_run.std_ratio, scores.quiet_run.std_ratio_second_half
    late = whole if late is None else late
    if whole is None or late is None or late >= SETTLED:
        return ""
    return (
        "The model decays to a fixed point without noise: the standard deviation of that free run is "
        f"{number(whole)} times that of the data (median over units; {number(late)} in its second half), and its "
        "functional connectivity says nothing about ongoing activity."
    )


def _row(columns: Mapping[str, _Column], key: tuple[str, str], label: str, better: Better) -> Row:
    measured = {name: column.measure(key) for name, column in columns.items()}
    values = {name: value for name, (value, _) in measured.items()}
    reasons = {name: reason for name, (value, reason) in measured.items() if value is None}
    return Row(key, label, better, values, reasons, (pretty(OWN),))


def by_reason(rows: Sequence[Row]) -> dict[str, list[tuple[str, str]]]:
    """Return columns and labels of rows that have no number, by the reason."""
    grouped: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for name, reason in row.reasons.items():
            grouped.setdefault(reason, []).append((name, row.label))
    return grouped


def verdict(rows: Sequence[Row]) -> str:
    """Suggest in one or two sentences where the model is best and which other column is better where it is not."""
    decided = [row for row in rows if row.winners]
    if not decided:
        return "Nothing could be scored on this part."
    won = [row for row in decided if row.winners == (MODEL,)]
    tied = [row for row in decided if MODEL in row.winners and len(row.winners) > 1]
    lost: dict[str, list[Row]] = {}
    for row in decided:
        if MODEL not in row.winners:
            winners = ["the untrained model" if name == INITIAL else name for name in row.winners]
            lost.setdefault(listed(winners), []).append(row)
    sentences = [f"The model is best in {len(won)} of {len(decided)} rows" + (f": {shortly(won)}." if won else ".")]
    if tied:
        sentences.append(f"It ties in {shortly(tied)}.")
    for name, rows_lost in lost.items():
        verb = "are" if " and " in name else "is"
        sentences.append(f"{capital(name)} {verb} better in {shortly(rows_lost)}.")
    return " ".join(sentences)


def shortly(rows: Sequence[Row]) -> str:
    """Return the labels of rows in a sentence; horizons together."""
    ahead = {("horizon_skill", row.key[1]) for row in rows} | {("horizon_median_unit", row.key[1]) for row in rows}
    ahead -= {("horizon_median_unit", "1")}
    names = [row.label.replace(": ", " ") for row in rows if row.key not in ahead]
    horizons = [row.key[1] for row in rows if row.key[0] == "horizon_skill"]
    if horizons:
        names.append(f"skill {', '.join(horizons)} frame{'' if horizons == ['1'] else 's'} ahead")
    medians = [row.key[1] for row in rows if row.key[0] == "horizon_median_unit" and row.key[1] != "1"]
    if medians:
        names.append(f"skill of the median unit {', '.join(medians)} frames ahead")
    return first_of(names, between="; ")


def observations_in_words(evaluation: Evaluation) -> str:
    """Describe how many parameters stand against how many observations, with the ratio in words."""
    groups, observed = counted_parameters(evaluation), evaluation.observations.get("train")
    if groups is None or not observed:
        return "Numbers of parameters and observations were not recorded."
    parameters = sum(groups.values())
    if not parameters:
        return f"The fit had no parameter to learn, and {observed:,} observations in the training part."
    none = ", none of them trained," if is_untrained(evaluation) else ""
    text = f"{parameters:,} parameters{none} for {observed:,} observations in the training part"
    ratio = parameters / observed
    if ratio > 1.005:
        return f"{text}: {ratio:.3g} parameters for every observation, so the data alone cannot determine them."
    if ratio > 0.995:
        return f"{text}: about one parameter for every observation."
    return f"{text}: {1 / ratio:.3g} observations for every parameter."
