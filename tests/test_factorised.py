"""pp-prop against the published update written out in NumPy, and the cases in which its factors are the trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import Problem, dense_matrices, pieces, random_problem
from small import student

from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models.base import group_of
from connfit.training.fit import train
from connfit.training.learners import RULES, WindowedLearner, preset
from connfit.training.learning_rates import parameter_sizes

# Sums of some hundred float64 products in another order.
EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}

step = jax.jit(WindowedLearner.step, static_argnames=("self", "trained"))


def run(learner: WindowedLearner, problem: Problem) -> dict[str, np.ndarray]:
    """Gradient summed over the windows of the problem, parameters fixed."""
    groups = problem.model.groups
    memory = learner.start(problem.model, problem.window.inputs.shape[2], groups)
    total: dict[str, np.ndarray] = {}
    for piece in pieces(problem.window, learner.window):
        result, memory = step(learner, problem.model, problem.params, memory, piece, trained=groups)
        total = {key: total.get(key, 0) + np.asarray(value) for key, value in result.gradient.items()}
    return total


def published(problem: Problem, decay: float) -> dict[str, np.ndarray]:
    """ε_x ← γ ε_x + x, ε_f ← γ α ε_f + (1-γ) D_f, gradient += L ε_f ε_x / (1 - γ^t): one step at a time, dense."""
    params, brain = problem.params, problem.connectome
    tau = np.exp(np.asarray(params["log_time_constants"]))
    alpha = np.exp(-problem.model.step_s / tau)[:, None]
    w, e, c = (np.asarray(a) for a in dense_matrices(problem, params))
    (n, _), b = w.shape, problem.window.inputs.shape[2]
    post_w, pre_w, post_e, pre_e = np.zeros((n, b)), np.zeros((n, b)), np.zeros((n, b)), np.zeros((len(c), b))
    bias, rates = np.zeros((n, b)), np.zeros((n, b))
    total_w, total_e, total_b = np.zeros((n, n)), np.zeros((n, len(c))), np.zeros(n)
    for t in range(len(problem.window.inputs)):
        given, forced, target, weight = (np.asarray(a[t]) for a in problem.window[:4])
        u = np.where(forced, given, c @ rates)
        drive = e @ u
        x = w @ rates + np.asarray(params["bias"])[:, None] + np.maximum(drive, 0)
        gain = (1 - alpha) * (x >= 0)
        post_w = decay * alpha * post_w + (1 - decay) * gain
        pre_w = decay * pre_w + rates
        post_e = decay * alpha * post_e + (1 - decay) * gain * (drive >= 0)
        pre_e = decay * pre_e + u
        bias = alpha * bias + gain
        rates = alpha * rates + (1 - alpha) * np.maximum(x, 0)
        signal = c.T @ (2 * weight * (c @ rates - target))
        scaled = signal / (1 - decay ** (t + 1))
        total_w += np.einsum("ib,ib,jb->ij", scaled, post_w, pre_w)
        total_e += np.einsum("ib,ib,jb->ij", scaled, post_e, pre_e)
        total_b += (signal * bias).sum(axis=1)
    signs = np.asarray(brain.connection_signs)
    gradient = {"weights": total_w[brain.posts, brain.indices] * signs, "bias": total_b}
    if "drive" in params and params["drive"].ndim == 1:
        support = problem.readout.matrix.T.tocsr()
        total_e = total_e[np.repeat(np.arange(n), np.diff(support.indptr)), support.indices]
    return {**gradient, "drive": total_e} if "drive" in params else gradient


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("drive", "window"), [pytest.param("dense", 1, marks=pytest.mark.slow), ("dense", 4), ("anatomical", 4)]
)
def test_pp_prop_is_the_published_update_for_every_window_length(drive: str, window: int) -> None:
    problem = random_problem(4, drive=drive)
    got = run(replace(preset("pp-prop", window=window), trace_decay=0.7), problem)
    for key, value in published(problem, 0.7).items():
        assert np.abs(value).max() > 0
        np.testing.assert_allclose(got[key], value, err_msg=key, **EXACT)


@pytest.mark.usefixtures("float64")
def test_without_memory_the_last_step_counts_and_that_is_all_that_fast_neurons_remember() -> None:
    problem = random_problem(4)
    fast = replace(problem, params={**problem.params, "log_time_constants": jnp.full(14, -40.0)})  # α = 0
    got, exact = (
        run(WindowedLearner(4, "neuron", "factorised", trace_decay=0.0), fast),
        run(preset("d-rtrl", window=4), fast),
    )
    for key in ("weights", "drive"):
        np.testing.assert_allclose(got[key], exact[key], err_msg=key, **EXACT)
        assert np.abs(exact[key]).max() > 0
    # With credit through the network, λ⁰ meets the trace of the step before the window: the same one-step factors.
    got, hybrid = (
        run(WindowedLearner(4, "network", "factorised", trace_decay=0.0), fast),
        run(preset("hybrid", window=4), fast),
    )
    for key in exact:
        np.testing.assert_allclose(got[key], hybrid[key], err_msg=key, **EXACT)
    assert not np.allclose(hybrid["weights"], exact["weights"], rtol=1e-3)


@pytest.mark.usefixtures("float64")
def test_with_constant_inputs_the_factors_become_the_trace() -> None:
    problem = random_problem(4)
    ones = np.ones_like(problem.window.inputs)
    constant = replace(problem, window=problem.window._replace(inputs=0.4 * ones, forced=ones.astype(bool)))
    learner = WindowedLearner(4, "neuron", "factorised", trace_decay=0.999999)

    def error(case: Problem, key: str) -> float:
        got, exact = run(learner, case), run(preset("d-rtrl", window=4), case)
        return float(np.abs(got[key] - exact[key]).max() / np.abs(exact[key]).max())

    assert error(constant, "drive") < 1e-4 < 1e-2 < error(problem, "drive")
    # Biases and time constants keep a trace per neuron, whatever the inputs do.
    assert max(error(problem, key) for key in ("bias", "log_time_constants")) < 1e-10


@pytest.mark.parametrize("credit", ["neuron", "network"])
def test_memory_has_nothing_per_connection_and_does_not_grow(credit: str) -> None:
    problem = random_problem(1, neurons=30, electrical=5)
    learner, groups = WindowedLearner(4, credit, "factorised"), problem.model.groups
    memory = learner.start(problem.model, 2, groups)
    assert problem.connectome.m > 2 * 30
    assert all(leaf.size <= 2 * 2 * 30 for leaf in jax.tree.leaves(memory)), "2 recordings, N or 2 N numbers each"
    window = pieces(problem.window, 4)[0]
    _, after = jax.eval_shape(
        lambda memory: learner.step(problem.model, problem.params, memory, window, groups), memory
    )
    assert jax.tree.map(jnp.shape, memory) == jax.tree.map(jnp.shape, after)


def test_only_trained_maps_have_factors() -> None:
    model = random_problem(1).model
    memory = preset("pp-prop").start(model, 1, ("drive",))
    assert memory.factors is not None and set(memory.factors.maps) == {"drive"} and not memory.traces


def test_a_fit_with_pp_prop_learns() -> None:
    small = student()
    sizes = parameter_sizes(small.model, small.params, small.cohort)
    even = {group_of(key): 1 / size for key, size in sizes.items()}  # the same step for every group
    config = TrainConfig(epochs=6, learning_rate=0.01, warmup_frames=5, patience=None, rate_scale=even)
    losses = [
        row["train_loss"]
        for row in train(small.model, small.params, small.cohort, preset("pp-prop", window=8), config).history
    ]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_outside_its_bounds_is_named(decay: float) -> None:
    with pytest.raises(ConfigError, match="trace_decay"):
        WindowedLearner(4, *RULES["pp-prop"].dials, trace_decay=decay)
