"""What `analysis.json` holds of the spikes of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, field

from connfit.analysis.parameters.distribution import Distribution
from connfit.analysis.result import Result
from connfit.analysis.spiking.raster import Raster
from connfit.analysis.spiking.spike_trains import TrainSynchrony
from connfit.evaluation.free_run import NO_NOISE

PART = "test"
"""Part of the recording that is run."""


@dataclass(frozen=True)
class Binned(Result):
    """A histogram: edges of its bins, and how many lie in each; what lies beyond the last edge is in the last bin."""

    edges: tuple[float, ...] = ()
    number: tuple[int, ...] = ()


@dataclass(frozen=True)
class IntervalVariation(Result):
    """Variation of the intervals between spikes; None where no neuron has enough of them.

    Parameters
    ----------
    least
        Intervals that are enough.
    neurons
        With as many.
    cv, cv2
        Lower quartile, median and upper quartile over these neurons. For both see
        `connfit.analysis.spiking.spike_trains.Trains`.
    histogram
        Of the CV of neurons.
    """

    least: int = 0
    neurons: int = 0
    cv: tuple[float, ...] | None = None
    cv2: tuple[float, ...] | None = None
    histogram: Binned = field(default_factory=Binned)


@dataclass(frozen=True)
class FittedSpikes(Result):
    """Spikes of the fitted model in the first free run of a test part that the evaluation scores.

    Parameters
    ----------
    reason
        Why nothing else is there; None where it is.
    recording, part, part_frames
        Whose test part is run, the first recording's, and its frames.
    warmup_frames, frames, substeps, steps, step_ms, seconds
        Recorded frames before the part in which the state settles, frames that run freely, steps of the model in a
        frame and in all, and how long.
    noise, without_noise
        What drives the run, as in the evaluation: `"training residuals"`, or `"none"`, and why that is.
    seed
        Of the choice of neurons that the raster shows. The noise is the evaluation's, which has no seed to set.
    neurons, spikes
        Neurons of the model, all of which count, and their spikes.
    silent
        Neurons without a spike.
    limit_hz
        Highest rate that a neuron can have for its refractory time and the step, median over neurons; None where none
        spikes twice however it is driven.
    at_limit, at_limit_share
        Neurons whose rate is above this share of their highest.
    rate_hz, rates
        Rates of neurons, and their histogram on a logarithmic scale without silent ones.
    intervals
        Variation of the intervals between spikes.
    bin_ms, bins, synchrony
        Bins, and how much neurons spike together in them.
    raster
        Spikes of some neurons.
    """

    reason: str | None = None
    recording: str = ""
    part: str = PART
    part_frames: int = 0
    warmup_frames: int = 0
    frames: int = 0
    substeps: int = 1
    steps: int = 0
    step_ms: float = 0.0
    seconds: float = 0.0
    noise: str = NO_NOISE
    without_noise: str | None = None
    seed: int = 0
    neurons: int = 0
    spikes: int = 0
    silent: int = 0
    limit_hz: float | None = None
    at_limit: int = 0
    at_limit_share: float = 0.0
    rate_hz: Distribution = field(default_factory=Distribution)
    rates: Binned = field(default_factory=Binned)
    intervals: IntervalVariation = field(default_factory=IntervalVariation)
    bin_ms: float = 0.0
    bins: int = 0
    synchrony: TrainSynchrony = field(default_factory=TrainSynchrony)
    raster: Raster = field(default_factory=Raster)
