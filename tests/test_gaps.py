"""Missing values in linear baselines: marginalised, against dense Gaussian algebra and other libraries."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import first_fast
from statsmodels.tsa.statespace.sarimax import SARIMAX

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines import BASELINES, lds
from connfit.evaluation.baselines.ar import Ar
from connfit.evaluation.baselines.gap_filter import filtered_pasts
from connfit.evaluation.baselines.gap_moments import expected_moments, moments_without_gaps
from connfit.evaluation.baselines.linear_system import LinearSystem
from connfit.evaluation.baselines.own_moments import OwnMoments, own_moments
from connfit.evaluation.baselines.processes import OwnProcess, Process
from connfit.evaluation.baselines.system_filter import system_filter
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.evaluation.scores import score
from connfit.recordings import Recording, hold_last

CONFIG = EvaluateConfig(
    var_lags=(1, 2), ar_orders=(1, 2, 4), latent_dimensions=(2,), free_run_runs=4, free_run_warmup=20, horizon_starts=16
)
LINEAR = ["ar", "var_ridge", "var_around_ar", "reduced_rank", "lds"]


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less expectation maximisation than a fit has: what is said here holds after any number of steps."""
    monkeypatch.setattr(lds, "ITERATIONS", 4)


def process(rng: np.random.Generator, units: int = 3, lags: int = 2) -> Process:
    coefficients = 0.9 * rng.normal(size=(lags * units, units)) / (lags * units)
    return Process(coefficients, 0.1 * rng.normal(size=units), np.eye(units) + 0.3)


