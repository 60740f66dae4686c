"""The Pallas kernels, interpreted on a CPU, against the portable operators; and what they lower to for a card."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import export
from networks import random_problem
from small import first_fast

from connfit.models import ops
from connfit.models.ops import pallas_operators, portable
from connfit.models.ops.pallas_sums import PIECE
from connfit.models.ops.pieces import cut
from connfit.training.learners import WindowedLearner

PRECISION = {"float32": 1e-5, "float64": 1e-13}
"""Of what a sum would be without cancellation: some hundred roundings, in another order."""
ROWS, COLUMNS, CONNECTIONS = 37, 11, 20 * PIECE + 5
"""Neither a multiple of what a program takes at once, connections of one row more than 16 pieces."""
OPERATORS = ("matvec", "rmatvec", "sampled_outer", "window_outer")
TRITON = "__gpu$xla.gpu.triton"
with_columns = jax.jit(ops.Pattern.with_columns)


def wiring(rng: np.random.Generator, rows: int, columns: int, longest: int) -> ops.Pattern:
    """Half of the rows empty, others of up to 300 connections, unsorted and repeated; `longest` in row 1."""
    lengths = rng.integers(0, 300, rows) * rng.integers(0, 2, rows)
    lengths[1:2] = longest
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return ops.Pattern.of(indptr, rng.integers(0, columns, indptr[-1]), columns)


def operands(
    rng: np.random.Generator, p: ops.Pattern, batch: int, steps: int, states: int, dtype: str
) -> dict[str, tuple[np.ndarray, ...]]:
    def draw(*shape: int) -> np.ndarray:  # NumPy compiles nothing for each shape
        return rng.standard_normal(shape).astype(dtype)

    n, c, m = p.rows, p.columns, p.nnz
    of_rows = draw(n, batch, states), draw(n, batch, states, states), draw(n, batch, steps)
    window = draw(states, m, batch), *of_rows, draw(n, batch, states, steps), draw(c, batch, steps)
    return {
        "matvec": (draw(m), draw(c, batch)),
        "rmatvec": (draw(m), draw(n, batch)),
        "sampled_outer": (draw(n, steps), draw(c, steps)),
        "window_outer": window,
    }


@partial(jax.jit, static_argnames=("name", "implementation"))
def run(name: str, implementation: str, pattern: ops.Pattern, values: tuple[np.ndarray, ...]) -> list[jax.Array]:
    return jax.tree.leaves(getattr(ops, name)(pattern, *values, implementation=implementation))


def assert_equal_to_portable(name: str, pattern: ops.Pattern, values: tuple[np.ndarray, ...], precision: float) -> None:
    found, expected = (run(name, implementation, pattern, values) for implementation in ("pallas", "portable"))
    scale = run(name, "portable", pattern, tuple(np.abs(x) for x in values))
    for result, known, size in zip(found, expected, scale, strict=True):
        assert result.shape == known.shape and result.dtype == known.dtype
        assert np.all(np.abs(result - known) <= precision * size)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("dtype", "batch", "steps", "states"), first_fast([("float32", 1, 16, 1), ("float64", 9, 19, 2)], 1)
)
@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.sampled_from([0, 0, 1, 1, 5, 40]), min_size=ROWS - 1, max_size=ROWS - 1),
    columns=st.lists(st.sampled_from([0, 1, 30]), min_size=COLUMNS - 1, max_size=COLUMNS - 1),
    seed=st.integers(0, 2**32 - 1),
)
@example(rows=[0] * (ROWS - 1), columns=[0] * (COLUMNS - 1), seed=0)  # everything in one row and one column
def test_pallas_equals_portable(name, dtype, batch, steps, states, rows, columns, seed):
    """Sizes stay, so that little is compiled; how connections divide among rows and columns does not."""
    rng = np.random.default_rng(seed)
    share = np.cumsum([*rows, 1.0])
    indptr = np.concatenate([[0], np.round(share / share[-1] * CONNECTIONS).astype(int)])
    chances = np.array([*columns, 1.0])
    indices = rng.choice(COLUMNS, CONNECTIONS, p=chances / chances.sum())
    pattern = ops.Pattern.of(indptr, indices, COLUMNS)
    values = operands(rng, pattern, batch, steps, states, dtype)[name]
    assert_equal_to_portable(name, pattern, values, PRECISION[dtype])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(lengths=st.lists(st.sampled_from([0, 1, 3, 4, 5, 8, 9]), min_size=7, max_size=7))
def test_pieces_divide_every_row_into_consecutive_parts(lengths):
    lengths = [*lengths, 70 - sum(lengths)]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    pieces = jax.device_get(jax.jit(cut, static_argnums=(1, 2, 3))(indptr, 70, 4, 5))
    assert len(pieces.row) % 5 == 0
    held = [(row, k) for row, start, end in zip(*pieces[:3], strict=True) for k in range(start, end)]
    assert held == [(row, k) for row in range(8) for k in range(indptr[row], indptr[row + 1])]
    assert (pieces.end - pieces.start).max() <= 4
    for row, (begin, end) in enumerate(pairwise(pieces.first)):
        assert end - begin == -(-lengths[row] // 4) and (pieces.row[begin:end] == row).all()


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0)])
def test_patterns_without_connections(rows, columns):
    pattern = with_columns(ops.Pattern.of(np.zeros(rows + 1, int), np.zeros(0, int), columns))
    for name, values in operands(np.random.default_rng(0), pattern, 2, 3, 1, "float32").items():
        for result, known in zip(
            run(name, "pallas", pattern, values), run(name, "portable", pattern, values), strict=True
        ):
            np.testing.assert_array_equal(result, known)


def test_no_columns_and_no_steps():
    rng = np.random.default_rng(0)
    pattern = wiring(rng, 4, 3, 5)
    values = operands(rng, pattern, 0, 0, 1, "float32")
    for name in OPERATORS:
        found, expected = (
            run(name, implementation, pattern, values[name]) for implementation in ("pallas", "portable")
        )
        for result, known in zip(found, expected, strict=True):
            np.testing.assert_array_equal(result, known)


def test_traces_in_bfloat16_are_rounded_once():
    rng = np.random.default_rng(2)
    pattern = wiring(rng, 9, 7, 150)
    trace, *others = operands(rng, pattern, 2, 5, 2, "float32")["window_outer"]
    values = jnp.asarray(trace, jnp.bfloat16), *others
    found, known = run("window_outer", "pallas", pattern, values), run("window_outer", "portable", pattern, values)
    np.testing.assert_allclose(found[0], known[0], rtol=1e-4, atol=1e-4)
    assert found[1].dtype == jnp.bfloat16
    # The sums differ by their order, so some round to the other neighbour, 2^-8 apart.
    np.testing.assert_allclose(found[1].astype(jnp.float32), known[1].astype(jnp.float32), rtol=2.0**-7, atol=1e-4)


def test_columns_in_order_are_the_transposed_matrix():
    rng = np.random.default_rng(3)
    pattern = wiring(rng, 30, 11, 400)
    values, found = rng.standard_normal(pattern.nnz), with_columns(pattern).by_column
    matrix = sp.csr_array((values, np.asarray(pattern.indices), np.asarray(pattern.indptr)), (30, 11))
    turned = sp.csr_array((values[found.places], np.asarray(found.rows), np.asarray(found.indptr)), (11, 30))
    np.testing.assert_allclose(turned.toarray(), matrix.toarray().T, rtol=1e-13, atol=1e-14)
    w, v = operands(rng, pattern, 2, 1, 1, "float32")["rmatvec"]
    by_scatter, by_gather = (run("rmatvec", "portable", p, (w, v))[0] for p in (pattern, with_columns(pattern)))
    np.testing.assert_allclose(by_gather, by_scatter, rtol=1e-4, atol=1e-4)


def test_patterns_hold_their_columns_where_pallas_is_asked_for():
    pattern = ops.Pattern.of([0, 2, 3], [1, 0, 1], 2)
    assert ops.prepare(pattern).by_column is None
    with ops.use("pallas"):
        np.testing.assert_array_equal(ops.prepare(pattern).by_column.places, [1, 0, 2])


@pytest.mark.usefixtures("float64")
def test_a_batch_of_columns_under_vmap_and_derivatives():
    rng = np.random.default_rng(4)
    pattern = wiring(rng, 6, 5, 140)
    w, x = operands(rng, pattern, 3, 1, 1, "float64")["matvec"]
    mapped = jax.jit(jax.vmap(partial(ops.matvec, pattern, w, implementation="pallas"), 1, 1))(x)
    np.testing.assert_allclose(mapped, run("matvec", "portable", pattern, (w, x))[0], rtol=1e-12, atol=1e-13)

    def loss(implementation: str, w: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(ops.matvec(pattern, w, x, implementation=implementation) ** 2)

    pallas, plain = (jax.jit(jax.grad(partial(loss, k), argnums=(0, 1)))(w, x) for k in ("pallas", "portable"))
    for found, known in zip(pallas, plain, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("float64")
def test_a_window_of_d_rtrl_by_pallas_is_that_of_the_portable_operators():
    problem, learner = random_problem(5), WindowedLearner(16, "neuron", "trace")
    found = []
    for implementation in ("portable", "pallas"):
        with ops.use(implementation):
            memory = learner.start(problem.model, 2, problem.model.groups)
            window = problem.params, memory, problem.window
            found.append(jax.jit(lambda *window: learner.step(problem.model, *window, problem.model.groups))(*window))
    found, known = (jax.tree.leaves_with_path(results) for results in found)
    for (key, result), (_, expected) in zip(found, known, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12, err_msg=jax.tree_util.keystr(key))


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in OPERATORS), ("window_outer", "bfloat16")])
def test_kernels_lower_for_cuda(name, dtype):
    """Triton's code is made here; only a card's driver compiles it further."""
    rng = np.random.default_rng(6)
    pattern = with_columns(wiring(rng, 9, 7, 150))
    values = list(operands(rng, pattern, 9, 19, 2, "float32")[name])
    if name == "window_outer":
        values[0] = jnp.asarray(values[0], dtype)

    def call(pattern: ops.Pattern, *values: jax.Array) -> list[jax.Array]:
        return jax.tree.leaves(getattr(ops, name)(pattern, *values, implementation="pallas"))

    # JAX promises nothing of Triton's custom call between versions, and exports it only where that is accepted.
    accepted = [export.DisabledSafetyCheck.custom_call(TRITON)]
    exported = export.export(jax.jit(call), platforms=("cuda",), disabled_checks=accepted)(pattern, *values)
    text = exported.mlir_module()
    kernels = {"matvec": 2, "rmatvec": 2}.get(name, 1)
    assert text.count(f"custom_call @{TRITON}") == kernels
    lowered = jax.jit(call).trace(pattern, *values).lower(lowering_platforms=("cpu",)).as_text()
    assert TRITON not in lowered


def test_the_default_on_a_card_is_portable():
    pattern = ops.Pattern.of([0, 2, 3], [1, 0, 1], 2)
    w, x = jnp.ones(3), jnp.ones((2, 1))
    traced = jax.jit(partial(ops.matvec, implementation="auto")).trace(pattern, w, x)
    assert TRITON not in traced.lower(lowering_platforms=("cuda",)).as_text()


def test_dense_drives_are_matrix_products_in_portable_code():
    assert pallas_operators.dense_outer is portable.dense_outer
