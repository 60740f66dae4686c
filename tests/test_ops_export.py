"""The portable operators lower for CPU and CUDA without a GPU being here, into programs without large arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from networks import random_problem

from connfit.models import ops
from connfit.models.ops import native
from connfit.training.learners import WindowedLearner

PATTERN = ops.Pattern.of([0, 2, 2, 3], [1, 0, 1], 2)


def every_operator_and_gradient(w: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
    def loss(w: jax.Array, x: jax.Array) -> jax.Array:
        y = ops.matvec(PATTERN, w, x)
        return jnp.sum(y**2) + jnp.sum(ops.rmatvec(PATTERN, w, y) ** 2)

    ones = jnp.ones((PATTERN.rows, 1, 2))
    operands = (w[:, None], ones[:, :, 0], ones[:, :, 0], ones, ones, jnp.ones((PATTERN.columns, 1, 2)))
    return *jax.grad(loss, argnums=(0, 1))(w, x), *ops.window_outer(PATTERN, *operands)


def test_export_for_cpu_and_cuda():
    def portable(w: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
        with ops.use("portable"):
            return every_operator_and_gradient(w, x)

    w, x = jnp.arange(1.0, 4.0), jnp.asarray([2.0, -1.0])
    exported = export.export(jax.jit(portable), platforms=("cpu", "cuda"))(w, x)
    assert exported.platforms == ("cpu", "cuda")
    assert "connfit_" not in exported.mlir_module()
    for one, other in zip(exported.call(w, x), portable(w, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.skipif(not native.available(), reason="no compiled kernels")
def test_auto_lowers_to_native_on_cpu_and_to_portable_on_cuda():
    w, x = jnp.arange(1.0, 4.0), jnp.asarray([2.0, -1.0])
    with ops.use("auto"):
        traced = jax.jit(every_operator_and_gradient).trace(w, x)
    assert "connfit_window_outer" in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "connfit_" not in traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("name", ["matvec", "rmatvec", "rmatvec by column", "sampled_outer", "window_outer"])
def test_compiled_operators_hold_a_few_arrays_of_connections_not_one_for_each_column_or_step(name):
    rows, each, many = 50, 400, 64
    rng, m = np.random.default_rng(0), rows * each
    pattern = ops.Pattern.of(np.arange(0, m + 1, each), rng.integers(0, rows, m), rows)
    if name == "rmatvec by column":
        pattern = jax.jit(ops.Pattern.with_columns)(pattern)
    w, x = np.ones(m, np.float32), np.ones((rows, many), np.float32)
    window = x[:, None, :1], x[:, None, :1, None], x[:, None], x[:, None, None], x[:, None]
    operands = {"sampled_outer": (x, x), "window_outer": (w[None, :, None], *window)}.get(name, (w, x))

    def call(pattern: ops.Pattern, *operands: jax.Array) -> object:
        return getattr(ops, name.split()[0])(pattern, *operands, implementation="portable")

    compiled = jax.jit(call).lower(pattern, *operands).compile()
    used = compiled.memory_analysis()
    assert used is not None
    assert used.temp_size_in_bytes < 8 * w.nbytes  # the array that must not be has 64 times the bytes of w


@pytest.mark.parametrize("learned_readout", [False, True])
def test_training_on_a_card_multiplies_in_float32(learned_readout):
    """By default XLA rounds the factors of matrix products to tf32 there, ten bits."""
    problem = random_problem(1, learned_readout=learned_readout, fed_back=2)
    model, learner = problem.model, WindowedLearner(16, "neuron", "trace")
    with ops.use("portable"):
        memory = learner.start(model, 2, model.groups)
        traced = jax.jit(lambda *window: learner.step(model, *window, model.groups)).trace(
            problem.params, memory, problem.window
        )
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) > 3
    assert [line for line in products if "precision = [HIGHEST, HIGHEST]" not in line] == []
