"""Fitted time constants of a run beside their start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.parameters.time_constants import TimeConstantStatistics, time_constant_statistics

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis


def examine(brain: FittedBrain) -> TimeConstantStatistics:
    """Describe time constants; see `connfit.analysis.parameters.time_constants`."""
    model, params = brain.fit.model, (brain.fit.initial_params, brain.fit.params)
    first, last = (np.exp(np.asarray(of["log_time_constants"], np.float64)) for of in params)
    return time_constant_statistics(
        last, step_s=model.step_s, bounds_s=model.bounds_s, before_s=first, neurons=brain.connectome.neurons
    )


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return the median, and how many moved or are at a bound."""
    found = analysis.time_constants
    return {
        "time_constants": {
            "median_s": found.after_s.median,
            "moved_by_over_10_percent": found.moved_by_over_10_percent,
            "at_bounds_fraction": found.at_bounds_fraction,
        }
    }


ANALYSES.register(
    Analyzer(
        name="time_constants",
        label="time constants",
        place=60,
        examine=examine,
        result=TimeConstantStatistics,
        needs=("parameters", "connectome"),
        key="time_constants",
        findings=sentences("time_constants"),
        in_short=in_short,
    )
)
