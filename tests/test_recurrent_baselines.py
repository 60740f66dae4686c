"""Recurrent networks as baselines: they learn what no linear model can, always the same, or say why they cannot."""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import gru, recurrent_training, region_rnn
from connfit.evaluation.baselines.gru import Gru, fit_gru
from connfit.evaluation.baselines.recurrent_training import Setting, Trained, climb
from connfit.evaluation.baselines.region_rnn import RateUnits, fit_region_rnn
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.scores import score
from connfit.recordings import Inputs, Recording


def recording(values: np.ndarray, mask: np.ndarray | None = None) -> Recording:
    units = tuple(f"unit{k}" for k in range(values.shape[1]))
    return Recording("made", values, units, 2.0, mask=mask).split(train=0.6, validation=0.15)


def maps(frames: int = 700, noise: float = 0.0) -> Recording:
    """Logistic maps: x(t+1) = 4 x (1 - x), which is predictable and not linearly so (no autocorrelation)."""
    rng = np.random.default_rng(0)
    x = np.empty((frames, 3))
    x[0] = rng.uniform(0.2, 0.8, 3)
    for t in range(1, frames):
        x[t] = 4 * x[t - 1] * (1 - x[t - 1])
    return recording(x + noise * rng.normal(size=x.shape))


@pytest.fixture(autouse=True)
def few_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gru, "HIDDEN", 8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gru, "HIDDEN", 32)
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", 400)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)
    monkeypatch.setattr(gru, "STARTS", (Setting(1e-2, 0.0, 0.0, 0.0, 0.0),))
    monkeypatch.setattr(region_rnn, "STARTS", (Setting(1e-2, 0.0, 0.0, 0.0),))


@pytest.mark.slow
def test_the_gru_learns_what_a_linear_model_cannot(quick: None) -> None:
    one = maps()
    config = EvaluateConfig(horizons=(1, 2), free_run_runs=2)
    network, linear = fit_gru(one, config), VarRidge.fit(one, config)
    skill = {name: score(model, one, config)["test"] for name, model in (("gru", network), ("var", linear))}
    # A linear model can do no better than the mean: 1 - var / (2 var) = 0.5.
    assert skill["var"].one_step.skill_vs_persistence == pytest.approx(0.5, abs=0.05)
    assert skill["gru"].one_step.skill_vs_persistence > 0.95
    # Errors double with every step of this map.
    assert skill["gru"].horizon_skill[2] > 0.8
    assert network.chosen["carried"] == 0.0


def test_rate_units_learn_a_network_of_their_own_kind(quick: None) -> None:
    """Data made by the same equation: what is left of the error is the noise that was added to its prediction."""
    rng = np.random.default_rng(1)
    w, e = np.array([[0.0, -0.9], [0.9, 0.0]]), np.array([[0.6, 0.2], [0.1, 0.5]])
    alpha, r, out = np.exp(-2.0), np.ones(2), []
    u = r
    for _ in range(900):
        r = alpha * r + (1 - alpha) * np.maximum(w @ r + 1.0 + np.maximum(e @ u, 0), 0)
        u = r + 0.1 * rng.normal(size=2)
        out.append(u)
    one = recording(np.array(out))
    error = score(fit_region_rnn(one), one, EvaluateConfig(free_run_noise="none"))["test"].one_step
    assert error.mse < 1.25 * 0.1**2
    assert error.skill_vs_persistence > 0.3


