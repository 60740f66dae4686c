"""Training frames as a regression reads them: deviations from the mean with the frames before, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from connfit.models.neuron import Neuron
from connfit.recordings.frame_blocks import frame_blocks


class Stretch(NamedTuple):
    """Some frames that are predicted, as deviations from the mean, 0 where not observed.

    Attributes
    ----------
    past
        [t, P] the frame before each, the one before that, and so on.
    now, weight
        [t, P].
    last
        [t, P] the frame before each as it was recorded, which is `past[0]` where there is no indicator.
    """

    past: list[Float[np.ndarray, "t P"]]
    now: Float[np.ndarray, "t P"]
    weight: Float[np.ndarray, "t P"]
    last: Float[np.ndarray, "t P"]


@dataclass(frozen=True, eq=False)
class CentredFrames:
    """Training frames of one recording.

    Parameters
    ----------
    values
        [T, P]; NaN where not observed.
    mean
        [P] over the observed frames.
    unit_weights
        [P] of squared errors.
    counted
        [P] whether a unit was ever observed in two frames running, or in the first.
    shown
        What was recorded, where `values` are that before an indicator; else None.
    """

    values: Float[np.ndarray, "T P"]
    mean: Float[np.ndarray, "P"]
    unit_weights: Float[np.ndarray, "P"]
    counted: Bool[np.ndarray, "P"]
    shown: CentredFrames | None = None

    @classmethod
    def of(
        cls, values: Float[np.ndarray, "T P"], weights: Float[np.ndarray, "P"], shown: CentredFrames | None = None
    ) -> CentredFrames:
        """Measure the means; NaN among `weights` counts as 0."""
        units = values.shape[1]
        total, count, counted = np.zeros(units), np.zeros(units, np.int64), np.zeros(units, bool)
        for block in frame_blocks(0, *values.shape):
            seen = np.isfinite(values[block])
            total += np.where(seen, values[block], 0).astype(np.float64).sum(axis=0)
            count += seen.sum(axis=0)
        frames = cls(values, total / np.maximum(count, 1), np.nan_to_num(weights), counted, shown)
        for stretch in frames.stretches(0):
            counted |= (stretch.weight > 0).any(axis=0)
        return frames

    def before(self, filters: Sequence[float]) -> CentredFrames:
        """Return frames as they were before an indicator; what follows a missing frame is missing, too.

        Parameters
        ----------
        filters
            Share that each keeps of itself in a frame, in their order.
        """
        values = self.values.astype(np.float64)
        for keeps in reversed(filters):
            values[1:] = (values[1:] - keeps * values[:-1]) / (1 - keeps)
        return CentredFrames.of(values.astype(self.values.dtype), self.unit_weights, self)

    def variance_shown(self) -> Float[np.ndarray, "P"]:
        """Return the variance of each unit as it was recorded; of one that was not, next to nothing."""
        values = (self if self.shown is None else self.shown).values
        seen = np.isfinite(values)
        mean = np.where(seen, values, 0).sum(axis=0, dtype=np.float64) / np.maximum(seen.sum(axis=0), 1)
        squares = (np.where(seen, values - mean, 0) ** 2).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        return np.maximum(squares, np.finfo(float).tiny)

    def stretches(self, before: int) -> Iterator[Stretch]:
        """Yield blocks of the frames that have `before` frames before them."""
        for block in frame_blocks(before, *self.values.shape):
            first = max(block.start - max(before, 1), 0)
            skip = block.start - first
            seen, deviation = self._deviations(slice(first, block.stop))
            # A frame counts for a unit if it and the unit's own frame before were observed.
            both = seen.copy()
            both[1:] &= seen[:-1]
            past = [deviation[skip - 1 - lag :][: len(seen) - skip] for lag in range(before)]
            last = past[0] if past else deviation[:0]
            if past and self.shown is not None:
                last = self.shown._deviations(slice(block.start - 1, block.stop - 1))[1]
            yield Stretch(past, deviation[skip:], self.unit_weights * both[skip:], last)

    def _deviations(self, frames: slice) -> tuple[Bool[np.ndarray, "t P"], Float[np.ndarray, "t P"]]:
        """Where frames were observed, and their deviations from the mean."""
        here = self.values[frames]
        seen = np.isfinite(here)
        return seen, np.where(seen, np.where(seen, here, 0).astype(np.float64) - self.mean, 0)


def observing_filters(neuron: Neuron, step_s: float) -> tuple[float, ...]:
    """Return what each leaky filter keeps in a step, before training, that follows what a neuron sends."""
    found, starts = {one.name: one for one in neuron.parameters}, dict(neuron.starts)
    return tuple(float(np.exp(-step_s / starts.get(name, found[name].start))) for name in neuron.observing)
