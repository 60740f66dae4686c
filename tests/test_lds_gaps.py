"""The linear dynamical system fitted to frames with gaps: against dense Gaussian algebra, statsmodels and the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from statsmodels.tsa.statespace.sarimax import SARIMAX

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.lag_one import lag_one
from connfit.evaluation.baselines.lds import NOTHING, Lds
from connfit.evaluation.baselines.linear_system import LinearSystem, maximise, subspace_start
from connfit.evaluation.baselines.system_filter import system_filter
from connfit.evaluation.baselines.system_moments import (
    expectation_maximisation,
    expected,
    informative,
    observed_span,
)
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.recordings import Recording


def system(rng: np.random.Generator, units: int, noise: float = 0.3) -> LinearSystem:
    """Two dimensions, a slow rotation."""
    angle = 0.3
    a = 0.9 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    q, r = np.array([[0.3, 0.05], [0.05, 0.2]]), noise * rng.uniform(0.5, 1.5, units)
    return LinearSystem(a, q, rng.normal(size=(units, 2)), 0.1 * rng.normal(size=units), r, np.zeros(2), np.eye(2))


def draw(rng: np.random.Generator, s: LinearSystem, carried: np.ndarray, frames: int) -> np.ndarray:
    x, y, out = s.m0, np.zeros(len(s.r)), []
    drive = np.linalg.cholesky(s.q)
    for _ in range(frames):
        y = carried * y + s.c @ x + s.offset + np.sqrt(s.r) * rng.normal(size=len(s.r))
        out.append(y)
        x = s.a @ x + drive @ rng.normal(size=len(x))
    return np.array(out)


def gappy(rng: np.random.Generator, frames: int, units: int) -> np.ndarray:
    """Gaps at random and in a whole frame; a unit that is seen from frame 5 to 12, one seen once, one never."""
    seen = rng.random((frames, units)) < 0.6
    seen[frames // 2] = False
    seen[:5, 0], seen[5, 0], seen[12, 0], seen[13:, 0] = False, True, True, False
    seen[:, 1] = np.arange(frames) == 4
    seen[:, 2] = False
    return seen


def dense(s: LinearSystem, carried: np.ndarray, z: np.ndarray, seen: np.ndarray):
    """Mean and covariance of states and values given what was observed, and the log likelihood.

    From the joint distribution of all of them as sums of independent noise. A unit begins with its first observed
    value, which is given.
    """
    (frames, units), d = z.shape, len(s.a)
    sources = frames * (d + units)
    spread = np.zeros((sources, sources))
    rows, mean = np.zeros((frames, d + units, sources)), np.zeros((frames, d + units))
    begun = np.zeros(units, bool)
    for t in range(frames):
        at = t * (d + units)
        spread[at : at + d, at : at + d] = s.q if t else s.v0
        spread[range(at + d, at + d + units), range(at + d, at + d + units)] = s.r
        rows[t, :d, at : at + d] = np.eye(d)
        mean[t, :d] = s.m0
        if t:
            rows[t, :d] += s.a @ rows[t - 1, :d]
            mean[t, :d] = s.a @ mean[t - 1, :d]
        for p in range(units):
            if begun[p]:
                rows[t, d + p] = carried[p] * rows[t - 1, d + p] + s.c[p] @ rows[t, :d]
                rows[t, d + p, at + d + p] += 1
                mean[t, d + p] = carried[p] * mean[t - 1, d + p] + s.c[p] @ mean[t, :d] + s.offset[p]
            elif seen[t, p]:
                mean[t, d + p], begun[p] = z[t, p], True
    flat, m = rows.reshape(-1, sources), mean.ravel().copy()
    covariance = flat @ spread @ flat.T
    values = np.concatenate([np.zeros((frames, d)), np.where(seen, z, 0.0)], axis=1).ravel()
    random = np.diag(covariance) > 0
    given = np.concatenate([np.zeros((frames, d), bool), seen], axis=1).ravel() & random
    error, among = values[given] - m[given], covariance[np.ix_(given, given)]
    gain = np.linalg.solve(among, covariance[given]).T
    likelihood = -0.5 * (error @ np.linalg.solve(among, error) + np.linalg.slogdet(2 * np.pi * among)[1])
    after = covariance - gain @ covariance[given]
    return (m + gain @ error).reshape(frames, -1), after.reshape(frames, d + units, frames, d + units), likelihood


def test_expected_states_and_values_are_those_of_the_joint_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    frames, units, d = 20, 6, 2
    s, carried = replace(system(rng, units), m0=np.array([0.5, -1.0])), rng.uniform(-0.5, 0.95, units)
    z, seen = rng.normal(size=(frames, units)), gappy(rng, frames, units)
    mean, covariance, _ = dense(s, carried, z, seen)
    stretch = Stretch.held(np.where(seen, z, np.nan), seen)
    span = observed_span(stretch)
    (got,) = expected(s, carried, stretch, span)
    used, missing = informative(seen, np.arange(frames), span)
    assert used[6:13, 0].all() and used[:, 0].sum() == 7 and not used[:, 1:3].any()
    t = np.arange(frames)
    # Both in float64: one by the inverse of the precision matrix, one by that of the covariance of what was observed.
    np.testing.assert_allclose(got.smoothed.mean, mean[:, :d], atol=1e-9)
    np.testing.assert_allclose(got.smoothed.covariance, covariance[t, :d, t, :d], atol=1e-9)
    np.testing.assert_allclose(got.smoothed.lagged, covariance[t[1:], :d, t[:-1], :d], atol=1e-9)
    np.testing.assert_allclose(got.filled[missing], mean[:, d:][missing], atol=1e-9)
    terms = got.left(carried)
    left, left_cross, left_variance = terms.y, terms.cross, terms.variance
    found = maximise([terms])
    for p in range(units):
        cross, variance = np.zeros(d), 0.0
        for now in np.flatnonzero(used[:, p]):
            last, own = now - 1, carried[p]
            assert left[now, p] == pytest.approx(mean[now, d + p] - own * mean[last, d + p], abs=1e-9)
            cross += covariance[now, d + p, now, :d] - own * covariance[last, d + p, now, :d]
            variance += covariance[now, d + p, now, d + p] - 2 * own * covariance[now, d + p, last, d + p]
            variance += own**2 * covariance[last, d + p, last, d + p]
        np.testing.assert_allclose(left_cross[p], cross, atol=1e-9)
        assert left_variance[p] == pytest.approx(variance, abs=1e-9)
        if p in (1, 2):
            continue
        # The M step: least squares of the differences on states and 1, in expectation.
        now = np.flatnonzero(used[:, p])
        inputs = np.concatenate([mean[now, :d], np.ones((len(now), 1))], axis=1)
        difference = mean[now, d + p] - carried[p] * mean[now - 1, d + p]
        gram, right = inputs.T @ inputs, inputs.T @ difference
        gram[:d, :d] += covariance[now, :d, now, :d].sum(axis=0)
        right[:d] += cross
        solved = np.linalg.solve(gram, right)
        np.testing.assert_allclose(np.append(found.c[p], found.offset[p]), solved, atol=1e-6)  # a ridge of 1e-9
        assert found.r[p] == pytest.approx((difference @ difference + variance - solved @ right) / len(now), abs=1e-6)


def test_the_likelihood_of_what_was_observed_never_falls() -> None:
    rng = np.random.default_rng(1)
    frames, units = 40, 6
    s, carried = system(rng, units), rng.uniform(0.3, 0.9, units)
    z, seen = draw(rng, s, carried, frames), gappy(rng, frames, units)
    s, trace = replace(s, a=0.3 * np.eye(2), c=rng.normal(size=(units, 2)), r=np.ones(units)), []
    for _ in range(12):
        trace.append(dense(s, carried, z, seen)[2])
        s, carried, _ = expectation_maximisation(s, carried, Stretch.held(z, seen), 1, with_decay=True)
    assert np.all(np.diff(trace) > -1e-6) and trace[-1] > trace[0] + 10


def test_without_gaps_an_iteration_is_that_of_the_differences_and_regression_on_the_last_frame() -> None:
    rng = np.random.default_rng(2)
    s, carried = system(rng, 5), rng.uniform(0.3, 0.9, 5)
    z, seen = draw(rng, s, carried, 80), np.ones((80, 5), bool)
    usable = seen & (np.arange(80) > 0)[:, None]
    before = np.concatenate([np.zeros((1, 5)), z[:-1]])
    left = np.where(usable, z - carried * before, 0.0)
    differences, whole = Stretch.held(left, usable), Stretch.held(z, seen)
    smoothed = next(expected(s, np.zeros(5), differences, observed_span(differences))).smoothed
    e = next(expected(s, carried, whole, observed_span(whole)))
    np.testing.assert_allclose(e.smoothed.mean, smoothed.mean, atol=1e-9)
    np.testing.assert_allclose(e.smoothed.lagged, smoothed.lagged, atol=1e-9)
    got, decay, _ = expectation_maximisation(s, carried, Stretch.held(z, seen), 1, with_decay=True)
    x, v = smoothed.mean[1:], smoothed.covariance[1:].sum(axis=0)
    for p in range(5):
        inputs = np.column_stack([x, np.ones(79), z[:-1, p]])
        gram = inputs.T @ inputs
        gram[:2, :2] += v
        expected_ = np.linalg.solve(gram, inputs.T @ z[1:, p])
        np.testing.assert_allclose(np.r_[got.c[p], got.offset[p], decay[p]], expected_, atol=1e-6)  # a ridge of 1e-9


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_gaps_do_not_shrink_the_covariances_that_the_start_is_made_of(share: float) -> None:
    rng = np.random.default_rng(3)
    s = system(rng, 6)
    y = draw(rng, s, np.zeros(6), 6000)
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    seen = rng.random(y.shape) >= share
    whole, some = (subspace_start(Stretch.held(y, mask), 2) for mask in (np.ones(y.shape, bool), seen))
    # Products of two entries count as 0 where one is missing if gaps are filled with the mean: (1 - share)² is left.
    shared = [np.linalg.norm(one.c @ one.v0 @ one.c.T) for one in (whole, some)]
    assert shared[1] == pytest.approx(shared[0], rel=0.1)
    lagged = [np.linalg.norm(one.c @ one.a @ one.v0 @ one.c.T) for one in (whole, some)]
    assert lagged[1] == pytest.approx(lagged[0], rel=0.1)


def test_starts_from_few_pairs_are_distributions() -> None:
    """Covariances from other frames each are not those of any distribution: a system must be."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        y, seen = rng.normal(size=(16, 6)), rng.random((16, 6)) < 0.3
        start = subspace_start(Stretch.held(np.where(seen, y, np.nan), seen), 3)
        assert np.linalg.eigvalsh(start.q).min() > 0 and np.linalg.eigvalsh(start.v0).min() > 0
        assert np.isfinite(next(system_filter(start, np.zeros(6), Stretch.held(y, seen))).mean).all()


