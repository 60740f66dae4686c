"""All that a reader must not conclude from a run, from every file that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.judgement import JUDGED
from connfit.analysis.gradients.learning_verdict import AXES, FAR, outcome_of
from connfit.evaluation.study.row_names import row_name
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


def study_limits(study: Mapping[str, Any]) -> list[str]:
    """Rows that do as well or better, too few seeds, and groups of parameters that the data leave open."""
    found: list[str] = []
    rows = [row for row in study["rows"] if row["difference"]]
    horizons = [str(h) for h in study["comparisons"]["horizons"]]
    ours = next((row for row in study["rows"] if row["group"] == "connectome"), None)
    if ours is not None and len(ours["seeds"]) == 1:
        found.append("The study has one seed: its intervals know nothing of the spread between seeds.")
    if ours is not None and ours["note"]:
        found.append(f"In the study the connectome model {ours['note']}.")
    nulls = [row for row in rows if row["group"] == "null" and row["counts"]]
    if nulls:
        beaten = {h: sum(_outcome(row, h) == "better" for row in nulls) for h in horizons}
        if not any(beaten.values()):
            found.append(
                f"None of {len(nulls)} null connectomes is worse than the real wiring at any horizon: this fit gives "
                "no evidence that the wiring matters for predicting these recordings."
            )
        else:
            told = ", ".join(f"{count} of {len(nulls)} at {_frames(h)}" for h, count in beaten.items())
            if any(count < len(nulls) for count in beaten.values()):
                found.append(f"The real wiring is not better than every null connectome: it beats {told}.")
    for group, words in (
        ("baseline", "models without a connectome"),
        ("ablation", "changed models"),
        ("learning", "other learning rules or optimisers"),
    ):
        better = {
            row_name(row["name"]): [h for h in horizons if _outcome(row, h) == "worse"]
            for row in rows
            if row["group"] == group
        }
        told = [f"{name}, {listed(at)} frame{'' if at == ['1'] else 's'} ahead" for name, at in better.items() if at]
        if told:
            most = first_of(told, between="; ")
            found.append(f"Some {words} do better than this one over seeds and blocks of time: {most}.")
    fixed = next((row for row in rows if row["name"] == "fixed_strengths"), None)
    if fixed is not None and all(_outcome(fixed, h) in ("tie", "worse") for h in horizons):
        found.append(
            "Strengths that stay at the synapse counts predict as well as learned ones: what was learned about single "
            "connections is not needed for these predictions."
        )
    flat = (study.get("reproducibility") or {}).get("flat") or []
    if flat:
        found.append(
            f"Seeds predict alike, but what the fit changed in {listed([one.replace('_', ' ') for one in flat])} does "
            "not agree between them: these data leave it open."
        )
    lost = [f"{row_name(row['name'])} ({len(row['failed'])})" for row in study["rows"] if row.get("failed")]
    if lost:
        found.append(f"Seeds of the study that failed and are in no mean: {first_of(lost)}.")
    none = [row_name(row["name"]) for row in study["rows"] if row.get("reason")]
    if none:
        found.append(f"Rows of the study without numbers, with the reason beside them: {first_of(none)}.")
    return found


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


def analysis_limits(analysis: Analysis, *, bounds_are_known: bool = False) -> list[str]:
    """Say what an analysis found that limits how it, or a fitted parameter, can be read.

    Parameters
    ----------
    bounds_are_known
        Whether time constants at bounds are said already, from the parameters themselves.
    """
    told: dict[str, list[str]] = {}
    for source in analysis.sources.values():
        if source.judgement not in (None, "none"):
            told.setdefault(JUDGED[source.judgement], []).append(source.what)
    absent = [f"{source.what} ({source.reason})" for source in analysis.sources.values() if source.reason is not None]
    prose = write_prose(
        "limits/analysis.j2",
        {ANALYSIS: analysis},
        judged=list(told.items()),
        absent=absent,
        bounds_are_known=bounds_are_known,
        many_at_bounds=MANY_AT_BOUNDS,
    )
    return list(prose.paragraphs)


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


def _outcome(row: Mapping[str, Any], horizon: str) -> str | None:
    return (row["difference"].get(horizon) or {}).get("outcome")


def _frames(horizon: str) -> str:
    return "1 frame" if horizon == "1" else f"{horizon} frames"
