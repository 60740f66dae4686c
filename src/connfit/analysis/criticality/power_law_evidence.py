"""Whether values follow a power law that was fitted to them: goodness of fit, alternatives, influence of the ends.

Clauset, Shalizi & Newman (2009) SIAM Review 51:661, doi 10.1137/070710111; why it is not taken from the package
`powerlaw` is said in `connfit.analysis.criticality.power_law`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from connfit.analysis.criticality.likelihood_ratio import NestedComparison, likelihood_ratio
from connfit.analysis.criticality.power_law import (
    PowerLaw,
    fit_histogram,
    fit_power_law,
    sample_power_law,
    whole_number_histogram,
)
from connfit.analysis.criticality.tails import Tail, fit_alternative, power_law_norm
from connfit.analysis.result import Result
from connfit.errors import ConfigError, DataError

ALTERNATIVES = ("lognormal", "exponential", "truncated_power_law")
NESTED = ("lognormal", "truncated_power_law")
"""Alternatives of which the power law is a limit: without curvature, or with the cut-off at infinity."""


@dataclass(frozen=True)
class Goodness(Result):
    """Bootstrap test of the hypothesis that values follow the fitted power law.

    Parameters
    ----------
    p
        Share of synthetic samples that lie further from their own fit than the data from theirs. Small: no power
        law (Clauset et al. use 0.1). Large: not rejected, which is no proof.
    repeats
        Synthetic samples.
    """

    p: float = 0.0
    repeats: int = 0


@dataclass(frozen=True)
class Ends(Result):
    """Exponents with the same fit after values at the ends are left out; None where too few are left.

    Parameters
    ----------
    exponent
        With all values in the range.
    without_smallest
        Without the smallest value of the range.
    without_largest
        With the range ending below the last tenth of a decade.
    without_both
        Without either.
    """

    exponent: float = 0.0
    without_smallest: float | None = None
    without_largest: float | None = None
    without_both: float | None = None


@dataclass(frozen=True)
class PowerLawTest(Result):
    """All that is asked of a distribution that is said to be a power law; see the fields' types."""

    fit: PowerLaw = field(default_factory=PowerLaw)
    goodness: Goodness | None = None
    comparisons: tuple[NestedComparison, ...] = ()
    ends: Ends = field(default_factory=Ends)


def goodness_of_fit(
    values: Int[np.ndarray, "K"], fit: PowerLaw, *, repeats: int = 200, seed: int = 0, min_tail: int = 50
) -> Goodness:
    """Test whether values from the fitted power law could be as far from their own fit as these are.

    Synthetic samples draw values below xmin from the data, those above from the law, and search for xmin as the
    data's fit did (Clauset et al. 2009, section 4.1).

    Parameters
    ----------
    values
        What was fitted.
    fit
        Its fit.
    repeats
        Synthetic samples; the standard error of p is at most 0.5 / √repeats.
    seed
        Seed of the samples.
    min_tail
        As in the fit.
    """
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}, but must be 1 or more")
    x, weights = whole_number_histogram(values)
    rng = np.random.default_rng(seed)
    below = x < fit.xmin
    total = fit.count - fit.beyond
    body = weights[below] / max(weights[below].sum(), 1.0)
    further = 0
    for _ in range(repeats):
        tail = int(rng.binomial(total, fit.tail / total))
        drawn, counts = np.unique(sample_power_law(tail, fit.exponent, fit.xmin, fit.xmax, rng), return_counts=True)
        if below.any():
            drawn = np.concatenate([x[below], drawn])
            counts = np.concatenate([rng.multinomial(total - tail, body), counts])
            drawn, counts = drawn[counts > 0], counts[counts > 0]
        own = fit_histogram(
            drawn,
            counts.astype(np.float64),
            None if fit.xmin_searched else fit.xmin,
            fit.xmax,
            min(min_tail, fit.tail // 2),
        )
        further += own.ks >= fit.ks
    return Goodness(further / repeats, repeats)


def compare(values: Int[np.ndarray, "K"], fit: PowerLaw) -> tuple[NestedComparison, ...]:
    """Compare a fitted power law with `ALTERNATIVES` by likelihood, on the fit's range.

    All are distributions of whole numbers, normalised over the same range.

    Parameters
    ----------
    values
        What was fitted.
    fit
        Its fit.

    References
    ----------
    Vuong (1989) Econometrica 57:307, doi 10.2307/1912557; Clauset et al. (2009), section 5, doi 10.1137/070710111.
    """
    x, weights = whole_number_histogram(values)
    inside = (x >= fit.xmin) & (x <= (np.inf if fit.xmax is None else fit.xmax))
    x, weights = x[inside], weights[inside]
    ours = -fit.exponent * np.log(x) - np.log(power_law_norm(fit.exponent, fit.xmin, fit.xmax))
    found = []
    for name in ALTERNATIVES:
        other = fit_alternative(name, Tail(fit.xmin, fit.xmax), x, weights, fit.exponent)
        terms, nested = ours - other.log_pmf(x), name in NESTED
        found.append(likelihood_ratio(terms, weights, name, nested=nested, parameters=other.parameters()))
    return tuple(found)


def without_ends(values: Int[np.ndarray, "K"], fit: PowerLaw, *, min_tail: int = 50) -> Ends:
    """Fit again after the first and the last values of the range are left out.

    Where the exponent moves by more than its interval, these values carry the fit.
    """
    x, weights = whole_number_histogram(values)
    inside = x[(x >= fit.xmin) & (x <= (np.inf if fit.xmax is None else fit.xmax))]
    second, last = int(inside[1]), int(inside[-1] / 10**0.1)

    def refit(xmin: int, xmax: int | None) -> float | None:
        if xmax is not None and xmax <= xmin:
            return None
        try:
            return fit_histogram(x, weights, xmin, xmax, min_tail).exponent
        except DataError:
            return None

    return Ends(fit.exponent, refit(second, fit.xmax), refit(fit.xmin, last), refit(second, last))


def examine_power_law(
    values: Int[np.ndarray, "K"],
    *,
    xmin: int | None = None,
    xmax: int | None = None,
    repeats: int = 200,
    seed: int = 0,
    min_tail: int = 50,
) -> PowerLawTest:
    """Fit a power law and test it in every way (goodness of fit not for repeats=0); see the single functions."""
    fit = fit_power_law(values, xmin=xmin, xmax=xmax, min_tail=min_tail)
    return PowerLawTest(
        fit=fit,
        goodness=goodness_of_fit(values, fit, repeats=repeats, seed=seed, min_tail=min_tail) if repeats else None,
        comparisons=compare(values, fit),
        ends=without_ends(values, fit, min_tail=min_tail),
    )
