"""The rate model and its read-out against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from networks import predict, random_connectome
from small import regional_connectome, student

from connfit.errors import ConfigError, DataError
from connfit.models import RateModel, Readout
from connfit.models.base import Neurons
from connfit.models.cells.rate import Rate
from connfit.models.forward import step

BRAIN = random_connectome(np.random.default_rng(1), 12, 3, electrical=5)
READOUT = Readout(sp.csr_array(np.eye(3, 12) + 0.1), ("a", "b", "c"))


def signed(weights: np.ndarray) -> np.ndarray:
    """W [N, N] of BRAIN, entry by entry."""
    w = np.zeros((BRAIN.n, BRAIN.n))
    for post in range(BRAIN.n):
        for at in range(BRAIN.indptr[post], BRAIN.indptr[post + 1]):
            pre = BRAIN.indices[at]
            w[post, pre] += weights[at] * (1 if BRAIN.electrical[at] else BRAIN.signs[pre])
    return w


def test_recurrent_input_and_its_adjoint_with_gap_junctions() -> None:
    assert BRAIN.electrical.any() and (BRAIN.signs < 0).any()
    rng = np.random.default_rng(2)
    model = RateModel.from_connectome(BRAIN, READOUT, step_s=0.5)
    weights = rng.random(BRAIN.m).astype(np.float32)
    r, v = rng.normal(size=(2, BRAIN.n, 4)).astype(np.float32)
    w = signed(weights)
    np.testing.assert_allclose(model.recurrent.apply(weights, model.outputs(r)), w @ r, rtol=1e-5, atol=1e-5)
    back = model.outputs_adjoint(model.recurrent.adjoint(weights, v))
    np.testing.assert_allclose(back, w.T @ v, rtol=1e-5, atol=1e-5)


def test_a_step_is_the_stated_equation() -> None:
    one = student()
    rng = np.random.default_rng(3)
    rates, u = rng.random(one.model.neurons), rng.random(one.model.units)
    got, _ = step(one.model, one.params, Neurons((jnp.asarray(rates[:, None]),)), jnp.asarray(u[:, None]), None)
    np.testing.assert_allclose(got.rates[:, 0], one.plain().step(rates, u), rtol=1e-5, atol=1e-6)


def test_units_that_are_not_forced_see_the_models_own_prediction() -> None:
    one = student()
    plain, rng = one.plain(), np.random.default_rng(4)
    inputs = rng.random((6, one.model.units, 1)).astype(np.float32)
    forced = rng.random(inputs.shape) < 0.5
    _, y = predict(one.model, one.params, jnp.full((one.model.neurons, 1), 0.3), inputs, forced)
    rates = np.full(one.model.neurons, 0.3)
    for t in range(6):
        rates = plain.step(rates, np.where(forced[t, :, 0], inputs[t, :, 0], plain.c @ rates))
        np.testing.assert_allclose(y[t, :, 0], plain.c @ rates, rtol=1e-4, atol=1e-5)


def test_decay_and_its_slope() -> None:
    model = student().model
    log_tau = jnp.linspace(jnp.log(model.bounds_s[0]), jnp.log(model.bounds_s[1]), model.neurons)
    params = {"log_time_constants": log_tau}
    np.testing.assert_allclose(model.decay(params), np.exp(-model.step_s / np.exp(log_tau)), rtol=1e-6)
    slopes = jax.vmap(jax.grad(lambda one: jnp.exp(-model.step_s / jnp.exp(one))))(log_tau)
    (parameter,) = model.parameters
    np.testing.assert_allclose(parameter.slope(log_tau, model.step_s), slopes, rtol=1e-5)


@pytest.mark.parametrize("nonlinearity", ["relu", "softplus"])
def test_activation_and_its_slope(nonlinearity: str) -> None:
    model = Rate(nonlinearity=nonlinearity)
    x = jnp.asarray([-40.0, -1.0, -0.01, 0.01, 2.0, 40.0])
    value, slope = model.activation(x)
    np.testing.assert_allclose(value, np.maximum(x, 0) if nonlinearity == "relu" else np.logaddexp(x, 0), rtol=1e-6)
    np.testing.assert_allclose(slope, jax.vmap(jax.grad(lambda one: model.activation(one)[0]))(x), rtol=1e-6)
    assert model.activation(jnp.zeros(1))[1] > 0, "a neuron at rest could never come to life"


@given(hnp.arrays(np.float32, BRAIN.m, elements=st.floats(-10, 10, width=32, allow_subnormal=False)))
@settings(max_examples=30, deadline=None)
def test_projection_keeps_magnitudes_so_that_no_sign_can_flip(moved: np.ndarray) -> None:
    model = RateModel.from_connectome(BRAIN, READOUT, step_s=0.5, bounds_s=(0.2, 9.0))
    log_tau = jnp.linspace(-9, 9, BRAIN.n)
    projected = model.project({"weights": jnp.asarray(moved), "log_time_constants": log_tau, "bias": log_tau})
    weights = np.asarray(projected["weights"])
    chemical = ~BRAIN.electrical
    np.testing.assert_array_equal(weights[chemical], np.maximum(moved, 0)[chemical])
    dense = signed(weights)
    for pre in set(BRAIN.indices[chemical]) - set(BRAIN.indices[BRAIN.electrical]):
        assert (dense[:, pre] * BRAIN.signs[pre] >= 0).all()
    tau = np.exp(projected["log_time_constants"])
    assert tau.min() == pytest.approx(0.2) and tau.max() == pytest.approx(9.0)
    np.testing.assert_array_equal(projected["bias"], log_tau)


@pytest.mark.parametrize(
    ("drive", "learned", "shape", "groups"),
    [
        ("dense", False, (12, 3), ("weights", "time_constants", "bias", "drive")),
        ("anatomical", False, (9,), ("weights", "time_constants", "bias", "drive")),
        ("none", False, None, ("weights", "time_constants", "bias")),
        ("dense", True, (12, 3), ("weights", "time_constants", "bias", "drive", "readout")),
    ],
)
def test_groups_and_their_sizes(drive: str, learned: bool, shape: tuple | None, groups: tuple) -> None:
    shares = np.zeros((3, 12))
    shares[0, :4], shares[1, 3:7], shares[2, 11] = 1, 2, 3
    model = RateModel.from_connectome(
        BRAIN, Readout(sp.csr_array(shares), ("a", "b", "c"), learned), step_s=0.5, drive=drive
    )
    assert (model.drive and model.drive.strengths_shape) == shape
    assert model.groups == groups
    assert (model.neurons, model.units) == (12, 3)
    assert model.recurrent.strengths_shape == (BRAIN.m,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drive": "denze"}, r"drive is 'denze', .*did you mean 'dense'"),
        ({"nonlinearity": "Relu"}, r"nonlinearity is 'Relu', .*did you mean 'relu'"),
        ({"bounds_s": (1.0, 0.5)}, r"bounds 0 < low < high"),
        ({"step_s": 0.0}, r"positive step"),
    ],
)
def test_options_that_are_wrong_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RateModel.from_connectome(BRAIN, READOUT, **{"step_s": 0.5, **options})


def test_a_readout_for_another_brain_is_refused() -> None:
    with pytest.raises(ConfigError, match="12 neurons, the connectome has 40"):
        RateModel.from_connectome(regional_connectome(), READOUT, step_s=0.5)


@given(hnp.arrays(np.float64, (3, 5), elements=st.floats(0, 1e6)))
def test_rows_of_a_readout_sum_to_one(shares: np.ndarray) -> None:
    shares = np.where(shares < 1e-6, 0, shares)
    names = ("a", "b", "c")
    empty = [name for name, row in zip(names, shares, strict=True) if not row.any()]
    if empty:
        with pytest.raises(DataError, match=f"read no neuron: {', '.join(empty)}"):
            Readout(sp.csr_array(shares), names)
        return
    matrix = Readout(sp.csr_array(shares), names).matrix.toarray()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(matrix, shares / shares.sum(axis=1, keepdims=True))


def test_a_readout_is_checked() -> None:
    with pytest.raises(DataError, match="must not be negative"):
        Readout(sp.csr_array([[2.0, -1.0]]), ("a",))
    with pytest.raises(DataError, match="1 rows for 2 unit names"):
        Readout(sp.csr_array([[1.0, 1.0]]), ("a", "b"))


def test_readout_by_name_is_the_mean_of_the_neurons_of_that_name() -> None:
    brain = regional_connectome()
    matrix = Readout.by_name(brain, ["B", "A"], column="region").matrix.toarray()
    expected = np.zeros((2, brain.n))
    expected[0, 1::5], expected[1, 0::5] = 1 / 8, 1 / 8
    np.testing.assert_allclose(matrix, expected)
    with pytest.raises(DataError, match=r"units without a neuron in column 'id': n99"):
        Readout.by_name(brain, ["n1", "n99"])


def test_readout_by_anatomy_counts_synapses_onto_each_region() -> None:
    brain = regional_connectome()
    readout = Readout.by_anatomy(brain, ["C", "A"])
    expected = np.zeros((2, brain.n))
    region = brain.neurons["region"].to_numpy()
    for at, post in enumerate(brain.posts):
        for row, unit in enumerate(("C", "A")):
            expected[row, brain.indices[at]] += brain.counts[at] * (region[post] == unit)
    np.testing.assert_allclose(readout.matrix.toarray(), expected / expected.sum(axis=1, keepdims=True))
    with pytest.raises(DataError, match="no regions Q; it has A, B, C, D, E"):
        Readout.by_anatomy(brain, ["A", "Q"])
    with pytest.raises(DataError, match="has no regions: the column 'region'"):
        Readout.by_anatomy(replace(brain, neurons=brain.neurons.assign(region="")), ["A"])


def test_a_gap_junction_stays_as_strong_in_both_directions() -> None:
    model = RateModel.from_connectome(BRAIN, READOUT, step_s=0.5)
    moved = np.random.default_rng(0).normal(size=BRAIN.m).astype(np.float32)
    weights = np.asarray(model.project({"weights": jnp.asarray(moved)})["weights"])
    gaps = np.zeros((BRAIN.n, BRAIN.n), np.float32)
    electrical = BRAIN.electrical
    gaps[BRAIN.posts[electrical], BRAIN.indices[electrical]] = weights[electrical]
    assert gaps.any()
    np.testing.assert_array_equal(gaps, gaps.T)
    np.testing.assert_array_equal(weights[~electrical], np.maximum(moved, 0)[~electrical])
