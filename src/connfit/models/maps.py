"""Linear maps from sources to neurons whose strengths are learned: sparse (by a wiring pattern) or dense.

Recurrent connections, drive and read-out are all such maps. Each knows how it acts, how its adjoint
acts, and how the gradient and the eligibility trace of its strengths follow from the activity of
both ends, so that a learner treats them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from connfit import ops


class SynapticMap(Protocol):
    """What a learner needs of a linear map with R rows (targets) and C columns (sources)."""

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        """Shape of the array of strengths."""
        ...

    def apply(self, strengths: Array, sources: Float[Array, "C B"]) -> Float[Array, "R B"]:
        """Strengths times sources."""
        ...

    def adjoint(self, strengths: Array, targets: Float[Array, "R B"]) -> Float[Array, "C B"]:
        """Transposed strengths times targets."""
        ...

    def outer(self, left: Float[Array, "R K"], right: Float[Array, "C K"]) -> Array:
        """Gradient of the strengths: the sum over k of left times right, where there is a strength."""
        ...

    def zero_trace(self, batch: int, dtype: DTypeLike) -> Array:
        """Eligibility traces of `batch` recordings at rest."""
        ...

    def outer_with_trace(
        self,
        trace: Array,
        carry: Float[Array, "R B"],
        decay: Float[Array, "R"],
        left: Float[Array, "R B K"],
        trace_left: Float[Array, "R B K"],
        right: Float[Array, "C B K"],
    ) -> tuple[Array, Array]:
        """Gradient with the contribution of the trace, and the trace after the window (DESIGN: window_outer)."""
        ...


@partial(jax.tree_util.register_dataclass, data_fields=["pattern"], meta_fields=[])
@dataclass(frozen=True)
class SparseMap:
    """A strength for each connection of a wiring pattern; `strengths` is [M], traces are [M, B]."""

    pattern: ops.Pattern

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        return (self.pattern.nnz,)

    def apply(self, strengths: Array, sources: Array) -> Array:
        return ops.matvec(self.pattern, strengths, sources)

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        return ops.rmatvec(self.pattern, strengths, targets)

    def outer(self, left: Array, right: Array) -> Array:
        return ops.sampled_outer(self.pattern, left, right)

    def zero_trace(self, batch: int, dtype: DTypeLike) -> Array:
        return jnp.zeros((self.pattern.nnz, batch), dtype)

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
    ) -> tuple[Array, Array]:
        return ops.window_outer(self.pattern, trace, carry, decay, left, trace_left, right)


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["rows", "columns"])
@dataclass(frozen=True)
class DenseMap:
    """A strength from every source to every target; `strengths` is [R, C], traces are [R, B, C]."""

    rows: int
    columns: int

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        return (self.rows, self.columns)

    def apply(self, strengths: Array, sources: Array) -> Array:
        return strengths @ sources

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        return strengths.T @ targets

    def outer(self, left: Array, right: Array) -> Array:
        return left @ right.T

    def zero_trace(self, batch: int, dtype: DTypeLike) -> Array:
        return jnp.zeros((self.rows, batch, self.columns), dtype)

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
    ) -> tuple[Array, Array]:
        return ops.dense_outer(trace, carry, decay, left, trace_left, right)
