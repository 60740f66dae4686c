"""State forcing: gradients against autodiff through the equations, and what it does to recorded and other neurons."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from networks import pieces, predict, random_connectome

from connfit.errors import ConfigError, DataError
from connfit.models import RateModel, Readout
from connfit.models.base import Neurons
from connfit.models.forecaster import ModelForecaster
from connfit.models.forward import correct
from connfit.models.maps import SparseMap
from connfit.models.windows import run_window
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.training.learners import WindowArrays, WindowedLearner

pytestmark = pytest.mark.usefixtures("float64")

# Sums of some thousand float64 products in another order.
EXACT = {"rtol": 1e-11, "atol": 1e-13}
step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"))

STEPS, NEURONS, UNITS, BATCH = 24, 14, 6, 2
RECORDED = np.array([11, 2, 7, 0, 13, 5])


SINGLE = np.eye(NEURONS)[RECORDED]
# Five units that read three to five neurons each and share most of them, and one that reads one; one neuron is hidden.
SHARED = np.zeros((UNITS, NEURONS))
for unit in range(UNITS - 1):
    SHARED[unit, 2 * unit : 2 * unit + 3 + unit % 3] = np.arange(1, 4 + unit % 3)
SHARED[-1, NEURONS - 2] = 1
SHARED /= SHARED.sum(axis=1, keepdims=True)


def problem(
    phi: float, drive: str = "dense", seed: int = 3, reads: np.ndarray = SINGLE
) -> tuple[RateModel, dict[str, jax.Array], WindowArrays]:
    """Six units of fourteen neurons, some frames of some of them missing in one of two recordings."""
    rng = np.random.default_rng(seed)
    brain = random_connectome(rng, NEURONS, 4)
    readout = Readout(sp.csr_array(reads), tuple(f"u{k}" for k in range(UNITS)))
    model = RateModel.from_connectome(brain, readout, step_s=0.6, drive=drive, state_forcing=phi)
    params = {
        "weights": jnp.asarray(rng.random(brain.m) * 0.8),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.7, NEURONS)),
        "bias": jnp.asarray(rng.normal(0.3, 0.3, NEURONS)),
    }
    if model.drive is not None:
        params["drive"] = jnp.asarray(rng.normal(0.2, 0.5, model.drive.strengths_shape))
    shape = (STEPS, UNITS, BATCH)
    forced = rng.random(shape) < 0.7
    weights = np.where(rng.random(shape) < 0.8, rng.random(shape), 0)
    return model, params, WindowArrays(np.where(forced, rng.random(shape), 0), forced, rng.random(shape), weights)


def plain(
    model: RateModel, params: dict, window: WindowArrays, wired: np.ndarray, phi: float, reads: np.ndarray = SINGLE
) -> jax.Array:
    """Loss by the equations, from rest: correct, step, compare."""
    # [K, B, N, P]: the smallest change of rates for the units that were observed in each step of each recording.
    moved_by = np.linalg.pinv(np.asarray(window.forced).transpose(0, 2, 1)[..., None] * reads)
    w = jnp.zeros((NEURONS, NEURONS)).at[wired[0], wired[1]].add(params["weights"] * wired[2])
    e = params["drive"] if "drive" in params else jnp.zeros((NEURONS, UNITS))
    alpha = jnp.exp(-model.step_s / jnp.exp(params["log_time_constants"]))[:, None]

    def one(r: jax.Array, now: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        given, forced, target, weight, moved = now
        r += phi * jnp.einsum("bnp,pb->nb", moved, jnp.where(forced, given - reads @ r, 0))
        u = jnp.where(forced, given, reads @ r)
        r = alpha * r + (1 - alpha) * jax.nn.relu(w @ r + params["bias"][:, None] + jax.nn.relu(e @ u))
        return r, (weight * (reads @ r - target) ** 2).sum()

    return jax.lax.scan(one, jnp.zeros((NEURONS, BATCH)), (*tuple(window)[:4], moved_by))[1].sum()


def signed(model: RateModel) -> np.ndarray:
    assert isinstance(model.recurrent, SparseMap)
    pattern = model.recurrent.pattern
    post = np.repeat(np.arange(NEURONS), np.diff(np.asarray(pattern.indptr)))
    return np.stack([post, np.asarray(pattern.indices), np.asarray(model.signs)[np.asarray(pattern.indices)]]).astype(
        int
    )


def summed(learner: WindowedLearner, model: RateModel, params: dict, window: WindowArrays) -> tuple[float, dict]:
    memory, loss, total = learner.start(model, BATCH, model.groups), 0.0, {}
    for part in pieces(window, learner.window):
        result, memory = step(learner, model, params, memory, part, model.groups)
        loss += float(result.loss)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return loss, total


@pytest.mark.parametrize("reads", [SINGLE, SHARED], ids=["neurons", "regions"])
@pytest.mark.parametrize(
    ("phi", "drive"), [(1.0, "none"), pytest.param(0.6, "dense", marks=pytest.mark.slow), (1.5, "dense")]
)
def test_backpropagation_through_all_steps_is_autodiff(phi: float, drive: str, reads: np.ndarray) -> None:
    model, params, window = problem(phi, drive, reads=reads)
    assert (model.correction is None) == (reads is SINGLE)
    loss, gradient = summed(WindowedLearner(STEPS, "network", "none"), model, params, window)
    wired = signed(model)
    truth, slope = jax.jit(jax.value_and_grad(lambda p: plain(model, p, window, wired, phi, reads)))(params)
    np.testing.assert_allclose(loss, truth, **EXACT)
    for key, value in slope.items():
        assert np.abs(value).max() > 1e-4, key
        np.testing.assert_allclose(gradient[key], value, **EXACT, err_msg=key)


@pytest.mark.parametrize("phi", [pytest.param(0.6, marks=pytest.mark.slow), 1.5])
def test_traces_fade_by_what_was_observed(phi: float) -> None:
    """D-RTRL has one gradient for every K, so a trace that crosses windows is right if it equals one long window."""
    model, params, window = problem(phi)
    whole = summed(WindowedLearner(STEPS, "neuron", "none"), model, params, window)[1]
    cut = summed(WindowedLearner(4, "neuron", "trace"), model, params, window)[1]
    forgetful = summed(WindowedLearner(4, "neuron", "none"), model, params, window)[1]
    for key, value in whole.items():
        np.testing.assert_allclose(cut[key], value, **EXACT, err_msg=key)
        assert np.abs(forgetful[key] - value).max() > 1e-4, key


def test_traces_of_a_network_of_recorded_neurons_are_exact_without_windows() -> None:
    """With φ = 1 and all neurons observed at all times, nothing crosses a step, so that any K gives BPTT's gradient."""
    rng = np.random.default_rng(5)
    brain = random_connectome(rng, 8, 3)
    readout = Readout(sp.eye_array(8).tocsr(), tuple(f"u{k}" for k in range(8)))
    model = RateModel.from_connectome(brain, readout, step_s=0.6, drive="none", state_forcing=1.0)
    params = {
        "weights": jnp.asarray(rng.random(brain.m)),
        "log_time_constants": jnp.asarray(rng.normal(0, 0.7, 8)),
        "bias": jnp.asarray(rng.normal(0.3, 0.3, 8)),
    }
    shape = (12, 8, BATCH)
    window = WindowArrays(rng.random(shape), np.ones(shape, bool), rng.random(shape), rng.random(shape))
    whole = summed(WindowedLearner(12, "network", "none"), model, params, window)[1]
    single = summed(WindowedLearner(1, "neuron", "none"), model, params, window)[1]
    for key, value in whole.items():
        np.testing.assert_allclose(single[key], value, **EXACT, err_msg=key)


