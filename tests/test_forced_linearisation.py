"""Jacobians and Lyapunov exponents with state forcing, against autodiff of the prediction step itself, in float64."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import predict
from small import first_fast
from test_state_forcing import NEURONS, SHARED, SINGLE, UNITS, problem

from connfit.analysis.dynamics.lyapunov import lyapunov_exponent
from connfit.analysis.dynamics.stability import jacobian_spectrum
from connfit.models import RateModel
from connfit.models.base import Neurons
from connfit.models.cells.rate import Rate
from connfit.models.forward import correct, step, tangent_step

pytestmark = pytest.mark.usefixtures("float64")

CASES = [(SINGLE, 1.5), (SHARED, 1.0), (SINGLE, 0.0), (SINGLE, 1.0), (SHARED, 1.5)]
IDS = ["neurons, phi 1.5", "regions, phi 1", "neurons, phi 0", "neurons, phi 1", "regions, phi 1.5"]


def smooth(reads: np.ndarray, phi: float) -> tuple[RateModel, dict]:
    """A model whose rates are smooth in its parameters, apart from the relu of the drive."""
    model, params, _ = problem(phi, reads=reads)
    return replace(model, neuron=Rate(nonlinearity="softplus")), params


@jax.jit
@partial(jax.jacrev, argnums=2)
def _of_prediction(model: RateModel, params: dict, r: jax.Array, given: jax.Array, forced: jax.Array) -> jax.Array:
    return predict(model, params, r[:, None], given[None, :, None], forced[None, :, None])[0][:, 0]


@jax.jit
@partial(jax.jacrev, argnums=2)
def _of_noisy(model: RateModel, params: dict, r: jax.Array, noise: jax.Array) -> jax.Array:
    r = r[:, None]
    z = model.readout.apply(model.readout_strengths(params), r) + noise[:, None]
    has = jnp.ones(z.shape, bool)
    return step(model, params, Neurons(correct(model, (r,), z, has)), z, has)[0].rates[:, 0]


def dense(model: RateModel, params: dict, rates: np.ndarray, given: np.ndarray, forced: np.ndarray) -> np.ndarray:
    """[N, N] derivative of the prediction step by autodiff of `predict`, which evaluation uses."""
    return np.asarray(_of_prediction(model, params, *map(jnp.asarray, (rates, given, forced))))


def dense_noisy(model: RateModel, params: dict, rates: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The same of a step that is shown its own read-out plus noise, as in
    `connfit.analysis.dynamics.simulated_activity`.
    """
    return np.asarray(_of_noisy(model, params, jnp.asarray(rates), jnp.asarray(noise)))


@pytest.mark.parametrize(("reads", "phi"), first_fast(CASES, 2), ids=IDS)
def test_the_open_jacobian_is_that_of_a_prediction(reads: np.ndarray, phi: float) -> None:
    model, params = smooth(reads, phi)
    rng = np.random.default_rng(4)
    rates, inputs = rng.random(NEURONS), rng.random(UNITS)
    for observed in (np.ones(UNITS, bool), np.arange(UNITS) % 3 > 0):
        found = jacobian_spectrum(model, params, rates, inputs=inputs, observed=observed, loop="open", k=NEURONS)
        expected = np.linalg.eigvals(dense(model, params, rates, inputs, observed))
        # Differences of up to 1e-7 are those of eigenvalues near a repeated one.
        for one in expected:
            assert np.abs(found.values - one).min() < 1e-7
        assert found.radius == pytest.approx(np.abs(expected).max(), rel=1e-9)
    if phi:
        without = jacobian_spectrum(replace(model, state_forcing=0.0), params, rates, inputs=inputs, loop="open")
        assert abs(found.radius - without.radius) > 1e-3


@pytest.mark.parametrize(("reads", "phi"), first_fast(CASES, 2), ids=IDS)
def test_the_closed_jacobian_leaves_the_state_where_it_is(reads: np.ndarray, phi: float) -> None:
    """In a free run nothing is recorded: φ does not count."""
    model, params = smooth(reads, phi)
    rates = np.random.default_rng(5).random(NEURONS)
    found = jacobian_spectrum(model, params, rates, loop="closed", k=NEURONS)
    matrix = dense(model, params, rates, np.zeros(UNITS), np.zeros(UNITS, bool))
    assert found.radius == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-9)


