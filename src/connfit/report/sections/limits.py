"""All that a reader must not conclude from a run, from every file that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.analysis.criticality.judgement import JUDGED, best_floor, judge, signal_in
from connfit.analysis.gradients.learning_verdict import AXES, FAR, outcome_of
from connfit.evaluation.study.study import Study
from connfit.report.prose import write_prose
from connfit.report.run_files import ANALYSIS, GRADIENT, RECOVERY, STUDY
from connfit.report.sections.fit_limits import limitations
from connfit.report.sections.gradient_section import main_group
from connfit.report.sections.held_out_section import held_out_limits
from connfit.report.wording import first_of, listed, number

FAR_FROM_EXACT = 0.9
"""Cosine to the exact gradient below which it is a limitation."""

MANY_AT_BOUNDS = 0.05
"""Share of time constants at a bound from which on it is a limitation."""

MANY_OUTSIDE = 0.05
"""Share of values outside the range of training from which on it is a limitation. Of values that are drawn
alike, 2 / (n + 1) leave the range of n others: 1 % for 200 training frames."""

FEW_RECOVERED = 0.5
"""R² of known parameters below which they are not found again."""

PARTS = {"validation": "validation", "test": "test", "held_out": "held-out test", "train": "training"}


def all_limits(documents: Mapping[str, Any]) -> list[str]:
    """One sentence each, from the JSON files of a run by their path."""
    metrics = documents["metrics.json"]
    measured = (documents.get("questions.json") or {}).get("measured") or {}
    found = [*limitations(metrics, documents.get("record.json")), *held_out_limits(metrics), *array_limits(measured)]
    if STUDY in documents:
        found += study_limits(documents[STUDY])
    if GRADIENT in documents:
        found += gradient_limits(documents[GRADIENT], documents.get("config.json") or {})
    if ANALYSIS in documents:
        found += analysis_limits(documents[ANALYSIS], bounds_are_known="time_constants_at_bounds" in measured)
    if RECOVERY in documents:
        found += recovery_limits(documents[RECOVERY])
    return found + simulation_limits(documents)


def array_limits(measured: Mapping[str, Any]) -> list[str]:
    """Time constants at their bounds, and values that training did not show or the model cannot reach."""
    found = []
    bounds = measured.get("time_constants_at_bounds")
    if bounds and bounds["value"] >= MANY_AT_BOUNDS:
        ends = [
            f"{bounds[count]:,} at the {end} of {bounds[key]:.3g} s"
            for count, end, key in (("at_low", "lowest", "low_s"), ("at_high", "highest", "high_s"))
            if bounds[count]
        ]
        found.append(
            f"{bounds['value']:.0%} of {bounds['neurons']:,} time constants are at a bound ({listed(ends)}): these say "
            "where the bound was set, not how fast the neurons are."
        )
    outside = measured.get("values_outside_training")
    if outside and outside["value"] >= MANY_OUTSIDE:
        told = _shares(outside["recordings"], MANY_OUTSIDE)
        found.append(
            f"Values outside the range that their units had in training: {told}. The model was fitted to nothing like "
            "them: what goes beyond the range is predicted to stay, as by persistence. Where that is drift and no "
            "signal, remove it with the step `high_pass` of `data.preprocess`."
        )
    reach = measured.get("values_below_reach")
    if reach and reach["value"] >= 0.01:
        told = _shares(reach["recordings"], 0.01)
        found.append(f"Values below 0, where no prediction of this model goes: {told}.")
    return found


def _shares(recordings: Mapping[str, Mapping[str, float]], least: float) -> str:
    """Shares of the parts of each recording, the largest first."""
    every = [
        (share, f"{name}, {share:.0%} of the {PARTS[part]} part")
        for name, parts in recordings.items()
        for part, share in parts.items()
        if share >= least
    ]
    return first_of([text for _, text in sorted(every, key=lambda one: -one[0])], between="; ")


def study_limits(study: Study) -> list[str]:
    """Return rows that do as well or better, too few seeds, and groups of parameters that the data leave open."""
    return list(write_prose("limits/study.j2", {STUDY: study}).paragraphs)


def gradient_limits(record: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Where the rule that made the fit has a gradient far from the exact one, in any group of parameters."""
    learner = config.get("learner") or {}
    state, rows = list(record["parameters"].items())[-1]
    main = main_group(record)
    found = credit_limits(record.get("learning_curves") or {})
    for row in rows:
        same = all(learner.get(key) == row.get(key) for key in ("credit", "carry"))
        # Of immediate the gradient is the same for every K without credit; a run with other dials has another rule.
        fixed = row["by_window"] or row["rule"] == "immediate"
        if not same or "bf16" in row["rule"] or (fixed and row["window"] != learner.get("window")):
            continue
        groups = sorted(row["groups"], key=lambda name: name != main)
        cosines = {name: row["groups"][name]["cosine"] for name in groups}
        far = [name for name, one in cosines.items() if one is not None and one < FAR_FROM_EXACT]
        if far:
            first, *others = far
            when = "after the fit" if state == "fitted" else "at the start"
            also = first_of([f"{name.replace('_', ' ')} {number(cosines[name])}" for name in others])
            found.append(
                f"The rule of this fit, {row['label']}, has a gradient of the {first.replace('_', ' ')} whose cosine "
                f"with the exact one is {number(cosines[first])} ({when}{'; ' if also else ''}{also}): the exact "
                "gradient may lead elsewhere."
            )
            break
    return found