def test_a_decay_through_gaps_is_that_of_greatest_likelihood() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.95, 0.6, -0.5, 0.2])
    x = np.zeros((400, 4))
    for t in range(1, 400):
        x[t] = truth * x[t - 1] + rng.normal(size=4)
    seen = rng.random(x.shape) < 0.6
    seen[0], seen[100:115] = True, False
    decay, spread = lag_one(Stretch.held(np.where(seen, x, 0.0), seen))
    for p in range(4):
        model = SARIMAX(np.where(seen, x, np.nan)[:, p], order=(1, 0, 0), enforce_stationarity=False)
        model.ssm.initialize_known(x[0, p : p + 1], np.zeros((1, 1)))
        found = minimize(
            lambda v, model=model: -model.loglike([v[0], np.exp(v[1])]),
            [0.5, 0.0],
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-10},
        )
        their_decay, their_spread = found.x[0], np.exp(found.x[1] / 2)
        assert decay[p] == pytest.approx(their_decay, abs=1e-5)
        assert spread[p] == pytest.approx(their_spread, rel=0.01)  # about its mean and about 0
    rare = np.zeros(x.shape, bool)
    rare[7, 0], rare[::2, 1] = True, True
    decay, spread = lag_one(Stretch.held(np.where(rare, x, 0.0), rare))
    # The sign of what is seen in every other frame only cannot be known.
    assert decay[0] == decay[2] == 0 and spread[0] == spread[2] == 1 and decay[1] > 0


