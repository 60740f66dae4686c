"""The portable operators lower for CPU and CUDA without a GPU being here."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from connfit.models import ops
from connfit.models.ops import native

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
