"""Answers to the questions about fitted parameters: are they worth reading?"""

from __future__ import annotations

from typing import Any

from connfit.report.questions.answers_prediction import ask
from connfit.report.questions.evidence import Answer, Evidence
from connfit.report.questions.study_evidence import FULL
from connfit.report.run_files import ANALYSIS, RECOVERY, STUDY
from connfit.report.sections.training_status import counted_parameters, is_untrained
from connfit.report.wording import joined_span, listed

ANALYSE = "connfit analyze DIR"
RECOVER = "connfit recover --out DIR/recovery"


def determined_directions(e: Evidence) -> Answer:
    """Parameters against observations."""
    of = f"#/{counted_parameters(e.documents['metrics.json'])}"
    groups = [f"{of}/{group}" for group in e.get(of) or {}]
    seen = "#/observations/train"
    if not groups or not e.get(seen):
        return e.answer("not answerable", "Numbers of parameters and observations were not recorded.")
    verb = "stand, as they started, against" if is_untrained(e.documents["metrics.json"]) else "were fitted to"
    more = sum(e.get(key) for key in groups) > e.get(seen)
    said = [
        f"{e.say(*groups, how='sum')} parameters {verb} {e.say(seen)} observed values, neighbouring frames of "
        "which are much alike." + (" The data cannot determine all of them." if more else "")
    ]
    agreement = _agreement(e)
    if not agreement:
        return e.answer(
            "partly", *said, f"Which directions are flat shows between seeds ({ask(FULL)}).", section="parameters"
        )
    flat = e.get(f"{STUDY}#/reproducibility/flat") or []
    names = listed([e.name(name.replace("_", " ")) for name in flat])
    said.append(f"Between seeds, changes by the fit correlate: {'; '.join(agreement)}.")
    said.append(
        f"Flat, for predictions agree and these do not: {names}."
        if flat
        else "No whole group is flat by that measure; single directions within a group may be."
    )
    return e.answer("answered", *said, section="study")


def across_seeds(e: Evidence) -> Answer:
    """Correlation of fitted parameters between seeds."""
    study = e.study()
    agreement = _agreement(e, values=True)
    if not (study.is_there and agreement):
        reason = e.get(f"{STUDY}#/reproducibility/reason")
        return e.answer("not answerable", f"{reason or 'One seed was fitted'} ({ask(FULL)}).")
    predictions = [
        f"{e.say(f'{key}/pearson')} {_frames(e, key)}"
        for at in range(len(e.get(f"{STUDY}#/reproducibility/predictions") or []))
        if e.has(f"{(key := f'{STUDY}#/reproducibility/predictions/{at}')}/pearson")
    ]
    return e.answer(
        "answered",
        f"Over {study.seeds()}, parameter by parameter: {'; '.join(agreement)}.",
        f"Predictions of the same seeds correlate at {listed(predictions)}." if predictions else "",
        section="study",
    )


def _agreement(e: Evidence, *, values: bool = False) -> list[str]:
    """Correlation between seeds of every group that has one: of its changes, or also of its values before and after."""
    found = []
    for at, group in enumerate(e.get(f"{STUDY}#/reproducibility/groups") or []):
        key = f"{STUDY}#/reproducibility/groups/{at}"
        if not e.has(f"{key}/change_pearson"):
            continue
        name = e.name(str(group["group"]).replace("_", " "), f"{key}/group")
        if values and e.has(f"{key}/pearson", f"{key}/start_pearson"):
            found.append(
                f"{name} {e.say(f'{key}/pearson')} after the fit, {e.say(f'{key}/start_pearson')} at the start, "
                f"changes {e.say(f'{key}/change_pearson')}"
            )
        else:
            found.append(f"{name} {e.say(f'{key}/change_pearson')}")
    return found


def _frames(e: Evidence, key: str) -> str:
    """How far ahead predictions are, in words."""
    if e.get(f"{key}/frames_ahead") == 1:
        return "one frame ahead"
    return f"{e.say(f'{key}/frames_ahead')} frames ahead"


def known_parameters(e: Evidence) -> Answer:
    """Recovery on a brain whose parameters are known."""
    curves: dict[str, list[dict[str, Any]]] = e.get(f"{RECOVERY}#/curves") or {}
    said = []
    frames = list(enumerate(curves.get("frames") or []))
    if frames:
        at, _ = max(frames, key=lambda one: one[1]["frames"])
        said += _recovered(e, f"{RECOVERY}#/curves/frames/{at}")
    few = [(at, point) for at, point in enumerate(curves.get("recorded") or []) if point["recorded"] < 1]
    if few:
        at, _ = min(few, key=lambda one: one[1]["recorded"])
        said += _recovered(e, f"{RECOVERY}#/curves/recorded/{at}")
    if not said:
        return e.answer(
            "not answerable",
            f"No recovery of known parameters is beside this run ({ask(RECOVER)}).",
            section="recovery",
        )
    return e.answer(
        "partly",
        f"On SURROGATE teachers of {e.say(f'{RECOVERY}#/design/neurons')} neurons, means over "
        f"{e.say(f'{RECOVERY}#/design/seeds')} seeds:",
        *said,
        "Teachers have the model's own equations: what is not found there will not be found in a brain.",
        section="recovery",
    )


