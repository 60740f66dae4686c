"""Spikes of a fitted model whose cells spike: rates, intervals, synchrony, silent neurons, a raster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from connfit._registry import Options
from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES, Analyzer
from connfit.analysis.findings import sentences
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.spiking.fitted_spikes import fitted_spikes
from connfit.analysis.spiking.fitted_spikes_results import FittedSpikes
from connfit.errors import ConnfitError

if TYPE_CHECKING:
    from connfit.analysis.brain_analysis import Analysis
    from connfit.training.fitted import Fit


class SpikeOptions(Options, frozen=True):
    """How much is simulated and shown.

    Parameters
    ----------
    seconds
        Of the test part, at most.
    neurons
        Of the raster, at most.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    neurons: Annotated[int, msgspec.Meta(ge=1)] = 150


def examine(brain: FittedBrain, *, seconds: float, neurons: int) -> FittedSpikes:
    """Run the test part of the first recording freely; with a reason where that is not possible."""
    recording = brain.fit.cohort.recordings[0]
    try:
        found, trains = fitted_spikes(
            brain.forecaster("model"), recording, brain.connectome, brain.residuals("model", 0),
            warmup=brain.config.evaluate.free_run_warmup, seconds=seconds, neurons=neurons, seed=brain.options.seed,
        )  # fmt: skip
    except ConnfitError as error:
        return FittedSpikes(reason=str(error), recording=recording.name)
    brain.of_neurons |= {"spike_rate_hz": trains.counts / found.seconds, "interval_cv": trains.cv}
    return found


def spikes(fit: Fit) -> bool:
    """Whether the cells of a fit spike."""
    return fit.model.neuron.spikes


def in_short(analysis: Analysis) -> Mapping[str, JSON]:
    """Return rates, variation, synchrony and shares; nothing of cells that do not spike."""
    found = analysis.spikes
    if found is None or found.reason is not None:
        return {}
    return {
        "spikes": {
            "seconds": found.seconds,
            "mean_rate_hz": found.rate_hz.mean,
            "median_cv": found.intervals.cv[1] if found.intervals.cv else None,
            "synchrony": found.synchrony.chi,
            "silent_fraction": found.silent / found.neurons,
            "at_limit_fraction": found.at_limit / found.neurons,
        }
    }


ANALYSES.register(
    Analyzer(
        name="spikes",
        label="spikes",
        place=70,
        examine=examine,
        result=FittedSpikes,
        needs=("data", "parameters", "connectome"),
        key="spikes",
        findings=sentences("spikes"),
        in_short=in_short,
        options=SpikeOptions,
        applies=spikes,
    )
)
