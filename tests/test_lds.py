"""The linear dynamical system: its filter against another implementation, its fit against systems that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.lds import OWN_DECAY, Lds
from connfit.evaluation.baselines.linear_system import LinearSystem, subspace_start
from connfit.evaluation.baselines.system_filter import system_filter
from connfit.evaluation.baselines.system_moments import expectation_maximisation, expected, observed_span
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.scores import score
from connfit.recordings import Recording


def system(rng: np.random.Generator, units: int = 6, noise: float = 0.3) -> LinearSystem:
    """Two dimensions, a slow rotation; every unit reads both, with noise of its own."""
    angle = 0.3
    a = 0.95 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    q = np.array([[0.1, 0.02], [0.02, 0.08]])
    r = noise * rng.uniform(0.5, 1.5, units)
    return LinearSystem(a, q, rng.normal(size=(units, 2)), rng.normal(size=units), r, np.array([0.5, -1.0]), np.eye(2))


def draw(rng: np.random.Generator, s: LinearSystem, frames: int) -> np.ndarray:
    x, out = s.m0, []
    drive, own = np.linalg.cholesky(s.q), np.sqrt(s.r)
    for _ in range(frames):
        out.append(s.c @ x + s.offset + own * rng.normal(size=len(s.r)))
        x = s.a @ x + drive @ rng.normal(size=2)
    return np.array(out)


def theirs(s: LinearSystem, y: np.ndarray, seen: np.ndarray):
    other = KalmanSmoother(k_endog=y.shape[1], k_states=2)
    other["design"], other["obs_intercept"], other["obs_cov"] = s.c, s.offset[:, None], np.diag(s.r)
    other["transition"], other["selection"], other["state_cov"] = s.a, np.eye(2), s.q
    other.initialize_known(s.m0, s.v0)
    other.bind(np.where(seen, y, np.nan))
    return other.smooth()


def test_filter_and_smoother_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(0)
    s = system(rng)
    y = draw(rng, s, 60)
    seen = rng.random(y.shape) < 0.8
    seen[10] = False
    (filtered,) = system_filter(s, np.zeros(6), Stretch.held(y, seen))
    stretch = Stretch.held(y, seen)
    smoothed = next(expected(s, np.zeros(6), stretch, observed_span(stretch))).smoothed
    other = theirs(s, y, seen)
    # Both in float64, with sums in another order.
    ahead, spread = other.predicted_state[:, :-1].T, np.moveaxis(other.predicted_state_cov, 2, 0)[:-1]
    assert np.allclose(filtered.mean, ahead @ s.c.T + s.offset, atol=1e-10)
    assert np.allclose(filtered.variance, np.einsum("pi,tij,pj->tp", s.c, spread, s.c) + s.r, atol=1e-10)
    assert np.allclose(filtered.state, other.filtered_state.T, atol=1e-10)
    assert np.allclose(filtered.last, other.filtered_state_cov[:, :, -1], atol=1e-10)
    assert np.allclose(smoothed.mean, other.smoothed_state.T, atol=1e-10)
    assert np.allclose(smoothed.covariance, np.moveaxis(other.smoothed_state_cov, 2, 0), atol=1e-10)
    lagged = np.moveaxis(other.smoothed_state_autocov, 2, 0)[:-1]
    assert np.allclose(smoothed.lagged, lagged, atol=1e-10)


def test_the_likelihood_never_falls_and_ends_near_that_of_the_truth() -> None:
    rng = np.random.default_rng(1)
    s = system(rng)
    y = draw(rng, s, 500)
    y = y - y.mean(axis=0)
    s = replace(s, offset=-np.zeros(6))
    seen = np.ones(y.shape, bool)
    seen[100:120, :3] = False
    fitted, none, trace = subspace_start(Stretch.held(y, seen), 2), np.zeros(6), []
    for _ in range(40):
        trace.append(theirs(fitted, y, seen).llf_obs.sum())
        fitted, _, _ = expectation_maximisation(fitted, none, Stretch.held(y, seen), 1, with_decay=False)
    assert np.all(np.diff(trace) > -1e-6)
    # The fit exceeds the truth by about half the number of parameters, some 30.
    assert -3 < trace[-1] - theirs(s, y, seen).llf_obs.sum() < 40
    ours, truth = np.linalg.eigvals(fitted.a), np.linalg.eigvals(s.a)
    assert np.allclose(sorted(np.abs(ours)), sorted(np.abs(truth)), atol=0.04)
    assert np.allclose(sorted(np.angle(ours)), sorted(np.angle(truth)), atol=0.04)


def recording(y: np.ndarray, mask: np.ndarray | None = None) -> Recording:
    units = tuple(f"unit{k}" for k in range(y.shape[1]))
    return Recording("made", y, units, 2.0, mask=mask).split(train=0.6, validation=0.15)


@pytest.mark.slow
def test_it_finds_the_dimension_and_beats_the_full_autoregression_on_its_own_ground() -> None:
    rng = np.random.default_rng(2)
    s = system(rng, units=30, noise=1.5)
    one = recording(draw(rng, s, 500))
    config = EvaluateConfig(latent_dimensions=(1, 2, 4), free_run_noise="none", horizons=(1, 5))
    lds, var = Lds.fit(one, config), VarRidge.fit(one, config)
    assert lds.chosen["dimensions"] in (2, 4)
    skill = {m.name: score(m, one, config)["test"].one_step.skill_vs_persistence for m in (lds, var)}
    predicted = next(system_filter(s, np.zeros(30), Stretch.held(one.values, one.mask))).mean
    block = one.require_parts()["test"]
    error = np.mean((one.values[block] - predicted[block]) ** 2)
    step = np.mean((one.values[block] - one.values[block.start - 1 : block.stop - 1]) ** 2)
    assert skill["lds"] > skill["var_ridge"]
    # The truth is the best there is, and what was learned from 300 frames comes near it.
    assert 0 <= (1 - error / step) - skill["lds"] < 0.03


def test_units_with_a_memory_of_their_own_choose_their_own_decay() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros((500, 10))
    for t in range(1, 500):
        x[t] = 0.9 * x[t - 1] + rng.normal(size=10)
    lds = Lds.fit(recording(x), EvaluateConfig(latent_dimensions=(1, 2)))
    assert lds.chosen["carried"] == OWN_DECAY
    assert np.allclose(lds.carried, 0.9, atol=0.12)


def test_predicted_standard_deviations_are_right_where_the_model_is_right() -> None:
    rng = np.random.default_rng(4)
    s = system(rng, units=10)
    y = draw(rng, s, 1000)
    mask = np.ones(y.shape, bool)
    mask[850:870, 4] = False
    one = recording(np.where(mask, y, np.nan), mask)
    lds = Lds.fit(one, EvaluateConfig(latent_dimensions=(2,)))
    test = one.require_parts()["test"]
    z = ((one.values - lds.one_step(one)) / lds.predictive_std(one))[test][one.mask[test]]
    # 2,480 values; those of a frame share an error of the state, hence three times the 0.014 of independent ones.
    assert z.std() == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(z) < 1.645) == pytest.approx(0.9, abs=0.02)
    quiet, gap = lds.predictive_std(one)[800:845, 4].mean(), lds.predictive_std(one)[860, 4]
    assert gap >= 0.999 * quiet


def test_too_short_recordings_are_refused() -> None:
    with pytest.raises(DataError, match="6 training frames of 3 units are too few"):
        Lds.fit(recording(np.random.default_rng(5).normal(size=(10, 3))))
