"""Functional connectivity as it is compared: of so many units at most that their pairs can be held and clustered."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.evaluation.metrics import functional_connectivity
from connfit.recordings.frame_blocks import Stored

MOST_COMPARED = 2_000
"""Units whose pairs are compared at most, evenly spaced ones: 2 million pairs, of which one matrix takes 32 MB."""


def compared_units(units: int) -> Int[np.ndarray, "p"]:
    """Return the positions of the units whose functional connectivity is compared: all, or evenly spaced ones."""
    return np.unique(np.round(np.linspace(0, units - 1, min(units, MOST_COMPARED))).astype(np.int64))


def compared_connectivity(
    values: Stored, mask: Stored | None = None, frames: Bool[np.ndarray, "t"] | None = None
) -> Float[np.ndarray, "p p"]:
    """Return the functional connectivity of `compared_units`; see `functional_connectivity`."""
    units = values.shape[1]
    return functional_connectivity(values, mask, frames, None if units <= MOST_COMPARED else compared_units(units))


def connectivity_of(values: Stored, mask: Stored, units: Int[np.ndarray, "p"]) -> Float[np.ndarray, "p p"]:
    """Return the functional connectivity of the units at these positions."""
    if values.shape[1] > MOST_COMPARED:
        return functional_connectivity(values, mask, units=units)
    return functional_connectivity(values, mask)[np.ix_(units, units)]
