"""The sparsity pattern shared by all operators: compressed rows by postsynaptic neuron."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from connfit._typing import ArrayLike
from connfit.errors import DataError


class LaidOut(NamedTuple):
    """The weights of a run in the order of their columns (`connfit.models.ops.lay_out`).

    Attributes
    ----------
    weights
        [M] in the order of `ByColumn`.
    done
        [1] int32, 0 where that would not pay: `weights` then hold nothing.
    """

    weights: Float[Array, "M"]
    done: Int[Array, "1"]


@partial(jax.tree_util.register_dataclass, data_fields=["indptr", "rows", "places", "laid_out"], meta_fields=[])
@dataclass(frozen=True)
class ByColumn:
    """The connections of a pattern sorted by column, and within a column as they are in the pattern.

    Attributes
    ----------
    indptr
        [C + 1] int32, the connections of column j are `indptr[j]:indptr[j + 1]`.
    rows
        [M] int32, row of each connection.
    places
        [M] int32, its place in the pattern.
    laid_out
        Weights that native code then takes instead of those it is given, if there are any.
    """

    indptr: Int[Array, "C+1"]
    rows: Int[Array, "M"]
    places: Int[Array, "M"]
    laid_out: LaidOut | None = None


@partial(jax.tree_util.register_dataclass, data_fields=["indptr", "indices", "by_column"], meta_fields=["columns"])
@dataclass(frozen=True)
class Pattern:
    """Which of N x C connections exist. Build it with `Pattern.of`, which validates.

    A JAX pytree: the arrays are leaves, `columns` is static. The operators trust the arrays (checking
    indices at every call would cost as much as the call), so an unvalidated pattern may read
    outside its operands.

    Attributes
    ----------
    indptr
        [N + 1] int32, the connections of row i are `indptr[i]:indptr[i + 1]`.
    indices
        [M] int32, column of each connection.
    columns
        C, number of columns.
    by_column
        The same connections by column, if they are here: 8 M bytes more, with which `rmatvec` in portable code and
        in Pallas sums every column by itself.
    """

    indptr: Int[Array, "N+1"]
    indices: Int[Array, "M"]
    columns: int
    by_column: ByColumn | None = None

    @classmethod
    def of(cls, indptr: ArrayLike, indices: ArrayLike, columns: int) -> Pattern:
        """Validate a pattern and put it on the default device.

        Parameters
        ----------
        indptr
            [N + 1] integers rising from 0 to M.
        indices
            [M] integers in 0..C-1, in any order, repeats allowed.
        columns
            C, at least 0.

        Raises
        ------
        DataError
            If the arrays contradict each other or do not fit into int32.
        """
        starts, targets, columns = np.asarray(indptr), np.asarray(indices), int(columns)
        for name, array in (("indptr", starts), ("indices", targets)):
            if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
                raise DataError(f"pattern: {name} must be one-dimensional integers, got {array.dtype} {array.shape}")
        m, limit = len(targets), np.iinfo(np.int32).max
        if len(starts) == 0:
            raise DataError("pattern: indptr is empty; without rows it is [0]")
        if m > limit or not 0 <= columns <= limit:
            raise DataError(f"pattern: {m} connections and {columns} columns must each lie in 0..{limit}")
        if starts[0] != 0 or starts[-1] != m or np.any(starts[1:] < starts[:-1]):
            raise DataError(f"pattern: indptr must rise from 0 to the number of connections {m}")
        if m and (targets.min() < 0 or targets.max() >= columns):
            wrong = int(np.flatnonzero((targets < 0) | (targets >= columns))[0])
            raise DataError(f"pattern: connection {wrong} names column {targets[wrong]}, outside 0..{columns - 1}")
        return cls(jnp.asarray(starts.astype(np.int32)), jnp.asarray(targets.astype(np.int32)), columns)

    @property
    def rows(self) -> int:
        """N, number of rows."""
        return self.indptr.shape[0] - 1

    @property
    def nnz(self) -> int:
        """M, number of connections."""
        return self.indices.shape[0]

    def row_of(self) -> Int[Array, "M"]:
        """Return the row of each connection (computed: 4 M bytes that live as long as they are used)."""
        if self.nnz == 0:
            return jnp.zeros(0, jnp.int32)
        lengths = self.indptr[1:] - self.indptr[:-1]
        return jnp.repeat(jnp.arange(self.rows, dtype=jnp.int32), lengths, total_repeat_length=self.nnz)

    def sorted_by_column(self) -> ByColumn:
        """Return `by_column`, sorted now if it is not here."""
        if self.by_column is not None:
            return self.by_column
        places = jnp.argsort(self.indices, stable=True).astype(jnp.int32)
        counts = jnp.bincount(self.indices, length=self.columns)
        indptr = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)])
        return ByColumn(indptr, self.row_of()[places], places)

    def with_columns(self) -> Pattern:
        """Return this pattern with its connections by column beside it."""
        return replace(self, by_column=self.sorted_by_column())
