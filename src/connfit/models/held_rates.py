"""Rates at which neurons are held in a simulated experiment, beside what their units showed during training."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from connfit.errors import ConfigError, one_of
from connfit.models.base import Model, Params
from connfit.recordings.cohort import Cohort

SILENCE_AT = {
    "floor": "the floor of what their units showed during training, at most their own rate before the onset",
    "zero": "0 in the units of the prepared recording",
}
"""Rates at which silenced neurons can be held."""

NO_SPIKES = "no-spikes"
SILENCE_IN_WORDS = {**SILENCE_AT, NO_SPIKES: "no spikes"}
"""What silence can be, `NO_SPIKES` of cells that spike."""

FLOOR_PERCENTILE = 1.0
"""Of the observed training values of a unit: its lowest value without single frames that an artefact made."""


@dataclass(frozen=True)
class OutsideTraining:
    """How far the rates at which neurons are held lie outside what their units showed during training.

    Parameters
    ----------
    unread
        Neurons that no unit reads, of which nothing is known.
    below, above
        Neurons held outside the range.
    farthest
        Largest distance from it, in standard deviations of the training values.
    """

    unread: int = 0
    below: int = 0
    above: int = 0
    farthest: float = 0.0

    def caution(self, what: str, count: int) -> str | None:
        """Warn that a set of neurons is held where its units never were; None where it is not."""
        sides = [f"{held:,} {side}" for side, held in (("below", self.below), ("above", self.above)) if held]
        if not sides:
            return None
        return (
            f"{what}: {' and '.join(sides)} of {count:,} {'neuron' if count == 1 else 'neurons'} held outside what "
            f"their units showed during training, by up to {self.farthest:.2g} standard deviations: the model was "
            "never fitted there"
        )


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """What the recorded units that read a neuron showed during training, in the units of the recording.

    Attributes
    ----------
    floor, low, high, deviation
        [N] `FLOOR_PERCENTILE`, lowest and highest value and standard deviation of the observed training values, over
        all recordings; of a neuron that several units read, their means weighted by its shares. NaN where none does.
    """

    floor: Float[np.ndarray, "N"]
    low: Float[np.ndarray, "N"]
    high: Float[np.ndarray, "N"]
    deviation: Float[np.ndarray, "N"]

    @classmethod
    def of(cls, model: Model, params: Params, cohort: Cohort) -> TrainingRange:
        """Pool the training parts of a cohort and spread what units showed over the neurons that they read."""
        shown: list[list[np.ndarray]] = [[] for _ in cohort.units]
        for recording, columns in zip(cohort.recordings, cohort.columns, strict=True):
            values, mask = recording.part("train")
            for k, column in enumerate(columns):
                shown[column].append(values[mask[:, k], k].astype(np.float64))
        pooled = [np.concatenate(values) for values in shown]
        by_unit = np.array([[np.percentile(own, FLOOR_PERCENTILE), own.min(), own.max(), own.std()] for own in pooled])
        shares = jnp.maximum(model.readout_strengths(params), 0)
        total = np.asarray(model.readout.adjoint(shares, jnp.ones((model.units, 1), shares.dtype)), np.float64)
        sums = np.asarray(model.readout.adjoint(shares, jnp.asarray(by_unit, shares.dtype)), np.float64)
        return cls(*np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan).T)

    def distance(self, neurons: Int[np.ndarray, "k"], rates: Float[np.ndarray, "k"]) -> OutsideTraining:
        """Compare what read-outs see of held neurons with the range of training, in the recording's units."""
        low, high, deviation = self.low[neurons], self.high[neurons], self.deviation[neurons]
        beyond = np.maximum(np.maximum(low - rates, rates - high), 0) / np.maximum(deviation, 1e-12)
        # Rates are of single precision: what equals the lowest value up to its rounding is not below it.
        outside = beyond > 1e-5
        return OutsideTraining(
            unread=int(np.isnan(low).sum()),
            below=int((outside & (rates < low)).sum()),
            above=int((outside & (rates > high)).sum()),
            farthest=float(np.nanmax(np.where(outside, beyond, 0.0), initial=0.0)),
        )


def silence_of(model: Model, silence_at: str | None, option: str = "silence_at") -> str:
    """Return what silence is, of `SILENCE_IN_WORDS`.

    Parameters
    ----------
    silence_at
        One of `SILENCE_AT`; None: the floor.
    option
        What messages call it.

    Raises
    ------
    ConfigError
        If it is none of them, or the floor of what is recorded where neurons spike.
    """
    if silence_at is not None:
        one_of(option, silence_at, SILENCE_AT)
    if not model.neuron.spikes:
        return silence_at or "floor"
    if silence_at == "floor":
        raise ConfigError(
            f"{option} is 'floor', but neurons of this fit spike, and silenced ones do not: leave it out (what units "
            "show of silent neurons was fitted)"
        )
    return NO_SPIKES


def silent_rates(
    seen: TrainingRange, start: Float[np.ndarray, "N"], silence_at: str = "floor"
) -> Float[np.ndarray, "N"]:
    """Return the rate of each neuron that stands for no activity, in the units of the recording.

    A recording whose units are shifted, as by the step `scale`, has no zero of its own: 0 may lie far below all that
    was observed. The floor of the units that read a neuron takes its place, though never more than the neuron's rate
    before the onset, for silencing must not raise it, and never less than 0, where rates cannot go. Neurons that no
    unit reads have no shifted units: 0 is their output's absence.

    Parameters
    ----------
    start
        [N] rates before the onset.
    silence_at
        One of `SILENCE_IN_WORDS`.
    """
    one_of("silence_at", silence_at, SILENCE_IN_WORDS)
    if silence_at != "floor":
        return np.zeros(len(start))
    return np.maximum(np.minimum(np.nan_to_num(seen.floor, nan=0.0), np.asarray(start, np.float64)), 0)
