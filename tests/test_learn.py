"""Gradients of every rule against autodiff through a plain scan and against explicit traces, in double precision.

Compiling is what takes the time here, so that tests share two problems and with them the compiled steps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import Problem, dense_matrices, open_at_zero, pieces, plain_scan, random_problem
from small import first_fast

from connfit.errors import ConfigError
from connfit.training.learners import WindowArrays, WindowedLearner, history_error, preset

pytestmark = pytest.mark.usefixtures("float64")

# Sums of some thousand float64 products in another order: rounding of 1e-16 each, with room for cancellation.
EXACT = {"rtol": 1e-11, "atol": 1e-13}

STEPS = 48

VARIANTS = {
    "anatomical": {"drive": "anatomical"},
    "no drive": {"drive": "none"},
    "fixed read-out": {"learned_readout": False},
    "gap junctions": {"electrical": 6},
    "softplus": {"nonlinearity": "softplus"},
    "none fed back": {"fed_back": 0},
    "two units fed back": {"fed_back": 2},
    "two units fed back, anatomical": {"fed_back": 2, "drive": "anatomical"},
    "one recording": {"batch": 1},
}

step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"))

autodiff = jax.jit(jax.grad(plain_scan, argnums=(1, 2), has_aux=True), static_argnums=0)
"""((gradient of the parameters, adjoint of the start), rates at the end) of one window."""


@lru_cache(maxsize=1)
def base() -> Problem:
    """All five groups are trained, inputs are withheld and targets missing at random, two recordings."""
    return random_problem(8, neurons=60, units=6, steps=STEPS, learned_readout=True)


@lru_cache(maxsize=1)
def mixed() -> Problem:
    """What `base` lacks: anatomical drive, gap junctions, softplus, a fixed read-out."""
    return random_problem(2, drive="anatomical", electrical=6, nonlinearity="softplus")


def run(learner: WindowedLearner, problem: Problem) -> dict[str, np.ndarray]:
    """Gradient of a learner summed over the windows of the problem, parameters fixed."""
    groups = problem.model.groups
    memory = learner.start(problem.model, problem.window.inputs.shape[2], groups)
    total: dict[str, np.ndarray] = {}
    for piece in pieces(problem.window, learner.window):
        result, memory = step(learner, problem.model, problem.params, memory, piece, trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def cut_autodiff(problem: Problem, steps: int) -> dict[str, np.ndarray]:
    """Autodiff of the plain scan in every window of `steps`, the rates at its start held fixed."""
    rates, total = rest(problem), {}
    for piece in pieces(problem.window, steps):
        (gradient, _), rates = autodiff(problem, problem.params, rates, piece)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in gradient.items()}
    return total


def assert_same(got: dict, expected: dict, **tolerance: float) -> None:
    assert set(got) == set(expected)
    for key in got:
        np.testing.assert_allclose(got[key], expected[key], err_msg=key, **tolerance)


def rest(problem: Problem) -> jax.Array:
    return jnp.zeros((problem.connectome.n, problem.window.inputs.shape[2]))


def test_the_base_problem_trains_every_group() -> None:
    assert set(base().model.groups) == {"weights", "time_constants", "bias", "drive", "readout"}
    assert all(np.abs(value).max() > 0 for value in run(preset("bptt", window=STEPS), base()).values())


def test_one_window_over_the_whole_recording_is_bptt() -> None:
    assert_same(run(preset("bptt", window=STEPS), base()), cut_autodiff(base(), STEPS), **EXACT)


@pytest.mark.parametrize("steps", first_fast([4, 1], 1))
def test_truncated_bptt_is_autodiff_cut_at_the_windows(steps: int) -> None:
    assert_same(run(preset("tbptt", window=steps), base()), cut_autodiff(base(), steps), **EXACT)


@pytest.mark.parametrize("variant", first_fast(VARIANTS, 4))
def test_bptt_of_every_variant_of_the_model_in_two_windows(variant: str) -> None:
    problem = random_problem(3, **{"learned_readout": True, **VARIANTS[variant]})
    got = run(preset("tbptt", window=8), problem)
    assert_same(got, cut_autodiff(problem, 8), **EXACT)
    assert all(np.abs(value).max() > 0 for value in got.values())


def one_step_autodiff(problem: Problem) -> dict[str, np.ndarray]:
    """Autodiff of the loss of every single step, with the rates before it and what was fed back into it held fixed."""
    rates, total = rest(problem), {}
    for piece in pieces(problem.window, 1):
        fed_back = np.asarray(dense_matrices(problem, problem.params)[2] @ rates)
        fixed = piece._replace(
            inputs=np.where(piece.forced, piece.inputs, fed_back), forced=np.ones_like(piece.forced), fed_back=None
        )
        (gradient, _), rates = autodiff(problem, problem.params, rates, fixed)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in gradient.items()}
    return total


@pytest.mark.parametrize("problem", first_fast([mixed, base], 1))
def test_immediate_is_autodiff_of_one_step_with_the_state_held_fixed(problem: Any) -> None:
    expected = one_step_autodiff(problem())
    assert_same(run(preset("immediate"), problem()), expected, **EXACT)
    for steps in (4, 16):  # without credit through time a window only says how often parameters move
        assert_same(run(WindowedLearner(steps, "none", "none"), problem()), expected, **EXACT)
    assert all(np.abs(value).max() > 0 for value in expected.values())


def test_immediate_remembers_nothing_but_the_rates() -> None:
    memory = preset("immediate").start(base().model, 2, base().model.groups)
    assert [leaf.shape for leaf in jax.tree.leaves(memory)] == [(60, 2)]


def explicit_traces(problem: Problem, *, exact_inside: int | None) -> dict[str, np.ndarray]:
    """Per-connection eligibility traces, one step at a time, in NumPy.

    With `exact_inside=None` every step's error meets the traces (D-RTRL). With `exact_inside=K` the
    gradient inside windows of K steps is autodiff's, and autodiff's adjoint of the window's start
    meets the traces (hybrid).
    """
    params, brain = problem.params, problem.connectome
    tau = np.exp(np.asarray(params["log_time_constants"]))
    alpha = np.exp(-problem.model.step_s / tau)
    softplus = problem.model.neuron.nonlinearity == "softplus"
    w, e, c = (np.asarray(a) for a in dense_matrices(problem, params))
    n, b = rest(problem).shape
    post, pre, signs = brain.posts, brain.indices, np.asarray(brain.connection_signs, float)[:, None]
    owner = {"weights": post, "drive": np.arange(n), "bias": np.arange(n), "log_time_constants": np.arange(n)}
    shapes = {"weights": (brain.m, b), "drive": (n, b, len(c)), "bias": (n, b), "log_time_constants": (n, b)}
    trace = {key: np.zeros(shape) for key, shape in shapes.items()}
    total = {key: np.zeros((shape[0], *shape[2:])) for key, shape in shapes.items()}
    total["readout"] = np.zeros(c.shape)
    inside: dict[str, np.ndarray] = {}
    rates = np.zeros((n, b))

    def meet(adjoint: np.ndarray) -> None:
        for key in trace:
            total[key] += np.einsum("nb,nb...->n...", adjoint[owner[key]], trace[key])

    for t in range(len(problem.window.inputs)):
        if exact_inside and t % exact_inside == 0:
            piece = pieces(problem.window, exact_inside)[t // exact_inside]
            (grads, at_start), _ = autodiff(problem, params, jnp.asarray(rates), piece)
            inside = {key: inside.get(key, 0) + np.asarray(value) for key, value in grads.items()}
            meet(np.asarray(at_start))
        given, forced, target, weight = (np.asarray(a[t]) for a in problem.window[:4])
        u = np.where(forced, given, c @ rates)
        drive = e @ u
        x = w @ rates + np.asarray(params["bias"])[:, None] + np.maximum(drive, 0)
        steady, slope = (np.log1p(np.exp(x)), 1 / (1 + np.exp(-x))) if softplus else (np.maximum(x, 0), x >= 0)
        slope = (1 - alpha)[:, None] * slope
        local = {
            "weights": slope[post] * signs * rates[pre],
            "drive": (slope * (drive >= 0))[:, :, None] * u.T,
            "bias": slope,
            "log_time_constants": (rates - steady) * (alpha * problem.model.step_s / tau)[:, None],
        }
        for key in trace:
            decay = alpha[owner[key]].reshape(-1, *[1] * (trace[key].ndim - 1))
            trace[key] = decay * trace[key] + local[key]
        rates = alpha[:, None] * rates + (1 - alpha)[:, None] * steady
        if not exact_inside:
            error = 2 * weight * (c @ rates - target)
            meet(c.T @ error)
            total["readout"] += error @ rates.T
    if params["drive"].ndim == 1:
        support = problem.readout.matrix.T.tocsr()
        total["drive"] = total["drive"][np.repeat(np.arange(n), np.diff(support.indptr)), support.indices]
    return {key: total[key] + inside.get(key, 0) for key in params}


@pytest.mark.parametrize("steps", first_fast([4, 1, 16], 1))
def test_d_rtrl_equals_explicit_traces_for_every_window_length(steps: int) -> None:
    assert_same(run(preset("d-rtrl", window=steps), base()), explicit_traces(base(), exact_inside=None), **EXACT)


def test_d_rtrl_is_the_same_for_windows_of_1_4_and_16_steps() -> None:
    one = run(preset("d-rtrl", window=1), base())
    for steps in (4, 16):
        other = run(preset("d-rtrl", window=steps), base())
        for key in one:
            error = np.abs(other[key] - one[key]).max() / np.abs(one[key]).max()
            assert error < 1e-12, (key, steps, error)


@pytest.mark.parametrize("steps", first_fast([4, 1, 16], 1))
def test_hybrid_is_autodiff_inside_and_explicit_traces_across_windows(steps: int) -> None:
    assert_same(run(preset("hybrid", window=steps), base()), explicit_traces(base(), exact_inside=steps), **EXACT)


@pytest.mark.parametrize(("rule", "exact_inside"), first_fast([("hybrid", 4), ("d-rtrl", None)], 1))
def test_traces_of_sparse_drive_gap_junctions_and_softplus(rule: str, exact_inside: int | None) -> None:
    assert_same(run(preset(rule, window=4), mixed()), explicit_traces(mixed(), exact_inside=exact_inside), **EXACT)


@pytest.mark.parametrize("credit", first_fast(["neuron", "network"], 1))
def test_history_differs_from_traces_by_no_more_than_the_stated_share(credit: str) -> None:
    traced = run(WindowedLearner(4, credit, "trace"), base())
    alpha = base().model.decay(base().params)
    complete = run(WindowedLearner(4, credit, "history", history=STEPS), base())
    assert_same(complete, traced, **EXACT)
    errors = []
    for history in (1, 8, 24):
        cut = run(WindowedLearner(4, credit, "history", history=history), base())
        errors.append(max(np.abs(cut[key] - traced[key]).max() / np.abs(traced[key]).max() for key in traced))
        # Each step of the trace that is left out has at most the weight alpha^H of a recent one; the
        # geometric tail behind it adds 1 / (1 - alpha).
        assert errors[-1] <= float(history_error(alpha, history)) * 4 / (1 - float(alpha.max()))
    assert errors[0] > 1e-3 and errors[0] > errors[1] > errors[2]


def test_rules_that_should_differ_do() -> None:
    gradients = {name: run(preset(name, window=4), base()) for name in ("d-rtrl", "hybrid", "tbptt")}
    gradients["immediate"] = run(preset("immediate"), base())
    gradients["own state only"] = run(WindowedLearner(4, "neuron", "none"), base())
    gradients["bptt"] = run(preset("bptt", window=STEPS), base())
    names = list(gradients)
    for k, first in enumerate(names):
        for second in names[k + 1 :]:
            assert not np.allclose(gradients[first]["weights"], gradients[second]["weights"], rtol=1e-3), (
                first,
                second,
            )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_longer_hybrid_windows_come_nearer_to_bptt() -> None:
    exact = run(preset("bptt", window=STEPS), base())["weights"]
    near = [cosine(run(preset("hybrid", window=k), base())["weights"], exact) for k in (1, 4, 16)]
    forward = cosine(run(preset("d-rtrl", window=4), base())["weights"], exact)
    assert forward < near[1] and near[0] < near[1] < near[2] and near[2] > 0.98


def test_a_batch_is_the_sum_of_its_recordings() -> None:
    learner = preset("hybrid", window=4)
    alone: dict = {}
    for b in range(2):
        single = replace(base(), window=WindowArrays(*(a[..., b : b + 1] for a in base().window[:4])))
        alone = {key: alone.get(key, 0) + value for key, value in run(learner, single).items()}
    assert_same(run(learner, base()), alone, **EXACT)


def test_values_that_are_not_scored_or_not_forced_have_no_influence() -> None:
    window = base().window
    other = window._replace(
        inputs=np.where(window.forced, window.inputs, 99.0),
        targets=np.where(window.weights > 0, window.targets, -99.0),
    )
    learner = preset("hybrid", window=4)
    assert_same(run(learner, replace(base(), window=other)), run(learner, base()), rtol=0, atol=0)


def test_only_the_groups_that_are_trained_have_a_gradient() -> None:
    learner = preset("hybrid", window=4)
    memory = learner.start(base().model, 2, ("bias",))
    result, memory = step(learner, base().model, base().params, memory, pieces(base().window, 4)[0], trained=("bias",))
    assert set(result.gradient) == {"bias"} and set(memory.traces) == {"bias"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"window": 0}, "window"),
        ({"credit": "neurons"}, "did you mean 'neuron'"),
        ({"history": 3}, "history"),
        ({"credit": "none"}, "use carry = 'none'"),
    ],
)
def test_wrong_dials_are_named(options: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        WindowedLearner(**options)


def test_the_window_of_immediate_is_its_own() -> None:
    assert preset("immediate") == WindowedLearner(1, "neuron", "none") and preset("hybrid").window == 16
    with pytest.raises(ConfigError, match=r"windows of 1 step.* credit = 'none'"):
        preset("immediate", window=16)


def test_relu_conventions_agree() -> None:
    assert float(jax.grad(open_at_zero)(0.0)) == 1.0
