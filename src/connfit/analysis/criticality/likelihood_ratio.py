"""Which of two fitted distributions is nearer to the values: the sign and the certainty of a likelihood ratio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

ROUNDING = 1e-7
"""Deviation of the terms below which a limit is reached and only rounding is left."""


class LikelihoodRatio(NamedTuple):
    """A power law over an alternative.

    Attributes
    ----------
    total
        Sum of ln p(power law) - ln p(alternative): positive favours the power law.
    z, p
        Vuong's statistic, total / (√n · deviation of its terms), and its two-sided p.
    nested_p
        p of Wilks' test (χ², one degree of freedom) where the power law is a limit of the alternative, else None.
    favoured
        `"power_law"`, the alternative, or `"undecided"` at the level 0.05, by nested_p where there is one.
    """

    total: float
    z: float
    p: float
    nested_p: float | None
    favoured: str


def likelihood_ratio(
    terms: Float[np.ndarray, "K"], counts: Float[np.ndarray, "K"], alternative: str, *, nested: bool
) -> LikelihoodRatio:
    """Vuong (1989) Econometrica 57:307, doi 10.2307/1912557; for nested distributions Wilks (1938).

    Parameters
    ----------
    terms
        ln p(power law) - ln p(alternative) of each value.
    counts
        How often each value occurs.
    alternative
        Its name.
    nested
        Whether the power law is a limit of it.
    """
    total, n = float(counts @ terms), float(counts.sum())
    deviation = float(np.sqrt(counts @ (terms - total / n) ** 2 / n))
    z = total / (n**0.5 * deviation) if deviation > ROUNDING else 0.0
    p = float(scipy.special.erfc(abs(z) / np.sqrt(2)))
    nested_p = float(scipy.special.chdtrc(1, 2 * max(-total, 0.0))) if nested else None
    if nested_p is not None:
        favoured = alternative if nested_p < 0.05 else "undecided"
    else:
        favoured = "undecided" if p >= 0.05 else ("power_law" if total > 0 else alternative)
    return LikelihoodRatio(total, z, p, nested_p, favoured)
