"""Operators that follow spikes: the products and gradients of what is mostly 0, and whole steps of compiled cells."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_oracles import case
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.models import ops
from connfit.models.cells.adaptive_integrate_fire import AdaptiveLIF
from connfit.models.cells.integrate_fire import LIF
from connfit.models.compiled_step import spiking_step
from connfit.models.init import balanced_start
from connfit.models.ops import native
from connfit.models.ops.compiled_cells import CellInputs
from connfit.models.rollout import Limits, Shown, State, readings, rollout
from connfit.models.windows import run_window

NATIVE = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Of float32 sums of up to some hundred numbers near 1, in another order."""


def normal(rng: np.random.Generator, *shape: int) -> jax.Array:
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def sparse_pattern(rng: np.random.Generator, rows: int, columns: int, connections: int) -> ops.Pattern:
    at = np.unique(rng.integers(rows * columns, size=connections)) if rows * columns else np.zeros(0, int)
    row, column = at // columns, at % columns
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))])
    return jax.jit(ops.Pattern.with_columns)(ops.Pattern.of(starts, column, columns))


def assert_products_agree(pattern: ops.Pattern, w: np.ndarray, x: np.ndarray) -> None:
    """Both in one program, which is quicker to compile."""
    found, expected = jax.jit(
        lambda w, x: (ops.matvec(pattern, w, x, spikes=True), ops.matvec(pattern, w, x, implementation="portable"))
    )(w, x)
    np.testing.assert_allclose(found, expected, **CLOSE)


