"""Skill unit by unit: intervals that hold, few units that cannot buy a lead, and units that nothing can predict."""

from __future__ import annotations

import numpy as np
import pytest

from connfit._io import as_result
from connfit.config import EvaluateConfig
from connfit.evaluation.against_strongest import PartErrors, against_strongest
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.metrics import unit_skill
from connfit.evaluation.part_scores import BaselineScores
from connfit.evaluation.pooling import pool, pool_each
from connfit.evaluation.scores import score_and_forecast
from connfit.evaluation.squared_errors import PredictionErrors, UnitErrors
from connfit.evaluation.strongest import strongest_baseline
from connfit.evaluation.unit_intervals import median_unit_interval
from connfit.evaluation.unit_scores import Estimate, compare_units, median_unit, skill_over_simple
from connfit.recordings import Recording

CONFIG = EvaluateConfig(horizons=(1, 2, 5), free_run_warmup=20, free_run_runs=2, horizon_starts=64)


def autoregressions(rng: np.random.Generator, frames: int, phi: np.ndarray) -> np.ndarray:
    """[frames, unit] stationary autoregressions of order 1 with unit noise."""
    x = np.zeros((frames, len(phi)))
    x[0] = rng.normal(size=len(phi)) / np.sqrt(1 - phi**2)
    for t in range(1, frames):
        x[t] = phi * x[t - 1] + rng.normal(size=len(phi))
    return x


def recording(values: np.ndarray, name: str = "made") -> Recording:
    units = tuple(f"u{k}" for k in range(values.shape[1]))
    return Recording(name, values, units, 2.0).split(train=0.6, validation=0.15)


def errors(ours: np.ndarray, theirs: np.ndarray, horizon: int = 1) -> UnitErrors:
    frames, units = ours.shape
    return UnitErrors(ours**2, theirs**2, np.arange(frames), np.full(frames, units), horizon)


def test_the_interval_holds_the_true_median() -> None:
    """The optimal predictor of an AR(1) has skill 1 - (1 + φ) / 2 over persistence: errors σ² and 2σ² / (1 + φ)."""
    phi = np.linspace(0.3, 0.9, 21)
    truth = (1 - np.median(phi)) / 2
    held, draws = 0, 60
    for seed in range(draws):
        x = autoregressions(np.random.default_rng(seed), 300, phi)
        found = median_unit([errors(x[1:] - phi * x[:-1], x[1:] - x[:-1])], repeats=200)
        held += found.low <= truth <= found.high
    # 95 % of 60 is 57; fewer than 52 has a chance of 3 in 1,000 if they are 95 % intervals.
    assert held >= 52


def test_the_interval_knows_that_neighbouring_frames_are_alike() -> None:
    """Errors whose size drifts slowly: an interval over single frames would be far too narrow."""
    rng = np.random.default_rng(0)
    slow = np.exp(autoregressions(rng, 600, np.full(1, 0.98)) / 5)
    ours, theirs = slow * rng.normal(size=(600, 9)), rng.normal(size=(600, 9))
    wide, narrow = (median_unit([errors(a, b)]) for a, b in ((ours, theirs), (rng.permutation(ours), theirs)))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_scores_have_the_median_unit_at_every_horizon() -> None:
    phi = np.linspace(0.3, 0.9, 7)
    one = recording(autoregressions(np.random.default_rng(1), 500, phi))
    scored = score_and_forecast(Ar.fit(one, CONFIG), one, CONFIG)
    for part in ("train", "validation", "test"):
        found = scored.scores[part].horizon_median_unit
        assert list(found) == [1, 2, 5]
        assert found[1].value == pytest.approx(scored.scores[part].one_step.per_unit_skill.median)
        assert all(found[h].low <= found[h].value <= found[h].high for h in found)
    short = recording(autoregressions(np.random.default_rng(1), 40, phi))
    found = score_and_forecast(Persistence(), short, CONFIG, ahead_of=("test",)).scores
    assert found["train"].horizon_median_unit[1].value == 0
    assert found["train"].horizon_median_unit[2].value is None
    assert "is run ahead" in found["train"].horizon_median_unit[2].reasons["value"]
    assert "needs 13" in found["test"].horizon_median_unit[5].reasons["value"]