def _recovered(e: Evidence, point: str) -> list[str]:
    """One point of a curve of recovery in a sentence."""
    if not e.has(f"{point}/frames", f"{point}/recorded"):
        return []
    r2 = e.name("R²")
    parts = [
        f"{words} {e.say(f'{point}/{key}/mean')}"
        for key, words in (
            ("weights_r2", f"{r2} of weights"),
            ("time_constants_r2", f"{r2} of time constants (logarithms)"),
            ("recorded_r", "correlation of predicted activity of recorded neurons"),
            ("unrecorded_r", "of neurons that were never recorded"),
        )
        if e.has(f"{point}/{key}/mean")
    ]
    if not parts:
        return []
    share = e.say(f"{point}/recorded", how="percent")
    return [f"With {share} of the neurons recorded for {e.say(f'{point}/frames')} frames: {'; '.join(parts)}."]


def plausible_time_constants(e: Evidence) -> Answer:
    """Time constants after the fit, and how far they moved."""
    found = f"{ANALYSIS}#/time_constants"
    probabilities = e.get(f"{found}/after_s/probabilities") or []
    if 0.5 not in probabilities:
        return e.answer("not answerable", f"Time constants were not analysed ({ask(ANALYSE)}).")
    at = {share: probabilities.index(share) for share in (0.05, 0.5, 0.95) if share in probabilities}
    after = {share: e.say(f"{found}/after_s/quantiles/{k}") for share, k in at.items()}
    said = [f"After the fit the median is {after[0.5]} s"]
    if len(after) == 3:
        ends = joined_span(after[0.05], after[0.95], " and ")
        said[0] += f", nine in ten {'are' if ends == after[0.05] else 'lie between'} {ends} s"
    if e.has(f"{found}/before_s/quantiles/{at[0.5]}"):
        said[0] += f"; the start had a median of {e.say(f'{found}/before_s/quantiles/{at[0.5]}')} s"
    said[0] += "."
    if e.has(f"{found}/moved_by_over_10_percent"):
        share, ten = e.say(f"{found}/moved_by_over_10_percent", how="percent"), e.name("10 %")
        said.append(f"{share} moved by more than {ten}.")
    if e.has(f"{found}/rank_correlation_with_start"):
        said.append(f"Ranks correlate with those of the start at {e.say(f'{found}/rank_correlation_with_start')}.")
    said.append(
        f"{e.say(f'{found}/at_bounds_fraction', how='percent')} are at a bound; {e.say(f'{found}/below_step')} neurons "
        f"are below one step of {e.say(f'{found}/step_s')} s, where recordings of this rate tell nothing."
    )
    study = e.study()
    if study.is_there and study.has("frozen_time_constants"):
        said.append(study.differences(["frozen_time_constants"]))
    said.append("Membrane time constants were not measured in these animals, so plausible is all that can be said.")
    return e.answer("answered", *said, section="analysis")


def strong_synapses(e: Evidence) -> Answer:
    """Tail of the fitted strengths beside that of the counts."""
    found = f"{ANALYSIS}#/weights"
    spreads = {
        "counts": f"{found}/statistics/counts",
        "strengths before the fit": f"{found}/statistics/before",
        "strengths after it": f"{found}/statistics/after",
    }
    parts = [
        f"{words} {e.say(f'{key}/log_std')} (the largest hundredth carries "
        f"{e.say(f'{key}/top_hundredth_share', how='percent')} of the sum)"
        for words, key in spreads.items()
        if e.has(f"{key}/log_std", f"{key}/top_hundredth_share")
    ]
    if not parts:
        return e.answer("not answerable", f"The distribution of strengths was not analysed ({ask(ANALYSE)}).")
    said = [f"Spread of logarithms: {'; '.join(parts)}."]
    zeros = f"{found}/statistics/after/fraction_zero"
    if e.has(zeros):
        said.append(f"{e.say(zeros, how='percent')} of the strengths were driven to zero.")
    binned, rank = f"{found}/statistics/by_count/correlation", f"{found}/statistics/rank_correlation_with_counts/after"
    if e.has(binned, rank):
        said.append(
            f"A matching histogram is no evidence: means over bins of counts correlate with counts at {e.say(binned)}, "
            f"single connections in rank at {e.say(rank)}."
        )
    return e.answer("answered", *said, section="analysis")


def synapse_by_synapse(e: Evidence) -> Answer:
    """Rank correlation of strength and count."""
    rank = f"{ANALYSIS}#/weights/statistics/rank_correlation_with_counts"
    if not e.has(f"{rank}/after"):
        return e.answer("not answerable", f"Strengths were not compared with counts ({ask(ANALYSE)}).")
    said = [f"Rank correlation with synapse counts, connection by connection: {e.say(f'{rank}/after')} after the fit"]
    said[0] += f", {e.say(f'{rank}/before')} before it" if e.has(f"{rank}/before") else ""
    said[0] += f", of the change alone {e.say(f'{rank}/change')}." if e.has(f"{rank}/change") else "."
    if (e.get(f"{rank}/before") or 0) > 0.9:
        said.append("The start was made of the counts, so what is left of it after the fit is no finding.")
    return e.answer("answered", *said, section="analysis")