def test_traces_of_regions_have_one_gradient_for_every_window() -> None:
    model, params, window = problem(0.6, reads=SHARED)
    whole = summed(WindowedLearner(STEPS, "neuron", "none"), model, params, window)[1]
    cut = summed(WindowedLearner(4, "neuron", "trace"), model, params, window)[1]
    for key, value in whole.items():
        np.testing.assert_allclose(cut[key], value, **EXACT, err_msg=key)


def test_traces_of_regions_beat_forgetting() -> None:
    """Units here read three to five neurons and share most of them: far from where the traces are exact."""
    model, params, window = problem(0.6, reads=SHARED)
    whole = summed(WindowedLearner(STEPS, "network", "none"), model, params, window)[1]
    hybrid = summed(WindowedLearner(8, "network", "trace"), model, params, window)[1]
    cut = summed(WindowedLearner(8, "network", "none"), model, params, window)[1]
    for key, value in whole.items():
        error, without = (np.linalg.norm(one[key] - value) / np.linalg.norm(value) for one in (hybrid, cut))
        assert error < without, key


@pytest.mark.parametrize("phi", [0.6, *(pytest.param(phi, marks=pytest.mark.slow) for phi in (1.0, 1.5))])
def test_what_neurons_of_a_unit_keep_together_is_exact_without_connections(phi: float) -> None:
    """Disjoint units whose neurons have one time constant, and no other path: D-RTRL is backpropagation then.

    A neuron by itself is moved by its own state no more than its share; that all of its unit are moved is what counts.
    """
    reads = np.zeros((2, NEURONS))
    reads[0, :8] = np.arange(1, 9) / 36
    reads[1, 8:] = 1 / 6
    rng = np.random.default_rng(4)
    brain = random_connectome(rng, NEURONS, 4)
    model = RateModel.from_connectome(
        brain, Readout(sp.csr_array(reads), ("a", "b")), step_s=0.6, drive="dense", state_forcing=phi
    )
    params = {
        "weights": jnp.zeros(brain.m),
        "log_time_constants": jnp.full(NEURONS, 0.3),
        "bias": jnp.asarray(rng.normal(1, 0.1, NEURONS)),
        "drive": jnp.asarray(rng.random((NEURONS, 2))),
    }
    shape = (STEPS, 2, BATCH)
    window = WindowArrays(rng.random(shape), np.ones(shape, bool), rng.random(shape), rng.random(shape))
    whole = summed(WindowedLearner(STEPS, "network", "none"), model, params, window)[1]
    single = summed(WindowedLearner(1, "neuron", "trace"), model, params, window)[1]
    for key in ("weights", "bias", "log_time_constants", "drive"):
        assert np.abs(whole[key]).max() > 1e-4, key
        np.testing.assert_allclose(single[key], whole[key], **EXACT, err_msg=key)