def few_units_carry() -> tuple[list[UnitErrors], list[UnitErrors]]:
    """Two units of ten times the size that one forecaster predicts well, twenty others that it predicts worse."""
    rng = np.random.default_rng(2)
    last = rng.normal(size=(400, 22))
    last[:, :2] *= 10
    gain = np.r_[np.full(2, 0.5), np.full(20, 0.95)]
    return [errors(gain * last, last)], [errors(0.9 * last, last)]


def test_a_pooled_lead_of_few_units_is_no_lead_of_the_median_unit() -> None:
    ours, theirs = few_units_carry()
    pooled = [1 - side[0].squared.sum() / side[0].reference.sum() for side in (ours, theirs)]
    assert pooled[0] > pooled[1] + 0.3
    found = compare_units(ours, theirs)
    assert found.high < 0 and (found.better, found.units) == (2, 22)
    assert found.difference == pytest.approx(0.9**2 - 0.95**2)


def test_the_test_over_units_is_exact_where_all_agree() -> None:
    """All of 10 differences of one sign: two of 2^10 equally likely sign patterns are as extreme."""
    last = np.random.default_rng(3).normal(size=(200, 10))
    shrink = np.linspace(0.5, 0.9, 10)
    found = compare_units([errors(shrink * last, last)], [errors(last, last)])
    assert found.p == pytest.approx(2 / 2**10) and found.better == 10
    same = compare_units([errors(last, last)], [errors(last, last)])
    assert same.p is None and "no unit is predicted better" in same.reasons["p"] and same.better == 0


def test_too_few_frames_have_a_median_and_no_interval() -> None:
    last = np.random.default_rng(3).normal(size=(3, 4))
    found = median_unit([errors(0.5 * last[:1], last[:1])])
    assert found.value == pytest.approx(0.75) and found.low is None
    assert "too few for two blocks" in found.reasons["low"]
    still = median_unit([errors(last, 0 * last)])
    assert still.value is None and "do not change" in still.reasons["value"]


def test_no_interval_of_a_skill_ends_above_1() -> None:
    """Few blocks stretch an interval; no skill is above 1, a difference between two may be."""
    rng = np.random.default_rng(0)
    squared = rng.uniform(0, 0.2, (30, 5))
    squared[:6] = 2.0
    one = UnitErrors(squared, np.ones((30, 5)), np.arange(30), np.full(30, 5), 1)
    assert median_unit([one]).high == 1.0
    ones = np.ones((30, 5))
    whole = PredictionErrors(
        "made", "test", {1: np.arange(30)}, {1: squared.sum(axis=1)}, {1: ones.sum(axis=1)}, {1: np.full(30, 5)},
        unit_squared_error={1: squared}, unit_reference_error={1: ones},
    )  # fmt: skip
    assert median_unit_interval([whole], 1).high == 1.0


def test_intervals_of_recordings_add_as_independent_ones() -> None:
    one, other = Estimate(0.2, 0.1, 0.3), Estimate(0.4, 0.3, 0.6)
    found = pool_each([{1: one}, {1: other}])[1]
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - np.sqrt(0.02) / 2)
    assert found.high == pytest.approx(0.3 + np.sqrt(0.05) / 2)
    lacking = pool([one, Estimate(0.4, reasons={"low": "short"})])
    assert lacking.value == pytest.approx(0.3) and lacking.low is None and "low" in lacking.reasons


