"""The operators against SciPy, their adjointness and their derivatives; portable code, double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from connfit.errors import ConfigError, DataError, NotAvailableError
from connfit.models import ops
from connfit.models.ops import native

ROWS, COLUMNS, BATCH, STEPS = 23, 17, 3, 5


@pytest.fixture
def wiring() -> tuple[ops.Pattern, sp.csr_array]:
    """A random rectangular pattern with empty rows and its matrix."""
    rng = np.random.default_rng(1)
    dense = rng.standard_normal((ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.3)
    dense[[0, 7, ROWS - 1]] = 0
    matrix = sp.csr_array(dense)
    return ops.Pattern.of(matrix.indptr, matrix.indices, COLUMNS), matrix


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def window_operands(nnz: int) -> tuple[jax.Array, ...]:
    row, window = (ROWS, BATCH), (ROWS, BATCH, STEPS)
    shapes = [(nnz, BATCH), row, row, window, window, (COLUMNS, BATCH, STEPS)]
    return tuple(draw(seed, *shape) for seed, shape in enumerate(shapes))


@pytest.mark.usefixtures("float64")
def test_products_agree_with_scipy(wiring):
    pattern, matrix = wiring
    w = jnp.asarray(matrix.data)
    for shape in ((), (1,), (4,)):
        x, v = draw(2, COLUMNS, *shape), draw(3, ROWS, *shape)
        np.testing.assert_allclose(ops.matvec(pattern, w, x), matrix @ np.asarray(x), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ops.rmatvec(pattern, w, v), matrix.T @ np.asarray(v), rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_outer_products_agree_with_dense_ones(wiring):
    pattern, matrix = wiring
    coo = matrix.tocoo()
    row, column = coo.coords
    left, right = draw(4, ROWS, STEPS), draw(5, COLUMNS, STEPS)
    dense = np.asarray(left) @ np.asarray(right).T
    np.testing.assert_allclose(ops.sampled_outer(pattern, left, right), dense[row, column], rtol=1e-12, atol=1e-13)

    operands = window_operands(pattern.nnz)
    gradient, trace = ops.window_outer(pattern, *operands)
    old, carry, decay, left, trace_left, right = map(np.asarray, operands)
    now = np.einsum("ibk,jbk->ijb", left, right)[row, column]
    later = np.einsum("ibk,jbk->ijb", trace_left, right)[row, column]
    np.testing.assert_allclose(gradient, (carry[row] * old + now).sum(1), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(trace, decay[row] * old + later, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_rmatvec_is_the_adjoint_of_matvec(wiring):
    pattern, matrix = wiring
    w, x, v = jnp.asarray(matrix.data), draw(6, COLUMNS), draw(7, ROWS)
    forward = jnp.vdot(ops.matvec(pattern, w, x), v)
    assert forward != 0
    np.testing.assert_allclose(forward, jnp.vdot(x, ops.rmatvec(pattern, w, v)), rtol=1e-12)


OPERATORS = {
    "matvec": lambda p: (draw(0, p.nnz), draw(1, COLUMNS, BATCH)),
    "rmatvec": lambda p: (draw(0, p.nnz), draw(1, ROWS, BATCH)),
    "sampled_outer": lambda p: (draw(0, ROWS, STEPS), draw(1, COLUMNS, STEPS)),
    "window_outer": lambda p: window_operands(p.nnz),
}


def curved(name: str, pattern: ops.Pattern, implementation: str = "auto"):
    """A scalar function of an operator's results with non-zero second derivatives."""

    def value(*operands: jax.Array) -> jax.Array:
        results = jax.tree.leaves(getattr(ops, name)(pattern, *operands, implementation=implementation))
        return sum(jnp.sum(jnp.sin(result)) for result in results)

    return value


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_agree_with_finite_differences(name, wiring):
    pattern, _ = wiring
    operands = OPERATORS[name](pattern)
    value = jax.jit(curved(name, pattern))
    gradients = jax.grad(value, argnums=tuple(range(len(operands))))(*operands)
    for position, gradient in enumerate(gradients):
        direction = draw(90 + position, *operands[position].shape)
        ahead, behind = list(operands), list(operands)
        ahead[position], behind[position] = (operands[position] + step * direction for step in (1e-6, -1e-6))
        difference = (value(*ahead) - value(*behind)) / 2e-6
        assert abs(difference) > 1e-3
        np.testing.assert_allclose(jnp.vdot(gradient, direction), difference, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OPERATORS)
