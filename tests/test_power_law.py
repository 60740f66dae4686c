"""Discrete and continuous power laws against the package `powerlaw`, known samples, and impostors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from connfit.analysis.criticality.continuous_tail import continuous_tail
from connfit.analysis.criticality.power_law import fit_power_law, sample_power_law
from connfit.analysis.criticality.power_law_evidence import compare, examine_power_law, goodness_of_fit
from connfit.errors import DataError


def lognormal_counts(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.maximum(1, np.round(np.exp(rng.normal(1.0, 1.2, size)))).astype(int)


def truncated_counts(rng: np.random.Generator, size: int) -> np.ndarray:
    """Exponent 1.5, cut off at 100, by rejection."""
    drawn = sample_power_law(20 * size, 1.5, 1, None, rng)
    return drawn[rng.random(len(drawn)) < np.exp(-drawn / 100)][:size].astype(int)


SAMPLES = {
    "power law": lambda rng, n: sample_power_law(n, 1.8, 1, 10**5, rng).astype(int),
    "log-normal": lognormal_counts,
    "exponential": lambda rng, n: rng.geometric(0.2, n),
    "truncated": truncated_counts,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_as_the_package_powerlaw(name: str) -> None:
    """On moderate samples, where it is sound: exponent, xmin, distance and likelihood ratios.

    Its log-normal is another one (rounded, not restricted to whole numbers), so that ratios differ by some units of
    log-likelihood, and its search stops before the power law as a limit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its optimiser
        powerlaw = pytest.importorskip("powerlaw")
        values = SAMPLES[name](np.random.default_rng(3), 2000)
        theirs = powerlaw.Fit(values, discrete=True, xmin=1, estimate_discrete=False, verbose=0)
        ours = fit_power_law(values, xmin=1)
        assert ours.exponent == pytest.approx(theirs.power_law.alpha, abs=2e-3)
        assert ours.ks == pytest.approx(theirs.power_law.D, abs=1e-3)
        for one in compare(values, ours):
            ratio, p = theirs.distribution_compare("power_law", one.alternative)
            if one.alternative == "lognormal":
                assert one.log_ratio == pytest.approx(float(ratio), abs=6)
            else:
                assert one.log_ratio == pytest.approx(float(ratio), abs=0.05, rel=1e-4)
            if one.alternative == "exponential":
                # Vuong's p, which spans many decades.
                assert np.log10(one.p + 1e-30) == pytest.approx(np.log10(float(p) + 1e-30), abs=0.5)


def test_the_same_xmin_as_the_package_powerlaw() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        powerlaw = pytest.importorskip("powerlaw")
        rng = np.random.default_rng(1)
        # A power law from 8 on, and something else below.
        values = np.concatenate([sample_power_law(700, 2.2, 8, None, rng), rng.integers(1, 8, 300)]).astype(int)
        theirs = powerlaw.Fit(values[values <= 40], discrete=True, estimate_discrete=False, verbose=0)
    ours = fit_power_law(values[values <= 40], min_tail=2)
    assert ours.xmin == theirs.xmin
    assert ours.exponent == pytest.approx(theirs.power_law.alpha, abs=2e-3)


def test_a_limit_fits_no_better_than_what_it_is_a_limit_of() -> None:
    """Where the package powerlaw fails: 10⁵ values, whose log-normal must be at least as likely."""
    values = sample_power_law(100_000, 2.5, 1, None, np.random.default_rng(0)).astype(int)
    fit = fit_power_law(values, xmin=1)
    found = {one.alternative: one for one in compare(values, fit)}
    for name in ("lognormal", "truncated_power_law"):
        assert found[name].log_ratio < 0.01 and found[name].favoured == "undecided"
    # The exponential against the closed form of the geometric distribution.
    mean = values.mean()
    rate = np.log1p(1 / (mean - 1))
    likelihood = len(values) * np.log(-np.expm1(-rate)) - rate * (values - 1.0).sum()
    assert found["exponential"].log_ratio == pytest.approx(fit.log_likelihood - likelihood, abs=0.01)


@pytest.mark.parametrize("name", ["log-normal", "exponential", "truncated"])
def test_impostors_are_rejected(name: str) -> None:
    values = SAMPLES[name](np.random.default_rng(2), 4000)
    test = examine_power_law(values, xmin=1, repeats=30)
    assert test.goodness is not None and test.goodness.p == 0
    favoured = {one.alternative: one.favoured for one in test.comparisons}
    assert favoured["lognormal"] == "lognormal" or favoured["truncated_power_law"] == "truncated_power_law"
    if name == "exponential":
        assert favoured["exponential"] == "exponential"


def test_goodness_of_fit_of_true_power_laws_is_spread_evenly() -> None:
    """p is uniform under the hypothesis: 12 of them are neither all small nor all large."""
    p = []
    for seed in range(12):
        values = sample_power_law(300, 1.7, 1, 2000, np.random.default_rng(seed)).astype(int)
        fit = fit_power_law(values, xmin=1, xmax=2000)
        p.append(goodness_of_fit(values, fit, repeats=40, seed=seed).p)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_continuous_tail_of_a_pareto_and_its_alternatives() -> None:
    rng = np.random.default_rng(0)
    pareto = continuous_tail(2 * (rng.pareto(1.5, 20_000) + 1), xmin=2.0)
    assert pareto.interval[0] < 2.5 < pareto.interval[1]
    assert {one.alternative: one.favoured for one in pareto.comparisons} == {
        "lognormal": "undecided",
        "exponential": "power_law",
    }
    # Below xmin nothing counts: a Pareto above something else is found from about where it begins.
    mixed = continuous_tail(np.concatenate([5 * (rng.pareto(2.0, 4000) + 1), rng.uniform(0.1, 5, 6000)]))
    assert 4 < mixed.xmin < 12 and mixed.exponent == pytest.approx(3.0, abs=0.2)


def test_continuous_tail_recovers_a_lognormal() -> None:
    """As fitted strengths are said to be: σ = 1.83 (Li et al. 2026), with all of it in the tail."""
    values = np.exp(np.random.default_rng(0).normal(-3, 1.83, 30_000))
    tail = continuous_tail(values, xmin=float(values.min()))
    other = {one.alternative: one for one in tail.comparisons}
    assert other["lognormal"].favoured == "lognormal"
    assert other["lognormal"].parameters["mu"] == pytest.approx(-3, abs=0.05)
    assert other["lognormal"].parameters["sigma"] == pytest.approx(1.83, abs=0.04)
    searched = continuous_tail(values)
    assert searched.decades < 2.5 and searched.tail < 3000


def test_continuous_tail_of_an_exponential() -> None:
    values = np.random.default_rng(0).exponential(2.0, 20_000)
    tail = continuous_tail(values, xmin=1.0)
    other = {one.alternative: one for one in tail.comparisons}
    assert other["exponential"].favoured == "exponential"
    assert other["exponential"].parameters["rate"] == pytest.approx(0.5, rel=0.05)


def test_tails_that_are_none() -> None:
    with pytest.raises(DataError, match="100 positive numbers"):
        continuous_tail(np.ones(50))
    with pytest.raises(DataError, match="all alike"):
        continuous_tail(np.ones(500))
