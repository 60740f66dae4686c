"""Scores of rankings: against counting pairs one by one, against resampled pairs, and over repeats of a known truth."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from networks import random_connectome
from scipy.stats import spearmanr

from connfit.analysis.measured.response_scores import (
    Estimate,
    Resamples,
    amplitude_ceiling,
    auroc,
    average_precision,
    rank_correlation,
    rank_sum,
    roc_curve,
    share,
)
from connfit.errors import ConfigError
from connfit.models import RateModel, Readout
from connfit.models.pulse import Stimulations, pulse_responses

ONES = np.ones((1, 6))


def pairs(seed: int = 0, *, size: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, responses, stimulated neurons, and a weight of each neuron as a resample has it."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 6, size)
    score = np.round(rng.normal(size=size), 1)
    return score, rng.random(size) < 0.3, group, rng.multinomial(6, np.full(6, 1 / 6)).astype(float)


def counted(score: np.ndarray, responds: np.ndarray) -> float:
    """AUROC by its definition: every pair of a response and a non-response."""
    above = score[responds][:, None] - score[~responds][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def repeated(weights: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Positions of pairs, each as often as its stimulated neuron was drawn."""
    return np.repeat(np.arange(len(group)), weights[group].astype(int))


@pytest.mark.parametrize("seed", range(4))
def test_auroc_is_that_of_all_pairs(seed: int) -> None:
    score, responds, group, _ = pairs(seed)
    pooled, within = auroc(score, responds, group, ONES)
    assert pooled[0] == pytest.approx(counted(score, responds), abs=1e-12)
    own = [
        counted(score[group == k], responds[group == k])
        for k in range(6)
        if 0 < responds[group == k].sum() < (group == k).sum()
    ]
    assert within[0] == pytest.approx(np.mean(own), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_scores_as_if_the_pairs_of_its_neurons_were_there_so_often(seed: int) -> None:
    score, responds, group, weights = pairs(seed)
    chosen = repeated(weights, group)
    again = score[chosen], responds[chosen]
    assert auroc(score, responds, group, weights[None])[0][0] == pytest.approx(counted(*again), abs=1e-12)
    ours = average_precision(score, responds, group, weights[None])[0]
    assert ours == pytest.approx(average_precision(*again, np.zeros(len(chosen), int), np.ones((1, 1)))[0], abs=1e-12)
    held = share(responds, group, weights[None])[0]
    assert held == pytest.approx(responds[chosen].mean(), abs=1e-12)


def test_average_precision_of_ties_takes_them_together() -> None:
    """Two of four share the first place: precision 1/2 there; then 2/3 of the third, of two responses."""
    score, responds = np.array([2.0, 2.0, 1.0, 0.0]), np.array([True, False, True, False])
    got = average_precision(score, responds, np.zeros(4, int), np.ones((1, 1)))[0]
    assert got == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)


def test_average_precision_does_not_depend_on_how_many_resamples_are_taken_at_once() -> None:
    score, responds, group, _ = pairs(1)
    weights = Resamples.draw(6, repeats=150).weights
    one_by_one = [average_precision(score, responds, group, row[None])[0] for row in weights]
    np.testing.assert_allclose(average_precision(score, responds, group, weights), one_by_one, rtol=1e-12)


def test_rank_correlation_is_spearmans() -> None:
    score, _, group, _ = pairs(2)
    other = score + np.random.default_rng(3).normal(size=len(score))
    assert rank_correlation(score, other, group, ONES)[0] == pytest.approx(spearmanr(score, other)[0], abs=1e-12)