def test_second_derivatives_agree_with_finite_differences(name, wiring):
    pattern, _ = wiring
    operands = OPERATORS[name](pattern)
    direction = draw(50, *operands[0].shape)

    def slope(first: jax.Array) -> jax.Array:
        return jnp.vdot(jax.grad(curved(name, pattern))(first, *operands[1:]), direction)

    slope = jax.jit(slope)
    second = jnp.vdot(jax.grad(slope)(operands[0]), direction)
    difference = (slope(operands[0] + 1e-6 * direction) - slope(operands[0] - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(second, difference, rtol=1e-6, atol=1e-6)


def test_repeated_connections_add_up():
    pattern = ops.Pattern.of([0, 3, 3], [1, 1, 0], 2)
    w = jnp.asarray([1.0, 2.0, 4.0])
    np.testing.assert_allclose(ops.matvec(pattern, w, jnp.asarray([10.0, 1.0])), [43.0, 0.0])
    np.testing.assert_allclose(ops.rmatvec(pattern, w, jnp.asarray([1.0, 5.0])), [4.0, 3.0])


@pytest.mark.parametrize(
    ("indptr", "indices", "columns", "message"),
    [
        ([0, 1], [3], 3, "connection 0 names column 3"),
        ([0, 1], [-1], 3, "connection 0 names column -1"),
        ([0, 2, 1], [0], 3, "must rise from 0"),
        ([0, 2], [0], 3, "number of connections 1"),
        ([1, 1], [0], 3, "must rise from 0"),
        ([], [], 3, "without rows it is"),
        ([0, 1], [0.0], 3, "must be one-dimensional integers"),
        ([0, 1], [0], -1, "columns must"),
    ],
)
def test_patterns_are_validated(indptr, indices, columns, message):
    with pytest.raises(DataError, match=message):
        ops.Pattern.of(indptr, indices, columns)


def test_wrong_shapes_name_the_operand(wiring):
    pattern, matrix = wiring
    w = jnp.asarray(matrix.data)
    with pytest.raises(ConfigError, match=r"matvec: x has shape \(4,\)"):
        ops.matvec(pattern, w, jnp.zeros(4))
    with pytest.raises(ConfigError, match=r"rmatvec: w has shape \(3,\)"):
        ops.rmatvec(pattern, w[:3], jnp.zeros(ROWS))
    with pytest.raises(ConfigError, match=r"sampled_outer: right has shape"):
        ops.sampled_outer(pattern, jnp.zeros((ROWS, 2)), jnp.zeros((COLUMNS, 3)))
    operands = [*window_operands(pattern.nnz)]
    operands[2] = jnp.zeros(ROWS + 1)
    with pytest.raises(ConfigError, match=r"window_outer: decay has shape"):
        ops.window_outer(pattern, *operands)


def test_implementations_are_checked_by_name(wiring, monkeypatch):
    pattern, matrix = wiring
    w, x = jnp.asarray(matrix.data), jnp.zeros(COLUMNS)
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        ops.matvec(pattern, w, x, implementation="nativ")
    with pytest.raises(ConfigError, match="implementation is 'fast'"), ops.use("fast"):
        pass
    monkeypatch.setenv("CONNFIT_OPS", "quick")
    with pytest.raises(ConfigError, match="CONNFIT_OPS is 'quick'"):
        ops.matvec(pattern, w, x)


def test_without_compiled_kernels_the_portable_ones_run_and_say_so_once(wiring, monkeypatch, recwarn):
    pattern, matrix = wiring
    monkeypatch.delenv("CONNFIT_OPS", raising=False)
    monkeypatch.setattr(native, "_load", lambda: "built without a C++ compiler")
    native._warn.cache_clear()
    w, x = jnp.asarray(matrix.data, jnp.float32), jnp.ones(COLUMNS, jnp.float32)
    with pytest.warns(UserWarning, match="portable operators.*built without"):
        first = ops.matvec(pattern, w, x)
    recwarn.clear()
    np.testing.assert_array_equal(ops.matvec(pattern, w, x), first)
    assert not recwarn.list
    np.testing.assert_allclose(first, matrix.sum(axis=1), rtol=1e-5, atol=1e-5)
    with pytest.raises(NotAvailableError, match="built without"), ops.use("native"):
        ops.matvec(pattern, w, x)
    native._warn.cache_clear()
