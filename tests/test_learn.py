"""Gradients of every rule against autodiff through a plain scan and against explicit traces, in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import Problem, dense_matrices, open_at_zero, pieces, plain_scan, random_problem

from connfit.errors import ConfigError
from connfit.learn import Windowed, history_error, preset

pytestmark = pytest.mark.usefixtures("float64")

# Sums of some thousand float64 products in another order: rounding of 1e-16 each, with room for cancellation.
EXACT = {"rtol": 1e-11, "atol": 1e-13}

VARIANTS = {
    "dense": {},
    "anatomical": {"drive": "anatomical"},
    "no drive": {"drive": "none"},
    "learned read-out": {"learned_readout": True},
    "gap junctions": {"electrical": 6},
    "softplus": {"nonlinearity": "softplus"},
    "all forced": {"all_forced": True},
    "one recording": {"batch": 1},
}


step = jax.jit(Windowed.step, static_argnames=("self", "trained", "all_forced"))


def run(learner: Windowed, problem: Problem, steps: int, *, all_forced: bool = False) -> dict[str, jax.Array]:
    """Gradient of a learner summed over the windows of the problem, parameters fixed."""
    groups = problem.model.groups
    memory = learner.start(problem.model, problem.window.inputs.shape[2], groups)
    total = {}
    for piece in pieces(problem.window, steps):
        result, memory = step(
            learner, problem.model, problem.params, memory, piece, trained=groups, all_forced=all_forced
        )
        total = {key: total.get(key, 0) + value for key, value in result.gradient.items()}
    return total


def assert_same(got: dict, expected: dict, **tolerance: float) -> None:
    assert set(got) == set(expected)
    for key in got:
        np.testing.assert_allclose(got[key], expected[key], err_msg=key, **tolerance)


def rest(problem: Problem) -> jax.Array:
    return jnp.zeros((problem.connectome.n, problem.window.inputs.shape[2]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_window_over_the_whole_recording_is_bptt(variant: str) -> None:
    problem = random_problem(1, **VARIANTS[variant])
    expected = jax.grad(lambda p: plain_scan(problem, p, rest(problem), problem.window)[0])(problem.params)
    got = run(preset("bptt", window=16), problem, 16, all_forced=variant == "all forced")
    assert_same(got, expected, **EXACT)
    assert all(np.abs(value).max() > 0 for value in got.values())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("steps", [1, 4])
def test_truncated_bptt_is_autodiff_cut_at_the_windows(variant: str, steps: int) -> None:
    problem = random_problem(2, **VARIANTS[variant])
    rates, expected = rest(problem), {}
    for piece in pieces(problem.window, steps):
        gradient, rates = jax.grad(lambda p, r=rates, w=piece: plain_scan(problem, p, r, w), has_aux=True)(
            problem.params
        )
        expected = {key: expected.get(key, 0) + value for key, value in gradient.items()}
    assert_same(run(preset("tbptt", window=steps), problem, steps), expected, **EXACT)


def explicit_traces(problem: Problem, *, exact_inside: int | None) -> dict[str, jax.Array]:
    """Per-connection eligibility traces, one step at a time.

    With `exact_inside=None` every step's error meets the traces (D-RTRL). With `exact_inside=K` the
    gradient inside windows of K steps is autodiff's, and autodiff's adjoint of the window's start
    meets the traces (hybrid).
    """
    params, model = problem.params, problem.model
    alpha = np.exp(-model.step_s / np.exp(np.asarray(params["log_time_constants"])))
    w, e, c = (np.asarray(a) for a in dense_matrices(problem, params))
    n, b = rest(problem).shape
    names = {"weights": (b, n, n), "drive": (b, n, c.shape[0]), "bias": (b, n), "log_time_constants": (b, n)}
    trace = {key: np.zeros(shape) for key, shape in names.items()}
    total = {key: np.zeros(shape[1:]) for key, shape in names.items()}
    signs = np.asarray(problem.connectome.signs, float)
    rates = np.zeros((n, b))
    steps = problem.window.inputs.shape[0]
    inside: dict = {}
    for t in range(steps):
        if exact_inside and t % exact_inside == 0:
            piece = pieces(problem.window, exact_inside)[t // exact_inside]
            grads, at_start = jax.grad(lambda p, r, piece=piece: plain_scan(problem, p, r, piece)[0], argnums=(0, 1))(
                params, jnp.asarray(rates)
            )
            inside = {key: inside.get(key, 0) + value for key, value in grads.items()}
            for key in total:
                total[key] += np.einsum("nb,bn...->n...", np.asarray(at_start), trace[key])
        given, forced, target, weight = (np.asarray(a[t]) for a in problem.window)
        u = np.where(forced, given, c @ rates)
        drive = e @ u
        x = w @ rates + np.asarray(params["bias"])[:, None] + np.maximum(drive, 0)
        slope = (1 - alpha)[:, None] * (x >= 0)
        new = alpha[:, None] * rates + (1 - alpha)[:, None] * np.maximum(x, 0)
        local = {
            "weights": np.einsum("nb,mb->bnm", slope, signs[:, None] * rates),
            "drive": np.einsum("nb,pb->bnp", slope * (drive >= 0), u),
            "bias": slope.T,
            "log_time_constants": (
                (rates - np.maximum(x, 0))
                * (alpha * model.step_s / np.exp(np.asarray(params["log_time_constants"])))[:, None]
            ).T,
        }
        for key in trace:
            decay = alpha.reshape(1, n, *[1] * (trace[key].ndim - 2))
            trace[key] = decay * trace[key] + local[key]
        rates = new
        if not exact_inside:
            error = c.T @ (2 * weight * (c @ rates - target))
            for key in total:
                total[key] += np.einsum("nb,bn...->n...", error, trace[key])
    brain = problem.connectome
    total["weights"] = total["weights"][brain.posts, brain.indices]
    return {key: value + np.asarray(inside.get(key, 0)) for key, value in total.items()}


@pytest.mark.parametrize("steps", [1, 4, 16])
def test_d_rtrl_equals_explicit_traces_for_every_window_length(steps: int) -> None:
    problem = random_problem(3, steps=16)
    expected = explicit_traces(problem, exact_inside=None)
    assert_same(run(preset("d-rtrl", window=steps), problem, steps), expected, **EXACT)


def test_d_rtrl_is_the_same_for_windows_of_1_4_and_16_steps() -> None:
    problem = random_problem(4, steps=48, neurons=30)
    one = run(preset("d-rtrl", window=1), problem, 1)
    for steps in (4, 16):
        other = run(preset("d-rtrl", window=steps), problem, steps)
        for key in one:
            error = np.abs(other[key] - one[key]).max() / np.abs(one[key]).max()
            assert error < 1e-12, (key, steps, error)


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_hybrid_is_autodiff_inside_and_explicit_traces_across_windows(steps: int) -> None:
    problem = random_problem(5, steps=16)
    expected = explicit_traces(problem, exact_inside=steps)
    assert_same(run(preset("hybrid", window=steps), problem, steps), expected, **EXACT)


@pytest.mark.parametrize("credit", ["neuron", "network"])
def test_history_differs_from_traces_by_no_more_than_the_stated_share(credit: str) -> None:
    problem = random_problem(6, steps=32)
    traced = run(Windowed(4, credit, "trace"), problem, 4)
    alpha = problem.model.decay(problem.params)
    complete = run(Windowed(4, credit, "history", history=32), problem, 4)
    assert_same(complete, traced, **EXACT)
    errors = []
    for history in (1, 8, 24):
        cut = run(Windowed(4, credit, "history", history=history), problem, 4)
        errors.append(max(float(jnp.abs(cut[key] - traced[key]).max() / jnp.abs(traced[key]).max()) for key in traced))
        # Each step of the trace that is left out has at most the weight alpha^H of a recent one; the
        # geometric tail behind it adds 1 / (1 - alpha).
        assert errors[-1] <= float(history_error(alpha, history)) * 4 / (1 - float(alpha.max()))
    assert errors[0] > 1e-3 and errors[0] > errors[1] > errors[2]


def test_rules_that_should_differ_do() -> None:
    problem = random_problem(7, steps=16)
    gradients = {name: run(preset(name, window=4), problem, 4) for name in ("d-rtrl", "hybrid", "tbptt")}
    gradients["bptt"] = run(preset("bptt", window=16), problem, 16)
    names = list(gradients)
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            assert not np.allclose(gradients[first]["weights"], gradients[second]["weights"], rtol=1e-3), (
                first,
                second,
            )


def cosine(a: jax.Array, b: jax.Array) -> float:
    return float((a * b).sum() / jnp.sqrt((a**2).sum() * (b**2).sum()))


def test_longer_hybrid_windows_come_nearer_to_bptt() -> None:
    problem = random_problem(8, steps=48, neurons=60, units=6)
    exact = run(preset("bptt", window=48), problem, 48)["weights"]
    near = [cosine(run(preset("hybrid", window=k), problem, k)["weights"], exact) for k in (1, 4, 16)]
    forward = cosine(run(preset("d-rtrl", window=4), problem, 4)["weights"], exact)
    assert forward < near[1] and near[0] < near[1] < near[2] and near[2] > 0.98


def test_a_batch_is_the_sum_of_its_recordings() -> None:
    problem = random_problem(9, batch=3)
    learner = preset("hybrid", window=4)
    together = run(learner, problem, 4)
    alone: dict = {}
    for b in range(3):
        single = Problem(
            problem.connectome,
            problem.readout,
            problem.model,
            problem.params,
            type(problem.window)(*(a[..., b : b + 1] for a in problem.window)),
        )
        alone = {key: alone.get(key, 0) + value for key, value in run(learner, single, 4).items()}
    assert_same(together, alone, **EXACT)


def test_values_that_are_not_scored_or_not_forced_have_no_influence() -> None:
    problem = random_problem(10)
    window = problem.window
    other = window._replace(
        inputs=jnp.where(window.forced, window.inputs, 99.0),
        targets=jnp.where(window.weights > 0, window.targets, -99.0),
    )
    changed = Problem(problem.connectome, problem.readout, problem.model, problem.params, other)
    learner = preset("hybrid", window=4)
    assert_same(run(learner, changed, 4), run(learner, problem, 4), rtol=0, atol=0)


def test_only_the_groups_that_are_trained_have_a_gradient() -> None:
    problem = random_problem(11)
    learner = preset("hybrid", window=4)
    memory = learner.start(problem.model, 2, ("bias",))
    result, memory = step(
        learner, problem.model, problem.params, memory, pieces(problem.window, 4)[0], trained=("bias",)
    )
    assert set(result.gradient) == {"bias"} and set(memory.traces) == {"bias"}


@pytest.mark.parametrize(
    ("options", "word"),
    [({"window": 0}, "window"), ({"credit": "neurons"}, "did you mean 'neuron'"), ({"history": 3}, "history")],
)
def test_wrong_dials_are_named(options: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Windowed(**options)


def test_relu_conventions_agree() -> None:
    assert float(jax.grad(open_at_zero)(0.0)) == 1.0
