"""Largest Lyapunov exponents that are known, and products of dense Jacobians."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from networks import Problem, dense_matrices, random_problem
from small import student

from connfit._io import as_result, plain
from connfit.analysis.dynamics.lyapunov import LyapunovExponent, lyapunov_exponent, lyapunov_of
from connfit.analysis.dynamics.stability import jacobian_spectrum
from connfit.analysis.result import narrowed
from connfit.errors import ConfigError, ConnfitError
from connfit.models.frame_loop import CHUNK
from connfit.models.rest import settle


def logistic(r: float):
    def advance(x: float, d: np.ndarray) -> tuple[float, np.ndarray]:
        return r * x * (1 - x), r * (1 - 2 * x) * d

    return advance


def test_linear_system() -> None:
    """ln of the spectral radius, here of a matrix that is not normal and at first makes differences grow."""
    matrix = np.array([[0.8, 5.0], [0.0, 0.5]])
    found = lyapunov_of(
        lambda x, d: (matrix @ x, matrix @ d), np.ones(2), np.array([0.0, 1.0]), steps=400, transient=100, step_s=0.5
    )
    assert found.per_step == pytest.approx(np.log(0.8), abs=1e-9)
    assert found.per_second == pytest.approx(2 * np.log(0.8))
    assert found.interval_per_step == pytest.approx((np.log(0.8), np.log(0.8)))
    # Without the transient the growth at first is part of the mean.
    early = lyapunov_of(lambda x, d: (x, matrix @ d), np.ones(2), np.array([0.0, 1.0]), steps=10, blocks=2)
    assert early.per_step > np.log(0.8) + 0.1


@pytest.mark.parametrize(
    ("r", "expected", "tolerance"),
    [
        (4.0, np.log(2), 0.02),  # conjugate to the tent map
        (2.5, np.log(0.5), 1e-9),  # stable fixed point 1 - 1/r with slope 2 - r
        (3.2, 0.5 * np.log(0.16), 1e-9),  # stable cycle of two with slope 4 + 2r - r²
    ],
)
def test_logistic_map(r: float, expected: float, tolerance: float) -> None:
    found = lyapunov_of(logistic(r), 0.3141, np.ones(1), steps=20_000, transient=1000)
    assert found.per_step == pytest.approx(expected, abs=tolerance)
    low, high = found.interval_per_step
    assert low - 1e-9 <= expected <= high + 1e-9
    assert len(found.growth) == found.steps == 20_000 and found.transient_steps == 1000


def test_henon_map() -> None:
    """Two dimensions, so that the tangent turns: 0.4192 for a = 1.4, b = 0.3 (Wolf et al. 1985)."""

    def advance(x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.array([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), np.array([-2.8 * x[0] * d[0] + d[1], 0.3 * d[0]])

    found = lyapunov_of(advance, np.zeros(2), np.ones(2), steps=20_000, transient=100)
    assert found.per_step == pytest.approx(0.4192, abs=0.01)


def test_a_difference_that_vanishes_at_once() -> None:
    found = lyapunov_of(lambda x, d: (x, 0 * d), 0.0, np.ones(2), steps=20)
    assert found.growth[0] == -np.inf and found.per_step is None and found.interval_per_step == (None, None)
    assert "minus infinity" in found.notes[0]
    written = narrowed(found, LyapunovExponent)
    assert as_result(plain(written), LyapunovExponent) == written


def growth_by_hand(
    problem: Problem, rates: np.ndarray, inputs: np.ndarray, forced: np.ndarray, tangent: np.ndarray
) -> np.ndarray:
    """Logarithmic growth of a tangent at each step by dense Jacobians in double precision (relu)."""
    w, e, c = (np.asarray(a, np.float64) for a in dense_matrices(problem, problem.params))
    tau = np.exp(np.asarray(problem.params["log_time_constants"], np.float64))
    alpha, bias = np.exp(-problem.model.step_s / tau), np.asarray(problem.params["bias"], np.float64)
    growth = []
    for given, is_forced in zip(inputs, forced, strict=True):
        own = np.where(is_forced, 0, 1)
        drive = e @ (given + own * (c @ rates))
        x = w @ rates + bias + np.maximum(drive, 0)
        through = w + (drive >= 0)[:, None] * (e @ (own[:, None] * c))
        jacobian = np.diag(alpha) + ((1 - alpha) * (x >= 0))[:, None] * through
        rates = alpha * rates + (1 - alpha) * np.maximum(x, 0)
        tangent = jacobian @ tangent
        growth.append(np.log(np.linalg.norm(tangent)))
        tangent /= np.linalg.norm(tangent)
    return np.array(growth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "part_forced", "kind"),
    [
        ({}, None, "free"),
        ({"drive": "anatomical", "electrical": 9}, 1.0, "driven"),
        ({"learned_readout": True}, 0.5, "mixed"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("float64")
def test_a_model_against_products_of_dense_jacobians(options: dict, part_forced: float | None, kind: str) -> None:
    """Over more steps than a chunk, with a last chunk that is shorter."""
    problem = random_problem(11, neurons=30, **options)
    problem.params["weights"] *= 0.4
    rng, total = np.random.default_rng(12), CHUNK + 30
    rates = rng.random(30)
    inputs, forced = rng.normal(0.3, 0.3, (total, 4)), rng.random((total, 4)) < (part_forced or 0)
    if part_forced is None:
        found = lyapunov_exponent(problem.model, problem.params, rates, steps=total - 10, transient=10, seed=1)
        inputs = np.zeros_like(inputs)
    else:
        found = lyapunov_exponent(
            problem.model, problem.params, rates, inputs=inputs, forced=forced, transient=10, seed=1
        )
    tangent = np.random.default_rng(1).standard_normal(30)
    expected = growth_by_hand(problem, rates, inputs, forced, tangent / np.linalg.norm(tangent))
    np.testing.assert_allclose(found.growth, expected[10:], atol=1e-9)
    assert found.driven == kind
    assert np.isclose(found.per_second, expected[10:].mean() / problem.model.step_s)


def test_a_stable_fixed_point_has_the_exponent_of_its_slowest_mode() -> None:
    problem = random_problem(13, neurons=30, nonlinearity="softplus")
    params = {key: 0.2 * value if key != "log_time_constants" else value for key, value in problem.params.items()}
    rest = settle(problem.model, params, np.full(30, 0.2))
    assert rest.change < 1e-6
    slowest = jacobian_spectrum(problem.model, params, rest.rates, k=2)
    assert slowest.radius < 1
    found = lyapunov_exponent(problem.model, params, rest.rates, steps=300, transient=300)
    assert found.per_step == pytest.approx(np.log(slowest.radius), abs=2e-3)
    assert found.per_step < 0


def test_differences_shrink_or_grow_as_the_exponent_says() -> None:
    """Two runs of the equations from almost the same rates, apart from the tangent altogether."""
    one = student()
    plain, rng = one.plain(), np.random.default_rng(14)
    inputs = rng.random((260, one.model.units))
    rates = np.full(one.model.neurons, 0.3)
    found = lyapunov_exponent(one.model, one.params, rates, inputs=inputs, transient=60)
    near = rates + 1e-7 * rng.normal(size=one.model.neurons)
    logs = []
    for u in inputs:
        rates, near = plain.step(rates, u), plain.step(near, u)
        gap = np.linalg.norm(near - rates)
        logs.append(np.log(gap / 1e-7))
        near = rates + (near - rates) * 1e-7 / gap
    assert found.driven == "driven"
    assert found.per_step == pytest.approx(np.mean(logs[60:]), abs=0.01)


def test_a_run_that_explodes_is_used_up_to_there() -> None:
    problem = random_problem(15, neurons=30)
    params = {**problem.params, "weights": jnp.asarray(problem.params["weights"] * 60)}
    found = lyapunov_exponent(problem.model, params, np.full(30, 0.5), steps=1000, transient=0, blocks=2)
    assert len(found.growth) < 1000 and "stops being finite" in found.notes[0]
    assert found.per_step > 1 and np.isfinite(found.growth).all()
    with pytest.raises(ConnfitError, match="before there are 10 steps after the transient of 500: the model is unst"):
        lyapunov_exponent(problem.model, params, np.full(30, 0.5), steps=1000, transient=500)


def test_mistakes_are_named() -> None:
    one = student()
    rates, inputs = np.zeros(one.model.neurons), np.zeros((50, one.model.units))
    with pytest.raises(ConfigError, match="give the number of steps"):
        lyapunov_exponent(one.model, one.params, rates)
    with pytest.raises(ConfigError, match=r"at least 2 blocks .* got 10 blocks, 5 steps"):
        lyapunov_exponent(one.model, one.params, rates, steps=5)
    with pytest.raises(ConfigError, match=r"inputs has shape \(50, 8\), but must have \(120, 8\)"):
        lyapunov_exponent(one.model, one.params, rates, inputs=inputs, steps=100, transient=20)
    with pytest.raises(ConfigError, match=r"inputs is not finite at step 3, unit 2"):
        bad = inputs.copy()
        bad[3, 2] = np.nan
        lyapunov_exponent(one.model, one.params, rates, inputs=bad, transient=0)
    with pytest.raises(ConfigError, match=r"rates has shape \(5,\), but must have \(40,\)"):
        lyapunov_exponent(one.model, one.params, rates[:5], steps=50)
    with pytest.raises(ConfigError, match="must not be zero"):
        lyapunov_of(lambda x, d: (x, d), 0.0, np.zeros(2), steps=50)
    with pytest.raises(ConnfitError, match="stops being finite at step 0"):
        lyapunov_of(lambda x, d: (x, d * np.inf), 0.0, np.ones(2), steps=50)
