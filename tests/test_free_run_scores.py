"""Free runs, the noise that drives them, and their scores."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from known_forecasters import CONFIG, TrueAutoregression, recording
from networks import dense_matrices, random_problem
from small import first_fast

from connfit.config import EvaluateConfig
from connfit.config import from_dict as config_from_dict
from connfit.errors import ConfigError
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.free_run import fc_corr_error, free_run_block
from connfit.evaluation.metrics import functional_connectivity
from connfit.evaluation.residual_noise import MIN_RESIDUALS, draw_noise, training_residuals
from connfit.evaluation.scores import score_and_forecast
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.cohort import Cohort


def test_a_run_with_residuals_has_the_analytic_connectivity_and_one_without_decays() -> None:
    rng = np.random.default_rng(3)
    matrix = 0.9 * np.linalg.qr(rng.normal(size=(5, 5)))[0] * rng.uniform(0.4, 1, 5)
    mix = rng.normal(size=(5, 5))
    x = np.zeros((6000, 5))
    for t in range(1, len(x)):
        x[t] = matrix @ x[t - 1] + mix @ rng.normal(size=5)
    one = Recording("made", x, tuple("abcde"), 1.0).split(train=0.6, validation=0.15)
    scored = score_and_forecast(TrueAutoregression(matrix), one, CONFIG)
    scores, forecasts = scored.scores, scored.forecast
    # Stationary covariance S = A S A' + Q; what the bootstrap draws has the sample covariance of the noise.
    covariance = scipy.linalg.solve_discrete_lyapunov(matrix, mix @ mix.T)
    size = np.sqrt(np.diag(covariance))
    simulated = forecasts.parts["test"].free_run_connectivity
    assert np.abs(simulated - covariance / np.outer(size, size)).max() < 0.05
    test = scores["test"]
    assert test.free_run.fc_corr > 0.99
    assert test.free_run.std_ratio == pytest.approx(1, abs=0.05)
    assert 0 < test.free_run.fc_corr_error < 0.01
    assert abs(test.free_run.median_unit_r) < 0.05
    assert (test.free_run.noise, test.free_run.runs, test.free_run.noise_frames) == (
        "training residuals",
        16,
        3600 - 50,
    )
    quiet = test.free_run_deterministic
    assert quiet.noise == "none"
    assert quiet.std_ratio < 0.1
    assert quiet.std_ratio_second_half < 1e-6
    again = score_and_forecast(TrueAutoregression(matrix), one, CONFIG).scores
    assert again == scores


def test_the_mean_with_residuals_copies_the_connectivity_of_the_training_part() -> None:
    one = recording(frames=3000)
    forecasts = score_and_forecast(BASELINES["mean"](one, CONFIG), one, CONFIG).forecast
    train = one.values[CONFIG.free_run_warmup : one.require_parts().train[1]]
    copied = functional_connectivity(train)
    assert np.abs(forecasts.parts["test"].free_run_connectivity - copied).max() < 0.05


def test_noise_comes_from_the_training_part_alone() -> None:
    one = recording()
    changed = one.values.copy()
    changed[480:] = 1e3 * np.random.default_rng(1).normal(size=changed[480:].shape)
    other = Recording(one.name, changed, one.units, 1.5, parts=one.parts)
    truth = TrueAutoregression(0.5 * np.eye(6))
    first, second = (training_residuals(truth.one_step(each), each, 50) for each in (one, other))
    assert np.array_equal(first, second)
    assert first.shape == (480 - 48, 6)
    assert np.allclose(first.mean(axis=0), 0)
    noise = draw_noise(first, 3, 200, "test")
    assert noise.shape == (3, 200, 6)
    assert {tuple(row) for row in noise.reshape(-1, 6)} <= {tuple(row) for row in first}
    assert np.array_equal(noise, draw_noise(first, 3, 200, "test"))
    assert np.array_equal(noise[0], draw_noise(first, 1, 200, "test")[0])
    assert not np.array_equal(noise, draw_noise(first, 3, 200, "validation"))
    assert not np.array_equal(noise[0], noise[1])


def test_too_few_frames_with_residuals_give_null_and_why() -> None:
    one = recording()
    mask = np.ones(one.values.shape, bool)
    mask[:480] = False
    mask[100 : 100 + MIN_RESIDUALS] = True
    holey = Recording("holey", np.where(mask, one.values, np.nan), one.units, 1.5, mask=mask, parts=one.parts)
    assert len(training_residuals(Persistence().one_step(holey), holey, 50)) == MIN_RESIDUALS - 1
    scored = score_and_forecast(Persistence(), holey, CONFIG)
    scores, forecasts = scored.scores, scored.forecast
    free_run = scores["test"].free_run
    assert free_run.fc_corr is free_run.median_unit_r is free_run.std_ratio is None
    assert free_run.reasons["fc_corr"].startswith("29 of 480 training frames have a unit that is observed")
    assert np.isnan(forecasts.parts["test"].free_run).all()
    assert scores["test"].free_run_deterministic.std_ratio == 0


def test_without_noise_there_is_one_free_run() -> None:
    with_noise = score_and_forecast(Persistence(), recording(), CONFIG).scores
    scored = score_and_forecast(Persistence(), recording(), EvaluateConfig(free_run_noise="none"))
    scores, forecasts = scored.scores, scored.forecast
    assert scores["test"].free_run.noise == "none"
    assert scores["test"].free_run.std_ratio == with_noise["test"].free_run_deterministic.std_ratio
    assert all(scores[part].free_run_deterministic is None for part in PART_NAMES)
    assert forecasts.parts["test"].free_run_deterministic is None


def test_options_of_the_noise_are_checked() -> None:
    for section in ({"free_run_runs": 0}, {"free_run_noise": "gaussian"}):
        with pytest.raises(ConfigError, match="free_run"):
            config_from_dict({"data": {"dataset": "demo"}, "evaluate": section})


@pytest.mark.parametrize("name", ["mean", "persistence", "var_ridge", "truth"])
def test_noise_enters_where_it_should(name: str) -> None:
    """No noise is the deterministic run; z(t) is the one-step prediction from the z before it, plus the noise."""
    one = recording()
    forecaster = TrueAutoregression(0.8 * np.eye(6)) if name == "truth" else BASELINES[name](one, CONFIG)
    start, frames = 600, 40
    still = forecaster.free_run(one, start, frames, 50, np.zeros((2, frames, 6)))
    assert np.allclose(still, forecaster.free_run(one, start, frames, 50))
    noise = np.random.default_rng(2).normal(size=(2, frames, 6))
    for run, disturbance in zip(forecaster.free_run(one, start, frames, 50, noise), noise, strict=True):
        values = one.values.copy()
        values[start : start + frames] = run
        made = Recording("made", values, one.units, 1.5, parts=one.parts)
        assert np.allclose(run, forecaster.one_step(made)[start : start + frames] + disturbance)


@pytest.mark.parametrize(
    ("drive", "substeps"),
    first_fast([("dense", 2), ("anatomical", 1), ("none", 1), ("dense", 1), ("anatomical", 2), ("none", 2)], 3),
)
@pytest.mark.parametrize("chosen", [(2, 0), pytest.param((0, 1, 2, 3), marks=pytest.mark.slow)])
def test_the_model_with_noise_is_its_equations(drive: str, substeps: int, chosen: tuple[int, ...]) -> None:
    """An explicit loop in double precision; the second recording lacks half of the model's units."""
    problem = random_problem(5, drive=drive)
    params = {**problem.params, "weights": 0.3 * problem.params["weights"]}
    rng = np.random.default_rng(6)
    whole = Recording("whole", rng.random((120, 4)), ("u0", "u1", "u2", "u3"), 1.5).split(train=0.5, validation=0.1)
    mask = rng.random((120, len(chosen))) < 0.8
    mask[29, 0] = False
    values = np.where(mask, rng.random(mask.shape), np.nan)
    part = Recording("part", values, tuple(f"u{k}" for k in chosen), 1.5, mask=mask, parts=whole.parts)
    forecaster = ModelForecaster(problem.model, params, Cohort.from_recordings([whole, part], substeps=substeps))
    # More frames than one chunk of model steps holds.
    start, frames, warmup, runs = 30, 80, 12, 3
    noise = 0.3 * rng.normal(size=(runs, frames, len(chosen)))
    got = forecaster.free_run(part, start, frames, warmup, noise)

    w, e, c = (np.asarray(a, float) for a in dense_matrices(problem, params))
    alpha = np.exp(-problem.model.step_s / np.exp(np.asarray(params["log_time_constants"], float)))
    bias = np.asarray(params["bias"], float)
    columns = list(chosen)
    # Inputs are inside the range that training showed; the last value's rest is added to predictions.
    shown = values[: part.require_parts().train[1]]
    low, high = np.nanmin(shown, axis=0), np.nanmax(shown, axis=0)
    held = np.array([column[:start][np.isfinite(column[:start])][-1] for column in values.T])

    def frame(r: np.ndarray, seen: np.ndarray) -> np.ndarray:
        for _ in range(substeps):
            u = c @ r
            u[columns] = np.where(np.isfinite(seen), seen, u[columns])
            r = alpha * r + (1 - alpha) * np.maximum(w @ r + bias + np.maximum(e @ u, 0), 0)
        return r

    for run, disturbance in zip(got, noise, strict=True):
        r = np.zeros(len(alpha))
        for t in range(start - warmup, start):
            r = frame(r, np.clip(values[t - 1], low, high))
        z, beyond = values[start - 1], held - np.clip(held, low, high)
        for t in range(frames):
            r = frame(r, np.clip(z, low, high))
            z = (c @ r)[columns] + beyond + disturbance[t]
            beyond = z - np.clip(z, low, high)
            np.testing.assert_allclose(run[t], z, rtol=1e-4, atol=1e-5)
    # Without noise it is the run alone, which knows no range: so training shows, before the warm-up, all that it may.
    shown = np.concatenate([np.broadcast_to([[0.0], [1e3]], (2, len(chosen))), values[2:]])
    wide = Recording("part", shown, part.units, 1.5, mask=np.isfinite(shown), parts=part.parts)
    alone = forecaster.free_run(wide, start, frames, warmup)
    silent = forecaster.free_run(wide, start, frames, warmup, np.zeros((1, frames, len(chosen))))
    if substeps == 1:
        assert alone.max() < 1e3
        np.testing.assert_allclose(silent[0], alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="noise of a free run has shape"):
        forecaster.free_run(part, start, frames, warmup, noise[:, 1:])


