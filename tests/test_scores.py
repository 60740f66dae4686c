"""Scores of whole recordings, the pooled metrics and what is written to disk."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg
from networks import dense_matrices, random_problem

from connfit.config import EvaluateConfig
from connfit.config import from_dict as config_from_dict
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.evaluate import evaluate_all
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.free_run import MIN_RESIDUALS, draw_noise, fc_corr_error, free_run_block, training_residuals
from connfit.evaluation.metrics import functional_connectivity
from connfit.evaluation.metrics_file import read_metrics, write_metrics
from connfit.evaluation.predictions import MIN_STARTS, horizon_starts
from connfit.evaluation.scores import score, score_and_forecast
from connfit.models.forecaster import ModelForecaster
from connfit.recordings import PART_NAMES, Parts, Recording
from connfit.recordings.cohort import Cohort

CONFIG = EvaluateConfig(free_run_warmup=50, horizon_starts=40)


@dataclass
class TrueAutoregression:
    """The process itself, x(t) = A x(t-1) + noise, as a forecaster: its skill is known."""

    matrix: np.ndarray
    name: str = "truth"

    def one_step(self, recording: Recording) -> np.ndarray:
        before = recording.values[:-1] @ self.matrix.T
        return np.concatenate([np.full((1, before.shape[1]), np.nan), before])

    def horizon(self, recording: Recording, starts: np.ndarray, steps: int) -> np.ndarray:
        now, out = recording.values[starts], []
        for _ in range(steps):
            now = now @ self.matrix.T
            out.append(now)
        return np.stack(out, axis=1)

    def free_run(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: np.ndarray | None = None
    ) -> np.ndarray:
        if noise is None:
            return self.horizon(recording, np.array([start - 1]), frames)[0]
        now, out = np.tile(recording.values[start - 1], (len(noise), 1)), []
        for t in range(frames):
            now = now @ self.matrix.T + noise[:, t]
            out.append(now)
        return np.stack(out, axis=1)


@dataclass
class Oracle:
    """Knows the data: every score must be perfect. `fault` breaks one of its predictions."""

    fault: str = ""
    name: str = "oracle"

    def one_step(self, recording: Recording) -> np.ndarray:
        out = recording.values.astype(float)
        out[0] = np.nan
        if self.fault == "one_step":
            out[-1] = np.inf
        return out

    def horizon(self, recording: Recording, starts: np.ndarray, steps: int) -> np.ndarray:
        out = recording.values[starts[:, None] + 1 + np.arange(steps)].astype(float)
        if self.fault == "horizon":
            out[-1, 3:] = np.nan
        return out[:, :-1] if self.fault == "shape" else out

    def free_run(
        self, recording: Recording, start: int, frames: int, warmup: int, noise: np.ndarray | None = None
    ) -> np.ndarray:
        out = recording.values[start : start + frames].astype(float)
        if noise is not None:
            assert np.all(noise == 0), "who knows the data leaves no residuals"
            out = np.tile(out, (len(noise), 1, 1))
        if self.fault == "free_run":
            (out if noise is None else out[-1])[5:, 1] = np.nan
        return out


def recording(frames: int = 800, units: int = 6, phi: float = 0.8, seed: int = 0, name: str = "made") -> Recording:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(units, units))
    x = np.zeros((frames, units))
    for t in range(1, frames):
        x[t] = phi * x[t - 1] + mix @ rng.normal(size=units)
    return Recording(name, x, tuple(f"u{k}" for k in range(units)), 1.5).split(train=0.6, validation=0.15)


def test_a_perfect_forecaster_scores_one_everywhere() -> None:
    scores = score(Oracle(), recording(), CONFIG)
    for part in ("train", "validation", "test"):
        one_step, free_run = scores[part]["one_step"], scores[part]["free_run"]
        assert one_step["mse"] == 0
        assert one_step["skill_vs_persistence"] == 1
        assert one_step["fc_corr"] == pytest.approx(1)
        assert one_step["per_unit_skill"]["above_persistence"] == 6
        assert all(value == 1 for value in scores[part]["horizon_skill"].values())
        assert list(scores[part]["horizon_skill"]) == ["1", "2", "5", "10", "30"]
        assert (free_run["fc_corr"], free_run["median_unit_r"], free_run["std_ratio"]) == pytest.approx((1, 1, 1))


def test_the_true_process_has_its_analytic_horizon_skill() -> None:
    phi = 0.8
    one = recording(frames=6000, phi=phi)
    scores = score(TrueAutoregression(phi * np.eye(6)), one, EvaluateConfig(horizon_starts=1500))["test"]
    for h in (1, 2, 5, 10, 30):
        # Error of the truth: var (1 - phi^2h); of persistence: 2 var (1 - phi^h).
        expected = 1 - (1 - phi ** (2 * h)) / (2 * (1 - phi**h))
        assert scores["horizon_skill"][str(h)] == pytest.approx(expected, abs=0.06)
    assert scores["one_step"]["skill_vs_persistence"] == pytest.approx((1 - phi) / 2, abs=0.03)


def test_scores_do_not_depend_on_the_order_of_units() -> None:
    one = recording()
    order = [5, 2, 0, 1, 4, 3]
    moved = one.select_units([one.units[k] for k in order])
    first, second = score(VarRidge.fit(one), one, CONFIG), score(VarRidge.fit(moved), moved, CONFIG)
    assert first["test"]["one_step"]["mse"] == pytest.approx(second["test"]["one_step"]["mse"])
    assert first["test"]["free_run"]["fc_corr"] == pytest.approx(second["test"]["free_run"]["fc_corr"], abs=1e-6)


def pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), 1)]


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
    assert test["free_run"]["fc_corr"] > 0.99
    assert test["free_run"]["std_ratio"] == pytest.approx(1, abs=0.05)
    assert 0 < test["free_run"]["fc_corr_error"] < 0.01
    assert abs(test["free_run"]["median_unit_r"]) < 0.05
    assert (test["free_run"]["noise"], test["free_run"]["runs"], test["free_run"]["noise_frames"]) == (
        "training residuals",
        16,
        3600 - 50,
    )
    quiet = test["free_run_deterministic"]
    assert quiet["noise"] == "none"
    assert quiet["std_ratio"] < 0.1
    assert quiet["std_ratio_second_half"] < 1e-6
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
    free_run = scores["test"]["free_run"]
    assert free_run["fc_corr"] is free_run["median_unit_r"] is free_run["std_ratio"] is None
    assert free_run["reasons"]["fc_corr"].startswith("29 of 480 training frames have a unit that is observed")
    assert np.isnan(forecasts.parts["test"].free_run).all()
    assert scores["test"]["free_run_deterministic"]["std_ratio"] == 0


def test_without_noise_there_is_one_free_run() -> None:
    with_noise = score_and_forecast(Persistence(), recording(), CONFIG).scores
    scored = score_and_forecast(Persistence(), recording(), EvaluateConfig(free_run_noise="none"))
    scores, forecasts = scored.scores, scored.forecast
    assert scores["test"]["free_run"]["noise"] == "none"
    assert scores["test"]["free_run"]["std_ratio"] == with_noise["test"]["free_run_deterministic"]["std_ratio"]
    assert all("free_run_deterministic" not in scores[part] for part in PART_NAMES)
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


@pytest.mark.parametrize("drive", ["dense", "anatomical", "none"])
@pytest.mark.parametrize("substeps", [1, 2])
@pytest.mark.parametrize("chosen", [(0, 1, 2, 3), (2, 0)])
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
    assert scores["frames"] == 18
    assert scores["horizon_skill"] == {"1": 0.0, "2": 0.0, "5": 0.0, "10": 0.0, "30": None}
    assert scores["horizon"]["reasons"]["30"] == f"the part has 18 frames, horizon 30 needs {30 + MIN_STARTS}"


def test_empty_parts_and_frozen_forecasters_give_null_and_why(tmp_path) -> None:
    one = recording(frames=200)
    bare = Recording("bare", one.values, one.units, 1.5, parts=Parts((0, 150), (150, 150), (150, 200)))
    metrics, _ = evaluate_all(Persistence(), None, None, [bare], CONFIG)
    validation, test = metrics["parts"]["validation"], metrics["parts"]["test"]
    assert validation["one_step"]["mse"] is None
    assert validation["one_step"]["reasons"]["mse"] == "the part has no frames"
    assert validation["free_run"]["fc_corr"] is None
    assert validation["free_run"]["runs"] == 16
    assert validation["free_run_deterministic"]["fc_corr"] is None
    frozen = test["free_run_deterministic"]
    assert frozen["fc_corr"] is None
    assert frozen["std_ratio"] == frozen["std_ratio_second_half"] == 0
    assert "do not vary" in frozen["reasons"]["median_unit_r"]
    assert test["free_run"]["std_ratio"] > 0.5
    assert metrics["at_initialisation"] is None
    write_metrics(tmp_path / "metrics.json", metrics)


@pytest.mark.parametrize(
    ("fault", "where"),
    [("one_step", ("one_step", "mse")), ("free_run", ("free_run", "fc_corr")), ("horizon", ("horizon_skill", "30"))],
)
def test_a_diverged_prediction_is_never_scored_on_what_is_left_of_it(fault: str, where: tuple[str, str]) -> None:
    scores = score(Oracle(fault=fault), recording(), CONFIG)["test"]
    group = scores["horizon"] if fault == "horizon" else scores[where[0]]
    assert scores[where[0]][where[1]] is None
    assert "stops being finite" in group["reasons"][where[1]]
    if fault == "horizon":
        assert scores["horizon_skill"]["2"] == 1


def test_a_forecaster_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(DataError, match=r"'oracle': horizon returned shape"):
        score(Oracle(fault="shape"), recording(), CONFIG)


def test_pooled_metrics_are_means_over_recordings_and_sums_of_counts() -> None:
    short = recording(frames=200, seed=2, name="short")
    two = [recording(seed=1, name="long"), short]
    metrics, forecasts = evaluate_all(TrueAutoregression(0.8 * np.eye(6)), Persistence(), None, two, CONFIG)
    details = metrics["recordings"]
    free_run = metrics["parts"]["test"]["free_run"]
    assert (free_run["noise"], free_run["runs"], free_run["warmup_frames"]) == ("training residuals", 16, 50)
    assert free_run["noise_frames"] == (480 - 48) + (120 - 12)
    averaged = (
        ("one_step", "mse"),
        ("one_step", "skill_vs_persistence"),
        ("free_run", "std_ratio"),
        ("free_run", "fc_corr"),
        ("free_run_deterministic", "std_ratio"),
    )
    for group, key in averaged:
        each = [detail["parts"]["test"][group][key] for detail in details.values()]
        assert metrics["parts"]["test"][group][key] == pytest.approx(np.mean(each))
    assert metrics["observations"] == {"train": 6 * 600, "validation": 6 * 150, "test": 6 * 250}
    assert metrics["parts"]["test"]["observed"] == 6 * 250
    assert metrics["parts"]["test"]["one_step"]["per_unit_skill"]["units"] == 12
    # 30 validation frames of the short one are too few for 30 steps ahead: said, not hidden.
    validation = metrics["parts"]["validation"]
    assert list(validation["horizon_skill"]) == ["1", "2", "5", "10", "30"]
    why = validation["horizon"]["reasons"]["30"]
    assert why == "mean over 1 of 2 recordings; in at least one recording: the part has 30 frames, horizon 30 needs 38"
    assert validation["horizon_skill"]["30"] == details["long"]["parts"]["validation"]["horizon_skill"]["30"]
    assert set(metrics["baselines"]) == set(EvaluateConfig().baselines)
    assert metrics["baselines"]["persistence"]["test"]["one_step"]["skill_vs_persistence"] == 0
    assert metrics["at_initialisation"]["test"]["one_step"]["skill_vs_persistence"] == 0
    assert metrics["baselines"]["var_ridge"]["parameters"] == sum(
        detail["baselines"]["var_ridge"]["parameters"] for detail in details.values()
    )
    assert 0.3 < metrics["data"]["fc_corr_train_vs_test"] <= 1
    assert list(forecasts.recordings) == ["long", "short"]


def test_a_baseline_that_cannot_be_fitted_says_why() -> None:
    one = recording(frames=80, units=4)
    train = one.require_parts()["train"]
    mask = np.ones(one.values.shape, bool)
    mask[train] = np.arange(train.stop - train.start)[:, None] < 4
    holey = Recording("holey", one.values, one.units, 1.5, mask=mask, parts=one.parts)
    metrics, _ = evaluate_all(Persistence(), None, None, [holey], CONFIG)
    assert "too few for a vector autoregression" in metrics["baselines"]["var_ridge"]["reason"]
    assert metrics["baselines"]["mean"]["test"]["one_step"]["mse"] > 0


def test_a_baseline_of_the_users_own() -> None:
    one = recording()
    truth = TrueAutoregression(0.8 * np.eye(6))
    metrics, _ = evaluate_all(Persistence(), None, {"truth": lambda *_: truth}, [one], CONFIG)
    assert metrics["baselines"]["truth"]["test"]["one_step"]["skill_vs_persistence"] > 0


def test_metrics_file_is_strict_json_and_complete(tmp_path) -> None:
    metrics, _ = evaluate_all(Oracle(), Persistence(), ["mean"], [recording()], CONFIG)
    path = tmp_path / "metrics.json"
    write_metrics(path, {**metrics, "seed": np.int64(3), "shape": (1, 2)})
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))
    assert read["seed"] == 3
    assert read == read_metrics(path)
    assert set(read["parts"]["test"]) >= {"one_step", "horizon_skill", "free_run"}
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ValueError, match=r"metrics\.a\.b\[1\] is nan"):
        write_metrics(path, {"a": {"b": [0.0, float("nan")]}})
    assert read_metrics(path) == read


def test_damaged_files_are_named(tmp_path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(DataError, match=r"metrics\.json: no such file"):
        read_metrics(path)
    path.write_text('{"parts": ')
    with pytest.raises(DataError, match=r"metrics\.json: not valid JSON"):
        read_metrics(path)


def test_forecasts_survive_the_disk(tmp_path) -> None:
    one = recording()
    _, forecasts = evaluate_all(Persistence(), None, [], [one], CONFIG)
    path = tmp_path / "forecasts.npz"
    forecasts.save(path)
    again = Forecasts.load(path).recordings["made"]
    before = forecasts.recordings["made"]
    assert again.units == before.units
    assert again.frame_rate == 1.5
    for part, forecast in before.parts.items():
        for key in ("values", "mask", "one_step", "free_run", "free_run_connectivity", "free_run_deterministic"):
            assert np.allclose(getattr(again.parts[part], key), getattr(forecast, key), equal_nan=True, rtol=1e-6)
        assert again.parts[part].start == forecast.start
        assert (again.parts[part].free_run_noise, again.parts[part].runs) == ("training residuals", 16)
        assert again.parts[part].free_run_offset == forecast.free_run_offset
    assert np.isnan(before.parts["train"].free_run[:50]).all()
    assert np.isfinite(before.parts["train"].free_run[50:]).all()
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not a zip file"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"forecasts\.npz"):
            Forecasts.load(path)


def test_recordings_must_have_names_of_their_own() -> None:
    with pytest.raises(DataError, match="share a name"):
        evaluate_all(Persistence(), None, [], [recording(), recording()], CONFIG)
    with pytest.raises(DataError, match="no recording"):
        evaluate_all(Persistence(), None, [], [], CONFIG)


def test_the_untrained_model_is_run_ahead_on_the_test_part_alone() -> None:
    metrics, _ = evaluate_all(Persistence(), Persistence(), [], [recording()], CONFIG)
    before, after = metrics["at_initialisation"], metrics["parts"]
    assert before["test"] == after["test"]
    for part in ("train", "validation"):
        assert before[part]["one_step"] == after[part]["one_step"]
        assert set(before[part]["horizon_skill"].values()) == {None}
        assert before[part]["free_run"]["fc_corr"] is before[part]["free_run_deterministic"]["fc_corr"] is None
        for group in ("horizon", "free_run", "free_run_deterministic"):
            assert set(before[part][group]["reasons"].values()) == {"only the test part is run ahead"}


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
