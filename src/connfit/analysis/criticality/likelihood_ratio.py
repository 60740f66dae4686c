"""Which of two fitted distributions is nearer to the values: the sign and the certainty of a likelihood ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy.special
from jaxtyping import Float

from connfit.analysis.result import Result

ROUNDING = 1e-7
"""Deviation of the terms below which a limit is reached and only rounding is left."""


@dataclass(frozen=True)
class Comparison(Result):
    """Likelihood ratio of a power law over an alternative on the same values.

    Parameters
    ----------
    alternative
        Its name.
    log_ratio
        Sum of ln p(power law) - ln p(alternative): positive favours the power law.
    z, p
        Vuong's statistic, log_ratio / (√n · deviation of its terms), and its two-sided p. In tails of weights, p is
        that of Wilks' test for the log-normal, of which the power law is a limit.
    favoured
        `"power_law"`, the alternative, or `"undecided"` at the level 0.05, by Wilks' test where the power law is a
        limit of the alternative.
    parameters
        Of the alternative, in the names of the literature; None in a limit in which they lose their meaning.
    """

    alternative: str = ""
    log_ratio: float | None = None
    z: float | None = None
    p: float | None = None
    favoured: str = "undecided"
    parameters: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class NestedComparison(Comparison):
    """Likelihood ratio of a power law over an alternative of which it may be a limit.

    Parameters
    ----------
    nested_p
        p of Wilks' test (χ², one degree of freedom) where the power law is a limit of the alternative: small means
        that the alternative's second parameter is needed. Vuong's p does not hold there. None for the exponential.
    """

    nested_p: float | None = None


def likelihood_ratio(
    terms: Float[np.ndarray, "K"],
    counts: Float[np.ndarray, "K"],
    alternative: str,
    *,
    nested: bool,
    parameters: Mapping[str, float | None],
) -> NestedComparison:
    """Compare two fits: Vuong (1989) Econometrica 57:307, doi 10.2307/1912557; nested ones: Wilks (1938).

    Parameters
    ----------
    terms
        ln p(power law) - ln p(alternative) of each value.
    counts
        How often each value occurs.
    alternative, parameters
        Name and fitted parameters of the alternative.
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
    return NestedComparison(alternative, total, z, p, favoured, parameters, nested_p)
