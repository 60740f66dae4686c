"""The compiled operators against the portable ones: values, derivatives, threads, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.ops import native

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no compiled kernels: {native.why_not()}")


def random_pattern(rng: np.random.Generator, rows: int, columns: int, density: float) -> ops.Pattern:
    """Rows of very different lengths, some of them empty, with unsorted and repeated indices."""
    lengths = (
        rng.poisson(density * columns * rng.choice([0.0, 0.3, 1.0, 3.0], rows)) if columns else np.zeros(rows, int)
    )
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return ops.Pattern.of(indptr, rng.integers(0, max(columns, 1), indptr[-1]), columns)


def all_operands(rng: np.random.Generator, p: ops.Pattern, batch: int, steps: int) -> dict[str, tuple[jax.Array, ...]]:
    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    n, c, m = p.rows, p.columns, p.nnz
    return {
        "matvec": (draw(m), draw(c, batch)),
        "rmatvec": (draw(m), draw(n, batch)),
        "sampled_outer": (draw(n, steps), draw(c, steps)),
        "window_outer": (
            draw(m, batch),
            draw(n, batch),
            draw(n, batch),
            draw(n, batch, steps),
            draw(n, batch, steps),
            draw(c, batch, steps),
        ),
    }


@partial(jax.jit, static_argnames="implementation")
def every(pattern: ops.Pattern, operands: dict[str, tuple[jax.Array, ...]], implementation: str) -> list[jax.Array]:
    with ops.use(implementation):
        return jax.tree.leaves([getattr(ops, name)(pattern, *operands[name]) for name in sorted(operands)])


def run_all(pattern: ops.Pattern, operands: dict[str, tuple[jax.Array, ...]], implementation: str) -> list[np.ndarray]:
    return [np.asarray(x) for x in every(pattern, operands, implementation)]


def assert_all_close(pattern: ops.Pattern, operands: dict[str, tuple[jax.Array, ...]]) -> None:
    """Equal to 1e-5 of what the sums would be without cancellation."""
    scale = run_all(pattern, jax.tree.map(np.abs, operands), "portable")  # NumPy compiles nothing for each shape
    found, expected = run_all(pattern, operands, "native"), run_all(pattern, operands, "portable")
    for one, other, size in zip(found, expected, scale, strict=True):
        assert one.shape == other.shape
        assert np.all(np.abs(one - other) <= 1e-5 * size)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 40),
    columns=st.integers(0, 40),
    density=st.floats(0.0, 0.6),
    batch=st.integers(0, 20),
    steps=st.sampled_from([0, 1, 3, 7, 8, 9, 16, 17, 32, 33]),
    seed=st.integers(0, 2**32 - 1),
)
def test_native_equals_portable(rows, columns, density, batch, steps, seed):
    rng = np.random.default_rng(seed)
    pattern = random_pattern(rng, rows, columns, density)
    assert_all_close(pattern, all_operands(rng, pattern, batch, steps))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 8), (1, 16), (1, 32), (1, 5), (2, 16), (11, 3)])
def test_native_equals_portable_over_many_chunks(batch, steps):
    rng = np.random.default_rng(batch * 100 + steps)
    pattern = random_pattern(rng, 350, 900, 0.6)
    assert pattern.nnz > 2 * 65536
    assert_all_close(pattern, all_operands(rng, pattern, batch, steps))


@pytest.mark.parametrize(("rows", "sources"), [(60, 40), (5, 9_000)])  # what reads out regions has few rows
def test_a_column_does_not_depend_on_how_many_stand_beside_it(rows, sources):
    rng = np.random.default_rng(3)
    pattern = random_pattern(rng, rows, sources, 0.5)
    w, x, v = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in (pattern.nnz, (sources, 35), (rows, 35)))
    with ops.use("native"):
        for product, columns in ((ops.matvec, x), (ops.rmatvec, v)):
            whole = np.asarray(product(pattern, w, columns))
            for batch in range(2, 35):
                assert np.array_equal(product(pattern, w, columns[:, -batch:]), whole[:, -batch:]), batch


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 5), (5, 0), (1, 1)])
def test_degenerate_sizes(rows, columns):
    pattern = ops.Pattern.of(np.zeros(rows + 1, int), np.zeros(0, int), columns)
    operands = all_operands(np.random.default_rng(0), pattern, 2, 16)
    for one, other in zip(run_all(pattern, operands, "native"), run_all(pattern, operands, "portable"), strict=True):
        np.testing.assert_array_equal(one, other)
        assert not one.any()


def test_one_row_holds_everything():
    rng = np.random.default_rng(3)
    indptr = np.array([0, 0, 200_001, 200_001])
    pattern = ops.Pattern.of(indptr, rng.integers(0, 50, 200_001), 50)
    assert_all_close(pattern, all_operands(rng, pattern, 1, 16))


@pytest.mark.parametrize("name", ["matvec", "rmatvec", "sampled_outer", "window_outer"])
def test_native_gradients_equal_portable_ones(name):
    rng = np.random.default_rng(4)
    pattern = random_pattern(rng, 30, 25, 0.3)
    operands = all_operands(rng, pattern, 3, 16)[name]

    def gradients(implementation: str) -> tuple[jax.Array, ...]:
        def value(*args: jax.Array) -> jax.Array:
            results = jax.tree.leaves(getattr(ops, name)(pattern, *args, implementation=implementation))
            return sum(jnp.sum(0.5 * x**2) for x in results)

        return jax.jit(jax.grad(value, argnums=tuple(range(len(operands)))))(*operands)

    for one, other in zip(gradients("native"), gradients("portable"), strict=True):
        size = np.abs(other).max()
        assert size > 0.1
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("implementation", ["native", "auto"])
def test_vmap_equals_a_loop(implementation):
    rng = np.random.default_rng(5)
    pattern = random_pattern(rng, 30, 25, 0.3)
    stacked = [all_operands(rng, pattern, 2, 3) for _ in range(4)]
    operands = jax.tree.map(lambda *x: jnp.stack(x), *stacked)
    for name in operands:
        operator = lambda *args, name=name: getattr(ops, name)(pattern, *args, implementation=implementation)  # noqa: E731
        together = jax.vmap(operator)(*operands[name])
        each = [operator(*one[name]) for one in stacked]
        jax.tree.map(lambda x, *y: np.testing.assert_allclose(x, np.stack(y), rtol=1e-6, atol=1e-6), together, *each)
    w = stacked[0]["matvec"][0]
    for operator, source in ((ops.matvec, operands["matvec"][1]), (ops.rmatvec, operands["rmatvec"][1])):
        call = lambda x, operator=operator: operator(pattern, w, x, implementation=implementation)  # noqa: E731
        np.testing.assert_allclose(jax.vmap(call)(source), np.stack([call(x) for x in source]), rtol=1e-6, atol=1e-6)
        # Shared weights: the batch becomes columns of a single call.
        text = jax.jit(jax.vmap(call)).lower(source).as_text()
        assert "while" not in text or implementation == "auto"


def test_window_outer_works_in_place():
    """No second array of the trace's size where the trace is donated, or carried by a loop."""
    pattern = random_pattern(np.random.default_rng(6), 700, 900, 0.4)
    trace, *rest = all_operands(np.random.default_rng(7), pattern, 1, 16)["window_outer"]
    operands = trace[None], rest[0][..., None], rest[1][..., None, None], rest[2], rest[3][:, :, None], rest[4]
    size = trace.nbytes

    def step(trace: jax.Array, *rest: jax.Array) -> tuple[jax.Array, jax.Array]:
        gradient, trace = ops.window_outer(pattern, trace, *rest)
        return trace, gradient

    once = jax.jit(step, donate_argnums=0).lower(*operands).compile().memory_analysis()
    assert once.alias_size_in_bytes >= size
    assert once.temp_size_in_bytes < size / 2

    def steps(trace: jax.Array, *rest: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda trace, _: (step(trace, *rest)[0], None), trace, length=4)[0]

    many = jax.jit(steps, donate_argnums=0).lower(*operands).compile().memory_analysis()
    assert many.temp_size_in_bytes < 1.5 * size  # the gradient alone

    # And the caller's array is left alone where it is not donated.
    before = np.array(operands[0])
    jax.block_until_ready(jax.jit(step)(*operands))
    np.testing.assert_array_equal(operands[0], before)