@pytest.mark.slow
def test_a_fit_to_frames_with_gaps_is_nearly_as_near_the_truth_as_one_without() -> None:
    """The error on new frames over that of the system that made them, seen through the same gaps."""
    rng = np.random.default_rng(6)
    units = 20
    s, carried = system(rng, units, noise=1.0), np.full(units, 0.8)
    y = draw(rng, s, carried, 600)
    excess = []
    for share in (0.0, 0.4):
        seen = rng.random(y.shape) >= share
        one = Recording("made", np.where(seen, y, np.nan), tuple(f"u{k}" for k in range(units)), 2.0, mask=seen)
        one = one.split(train=0.5, validation=0.1)
        lds = Lds.fit(one, EvaluateConfig(latent_dimensions=(2,)))
        assert lds.chosen["carried"] != NOTHING
        best = next(system_filter(s, carried, Stretch.held(y, seen))).mean
        scored = seen & (np.arange(600) >= one.require_parts().test[0])[:, None]
        errors = [np.mean((y - predicted)[scored] ** 2) for predicted in (lds.one_step(one), best)]
        excess.append(errors[0] / errors[1] - 1)
    # 60 % of the entries say less: by the number of values alone, 1.7 times the excess.
    assert 0 < excess[0] < 0.06 and 0 < excess[1] < 2 * excess[0]