def test_nothing_beats_the_mean_of_white_noise() -> None:
    """Persistence doubles the error of noise, so that its mean has skill 0.5; it says nothing for that."""
    rng = np.random.default_rng(4)
    noise, memory = rng.normal(size=(500, 1)), autoregressions(rng, 500, np.full(1, 0.9))
    values = np.concatenate([noise, memory], axis=1)
    prediction = np.concatenate([np.zeros((500, 1)), np.r_[np.zeros((1, 1)), 0.9 * memory[:-1]]], axis=1)
    last = np.r_[np.full((1, 2), np.nan), values[:-1]]
    mask = np.ones(values.shape, bool)
    over_persistence = unit_skill(values, prediction, last, mask)
    assert over_persistence[0] == pytest.approx(0.5, abs=0.05) and over_persistence[1] < 0.1
    found = skill_over_simple(values, prediction, last, mask)
    assert found[0] <= 0 < found[1]


def test_metrics_compare_the_model_with_the_strongest_baselines() -> None:
    phi = np.linspace(0.3, 0.9, 9)
    rng = np.random.default_rng(5)
    several = [recording(autoregressions(rng, frames, phi), name) for name, frames in (("a", 400), ("b", 300))]
    metrics, _ = evaluate_all(Persistence(), None, ["mean", "persistence", "ar"], several, CONFIG)
    found = metrics.against_strongest["test"]
    assert list(found) == [1, 2, 5]
    name, skill = strongest_baseline(metrics.baselines) or ("", 0.0)
    assert (name, found[1].pooled.baseline) == ("ar", "ar")
    # Persistence plays the model: its skill is 0.
    assert found[1].pooled.difference == pytest.approx(-skill)
    assert found[1].median_unit.difference == pytest.approx(
        -metrics.baselines["ar"].part("test").horizon_median_unit[1].value
    )
    assert found[1].pooled.units == 18 and found[1].pooled.high < 0
    each = [one.against_strongest["test"][1].pooled for one in metrics.recordings.values()]
    assert [one.units for one in each] == [9, 9] and each[0].better + each[1].better == found[1].pooled.better


def test_each_measure_has_a_strongest_baseline_of_its_own() -> None:
    """One large unit is persistent, eight small ones are noise: who predicts the mean wins the median unit alone."""
    rng = np.random.default_rng(11)
    values = autoregressions(rng, 400, np.array([0.95, *np.zeros(8)])) * np.array([100.0, *np.ones(8)])

    class Shrunk(Persistence):
        """Nearly the mean: all that can be said of noise, and far off for the large unit."""

        name = "shrunk"

        def one_step_and_horizon(
            self, recording: Recording, starts: np.ndarray, steps: int, out: object = None
        ) -> tuple[np.ndarray, np.ndarray]:
            one_step, ahead = super().one_step_and_horizon(recording, starts, steps)
            return 0.05 * np.asarray(one_step), 0.05 * ahead

    forecasters = {"shrunk": Shrunk(), "persistence": Persistence()}
    scored = {name: score_and_forecast(one, recording(values), CONFIG) for name, one in forecasters.items()}
    found = against_strongest(
        {name: BaselineScores(**one.scores) for name, one in scored.items()},
        {"made": PartErrors.of(scored["persistence"])},
        {name: {"made": PartErrors.of(one)} for name, one in scored.items()},
    )[1]
    assert found.pooled.baseline == "persistence" and found.median_unit.baseline == "shrunk"
    median = scored["shrunk"].scores["test"].horizon_median_unit[1].value
    assert median > 0.3 and found.median_unit.difference == pytest.approx(-median)


def test_the_strongest_baseline_is_one_that_was_scored() -> None:
    scores = {
        "mean": {"test": {"one_step": {"skill_vs_persistence": -3.0}, "horizon_skill": {"10": 0.4}}},
        "ar": {"test": {"one_step": {"skill_vs_persistence": 0.2}, "horizon_skill": {"10": 0.3}}},
        "var_ridge": {"reason": "too few frames"},
        "lds": {"test": {"one_step": {"skill_vs_persistence": None}, "horizon_skill": {"10": None}}},
    }
    baselines = as_result(scores, dict[str, BaselineScores])
    assert strongest_baseline(baselines) == ("ar", 0.2)
    assert strongest_baseline(baselines, "test", 10) == ("mean", 0.4)
    assert strongest_baseline(baselines, "validation") is None
