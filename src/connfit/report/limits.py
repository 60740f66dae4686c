"""All that a reader must not conclude from a run, from every file that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connfit.report.comparison import limitations, number
from connfit.report.gradient_section import main_group
from connfit.report.held_out import held_out_limits
from connfit.report.run_files import GRADIENT, STUDY
from connfit.report.study_names import row_name

FAR_FROM_EXACT = 0.9
"""Cosine to the exact gradient below which it is a limitation."""


def all_limits(documents: Mapping[str, Any]) -> list[str]:
    """One sentence each, from the JSON files of a run by their path."""
    metrics = documents["metrics.json"]
    found = [*limitations(metrics, documents.get("record.json")), *held_out_limits(metrics)]
    if STUDY in documents:
        found += study_limits(documents[STUDY])
    if GRADIENT in documents:
        found += gradient_limits(documents[GRADIENT], documents.get("config.json") or {})
    return found


def study_limits(study: Mapping[str, Any]) -> list[str]:
    """Rows that do as well or better, too few seeds, and groups of parameters that the data leave open."""
    found: list[str] = []
    rows = [row for row in study["rows"] if row["difference"]]
    horizons = [str(h) for h in study["comparisons"]["horizons"]]
    ours = next((row for row in study["rows"] if row["group"] == "connectome"), None)
    if ours is not None and len(ours["seeds"]) == 1:
        found.append("The study has one seed: its intervals know nothing of the spread between seeds.")
    nulls = [row for row in rows if row["group"] == "null"]
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
    for group, words in (("baseline", "models without a connectome"), ("ablation", "changed models")):
        better = {
            row_name(row["name"]): [h for h in horizons if _outcome(row, h) == "worse"]
            for row in rows
            if row["group"] == group
        }
        told = [f"{name}, {_listed(at)} frame{'' if at == ['1'] else 's'} ahead" for name, at in better.items() if at]
        if told:
            found.append(f"Some {words} do better than this one over seeds and blocks of time: {'; '.join(told)}.")
    fixed = next((row for row in rows if row["name"] == "fixed_strengths"), None)
    if fixed is not None and all(_outcome(fixed, h) in ("tie", "worse") for h in horizons):
        found.append(
            "Strengths that stay at the synapse counts predict as well as learned ones: what was learned about single "
            "connections is not needed for these predictions."
        )
    flat = (study.get("reproducibility") or {}).get("flat") or []
    if flat:
        found.append(
            f"Seeds predict alike, but what the fit changed in {_listed([one.replace('_', ' ') for one in flat])} does "
            "not agree between them: these data leave it open."
        )
    return found


def gradient_limits(record: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Where the rule that made the fit has a gradient far from the exact one."""
    learner = config.get("learner") or {}
    state, rows = list(record["parameters"].items())[-1]
    group = main_group(record)
    for row in rows:
        same = all(learner.get(key) == row.get(key) for key in ("credit", "carry"))
        if not same or "bf16" in row["rule"] or (row["by_window"] and row["window"] != learner.get("window")):
            continue
        cosine = row["groups"][group]["cosine"]
        if cosine is not None and cosine < FAR_FROM_EXACT:
            return [
                f"The rule of this fit, {row['label']}, has a gradient of the {group.replace('_', ' ')} whose cosine "
                f"with the exact one is {number(cosine)} ({'after the fit' if state == 'fitted' else 'at the start'}): "
                "the exact gradient may lead elsewhere."
            ]
    return []


def _outcome(row: Mapping[str, Any], horizon: str) -> str | None:
    return (row["difference"].get(horizon) or {}).get("outcome")


def _frames(horizon: str) -> str:
    return "1 frame" if horizon == "1" else f"{horizon} frames"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""