def test_observed_units_are_met_and_neurons_move_as_little_as_can_be() -> None:
    model = problem(1.0, reads=SHARED)[0]
    rng = np.random.default_rng(1)
    rates, given = rng.random((NEURONS, 1)), rng.random((UNITS, 1))
    forced = np.array([True, False, True, True, False, True])
    corrected = jax.jit(lambda forced: correct(model, (jnp.asarray(rates),), jnp.asarray(given), forced)[0])
    moved = np.asarray(corrected(forced[:, None]))
    seen = SHARED[forced]
    np.testing.assert_allclose(seen @ moved, given[forced], **EXACT)
    np.testing.assert_allclose(moved - rates, np.linalg.lstsq(seen, given[forced] - seen @ rates)[0], **EXACT)
    free = np.asarray(corrected(np.zeros((UNITS, 1), bool)))
    np.testing.assert_array_equal(free, rates)


@pytest.mark.parametrize("phi", [1.0, 1.9])
def test_what_is_forced_cannot_grow(phi: float) -> None:
    """Whichever units were observed: errors that no unit shows stay what they are, others shrink."""
    model = problem(phi, reads=SHARED)[0]
    map_from = jax.jit(lambda forced: correct(model, (jnp.eye(NEURONS),), jnp.zeros(forced.shape), forced)[0])
    for number in range(2**UNITS):
        forced = np.array([number >> k & 1 == 1 for k in range(UNITS)])[:, None]
        map_of = np.asarray(map_from(np.repeat(forced, NEURONS, axis=1)))
        assert np.linalg.norm(map_of, 2) <= 1 + 1e-9, number