def test_the_same_seed_gives_the_same_network_and_another_seed_another(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MAX_STEPS": 20, "TRIALS": 1}.items():
        monkeypatch.setattr(recurrent_training, name, value)
    one = maps(300, 0.01)
    for fit in (fit_gru, fit_region_rnn):
        first, again = (fit(one, EvaluateConfig(baseline_seed=3)).one_step(one) for _ in range(2))
        other = fit(one, EvaluateConfig(baseline_seed=4))
        assert np.array_equal(first, again, equal_nan=True)
        assert not np.allclose(first[1:], other.one_step(one)[1:])
        assert other.seed == 4 == other.chosen["seed"]


def test_a_recording_with_inputs_is_fitted_as_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", 50)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)
    alone = maps(300)
    light = Inputs(np.random.default_rng(1).normal(size=(300, 1)), ("light",))
    for fitted in (fit_gru, fit_region_rnn):
        networks = [fitted(one, EvaluateConfig()) for one in (alone, replace(alone, inputs=light))]
        assert jax.tree.all(jax.tree.map(np.array_equal, *(network.cell for network in networks)))


def test_training_reads_no_frame_of_the_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MAX_STEPS": 20, "TRIALS": 2}.items():
        monkeypatch.setattr(recurrent_training, name, value)
    one = maps(300, 0.01)
    values = one.values.copy()
    values[one.require_parts().test[0] :] = 1e3
    for fit in (fit_gru, fit_region_rnn):
        first, second = fit(one), fit(replace(one, values=values))
        assert first.chosen == second.chosen
        assert all(
            np.array_equal(a, b)
            for a, b in zip(*(jax.tree.leaves(eqx.filter(n.cell, eqx.is_array)) for n in (first, second)), strict=True)
        )


def test_cells_compute_their_equations() -> None:
    rng = np.random.default_rng(2)
    cell = RateUnits.of(3, jax.random.key(0), np.ones(3))
    cell = eqx.tree_at(lambda c: c.drive, cell, jax.numpy.asarray(rng.normal(size=(3, 3)), "float32"))
    state, now, keep = rng.random(3).astype("f"), rng.normal(size=3).astype("f"), np.array([2.0, 0.0, 1.0], "f")
    w, e, b = (np.asarray(one, np.float64) for one in (cell.weights, cell.drive, cell.bias))
    alpha = np.exp(-2.0)
    expected = alpha * state + (1 - alpha) * np.maximum(w @ (keep * state) + b + np.maximum(e @ now, 0), 0)
    after, predicted = cell(state, now, keep)
    assert np.allclose(after, expected, atol=1e-6) and np.array_equal(after, predicted)
    gru = Gru.of(3, 5, 1.0, jax.random.key(1))
    # Untrained, it predicts the last frame.
    assert np.array_equal(gru(gru.start(), now, np.ones(5, "f"))[1], now)
    assert RateUnits.of(3, jax.random.key(0), np.ones(3)).anchor().weights.any() == False  # noqa: E712


def test_number_of_parameters() -> None:
    from connfit.evaluation.baselines.recurrent import Network

    def count(cell: object) -> int:
        return Network(cell, Scaling(np.zeros(7), np.ones(7))).parameters  # type: ignore[arg-type]

    # Equinox: one bias for the three gates and one more for the candidate.
    assert count(Gru.of(7, 256, 1.0, jax.random.key(0))) == 3 * 256 * (7 + 256 + 1) + 256 + 7 * 257
    assert count(RateUnits.of(7, jax.random.key(0), np.zeros(7))) == 2 * 49 + 14


def test_the_climb_finds_the_best_neighbour_and_stops_there() -> None:
    grid = {"noise": (0.0, 0.5, 1.0, 2.0), "decay": (0.0, 1.0, 2.0)}

    def attempt(setting: Setting) -> Trained:
        return Trained(setting, None, (setting.noise - 2) ** 2 + (setting.decay - 1) ** 2, 0)  # type: ignore[arg-type]

    start = Setting(1e-3, 0.0, 0.0, 0.5)
    best, tried = climb(attempt, [start], grid, 20)
    assert (best.setting.noise, best.setting.decay) == (2.0, 1.0)
    assert len({one.setting for one in tried}) == len(tried)
    assert len(climb(attempt, [start], grid, 3)[1]) == 3


def test_too_short_or_unobserved_recordings_are_refused() -> None:
    short = maps(120)
    with pytest.raises(DataError, match="72 training frames are too few for a recurrent network"):
        fit_gru(short)
    one = maps(300)
    mask = np.ones(one.values.shape, bool)
    mask[120:225] = False
    silent = replace(one, mask=mask).split(train=0.6, validation=0)
    with pytest.raises(DataError, match="nothing was observed on which a network could be tuned"):
        fit_region_rnn(silent)
