"""How likely criticality would have been seen in the recordings, had it been there."""

from __future__ import annotations

from connfit._io import plain
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.criticality.power import Power, criticality_power
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain


def examine(brain: FittedBrain) -> Power:
    """Simulate recordings, as many as the options say; `draws` is 0, with a reason, where that is not possible."""
    floor = brain.results["avalanches"]["data_units"].floor
    if floor is None:
        return Power(reason="avalanches of the data were not analysed")
    if not brain.options.power_draws:
        return Power(reason="no simulations were asked for")
    return criticality_power(brain.data, floor, brain.options.power_draws, brain.options.seed)


ANALYSES.register(
    Analyzer(
        name="power",
        label="power to see criticality",
        place=20,
        examine=examine,
        result=Power,
        needs=("data",),
        key="power",
        findings=sentences("power"),
        in_short=lambda analysis: {"power": plain(analysis.power)},
    )
)