def test_a_ceiling_is_what_halves_allow() -> None:
    """Halves with a reliability of 1/3 have means of reliability 1/2, of which a perfect prediction sees √(1/2)."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200_000)
    halves = truth[:, None] + np.sqrt(2) * rng.normal(size=(200_000, 2))
    between = np.corrcoef(halves.T)[0, 1]
    # 200,000 pairs: standard errors of both correlations are about 0.002.
    assert amplitude_ceiling(np.array([between]))[0] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert np.corrcoef(truth, halves.mean(axis=1))[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert np.isnan(amplitude_ceiling(np.array([-0.1]))[0])


def test_a_rank_sum_does_not_depend_on_units_and_is_silent_where_a_part_is() -> None:
    one, other = np.array([1.0, -3.0, 2.0, np.nan]), np.array([10.0, 30.0, -20.0, 5.0])
    np.testing.assert_array_equal(rank_sum([one, other]), rank_sum([1000 * one, other / 7]))
    assert np.isnan(rank_sum([one, other])[3]) and list(np.argsort(rank_sum([one, other])[:3])) == [0, 2, 1]


def test_a_roc_curve_has_the_area_that_auroc_says() -> None:
    score, responds, group, _ = pairs(5, size=4000)
    at = np.linspace(0, 1, 2001)
    area = np.trapezoid(roc_curve(score, responds, at), at)
    # Straight lines between 2,001 points of a curve with about 70 corners.
    assert area == pytest.approx(auroc(score, responds, group, ONES)[0][0], abs=1e-4)


def test_an_interval_is_not_given_where_there_is_nothing_to_resample() -> None:
    one = Resamples.draw(1, repeats=20)
    found = one.estimate(np.ones(21))
    assert found.value == 1 and found.low is None and "one stimulated neuron" in str(found.reason)
    few = Resamples.draw(5, repeats=20)
    assert few.estimate(np.r_[0.6, np.full(20, np.nan)]).low is None
    assert few.estimate(np.full(21, np.nan), why="nothing").reason == "nothing"
    assert Estimate(0.1, 0.05, 0.2).excludes_zero and not Estimate(0.1, -0.05, 0.2).excludes_zero


@pytest.mark.parametrize(("repeats", "level"), [(0, 0.95), (10, 1.0), (10, 0.0)])
def test_impossible_resamples_are_refused(repeats: int, level: float) -> None:
    with pytest.raises(ConfigError, match="resamples"):
        Resamples.draw(5, repeats=repeats, level=level)


def stimulated_teacher(neurons: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Responses [stimulated, responding] of a teacher, and those of one with other weights."""
    rng = np.random.default_rng(1)
    brain = random_connectome(rng, neurons, 6)
    readout = Readout.by_name(brain, ("n0", "n1"))
    model = RateModel.from_connectome(brain, readout, step_s=0.6, drive="none")
    params = {
        "weights": jnp.asarray(brain.counts * 0.02, jnp.float32),
        "log_time_constants": jnp.zeros(neurons),
        "bias": jnp.ones(neurons),
    }
    other = {**params, "weights": params["weights"] * jnp.asarray(rng.lognormal(0, 1.5, brain.m), jnp.float32)}
    how, everyone = Stimulations(drive="none", window_s=6), np.arange(neurons)
    return tuple(
        pulse_responses(model, own, everyone, how, unit_of_strength=1.0, mean=np.zeros(2)) for own in (params, other)
    )  # type: ignore[return-value]  # two


def drawn_table(
    rng: np.random.Generator, size: np.ndarray, noise: float, least: float, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of pairs, and whether each responds: a noisy measurement of its size above a threshold."""
    to = np.arange(size.shape[1])
    at = np.repeat(sources, len(to)), np.tile(to, len(sources))
    other = at[0] != at[1]
    measured = np.log(size[at] + 1e-9) + noise * rng.normal(size=len(at[0]))
    return at[0][other], at[1][other], measured[other] > least


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """200 tables of 60 stimulated neurons of a teacher; the truth is AUROC over all of them, of a worse model.

    190 of 200 do. Of 200 intervals of 95 % that cover independently, 184 to 196 do in 95 of 100 tests; percentile
    intervals of 60 neurons are a little narrow. 90 to 97 % is what is asked for.
    """
    truth, other = (np.abs(one) for one in stimulated_teacher())
    rng, neurons, noise = np.random.default_rng(7), len(truth), 1.0
    least = float(np.quantile(np.log(truth + 1e-9) + noise * rng.normal(size=truth.shape), 0.9))
    whole = [drawn_table(rng, truth, noise, least, np.arange(neurons)) for _ in range(8)]
    real = float(np.mean([auroc(other[a, b], yes, a * 0, np.ones((1, 1)))[0][0] for a, b, yes in whole]))
    assert 0.6 < real < 0.95
    covered = 0
    for repeat in range(200):
        sources = rng.integers(0, neurons, 60)
        a, b, yes = drawn_table(rng, truth, noise, least, sources)
        group = np.repeat(np.arange(60), neurons)[np.repeat(sources, neurons) != np.tile(np.arange(neurons), 60)]
        resamples = Resamples.draw(60, repeats=500, seed=repeat)
        found = resamples.estimate(auroc(other[a, b], yes, group, resamples.weights)[0])
        assert found.low is not None and found.high is not None
        covered += found.low <= real <= found.high
    assert 0.90 <= covered / 200 <= 0.97, covered


def test_a_permuted_prediction_ranks_at_chance() -> None:
    truth, _ = (np.abs(one) for one in stimulated_teacher(120))
    rng = np.random.default_rng(2)
    a, b, yes = drawn_table(rng, truth, 0.0, float(np.quantile(np.log(truth + 1e-9), 0.9)), np.arange(120))
    resamples = Resamples.draw(120, repeats=400)
    own = resamples.estimate(auroc(truth[a, b], yes, a, resamples.weights)[0])
    assert own.value == 1.0
    shuffled = rng.permutation(120)
    chance = resamples.estimate(auroc(truth[shuffled[a], shuffled[b]], yes, a, resamples.weights)[0])
    assert chance.low is not None and chance.high is not None and chance.low <= 0.5 <= chance.high
    # 1,400 responses in 120 groups: the standard error of AUROC is about 0.01 to 0.02.
    assert chance.value == pytest.approx(0.5, abs=0.05)
