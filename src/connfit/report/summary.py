"""The first screen of the report: what was fitted, who predicts best, and the few numbers that say how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from connfit.report import page
from connfit.report.comparison import INITIAL, MODEL, comparison, number, verdict
from connfit.report.evidence import Answer
from connfit.report.gradient_section import main_group
from connfit.report.questions import Question
from connfit.report.questions_section import STATUSES
from connfit.report.run_files import GRADIENT, STUDY, RunFiles
from connfit.report.study_names import row_name

Fact = tuple[str, str, str]
"""Name, number, and what to read it against."""


def head(run: RunFiles, name: str) -> str:
    """Title, recordings, and a banner where the data were generated."""
    metrics = run.metrics
    recordings = list(metrics.get("recordings") or {})
    what = "1 recording" if len(recordings) == 1 else f"{len(recordings)} recordings"
    listed = ", ".join(recordings[:6]) + (f" and {len(recordings) - 6} more" if len(recordings) > 6 else "")
    text = f"<h1>connfit: {escape(name)}</h1>\n"
    if recordings:
        unseen = list((metrics.get("held_out") or {}).get("recordings") or {})
        also = f" Held out and only predicted: {', '.join(unseen)}." if unseen else ""
        text += page.paragraph(f"A brain model fitted to {what}: {listed}.{also}", "soft")
    if metrics.get("surrogate"):
        text += (
            '\n<p class="banner" role="note">SURROGATE: this brain and its activity were generated, not measured. '
            "Nothing here is a finding about an animal.</p>"
        )
    return f"<header>\n{text}\n</header>"


def summary(run: RunFiles) -> list[str]:
    """Key numbers of the test part, and who is best in which row of its table."""
    return [
        page.facts(key_facts(run)),
        page.paragraph(verdict(comparison(run.metrics))),
        page.paragraph(
            "Skill: 1 is perfect, 0 is as good as repeating the last frame (persistence). FC: functional connectivity, "
            "the correlations between units over time; 1 is that of the data.",
            "soft small",
        ),
    ]


def where_next(limits: Sequence[str], answers: Sequence[tuple[Question, Answer]]) -> str:
    """One line under the first figure: what to read before anything is concluded."""
    counts = {status: sum(answer.status == status for _, answer in answers) for status in STATUSES}
    said = ", ".join(f"{counts[status]} {words}" for status, words in STATUSES.items() if counts[status])
    limitations = page.link(f"{len(limits)} limitation{'' if len(limits) == 1 else 's'}", "limitations")
    questions = page.link(f"{len(answers)} questions", "questions")
    return (
        f"<p>Before anything is concluded: {limitations} that follow from these numbers, and {questions} of "
        f"sceptical readers ({escape(said)}).</p>"
    )


def key_facts(run: RunFiles) -> list[Fact]:
    """The numbers of the first screen; those that a run lacks are left out."""
    rows = {row.key: row for row in comparison(run.metrics)}
    found: list[Fact] = []
    horizons = sorted((int(key[1]) for key in rows if key[0] == "horizon_skill" and int(key[1]) > 1), reverse=True)
    ahead = next((h for h in horizons if h <= 10), None)
    for key, title in (
        (("one_step", "skill_vs_persistence"), "one step ahead: skill on test"),
        (("horizon_skill", str(ahead)), f"{ahead} frames ahead: skill on test"),
        (("free_run", "fc_corr"), "free run: FC correlation on test"),
    ):
        row = rows.get(key)
        if row is None or row.values.get(MODEL) is None:
            continue
        merit = row.merit
        others = {name: value for name, value in row.values.items() if name not in (MODEL, *row.outside)}
        scored = {name: value for name, value in others.items() if value is not None}
        best = max(scored, key=lambda name: merit(scored[name]), default=None)
        named = "untrained model" if best == INITIAL else best
        note = f"best other: {named} {number(scored[best])}" if best is not None else ""
        itself = (run.metrics.get("data") or {}).get("fc_corr_train_vs_test")
        if key == ("free_run", "fc_corr") and itself is not None:
            note = "; ".join([*([note] if note else []), f"copy of the training FC {number(itself)}"])
        found.append((title, number(row.values[MODEL]), note))
    study = run.added.get(STUDY)
    return [
        *found,
        *_units(run.metrics),
        *_parameters(run.metrics),
        *(_wiring(study) + _seeds(study) if study else []),
        *_gradient(run.added.get(GRADIENT)),
    ]


def against_itself(metrics: Mapping[str, Any]) -> str:
    """How alike the functional connectivities of the data's own parts are."""
    data = metrics.get("data") or {}
    value = data.get("fc_corr_train_vs_test")
    if value is None:
        reason = (data.get("reasons") or {}).get("fc_corr_train_vs_test", "it was not computed")
        return f"Data against itself: not defined ({reason})."
    return (
        "Data against itself: functional connectivity (FC) of the training part and of the test part correlate at "
        f"{number(value)}. "
        "Any static copy of the training part reaches this; a model has to do better on the test part to have "
        "learned more."
    )