@pytest.mark.usefixtures("float64")
def test_native_refuses_double_precision():
    pattern = ops.Pattern.of([0, 1], [0], 1)
    with pytest.raises(ConfigError, match="float32, the operands are float64"):
        ops.matvec(pattern, jnp.ones(1), jnp.ones(1), implementation="native")
    assert ops.matvec(pattern, jnp.ones(1), jnp.ones(1)).dtype == jnp.float64


def test_handlers_refuse_contradicting_shapes():
    pattern = ops.Pattern.of([0, 1], [0], 1)
    with pytest.raises(jax.errors.JaxRuntimeError, match="operand shapes contradict"):
        jax.block_until_ready(jax.jit(native.matvec)(pattern, jnp.ones(7), jnp.ones((1, 1))))
    with pytest.raises(jax.errors.JaxRuntimeError, match="operand shapes contradict"):
        jax.block_until_ready(jax.jit(native.sampled_outer)(pattern, jnp.ones((1, 2)), jnp.ones((1, 3))))


def test_a_library_for_a_newer_jax_is_refused_by_name(monkeypatch):
    native._load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(native, "_ffi_version", lambda: 0)
        assert "compiled for version" in native.why_not()
    native._load.cache_clear()
    assert native.available()


def results() -> list[np.ndarray]:
    """Results of every operator, of traces and of rate neurons, large enough for many chunks."""
    from test_ops_traces import dense, dense_operands, sparse
    from test_rate_kernels import results as of_rates

    rng = np.random.default_rng(8)
    pattern = random_pattern(rng, 700, 900, 0.4)
    found = [*run_all(pattern, all_operands(rng, pattern, 1, 16), "native")]
    found += run_all(pattern, all_operands(rng, pattern, 9, 5), "native")
    for dtype in ("float32", "bfloat16"):
        found += dense(dense_operands(rng, 3000, 73, 2, 16, dtype), "native")
        trace, *rest = all_operands(rng, pattern, 1, 16)["window_outer"]
        found += sparse(pattern, (trace.astype(dtype), *rest), "native")
    return [np.asarray(one, np.float32) for one in (*found, *of_rates())]


def results_in_a_new_process(path: Path, **environment: str) -> list[np.ndarray]:
    """The same, computed under other settings."""
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from test_ops_native import results
np.savez({str(path)!r}, *results())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env={**os.environ, **environment})
    with np.load(path) as file:
        return [file[name] for name in file.files]


@pytest.mark.slow
def test_results_depend_neither_on_threads_nor_much_on_the_instruction_set(tmp_path):
    # NPROC sets the size of XLA's thread pool, so that this tests something on one core as well.
    alone = results_in_a_new_process(tmp_path / "1.npz", CONNFIT_THREADS="1")
    here = results()
    eight = results_in_a_new_process(tmp_path / "8.npz", NPROC="8")
    plain = results_in_a_new_process(tmp_path / "plain.npz", CONNFIT_ISA="portable")
    assert len(alone) == 10 + 2 * 4 + 12
    for number, (one, other, more, portable) in enumerate(zip(alone, here, eight, plain, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, more)
        # Of traces, a sum near the middle of two bfloat16 may round either way.
        rtol = 1e-5 if not 10 <= number < 18 else 2.0**-7
        np.testing.assert_allclose(portable, one, rtol=rtol, atol=2e-5 * np.abs(one).max())