def gappy(rng: np.random.Generator, frames: int, units: int) -> np.ndarray:
    """Gaps at random, in whole frames, and one unit that is rarely seen."""
    seen = rng.random((frames, units)) < 0.6
    seen[frames // 3 : frames // 3 + 4] = False
    seen[:, 0] &= rng.random(frames) < 0.3
    return seen


def pasts(one: Process | OwnProcess, correlations: np.ndarray, z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What is known before each frame and after the last one."""
    ((_, rows, _),) = filtered_pasts(one, correlations, Stretch.held(z, seen))
    return rows


def dense(one: Process, z: np.ndarray, seen: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all frames given the observed ones, from the joint precision matrix of all of them."""
    (frames, units), lags = z.shape, one.lags
    precision, linear = np.zeros((frames * units,) * 2), np.zeros(frames * units)
    precision[: lags * units, : lags * units] = np.linalg.inv(prior)
    inverse = np.linalg.inv(one.covariance)
    for t in range(lags, frames):
        row = np.zeros((units, frames * units))
        row[:, t * units : (t + 1) * units] = np.eye(units)
        for lag in range(1, lags + 1):
            row[:, (t - lag) * units : (t - lag + 1) * units] = -one.coefficients[(lag - 1) * units : lag * units].T
        precision += row.T @ inverse @ row
        linear += row.T @ inverse @ one.intercept
    missing, mean, covariance = ~seen.ravel(), z.ravel().copy(), np.zeros_like(precision)
    given_, at = np.ix_(missing, ~missing), np.ix_(missing, missing)
    covariance[at] = np.linalg.inv(precision[at])
    mean[missing] = covariance[at] @ (linear[missing] - precision[given_] @ mean[~missing])
    return mean.reshape(frames, units), covariance


@pytest.mark.parametrize("window", [2, 3])
def test_expected_moments_are_those_of_the_joint_normal_distribution(window: int) -> None:
    rng = np.random.default_rng(0)
    one, z, seen = process(rng), rng.normal(size=(30, 3)), gappy(rng, 30, 3)
    mean, covariance = dense(one, z, seen, np.eye(6))
    second = covariance + np.outer(mean, mean)
    expected = np.zeros((3 * (window + 1),) * 2)
    for t in range(window, 30):
        at = np.concatenate([np.arange(3 * (t - back), 3 * (t - back + 1)) for back in range(window + 1)])
        expected += second[np.ix_(at, at)]
    # In float64, with sums in another order.
    for windows in ([window], [2, 3]):
        got = expected_moments(one, [Stretch.held(np.where(seen, z, 1e9), seen)], windows)[window]
        np.testing.assert_allclose(got.gram, expected[3:, 3:], atol=1e-10)
        np.testing.assert_allclose(got.cross, expected[3:, :3], atol=1e-10)
        np.testing.assert_allclose(got.square, expected[:3, :3], atol=1e-10)


def test_past_frames_are_means_given_what_was_observed_before() -> None:
    rng = np.random.default_rng(1)
    one, z, seen = process(rng), rng.normal(size=(25, 3)), gappy(rng, 25, 3)
    correlations = np.array([1.0, 0.7])[:, None] * np.ones((2, 3))
    rows = pasts(one, correlations, np.where(seen, z, np.nan), seen)
    prior = np.kron(np.array([[1.0, 0.7], [0.7, 1.0]]), np.eye(3))
    for t in (0, 1, 9, 12, 25):
        padded = np.concatenate([np.zeros((2, 3)), z[:t]])
        known = np.concatenate([np.zeros((2, 3), bool), seen[:t]])
        mean, _ = dense(one, padded, known, prior)
        np.testing.assert_allclose(rows[t], mean[:-3:-1], atol=1e-10)


def test_single_units_are_units_that_do_not_know_of_each_other() -> None:
    rng = np.random.default_rng(2)
    z, seen = rng.normal(size=(23, 3)), gappy(rng, 23, 3)
    seen[::2] = True
    a, c, v = 0.4 * rng.normal(size=(2, 3)), 0.1 * rng.normal(size=3), np.array([1.0, 0.5, 2.0])
    own = OwnProcess(a, c, v)
    whole = Process(np.concatenate([np.diag(a[0]), np.diag(a[1])]), c, np.diag(v))
    got = own_moments(own, [Stretch.held(z, seen)], [3])[3]
    expected = OwnMoments.of(expected_moments(whole, [Stretch.held(z, seen)], [3])[3])
    for key in ("gram", "cross", "square", "sum_x", "sum_y", "rows"):
        np.testing.assert_allclose(getattr(got, key), getattr(expected, key), atol=1e-10)
    correlations = np.array([1.0, 0.7])[:, None] * np.ones((2, 3))
    rows = pasts(own, correlations, z, seen)
    np.testing.assert_allclose(rows, pasts(whole, correlations, z, seen), atol=1e-10)


def test_predictions_through_gaps_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros(300)
    for t in range(2, 300):
        x[t] = 0.5 * x[t - 1] + 0.3 * x[t - 2] + rng.normal()
    seen = rng.random((300, 1)) < 0.6
    seen[100:130] = False
    one = Recording("made", np.where(seen, x[:, None], np.nan), ("a",), 1.0, mask=seen).split(
        train=0.6, validation=0.15
    )
    model = Ar.fit(one, EvaluateConfig(ar_orders=(2,)))
    scaling, own = model.scaling, model.process
    z = (one.values[:, 0] - scaling.means[0]) / scaling.stds[0]
    theirs = SARIMAX(z, order=(2, 0, 0), trend="c")
    parameters = [own.intercept[0], *own.coefficients[:, 0], own.variance[0]]
    predicted = theirs.filter(parameters).forecasts[0] * scaling.stds[0] + scaling.means[0]
    # The two differ in what they assume before the first frame, which 50 frames forget.
    np.testing.assert_allclose(model.one_step(one)[50:, 0], predicted[50:], atol=1e-6)
    ahead = model.horizon(one, np.array([110]), 3)[0, :, 0]
    np.testing.assert_allclose(ahead, predicted[111:114], atol=1e-6)


def test_what_a_unit_carries_over_is_filtered_where_it_was_not_observed() -> None:
    """Against the ordinary filter of the state that holds every unit's last frame too."""
    rng = np.random.default_rng(4)
    d, units, frames = 2, 3, 40
    a, c, q = 0.8 * np.linalg.qr(rng.normal(size=(d, d)))[0], rng.normal(size=(units, d)), 0.2 * np.eye(d)
    offset, r, carried = 0.1 * rng.normal(size=units), np.array([0.3, 0.5, 0.2]), np.array([0.9, 0.5, 0.2])
    small = LinearSystem(a, q, c, offset, r, np.zeros(d), np.eye(d))
    z, seen = rng.normal(size=(frames, units)), gappy(rng, frames, units)
    (got,) = system_filter(small, carried, Stretch.held(np.where(seen, z, np.nan), seen))
    # State [x(t), y(t)], observed without noise but for a trace that keeps the information form finite.
    big_a = np.block([[a, np.zeros((d, units))], [c @ a, np.diag(carried)]])
    noise = np.concatenate([np.eye(d), c]) @ q @ np.concatenate([np.eye(d), c]).T
    noise[d:, d:] += np.diag(r)
    read = np.concatenate([np.zeros((units, d)), np.eye(units)], axis=1)
    start = np.concatenate([np.eye(d), c]) @ np.eye(d) @ np.concatenate([np.eye(d), c]).T
    start[d:, d:] += np.diag(carried**2 + r)
    shift = np.linalg.solve(np.eye(units) - np.diag(carried), offset)
    first = np.concatenate([np.zeros(d), offset - shift])
    whole = LinearSystem(big_a, noise, read, shift, np.full(units, 1e-9), first, start)
    (theirs,) = system_filter(whole, np.zeros(units), Stretch.held(np.where(seen, z, 0.0), seen))
    np.testing.assert_allclose(got.mean, theirs.mean, atol=1e-5)
    np.testing.assert_allclose(got.state, theirs.state[:, :d], atol=1e-5)
    np.testing.assert_allclose(got.variance, theirs.variance, atol=1e-5)


@cache
def recording(frames: int = 500, units: int = 6, seed: int = 5) -> Recording:
    """Units with a slow memory of their own that also drive each other."""
    rng = np.random.default_rng(seed)
    matrix = 0.75 * np.eye(units) + 0.2 * rng.normal(size=(units, units)) / np.sqrt(units)
    mix = np.eye(units) + 0.3 * rng.normal(size=(units, units))
    x = np.zeros((frames, units))
    for t in range(1, frames):
        x[t] = matrix @ x[t - 1] + mix @ rng.normal(size=units)
    scale, level = rng.uniform(0.5, 3.0, units), rng.normal(size=units)
    names = tuple(f"unit{k}" for k in range(units))
    return Recording("made", level + scale * x, names, 2.0).split(train=0.6, validation=0.15)


def blanked(one: Recording, kind: str, seed: int = 6) -> Recording:
    rng = np.random.default_rng(seed)
    seen = np.ones(one.values.shape, bool)
    if kind == "blocks":
        while seen.mean() > 0.85:
            first, unit = rng.integers(one.frames), rng.integers(len(one.units) + 1)
            if unit == len(one.units):
                seen[first : first + 5] = False
            else:
                seen[first : first + 20, unit] = False
    elif kind == "unit":
        seen[100:250, 0] = False
        seen[420:470, 1] = False
    elif kind == "rare":
        seen[:, 0] = rng.random(one.frames) < 0.03
    else:
        seen = rng.random(seen.shape) >= float(kind)
    return replace(one, values=np.where(seen, one.values, np.nan), mask=seen)


def skill(name: str, one: Recording) -> dict:
    return score(BASELINES[name](one, CONFIG), one, CONFIG)["test"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LINEAR)
def test_baselines_keep_most_of_their_skill_where_values_are_missing(name: str) -> None:
    """The floors of the issue; today a mean in the place of a missing value, or no fit at all, loses more."""
    whole = recording()
    full = skill(name, whole).one_step.skill_vs_persistence
    assert full > 0.05
    for kind, share in (("0.02", 0.8), ("0.15", 0.65), ("0.4", 0.4), ("blocks", 0.65)):
        got = skill(name, blanked(whole, kind))
        assert got.one_step.skill_vs_persistence >= share * full, kind
        assert np.isfinite(got.free_run.fc_corr), kind
        assert all(np.isfinite(value) for value in got.horizon_skill.values()), kind


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("kind", ["unit", "rare"])
def test_units_that_are_unobserved_for_long_or_mostly_are_predicted(name: str, kind: str) -> None:
    one = blanked(recording(), kind)
    model = BASELINES[name](one, CONFIG)
    predicted = model.one_step(one)
    assert np.isfinite(predicted[10:]).all()
    test = one.require_parts()["test"]
    held = np.concatenate([np.full((1, 6), np.nan), hold_last(one.values, one.mask)[:-1]])
    scored = one.mask & np.isfinite(held)
    scored[: test.start] = False
    error = ((predicted - one.values)[scored] ** 2).mean()
    assert error < ((held - one.values)[scored] ** 2).mean()


@pytest.mark.parametrize("name", LINEAR)
def test_a_prediction_through_a_gap_is_not_that_of_the_mean_in_its_place(name: str) -> None:
    """The last frame of a unit is missing; its neighbours and the frame before it say where it was."""
    whole = recording()
    model = BASELINES[name](whole, CONFIG)
    test = whole.require_parts()["test"]
    errors = {"filtered": [], "mean": []}
    for t in range(test.start + 5, test.stop - 1, 6):
        seen = np.ones(whole.values.shape, bool)
        seen[t, 0] = False
        hidden = replace(whole, values=np.where(seen, whole.values, np.nan), mask=seen)
        in_place = np.where(seen, whole.values, model.scaling.means)
        for key, one in (("filtered", hidden), ("mean", replace(whole, values=in_place))):
            errors[key].append(model.one_step(one)[t + 1, 0] - whole.values[t + 1, 0])
    assert np.mean(np.square(errors["filtered"])) < 0.8 * np.mean(np.square(errors["mean"]))


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("kind", first_fast(["unit", "0.3"], 1))
def test_hidden_values_have_no_influence_and_later_gaps_change_nothing_before(name: str, kind: str) -> None:
    one = blanked(recording(300, 4), kind if kind != "unit" else "0.1")
    results = []
    for filler in (np.nan, 1e9):
        other = replace(one, values=np.where(one.mask, one.values, filler))
        model = BASELINES[name](other, CONFIG)
        run = model.free_run(other, 260, 10, 40, np.ones((2, 10, 4)))
        results.append((model.one_step(other), model.horizon(other, np.array([200, 260]), 3), run))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
    later = replace(one, mask=one.mask & (np.arange(300) < 270)[:, None])
    np.testing.assert_allclose(model.one_step(later)[:271], results[0][0][:271], atol=1e-12)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(4)), seed=st.integers(0, 3))
def test_the_order_of_units_does_not_matter(order: list[int], seed: int) -> None:
    one = blanked(recording(100, 4, seed), "0.2", seed)
    moved = one.select_units([one.units[k] for k in order])
    for name in ("ar", "var_ridge", "var_around_ar", "reduced_rank"):
        first, second = BASELINES[name](one, CONFIG), BASELINES[name](moved, CONFIG)
        # Sums in another order, through some steps of expectation maximisation.
        np.testing.assert_allclose(second.one_step(moved), first.one_step(one)[:, order], rtol=1e-6, atol=1e-6)


def test_without_gaps_the_moments_are_the_datas() -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(size=(40, 3))
    plain = moments_without_gaps([Stretch.held(z, np.ones(z.shape, bool))], 2)
    expected = expected_moments(process(rng), [Stretch.held(z, np.ones(z.shape, bool))], [2])[2]
    np.testing.assert_array_equal(expected.gram, plain.gram)
    x = np.concatenate([z[1:-1], z[:-2]], axis=1)
    np.testing.assert_allclose(plain.cross, x.T @ z[2:], atol=1e-12)
