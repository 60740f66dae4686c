"""Traces of a dense drive, and traces in bfloat16: native against portable, portable against double precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from small import first_fast
from test_ops_native import all_operands, random_pattern

from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.ops import native

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@partial(jax.jit, static_argnames="implementation")
def dense(operands: tuple[jax.Array, ...], implementation: str) -> tuple[jax.Array, jax.Array]:
    return ops.dense_outer(*operands, implementation=implementation)


@partial(jax.jit, static_argnames="implementation")
def sparse(pattern: ops.Pattern, operands: tuple[jax.Array, ...], implementation: str) -> tuple[jax.Array, jax.Array]:
    return ops.window_outer(pattern, *operands, implementation=implementation)


def dense_operands(
    rng: np.random.Generator, rows: int, columns: int, batch: int, steps: int, dtype: str
) -> tuple[jax.Array, ...]:
    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    shapes = (rows, batch), (rows, batch), (rows, batch, steps), (rows, batch, steps), (columns, batch, steps)
    return draw(rows, batch, columns).astype(DTYPES[dtype]), *(draw(*shape) for shape in shapes)


def assert_near(found: tuple[jax.Array, jax.Array], expected: tuple, dtype: str) -> None:
    """Sums of up to a few hundred products of order 1; a trace in bfloat16 may round to the other neighbour."""
    step = {"float32": 1e-4, "bfloat16": 2.0**-7}[dtype]
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=2e-4)
    old, new = (np.asarray(one, np.float64) for one in (expected[1], found[1]))
    np.testing.assert_allclose(new, old, rtol=step, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 40),
    columns=st.sampled_from([1, 7, 8, 31, 32, 73]),
    batch=st.integers(1, 5),
    steps=st.sampled_from([1, 3, 16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_dense_traces_native_equals_portable(dtype, rows, columns, batch, steps, seed):
    operands = dense_operands(np.random.default_rng(seed), rows, columns, batch, steps, dtype)
    native_result, plain = dense(operands, "native"), dense(operands, "portable")
    assert native_result[1].dtype == plain[1].dtype == DTYPES[dtype]
    assert_near(native_result, plain, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_traces_equal_the_sums_in_double_precision(dtype):
    operands = dense_operands(np.random.default_rng(1), 20, 9, 3, 5, dtype)
    trace, carry, decay, left, trace_left, right = (np.asarray(one, np.float64) for one in operands)
    gradient = np.einsum("ib,ibj->ij", carry, trace) + np.einsum("ibk,jbk->ij", left, right)
    kept = decay[:, :, None] * trace + np.einsum("ibk,jbk->ibj", trace_left, right)
    for implementation in ("native", "portable"):
        assert_near(dense(operands, implementation), (gradient, kept), dtype)


def test_dense_traces_are_those_of_a_pattern_that_connects_everything():
    rng = np.random.default_rng(2)
    rows, columns = 12, 10
    pattern = ops.Pattern.of(np.arange(rows + 1) * columns, np.tile(np.arange(columns), rows), columns)
    trace, *rest = dense_operands(rng, rows, columns, 2, 16, "float32")
    gradient, kept = dense((trace, *rest), "native")
    flat = trace.transpose(0, 2, 1).reshape(-1, 2)
    other_gradient, other_kept = sparse(pattern, (flat, *rest), "native")
    np.testing.assert_allclose(gradient.ravel(), other_gradient, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(kept.transpose(0, 2, 1).reshape(-1, 2), other_kept, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("batch", "steps"), first_fast([(1, 16), (3, 16), (2, 3), (1, 1), (1, 8), (1, 5)], 3))
def test_sparse_traces_in_bfloat16_native_equals_portable(batch, steps):
    rng = np.random.default_rng(batch + steps)
    pattern = random_pattern(rng, 60, 90, 0.3)
    trace, *rest = all_operands(rng, pattern, batch, steps)["window_outer"]
    operands = (trace.astype(jnp.bfloat16), *rest)
    assert_near(sparse(pattern, operands, "native"), sparse(pattern, operands, "portable"), "bfloat16")


@pytest.mark.parametrize("batch", [1, 2])
def test_rounding_to_bfloat16_is_to_the_nearest_and_keeps_what_is_not_a_number(batch):
    special = np.array([1.0, -1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 3.0e38, np.inf, -np.inf, np.nan, 0.0, 1e-30])
    m = len(special)
    pattern = ops.Pattern.of([0, m], np.zeros(m, int), 1)
    # The trace is 0 and the sum of one step is the value itself, so that all that is left is the rounding.
    for k, value in enumerate(special):
        ones = jnp.ones((1, batch, 1), jnp.float32)
        operands = (
            jnp.zeros((m, batch), jnp.bfloat16),
            ones[..., 0],
            ones[..., 0],
            ones,
            ones * np.float32(value),
            ones,
        )
        expected = np.asarray(jnp.asarray(np.float32(value)).astype(jnp.bfloat16), np.float32)
        found = np.asarray(sparse(pattern, operands, "native")[1])
        flat = np.asarray(
            dense((jnp.zeros((1, batch, 9), jnp.bfloat16), *operands[1:5], jnp.ones((9, batch, 1))), "native")[1]
        )
        for result in (found, flat):
            result = np.asarray(result, np.float32)
            np.testing.assert_array_equal(result, np.broadcast_to(expected, result.shape), err_msg=str(special[k]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_traces_take_the_place_of_the_old_ones(dtype):
    trace, carry, decay, left, later, right = dense_operands(np.random.default_rng(3), 2000, 40, 1, 16, dtype)
    operands = trace[None], carry[..., None], decay[..., None, None], left, later[:, :, None], right
    donated = jax.jit(
        lambda *args: ops.dense_outer(*args, implementation="native")[::-1], donate_argnums=0
    ).lower(*operands)  # fmt: skip
    memory = donated.compile().memory_analysis()
    assert memory.alias_size_in_bytes >= operands[0].nbytes
    assert memory.temp_size_in_bytes < operands[0].nbytes / 2


def test_gradients_of_dense_traces():
    operands = dense_operands(np.random.default_rng(4), 6, 5, 2, 3, "float32")

    def value(implementation: str, *args: jax.Array) -> jax.Array:
        return sum(jnp.sum(x**2) for x in ops.dense_outer(*args, implementation=implementation))

    every = tuple(range(1, 1 + len(operands)))
    one, other = (jax.jit(jax.grad(value, every), static_argnums=0)(name, *operands) for name in ("native", "portable"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), one, other)


def test_a_wrong_shape_is_named():
    operands = list(dense_operands(np.random.default_rng(5), 6, 5, 2, 3, "float32"))
    operands[5] = operands[5][:, :1]
    with pytest.raises(ConfigError, match="dense_outer: right has shape"):
        ops.dense_outer(*operands)


@pytest.mark.parametrize(
    ("states", "batch", "steps", "dtype"),
    [
        (2, 3, 7, "float32"), (3, 1, 1, "bfloat16"), (5, 1, 8, "float32"),
        *(
            pytest.param(*size, dtype, marks=pytest.mark.slow)
            for size in ((1, 2, 5), (2, 1, 16), (3, 2, 32))
            for dtype in DTYPES
        ),
    ],
)  # fmt: skip
def test_traces_of_several_states_equal_the_sums_in_double_precision(states, batch, steps, dtype):
    """One plane of traces for each state, and what each passes on to the others."""
    rng = np.random.default_rng(states + steps)
    pattern, columns = random_pattern(rng, 30, 41, 0.3), 41

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    rows = draw(30, batch, states), draw(30, batch, states, states), draw(30, batch, steps)
    rows = *rows, draw(30, batch, states, steps), draw(columns, batch, steps)
    along = draw(states, pattern.nnz, batch).astype(DTYPES[dtype])
    across = draw(states, 30, batch, columns).astype(DTYPES[dtype])
    carry, decay, left, trace_left, right = (np.asarray(one, np.float64) for one in rows)
    now = np.einsum("ibk,jbk->ij", left, right)
    later = np.einsum("ibsk,jbk->sibj", trace_left, right)
    old = np.asarray(across, np.float64)
    gradient = now + np.einsum("ibs,sibj->ij", carry, old)
    kept = later + np.einsum("ibsq,qibj->sibj", decay, old)
    row, column = np.repeat(np.arange(30), np.diff(pattern.indptr)), np.asarray(pattern.indices)
    old = np.asarray(along, np.float64)
    sparse_gradient = now[row, column] + np.einsum("ebs,seb->e", carry[row], old)
    sparse_kept = later[:, row, :, column].transpose(1, 0, 2) + np.einsum("ebsq,qeb->seb", decay[row], old)
    for implementation in ("native", "portable"):
        assert_near(dense((across, *rows), implementation), (gradient, kept), dtype)
        assert_near(sparse(pattern, (along, *rows), implementation), (sparse_gradient, sparse_kept), dtype)


def test_traces_of_several_states_have_the_derivatives_of_the_portable_sums(float64):
    rng = np.random.default_rng(3)
    pattern = random_pattern(rng, 6, 7, 0.4)
    shapes = (2, pattern.nnz, 1), (6, 1, 2), (6, 1, 2, 2), (6, 1, 3), (6, 1, 2, 3), (7, 1, 3)
    operands = tuple(jnp.asarray(rng.standard_normal(shape)) for shape in shapes)

    @jax.jit
    def loss(*operands: jax.Array) -> jax.Array:
        gradient, trace = ops.window_outer(pattern, *operands)
        return jnp.sum(jnp.sin(gradient)) + jnp.sum(trace**3)

    check_grads(loss, operands, order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("states", "batch", "steps", "dtype"),
    [
        (2, 1, 16, "bfloat16"),
        (3, 2, 5, "float32"),
        *(pytest.param(*sizes, "float32", marks=pytest.mark.slow) for sizes in ((2, 1, 16), (4, 1, 8))),
        *(pytest.param(*sizes, "bfloat16", marks=pytest.mark.slow) for sizes in ((3, 2, 5), (4, 1, 8))),
    ],
)
def test_blocks_of_rows_give_what_all_rows_at_once_give(states, batch, steps, dtype, monkeypatch):
    """Of rows that no number of blocks divides, one of them without connections; in place where traces are donated."""
    rng, rows, columns = np.random.default_rng(8), 37, 23
    monkeypatch.setattr(native, "_NUMBERS_AT_ONCE", 8 * batch * steps * (1 + states))
    assert native.rows_at_once(rows, batch * steps * (1 + states)) == 8
    there = rng.random((rows, columns)) < 0.4
    there[5] = False
    pattern = ops.Pattern.of(np.r_[0, np.cumsum(there.sum(axis=1))], np.nonzero(there)[1], columns)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    factors = (
        draw(rows, batch, states), 0.3 * draw(rows, batch, states, states), draw(rows, batch, steps),
        draw(rows, batch, states, steps),
    )  # fmt: skip
    right = draw(columns, batch, steps)

    def of_rows(first: jax.Array, count: int) -> tuple:
        return tuple(jax.lax.dynamic_slice_in_dim(one, first, count) for one in factors)

    def run(implementation: str, call: Callable[..., tuple], trace: jax.Array) -> tuple:
        with ops.use(implementation):
            # A new function each time: a compiled one would keep its implementation.
            return jax.jit(lambda trace: call(trace), donate_argnums=0)(jnp.array(trace))

    cases = (
        (lambda trace: ops.window_outer_by_rows(pattern, trace, of_rows, right, right), (pattern.nnz, batch)),
        (lambda trace: ops.dense_outer_by_rows(trace, of_rows, right, right), (rows, batch, columns)),
    )
    for call, shape in cases:
        trace = draw(states, *shape).astype(DTYPES[dtype])
        found = run("native", call, trace)
        assert_near(found, run("portable", call, trace), dtype)
        jax.tree.map(np.testing.assert_array_equal, found, run("auto", call, trace))