def test_silent_recorded_neurons_keep_what_state_forcing_leaves() -> None:
    """With a relu that is closed everywhere, the step is a decay: (1-φ)α where a neuron is recorded, else α."""
    model, params, _ = problem(1.5)
    # The recorded neurons are the slow ones, so that what state forcing leaves of them decides.
    slow = jnp.full(NEURONS, -1.0).at[model.read_neurons].set(3.0)
    params = {**params, "bias": jnp.full(NEURONS, -50.0), "log_time_constants": slow}
    found = jacobian_spectrum(model, params, np.random.default_rng(6).random(NEURONS), loop="open")
    kept = np.array(model.decay(params))
    kept[np.asarray(model.read_neurons)] *= -0.5
    assert found.silent == NEURONS and len(found.values) == 0
    assert found.silent_radius == pytest.approx(np.abs(kept).max())


@pytest.mark.parametrize(("reads", "phi"), first_fast(CASES, 2), ids=IDS)
def test_the_exponent_is_that_of_products_of_autodiff_jacobians(reads: np.ndarray, phi: float) -> None:
    """Given activity with missing entries: the runs that predictions one frame ahead make."""
    model, params = smooth(reads, phi)
    rng, steps = np.random.default_rng(7), 40
    inputs, forced = rng.random((steps, UNITS)), rng.random((steps, UNITS)) < 0.7
    inputs = np.where(forced, inputs, 0)
    rates = rng.random(NEURONS)
    found = lyapunov_exponent(model, params, rates, inputs=inputs, forced=forced, transient=0, blocks=2, seed=1)
    tangent = np.random.default_rng(1).standard_normal(NEURONS)
    growth = []
    for given, is_forced in zip(inputs, forced, strict=True):
        tangent = dense(model, params, rates, given, is_forced) @ (tangent / np.linalg.norm(tangent))
        growth.append(np.log(np.linalg.norm(tangent)))
        rates = np.asarray(predict(model, params, jnp.asarray(rates)[:, None], given[None, :, None],
                                   is_forced[None, :, None])[0][:, 0])  # fmt: skip
    np.testing.assert_allclose(found.growth, growth, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("reads", "phi"), CASES, ids=IDS)
def test_a_run_on_its_own_read_out_with_noise(reads: np.ndarray, phi: float) -> None:
    model, params = smooth(reads, phi)
    rng, steps = np.random.default_rng(8), 30
    noise, rates = 0.2 * rng.standard_normal((steps, UNITS)), rng.random(NEURONS)
    found = lyapunov_exponent(
        model, params, rates, inputs=noise, forced=np.zeros(noise.shape, bool), transient=0, blocks=2, seed=1
    )
    tangent = np.random.default_rng(1).standard_normal(NEURONS)
    growth = []
    for one in noise:
        tangent = dense_noisy(model, params, rates, one) @ (tangent / np.linalg.norm(tangent))
        growth.append(np.log(np.linalg.norm(tangent)))
        r = jnp.asarray(rates)[:, None]
        z, has = jnp.asarray(reads @ rates + one)[:, None], jnp.ones((UNITS, 1), bool)
        rates = np.asarray(step(model, params, Neurons(correct(model, (r,), z, has)), z, has)[0].rates[:, 0])
    np.testing.assert_allclose(found.growth, growth, atol=1e-9)


@pytest.mark.parametrize("phi", first_fast([1.5, 0.0, 0.4], 1))
def test_uncoupled_recorded_neurons_have_the_exponent_of_their_decay(phi: float) -> None:
    """No connection, no drive: δr(t) = α (1-φ) δr(t-1), so that the exponent is log α |1-φ| of the slowest neuron."""
    reads = np.eye(UNITS, NEURONS)
    model, params, _ = problem(phi, "none", reads=reads)
    tau = np.where(np.arange(NEURONS) < UNITS, np.linspace(-1, 1, NEURONS), -6.0)  # the hidden ones forget at once
    params = {**params, "weights": 0 * params["weights"], "log_time_constants": jnp.asarray(tau)}
    inputs = np.full((150, UNITS), 0.4)
    found = lyapunov_exponent(model, params, np.full(NEURONS, 0.4), inputs=inputs, transient=100)
    decay = np.asarray(model.decay(params))[:UNITS]
    assert found.per_step == pytest.approx(np.log(decay.max() * abs(1 - phi)), abs=1e-6)


def test_with_phi_1_and_all_neurons_recorded_a_difference_vanishes_at_once() -> None:
    given, noisy = jnp.ones((UNITS, 1), bool), jnp.zeros((UNITS, 1), bool)
    model, params, _ = problem(1.0, "none", reads=SINGLE)
    r = jnp.full((NEURONS, 1), 0.3)
    _, seen = step(model, params, Neurons((r,)), jnp.full((UNITS, 1), 0.3), None)
    recorded = jnp.zeros((NEURONS, 1)).at[np.asarray(model.read_neurons)].set(1.0)
    np.testing.assert_array_equal(tangent_step(model, params, seen, given, noisy, Neurons((recorded,))).rates, 0)
