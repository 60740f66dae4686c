"""Maps of one block of neurons, which exchange with those of other blocks what they need of each other.

They work within `jax.shard_map` over devices, where each has one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Float

from connfit.models.blocks.device_mesh import AXIS
from connfit.models.maps import DenseMap, GainMap, SparseMap
from connfit.models.ops.native import OfRows

Map: Any = object  # whatever map stands behind these in a class's bases


class _FromAllNeurons(Map):
    """Sources are neurons of all blocks, targets are those of this one."""

    def apply(self, strengths: Array, sources: Float[Array, "C B"]) -> Array:
        return super().apply(strengths, _all(sources))

    def adjoint(self, strengths: Array, targets: Array) -> Float[Array, "C B"]:
        return jax.lax.psum_scatter(super().adjoint(strengths, targets), AXIS, tiled=True)

    def outer(self, left: Array, right: Float[Array, "C K"]) -> Array:
        return super().outer(left, _all(right))

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Float[Array, "C B K"]
    ) -> tuple[Array, Array]:
        return super().outer_with_trace(trace, carry, decay, left, trace_left, _all(right))

    def outer_by_rows(
        self, trace: Array, of_rows: OfRows, right: Float[Array, "C B K"], after: Array
    ) -> tuple[Array, Array]:
        return super().outer_by_rows(trace, of_rows, _all(right), after)


class _FromUnits(Map):
    """Sources are units or features, which all blocks know, targets are neurons of this one."""

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        return jax.lax.psum(super().adjoint(strengths, targets), AXIS)


class _ToUnits(Map):
    """Sources are neurons of this block, targets are units, which all blocks know then."""

    def apply(self, strengths: Array, sources: Array) -> Array:
        return jax.lax.psum(super().apply(strengths, sources), AXIS)


def _all(own: Array) -> Array:
    return jax.lax.all_gather(own, AXIS, tiled=True)


_sparse = partial(jax.tree_util.register_dataclass, data_fields=["pattern"], meta_fields=["spikes"])
_dense = partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["rows", "columns"])
_gains = partial(
    jax.tree_util.register_dataclass,
    data_fields=["inputs", "magnitudes", "branches", "gain_of", "order"],
    meta_fields=["gains"],
)


@_sparse
@dataclass(frozen=True)
class BlockSparseMap(_FromAllNeurons, SparseMap):
    """Connections onto the neurons of a block."""


@_gains
@dataclass(frozen=True)
class BlockGainMap(_FromAllNeurons, GainMap):
    """Connections with gains onto the neurons of a block."""


@_sparse
@dataclass(frozen=True)
class BlockSparseDrive(_FromUnits, SparseMap):
    """Sparse drive of the neurons of a block."""


@_dense
@dataclass(frozen=True)
class BlockDenseDrive(_FromUnits, DenseMap):
    """Dense drive of the neurons of a block."""


@_gains
@dataclass(frozen=True)
class BlockSharedInputs(_FromUnits, GainMap):
    """External inputs of the neurons of a block, whose weights neurons share."""


@_sparse
@dataclass(frozen=True)
class BlockSparseReadout(_ToUnits, SparseMap):
    """What units read of the neurons of a block."""


@_dense
@dataclass(frozen=True)
class BlockDenseReadout(_ToUnits, DenseMap):
    """What a learned read-out reads of the neurons of a block."""
