"""Answers to the questions about fitted parameters: are they worth reading?"""

from __future__ import annotations

from connfit.report.answers_prediction import FULL
from connfit.report.evidence import Answer, Evidence

ANALYSE = "connfit evaluate DIR --full"
RECOVER = "connfit recover"


def determined_directions(e: Evidence) -> Answer:
    """Parameters against observations."""
    groups = [f"#/parameters/{group}" for group in e.get("#/parameters") or {}]
    seen = "#/observations/train"
    if not groups or not e.get(seen):
        return e.answer("not answerable", "Numbers of parameters and observations were not recorded.")
    more = sum(e.get(key) for key in groups) > e.get(seen)
    return e.answer(
        "partly",
        f"{e.say(*groups, how='sum')} parameters were fitted to {e.say(seen)} observed values, neighbouring frames of "
        "which are much alike.",
        "The data cannot determine all of them." if more else "",
        f"Which directions are flat shows between seeds (run `{FULL}`).",
        section="parameters",
    )


def across_seeds(e: Evidence) -> Answer:
    """Correlation of fitted parameters between seeds."""
    return e.answer("not answerable", f"One seed was fitted (run `{FULL}`).")


def known_parameters(e: Evidence) -> Answer:
    """Recovery on a brain whose parameters are known."""
    return e.answer("not answerable", f"No recovery of known parameters is beside this run (run `{RECOVER}`).")


def plausible_time_constants(e: Evidence) -> Answer:
    """Time constants after the fit, and how far they moved."""
    return e.answer("not answerable", f"Time constants were not analysed (run `{ANALYSE}`).")


def strong_synapses(e: Evidence) -> Answer:
    """Tail of the fitted strengths beside that of the counts."""
    return e.answer("not answerable", f"The distribution of strengths was not analysed (run `{ANALYSE}`).")


def synapse_by_synapse(e: Evidence) -> Answer:
    """Rank correlation of strength and count."""
    return e.answer("not answerable", f"Strengths were not compared with counts (run `{ANALYSE}`).")