def _units(metrics: Mapping[str, Any]) -> list[Fact]:
    per_unit = (((metrics.get("parts") or {}).get("test") or {}).get("one_step") or {}).get("per_unit_skill") or {}
    if not per_unit.get("units"):
        return []
    of = f"of {per_unit['units']:,}; median skill {number(per_unit.get('median'))}"
    return [("units better than persistence", f"{per_unit['above_persistence']:,}", of)]


def _parameters(metrics: Mapping[str, Any]) -> list[Fact]:
    parameters = sum((metrics.get("parameters") or {}).values())
    observed = (metrics.get("observations") or {}).get("train")
    if not parameters or not observed:
        return []
    return [("fitted parameters per observation", f"{parameters / observed:.3g}", f"{parameters:,} for {observed:,}")]


def _wiring(study: Mapping[str, Any]) -> list[Fact]:
    """The real wiring beside the best null connectome, one frame and some frames ahead."""
    nulls = [row for row in study["rows"] if row["group"] == "null" and row["difference"]]
    horizons = [h for h in study["comparisons"]["horizons"] if h <= 10]
    if not nulls or not horizons:
        return []
    h = str(max(horizons))
    known = [row for row in nulls if row["difference"][h]["value"] is not None]
    if not known:
        return []
    best = min(known, key=lambda row: row["difference"][h]["value"])
    one = best["difference"][h]
    interval = f"95 %: {number(one['low'])} to {number(one['high'])}; " if one["low"] is not None else ""
    ahead = "1 frame" if h == "1" else f"{h} frames"
    note = f"{interval}best of {len(nulls)}: {row_name(best['name'])}"
    return [(f"real wiring minus best null: skill {ahead} ahead", number(one["value"]), note)]


def _seeds(study: Mapping[str, Any]) -> list[Fact]:
    """How far seeds agree on what the fit did to the weights."""
    groups = (study.get("reproducibility") or {}).get("groups") or []
    weights = next((one for one in groups if one["group"] == "weights" and one["change_pearson"] is not None), None)
    if weights is None:
        return []
    note = f"{weights['seeds']} seeds; 1 if they find the same"
    return [("changes of weights: correlation between seeds", number(weights["change_pearson"]), note)]


def _gradient(record: Mapping[str, Any] | None) -> list[Fact]:
    if not record:
        return []
    group = main_group(record)
    rows = list(record["parameters"].values())[-1]
    cosines = {row["label"]: row["groups"][group]["cosine"] for row in rows}
    note = f"D-RTRL {number(cosines.get('d-rtrl'))}; BPTT is 1"
    hybrid = cosines.get("hybrid, K = 16")
    return [(f"gradient of {group.replace('_', ' ')}: cosine, hybrid, K = 16", f"{hybrid:.4f}", note)] if hybrid else []
