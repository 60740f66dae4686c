"""Baselines against processes whose best prediction is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from statsmodels.tsa.api import VAR
from statsmodels.tsa.ar_model import AutoReg

from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines import BASELINES, around_own, chosen_baselines, gru, lds, recurrent_training
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.around_own import LEVELS, Base, Choice
from connfit.evaluation.baselines.gap_moments import moments_without_gaps
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.baselines.own_past import CHANGES
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.scores import score
from connfit.recordings import Recording, hold_last

CHEAP = ["mean", "persistence", "ar", "var_ridge", "var_around_ar", "reduced_rank"]
NETWORKS = ["gru", "region_rnn"]
ALL = list(BASELINES)


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less expectation maximisation than a fit has: what is said here holds after any number of steps."""
    monkeypatch.setattr(lds, "ITERATIONS", 3)


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are barely trained: for tests of what holds whatever they have learned."""
    monkeypatch.setattr(gru, "HIDDEN", 8)
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", 20)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)


def recording(values: np.ndarray, mask: np.ndarray | None = None, name: str = "made") -> Recording:
    units = tuple(f"unit{k}" for k in range(values.shape[1]))
    return Recording(name, values, units, 2.0, mask=mask).split(train=0.6, validation=0.15)


def autoregression(matrix: np.ndarray, frames: int, seed: int, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros((frames + 100, len(matrix)))
    for t in range(1, len(x)):
        x[t] = matrix @ x[t - 1] + noise * rng.normal(size=len(matrix))
    return x[100:]


@pytest.mark.parametrize("phi", [pytest.param(0.5, marks=pytest.mark.slow), 0.9])
def test_persistence_on_an_ar1_process_has_the_analytic_skill_against_the_mean(phi: float) -> None:
    one = recording(autoregression(phi * np.eye(20), 4000, seed=0))
    variance, step = 1 / (1 - phi**2), 2 / (1 + phi)
    scores = score(Persistence(), one)["test"].one_step
    assert scores.mse == pytest.approx(step, rel=0.05)
    assert scores.skill_vs_persistence == 0.0
    # Skill of the mean over persistence: 1 - var / E(x(t) - x(t-1))^2 = 1 - 1 / (2 (1 - phi)).
    mean = score(Mean.fit(one), one)["test"].one_step
    assert mean.mse == pytest.approx(variance, rel=0.08)
    assert mean.skill_vs_persistence == pytest.approx(1 - 1 / (2 * (1 - phi)), abs=0.08 / (1 - phi))


def test_var_ridge_recovers_a_known_autoregression() -> None:
    rng = np.random.default_rng(1)
    matrix = 0.8 * np.linalg.qr(rng.normal(size=(6, 6)))[0]
    one = recording(5.0 + autoregression(matrix, 6000, seed=2) * np.array([1, 2, 0.1, 10, 1, 1]))
    model = VarRidge.fit(one, EvaluateConfig(var_lags=(1,)))
    scaled = (model.coefficients * model.scaling.stds[None, :] / model.scaling.stds[:, None]).T
    units = np.array([1, 2, 0.1, 10, 1, 1])
    assert np.abs(scaled * units[None, :] / units[:, None] - matrix).max() < 0.05
    # The best possible one-step error is the noise; persistence has E|x(t) - x(t-1)|^2 = |(A - 1) x|^2 + noise.
    scores = score(model, one)["test"].one_step
    residual = one.values[1:] - model.one_step(one)[1:]
    assert np.allclose((residual / units).std(axis=0), 1.0, atol=0.04)
    assert scores.skill_vs_persistence > 0.3


def test_var_ridge_chooses_the_lag_of_a_process_that_needs_two() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros((3000, 3))
    for t in range(2, len(x)):
        x[t] = 0.1 * x[t - 1] + 0.8 * x[t - 2] + rng.normal(size=3)
    model = VarRidge.fit(recording(x), EvaluateConfig(var_lags=(1, 2, 4)))
    assert model.lags >= 2
    assert model.parameters == 3 * 3 * model.lags + 3 * model.chosen["intercept"]


def test_nothing_beats_persistence_on_a_random_walk() -> None:
    one = recording(np.cumsum(np.random.default_rng(4).normal(size=(3000, 8)), axis=0))
    for name in CHEAP:
        scores = score(BASELINES[name](one, EvaluateConfig()), one)["test"]
        assert scores.one_step.skill_vs_persistence <= 1e-3, name
        assert all(value <= 0.05 for value in scores.horizon_skill.values()), name


def test_var_ridge_equals_scikit_learn_for_the_chosen_penalty() -> None:
    one = recording(autoregression(0.7 * np.eye(4), 400, seed=5))
    model = VarRidge.fit(one)
    train = one.part("train")[0]
    z = (train - train.mean(axis=0)) / train.std(axis=0)
    x = np.concatenate([z[model.lags - back : len(z) - back] for back in range(1, model.lags + 1)], axis=1)
    intercept, alpha = model.chosen["intercept"], model.chosen["alpha"]
    to_persistence = model.chosen["shrink_to"] == "persistence"
    y = z[model.lags :] - (x[:, :4] if to_persistence else 0)
    for unit in range(4):
        # One penalty for all inputs, of which the unit's own are scaled so that it weighs on them like theirs.
        scale = np.ones(x.shape[1])
        scale[unit::4] = np.sqrt(alpha / model.chosen["alpha_own"])
        theirs = Ridge(alpha=alpha, fit_intercept=intercept).fit(x * scale, y[:, unit])
        expected = theirs.coef_ * scale + (np.eye(len(x[0]), 4)[:, unit] if to_persistence else 0)
        assert np.allclose(model.coefficients[:, unit], expected, atol=1e-9)
        assert np.allclose(model.process.intercept[unit], theirs.intercept_, atol=1e-9)


def test_tuning_reads_neither_test_nor_the_order_of_units() -> None:
    values = autoregression(0.9 * np.eye(5), 500, seed=6)
    changed = values.copy()
    changed[375:] = 1e3 * np.random.default_rng(7).normal(size=changed[375:].shape)
    first, second = VarRidge.fit(recording(values)), VarRidge.fit(recording(changed))
    assert first.chosen == second.chosen
    assert np.array_equal(first.coefficients, second.coefficients)
    order = [3, 1, 4, 0, 2]
    moved = VarRidge.fit(recording(values[:, order]))
    assert np.allclose(
        moved.one_step(recording(values[:, order])), first.one_step(recording(values))[:, order], equal_nan=True
    )


@pytest.mark.parametrize("name", ALL)
def test_contract(name: str, small_networks: None) -> None:
    """Shapes; no look at later frames; horizon 1 is one step; a free run is the horizon after the same past."""
    values = autoregression(0.9 * np.eye(3), 300, seed=8)
    one = recording(values)
    baseline = BASELINES[name](one, EvaluateConfig())
    assert isinstance(baseline, Forecaster)
    entry = BASELINES[name]
    # Without external inputs it is the baseline that it would be with them.
    assert baseline.name == (entry.with_inputs_of or name)
    assert entry.label and entry.does and entry.parameters and (entry.pooled is not None or entry.not_pooled)
    assert set(entry.uses) <= set(EvaluateConfig.__struct_fields__)
    assert isinstance(baseline.parameters, int) and baseline.parameters >= (name != "persistence")
    step = baseline.one_step(one)
    starts = np.array([0, 20, 298])
    ahead = baseline.horizon(one, starts, 6)
    run = baseline.free_run(one, 21, 6, 21)
    assert step.shape == values.shape and np.isfinite(step[10:]).all() and np.isfinite(ahead[1:]).all()
    assert ahead.shape == (3, 6, 3)
    assert run.shape == (6, 3)
    # Networks compute in float32, and XLA may order a sum differently for one run and for several.
    assert np.allclose(ahead[1:, 0], step[starts[1:] + 1], atol=1e-5)
    assert np.allclose(run, ahead[1], atol=1e-5)
    driven = baseline.free_run(one, 21, 6, 21, np.zeros((2, 6, 3)))
    assert driven.shape == (2, 6, 3)
    assert np.allclose(driven, run, atol=1e-5)
    later = values.copy()
    later[21:] = 1e6
    after = recording(later)
    assert np.array_equal(baseline.one_step(after)[:22], step[:22], equal_nan=True)
    assert np.array_equal(baseline.horizon(after, starts[:2], 6), ahead[:2], equal_nan=True)
    assert np.array_equal(baseline.free_run(after, 21, 6, 21), run)


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_learned_from_the_test_part_and_the_seed_matters_where_it_is_said_to(
    name: str, small_networks: None
) -> None:
    values = autoregression(0.9 * np.eye(3), 300, seed=8)
    other = values.copy()
    first = recording(values).require_parts().test[0]
    other[first:] += 1e3
    entry, config = BASELINES[name], EvaluateConfig()
    one, moved, seeded = (
        entry(recording(movie), EvaluateConfig(baseline_seed=seed)).one_step(recording(values))
        for movie, seed in ((values, 0), (other, 0), (values, 1))
    )
    assert np.array_equal(one, moved, equal_nan=True)
    assert np.array_equal(one, seeded, equal_nan=True) != entry.seeded
    assert entry.seeded == ("baseline_seed" in entry.uses)
    if entry.pooled is not None:
        animals = [recording(values, name="a"), recording(values[::-1].copy(), name="b")]
        pooled = entry.pooled(animals, animals[0].units, config)
        assert pooled.name == name and np.isfinite(pooled.one_step(animals[0])[15:]).all()


def test_an_option_that_a_baseline_does_not_use_changes_nothing() -> None:
    one = recording(autoregression(0.9 * np.eye(3), 300, seed=8))
    changed = {"var_lags": (3,), "ar_orders": (5,), "latent_dimensions": (1,)}
    for name in (*CHEAP, "lds"):
        usual = BASELINES[name](one, EvaluateConfig()).one_step(one)
        matter = {
            option
            for option, value in changed.items()
            if not np.array_equal(BASELINES[name](one, EvaluateConfig(**{option: value})).one_step(one), usual, True)
        }
        assert matter <= set(BASELINES[name].uses) and bool(matter) == bool(BASELINES[name].uses), name


@pytest.mark.parametrize("name", ALL)
def test_values_that_were_not_observed_have_no_influence(name: str, small_networks: None) -> None:
    values = autoregression(0.9 * np.eye(3), 400, seed=9)
    mask = np.ones(values.shape, bool)
    mask[100:110] = False
    mask[350, 1] = False
    results = []
    for filler in (np.nan, 1e9):
        one = recording(np.where(mask, values, filler), mask)
        baseline = BASELINES[name](one, EvaluateConfig())
        results.append((baseline.one_step(one), baseline.horizon(one, np.array([104, 350]), 3), score(baseline, one)))
    for first, second in zip(results[0][:2], results[1][:2], strict=True):
        assert np.array_equal(first, second, equal_nan=True)
    assert results[0][2] == results[1][2]
    assert np.isfinite(results[0][0][10:]).all()


def test_persistence_holds_the_last_observed_value() -> None:
    values = np.arange(8.0)[:, None]
    mask = np.array([0, 1, 1, 0, 0, 1, 0, 1], bool)[:, None]
    assert np.array_equal(hold_last(values, mask)[:, 0], [np.nan, 1, 2, 2, 2, 5, 5, 7], equal_nan=True)
    one = recording(np.where(mask, values, np.nan), mask)
    assert np.array_equal(Persistence().one_step(one)[:, 0], [np.nan, np.nan, 1, 2, 2, 2, 5, 5], equal_nan=True)


def test_var_without_validation_tunes_on_the_end_of_train_and_says_so() -> None:
    one = Recording("made", autoregression(0.8 * np.eye(2), 300, 10), ("a", "b"), 1.0).split(train=0.7, validation=0)
    model = VarRidge.fit(one)
    assert model.chosen["tuned_on"] == "the last fifth of train"
    assert model.chosen["rows"] == 210 - model.lags


def test_units_that_train_never_shows_are_not_predicted(small_networks: None) -> None:
    values = autoregression(0.8 * np.eye(3), 300, 11)
    mask = np.ones(values.shape, bool)
    mask[:200, 2] = False
    one = recording(values, mask)
    for name in ("mean", "ar", "var_ridge", "var_around_ar", "reduced_rank", "gru", "region_rnn"):
        step = BASELINES[name](one, EvaluateConfig()).one_step(one)
        assert np.isnan(step[:, 2]).all()
        assert np.isfinite(step[10:, :2]).all()


@pytest.mark.slow
def test_no_frame_needs_to_be_complete() -> None:
    values = autoregression(0.8 * np.eye(4), 400, 12)
    mask = np.arange(400)[:, None] % 4 != np.arange(4)
    one = recording(values, mask)
    for name in ("ar", "var_ridge", "var_around_ar", "reduced_rank", "lds"):
        scores = score(BASELINES[name](one, EvaluateConfig()), one)["test"]
        assert scores.one_step.skill_vs_persistence > 0.02, name


def test_too_few_frames_are_said() -> None:
    values = autoregression(0.8 * np.eye(4), 4, 12)
    for name in ("var_ridge", "var_around_ar", "reduced_rank"):
        with pytest.raises(DataError, match=r"2 training frames, .* too few for a"):
            BASELINES[name](recording(values), EvaluateConfig())


def standardised_train(one: Recording) -> np.ndarray:
    """Training frames of mean 0 and variance 1."""
    train = one.part("train")[0]
    return (train - train.mean(axis=0)) / train.std(axis=0)


def test_without_a_penalty_they_are_those_of_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording(3 + autoregression(np.array([[0.6, 0.3, 0], [0, 0.5, 0.3], [0.2, 0, 0.5]]), 500, seed=14))
    z = standardised_train(one)
    monkeypatch.setattr("connfit.evaluation.baselines.var_ridge.ALPHAS", (1e-9,))
    monkeypatch.setattr("connfit.evaluation.baselines.var_ridge.ALPHAS_OWN", (1e-9,))
    model = VarRidge.fit(one, EvaluateConfig(var_lags=(2,)))
    trend = "c" if model.chosen["intercept"] else "n"
    theirs = VAR(z).fit(2, trend=trend)
    expected = np.concatenate([theirs.coefs[0].T, theirs.coefs[1].T])
    np.testing.assert_allclose(model.coefficients, expected, atol=1e-8)
    monkeypatch.setattr("connfit.evaluation.baselines.ar.PENALTIES", (1e-9,))
    ar = Ar.fit(one, EvaluateConfig(ar_orders=(3,)))
    for unit in range(3):
        trend = "c" if ar.chosen["intercept"] else "n"
        single = AutoReg(z[:, unit], 3, trend=trend).fit()
        if ar.chosen["shrink_to"] != CHANGES:
            np.testing.assert_allclose(ar.coefficients[:, unit], single.params[trend == "c" :], atol=1e-8)
        else:
            change = AutoReg(np.diff(z[:, unit]), 2, trend=trend).fit().params[trend == "c" :]
            levels = np.array([1 + change[0], change[1] - change[0], -change[1]])
            np.testing.assert_allclose(ar.coefficients[:, unit], levels, atol=1e-8)


def test_reduced_rank_is_the_best_fit_of_its_rank() -> None:
    """Without a penalty: the Eckart-Young projection of the least-squares fit, Izenman (1975)."""
    rng = np.random.default_rng(15)
    one = recording(autoregression(0.6 * np.eye(5) + 0.1 * rng.normal(size=(5, 5)), 500, seed=15))
    z = standardised_train(one)
    moments = moments_without_gaps([Stretch.held(z, np.ones(z.shape, bool))], 1)
    choice = Choice(Base(None, 0.0), LEVELS, 1, 1e-9, rank=2)
    b, intercept = around_own.solve(moments, choice)
    x, y = z[:-1] - z[:-1].mean(axis=0), z[1:] - z[1:].mean(axis=0)
    full = LinearRegression().fit(x, y).coef_.T
    u, s, vt = np.linalg.svd(x @ full, full_matrices=False)
    np.testing.assert_allclose(x @ b, (u[:, :2] * s[:2]) @ vt[:2], atol=1e-7)
    assert np.linalg.matrix_rank(b, tol=1e-8) == 2
    np.testing.assert_allclose(intercept, z[1:].mean(axis=0) - z[:-1].mean(axis=0) @ b, atol=1e-9)


def test_what_is_around_each_units_own_autoregression_finds_coupling() -> None:
    """Units with memories of their own and a weak common input: both are needed."""
    rng = np.random.default_rng(16)
    x = np.zeros((900, 12))
    weak = 0.12 * rng.normal(size=(12, 2)) @ rng.normal(size=(2, 12)) / 2
    for t in range(2, len(x)):
        x[t] = 0.5 * x[t - 1] + 0.35 * x[t - 2] + weak @ x[t - 1] * 0.5 + rng.normal(size=12)
    one = recording(x)
    skill = {
        name: score(BASELINES[name](one, EvaluateConfig()), one)["test"].one_step.skill_vs_persistence
        for name in ("ar", "var_around_ar", "reduced_rank")
    }
    assert skill["var_around_ar"] > skill["ar"] + 0.005
    assert skill["reduced_rank"] > skill["ar"]


def test_unknown_baseline_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="persistence"):
        chosen_baselines(["persistance"], EvaluateConfig())
