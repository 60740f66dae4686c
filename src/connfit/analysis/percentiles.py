"""Intervals from bootstrap draws."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def interval_of(draws: Float[np.ndarray, "B"]) -> tuple[float, float]:
    """Return the middle 95 % of the draws that are defined; NaN if none is."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