@NATIVE
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 90]), st.sampled_from([1, 90]), st.sampled_from([0, 900]),
    st.sampled_from([1, 3]),
    st.sampled_from([0.0, 0.01, 0.1, 0.9]),
)  # fmt: skip
def test_a_product_that_follows_spikes_is_the_product(
    seed: int, rows: int, columns: int, connections: int, batch: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    pattern = sparse_pattern(rng, rows, columns, connections)
    w = rng.normal(size=pattern.nnz).astype(np.float32)
    x = np.where(rng.random((columns, batch)) < density, rng.normal(size=(columns, batch)), 0).astype(np.float32)
    assert_products_agree(pattern, w, x)


@NATIVE
@pytest.mark.parametrize("density", [0.0, 0.02, 0.6])
def test_weights_that_are_laid_out_are_those_of_the_pattern(density: float) -> None:
    """To the bit, whether it was done or did not pay. Where it was, the weights that are given are not looked at."""
    rng = np.random.default_rng(0)
    pattern = sparse_pattern(rng, 900, 700, 90_000)
    w = rng.normal(size=pattern.nnz).astype(np.float32)
    x = (rng.normal(size=(700, 3)) * (rng.random((700, 3)) < density)).astype(np.float32)
    expected = np.asarray(ops.matvec(pattern, w, x, spikes=True))
    for steps, done in ((1, density > 0.5), (30, density > 0), (512, True)):
        laid_out = ops.lay_out(pattern, jnp.asarray(w), jnp.asarray(x), steps)
        assert laid_out.by_column is not None and laid_out.by_column.laid_out is not None
        assert bool(laid_out.by_column.laid_out.done[0]) == done
        np.testing.assert_array_equal(ops.matvec(laid_out, w, x, spikes=True), expected)
        if done and 0 < density < 0.5:
            assert np.array_equal(ops.matvec(laid_out, 2 * w, x, spikes=True), expected)
    assert ops.lay_out(pattern, jnp.asarray(w, jnp.float16), jnp.asarray(x), 512) is pattern
    with ops.use("portable"):
        assert ops.lay_out(pattern, jnp.asarray(w), jnp.asarray(x), 512) is pattern


@NATIVE
def test_runs_copy_weights_before_their_loop_and_take_whole_steps_in_it() -> None:
    """Windows, runs of frames, and the search of a balance."""
    one = case("lif", delay=1)
    model, params, (inputs, forced) = one.model, one.params, (one.window.inputs, one.window.forced)
    batch = inputs.shape[2]
    at_rest = balanced_start._Running(model.rest(), jnp.zeros(model.neurons))
    shown, limits = Shown(inputs, forced), Limits(*(np.full((model.units, batch), one) for one in (0.0, np.inf)))

    def rolled(params: dict) -> Any:
        return rollout(model, params, State.at_rest(model, batch), shown, readings, limits=limits).each

    for run in (
        lambda params: run_window(model, params, model.rest(batch), inputs, forced),
        rolled,
        lambda params: balanced_start._run(model, params, at_rest, steps=30),
    ):
        program = jax.jit(run).lower(params).compile().as_text().split("\n\n")
        copies, steps = (
            [part for part in program if name in part] for name in ("connfit_lay_out", "connfit_lif_forward")
        )
        assert len(copies) == len(steps) == 1
        assert copies[0].startswith("ENTRY") and not steps[0].startswith("ENTRY")


@NATIVE
@pytest.mark.parametrize("kind", [LIF, AdaptiveLIF])
@pytest.mark.parametrize(
    ("n", "batch", "channels", "density", "beside"),
    [(40, 1, 1, 0.1, True), (40, 3, 3, 0.1, False), (40_000, 1, 2, 0.01, True), (40, 2, 2, 0.9, True)],
)
def test_a_step_with_its_connections_is_the_cells_own(
    kind: type[LIF], n: int, batch: int, channels: int, density: float, beside: bool
) -> None:
    """Also where signals go through several channels, some of which send nothing, and where most neurons send."""
    rng = np.random.default_rng(0)
    pattern = sparse_pattern(rng, n, channels * n, 400 * channels + 10 * n)
    weights, bias = normal(rng, pattern.nnz), normal(rng, n)
    signs, sent = rng.choice([-1, 0, 1], channels * n), rng.random((n, batch)) < density
    others, drive = (normal(rng, n, batch), normal(rng, n, batch)) if beside else (None, None)
    inputs = CellInputs(jnp.asarray(sent, jnp.float32), jnp.asarray(signs, jnp.float32), bias, others, drive)
    neuron = kind(surrogate_width=0.6)
    theta = {one.name: jnp.full((n, 1), 0.5, jnp.float32) for one in neuron.parameters}
    theta["time_constants"] = jnp.full((n, 1), 0.7, jnp.float32)
    states = tuple(abs(normal(rng, n, batch)) for _ in neuron.states)

    def plain(weights: jax.Array, theta: dict, states: tuple, inputs: CellInputs) -> tuple:
        sources = jnp.concatenate([inputs.signs[k * n : (k + 1) * n, None] * inputs.sent for k in range(channels)])
        x = ops.matvec(pattern, weights, sources, implementation="portable") + inputs.bias[:, None]
        if beside:
            x += inputs.others + jax.nn.relu(inputs.drive)
        return x, neuron.output(theta, states), tuple(neuron.step(theta, states, (x,)))

    operands = weights, theta, states, inputs
    found, back = jax.vjp(lambda *operands: spiking_step(neuron, pattern, *operands), *operands)
    expected, plain_back = jax.vjp(plain, *operands)
    assert 0 < found[1].sum() < n * batch
    slopes = jax.tree.map(lambda one: normal(rng, *one.shape), expected)
    for of_both in ((found, expected), (back(slopes), plain_back(slopes))):
        for one, other in zip(*map(jax.tree.leaves, of_both), strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)


@NATIVE
@settings(max_examples=6, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.integers(1, 5), st.sampled_from([1, 40]),
    st.sampled_from([0.0, 0.02, 0.3]), st.sampled_from(["float32", "bfloat16"]),
)  # fmt: skip
def test_windows_by_lists_of_spikes_are_windows(
    seed: int, batch: int, states: int, steps: int, density: float, stored: str
) -> None:
    """At a density of 0.3 there is no room for the lists, and native code goes through all steps."""
    rng = np.random.default_rng(seed)
    pattern = sparse_pattern(rng, 70, 60, 700)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    right = draw(60, batch, steps) * (rng.random((60, batch, steps)) < density)
    row = draw(70, batch, states), draw(70, batch, states, states), draw(70, batch, steps)
    operands = (draw(states, pattern.nnz, batch).astype(jnp.dtype(stored)), *row, draw(70, batch, states, steps), right)

    @jax.jit
    def both(operands: tuple, left: Any, first: Any) -> list[tuple]:
        return [
            (*ops.window_outer(pattern, *operands, **how), ops.sampled_outer(pattern, left, first, **how))
            for how in ({"spikes": True}, {"implementation": "portable"})
        ]

    for found, expected in zip(*both(operands, draw(70, steps), right[:, 0]), strict=True):
        near = {"rtol": 2**-7, "atol": 1e-2} if found.dtype == jnp.bfloat16 else CLOSE  # 8 bits
        np.testing.assert_allclose(np.asarray(found, np.float32), np.asarray(expected, np.float32), **near)


@NATIVE
def test_a_product_that_threads_share_is_the_product() -> None:
    """Some 20,000 connections are followed, by rows in several pieces."""
    rng = np.random.default_rng(2)
    pattern = sparse_pattern(rng, 2000, 2000, 200_000)
    w = rng.normal(size=pattern.nnz).astype(np.float32)
    x = ((rng.random((2000, 2)) < 0.05) * rng.normal(size=(2000, 2))).astype(np.float32)
    assert_products_agree(pattern, w, x)


def test_operators_that_follow_spikes_have_the_derivatives_of_the_product() -> None:
    rng = np.random.default_rng(0)
    pattern = sparse_pattern(rng, 30, 40, 200)
    w, x = rng.normal(size=pattern.nnz).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)

    @jax.jit
    def slopes(w: jax.Array, x: jax.Array) -> list[tuple]:
        return [
            jax.grad(lambda w, x, follow=follow: (ops.matvec(pattern, w, x, spikes=follow) ** 2).sum(), (0, 1))(w, x)
            for follow in (True, False)
        ]

    for found, expected in zip(*slopes(w, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
