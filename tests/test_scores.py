"""Scores of whole recordings against what theory says."""

from __future__ import annotations

import numpy as np
import pytest
from known_forecasters import CONFIG, Oracle, TrueAutoregression, recording

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.predictions import MIN_STARTS, horizon_starts
from connfit.evaluation.scores import score


def test_a_perfect_forecaster_scores_one_everywhere() -> None:
    scores = score(Oracle(), recording(), CONFIG)
    for part in ("train", "validation", "test"):
        one_step, free_run = scores[part].one_step, scores[part].free_run
        assert one_step.mse == 0
        assert one_step.skill_vs_persistence == 1
        assert one_step.fc_corr == pytest.approx(1)
        assert one_step.per_unit_skill.above_persistence == 6
        assert all(value == 1 for value in scores[part].horizon_skill.values())
        assert list(scores[part].horizon_skill) == [1, 2, 5, 10, 30]
        assert (free_run.fc_corr, free_run.median_unit_r, free_run.std_ratio) == pytest.approx((1, 1, 1))


def test_the_true_process_has_its_analytic_horizon_skill() -> None:
    phi = 0.8
    one = recording(frames=6000, phi=phi)
    scores = score(TrueAutoregression(phi * np.eye(6)), one, EvaluateConfig(horizon_starts=1500))["test"]
    for h in (1, 2, 5, 10, 30):
        # Error of the truth: var (1 - phi^2h); of persistence: 2 var (1 - phi^h).
        expected = 1 - (1 - phi ** (2 * h)) / (2 * (1 - phi**h))
        assert scores.horizon_skill[h] == pytest.approx(expected, abs=0.06)
    assert scores.one_step.skill_vs_persistence == pytest.approx((1 - phi) / 2, abs=0.03)


def test_scores_do_not_depend_on_the_order_of_units() -> None:
    one = recording()
    order = [5, 2, 0, 1, 4, 3]
    moved = one.select_units([one.units[k] for k in order])
    first, second = score(VarRidge.fit(one), one, CONFIG), score(VarRidge.fit(moved), moved, CONFIG)
    assert first["test"].one_step.mse == pytest.approx(second["test"].one_step.mse)
    assert first["test"].free_run.fc_corr == pytest.approx(second["test"].free_run.fc_corr, abs=1e-6)


def test_horizon_starts_leave_room_and_are_spread() -> None:
    one = recording(frames=800)
    starts, too_long = horizon_starts(one, "test", CONFIG)
    assert not too_long
    assert len(starts) == 40
    assert starts[0] == 600
    assert starts[-1] == 800 - 1 - 30
    assert np.diff(starts).min() >= 4


def test_a_part_too_short_for_a_horizon_gives_null_and_why() -> None:
    scores = score(Persistence(), recording(frames=120), CONFIG)["validation"]
    assert scores.frames == 18
    assert scores.horizon_skill == {1: 0.0, 2: 0.0, 5: 0.0, 10: 0.0, 30: None}
    assert scores.horizon.reasons["30"] == f"the part has 18 frames, horizon 30 needs {30 + MIN_STARTS}"


@pytest.mark.parametrize("fault", ["one_step", "free_run", "horizon"])
def test_a_diverged_prediction_is_never_scored_on_what_is_left_of_it(fault: str) -> None:
    scores = score(Oracle(fault=fault), recording(), CONFIG)["test"]
    value, reasons, key = {
        "one_step": (scores.one_step.mse, scores.one_step.reasons, "mse"),
        "free_run": (scores.free_run.fc_corr, scores.free_run.reasons, "fc_corr"),
        "horizon": (scores.horizon_skill[30], scores.horizon.reasons, "30"),
    }[fault]
    assert value is None and "stops being finite" in reasons[key]
    if fault == "horizon":
        assert scores.horizon_skill[2] == 1


def test_a_forecaster_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(DataError, match=r"'oracle': horizon returned shape"):
        score(Oracle(fault="shape"), recording(), CONFIG)
