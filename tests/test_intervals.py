"""Intervals of skill: how often they cover a difference that is known, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap

from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.block_bootstrap import block_length
from connfit.evaluation.intervals import paired_difference, skill_interval
from connfit.evaluation.scores import score, score_and_forecast
from connfit.evaluation.squared_errors import PredictionErrors, prediction_errors
from connfit.recordings import Recording


def autoregression(rng: np.random.Generator, phi: float, frames: int, units: int) -> np.ndarray:
    """Stationary AR(1) of variance 1."""
    x = rng.normal(size=(frames + 100, units))
    for t in range(1, len(x)):
        x[t] = phi * x[t - 1] + np.sqrt(1 - phi**2) * x[t]
    return x[100:]


def errors(squared: np.ndarray, reference: np.ndarray, horizon: int = 1, name: str = "made") -> PredictionErrors:
    count = np.ones(len(squared), int)
    frames = np.arange(len(squared))
    return PredictionErrors(name, "test", {horizon: frames}, {horizon: squared}, {horizon: reference}, {horizon: count})


def pair(rng: np.random.Generator, phi: float, frames: int, worse: float, seeds: int = 1, spread: float = 0.0):
    """Errors with AR(1) parts in common and of their own; the true difference of skill is (worse² - 1) / 3.25."""
    common, a, b, r = (autoregression(rng, phi, frames, 8) for _ in range(4))
    last = ((common + 1.5 * r) ** 2).sum(axis=1)
    ours = ((common + a) ** 2).sum(axis=1)
    theirs = ((common + worse * b) ** 2).sum(axis=1)

    def per_seed(squared: np.ndarray) -> list[PredictionErrors]:
        return [errors(squared * (1 + spread * rng.normal()), last) for _ in range(seeds)]

    return per_seed(ours), per_seed(theirs), (worse**2 - 1) / 3.25


@pytest.mark.parametrize(
    ("phi", "frames", "seeds", "spread"),
    [pytest.param(0.0, 200, 1, 0.0, marks=pytest.mark.slow), (0.8, 200, 1, 0.0), (0.5, 200, 3, 0.1)],
)
def test_the_interval_covers_a_known_difference(phi: float, frames: int, seeds: int, spread: float) -> None:
    rng = np.random.default_rng(11)
    trials, covered = 200, 0
    for number in range(trials):
        ours, theirs, truth = pair(rng, phi, frames, 1.2, seeds, spread)
        found = paired_difference(ours, theirs, 1, repeats=300, seed=number)
        covered += found.low <= truth <= found.high
    # 190 of 200 are due, with a binomial standard deviation of 3; blocks of few autocorrelated errors cover a
    # little less (300 trials: 0.94 at phi 0 and 0.8, 0.92 at 0.5 and 0.9).
    assert covered >= 177


def test_single_frames_in_place_of_blocks_would_not_cover_it() -> None:
    """The control of the test above: it can tell a wrong interval from a right one."""
    rng = np.random.default_rng(11)
    covered = 0
    for number in range(100):
        ours, theirs, truth = pair(rng, 0.8, 200, 1.2)
        found = paired_difference(ours, theirs, 1, repeats=300, seed=number, block_frames=1)
        covered += found.low <= truth <= found.high
    assert covered < 75


def test_a_shared_error_does_not_hide_a_difference() -> None:
    """Pairing: both err alike, and one a tenth more at every frame."""
    rng = np.random.default_rng(0)
    ours = (autoregression(rng, 0.9, 300, 1)[:, 0] * 3) ** 2
    last = np.full(300, 12.0)
    difference = paired_difference([errors(ours, last)], [errors(ours + 0.1, last)], 1)
    assert difference.value == pytest.approx(0.1 / 12)
    assert difference.excludes_zero
    assert difference.high - difference.low < 1e-6
    by_itself = skill_interval([errors(ours, last)], 1)
    assert by_itself.high - by_itself.low > 0.2
    backwards = paired_difference([errors(ours + 0.1, last)], [errors(ours, last)], 1)
    assert backwards.value == pytest.approx(-0.1 / 12)


def test_spread_is_that_of_another_implementation() -> None:
    """With many blocks the ends approach percentiles of the resampled statistic, made by the library arch."""
    rng = np.random.default_rng(1)
    ours, theirs, _ = pair(rng, 0.5, 2000, 1.2)
    found = paired_difference(ours, theirs, 1, block_frames=20, repeats=4000)
    a, b, last = ours[0].squared_error[1], theirs[0].squared_error[1], ours[0].reference_error[1]
    bootstrap = CircularBlockBootstrap(20, a, b, last, seed=2)
    low, high = bootstrap.conf_int(lambda a, b, r: (b.sum() - a.sum()) / r.sum(), reps=2000, method="percentile")
    # t / z with 99 degrees of freedom is 1.012; the ends of 2,000 resamples scatter by 3 % of the width.
    assert found.high - found.low == pytest.approx(float(high[0] - low[0]), rel=0.08)
    assert found.blocks == 100


def test_spread_over_seeds_counts() -> None:
    rng = np.random.default_rng(2)
    last = np.full(400, 2.0)
    base = rng.normal(size=400) ** 2
    skills = np.array([0.9, 1.0, 1.1, 1.3])
    ours = [errors(base * one, last) for one in skills]
    flat = [errors(np.ones(400), last)]
    several, one = paired_difference(ours, flat, 1), paired_difference(ours[1:2], flat, 1)
    assert several.seeds == (4, 1)
    assert several.value == pytest.approx(0.5 - base.mean() * skills.mean() / 2)
    # The standard error of four seeds by itself, times Student's quantile, is a lower bound of the arm.
    assert several.high - several.low > one.high - one.low
    assert several.high - several.low > 2 * 1.96 * base.mean() / 2 * skills.std(ddof=1) / 2


def test_several_recordings_are_averaged_and_resampled_apart() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = [], []
    for name in "abcd":
        one, other, truth = pair(rng, 0.5, 150, 1.5)
        ours.append(replace(one[0], recording=name))
        theirs.append(replace(other[0], recording=name))
    together = paired_difference([ours], [theirs], 1)
    each = [paired_difference([a], [b], 1) for a, b in zip(ours, theirs, strict=True)]
    assert together.value == pytest.approx(np.mean([one.value for one in each]))
    assert together.high - together.low < 0.75 * np.mean([one.high - one.low for one in each])
    assert together.low < truth < together.high
    with pytest.raises(DataError, match="same recordings in the same order"):
        paired_difference([ours], [theirs[::-1]], 1)


def test_blocks_are_as_long_as_the_horizon_and_the_autocorrelation() -> None:
    rng = np.random.default_rng(4)
    white, slow = rng.normal(size=400), autoregression(rng, 0.95, 400, 1)[:, 0]
    assert block_length(white) <= 6
    assert block_length(slow) > 30
    assert 2 <= block_length(slow[:60]) <= 15
    assert block_length(np.ones(50)) == 1
    assert block_length(np.arange(3.0)) == 1
    ahead = [errors(rng.normal(size=400) ** 2, np.ones(400), horizon=30)]
    assert skill_interval(ahead, 30).block_frames >= 30


def test_the_same_seed_gives_the_same_interval() -> None:
    ours, theirs, _ = pair(np.random.default_rng(5), 0.5, 200, 1.2, 3, 0.1)
    first = paired_difference(ours, theirs, 1, seed=4)
    assert first == paired_difference(ours, theirs, 1, seed=4)
    assert first != paired_difference(ours, theirs, 1, seed=5)


def made(frames: int = 400, name: str = "made") -> Recording:
    x = autoregression(np.random.default_rng(6), 0.8, frames, 5).astype(np.float32)
    mask = np.ones(x.shape, bool)
    mask[-20:-10, 2] = False
    return Recording(name, np.where(mask, x, np.nan), tuple("abcde"), 2.0, mask=mask).split(train=0.6, validation=0.15)


def test_skill_of_the_errors_is_that_of_the_scores() -> None:
    one, config = made(), EvaluateConfig(free_run_warmup=20, free_run_runs=2, horizons=(1, 5, 10, 200))
    baseline = VarRidge.fit(one, config)
    found = prediction_errors(baseline, one, "test", config)
    scores = score(baseline, one, config)["test"]
    assert found.horizons == (1, 5, 10)
    assert found.skill(1) == pytest.approx(scores.one_step.skill_vs_persistence, abs=1e-12)
    for h in (5, 10):
        assert found.skill(h) == pytest.approx(scores.horizon_skill[h], abs=1e-12)
        assert skill_interval([found], h).value == pytest.approx(found.skill(h))
    assert found.skill(200) is None and "200" in found.reasons[200]
    assert found.entries[1].sum() == scores.one_step.scored
    in_passing = score_and_forecast(baseline, one, config).errors["test"]
    assert np.array_equal(in_passing.squared_error[5], found.squared_error[5])
    undefined = paired_difference([found], [found], 200)
    assert undefined.value is None and undefined.reason.startswith("made: the part has 100 frames")
    again = PredictionErrors.from_arrays(found.to_arrays("0."), "0.")
    assert again.horizons == found.horizons and again.reasons == found.reasons
    assert np.array_equal(again.reference_error[10], found.reference_error[10])
    with pytest.raises(DataError, match="not prediction errors"):
        PredictionErrors.from_arrays({})


def test_errors_of_different_frames_are_not_paired() -> None:
    one, config = made(), EvaluateConfig(horizons=(1, 5))
    few = EvaluateConfig(horizons=(1, 5), horizon_starts=10)
    ours, theirs = (prediction_errors(Mean.fit(one), one, "test", c) for c in (config, few))
    with pytest.raises(DataError, match="horizon 5 are of different frames"):
        paired_difference([ours], [theirs], 1)


def test_too_few_frames_give_a_value_and_say_why_there_is_no_interval() -> None:
    found = skill_interval([errors(np.ones(9), np.full(9, 2.0), horizon=5)], 5, block_frames=5)
    assert found.value == 0.5 and found.low is None and "too few" in found.reason
    with pytest.raises(ConfigError, match="repeats"):
        skill_interval([errors(np.ones(9), np.ones(9))], 1, repeats=3)
