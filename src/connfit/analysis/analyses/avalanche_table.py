"""Signs of criticality of the data, the fitted and the untrained model, beside surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connfit._io import plain
from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.criticality.signature_table import Source, SourceSignatures, examine_source
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import MODELS, FittedBrain
from connfit.errors import ConnfitError

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis

IN_SHORT = (
    "size_exponent", "duration_exponent", "size_p", "duration_p", "predicted", "gamma", "consistent", "size_regression",
    "duration_regression",
)  # fmt: skip
"""Numbers at the reference threshold that `metrics.json` has too."""


def examine(brain: FittedBrain) -> dict[str, SourceSignatures]:
    """Examine units of the data, and units and neurons of both models; by source."""

    def examined(source: Source) -> SourceSignatures:
        brain.tell(f"avalanches of the {source.what}")
        return examine_source(source, brain.options, brain.frame_rate_hz)

    found = {"data_units": examined(Source("data, units", brain.data))}
    for model, words in MODELS.items():
        what = {"units": f"{words}, units", "neurons": f"{words}, {brain.neurons_in_words}"}
        try:
            runs = brain.runs(model)
        except ConnfitError as error:
            found |= {f"{model}_{of}": SourceSignatures(what=text, reason=str(error)) for of, text in what.items()}
            continue
        units = Source(what["units"], [run.units for run in runs])
        kept = [run.neurons for run in runs if run.neurons is not None]
        neurons = Source(what["neurons"], kept, ("median",), ("shuffle", "phase_together"))
        for of, source in (("units", units), ("neurons", neurons)):
            without = Source(source.what, source.arrays, source.floors, ())
            found[f"{model}_{of}"] = examined(without if model == "untrained" else source)
    return found


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return the word for each source, with what it follows from."""
    avalanches: dict[str, JSON] = {}
    branching: dict[str, JSON] = {}
    for name, source in analysis.sources.items():
        floor = source.floor
        if floor is None:
            avalanches[name] = None
            continue
        found = source.reference[floor].get("data")
        avalanches[name] = {
            "floor": floor,
            "judgement": source.judgement,
            "cells": plain(source.verdict[floor]),
            "reference": {key: getattr(found.row, key) if found else None for key in IN_SHORT},
        }
        ratio = source.signal.branching if source.signal else None
        memory = source.signal.memory if source.signal else None
        branching[name] = {
            "m": ratio.m if ratio else None,
            "interval": ratio.interval if ratio else None,
            "dfa": memory.exponent if memory else None,
        }
    return {"avalanches": avalanches, "branching": branching}


ANALYSES.register(
    Analyzer(
        name="avalanches",
        label="avalanches",
        place=10,
        examine=examine,
        result=dict,
        needs=("data",),
        key="sources",
        findings=sentences("avalanches"),
        in_short=in_short,
    )
)
