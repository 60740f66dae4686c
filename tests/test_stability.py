"""Eigenvalues against dense decompositions, random matrices and linear systems whose spectrum is known."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import Problem, dense_matrices, random_connectome, random_problem
from small import first_fast, student

from connfit._io import as_result, plain
from connfit.analysis.dynamics.spectrum import Spectrum, arpack_bytes, leading_eigenvalues
from connfit.analysis.dynamics.stability import jacobian_spectrum, linear_model_spectrum, weight_spectrum
from connfit.errors import ConfigError, ConnfitError, DataError
from connfit.models import RateModel, Readout
from connfit.models.rest import settle


def assert_same_values(got: Spectrum, expected: np.ndarray, *, atol: float) -> None:
    """Each of the values is one of the expected ones, and their magnitudes are the largest."""
    np.testing.assert_allclose(np.abs(got.values), np.sort(np.abs(expected))[::-1][: len(got.values)], atol=atol)
    for one in got.values:
        assert np.abs(expected - one).min() < atol


@pytest.mark.parametrize("dense_up_to", [0, 1000], ids=["arpack", "dense"])
def test_known_spectrum(dense_up_to: int) -> None:
    """Rotations that decay: eigenvalues ρ exp(±iω), in a basis that is not orthogonal."""
    rng = np.random.default_rng(0)
    n = 60
    blocks = np.zeros((n, n))
    radii, angles = np.linspace(0.95, 0.1, n // 2), rng.uniform(0.3, 2.5, n // 2)
    for k, (radius, angle) in enumerate(zip(radii, angles, strict=True)):
        c, s = radius * np.cos(angle), radius * np.sin(angle)
        blocks[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[c, -s], [s, c]]
    basis = np.eye(n) + 0.1 * rng.normal(size=(n, n))
    matrix = basis @ blocks @ np.linalg.inv(basis)
    found = leading_eigenvalues(lambda v: matrix @ v, n, k=8, step_s=0.5, tolerance=1e-10, dense_up_to=dense_up_to)
    expected = np.repeat(radii[:4], 2) * np.exp(1j * np.repeat(angles[:4], 2) * np.tile([1, -1], 4))
    np.testing.assert_allclose(found.values, expected, atol=1e-7)
    assert found.radius == pytest.approx(0.95)
    np.testing.assert_allclose(np.array(found.time_scales_s[::2], float), -0.5 / np.log(radii[:4]))
    np.testing.assert_allclose(np.array(found.periods_s[::2], float), 2 * np.pi * 0.5 / angles[:4])
    assert max(found.residuals) < 1e-6
    assert found.products >= 8 and found.requested == 8


def test_residuals_tell_of_a_wrong_eigenvector() -> None:
    """The same products, but disturbed after the decomposition, leave residuals of the size of the disturbance."""
    matrix, calls = np.diag(np.linspace(1, 0.1, 40)), 0

    def apply(v: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return matrix @ v + (0.05 * np.roll(v, 1, axis=0) if calls > 1 else 0)

    np.testing.assert_allclose(leading_eigenvalues(apply, 40, k=5).residuals, 0.05, rtol=1e-6)


def test_circular_law() -> None:
    """Independent entries of standard deviation g/√N: a disc of radius g, filled evenly (Girko 1985)."""
    n, g, k = 700, 0.9, 40
    matrix = np.random.default_rng(1).normal(size=(n, n)) * g / np.sqrt(n)
    found = leading_eigenvalues(lambda v: matrix @ v, n, k=k)
    assert len(found.values) == k
    assert found.radius == pytest.approx(g, rel=0.08)
    # Even filling: k of n lie outside g √(1 - k/n).
    assert abs(found.values[-1]) == pytest.approx(g * np.sqrt(1 - k / n), rel=0.04)
    assert max(found.residuals) < 1e-3


def test_signed_columns_fill_the_same_disc() -> None:
    """A sparse network of balanced excitation and inhibition with equal magnitudes (Rajan & Abbott 2006)."""
    n, inputs = 400, 40
    rng = np.random.default_rng(2)
    brain = random_connectome(rng, n, inputs)
    readout = Readout(sp.csr_array(np.ones((1, n))), ("all",))
    model = RateModel.from_connectome(brain, readout, step_s=1.0, drive="none")
    weights = np.full(brain.m, 1 / np.sqrt(inputs), np.float32)
    found = weight_spectrum(model, {"weights": jnp.asarray(weights)}, k=20, dense_up_to=0)
    signed = brain.matrix(weights).toarray()
    assert_same_values(found, np.linalg.eigvals(signed), atol=2e-4)
    # The balance is that of a draw, not exact: beside the disc one eigenvalue stands for the mean.
    assert np.abs(found.values)[4:].max() == pytest.approx(1, rel=0.1)
    assert found.time_scales_s == (None,) * 20


@pytest.mark.parametrize("electrical", [0, 9])
@pytest.mark.parametrize("dense_up_to", [0, 500], ids=["arpack", "dense"])
def test_weights_of_a_model(electrical: int, dense_up_to: int) -> None:
    problem = random_problem(3, neurons=40, electrical=electrical)
    w = np.asarray(dense_matrices(problem, problem.params)[0], np.float64)
    found = weight_spectrum(problem.model, problem.params, k=6, dense_up_to=dense_up_to)
    assert found.matrix == "weights" and found.size == 40
    assert_same_values(found, np.linalg.eigvals(w), atol=1e-4)


def dense_jacobian(problem: Problem, rates: np.ndarray, given: np.ndarray | None, loop: str) -> np.ndarray:
    """∂r(t)/∂r(t-1) by central differences of the equations."""
    w, e, c = (np.asarray(a, np.float64) for a in dense_matrices(problem, problem.params))
    tau = np.exp(np.asarray(problem.params["log_time_constants"]))
    alpha, bias = np.exp(-problem.model.step_s / tau)[:, None], np.asarray(problem.params["bias"])[:, None]
    seen = (c @ rates if given is None else given)[:, None]

    def step(r: np.ndarray) -> np.ndarray:
        # Where inputs are given, a closed loop means that they follow the read-out from there on.
        u = seen + (c @ (r - rates[:, None]) if loop == "closed" else 0)
        x = w @ r + bias + np.maximum(e @ u, 0)
        steady = np.maximum(x, 0) if problem.model.neuron.nonlinearity == "relu" else np.logaddexp(x, 0)
        return alpha * r + (1 - alpha) * steady

    apart = 1e-6 * np.eye(len(rates))
    return (step(rates[:, None] + apart) - step(rates[:, None] - apart)) / 2e-6


@pytest.mark.parametrize(
    "options",
    [
        {"nonlinearity": "softplus"},
        {"nonlinearity": "softplus", "drive": "anatomical", "electrical": 9},
        {"nonlinearity": "softplus", "learned_readout": True},
        {"nonlinearity": "relu"},
        {"nonlinearity": "softplus", "drive": "none"},
    ],
    ids=str,
)
@pytest.mark.parametrize("loop", first_fast(["closed", "open"], 1))
@pytest.mark.usefixtures("float64")
def test_jacobian_is_the_derivative_of_a_step(options: dict, loop: str) -> None:
    problem = random_problem(4, neurons=40, **options)
    rng = np.random.default_rng(5)
    rates = rng.random(40)
    for given in (None, rng.random(4)):
        dense = np.linalg.eigvals(dense_jacobian(problem, rates, given, loop))
        found = jacobian_spectrum(problem.model, problem.params, rates, inputs=given, loop=loop, k=40)
        decays = np.asarray(problem.model.decay(problem.params))
        assert found.radius == pytest.approx(np.abs(dense).max(), rel=1e-7)
        assert found.size == 40 and len(found.values) + found.silent == 40
        assert (found.silent > 0) == (options["nonlinearity"] == "relu")
        # What is computed, and the decays that silent neurons have, are together the spectrum.
        rest = list(dense)
        for one in found.values:
            rest.pop(int(np.argmin([abs(one - other) for other in rest])))
        assert len(rest) == found.silent
        assert all(np.abs(decays - one).min() < 1e-7 for one in rest)
        assert found.silent_radius == pytest.approx(max(np.abs(rest), default=0), rel=1e-7)
        assert max(found.residuals) < 1e-10


@pytest.mark.usefixtures("float64")
def test_closing_the_loop_changes_the_jacobian() -> None:
    """Were the loop ignored, the test above would pass for a model without a drive alone."""
    problem = random_problem(4, neurons=40, nonlinearity="softplus")
    rates = np.random.default_rng(5).random(40)
    closed, opened = (jacobian_spectrum(problem.model, problem.params, rates, loop=loop) for loop in ("closed", "open"))
    assert abs(closed.radius - opened.radius) > 1e-3


def test_jacobian_by_arpack_in_single_precision() -> None:
    problem = random_problem(6, neurons=80)
    rates = np.random.default_rng(7).random(80).astype(np.float32)
    whole = jacobian_spectrum(problem.model, problem.params, rates, k=6)
    sparse = jacobian_spectrum(problem.model, problem.params, rates, k=6, dense_up_to=0)
    np.testing.assert_allclose(np.abs(sparse.values), np.abs(whole.values), atol=1e-4)
    assert max(sparse.residuals) < 1e-4
    assert sparse.step_s == problem.model.step_s


def test_the_state_is_described() -> None:
    one = student()
    rates = np.random.default_rng(8).random(one.model.neurons)
    state = jacobian_spectrum(one.model, one.params, rates, k=3).state
    assert state["loop"] == "closed" and state["inputs"] == "own read-out"
    assert state["change"] > 0.01 and state["mean_rate"] == pytest.approx(rates.mean(), rel=1e-5)
    rest = settle(one.model, one.params, rates, inputs=np.full(one.model.units, 0.3))
    assert rest.change < 1e-6 and rest.steps < 2000
    at_rest = jacobian_spectrum(one.model, one.params, rest.rates, inputs=np.full(one.model.units, 0.3), loop="open")
    assert at_rest.state["change"] < 1e-5
    assert at_rest.radius < 1


def test_settling_is_a_run_of_the_model() -> None:
    one = student()
    plain, rates = one.plain(), np.full(one.model.neurons, 0.2)
    u = np.full(one.model.units, 0.3)
    got = settle(one.model, one.params, rates, inputs=u, steps=4)
    for _ in range(4):
        before, rates = rates, plain.step(rates, u)
    np.testing.assert_allclose(got.rates, rates, rtol=1e-5, atol=1e-6)
    assert got.steps == 4
    assert got.change == pytest.approx(np.linalg.norm(rates - before) / np.linalg.norm(rates), rel=1e-3)
    assert settle(one.model, one.params, got.rates, inputs=u, steps=2000).steps < 200


def test_a_slow_signal_alone_gives_a_linear_model_near_the_unit_circle() -> None:
    """Independent units of time constant 20 frames and no interaction at all."""
    rng, frames, units = np.random.default_rng(9), 4000, 5
    values = np.zeros((frames, units))
    for t in range(1, frames):
        values[t] = np.exp(-1 / 20) * values[t - 1] + rng.normal(size=units)
    found = linear_model_spectrum(values, step_s=0.5)
    np.testing.assert_allclose(np.abs(found.values), np.exp(-1 / 20), atol=0.025)
    assert np.mean(np.array(found.time_scales_s, float)) == pytest.approx(10, rel=0.3)
    values[100, 2] = np.nan
    again = linear_model_spectrum(values, step_s=0.5)
    assert again.state["left_out"] == 2 and again.state["pairs_of_frames"] == frames - 3
    assert linear_model_spectrum(values, step_s=0.5, ridge=10.0).radius < 0.2
    with pytest.raises(DataError, match=r"5 units needs more than 5 pairs of complete frames, there are 3"):
        linear_model_spectrum(values[:4], step_s=0.5)


def test_a_spectrum_is_plain() -> None:
    found = leading_eigenvalues(lambda v: np.diag([1.5, 1.0, 0.5, 0.0]) @ v, 4, k=9, step_s=1.0)
    assert found.eigenvalues == ((1.5, 0.0), (1.0, 0.0), (0.5, 0.0), (0.0, 0.0))
    assert found.time_scales_s[0] is not None and found.time_scales_s[0] < 0, "a mode that grows"
    assert found.time_scales_s[1] is None and found.time_scales_s[3] == 0
    assert found.periods_s == (None,) * 4
    assert (found.requested, found.found, found.outside_unit_circle) == (9, 4, 1)
    assert as_result(plain(found), Spectrum) == found
    assert arpack_bytes(138_639, 1000) == pytest.approx(5.59e9, rel=0.01)


def test_what_does_not_converge_is_counted_or_said() -> None:
    matrix = np.random.default_rng(10).normal(size=(300, 300))
    few = {"k": 30, "tolerance": 1e-14, "dense_up_to": 0}
    partial = leading_eigenvalues(lambda v: matrix @ v, 300, restarts=8, **few)
    assert 0 < len(partial.values) <= 30 and not partial.converged
    assert partial.found == len(partial.values)
    assert leading_eigenvalues(lambda v: matrix @ v, 300, **few).converged
    with pytest.raises(ConnfitError, match="no eigenvalue of the operator converged within 1 restarts"):
        leading_eigenvalues(lambda v: np.roll(v, 1, axis=0), 300, restarts=1, **few)


def test_no_connections_are_no_error() -> None:
    nothing = leading_eigenvalues(lambda v: 0 * v, 600, k=3)
    assert nothing.values.tolist() == [0, 0, 0] and nothing.residuals == (0, 0, 0)


def test_mistakes_are_named() -> None:
    one = student()
    rates = np.zeros(one.model.neurons)
    with pytest.raises(ConfigError, match="at least one eigenvalue"):
        weight_spectrum(one.model, one.params, k=0)
    with pytest.raises(ConfigError, match=r"loop is 'close', .*did you mean 'closed'"):
        jacobian_spectrum(one.model, one.params, rates, loop="close")
    with pytest.raises(ConfigError, match=r"rates has shape \(3,\), but must have \(40,\)"):
        jacobian_spectrum(one.model, one.params, rates[:3])
    with pytest.raises(ConfigError, match="rates is not finite at 5"):
        settle(one.model, one.params, np.where(np.arange(40) == 5, np.nan, rates))
    with pytest.raises(ConnfitError, match="weights are not finite"):
        weight_spectrum(one.model, {**one.params, "weights": one.params["weights"] * np.inf})
