"""Linear maps from sources to neurons whose weights are learned: by a wiring pattern, by gains on it, or dense.

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
from jaxtyping import Array, Float, Int

from connfit.models import ops
from connfit.models.ops.native import OfRows


class SynapticMap(Protocol):
    """What a learner needs of a linear map with R rows (targets) and C columns (sources)."""

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        """Shape of the array of weights, or of gains."""
        ...

    @property
    def sources(self) -> int:
        """Number of columns C."""
        ...

    def apply(self, strengths: Array, sources: Float[Array, "C B"]) -> Float[Array, "R B"]:
        """Multiply weights and sources."""
        ...

    def adjoint(self, strengths: Array, targets: Float[Array, "R B"]) -> Float[Array, "C B"]:
        """Multiply transposed weights and targets."""
        ...

    def outer(self, left: Float[Array, "R K"], right: Float[Array, "C K"]) -> Array:
        """Return the gradient of the weights: the sum over k of left times right, where there is a weight."""
        ...

    def zero_trace(self, batch: int, dtype: DTypeLike, states: int = 1) -> Array:
        """Return the eligibility traces of `batch` recordings at rest, for neurons with so many states S."""
        ...

    def outer_with_trace(
        self,
        trace: Array,
        carry: Float[Array, "R B S"],
        decay: Float[Array, "R B S S"],
        left: Float[Array, "R B K"],
        trace_left: Float[Array, "R B S K"],
        right: Float[Array, "C B K"],
    ) -> tuple[Array, Array]:
        """Return the gradient, the trace's part included, and the trace after the window (`ops.window_outer`)."""
        ...

    def outer_by_rows(
        self, trace: Array, of_rows: OfRows, right: Float[Array, "C B K"], after: Array
    ) -> tuple[Array, Array]:
        """Return the same of what is computed when it is needed (`ops.window_outer_by_rows`)."""
        ...


