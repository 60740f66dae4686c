"""Compiled rate neurons and Adam in one pass against the operators, autodiff and optax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cell_oracles import QUICK, STEPS, Case, case
from networks import pieces

from connfit.models import ops
from connfit.models.cells.rate import Rate
from connfit.models.gains import tie_weights
from connfit.models.maps import SparseMap
from connfit.models.ops import native, rate_kernels
from connfit.models.ops.rate_kernels import rate_step, rate_window
from connfit.training import one_pass_adam
from connfit.training.learners import WindowedLearner
from connfit.training.learners.compiled_window import COMPILED
from connfit.training.learners.rate_adjoint import NETWORK, has_rate_window
from connfit.training.one_pass_adam import move_by_adam, sum_of_squares, takes_one_pass

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")

ROUNDING = 3e-6
"""Of the largest number: float32 sums of some dozen numbers in another order."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"batch": 1},
    "neurons forced, gap junctions, both signs": {"reads": "single", "forcing": 0.6, "batch": 3, "mixed": True},
    "regions forced, delay, inputs": {"forcing": 0.6, "delay": 2, "inputs": "some"},
    "regions forced": {"forcing": 0.4, "batch": 2},
    "more lanes than a vector has": {"batch": 17, "delay": 1},
}

CREDITS = "neuron", "network"


def relu_case(**options: Any) -> Case:
    """A case of `cell_oracles` with relu, in float32."""
    one = case("rate", **options)

    def single(tree: Any) -> Any:
        return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32 if np.asarray(a).dtype.kind == "f" else None), tree)

    return replace(
        one, model=replace(one.model, neuron=Rate()), params=single(one.params), window=single(one.window)
    )  # fmt: skip


def pattern_of(one: Case) -> ops.Pattern:
    assert isinstance(one.model.recurrent, SparseMap)
    return one.model.recurrent.pattern


def windows(one: Case, implementation: str, learner: WindowedLearner, trained: tuple[str, ...]) -> list[Any]:
    """What each of several windows in a row leaves: results and memory."""
    step = jax.jit(lambda *given: learner.step(*given, trained=trained), compiler_options=QUICK)
    memory, found = learner.start(one.model, one.window.inputs.shape[2], trained), []
    with ops.use(implementation):
        for window in pieces(one.window, learner.window):
            result, memory = step(one.model, one.params, memory, window)
            found.append((result, memory))
    return found


def assert_close(got: Any, expected: Any, tolerance: float = ROUNDING) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, path
        a, b = np.asarray(a, float), np.asarray(b, float)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(initial=1e-3), err_msg=str(path))


