"""What the numbers of `metrics.json` amount to: who won which row, and what limits the fit. Text only, no drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connfit.evaluate.free_run import OTHERS_RESIDUALS
from connfit.evaluate.held_out import OWN

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
    """

    key: tuple[str, ...]
    label: str
    better: Better
    values: Mapping[str, float | None]
    reasons: Mapping[str, str]
    outside: tuple[str, ...] = ()

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


def number(value: float | None) -> str:
    """Three significant digits; an en dash where there is no number."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 0.001 <= abs(value) < 10_000:
        return f"{value:.2e}".replace("-", "−")
    # Rounded first: 0.09999 is 0.100, not 0.1000.
    decimals = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{decimals}f}".replace("-", "−")


def pretty(name: str) -> str:
    """Name of a column as people say it."""
    short = {
        "ar": "AR",
        "gru": "GRU",
        "lds": "LDS",
        "region_rnn": "region RNN",
        "var_ridge": "ridge VAR",
        OWN: "own VAR",
    }
    return short.get(name, name.replace("_", " "))


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
        _row(columns, ("one_step", "fc_corr"), "one step: FC correlation", "higher"),
    ]
    rows += [
        _row(columns, ("horizon_skill", str(h)), f"skill {h} frame{'s' if h > 1 else ''} ahead", "higher")
        for h in horizons
    ]
    return [*rows, *_free_run_rows(columns)]


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
    whole = _quiet(part).get("std_ratio")
    late = _quiet(part).get("std_ratio_second_half", whole)
    if whole is None or late is None or late >= SETTLED:
        return ""
    return (
        "The model decays to a fixed point without noise: the standard deviation of that free run is "
        f"{number(whole)} times that of the data (median over units; {number(late)} in its second half), and its "
        "functional connectivity says nothing about ongoing activity."
    )


def _quiet(part: Mapping[str, Any]) -> Mapping[str, Any]:
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
            lost.setdefault(" and ".join(row.winners), []).append(row)
    sentences = [f"The model is best in {len(won)} of {len(decided)} rows" + (f": {_shortly(won)}." if won else ".")]
    if tied:
        sentences.append(f"It ties in {_shortly(tied)}.")
    for name, rows_lost in lost.items():
        verb = "are" if " and " in name else "is"
        sentences.append(f"{name[0].upper()}{name[1:]} {verb} better in {_shortly(rows_lost)}.")
    return " ".join(sentences)


def _shortly(rows: list[Row]) -> str:
    """The labels of rows in a sentence; horizons together."""
    names = [row.label.replace(": ", " ") for row in rows if row.key[0] != "horizon_skill"]
    horizons = [row.key[1] for row in rows if row.key[0] == "horizon_skill"]
    if horizons:
        names.append(f"skill {', '.join(horizons)} frame{'' if horizons == ['1'] else 's'} ahead")
    return "; ".join(names)


def observations_in_words(metrics: Mapping[str, Any]) -> str:
    """How many parameters stand against how many observations, with the ratio in words."""
    parameters = sum((metrics.get("parameters") or {}).values())
    observed = (metrics.get("observations") or {}).get("train")
    if not parameters or not observed:
        return "Numbers of parameters and observations were not recorded."
    text = f"{parameters:,} parameters for {observed:,} observations in the training part"
    ratio = parameters / observed
    if ratio > 1.005:
        return f"{text}: {ratio:.3g} parameters for every observation, so the data alone cannot determine them."
    if ratio > 0.995:
        return f"{text}: about one parameter for every observation."
    return f"{text}: {1 / ratio:.3g} observations for every parameter."


def limitations(metrics: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> list[str]:
    """What the reader must not conclude from this fit, from its own numbers. Empty only where nothing was found."""
    found: list[str] = []
    test = (metrics.get("parts") or {}).get("test") or {}
    one_step = test.get("one_step") or {}
    if metrics.get("surrogate"):
        found.append("The data are a surrogate: generated by a teacher model, not recorded from a brain.")
    parameters, observed = (
        sum((metrics.get("parameters") or {}).values()),
        (metrics.get("observations") or {}).get("train") or 0,
    )
    if parameters > observed > 0:
        found.append(
            f"There are more parameters ({parameters:,}) than observations ({observed:,}): many different "
            "parameter sets "
            "fit equally well, and single fitted strengths or time constants should not be read as measurements."
        )
    skill = one_step.get("skill_vs_persistence")
    if skill is None:
        found.append(f"One-step skill on test is not defined: {_reason(one_step, 'skill_vs_persistence')}.")
    elif skill <= 0:
        found.append(
            f"One step ahead, persistence is not beaten on test (skill {number(skill)}): repeating the last frame is "
            "at least as good."
        )
    per_unit = one_step.get("per_unit_skill") or {}
    if (
        skill is not None
        and skill > 0
        and per_unit.get("units")
        and per_unit.get("above_persistence", 0) < per_unit["units"] / 2
    ):
        found.append(
            f"Only {per_unit['above_persistence']} of {per_unit['units']} units are predicted better than by "
            "persistence: "
            "the pooled skill comes from the units of largest variance."
        )
    gap = _gap(metrics, "one_step", "skill_vs_persistence")
    if gap is not None and gap > 0.1:
        found.append(
            f"One-step skill is {gap:.2f} lower on test than on train: the fit is in part of the training part's "
            "noise or drift."
        )
    found += _free_run_limits(metrics, test)
    worse = [row for row in comparison(metrics) if _before_was_better(row)]
    if worse:
        found.append(f"Training made the test part worse in {_shortly(worse)}.")
    better = [name for name in _one_step_better(metrics) if name not in (INITIAL, "persistence")]
    if better:
        found.append(
            f"One step ahead, {' and '.join(better)} predict{'s' if len(better) == 1 else ''} the test part "
            "better than the model."
        )
    for name, scores in (metrics.get("baselines") or {}).items():
        if scores.get("reason"):
            found.append(f"The baseline {pretty(name)} could not be fitted: {scores['reason']}.")
        if (scores.get("chosen") or {}).get("alpha_at_edge"):
            found.append(f"The penalty of {pretty(name)} lies at the edge of the values that were tried.")
    found += _unit_limits(record or {})
    return found


def _free_run_limits(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    driven, free_run, quiet = is_driven(test), test.get("free_run") or {}, _quiet(test)
    which = "driven by its residuals" if driven else "without noise"
    itself = (metrics.get("data") or {}).get("fc_corr_train_vs_test")
    fc, error = free_run.get("fc_corr"), free_run.get("fc_corr_error")
    settled = fixed_point_in_words(test)
    if fc is None:
        found.append(
            f"The free run {which} has no functional connectivity to compare on test: {_reason(free_run, 'fc_corr')}."
        )
    elif itself is not None and fc < itself and (driven or not settled):
        spread = "" if error is None else f" ± {number(error)} (standard error over runs)"
        found.append(
            f"In free run {which} the model's functional connectivity agrees with the test part's at {number(fc)}"
            f"{spread}, below the {number(itself)} that a plain copy of the training part's reaches."
        )
    ratio = free_run.get("std_ratio")
    if ratio is not None and not 0.5 <= ratio <= 2.0 and (driven or not settled):
        what = "hardly moves" if ratio < 0.5 else "swings too widely"
        found.append(
            f"The free run {which} {what}: its standard deviation is {number(ratio)} times that of the data "
            "(median over units)."
        )
    if settled:
        found.append(settled)
    r = quiet.get("median_unit_r")
    if r is not None and r < 0.1 and not settled:
        found.append(
            f"In free run without noise the units do not follow the data in time (median r {number(r)}). After the "
            "warm-up only the model's own state is left, so this is expected where activity is driven by inputs that "
            "were not recorded."
        )
    return found


def _unit_limits(record: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, recording in (record.get("recordings") or {}).items():
        unmatched = recording.get("unmatched") or []
        matched = recording.get("matched") or []
        if unmatched:
            total = len(unmatched) + len(matched)
            found.append(
                f"{name}: {len(unmatched)} of {total} recorded units have no neuron in the connectome and were "
                "not fitted."
            )
    return found


def _one_step_better(metrics: Mapping[str, Any]) -> list[str]:
    """Columns whose one-step MSE on test is below the model's."""
    row = comparison(metrics)[0]
    ours = row.values[MODEL]
    return [] if ours is None else [name for name, value in row.values.items() if value is not None and value < ours]


def _before_was_better(row: Row) -> bool:
    ours, before = row.values[MODEL], row.values.get(INITIAL)
    return row.better != "none" and ours is not None and before is not None and row.merit(ours) < row.merit(before)


def _gap(metrics: Mapping[str, Any], group: str, key: str) -> float | None:
    parts = metrics.get("parts") or {}
    train, test = (((parts.get(part) or {}).get(group) or {}).get(key) for part in ("train", "test"))
    return None if train is None or test is None else train - test


def _reason(group: Mapping[str, Any], key: str) -> str:
    return (group.get("reasons") or {}).get(key, "it was not computed")
