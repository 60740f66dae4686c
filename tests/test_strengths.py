"""Gains that connections share: against free strengths, reduced by hand, and against autodiff; starts and runs."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import Problem, pieces, plain_scan, random_problem

from connfit.connectome import Connectome
from connfit.errors import ConfigError
from connfit.models import RateModel, init_params, spectral_radius_of, start_magnitudes, tie_weights
from connfit.models.base import Params
from connfit.models.gains import share_gains
from connfit.models.maps import GainMap
from connfit.training.learners import WindowedLearner, preset

SLOW = pytest.mark.slow
SHARED = ("gain_per_neuron", "gain_per_type_pair")
FIRST = ("gain_per_neuron", pytest.param("gain_per_type_pair", marks=SLOW))
"""Where the second differs by what `test_gradients_of_gains_are_those_of_free_strengths_summed_by_gain` sees."""

STEPS = 12
TYPES = ("a", "b", "", "c")

step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"))


def typed(connectome: Connectome) -> Connectome:
    """Four types that are mixed over the neurons; some have none."""
    types = [TYPES[(3 * k) // 2 % len(TYPES)] for k in range(connectome.n)]
    return replace(connectome, neurons=connectome.neurons.assign(type=types))


def shared_by(brain: Connectome, strengths: str) -> list[tuple]:
    """Which gain each connection has, connection by connection, as the documentation says it."""
    found = []
    kind = brain.neurons["type"].tolist()
    for post in range(brain.n):
        for at in range(brain.indptr[post], brain.indptr[post + 1]):
            pair = (kind[post], kind[brain.indices[at]])
            if strengths == "gain_per_neuron":
                found.append(("electrical",) if brain.electrical[at] else ("chemical", post))
            else:
                found.append(("electrical", *sorted(pair)) if brain.electrical[at] else ("chemical", *pair))
    return found


@lru_cache(maxsize=2)
def problems(strengths: str) -> tuple[Problem, Problem, np.ndarray, np.ndarray]:
    """The same problem with gains and with free strengths; the fixed magnitudes; the gain of each connection.

    All five groups are trained, there are gap junctions, two recordings, and inputs and targets that are missing.
    """
    free = random_problem(4, neurons=24, units=5, steps=STEPS, learned_readout=True, electrical=8)
    brain = typed(free.connectome)
    rng = np.random.default_rng(1)
    magnitudes = np.array(free.model.project({"weights": jnp.asarray(rng.random(brain.m))})["weights"])
    model = tie_weights(free.model, brain, strengths, jnp.asarray(magnitudes))
    names = shared_by(brain, strengths)
    table = share_gains(brain, strengths).table
    of_neurons = strengths == "gain_per_neuron"
    place = {name: k for k, name in enumerate(brain.neurons["id"])} if of_neurons else {}
    rows = [
        (kind,) if of_neurons and kind == "electrical" else (kind, place[post]) if of_neurons else (kind, post, pre)
        for kind, post, pre in table[["kind", "post", "pre"]].to_numpy()
    ]
    number = {row: k for k, row in enumerate(rows)}
    gain_of = np.array([number[name] for name in names])
    gains = rng.random(len(rows)) + 0.2
    others = {key: value for key, value in free.params.items() if key != "weights"}
    with_gains = replace(free, connectome=brain, model=model, params={"gains": jnp.asarray(gains), **others})
    weights = jnp.asarray(gains[gain_of] * magnitudes)
    return with_gains, replace(free, connectome=brain, params={"weights": weights, **others}), magnitudes, gain_of


def run(learner: WindowedLearner, problem: Problem) -> dict[str, np.ndarray]:
    """Gradient of a learner summed over the windows of the problem, parameters fixed."""
    groups = problem.model.groups
    memory = learner.start(problem.model, problem.window.inputs.shape[2], groups)
    total: dict[str, np.ndarray] = {}
    for piece in pieces(problem.window, learner.window):
        result, memory = step(learner, problem.model, problem.params, memory, piece, trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def reduced(gradient: dict[str, np.ndarray], magnitudes: np.ndarray, gain_of: np.ndarray) -> dict[str, np.ndarray]:
    """dL/dg_k = Σ over the connections of gain k of c_ij dL/d|w_ij|."""
    others = {key: value for key, value in gradient.items() if key != "weights"}
    return {"gains": np.bincount(gain_of, magnitudes * gradient["weights"]), **others}


def assert_equal(got: jax.Array | np.ndarray, expected: jax.Array | np.ndarray, what: str) -> None:
    """Sums of some thousand float64 products in another order: rounding of 1e-16 each, with room for cancellation."""
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13, err_msg=what)


def assert_same(got: dict, expected: dict) -> None:
    assert set(got) == set(expected)
    for key in got:
        assert_equal(got[key], expected[key], key)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strengths", SHARED)
def test_every_connection_has_the_gain_of_its_group_and_its_own_magnitude(strengths: str) -> None:
    shared, free, _, gain_of = problems(strengths)
    table = share_gains(shared.connectome, strengths).table
    assert len(table) == len(set(shared_by(shared.connectome, strengths))) == shared.params["gains"].size
    np.testing.assert_array_equal(table["connections"], np.bincount(gain_of))
    np.testing.assert_array_equal(table["synapses"], np.bincount(gain_of, shared.connectome.counts))
    np.testing.assert_allclose(shared.model.magnitudes(shared.params), free.params["weights"], rtol=1e-15)
    np.testing.assert_array_equal(free.model.magnitudes(free.params), free.params["weights"])
    forward, backward = np.asarray(shared.model.junctions)
    weights = np.asarray(shared.model.magnitudes(shared.params))
    np.testing.assert_array_equal(weights[forward], weights[backward])
    rng = np.random.default_rng(0)
    r, v = jnp.asarray(rng.normal(size=(2, shared.connectome.n, 3)))
    for operator, at in (("apply", shared.model.outputs(r)), ("adjoint", v)):
        one, other = (
            getattr(one.model.recurrent, operator)(one.model.recurrent_strengths(one.params), at)
            for one in (shared, free)
        )
        assert_equal(one, other, operator)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("strengths", "learner"),
    [
        ("gain_per_neuron", WindowedLearner(4, "network", "trace")),
        # Slow: its kind of gain and its learner are each in another case.
        pytest.param("gain_per_type_pair", WindowedLearner(4, "network", "trace"), marks=SLOW),
        ("gain_per_type_pair", WindowedLearner(4, "neuron", "trace")),
        ("gain_per_neuron", WindowedLearner(4, "network", "none")),
        ("gain_per_type_pair", WindowedLearner(4, "neuron", "history", history=6)),
        pytest.param("gain_per_neuron", WindowedLearner(4, "network", "factorised"), marks=SLOW),
        ("gain_per_type_pair", WindowedLearner(4, "neuron", "factorised")),
    ],
    ids=lambda one: one if isinstance(one, str) else f"{one.credit}-{one.carry}",
)
def test_gradients_of_gains_are_those_of_free_strengths_summed_by_gain(
    strengths: str, learner: WindowedLearner
) -> None:
    shared, free, magnitudes, gain_of = problems(strengths)
    got = run(learner, shared)
    assert_same(got, reduced(run(learner, free), magnitudes, gain_of))
    assert (got["gains"] != 0).mean() > 0.5  # neurons that are silent throughout have a gradient of 0


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strengths", FIRST)
def test_one_window_over_the_whole_recording_is_autodiff_through_a_plain_scan(strengths: str) -> None:
    shared, free, magnitudes, gain_of = problems(strengths)

    def loss(params: Params) -> jax.Array:
        others = {key: value for key, value in params.items() if key != "gains"}
        weights = jnp.asarray(magnitudes) * params["gains"][gain_of]
        start = jnp.zeros((free.connectome.n, 2))
        return plain_scan(free, {"weights": weights, **others}, start, free.window)[0]

    assert_same(run(preset("bptt", window=STEPS), shared), jax.jit(jax.grad(loss))(shared.params))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("strengths", FIRST)
def test_d_rtrl_of_gains_does_not_depend_on_the_window(strengths: str) -> None:
    shared, *_ = problems(strengths)
    assert_same(run(preset("d-rtrl", window=3), shared), run(preset("d-rtrl", window=12), shared))


@pytest.mark.parametrize(("strengths", "traces"), [("gain_per_neuron", 24), ("gain_per_type_pair", 24 * len(TYPES))])
def test_there_is_a_trace_per_neuron_or_per_neuron_and_type_not_per_connection(strengths: str, traces: int) -> None:
    brain = typed(random_problem(4, neurons=24, units=5).connectome)
    brain = replace(  # everyone is connected to everyone
        brain, indptr=np.arange(25) * 24, indices=np.tile(np.arange(24), 24), counts=np.ones(576, int), electrical=None
    )
    one = random_problem(4, neurons=24, units=5)
    model = tie_weights(RateModel.from_connectome(brain, one.readout, step_s=0.6), brain, strengths, jnp.ones(brain.m))
    memory = WindowedLearner(4).start(model, 3, model.groups)
    assert memory.traces["gains"].shape == (1, traces, 3) and brain.m == 576
    assert (
        WindowedLearner(4, trace_dtype="bfloat16").start(model, 1, model.groups).traces["gains"].dtype == jnp.bfloat16
    )


@pytest.mark.parametrize("strengths", FIRST)
def test_a_trace_fades_with_the_neuron_of_its_branch(strengths: str) -> None:
    problem = random_problem(4, electrical=6)
    brain = typed(problem.connectome)
    synapses = tie_weights(problem.model, brain, strengths, jnp.ones(brain.m)).recurrent
    branches = share_gains(brain, strengths).neuron_of
    decay = np.random.default_rng(0).random((brain.n, 2)).astype(np.float32)
    traces, still = jnp.ones_like(synapses.zero_trace(2, jnp.float32)), jnp.zeros((brain.n, 2, 3))
    sources = jnp.ones((problem.model.outputs(jnp.ones((brain.n, 1))).shape[0], 2, 3))
    faded = synapses.outer_with_trace(
        traces, still[..., :1], jnp.asarray(decay)[..., None, None], still, still[:, :, None], sources
    )[1][0]
    np.testing.assert_array_equal(faded, decay[branches])


def test_gains_stay_at_or_above_0() -> None:
    problem = random_problem(4)
    brain = problem.connectome
    model = tie_weights(problem.model, brain, "gain_per_neuron", jnp.ones(brain.m))
    projected = model.project({"gains": jnp.asarray([-1.0, 0.5])})
    np.testing.assert_array_equal(projected["gains"], [0.0, 0.5])


def test_gains_start_at_1_where_free_strengths_would_start() -> None:
    problem = random_problem(4, electrical=6)
    brain, readout = problem.connectome, problem.readout
    free = init_params(problem.model, brain, readout, mean_activity=np.full(4, 0.3))
    magnitudes = start_magnitudes(problem.model, brain)
    model = tie_weights(problem.model, brain, "gain_per_neuron", magnitudes)
    shared = init_params(model, brain, readout, mean_activity=np.full(4, 0.3))
    # float32 eigenvalues of a 14-neuron matrix: 1e-6.
    np.testing.assert_allclose(shared["gains"], 1, rtol=1e-5)
    np.testing.assert_allclose(model.magnitudes(shared), free["weights"], rtol=1e-5)
    for key in ("bias", "drive", "log_time_constants"):
        np.testing.assert_allclose(shared[key], free[key], rtol=1e-4, atol=1e-6, err_msg=key)
    with pytest.raises(ConfigError, match="has gains already"):
        tie_weights(model, brain, "gain_per_neuron", magnitudes)


def test_a_brain_without_types_has_no_gain_per_type_pair() -> None:
    problem = random_problem(4)
    with pytest.raises(ConfigError, match=r"no neuron of connectome 'random' has one in column 'type'.*type_column"):
        share_gains(problem.connectome, "gain_per_type_pair")
    with pytest.raises(ConfigError, match="type_column"):
        share_gains(problem.connectome, "gain_per_type_pair", type_column="lineage")
    brain = typed(problem.connectome)
    lineages = replace(brain, neurons=brain.neurons.rename(columns={"type": "lineage"}).assign(type=""))
    by_type, by_lineage = (
        share_gains(one, "gain_per_type_pair", type_column=column).table
        for one, column in ((brain, "type"), (lineages, "lineage"))
    )
    assert by_type.equals(by_lineage)


def test_a_brain_without_connections_has_no_gains() -> None:
    problem = random_problem(4)
    n = problem.connectome.n
    none = np.zeros(0, int)
    brain = replace(problem.connectome, indptr=np.zeros(n + 1, int), indices=none, counts=none, electrical=None)
    model = RateModel.from_connectome(brain, problem.readout, step_s=0.6)
    model = tie_weights(model, brain, "gain_per_neuron", start_magnitudes(model, brain))
    params = init_params(model, brain, problem.readout)
    assert params["gains"].shape == (0,)
    learner = WindowedLearner(4)
    window = pieces(problem.window, 4)[0]
    result, _ = step(learner, model, params, learner.start(model, 2, model.groups), window, trained=model.groups)
    assert result.gradient["gains"].shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize("strengths", ["free", *SHARED])
def test_seeds_start_from_strengths_that_differ_by_the_stated_spread(strengths: str) -> None:
    problem = random_problem(4, neurons=400, electrical=300)
    brain = typed(problem.connectome)
    model = problem.model
    if strengths != "free":
        model = tie_weights(model, brain, strengths, start_magnitudes(model, brain))

    def start(seed: int, spread: float) -> Params:
        return init_params(model, brain, problem.readout, weight_spread=spread, seed=seed)

    same, one, again, other = start(0, 0.0), start(0, 0.7), start(0, 0.7), start(1, 0.7)
    group = model.recurrent_group
    np.testing.assert_array_equal(one[group], again[group])
    logs = np.log(np.asarray([one[group], other[group]]) / np.asarray(same[group]))
    count = logs.shape[1]
    # Mean square of `count` draws: relative standard error sqrt(2 / count), five of them (factors that gap junctions
    # share count once, which the margin covers).
    np.testing.assert_allclose(logs.std(axis=1), 0.7, rtol=5 * np.sqrt(2 / count) / 2 + 0.02)
    assert abs(np.corrcoef(logs)[0, 1]) < 5 / np.sqrt(count)
    for params in (same, one, other):
        assert spectral_radius_of(model, params[group]) == pytest.approx(0.1, rel=1e-4)
        np.testing.assert_array_equal(params["log_time_constants"], same["log_time_constants"])
    forward, backward = np.asarray(model.junctions)
    weights = np.asarray(model.magnitudes(one))
    np.testing.assert_array_equal(weights[forward], weights[backward])


def test_a_negative_spread_is_named() -> None:
    problem = random_problem(4)
    with pytest.raises(ConfigError, match="weight_spread = -1"):
        init_params(problem.model, problem.connectome, problem.readout, weight_spread=-1.0)


def test_a_gain_map_of_the_connectomes_own_order_keeps_no_order() -> None:
    problem = random_problem(4, electrical=6)
    brain = typed(problem.connectome)
    per_neuron, per_pair = (
        tie_weights(problem.model, brain, strengths, jnp.ones(brain.m)).recurrent for strengths in SHARED
    )
    assert isinstance(per_neuron, GainMap) and per_neuron.order is None
    assert isinstance(per_pair, GainMap) and per_pair.order is not None
