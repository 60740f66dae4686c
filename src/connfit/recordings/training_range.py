"""The range of values that training showed of each unit, outside of which a recording is carried as an offset.

A rate model has a floor, and neither it nor any autoregression knows how a unit behaves where it never was during
training; recordings drift there all the same. So a recorded value is taken apart into what lies inside the range, which
rates explain, and what lies beyond it, which stays until the next recorded value, as under persistence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.recordings import Recording, hold_last
from connfit.recordings.frame_blocks import frame_blocks


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """Least and greatest value of each unit that rates explain.

    Parameters
    ----------
    low, high
        [P] in the recording's units. `low` is at least 0, where rates end.
    """

    low: Float[np.ndarray, "P"]
    high: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, recording: Recording) -> TrainingRange:
        """Find the range of the observed training values; from 0 without bound for a unit that training never shows."""
        values, mask = recording.part("train")
        least, greatest = np.full((2, values.shape[1]), [[np.inf], [-np.inf]], values.dtype)
        for block in frame_blocks(0, *values.shape):
            here, seen = values[block], mask[block]
            least = np.minimum(least, np.where(seen, here, np.inf).min(axis=0))
            greatest = np.maximum(greatest, np.where(seen, here, -np.inf).max(axis=0))
        low = np.maximum(np.where(np.isfinite(least), least, 0), 0).astype(np.float64)
        high = np.where(np.isfinite(greatest), greatest, np.inf).astype(np.float64)
        return cls(low, np.maximum(high, low))

    @classmethod
    def unlimited(cls, units: int) -> TrainingRange:
        """Return the range of units of which no training part is known: all values that rates can have."""
        return cls(np.zeros(units), np.full(units, np.inf))

    def inside(self, values: Float[np.ndarray, "*t P"]) -> Float[np.ndarray, "*t P"]:
        """Return the nearest values inside the range; NaN stays NaN."""
        return np.clip(values, self.low, self.high)

    def beyond(self, values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> Float[np.ndarray, "T P"]:
        """Return what the last observed value of each unit lies beyond the range, at each frame; 0 before the first."""
        held = hold_last(values, mask)
        return np.nan_to_num(held - self.inside(held))

    def last_beyond(self, values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> Float[np.ndarray, "P"]:
        """Return what the last observed value of each unit lies beyond the range; 0 for a unit that was not observed.

        Looks no further back than it has to.
        """
        found = np.zeros(values.shape[1])
        unknown = np.ones(values.shape[1], bool)
        for block in reversed(list(frame_blocks(0, *values.shape))):
            here = self.beyond(values[block], mask[block])[-1]
            seen = mask[block].any(axis=0)
            found = np.where(unknown & seen, here, found)
            unknown &= ~seen
            if not unknown.any():
                break
        return found
