"""Fitted weights of a run beside synapse counts and the start of the fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.criticality.continuous_tail import ContinuousTail, continuous_tail
from connfit.analysis.criticality.power_law_evidence import PowerLawTest, examine_power_law
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.parameters.weights import (
    CountCorrelations,
    WeightStatistics,
    positive_magnitudes,
    weight_statistics,
)
from connfit.errors import DataError

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis
    from connfit.connectome import Connectome

T = TypeVar("T")


@dataclass(frozen=True)
class WeightTails:
    """Tails of the weights before and after the fit and of the synapse counts; None where there is none."""

    before: ContinuousTail | None = None
    after: ContinuousTail | None = None
    counts: PowerLawTest | None = None


@dataclass(frozen=True)
class Weights:
    """Weights of a fit beside synapse counts; None, with a reason, where not defined.

    Parameters
    ----------
    statistics
        Distributions, and relations to counts and to the start.
    tails
        Power laws of the largest, with alternatives.
    reasons
        By what is missing.
    """

    statistics: WeightStatistics | None = None
    tails: WeightTails | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


def examine(brain: FittedBrain) -> Weights:
    """Describe weights, and the tails of counts and weights."""
    connectome, model = brain.connectome, brain.fit.model
    if connectome.m == 0:
        return Weights(reasons={"statistics": "the model has no connections"})
    first, last = (np.asarray(model.magnitudes(params)) for params in (brain.fit.initial_params, brain.fit.params))
    reasons: dict[str, str] = {}

    def tail(name: str, fit: Callable[[], T]) -> T | None:
        try:
            return fit()
        except DataError as error:
            reasons[name] = str(error)
            return None

    tails = WeightTails(
        tail("before", lambda: continuous_tail(positive_magnitudes(connectome, first))),
        tail("after", lambda: continuous_tail(positive_magnitudes(connectome, last))),
        # Of millions of counts any law is rejected by a test of fit; what fits better is the question.
        tail("counts", lambda: _tail_of_counts(connectome)),
    )
    return Weights(weight_statistics(connectome, last, before=first), tails, reasons)


def _tail_of_counts(connectome: Connectome) -> PowerLawTest:
    if connectome.weighted:
        raise DataError("the source has real-valued weights and no synapse counts")
    return examine_power_law(connectome.counts[~connectome.electrical], repeats=0)


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return the correlations with counts."""
    found = analysis.weights.statistics
    rank = found.rank_correlation_with_counts if found else CountCorrelations()
    return {
        "weights": {
            "rank_correlation_with_counts": {"before": rank.before, "after": rank.after, "change": rank.change},
            "binned_count_correlation": found.by_count.correlation if found else None,
        }
    }


ANALYSES.register(
    Analyzer(
        name="weights",
        label="weights",
        place=50,
        examine=examine,
        result=Weights,
        needs=("parameters", "connectome"),
        key="weights",
        findings=sentences("weights"),
        in_short=in_short,
    )
)
