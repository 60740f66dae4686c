"""What recorded and simulated brains do, whoever made them: signs of criticality and their controls.

Every analysis is a function of arrays [time, unit] (or of numbers made from them) that returns a small frozen
dataclass, with `.record()` for files. Nothing here knows of fitting.
"""

from __future__ import annotations

from connfit.analyze.avalanches import Avalanches, EventCounts, count_events, find_avalanches, pool_avalanches
from connfit.analyze.branching import Branching, branching_ratio
from connfit.analyze.crackling import ScalingRelation, ShapeCollapse, scaling_relation, shape_collapse
from connfit.analyze.criticality import Criticality, Settings, criticality, sensitivity
from connfit.analyze.fluctuations import Fluctuations, fluctuations, unit_fluctuations
from connfit.analyze.power_law import PowerLaw, fit_power_law
from connfit.analyze.power_law_evidence import (
    Comparison,
    PowerLawTest,
    compare,
    examine_power_law,
    goodness_of_fit,
    without_ends,
)
from connfit.analyze.surrogates import SURROGATES, Surrogate, fractional_noise, make_surrogate
from connfit.analyze.threshold import Threshold

__all__ = [
    "SURROGATES",
    "Avalanches",
    "Branching",
    "Comparison",
    "Criticality",
    "EventCounts",
    "Fluctuations",
    "PowerLaw",
    "PowerLawTest",
    "ScalingRelation",
    "Settings",
    "ShapeCollapse",
    "Surrogate",
    "Threshold",
    "branching_ratio",
    "compare",
    "count_events",
    "criticality",
    "examine_power_law",
    "find_avalanches",
    "fit_power_law",
    "fluctuations",
    "fractional_noise",
    "goodness_of_fit",
    "make_surrogate",
    "pool_avalanches",
    "scaling_relation",
    "sensitivity",
    "shape_collapse",
    "unit_fluctuations",
    "without_ends",
]