def test_free_run_blocks_warm_up_before_the_part() -> None:
    one = recording(frames=800)
    assert free_run_block(one, "test", 250) == (600, 200, 250)
    assert free_run_block(one, "validation", 250) == (480, 120, 250)
    assert free_run_block(one, "train", 250) == (240, 240, 240)
    assert free_run_block(one, "train", 100) == (100, 380, 100)


def test_free_run_never_sees_its_own_part() -> None:
    one = recording()
    changed = one.values.copy()
    changed[600:] = np.random.default_rng(1).normal(size=changed[600:].shape)
    model = VarRidge.fit(one)
    other = Recording(one.name, changed, one.units, 1.5, parts=one.parts)
    start, frames, warmup = free_run_block(one, "test", 50)
    assert np.array_equal(model.free_run(one, start, frames, warmup), model.free_run(other, start, frames, warmup))


def test_the_error_over_runs_is_what_other_runs_would_have_changed() -> None:
    """Against the spread of the score over 200 sets of eight runs of a process whose connectivity is known."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    truth = np.corrcoef(mixing)
    upper = np.triu_indices(6, 1)
    errors, values = [], []
    for _ in range(200):
        runs = np.stack([np.corrcoef((rng.normal(size=(40, 6)) @ mixing.T).T) for _ in range(8)])
        errors.append(fc_corr_error(truth, runs))
        values.append(np.corrcoef(runs.mean(axis=0)[upper], truth[upper])[0, 1])
    # The jackknife is slightly too large on average, and 200 sets give the spread itself to 5 %.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)
    assert fc_corr_error(truth, truth[None]) is None
    assert fc_corr_error(truth, np.full((3, 6, 6), np.nan)) is None
