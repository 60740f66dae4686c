"""Leave-one-unit-out: what is never given is never used, and the ridge beside it is scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Ridge
from small import FRAMES, UNITS, student

from connfit.config import EvaluateConfig
from connfit.evaluation import left_out_unit as module
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.left_out_ridge import OthersRidge
from connfit.evaluation.left_out_unit import left_out_scores, paired, pool_left_out, sampled_units
from connfit.models import RateModel, init_params
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording

CONFIG = EvaluateConfig(free_run_warmup=20, free_run_runs=2, horizons=(1, 2), baselines=("mean",), var_lags=(1, 2))
TEST = (160, 200)


def forecaster(*, substeps: int = 1, forcing: float = 0.0) -> ModelForecaster:
    one = student(substeps=substeps)
    if not forcing:
        return ModelForecaster(one.model, one.params, one.cohort)
    model = RateModel.from_connectome(one.connectome, one.readout, step_s=one.cohort.step_s, state_forcing=forcing)
    params = init_params(model, one.connectome, one.readout, mean_activity=one.cohort.mean_activity())
    return ModelForecaster(model, params, one.cohort)


@settings(max_examples=8, deadline=None)
@given(unit=st.integers(0, UNITS - 1), seed=st.integers(0, 99), kind=st.sampled_from(["plain", "forced", "substeps"]))
def test_values_of_the_unit_change_nothing_in_its_own_prediction(unit: int, seed: int, kind: str) -> None:
    model = forecaster(substeps=2 if kind == "substeps" else 1, forcing=0.7 if kind == "forced" else 0.0)
    one = model.cohort.recordings[0]
    values = one.values.copy()
    values[:, unit] = 5 * np.random.default_rng(seed).random(FRAMES)
    columns = np.array([unit, (unit + 1) % UNITS])
    before = model.left_out(one, columns, *TEST, warmup=20)
    after = model.left_out(replace(one, values=values), columns, *TEST, warmup=20)
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    # The control: it is given to the run of the other unit.
    assert not np.array_equal(before[:, 1], after[:, 1])


def test_a_unit_left_out_is_one_that_the_recording_lacks() -> None:
    """The same as the one-step prediction of a recording in which it was never observed."""
    model = forecaster(forcing=0.7)
    one = model.cohort.recordings[0]
    mask = one.mask.copy()
    mask[:, 3] = False
    expected = model.one_step(replace(one, mask=mask))[TEST[0] : TEST[1], 3]
    found = model.left_out(one, np.arange(UNITS), *TEST, warmup=FRAMES)
    # float32; the batch has other sizes.
    np.testing.assert_allclose(found[:, 3], expected, rtol=1e-4, atol=1e-5)


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = forecaster()
    one = model.cohort.recordings[1]
    whole = model.left_out(one, np.arange(UNITS), *TEST, warmup=10)
    monkeypatch.setattr("connfit.models.tracks.MOST_RATES", 3 * model.model.neurons)
    np.testing.assert_allclose(model.left_out(one, np.arange(UNITS), *TEST, warmup=10), whole, rtol=1e-5, atol=1e-6)


def test_a_unit_without_connections_to_the_others_is_not_predicted() -> None:
    one = student()
    read = one.readout.matrix
    neuron = int(read[[2]].indices[0])
    drive = np.asarray(one.params["drive"]).copy()
    drive[neuron] = 0
    weights = np.asarray(one.params["weights"]).copy()
    weights[np.asarray(one.connectome.posts) == neuron] = 0
    recording = one.cohort.recordings[0]
    bias = np.asarray(one.params["bias"]).copy()
    bias[neuron] = recording.part("train")[0][:, 2].mean()
    params = {**one.params, "drive": jnp.asarray(drive), "weights": jnp.asarray(weights), "bias": jnp.asarray(bias)}
    scores = left_out_scores(ModelForecaster(one.model, params, one.cohort), None, recording, CONFIG)
    # It rests at its mean, whatever the others do; in float32.
    assert scores.per_unit.model.skill[2] == pytest.approx(0.0, abs=1e-3)
    assert abs(scores.per_unit.model.skill[1]) > 1e-2


def linear(frames: int = 400, units: int = 7) -> Recording:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(units, units)) * 0.3
    a *= 0.9 / np.abs(np.linalg.eigvals(a)).max()
    x = np.zeros((frames, units))
    for t in range(1, frames):
        x[t] = a @ x[t - 1] + rng.normal(size=units)
    return Recording("made", 3 * x + 5, tuple(f"u{k}" for k in range(units)), 1.0).split(train=0.6, validation=0.2)


def test_the_ridge_is_that_of_scikit_learn() -> None:
    one = linear()
    ridge = OthersRidge.fit(one, CONFIG)
    block = one.require_parts()["test"]
    found = ridge.predict(one, block.start, block.stop)
    start, stop = one.require_parts().train
    z = one.values / one.values[start:stop].std(axis=0)
    for k in range(len(one.units)):
        rest = np.arange(len(one.units)) != k
        lagged = np.concatenate([np.roll(z[:, rest], lag, axis=0) for lag in range(1, ridge.lags + 1)], axis=1)
        rows = slice(start + ridge.lags, stop)
        fitted = Ridge(alpha=ridge.alpha).fit(lagged[rows], one.values[rows, k])
        # Both in float64.
        np.testing.assert_allclose(found[:, k], fitted.predict(lagged[block]), rtol=1e-8)


def test_the_ridge_sees_missing_values_as_missing() -> None:
    one = linear(1500)
    mask = np.random.default_rng(1).random(one.values.shape) > 0.15
    gaps = replace(one, values=np.where(mask, one.values, np.nan), mask=mask)
    block = one.require_parts()["test"]

    def r2(recording: Recording) -> float:
        predicted = OthersRidge.fit(recording, CONFIG).predict(recording, block.start, block.stop)
        values, seen = one.values[block], recording.mask[block]
        error = np.where(seen, values - predicted, 0.0)
        spread = np.where(seen, values - values.mean(axis=0), 0.0)
        return 1 - (error**2).sum() / (spread**2).sum()

    assert r2(gaps) >= 0.7 * r2(one) > 0.05
    changed = replace(gaps, values=np.where(mask, one.values, 1e6))
    assert r2(changed) == pytest.approx(r2(gaps), rel=1e-12)
    # A frame without any other unit cannot be predicted.
    mask = mask.copy()
    mask[block.start - 2 : block.start] = False
    lone = replace(one, mask=mask)
    assert np.isnan(OthersRidge.fit(lone, CONFIG).predict(lone, block.start, block.stop)[0]).all()


def test_neither_sees_the_test_frames_of_the_unit_nor_any_later_frame() -> None:
    one = linear()
    block = one.require_parts()["test"]
    ridge = OthersRidge.fit(one, CONFIG)
    values = one.values.copy()
    values[block, 4] = 0
    later = one.values.copy()
    later[block.start + 10 :] = 0
    before = ridge.predict(one, block.start, block.stop)
    changed = replace(one, values=values)
    after = OthersRidge.fit(changed, CONFIG).predict(changed, block.start, block.stop)
    np.testing.assert_array_equal(before[:, 4], after[:, 4])
    cut = replace(one, values=later)
    np.testing.assert_array_equal(ridge.predict(cut, block.start, block.stop)[:11], before[:11])


def test_metrics_compare_over_units_and_say_what_is_lacking() -> None:
    model = forecaster()
    metrics, _ = evaluate_all(model, model, None, model.cohort.recordings, CONFIG)
    found = metrics.left_out_unit
    assert found.units == found.of == 2 * UNITS
    each = [one.left_out_unit.per_unit for one in metrics.recordings.values()]
    ours, ridge = (np.concatenate([getattr(one, name).skill for one in each]) for name in ("model", "ridge"))
    assert found.model.skill.median == pytest.approx(np.median(ours))
    test = found.model_minus_ridge
    assert test.p_value == pytest.approx(stats.wilcoxon(ours, ridge).pvalue)
    assert test.better == np.sum(ours > ridge) and test.better + test.worse == 2 * UNITS
    # The untrained model is the model here.
    assert found.model_minus_untrained.outcome is None
    off = left_out_scores(model, None, model.cohort.recordings[0], EvaluateConfig(left_out_units=0))
    assert "left_out_units = 0" in off.reason
    assert "cannot be run" in left_out_scores(Persistence(), None, model.cohort.recordings[0], CONFIG).reason


def test_of_a_long_part_the_first_frames_are_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = forecaster()
    one = model.cohort.recordings[0]
    whole = left_out_scores(model, None, one, CONFIG)
    assert whole.frames is None
    monkeypatch.setattr(module, "LONGEST_RUN", 20)
    block = one.require_parts()["test"]
    assert block.stop - block.start > 20
    short = left_out_scores(model, None, one, CONFIG)
    cut = replace(one, parts=replace(one.require_parts(), test=(block.start, block.start + 20)))
    assert short.per_unit == left_out_scores(model, None, cut, CONFIG).per_unit != whole.per_unit
    assert short.frames == 20 and pool_left_out([whole, short]).frames == 20


def test_large_brains_leave_out_a_sample() -> None:
    assert len(sampled_units(90, 300, 128)) == 90
    few = sampled_units(73, 138_639, 128)
    assert len(few) == module.MIN_SAMPLE and few[0] == 0 and few[-1] == 72
    assert list(sampled_units(10, 300, 4)) == [0, 3, 6, 9]
    # Not many of the units of a dense drive of a hundred million weights.
    assert len(sampled_units(10_000, 10_000, 128)) == 128 and len(sampled_units(10_000, 10_000, 128, 10**8)) == 20


def test_the_outcome_follows_the_signs() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=40)
    assert paired(base + 0.2, base).outcome == "better"
    assert paired(base - 0.2, base).outcome == "worse"
    assert paired(base + rng.normal(size=40), base).outcome == "tie"
    assert "6 are needed" in paired(base[:5] + 1, base[:5]).reasons["p_value"]