@partial(jax.tree_util.register_dataclass, data_fields=["pattern"], meta_fields=["spikes"])
@dataclass(frozen=True)
class SparseMap:
    """A weight for each connection of a wiring pattern; `strengths` is [M], traces are [S, M, B].

    Attributes
    ----------
    pattern
        Wiring from C sources to R neurons.
    spikes
        Whether sources are 0 in most steps.
    """

    pattern: ops.Pattern
    spikes: bool = False

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        return (self.pattern.nnz,)

    @property
    def sources(self) -> int:
        return self.pattern.columns

    @property
    def connections(self) -> int:
        """Number of connections M."""
        return self.pattern.nnz

    def connection_strengths(self, strengths: Array) -> Array:
        """Return the [M] weights of the connections."""
        return strengths

    def apply(self, strengths: Array, sources: Array) -> Array:
        return ops.matvec(self.pattern, strengths, sources, spikes=self.spikes)

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        return ops.rmatvec(self.pattern, strengths, targets)

    def outer(self, left: Array, right: Array) -> Array:
        return ops.sampled_outer(self.pattern, left, right, spikes=self.spikes)

    def zero_trace(self, batch: int, dtype: DTypeLike, states: int = 1) -> Array:
        return jnp.zeros((states, self.pattern.nnz, batch), dtype)

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
    ) -> tuple[Array, Array]:
        return ops.window_outer(self.pattern, trace, carry, decay, left, trace_left, right, spikes=self.spikes)

    def outer_by_rows(self, trace: Array, of_rows: OfRows, right: Array, after: Array) -> tuple[Array, Array]:
        return ops.window_outer_by_rows(self.pattern, trace, of_rows, right, after, spikes=self.spikes)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["inputs", "magnitudes", "branches", "gain_of", "order"],
    meta_fields=["gains"],
)
@dataclass(frozen=True)
class GainMap:
    """Fixed magnitudes, multiplied by gains that connections share; `strengths` are the gains [G].

    The connections of a neuron that share a gain end on one *branch*, whose input is a fixed sum; a gain multiplies
    the input of each of its branches. As the branch's input is all that the gradient of its gain depends on, there is
    one trace per branch and state, not per connection: [S, Q, B]. Everything is two sparse maps, one after the other.

    Attributes
    ----------
    inputs
        Wiring from C sources to Q branches.
    magnitudes
        [M] fixed magnitude of each connection of `inputs`, at least 0.
    branches
        Wiring from Q branches to R neurons; each branch belongs to one neuron.
    gain_of
        [Q] number of each branch's gain.
    order
        [M] place in the connectome of each connection of `inputs`; None where it is the connectome's own.
    gains
        Number of gains G.
    """

    inputs: ops.Pattern
    magnitudes: Float[Array, "M"]
    branches: ops.Pattern
    gain_of: Int[Array, "Q"]
    order: Int[Array, "M"] | None
    gains: int

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        return (self.gains,)

    @property
    def sources(self) -> int:
        return self.inputs.columns

    @property
    def connections(self) -> int:
        """Number of connections M."""
        return self.inputs.nnz

    def connection_strengths(self, strengths: Array) -> Array:
        """Return gain times magnitude of each connection [M], in the connectome's order."""
        product = self.magnitudes * strengths[self.gain_of][self.inputs.row_of()]
        return product if self.order is None else jnp.zeros_like(product).at[self.order].set(product)

    def apply(self, strengths: Array, sources: Array) -> Array:
        return ops.matvec(self.branches, strengths[self.gain_of], self._branch_input(sources))

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        to_branches = ops.rmatvec(self.branches, strengths[self.gain_of], targets)
        return ops.rmatvec(self.inputs, self.magnitudes, to_branches)

    def outer(self, left: Array, right: Array) -> Array:
        return self._by_gain(ops.sampled_outer(self.branches, left, self._branch_input(right)))

    def zero_trace(self, batch: int, dtype: DTypeLike, states: int = 1) -> Array:
        return jnp.zeros((states, self.branches.nnz, batch), dtype)

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
    ) -> tuple[Array, Array]:
        at_branches = self._steps_of_branches(right)
        by_branch, trace = ops.window_outer(self.branches, trace, carry, decay, left, trace_left, at_branches)
        return self._by_gain(by_branch), trace

    def outer_by_rows(self, trace: Array, of_rows: OfRows, right: Array, after: Array) -> tuple[Array, Array]:
        by_branch, trace = ops.window_outer_by_rows(
            self.branches, trace, of_rows, self._steps_of_branches(right), after
        )
        return self._by_gain(by_branch), trace

    def _steps_of_branches(self, right: Float[Array, "C B K"]) -> Float[Array, "Q B K"]:
        columns, batch, steps = right.shape
        return self._branch_input(right.reshape(columns, batch * steps)).reshape(-1, batch, steps)

    def _branch_input(self, sources: Float[Array, "C K"]) -> Float[Array, "Q K"]:
        return ops.matvec(self.inputs, self.magnitudes, sources)

    def _by_gain(self, values: Float[Array, "Q"]) -> Float[Array, "G"]:
        return jax.ops.segment_sum(values, self.gain_of, self.gains)


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["rows", "columns"])
@dataclass(frozen=True)
class DenseMap:
    """A weight from every source to every target; `strengths` is [R, C], traces are [S, R, B, C]."""

    rows: int
    columns: int

    @property
    def strengths_shape(self) -> tuple[int, ...]:
        return (self.rows, self.columns)

    @property
    def sources(self) -> int:
        return self.columns

    def apply(self, strengths: Array, sources: Array) -> Array:
        return jnp.matmul(strengths, sources, precision=ops.EXACT)

    def adjoint(self, strengths: Array, targets: Array) -> Array:
        return jnp.matmul(strengths.T, targets, precision=ops.EXACT)

    def outer(self, left: Array, right: Array) -> Array:
        return jnp.matmul(left, right.T, precision=ops.EXACT)

    def zero_trace(self, batch: int, dtype: DTypeLike, states: int = 1) -> Array:
        return jnp.zeros((states, self.rows, batch, self.columns), dtype)

    def outer_with_trace(
        self, trace: Array, carry: Array, decay: Array, left: Array, trace_left: Array, right: Array
    ) -> tuple[Array, Array]:
        return ops.dense_outer(trace, carry, decay, left, trace_left, right)

    def outer_by_rows(self, trace: Array, of_rows: OfRows, right: Array, after: Array) -> tuple[Array, Array]:
        return ops.dense_outer_by_rows(trace, of_rows, right, after)
