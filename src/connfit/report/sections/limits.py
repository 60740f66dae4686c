"""All that a reader must not conclude from a run, from every file that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.judgement import JUDGED
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.measured.scored_responses import FOLDER as MEASURED_IN
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.study.study import Study
from connfit.report.prose import write_prose
from connfit.report.questions.answer import Questions
from connfit.report.run_files import ANALYSIS, GRADIENT, STUDY
from connfit.report.sections.fit_limits import limitations
from connfit.report.sections.held_out_section import held_out_limits
from connfit.report.sections.value_ranges import PartShares, ReportNumbers
from connfit.report.traced import untraced
from connfit.report.wording import first_of

FAR_FROM_EXACT = 0.9
"""Cosine to the exact gradient below which it is a limitation."""

MANY_AT_BOUNDS = 0.05
"""Share of time constants at a bound from which on it is a limitation."""

MANY_OUTSIDE = 0.05
"""Share of values outside the range of training from which on it is a limitation. Of values that are drawn
alike, 2 / (n + 1) leave the range of n others: 1 % for 200 training frames."""

FEW_RECOVERED = 0.5
"""R² below which known parameters count as not recovered."""

PARTS = {"validation": "validation", "test": "test", "held_out": "held-out test", "train": "training"}


def all_limits(documents: Mapping[str, Any]) -> list[str]:
    """Return one sentence each, from the results of a run by their path."""
    evaluation: Evaluation = documents["metrics.json"]
    measured: ReportNumbers = documents.get("questions.json", Questions()).measured
    found = [*limitations(evaluation, documents.get("record.json")), *held_out_limits(evaluation)]
    found += array_limits(measured)
    if STUDY in documents:
        found += study_limits(documents[STUDY])
    found += gradient_limits(documents)
    if ANALYSIS in documents:
        found += analysis_limits(documents[ANALYSIS], bounds_are_known=measured.time_constants_at_bounds is not None)
    return [*found, *recovery_limits(documents), *simulation_limits(documents)]


def array_limits(measured: ReportNumbers) -> list[str]:
    """Return time constants at their bounds, and values that training did not show or the model cannot reach."""
    prose = write_prose(
        "limits/arrays.j2",
        {"questions.json": Questions(measured=measured)},
        many_at_bounds=MANY_AT_BOUNDS,
        many_outside=MANY_OUTSIDE,
        shares=lambda shares, least: _shares(untraced(shares), least),
    )
    return list(prose.paragraphs)


def _shares(shares: PartShares, least: float) -> str:
    """Shares of the parts of each recording, the largest first."""
    every = [
        (share, f"{name}, {share:.0%} of the {PARTS[part]} part")
        for name, parts in shares.recordings.items()
        for part, share in parts.items()
        if share >= least
    ]
    return first_of([text for _, text in sorted(every, key=lambda item: -item[0])], between="; ")


def study_limits(study: Study) -> list[str]:
    """Return rows that do as well or better, too few seeds, and groups of parameters that the data leave open."""
    return list(write_prose("limits/study.j2", {STUDY: study}).paragraphs)


def gradient_limits(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """State where the rule of the fit is far from the exact gradient, or one without credit does as well."""
    record, learner = documents.get(GRADIENT), (documents.get("config.json") or {}).get("learner") or {}
    return write_prose("limits/gradients.j2", documents, far=_far(record, learner) if record else ()).paragraphs


def _far(record: GradientFidelity, learner: Mapping[str, Any]) -> tuple[int | str, ...]:
    """The row of the rule of the fit, and its groups of parameters with a gradient far from the exact one."""
    for at, row in enumerate(record.parameters[record.state]):
        named = learner.get("preset") in (None, row.rule)
        same = named and (row.credit, row.carry) == (learner.get("credit"), learner.get("carry"))
        # Of immediate the gradient is the same for every K without credit; a run with other dials has another rule.
        fixed = row.by_window or row.rule == "immediate"
        if not same or "bf16" in row.rule or (fixed and row.window != learner.get("window")):
            continue
        groups = sorted(row.groups, key=lambda name: name != record.main_group)
        cosines = {name: row.groups[name].cosine for name in groups}
        far = [name for name, cosine in cosines.items() if cosine is not None and cosine < FAR_FROM_EXACT]
        if far:
            return at, *far
    return ()


def analysis_limits(analysis: Analysis, *, bounds_are_known: bool = False) -> list[str]:
    """Describe what an analysis found that limits how it, or a fitted parameter, can be read.

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


def recovery_limits(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """Name known parameters that were not recovered."""
    return write_prose("limits/recovery.j2", documents, few=FEW_RECOVERED).paragraphs


def simulation_limits(documents: Mapping[str, Any]) -> tuple[str, ...]:
    """State that simulations are answers of the model, and name measured responses that paths rank as well."""
    done = {path.split("/")[1]: found for path, found in documents.items() if path.startswith("simulations/")}
    still = [name for name, found in done.items() if not any(unit.change for unit in found.units)]
    scored = {path.split("/")[1]: found for path, found in documents.items() if path.startswith(f"{MEASURED_IN}/")}
    weak = [
        name for name, scores in scored.items()
        if not scores.verdict.model_is_above_chance or "two_steps" not in scores.verdict.beaten
    ]  # fmt: skip
    return write_prose(
        "limits/simulations.j2", documents, names=list(done), still=still, measured=bool(scored), weak=weak
    ).paragraphs


def _outcome(row: Mapping[str, Any], horizon: str) -> str | None:
    return (row["difference"].get(horizon) or {}).get("outcome")


def _frames(horizon: str) -> str:
    return "1 frame" if horizon == "1" else f"{horizon} frames"
