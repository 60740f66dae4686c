"""What a fit found of how its recording sees neurons, beside where it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from connfit._io import optional
from connfit.models.base import INNOVATION_GAINS, NOISE_SCALE, Params
from connfit.models.observation import INDICATOR_GROUPS, INDICATORS

if TYPE_CHECKING:
    from connfit.training.fitted import Fit


@dataclass(frozen=True)
class Found:
    """Values over neurons or units.

    Parameters
    ----------
    start
        Median before training.
    fitted
        10th, 50th and 90th percentile after it; of one value for all, three times the same.
    """

    start: float
    fitted: tuple[float, float, float]


@dataclass(frozen=True)
class ObservationFound:
    """How recordings see neurons.

    Parameters
    ----------
    indicator
        Its name in `model.observation.indicator`.
    source
        Where its own time constants are from.
    preset_s
        These, in seconds, by group.
    time_constants_s
        Those of the fit, in seconds, by group, of the neurons that are read.
    gains
        By which innovations move each state of the neurons.
    noise_scale
        Of each unit, in units of its change from frame to frame.
    learned
        Groups of it that were learned; all others are as they started.
    """

    indicator: str = "none"
    source: str = ""
    preset_s: Mapping[str, float] = field(default_factory=dict)
    time_constants_s: Mapping[str, Found] = field(default_factory=dict)
    gains: Mapping[str, Found] = field(default_factory=dict)
    noise_scale: Found | None = optional()
    learned: tuple[str, ...] = optional(tuple)


def observation_found(fit: Fit) -> ObservationFound | None:
    """Return what a fit found; None where it has no observation model."""
    job, model = fit.job, fit.model
    if job is None:
        return None
    name = job.config.model.observation.indicator
    start, end = fit.initial_params, fit.params
    keys = [f"log_{group}" for group in INDICATOR_GROUPS if f"log_{group}" in end]
    if not (keys or INNOVATION_GAINS in end or f"log_{NOISE_SCALE}" in end):
        return None
    indicator = INDICATORS.find(name, "model.observation.indicator")
    preset = dict(zip(INDICATOR_GROUPS, (indicator.rise_s, indicator.decay_s), strict=True))
    read = np.unique(job.readout.matrix.indices)

    def seconds(params: Params, key: str) -> Float[np.ndarray, "k"]:
        values = np.exp(np.asarray(params[key], np.float64))
        return values if len(values) == 1 else values[read]

    gains = {}
    if INNOVATION_GAINS in end:
        rows = zip(
            model.neuron.states, np.asarray(start[INNOVATION_GAINS]), np.asarray(end[INNOVATION_GAINS]), strict=True
        )
        gains = {state: _found(before, after) for state, before, after in rows}
    noise = None
    if (key := f"log_{NOISE_SCALE}") in end:
        noise = _found(np.exp(np.asarray(start[key], np.float64)), np.exp(np.asarray(end[key], np.float64)))
    return ObservationFound(
        name,
        indicator.source,
        {group: value for group, value in preset.items() if value is not None},
        {key.removeprefix("log_"): _found(seconds(start, key), seconds(end, key)) for key in keys},
        gains,
        noise,
        tuple(group for group in (*INDICATOR_GROUPS, INNOVATION_GAINS, NOISE_SCALE) if group in job.trained),
    )


def _found(start: Float[np.ndarray, "k"], fitted: Float[np.ndarray, "k"]) -> Found:
    low, middle, high = (float(value) for value in np.percentile(fitted, (10, 50, 90)))
    return Found(float(np.median(start)), (low, middle, high))
