"""Answers to the questions about criticality, from `analysis/analysis.json`; no threshold is picked by its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connfit.report.questions.evidence import Answer, Evidence, ask, listed
from connfit.report.run_files import ANALYSIS

ANALYSE = "connfit analyze DIR"
SOURCES = ("data_units", "model_units", "model_neurons")
"""What the questions are about; the untrained model is a control."""
SURROGATES = {"shuffle": "shuffled in time", "phase_together": "with phases randomised"}
ALTERNATIVES = {
    "size_or_lognormal": "log-normal",
    "size_or_exponential": "exponential",
    "size_or_truncated_power_law": "truncated power law",
}
FAVOURED = {"power_law": "worse", "undecided": "undecided"}
"""What an alternative is where it is not better."""


def power_laws(e: Evidence) -> Answer:
    """Power law against alternatives, decades and numbers of avalanches, of data and model."""
    found = []
    for key, what in _sources(e):
        row = f"{key}/row"
        if not e.has(f"{row}/size_exponent"):
            found.append(f"{what}: {_too_few(e, row)}.")
            continue
        against = ", ".join(
            f"{words} {FAVOURED.get(str(e.get(f'{row}/{name}')), 'better')}"
            for name, words in ALTERNATIVES.items()
            if e.has(f"{row}/{name}")
        )
        fit = f", goodness of fit p = {e.say(f'{row}/size_p')}" if e.has(f"{row}/size_p") else ""
        found.append(
            f"{what}: exponent of sizes {e.say(f'{row}/size_exponent')} over {e.say(f'{row}/size_decades')} decades "
            f"and {e.say(f'{row}/size_tail')} of {e.say(f'{row}/avalanches')} avalanches{fit}; by likelihood, beside "
            f"the power law: {against}."
        )
    if not found:
        return _open(e, "Avalanches were not analysed")
    threshold = e.name(str(e.get(f"{ANALYSIS}#/reference_threshold")), f"{ANALYSIS}#/reference_threshold")
    return e.answer(
        "answered", f"At the threshold that was chosen in advance ({threshold}).", *found, section="analysis"
    )


def other_thresholds(e: Evidence) -> Answer:
    """In how many cells of the table power laws stand, and what is left of exponents without their ends."""
    found = []
    for key, what in _sources(e):
        counts = _verdict(key, "data")
        if not e.has(f"{counts}/cells"):
            continue
        text = (
            f"{what}: of {e.say(f'{counts}/cells')} combinations of threshold and bin, {e.say(f'{counts}/enough')} "
            f"have avalanches enough, and in {e.say(f'{counts}/both')} of them power laws of sizes and of durations "
            "stand over a decade"
        )
        ends = f"{key}/sizes/ends"
        if e.has(f"{ends}/exponent", f"{ends}/without_smallest", f"{ends}/without_largest"):
            text += (
                f"; exponent of sizes {e.say(f'{ends}/exponent')}, without the smallest "
                f"{e.say(f'{ends}/without_smallest')}, without the largest {e.say(f'{ends}/without_largest')}"
            )
        found.append(f"{text}.")
    if not found:
        return _open(e, "Avalanches were not analysed")
    return e.answer("partly", *found, "Other seeds of the fit were not analysed.", section="analysis")


def crackling_noise(e: Evidence) -> Answer:
    """The scaling relation, and the collapse of shapes."""
    found = []
    for key, what in _sources(e):
        row = f"{key}/row"
        if not e.has(f"{row}/predicted", f"{row}/gamma"):
            why = e.get(f"{key}/reasons/scaling")
            found.append(f"{what}: {e.name(str(why), f'{key}/reasons/scaling') if why else _too_few(e, row)}.")
            continue
        agree = {True: ", which agree", False: ", which do not agree"}.get(e.get(f"{row}/consistent"), "")
        text = (
            f"{what}: the exponents of sizes and durations predict {e.say(f'{row}/predicted')} for the mean size at a "
            f"duration, measured is {e.say(f'{row}/gamma')}{agree}"
        )
        if e.has(f"{row}/collapse_gamma"):
            text += f"; shapes collapse best at {e.say(f'{row}/collapse_gamma')}"
        found.append(f"{text}.")
    if not found:
        return _open(e, "Avalanches were not analysed")
    return e.answer("answered", *found, _power(e), section="analysis")


def null_avalanches(e: Evidence) -> Answer:
    """The whole table again for shuffled and phase-randomised activity, and for the untrained model."""
    found = []
    for key, what in _sources(e):
        shown = [(words, _verdict(key, kind)) for kind, words in {"data": "as it is", **SURROGATES}.items()]
        parts = [
            f"{words} {e.say(f'{counts}/all')} of {e.say(f'{counts}/enough')}"
            for words, counts in shown
            if e.has(f"{counts}/all", f"{counts}/enough")
        ]
        if parts:
            found.append(f"{what}: {'; '.join(parts)}.")
    for key, what in _sources(e, ("untrained_units",)):
        counts = _verdict(key, "data")
        if e.has(f"{counts}/all", f"{counts}/enough"):
            found.append(f"{what}: {e.say(f'{counts}/all')} of {e.say(f'{counts}/enough')}.")
    if not found:
        return _open(e, "Avalanches were not analysed")
    return e.answer(
        "partly",
        "Combinations of threshold and bin in which both power laws and the scaling relation hold, of those with "
        "avalanches enough:",
        *found,
        _power(e),
        f"Null connectomes are runs of their own: fit them and {ask(ANALYSE)} on each.",
        section="analysis",
    )


def _power(e: Evidence) -> str:
    """How likely it was that this recording could have shown criticality."""
    power = f"{ANALYSIS}#/power"
    none = "That a recording is not called consistent with criticality is no evidence against it."
    if not e.get(f"{power}/draws") or not e.has(f"{power}/critical/called", f"{power}/control/called"):
        return f"Power to see criticality in this recording was not assessed. {none}"
    draws = e.say(f"{power}/draws")
    return (
        f"Simulated critical branching with as many frames and units and as much sampling and noise is called "
        f"consistent with criticality in {e.say(f'{power}/critical/called')} of {draws} draws ("
        f"{e.say(f'{power}/critical/interval/0', how='percent')} to "
        f"{e.say(f'{power}/critical/interval/1', how='percent')}), branching with a ratio of "
        f"{e.say(f'{power}/control/m')} in {e.say(f'{power}/control/called')}. {none}"
    )


def subsampling(e: Evidence) -> Answer:
    """Branching ratio of the simulated activity seen through units and through few or many neurons."""
    parts = []
    for at, row in enumerate(e.get(f"{ANALYSIS}#/branching_by_sample") or []):
        key = f"{ANALYSIS}#/branching_by_sample/{at}"
        if not e.has(f"{key}/m"):
            continue
        interval = (
            f" ({e.span([f'{key}/interval/0'], [f'{key}/interval/1'])})"
            if e.has(f"{key}/interval/0", f"{key}/interval/1")
            else ""
        )
        slope = f", by the slope at one frame {e.say(f'{key}/conventional')}" if e.has(f"{key}/conventional") else ""
        parts.append(f"{e.say(f'{key}/size')} {row['of']}: {e.say(f'{key}/m')}{interval}{slope}")
    if not parts:
        return _open(e, "The branching ratio of samples was not estimated")
    return e.answer(
        "answered",
        f"Branching ratio per frame of the fitted model's activity: {'; '.join(parts)}. The estimate over many lags is "
        "made for samples; the slope at one frame falls where few are seen.",
        section="analysis",
    )


def spectral_radius(e: Evidence) -> Answer:
    """Radius of three matrices before and after the fit, and of a linear model of the same data."""
    matrices = {
        "weights": "of the recurrent weights alone",
        "jacobian_open": "of one step at rest without the loop through read-out and drive",
        "jacobian_closed": "of one step at rest with it",
    }
    parts = []
    for name, words in matrices.items():
        keys = [f"{ANALYSIS}#/stability/{when}/{name}/radius" for when in ("before", "after")]
        if e.has(*keys):
            parts.append(f"{words} {e.say(keys[1])} ({e.say(keys[0])} before the fit)")
    if not parts:
        return _open(e, "Spectra were not computed")
    said = [f"Spectral radius: {'; '.join(parts)}."]
    data, model = (f"{ANALYSIS}#/stability/linear_model/{one}/radius" for one in ("data", "model"))
    if e.has(data):
        said.append(
            f"A linear model fitted to the data, frame to frame, has {e.say(data)}"
            + (f", one fitted to the model's own activity {e.say(model)}" if e.has(model) else "")
            + ": a radius near one follows from slow signals, whatever made them."
        )
    return e.answer("answered", *said, section="analysis")


def _sources(e: Evidence, names: tuple[str, ...] = SOURCES) -> Iterator[tuple[str, str]]:
    """The reference analysis of each source that was analysed, and its name with what it is."""
    for name in names:
        source: dict[str, Any] = e.get(f"{ANALYSIS}#/sources/{name}") or {}
        floor = _floor(source)
        if floor is not None:
            key = f"{ANALYSIS}#/sources/{name}"
            yield f"{key}/reference/{floor}/data", e.name(_capital(source["what"]), f"{key}/what")


def _floor(source: dict[str, Any]) -> str | None:
    """The separation of avalanches under which most cells of the table have enough of them."""
    counts = {
        floor: kinds["data"]["enough"] for floor, kinds in (source.get("verdict") or {}).items() if "data" in kinds
    }
    return max(counts, key=lambda floor: counts[floor]) if counts else None


def _verdict(reference: str, kind: str) -> str:
    """Where the counts over the table are, from where the reference analysis is."""
    source, _, floor = reference.removesuffix("/data").partition("/reference/")
    return f"{source}/verdict/{floor}/{kind}"


def _too_few(e: Evidence, row: str) -> str:
    """Why there is no exponent."""
    if e.has(f"{row}/avalanches"):
        return f"{e.say(f'{row}/avalanches')} avalanches, too few to say anything"
    return "nothing could be fitted"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _open(e: Evidence, what: str) -> Answer:
    """What is said without an analysis, or with one that found too little."""
    sources: dict[str, Any] = e.get(f"{ANALYSIS}#/sources") or {}
    reasons = [str(one["reason"]) for one in sources.values() if one.get("reason")]
    why = f": {listed(list(dict.fromkeys(e.name(one) for one in reasons)))}" if reasons else f" ({ask(ANALYSE)})"
    return e.answer("not answerable", f"{what}{why}.", section="analysis")
