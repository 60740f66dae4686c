"""Ceilings: the noise that no forecast can predict, the reliability of connectivity, and what trials share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation import ceiling
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.ceiling import Ceiling, Share, recording_ceilings, shares_of
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.fc_ceiling import FcCeiling, between_animals, fc_ceiling, spearman_brown
from connfit.evaluation.metrics import fc_corr, functional_connectivity, unit_skill
from connfit.evaluation.noise_floor import MIN_CHANGES, noise_floor
from connfit.evaluation.part_scores import OneStep, PartScores
from connfit.evaluation.trials import trial_power
from connfit.evaluation.unit_scores import Estimate
from connfit.recordings import Recording
from connfit.report.sections.ceiling_section import ceiling_blocks

CONFIG = EvaluateConfig(free_run_warmup=50, free_run_runs=2, horizons=(1, 5), baselines=("persistence", "ar"))


def autoregression(rng: np.random.Generator, frames: int, units: int, phi: float) -> np.ndarray:
    """[frames, units] of variance 1."""
    return lfilter([1], [1, -phi], rng.normal(size=(frames + 300, units)), axis=0)[300:] * np.sqrt(1 - phi**2)


@pytest.mark.parametrize(("frames", "phi", "variance"), [(500, 0.9, 0.25), (500, 0.7, 0.25), (2000, 0.9, 0.25)])
def test_the_interval_holds_the_noise_of_an_autoregression(frames: int, phi: float, variance: float) -> None:
    rng = np.random.default_rng(frames)
    signal = autoregression(rng, frames, 60, phi)
    values = signal + np.sqrt(variance) * rng.normal(size=signal.shape)
    # Of a change: 2 (1 - phi) from the signal, 2 variance from the noise.
    share = variance / (variance + 1 - phi)
    found = noise_floor(values, np.ones(values.shape, bool))
    held = np.mean((found.low <= share) & (share <= found.high))
    # 95 % of 60 units, less 3 standard errors of a binomial; the grid makes intervals wider, never narrower.
    assert held >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)
    # Single units spread by up to 0.25: three standard errors of the median of 60, and the step of the grid.
    assert np.median(found.share) == pytest.approx(share, abs=0.15)
    assert np.median(found.variance[0]) == pytest.approx(variance, abs=0.15 * (variance + 1 - phi))
    if frames == 2000:
        assert np.mean(found.high - found.low) < 0.5


def test_without_noise_the_interval_reaches_zero_and_white_noise_is_all_noise() -> None:
    rng = np.random.default_rng(1)
    smooth, white = autoregression(rng, 500, 30, 0.9), rng.normal(size=(500, 30))
    seen = np.ones((500, 30), bool)
    assert np.mean(noise_floor(smooth, seen).low == 0) >= 0.9
    found = noise_floor(white, seen)
    assert np.mean(found.high == 1) >= 0.9 and np.median(found.share) > 0.85


def test_missing_values_are_missing_and_few_of_them_give_nothing() -> None:
    rng = np.random.default_rng(2)
    values = autoregression(rng, 600, 8, 0.9) + 0.5 * rng.normal(size=(600, 8))
    mask = np.repeat(rng.random((60, 8)) > 0.2, 10, axis=0)
    mask[:, 7] = False
    mask[:MIN_CHANGES, 7] = True
    hidden = np.where(mask, values, np.nan)
    found = noise_floor(hidden, mask)
    share = 0.25 / 0.35
    assert np.all((found.low[:7] <= share) & (share <= found.high[:7]))
    # 60 frames have 59 changes.
    assert np.isnan(found.share[7]) and found.changes[7] == MIN_CHANGES - 1
    other = np.where(mask, values, 1e6)
    np.testing.assert_array_equal(noise_floor(other, mask).share, found.share)


def test_no_forecast_beats_the_ceiling_and_the_best_one_has_the_share_that_theory_gives() -> None:
    """Whoever knows the signal itself is at the ceiling: MSE is the variance of the noise."""
    rng = np.random.default_rng(3)
    signal = np.cumsum(rng.normal(size=(3000, 12)), axis=0) * 0.3
    values = signal + rng.normal(size=signal.shape)
    one = Recording("made", values, tuple(f"u{k}" for k in range(12)), 1.0).split(train=0.5, validation=0.1)
    ceilings = recording_ceilings(one, CONFIG)
    true = 1 - 1 / (2 + 0.09)
    assert ceilings.one_step.low <= true <= ceilings.one_step.high
    assert ceilings.one_step.value == pytest.approx(true, abs=0.03)
    # Ahead by 5 frames persistence misses five steps of the walk and two noises. Its error rests on 128 starts
    # of 12 units: a standard error of 4 % (0.015 of the ceiling), of which 4.
    assert ceilings.horizon[5].value == pytest.approx(1 - 1 / (2 + 5 * 0.09), abs=0.06)
    values, mask = one.part("test")
    last = Persistence().one_step(one)[one.require_parts()["test"]]
    oracle = np.full(one.values.shape, np.nan)
    oracle[:] = signal
    best = unit_skill(values, signal[one.require_parts()["test"]], last, mask)
    scores = PartScores(one_step=OneStep(skill_vs_persistence=float(best.mean())))
    shares = shares_of(ceilings, scores, one, oracle)
    assert shares.one_step.value == pytest.approx(1.0, abs=0.05)
    assert shares.unit_share.median == pytest.approx(1.0, abs=0.08)
    # The interval's low end is missed by one unit in 40; twelve units hardly have more than two such.
    assert shares.below_floor <= 2
    exact = shares_of(ceilings, scores, one, one.values.astype(float))
    assert exact.below_floor == np.sum(np.array(ceilings.noise_variance.low) > 0)


def test_a_ceiling_that_does_not_hold_is_not_given() -> None:
    rng = np.random.default_rng(4)
    names = ("a", "b", "c", "d")
    one = Recording("made", rng.normal(size=(400, 4)), names, 1.0, steps=({"step": "smooth"},)).split()
    found = recording_ceilings(one, CONFIG)
    assert found.one_step.value is None and "smooth" in found.reason
    short = Recording("made", rng.normal(size=(120, 4)), names, 1.0).split()
    assert "observed changes" in recording_ceilings(short, CONFIG).reason
    shares = shares_of(found, PartScores(one_step=OneStep(skill_vs_persistence=0.3)), one, None)
    assert shares.one_step == Estimate()


@pytest.mark.parametrize("phi", [0.3, 0.8])
def test_the_ceilings_of_connectivity_bracket_what_the_true_one_reaches(phi: float) -> None:
    rng = np.random.default_rng(5)
    dealt, ordered, truth = [], [], []
    for _ in range(12):
        mix = rng.normal(size=(20, 4))
        covariance = mix @ mix.T + 2 * np.eye(20)
        values = autoregression(rng, 300, 20, phi) @ np.linalg.cholesky(covariance).T
        scale = np.sqrt(np.diag(covariance))
        found = fc_ceiling(values, np.ones(values.shape, bool))
        dealt.append(found.ceiling)
        ordered.append(found.ceiling_in_order)
        truth.append(fc_corr(covariance / scale / scale[:, None], functional_connectivity(values)).value)
    # Within the spread of single draws (0.02) over the root of 12; blocks that share an edge err upwards.
    assert np.mean(ordered) - 0.015 <= np.mean(truth) <= np.mean(dealt) + 0.005
    assert np.mean(dealt) == pytest.approx(np.mean(truth), abs=0.03)


def test_connectivity_that_cannot_be_split_says_why() -> None:
    rng = np.random.default_rng(6)
    few = fc_ceiling(rng.normal(size=(15, 6)), np.ones((15, 6), bool))
    assert few.ceiling is None and "4 are needed" in few.reasons["ceiling"]
    assert spearman_brown(0.5) == pytest.approx(2 / 3)


def test_connectivity_of_a_long_part_is_that_of_the_frames_that_run_freely(monkeypatch: pytest.MonkeyPatch) -> None:
    values = autoregression(np.random.default_rng(8), 1200, 6, 0.5)
    one = Recording("made", values, tuple("abcdef"), 1.0).split()
    monkeypatch.setattr(ceiling, "LONGEST_RUN", 200)
    start = one.require_parts().test[0]
    first, whole = (fc_ceiling(part, np.ones(part.shape, bool)) for part in (values[start:][:200], values[start:]))
    assert recording_ceilings(one, CONFIG).fc == first != whole


def test_between_animals_bounds_enclose_and_need_shared_units() -> None:
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(6, 6))

    def animal(name: str, units: range) -> Recording:
        own = mix + 0.5 * rng.normal(size=mix.shape)
        values = (rng.normal(size=(400, 6)) @ own)[:, list(units)]
        return Recording(name, values, tuple(f"u{k}" for k in units), 1.0).split()

    animals = [animal("a", range(6)), animal("b", range(6)), animal("c", range(1, 6))]
    found = between_animals(animals)
    for one in found.values():
        assert one.others < one.all <= 1
    assert found["a"].units == 6 and found["c"].units == 5
    alone = [animal("a", range(0, 3)), animal("b", range(3, 6))]
    assert between_animals(alone)["a"].others is None
    assert between_animals(animals[:1]) == {}
    fc_b = functional_connectivity(*animals[1].part("test"))
    pair = between_animals(animals[:2])
    assert pair["a"].others == pytest.approx(fc_corr(functional_connectivity(*animals[0].part("test")), fc_b).value)


def test_signal_power_is_unbiased_and_normed_correlation_of_the_signal_is_one() -> None:
    rng = np.random.default_rng(8)
    frames, trials, units = 200, 6, 300
    signal = rng.normal(size=(frames, units))
    signal *= 0.6 / signal.std(axis=0)
    values = np.concatenate([signal + rng.normal(size=signal.shape) for _ in range(trials)])
    blocks = [(k * frames, (k + 1) * frames) for k in range(trials)]
    found = trial_power(values, np.ones(values.shape, bool), blocks)
    # Standard error over 300 units.
    error = found.signal_power.std() / np.sqrt(units)
    assert found.signal_power.mean() == pytest.approx(0.36, abs=4 * error)
    assert found.explainable.mean() == pytest.approx(0.36 / 1.36, abs=0.01)
    assert found.cc_max.mean() == pytest.approx(np.sqrt(0.36 / (0.36 + 1 / trials)), abs=0.01)
    assert np.median(found.cc_norm(signal)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("trials", "word"),
    [
        ([(0, 10)], "2 or more"),
        ([(0, 10), (10, 21)], "one length"),
        ([(0, 10), (5, 15)], "overlap"),
        ([(0, 2), (2, 4)], "too short"),
        ([(90, 100), (100, 110)], "has 100"),
    ],
)
def test_wrong_trials_are_named(trials: list[tuple[int, int]], word: str) -> None:
    with pytest.raises(DataError, match=word):
        trial_power(np.zeros((100, 2)), np.ones((100, 2), bool), trials)


def test_metrics_have_ceilings_and_shares_of_everybody() -> None:
    rng = np.random.default_rng(9)

    def made(name: str) -> Recording:
        values = autoregression(rng, 500, 5, 0.9) @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
        notes = {"trials": [(0, 50), (50, 100), (100, 150)]}
        values = values + 0.4 * rng.normal(size=values.shape)
        return Recording(name, values, tuple("abcde"), 1.0, notes=notes).split()

    animals = [made("x"), made("y")]
    metrics, _ = evaluate_all(Persistence(), None, None, animals, CONFIG)
    ceiling = metrics.ceiling
    assert set(ceiling.shares) == {"model", "persistence", "ar"}
    ar, limit = metrics.recordings["x"].baselines["ar"].part("test"), metrics.recordings["x"].ceiling
    assert limit.shares["ar"].one_step.value == pytest.approx(ar.one_step.skill_vs_persistence / limit.one_step.value)
    assert limit.shares["ar"].fc.value == pytest.approx(ar.free_run.fc_corr / limit.fc.ceiling)
    assert limit.per_unit.units == tuple("abcde") and len(limit.per_unit.value) == 5
    assert limit.trials.trials == 3 and ceiling.fc_between_animals.others is not None
    assert 0.5 <= ceiling.one_step.low <= ceiling.one_step.value <= ceiling.one_step.high <= 1


def test_a_short_recording_of_several_is_named_and_no_horizon() -> None:
    """Of a cohort with one member too short for a ceiling the table has the other's, and says whose it lacks."""
    rng = np.random.default_rng(10)

    def made(name: str, frames: int) -> Recording:
        values = autoregression(rng, frames, 5, 0.9) @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
        return Recording(name, values + 0.4 * rng.normal(size=values.shape), tuple("abcde"), 1.0).split()

    metrics, _ = evaluate_all(Persistence(), None, ["mean", "ar"], [made("long", 500), made("short", 120)], CONFIG)
    ceiling = metrics.ceiling
    assert ceiling.reason is None and list(ceiling.lacking) == ["short"]
    horizons = metrics.recordings["long"].ceiling.horizon
    assert ceiling.horizon == horizons
    for share in ceiling.shares.values():
        assert set(share.horizon) == set(horizons)
    text = "".join(ceiling_blocks(metrics))
    assert "reasons frames" not in text and "There is no ceiling" not in text
    assert "short: no unit has 60 observed changes" in text
    none, _ = evaluate_all(Persistence(), None, ["mean"], [made("one", 120), made("two", 120)], CONFIG)
    assert "observed changes" in none.ceiling.reason and not none.ceiling.lacking


def test_the_lower_end_of_the_ceiling_of_connectivity_is_never_above_it() -> None:
    fc, shares = FcCeiling(ceiling=0.8, ceiling_in_order=0.9), {"mean": Share(fc=Estimate(-30.0))}
    text = "".join(ceiling_blocks(Evaluation(ceiling=Ceiling(fc=fc, shares=shares))))
    assert "0.80 (0.80 to 0.80)" in text and "below −1000 %" in text
