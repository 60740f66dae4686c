"""The baseline that headlines compare with."""

from __future__ import annotations

import numpy as np

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.part_scores import BaselineScores, OneStep, PartScores
from connfit.evaluation.strongest import strongest_baseline
from connfit.recordings import Recording


def test_it_is_the_one_of_highest_skill_at_the_horizon_and_on_the_part() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((400, 3))
    for t in range(1, len(x)):
        x[t] = 0.3 * x[t - 1] + rng.normal(size=3)
    one = Recording("made", x, ("a", "b", "c"), 1.0).split(train=0.6, validation=0.15)
    config = EvaluateConfig(free_run_noise="none", horizons=(1, 5))
    metrics, _ = evaluate_all(Persistence(), None, ["persistence", "mean", "ar"], [one], config)
    scores = metrics.baselines
    skills = {name: one.part("test").one_step.skill_vs_persistence for name, one in scores.items()}
    assert skills["ar"] > skills["mean"] > skills["persistence"] == 0
    assert strongest_baseline(scores) == ("ar", skills["ar"])
    five = max((one.part("validation").horizon_skill[5], name) for name, one in scores.items())
    assert strongest_baseline(scores, "validation", 5) == five[::-1]
    assert strongest_baseline(scores, "test", 7) is None


def test_what_failed_or_has_seen_a_held_out_animal_does_not_compete() -> None:
    def scored(skill: float | None) -> BaselineScores:
        return BaselineScores(held_out=PartScores(one_step=OneStep(skill_vs_persistence=skill)))

    entries = {
        "var_ridge_own": scored(0.9),
        "lds": BaselineScores(reason="none"),
        "ar": scored(None),
        "var_ridge": scored(-0.1),
    }
    assert strongest_baseline(entries, "held_out") == ("var_ridge", -0.1)
    assert strongest_baseline({"var_ridge_own": scored(0.9)}, "held_out") is None
    assert strongest_baseline({}) is None