def credit_limits(curves: Mapping[str, Any]) -> list[str]:
    """Where a rule without credit through time predicts the test part as well as the best rule with it."""
    told = []
    for axis, words in AXES.items():
        contest = (curves.get(axis) or {}).get("credit")
        if contest is None:
            continue
        outcomes = {h: outcome_of(contest["difference"][h]) for h in contest["difference"] if int(h) <= FAR}
        for outcome, verb in (("cheap wins", "wins"), ("cheap as good", "is as good")):
            at = [h for h, one in outcomes.items() if one == outcome]
            if at:
                told.append(f"{verb} after {words} {listed(at)} frame{'' if at == ['1'] else 's'} ahead")
    if not told:
        return []
    return [
        f"The cheap rule, without any credit through time, {'; '.join(told)}: these data give no evidence there that "
        "credit through time is needed."
    ]


def analysis_limits(record: Mapping[str, Any], *, bounds_are_known: bool = False) -> list[str]:
    """What an analysis found that limits how it, or a fitted parameter, can be read.

    Parameters
    ----------
    bounds_are_known
        Whether time constants at bounds are said already, from the parameters themselves.
    """
    found: list[str] = []
    told: dict[str, list[str]] = {}
    for source in record["sources"].values():
        if source.get("grid") is None:
            continue
        floor = best_floor(source)
        judged = judge(source["verdict"][floor], signal_in(source)) if floor is not None else None
        if judged not in (None, "none"):
            told.setdefault(JUDGED[judged], []).append(source["what"])
    for judged, sources in told.items():
        found.append(f"What avalanches say of criticality is limited, in {first_of(sources, between='; ')}. {judged}")
    absent = [f"{one['what']} ({one['reason']})" for one in record["sources"].values() if one.get("grid") is None]
    if absent:
        found.append(f"Avalanches were not analysed in {first_of(absent, between='; ')}.")
    taus = record["time_constants"]
    share = taus["at_bounds_fraction"]
    if not bounds_are_known and share is not None and share >= MANY_AT_BOUNDS:
        found.append(
            f"{share:.0%} of the time constants are at a bound: these say where the bound was set, not how fast the "
            "neurons are."
        )
    if taus["below_step"]:
        found.append(
            f"{taus['below_step']:,} time constants are below one step of {taus['step_s']:.3g} s, where recordings of "
            "this rate tell nothing."
        )
    if not ((record["stability"]["after"].get("rest") or {}).get("reached", True)):
        found.append(
            "The fitted model does not come to rest without noise: Jacobians of the analysis are of one moment only."
        )
    statistics = record["weights"]["statistics"]
    moved = ((statistics or {}).get("change_from_start") or {}).get("moved_by_over_1_percent")
    if moved is not None and moved < 0.5:
        found.append(
            f"Only {moved:.0%} of the strengths moved by more than 1 % from where they started: the rest is the start, "
            "not a finding."
        )
    return found


def recovery_limits(record: Mapping[str, Any]) -> list[str]:
    """Parameters that were not found again where they are known."""
    points = record["curves"].get("frames") or []
    if not points:
        return []
    point = max(points, key=lambda one: one["frames"])
    lost = [
        f"{words} (R² {number(point[key]['mean'])})"
        for key, words in (("weights_r2", "weights"), ("time_constants_r2", "time constants"))
        if (point.get(key) or {}).get("mean") is not None and point[key]["mean"] < FEW_RECOVERED
    ]
    if not lost:
        return []
    return [
        f"On teachers whose parameters are known, {point['recorded']:.0%} of the neurons recorded for "
        f"{point['frames']:,} frames, {listed(lost)} were not found again: single fitted values are no measurements."
    ]


def simulation_limits(documents: Mapping[str, Any]) -> list[str]:
    """That simulated experiments are answers of the model, and those in which nothing answered."""
    records = {name.split("/")[1]: one for name, one in documents.items() if name.startswith("simulations/")}
    if not records:
        return []
    found = [
        f"{len(records):,} simulated experiment{'' if len(records) == 1 else 's'} "
        f"({first_of(list(records))}): no recording of this run holds a measured response to compare with."
    ]
    still = [name for name, one in records.items() if not any(row["change"] for row in one["units"])]
    if still:
        found.append(f"No unit answers in {first_of(still)}.")
    return found
