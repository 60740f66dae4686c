"""The median unit and the test over units: known differences, another implementation, and who carries a lead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_intervals import autoregression, errors, made

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation import squared_errors as errors_module
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.metrics import quartiles
from connfit.evaluation.scores import score
from connfit.evaluation.squared_errors import PredictionErrors, bin_edges, prediction_errors
from connfit.evaluation.unit_intervals import median_unit_interval, paired_units


def of_units(squared: np.ndarray, reference: np.ndarray, name: str = "made") -> PredictionErrors:
    """Errors [S, P] of units as those of a forecaster one frame ahead."""
    whole = errors(squared.sum(axis=1), reference.sum(axis=1), name=name)
    return replace(whole, unit_squared_error={1: squared}, unit_reference_error={1: reference})


def drawn(rng: np.random.Generator, frames: int, units: int, effects: np.ndarray, phi: float = 0.5) -> tuple:
    """Two forecasters whose skills differ by `effects` [P] in expectation; frames share a fluctuation."""
    shared = np.exp(0.5 * autoregression(rng, phi, frames, 1))
    reference = shared * np.exp(0.3 * autoregression(rng, phi, frames, units))
    noise = np.exp(0.3 * autoregression(rng, phi, frames, units) - 0.045)
    size = np.exp(rng.normal(size=units))
    return of_units(0.8 * noise * reference * size, reference * size), of_units(
        (0.8 + effects) * noise * reference * size, reference * size
    )


@pytest.mark.parametrize("spread", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
def test_the_interval_covers_a_known_difference_of_the_median_unit(spread: float) -> None:
    """Units are drawn from a population whose median difference is known, frames from a process."""
    rng, trials, truth, covered = np.random.default_rng(3), 150, 0.02, 0
    for number in range(trials):
        effects = truth + spread * rng.standard_t(3, size=40)
        ours, theirs = drawn(rng, 150, 40, effects)
        found = paired_units([ours], [theirs], 1, repeats=300, seed=number).median
        covered += found.low <= truth <= found.high
    # 142.5 of 150 are due, with a binomial standard deviation of 2.7; resampling both margins may cover more.
    assert covered >= 135


def test_units_alone_would_not_cover_it() -> None:
    """The control of the test above: without resampling units the interval is about these units only."""
    rng, covered = np.random.default_rng(3), 0
    for number in range(60):
        effects = 0.02 + 0.1 * rng.standard_t(3, size=40)
        ours, theirs = drawn(rng, 150, 40, effects)
        found = paired_difference([ours], [theirs], 1, repeats=300, seed=number)
        covered += found.low <= 0.02 <= found.high
    assert covered < 45


def test_tests_over_units_are_those_of_scipy() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = drawn(rng, 200, 30, 0.01 + 0.05 * rng.normal(size=30))
    found = paired_units([ours], [theirs], 1)
    a, b = (1 - one.unit_squared_error[1].sum(0) / one.unit_reference_error[1].sum(0) for one in (ours, theirs))
    assert found.median.value == pytest.approx(np.median(a - b))
    assert (found.units, found.ahead, found.behind) == (30, int((a > b).sum()), int((a < b).sum()))
    assert found.sign_p == pytest.approx(2 * stats.binom.cdf(min(found.ahead, found.behind), 30, 0.5))
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert found.lead == pytest.approx(paired_difference([ours], [theirs], 1).value)


def test_five_units_that_buy_a_pooled_lead_are_found() -> None:
    """As on one worm: pooled skill is ahead, the median unit behind, and five units carry more than the lead."""
    rng = np.random.default_rng(5)
    size = np.ones(40)
    size[:5] = 100.0
    better = np.where(np.arange(40) < 5, 0.7, 1.05)
    reference = rng.gamma(4, size=(200, 40)) * size
    ours, theirs = of_units(better * reference * 0.9, reference), of_units(0.9 * reference, reference)
    found = paired_units([ours], [theirs], 1)
    pooled = paired_difference([ours], [theirs], 1)
    assert pooled.excludes_zero and pooled.value > 0.2
    assert found.median.value == pytest.approx(-0.045) and found.median.excludes_zero
    assert (found.ahead, found.behind, found.lead_units) == (5, 35, 5)
    assert found.lead == pytest.approx(pooled.value)
    assert found.strongest_share == pytest.approx((0.27 * 500) / (0.27 * 500 - 0.045 * 35), rel=0.02)
    backwards = paired_units([theirs], [ours], 1)
    assert backwards.lead_units == 5 and backwards.strongest_share == pytest.approx(found.strongest_share)


def test_a_common_fluctuation_does_not_hide_a_difference() -> None:
    """Pairing: all units err alike from frame to frame, and one forecaster a little more."""
    rng = np.random.default_rng(6)
    reference = np.exp(autoregression(rng, 0.9, 300, 1)) * np.ones((300, 20))
    level = np.exp(autoregression(rng, 0.9, 300, 1))
    ours, theirs = of_units(level * reference, reference), of_units(level * reference + 0.01 * reference, reference)
    found = paired_units([ours], [theirs], 1).median
    assert found.value == pytest.approx(0.01) and found.excludes_zero
    alone = median_unit_interval([ours], 1)
    assert alone.high - alone.low > 10 * (found.high - found.low)


def test_units_that_do_not_change_have_no_vote() -> None:
    rng = np.random.default_rng(7)
    reference = rng.gamma(4, size=(100, 6))
    reference[:, 2] = 0
    squared = 0.5 * reference
    squared[:, 2] = 1.0
    found = paired_units([of_units(squared, reference)], [of_units(reference, reference)], 1)
    assert found.units == 5 and found.median.value == pytest.approx(0.5)
    none = np.zeros_like(reference)
    nothing = paired_units([of_units(squared, none)], [of_units(squared, none)], 1)
    assert nothing.median.value is None and "no unit changes" in str(nothing.median.reason)


def test_seeds_and_recordings_are_averaged() -> None:
    rng = np.random.default_rng(8)
    runs = [[drawn(rng, 120, 20, np.full(20, 0.05 * k)) for k in (1, 2)] for _ in range(3)]
    ours = [[replace(one[0], recording=str(k)) for k, one in enumerate(seed)] for seed in runs]
    theirs = [[replace(one[1], recording=str(k)) for k, one in enumerate(seed)] for seed in runs]
    found = paired_units(ours, theirs, 1)
    by_recording = [
        np.median(np.mean([a[k].unit_skill(1) - b[k].unit_skill(1) for a, b in zip(ours, theirs, strict=True)], axis=0))
        for k in (0, 1)
    ]
    assert found.median.value == pytest.approx(np.mean(by_recording)) and found.units == 40
    assert found.median.seeds == (3, 3)
    one = paired_units(ours[:1], theirs[:1], 1).median
    assert one.seeds == (1, 1) and one.low < one.value < one.high
    with pytest.raises(DataError, match="same recordings in the same order"):
        paired_units(ours, [one[::-1] for one in theirs], 1)


def test_errors_of_units_are_those_of_the_scores() -> None:
    one, config = made(), EvaluateConfig(free_run_warmup=20, free_run_runs=2, horizons=(1, 5, 200))
    baseline = VarRidge.fit(one, config)
    found = prediction_errors(baseline, one, "test", config)
    for h in (1, 5):
        np.testing.assert_allclose(found.unit_squared_error[h].sum(axis=1), found.squared_error[h])
        np.testing.assert_allclose(found.unit_reference_error[h].sum(axis=1), found.reference_error[h])
    median = score(baseline, one, config)["test"].one_step.per_unit_skill.median
    assert quartiles(found.unit_skill(1)).median == pytest.approx(median, abs=1e-12)
    assert found.unit_skill(200) is None
    again = PredictionErrors.from_arrays(found.to_arrays())
    np.testing.assert_array_equal(again.unit_squared_error[5], found.unit_squared_error[5])
    few = replace(found, unit_squared_error={}, unit_reference_error={})
    assert "were not kept" in str(paired_units([few], [few], 1).median.reason)


def test_errors_of_many_units_are_added_up_over_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    one, config = made(), EvaluateConfig(free_run_warmup=20, free_run_runs=2, horizons=(1, 5))
    whole, other = (prediction_errors(kind.fit(one, config), one, "test", config) for kind in (VarRidge, Mean))
    monkeypatch.setattr(errors_module, "MOST_UNIT_ERRORS", 200)
    few, few_other = (prediction_errors(kind.fit(one, config), one, "test", config) for kind in (VarRidge, Mean))
    assert few.unit_squared_error[1].shape == (40, 5) and whole.unit_squared_error[1].shape == (100, 5)
    edges = bin_edges(100, 40)
    np.testing.assert_allclose(
        few.unit_squared_error[1][3], whole.unit_squared_error[1][edges[3] : edges[4]].sum(axis=0)
    )
    first, second = paired_units([few], [few_other], 1), paired_units([whole], [other], 1)
    assert first.median.value == pytest.approx(second.median.value) and first.sign_p == second.sign_p
    # Blocks are cut at the edges of stretches: the same interval up to that.
    wide = second.median.high - second.median.low
    assert first.median.high - first.median.low == pytest.approx(wide, rel=0.5)