@pytest.mark.parametrize(
    ("kind", "credit"),
    [(kind, credit) for kind in KINDS for credit in CREDITS if credit == "neuron" or not KINDS[kind].get("delay")],
)
def test_compiled_windows_are_those_of_the_operators(kind: str, credit: str) -> None:
    one = relu_case(**KINDS[kind])
    if credit == "network":
        forced = jnp.ones_like(one.window.forced)
        one = replace(one, window=one.window._replace(forced=forced, fed_back=jnp.zeros(0, jnp.int32)))
    learner, groups = WindowedLearner(STEPS // 2, credit, "trace"), one.model.groups
    assert has_rate_window(learner.dials, one.model, groups)
    assert_close(windows(one, "native", learner, groups), windows(one, "portable", learner, groups))


def test_windows_in_which_only_some_is_learned_and_traces_are_short() -> None:
    one = relu_case(batch=2)
    learner, trained = WindowedLearner(5, "neuron", "trace", trace_dtype="bfloat16"), ("drive", "time_constants")
    got, expected = (windows(one, which, learner, trained) for which in ("native", "portable"))
    assert set(got[0][0].gradient) == {"drive", "log_time_constants"}
    assert_close(got, expected, 2.0**-8)  # a sum near the middle of two bfloat16 may round either way


def test_shared_gains_have_the_same_window() -> None:
    one = relu_case(batch=2)
    shared = tie_weights(one.model, one.brain, "gain_per_neuron", one.params["weights"])
    gains = jnp.linspace(0.5, 1.5, shared.recurrent.strengths_shape[0])
    one = replace(one, model=shared, params={**one.params, "gains": gains.astype(jnp.float32)})
    learner, groups = WindowedLearner(8, "neuron", "trace"), shared.groups
    assert has_rate_window(learner.dials, shared, groups) and "gains" in groups
    assert_close(windows(one, "native", learner, groups), windows(one, "portable", learner, groups))


def test_other_cells_and_rules_go_by_the_operators() -> None:
    class Late(Rate):
        def step(self, theta: Any, h: Any, x: Any) -> Any:
            return (0.5 * Rate.step(self, theta, h, x)[0],)

    class Steep(Rate):
        def activation(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            return 2 * jnp.maximum(x, 0), 2.0 * (x >= 0)

    assert Rate().rectifies
    assert not any(neuron.rectifies for neuron in (Rate(nonlinearity="softplus"), Late(), Steep()))
    one = relu_case(batch=1)
    assert not has_rate_window(COMPILED, one.model, (*one.model.groups, "readout"))
    assert has_rate_window(NETWORK, one.model, one.model.groups)
    assert not has_rate_window(NETWORK, one.model, one.model.groups, all_forced=False)
    assert not has_rate_window(NETWORK, relu_case(delay=1).model, one.model.groups)
    assert not has_rate_window(("network", "none"), one.model, one.model.groups)
    with ops.use("portable"):
        assert not has_rate_window(COMPILED, one.model, one.model.groups)
    with jax.enable_x64(True):
        assert not has_rate_window(COMPILED, one.model, one.model.groups)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("more", [True, False])
def test_a_step_and_its_derivative_are_those_of_the_operators(batch: int, more: bool) -> None:
    one, rng = relu_case(batch=1), np.random.default_rng(3)
    pattern, n = pattern_of(one), one.brain.n

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    beside = (draw(n, batch), draw(n, batch)) if more else (None, None)
    numbers = (draw(pattern.nnz), draw(pattern.columns, batch), draw(n), abs(draw(n)), *beside, draw(n, batch))
    slopes = draw(n, batch), draw(n, batch)
    got, back = jax.vjp(lambda *numbers: rate_step(pattern, *numbers), *numbers)
    expected, plain = jax.vjp(lambda *numbers: rate_kernels._in_operators(pattern, *numbers), *numbers)
    assert_close(got, expected)
    assert_close(back(slopes), plain(slopes))


def test_a_step_rounds_alike_whatever_runs_beside() -> None:
    """Responses are differences of runs, far smaller than rates."""
    one, rng = relu_case(batch=1), np.random.default_rng(4)
    pattern, n = pattern_of(one), one.brain.n

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    fixed = draw(pattern.nnz), draw(n), abs(draw(n)) % 1
    sources, others, drive, rates = draw(pattern.columns, 27), draw(n, 27), draw(n, 27), draw(n, 27)

    def stepped(runs: slice) -> list[np.ndarray]:
        weights, bias, decay = fixed
        sent, *beside = (each[:, runs] for each in (sources, others, drive, rates))
        return [np.asarray(found) for found in rate_step(pattern, weights, sent, bias, decay, *beside)]

    whole = stepped(slice(None))
    for runs in (slice(0, 2), slice(5, 12), slice(9, 27)):
        for found, expected in zip(stepped(runs), whole, strict=True):
            np.testing.assert_array_equal(found, expected[:, runs])


def test_what_is_no_number_stays_so() -> None:
    """A fit that diverges is seen by its numbers."""
    one = relu_case(batch=1)
    nan, n = jnp.float32(jnp.nan), one.brain.n
    ones = jnp.ones(n, jnp.float32)
    after, received = rate_step(
        pattern_of(one), one.params["weights"], jnp.ones((one.model.recurrent.sources, 1)),
        (0 * ones).at[3].set(nan), 0.5 * ones, None, jnp.zeros((n, 1)).at[4].set(nan), ones[:, None],
    )  # fmt: skip
    for found in (after, received):
        np.testing.assert_array_equal(np.isnan(found[:, 0]), np.isin(np.arange(n), [3, 4]))
    params = {"weights": jnp.asarray([1.0, nan, 1.0, -1.0])}
    state = optax.scale_by_adam().init(params)
    gradient = {"weights": jnp.asarray([0.0, 0.0, nan, 0.0])}
    moved, _ = move_by_adam(params, state, gradient, 1.0, {"weights": jnp.float32(0.1)}, {"weights": 0.0})
    np.testing.assert_array_equal(moved["weights"], [1.0, nan, nan, 0.0])


def test_adam_in_one_pass_is_optax() -> None:
    rng = np.random.default_rng(0)
    shapes = {"none": (0,), "one": (1,), "odd": (3, 7), "chunks": (2 * 65536 + 11,), "floored": (50,)}
    params = {key: jnp.asarray(rng.normal(size=shape), jnp.float32) for key, shape in shapes.items()}
    rates = {key: jnp.float32(0.01 * (1 + k)) for k, key in enumerate(params)}
    assert takes_one_pass("adam", params) and not takes_one_pass("rmsprop", params)
    optimiser = optax.scale_by_adam()
    state: Any = optimiser.init(params)
    theirs = state
    ours = expected = params
    for scale in (1.0, 0.3, 7.0):
        gradient = {key: jnp.asarray(rng.normal(size=shape), jnp.float32) for key, shape in shapes.items()}
        ours, state = move_by_adam(ours, state, gradient, scale, rates, {"floored": 0.1})
        direction: Any
        direction, theirs = optimiser.update({key: scale * value for key, value in gradient.items()}, theirs)
        expected = {key: expected[key] - rates[key] * direction[key] for key in expected}
        expected["floored"] = jnp.maximum(expected["floored"], 0.1)
        assert_close((ours, state), (expected, theirs))
    with jax.enable_x64(True):
        assert not takes_one_pass("adam", {"one": jnp.zeros(3)})
    assert one_pass_adam.DECAYS == (0.9, 0.999), "optax's defaults"


def test_sums_of_squares_do_not_lose_small_numbers() -> None:
    values = np.full(3_000_001, 1e-3, np.float32)
    values[0] = 1e3
    found, exact = float(sum_of_squares(jnp.asarray(values))), float((values.astype(float) ** 2).sum())
    assert found == pytest.approx(exact, rel=2e-7)
    assert float(sum_of_squares(jnp.zeros((0, 3), jnp.float32))) == 0.0


def results() -> list[np.ndarray]:
    """What the kernels compute of many neurons, in several chunks."""
    rng, (k, n, b) = np.random.default_rng(9), (16, 4001, 3)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    gate = jnp.asarray(rng.random((k, n, b)) < 0.5, jnp.uint8)
    decay, kept = abs(draw(n)) % 1, abs(draw(k, n, b)) % 1
    window = rate_window(decay, draw(k, n, b), draw(k, n, b), draw(n, k, b), kept, gate, draw(2, n, b))
    params = {"weights": draw(200_003)}
    state: Any = optax.scale_by_adam().init(params)
    gradient, rates = {"weights": draw(200_003)}, {"weights": jnp.float32(0.1)}
    moved, state = move_by_adam(params, state, gradient, 0.7, rates, {"weights": 0.0})
    squares = sum_of_squares(draw(1000, 1000))[None]
    return [*map(np.asarray, (*window, moved["weights"], state.mu["weights"], state.nu["weights"], squares))]
