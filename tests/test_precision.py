"""Fits in double precision and under JAX's strict promotion of types, and the device that was asked for."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from small import raw_movies, regional_connectome, student

import connfit as cf
from connfit._system import devices
from connfit.config import TrainConfig
from connfit.errors import NotAvailableError
from connfit.evaluation.baselines import recurrent_training
from connfit.training.fit import train
from connfit.training.learners import RULES

CONFIG = TrainConfig(epochs=1, learning_rate=0.01, warmup_frames=5, patience=None)


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_trains_under_strict_promotion(rule: str) -> None:
    one = student()
    steps = one.cohort.recordings[0].frames
    learner = RULES[rule].learner(8, steps)
    loose = train(one.model, one.params, one.cohort, learner, CONFIG)
    with jax.numpy_dtype_promotion("strict"):
        strict = train(one.model, one.params, one.cohort, learner, CONFIG)
    for group, values in loose.params.items():
        np.testing.assert_array_equal(np.asarray(strict.params[group]), np.asarray(values))


@pytest.mark.slow
def test_a_fit_in_double_precision_runs_end_to_end_and_stays_double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", recurrent_training.CHECK)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)
    recording = raw_movies()[0]
    with jax.enable_x64(True):
        fit = cf.fit(
            regional_connectome(), recording, drive_start="persistence", time_constant_frames=0.5, weights="counts",
            own_shrinkage=0, drive_ridge=0, state_forcing=0, window=8, epochs=1, learning_rate=0.01, warmup_frames=5,
            train=0.6, validation=0.2, seed=3, free_run_warmup=10, free_run_runs=2, horizon_starts=16, horizons=[1, 2],
            var_lags=[1], left_out_units=0, baselines=["persistence", "ar", "gru"],
        )  # fmt: skip
        evaluation = cf.evaluate(fit)
        kinds = {group: values.dtype for group, values in fit.params.items()}
    assert set(kinds.values()) == {np.dtype(np.float64)}, kinds
    assert 1 in evaluation.skills()["gru"] and 1 in evaluation.skills()["model"]


def test_a_device_that_is_not_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> list[jax.Device]:
        raise AssertionError

    monkeypatch.setattr(jax, "devices", none)
    with pytest.raises(NotAvailableError, match="JAX finds no device of JAX_PLATFORMS"):
        devices.check_device()
