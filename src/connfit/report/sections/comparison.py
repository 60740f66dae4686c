"""What the numbers of `metrics.json` amount to: rows of the table, and who won which. Text only, no drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connfit.evaluation.free_run import OTHERS_RESIDUALS
from connfit.evaluation.held_out import OWN
from connfit.report.sections.training_status import counted_parameters, is_untrained
from connfit.report.wording import capital, first_of, listed, number, pretty

MODEL = "model"
INITIAL = "at initialisation"

SETTLED = 0.1
"""Standard deviation over the data's below which a run without noise has come to rest, in its second half."""


Better = Literal["higher", "lower", "near 1", "none"]


@dataclass(frozen=True)
class Row:
    """One measure for the model, the model before the fit, and every baseline.

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
        """How good a value is: higher is better, whatever the measure."""
        if self.better == "near 1":
            # Half the spread is as wrong as twice the spread, and no spread at all is no contender.
            return -abs(math.log(value)) if value > 0 else -math.inf
        return value if self.better == "higher" else -value


def comparison(metrics: Mapping[str, Any], part: str = "test") -> list[Row]:
    """Rows of the table that compares model, initialisation and baselines on one part."""
    columns: dict[str, Mapping[str, Any]] = {MODEL: metrics.get("parts", {}).get(part) or {}}
    if metrics.get("at_initialisation"):
        columns[INITIAL] = metrics["at_initialisation"].get(part) or {}
    for name, scores in (metrics.get("baselines") or {}).items():
        columns[pretty(name)] = scores.get(part) or {"reason": scores.get("reason", "not computed")}
    horizons = sorted({int(h) for column in columns.values() for h in column.get("horizon_skill") or {}})
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


def _median_rows(columns: Mapping[str, Mapping[str, Any]], horizon: int, label: str) -> list[Row]:
    """The median unit's skill with its intervals; none of runs that were scored before there was one."""
    h = str(horizon)
    found = {name: (column.get("horizon_median_unit") or {}).get(h) or {} for name, column in columns.items()}
    if not any(found.values()):
        return []
    row = _row({name: {**columns[name], "median": one} for name, one in found.items()}, ("median", "value"), label,
               "higher")  # fmt: skip
    intervals = {
        name: (one["low"], one["high"])
        for name, one in found.items()
        if one.get("low") is not None and one.get("high") is not None
    }
    return [Row(("horizon_median_unit", h), label, row.better, row.values, row.reasons, row.outside, intervals)]


