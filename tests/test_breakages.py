"""Faults that were once put in and that no other fast test saw: each test here fails with one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import NEURONS, student

from connfit.analysis.analyses import model_stability
from connfit.analysis.analysis_options import AnalysisOptions
from connfit.analysis.dynamics.fit_stability import examine_stability
from connfit.analysis.dynamics.simulated_activity import driven_run
from connfit.analysis.fitted_brain import FittedBrain
from connfit.analysis.recovery.recovery_metrics import activity, agreement
from connfit.config import Config, DataConfig, TrainConfig
from connfit.models.forecaster import ModelForecaster
from connfit.training.fit import train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner


def test_the_free_running_phase_begins_at_its_fraction_of_the_learning_rate() -> None:
    """The cosine of the second phase starts at `free_run_rate_fraction` times the rate of the first."""
    one = student()
    rates = {}
    for fraction in (1.0, 0.25):
        config = TrainConfig(
            epochs=1, free_run_epochs=2, learning_rate=0.01, warmup_frames=5, forced_frames=4, free_run_frames=4,
            free_run_rate_fraction=fraction, final_learning_rate_fraction=0.1, patience=None,
        )  # fmt: skip
        history = train(one.model, one.params, one.cohort, WindowedLearner(60), config).history
        rates[fraction] = [row["learning_rate"] for row in history]
    # The last window of an epoch begins half an epoch before its end: there are two.
    progress = (np.arange(2) + 0.5) / 2
    np.testing.assert_allclose(rates[0.25][1:], 0.25 * 0.01 * (0.1 + 0.45 * (1 + np.cos(np.pi * progress))))
    np.testing.assert_allclose(rates[0.25][0], rates[1.0][0])
    np.testing.assert_allclose(rates[0.25][1:], 0.25 * np.array(rates[1.0][1:]))


def test_the_driven_exponent_is_that_of_two_runs_with_the_same_noise(tmp_path: Path) -> None:
    """Both runs feed on their own read-out: were it given from outside, differences would die out faster."""
    one = student()
    forecaster = ModelForecaster(one.model, one.params, one.cohort)
    run = driven_run(forecaster, one.cohort.recordings[0], warmup=10, seed=(1,))
    found = examine_stability(
        one.model, one.params, run, one.cohort.mean_activity(), AnalysisOptions(lyapunov_steps=60, repeats=20)
    ).lyapunov_driven
    assert found is not None and found.driven == "mixed"
    plain, rng = one.plain(), np.random.default_rng(3)

    def exponent(*, given: bool) -> float:
        rates = np.asarray(run.start.rates[:, 0], np.float64)
        near = rates + 1e-7 * rng.normal(size=NEURONS) / np.sqrt(NEURONS)
        logs = []
        for noise in run.noise[:160]:
            u = plain.c @ rates + noise
            near = plain.step(near, u if given else plain.c @ near + noise)
            rates = plain.step(rates, u)
            gap = np.linalg.norm(near - rates)
            logs.append(np.log(gap / 1e-7))
            near = rates + (near - rates) * 1e-7 / gap
        return float(np.mean(logs[100:]))

    # 60 steps of two different first directions agree to a few hundredths; the closed loop differs by more.
    assert abs(exponent(given=False) - exponent(given=True)) > 0.1
    assert found.per_step == pytest.approx(exponent(given=False), abs=0.03)


def test_stability_before_is_that_of_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`stability.before` is of the parameters before training, `after` of the fitted ones."""
    one = student()
    params = {**one.params, "weights": one.params["weights"] + 0.01}
    fitted = Fit(one.model, params, one.params, one.cohort, ())

    def weights_of(_: object, params: dict, *__: object) -> float:
        return float(np.asarray(params["weights"]).sum())

    monkeypatch.setattr(model_stability, "examine_stability", weights_of)
    monkeypatch.setattr(FittedBrain, "runs", lambda *_: ())
    options = AnalysisOptions(repeats=20, lyapunov_steps=50)
    found = model_stability.examine(FittedBrain(fitted, one.connectome, Config(data=DataConfig()), options, tmp_path))
    assert found.before == pytest.approx(float(np.asarray(one.params["weights"]).sum()))
    assert found.after == pytest.approx(float(np.asarray(params["weights"]).sum()))
    assert found.before != pytest.approx(found.after, rel=1e-3)


def test_r2_counts_an_offset_and_a_scale() -> None:
    """Σ(x-x̂)² with x̂ = x + c is n c², so that R² is 1 - c²/variance; a correlation would stay at 1."""
    truth = np.random.default_rng(0).normal(2, 1.5, 200)
    for offset in (0.5, -3.0):
        found = agreement(truth, truth + offset)
        assert found.r == pytest.approx(1)
        assert found.r2 == pytest.approx(1 - offset**2 / truth.var())
    assert agreement(truth, truth.mean() + 2 * (truth - truth.mean())).r2 == pytest.approx(0)
    logs = agreement(np.exp(truth), np.exp(truth + 0.7), log=True)
    assert logs.r2 == pytest.approx(1 - 0.7**2 / truth.var())


def test_r2_of_activity_counts_an_offset() -> None:
    truth = np.random.default_rng(1).normal(1, 0.5, (300, 4))
    found = activity(truth, truth + 0.4, np.ones(4, bool))
    np.testing.assert_allclose(found.r, 1)
    expected = 1 - 0.4**2 / truth.var(axis=0)
    np.testing.assert_allclose(found.r2, np.quantile(expected, (0.25, 0.5, 0.75)))
