"""Training frames as a regression reads them: deviations from the mean with the frames before, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from connfit.recordings.frame_blocks import frame_blocks


class Stretch(NamedTuple):
    """Some frames that are predicted, as deviations from the mean, 0 where not observed.

    Attributes
    ----------
    past
        [t, P] the frame before each, the one before that, and so on.
    now, weight
        [t, P].
    """

    past: list[Float[np.ndarray, "t P"]]
    now: Float[np.ndarray, "t P"]
    weight: Float[np.ndarray, "t P"]


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
    """

    values: Float[np.ndarray, "T P"]
    mean: Float[np.ndarray, "P"]
    unit_weights: Float[np.ndarray, "P"]
    counted: Bool[np.ndarray, "P"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "T P"], weights: Float[np.ndarray, "P"]) -> CentredFrames:
        """Measure the means; NaN among `weights` counts as 0."""
        units = values.shape[1]
        total, count, counted = np.zeros(units), np.zeros(units, np.int64), np.zeros(units, bool)
        for block in frame_blocks(0, *values.shape):
            seen = np.isfinite(values[block])
            total += np.where(seen, values[block], 0).astype(np.float64).sum(axis=0)
            count += seen.sum(axis=0)
        frames = cls(values, total / np.maximum(count, 1), np.nan_to_num(weights), counted)
        for stretch in frames.stretches(0):
            counted |= (stretch.weight > 0).any(axis=0)
        return frames

    def stretches(self, before: int) -> Iterator[Stretch]:
        """Yield blocks of the frames that have `before` frames before them."""
        for block in frame_blocks(before, *self.values.shape):
            first = max(block.start - max(before, 1), 0)
            here, skip = self.values[first : block.stop], block.start - first
            seen = np.isfinite(here)
            deviation = np.where(seen, np.where(seen, here, 0).astype(np.float64) - self.mean, 0)
            # A frame counts for a unit if it and the unit's own frame before were observed.
            both = seen.copy()
            both[1:] &= seen[:-1]
            past = [deviation[skip - 1 - lag :][: len(here) - skip] for lag in range(before)]
            yield Stretch(past, deviation[skip:], self.unit_weights * both[skip:])