def _free_run_rows(columns: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """With noise a run cannot follow the data in time, without it it need not vary like them: neither is a contest."""
    if not is_driven(columns[MODEL]):
        return [
            _row(columns, ("free_run", "fc_corr"), "free run without noise: FC correlation", "higher"),
            _row(columns, ("free_run", "median_unit_r"), "free run without noise: median unit r", "higher"),
            _row(columns, ("free_run", "std_ratio"), "free run without noise: std over data's", "near 1"),
        ]
    return [
        _row(columns, ("free_run", "fc_corr"), "free run with residuals: FC correlation", "higher"),
        _row(columns, ("free_run", "std_ratio"), "free run with residuals: std over data's", "near 1"),
        _row(columns, ("free_run", "median_unit_r"), "free run with residuals: median unit r", "none"),
        _row(columns, ("free_run_deterministic", "fc_corr"), "free run without noise: FC correlation", "none"),
        _row(columns, ("free_run_deterministic", "std_ratio"), "free run without noise: std over data's", "none"),
        _row(columns, ("free_run_deterministic", "median_unit_r"), "free run without noise: median unit r", "higher"),
    ]


def is_driven(part: Mapping[str, Any]) -> bool:
    """Whether the free run of a part was driven by noise."""
    return ((part or {}).get("free_run") or {}).get("noise", "none") != "none"


def free_runs_in_words(metrics: Mapping[str, Any], part: str = "test") -> str:
    """What the free runs of a part are and what their rows can be read for."""
    scores = (metrics.get("parts") or {}).get(part) or {}
    free_run = scores.get("free_run") or {}
    if not free_run:
        return ""
    after = f" after {free_run['warmup_frames']} recorded frames" if free_run.get("warmup_frames") is not None else ""
    quiet = f"Free run without noise: each prediction is fed back as it is{after}."
    if not is_driven(scores):
        return quiet
    runs = free_run.get("runs") or 1
    several = f"mean of {runs} runs" if runs != 1 else "one run"
    others = free_run["noise"] == OTHERS_RESIDUALS
    frames, whose = ("training frames of the other animals", "animals'") if others else ("training frames", "part's")
    return (
        f"Free run with residuals: {several}{after}; each column's own one-step errors on {frames}, drawn at "
        "random as whole frames, are added to its predictions and fed back. Such a run is not expected to follow the "
        "data in time. The errors carry correlations of their own: for the mean they are all there is, and its FC is a "
        f"copy of the training {whose}. {quiet} Measures that only describe carry no *."
    )


def fixed_point_in_words(part: Mapping[str, Any]) -> str:
    """A sentence where the model's free run without noise stands still; empty where it does not."""
    whole = quiet_run(part).get("std_ratio")
    late = quiet_run(part).get("std_ratio_second_half", whole)
    if whole is None or late is None or late >= SETTLED:
        return ""
    return (
        "The model decays to a fixed point without noise: the standard deviation of that free run is "
        f"{number(whole)} times that of the data (median over units; {number(late)} in its second half), and its "
        "functional connectivity says nothing about ongoing activity."
    )


def quiet_run(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of the free run without noise."""
    return part.get("free_run_deterministic" if is_driven(part) else "free_run") or {}


def _row(
    columns: Mapping[str, Mapping[str, Any]],
    key: tuple[str, str],
    label: str,
    better: Better,
) -> Row:
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, scores in columns.items():
        group = scores.get(key[0]) or {}
        values[name] = group.get(key[1])
        if values[name] is None:
            held = scores.get("horizon", {}) if key[0] == "horizon_skill" else group
            reasons[name] = held.get("reasons", {}).get(key[1]) or scores.get("reason") or "not computed"
    return Row(key, label, better, values, reasons, (pretty(OWN),))


def verdict(rows: list[Row]) -> str:
    """One or two sentences that say where the model is best and which other column is better where it is not."""
    decided = [row for row in rows if row.winners]
    if not decided:
        return "Nothing could be scored on this part."
    won = [row for row in decided if row.winners == (MODEL,)]
    tied = [row for row in decided if MODEL in row.winners and len(row.winners) > 1]
    lost: dict[str, list[Row]] = {}
    for row in decided:
        if MODEL not in row.winners:
            lost.setdefault(listed(row.winners), []).append(row)
    sentences = [f"The model is best in {len(won)} of {len(decided)} rows" + (f": {shortly(won)}." if won else ".")]
    if tied:
        sentences.append(f"It ties in {shortly(tied)}.")
    for name, rows_lost in lost.items():
        verb = "are" if " and " in name else "is"
        sentences.append(f"{capital(name)} {verb} better in {shortly(rows_lost)}.")
    return " ".join(sentences)


def shortly(rows: list[Row]) -> str:
    """The labels of rows in a sentence; horizons together."""
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


def observations_in_words(metrics: Mapping[str, Any]) -> str:
    """How many parameters stand against how many observations, with the ratio in words."""
    groups = metrics.get(counted_parameters(metrics))
    parameters, observed = sum((groups or {}).values()), (metrics.get("observations") or {}).get("train")
    if groups is None or not observed:
        return "Numbers of parameters and observations were not recorded."
    if not parameters:
        return f"The fit had no parameter to learn, and {observed:,} observations in the training part."
    none = ", none of them trained," if is_untrained(metrics) else ""
    text = f"{parameters:,} parameters{none} for {observed:,} observations in the training part"
    ratio = parameters / observed
    if ratio > 1.005:
        return f"{text}: {ratio:.3g} parameters for every observation, so the data alone cannot determine them."
    if ratio > 0.995:
        return f"{text}: about one parameter for every observation."
    return f"{text}: {1 / ratio:.3g} observations for every parameter."