def test_only_observed_neurons_are_moved() -> None:
    model = problem(0.25)[0]
    rates = jnp.full((NEURONS, 1), 2.0)
    forced = np.array([True, False, True, True, True, True])[:, None]
    moved = np.asarray(correct(model, (rates,), jnp.full((UNITS, 1), 4.0), jnp.asarray(forced))[0])[:, 0]
    expected = np.full(NEURONS, 2.0)
    expected[RECORDED[forced[:, 0]]] = 2.5
    np.testing.assert_array_equal(moved, expected)
    untouched = problem(0.0)[0]
    assert correct(untouched, (rates,), jnp.ones((UNITS, 1)), jnp.asarray(forced))[0] is rates


def test_predictions_and_forecasts_agree_with_a_window() -> None:
    """Predicting, forecasting by horizon and training run the same equations."""
    model, params, _ = problem(1.0, "none")
    params["weights"] *= 0.3
    rng = np.random.default_rng(0)
    values = rng.random((40, UNITS))
    recording = Recording("r", values, tuple(f"u{k}" for k in range(UNITS)), 1 / 0.6)
    recording = recording.split(train=0.94, validation=0.03)  # no value lies beyond the range of training
    cohort = Cohort.from_recordings([recording])
    inputs, forced = jnp.asarray(values[:, :, None]), jnp.ones((40, UNITS, 1), bool)
    start = jnp.zeros((NEURONS, 1))
    _, y = predict(model, params, start, inputs, forced)
    end, forward = run_window(model, params, Neurons((start,)), inputs, forced)
    # r̃ of recorded neurons is what was recorded, in training too.
    np.testing.assert_array_equal(forward.states[0][:, RECORDED], inputs)
    np.testing.assert_allclose(end.rates[RECORDED, 0], y[-1, :, 0], rtol=1e-12)
    model_of = ModelForecaster(model, params, cohort)
    ahead = model_of.horizon(recording, np.array([35]), 1)
    # Forecasts start from a settled state instead of rest: with weak connections unrecorded neurons remember it after
    # 35 frames by about exp(-35 x 0.6 / tau) of their rates, and tau is up to 3 s.
    np.testing.assert_allclose(ahead[0, 0], y[35, :, 0], atol=2e-3)
    np.testing.assert_allclose(model_of.one_step(recording)[36], y[35, :, 0], atol=2e-3)


def test_bad_options_are_named() -> None:
    rng = np.random.default_rng(0)
    brain = random_connectome(rng, 6, 2)
    single = Readout(sp.eye_array(6).tocsr(), tuple("abcdef"))
    same = Readout(sp.csr_array(np.ones((2, 6))), ("a", "b"))
    with pytest.raises(DataError, match=r"the units a, b read the same neurons"):
        RateModel.from_connectome(brain, same, step_s=1.0, state_forcing=1.0)
    with pytest.raises(ConfigError, match="is learned here"):
        RateModel.from_connectome(brain, replace(single, learned=True), step_s=1.0, state_forcing=0.5)
    with pytest.raises(ConfigError, match="below 2"):
        RateModel.from_connectome(brain, single, step_s=1.0, state_forcing=2.0)
    model = RateModel.from_connectome(brain, single, step_s=1.0, state_forcing=1.0)
    for carry in ("history", "factorised"):
        with pytest.raises(ConfigError, match=f"carry = '{carry}'"):
            WindowedLearner(4, "network", carry).start(model, 1, model.groups)
