"""Means and standard deviations of units in the training part, and values on the scale that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.recordings import Recording

Block = tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]
"""Consecutive frames of standardised values, 0 where there is none, and which were observed."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """The scale on which a baseline is fitted.

    Parameters
    ----------
    means
        [P] in the recording's units; NaN for a unit that the training part never shows.
    stds
        [P]; 1 for a unit that does not vary.
    """

    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> Scaling:
        """Measure the observed values."""
        count = mask.sum(axis=0)
        x = np.where(mask, values, 0.0).astype(np.float64)
        means = np.where(count > 0, x.sum(axis=0) / np.maximum(count, 1), np.nan)
        spread = np.where(mask, x - np.nan_to_num(means), 0.0)
        stds = np.sqrt((spread**2).sum(axis=0) / np.maximum(count, 1))
        return cls(means, np.where(stds > 1e-10 * np.abs(x).max(axis=0, initial=0.0), stds, 1.0))

    @property
    def known(self) -> Bool[np.ndarray, "P"]:
        """Units that the training part shows."""
        return np.isfinite(self.means)

    def standardise(self, values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> Block:
        """Return standardised values, 0 where there is none, and which were observed.

        A unit that the training part never shows counts as observed at 0 throughout.
        """
        seen = mask & self.known
        z = np.where(seen, (np.where(seen, values, 0.0) - np.nan_to_num(self.means)) / self.stds, 0.0)
        return z, seen | ~self.known

    def restore(self, z: Float[np.ndarray, "*t P"]) -> Float[np.ndarray, "*t P"]:
        """Return values in the recording's units; NaN for a unit without a mean."""
        return z * self.stds + self.means


def pooled_means(recordings: Sequence[Recording], units: Sequence[str]) -> Float[np.ndarray, "P"]:
    """Return means of `units` over the training parts of all recordings that have them; NaN for a unit of none."""
    total, count = np.zeros(len(units)), np.zeros(len(units))
    for recording in recordings:
        own = [k for k, unit in enumerate(units) if unit in set(recording.units)]
        values, mask = recording.select_units([units[k] for k in own]).part("train")
        total[own] += np.where(mask, values, 0.0).sum(axis=0, dtype=np.float64)
        count[own] += mask.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
