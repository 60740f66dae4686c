"""Cut a model into blocks of neurons of equal shapes, each with its part of the wiring, the drive and the read-out.

A block is filled up to the size of the largest: with neurons that nothing reads or hears, and with connections of
weight 0 onto the last of them. Their gradients are 0, so they stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Int

from connfit.errors import ConfigError
from connfit.models import ops
from connfit.models.base import INNOVATION_GAINS, NOISE_SCALE, Params
from connfit.models.blocks.block_maps import (
    BlockDenseDrive,
    BlockDenseReadout,
    BlockGainMap,
    BlockSharedInputs,
    BlockSparseDrive,
    BlockSparseMap,
    BlockSparseReadout,
)
from connfit.models.blocks.cuts import Along, Cut, Everywhere, equal_shares, part_of_rows
from connfit.models.connectome_model import ConnectomeModel
from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap

Sparse = TypeVar("Sparse", bound=SparseMap)
Gains = TypeVar("Gains", bound=GainMap)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BlockFacts:
    """What tells a block's own entries from those that fill it up.

    Attributes
    ----------
    neurons, connections
        How many there are.
    junctions
        [2, G] places of the two connections of each gap junction among the block's; behind the last of them for one
        that is in another block. None without gap junctions.
    """

    neurons: Int[Array, ""] | Int[np.ndarray, ""]
    connections: Int[Array, ""] | Int[np.ndarray, ""]
    junctions: Int[Array, "2 G"] | Int[np.ndarray, "2 G"] | None


@dataclass(frozen=True, eq=False)
class Blocks:
    """How a model and its parameters are cut.

    Attributes
    ----------
    model
        The whole model.
    rows
        Neurons of each block.
    cuts
        How each array of parameters is cut, by its key.
    """

    model: ConnectomeModel
    rows: Along
    cuts: Mapping[str, Cut]

    def __len__(self) -> int:
        return len(self.rows.bounds) - 1

    def params(self, params: Params, k: int, *, moments: bool = False) -> dict[str, np.ndarray]:
        """Return the part that block k has of parameters, or of moments of them."""
        return {key: self.cuts[key].block(np.asarray(value), k, moment=moments) for key, value in params.items()}

    def whole(self, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Put parameters together, whose arrays have a leading axis of blocks."""
        return {key: self.cuts[key].whole(value) for key, value in params.items()}

    def of_block(self, k: int) -> tuple[ConnectomeModel, BlockFacts]:
        """Return the model of block k."""
        model, rows = self.model, self.rows
        start, stop = rows.bounds[k : k + 2]
        kinds = model.recurrent.sources // model.neurons
        columns = self._columns_of_all(kinds)
        recurrent = (
            self._gains(BlockGainMap, model.recurrent, k, columns)
            if isinstance(model.recurrent, GainMap)
            else self._rows(BlockSparseMap, model.recurrent, k, columns)
        )
        readout, shares = self._readout(model.readout, model.fixed_readout, k)
        correction = model.correction
        if correction is not None:
            own, weights = self._readout(correction.readout, correction.shares, k)
            assert isinstance(own, SparseMap) and weights is not None
            correction = correction._replace(readout=own, shares=weights, overlap=np.asarray(correction.overlap))
        read = model.read_neurons
        if read is not None:
            at = np.asarray(read)
            read = np.where((at >= start) & (at < stop), at - start, rows.size).astype(np.int32)
        local = replace(
            model,
            recurrent=recurrent,
            signs=Along(rows.bounds, rows.size, by_first=True).block(np.asarray(model.signs), k),
            drive=None if model.drive is None else self._inputs(model.drive, k),
            readout=readout,
            fixed_readout=shares,
            junctions=None,
            read_neurons=read,
            correction=correction,
            inputs=None if model.inputs is None else self._inputs(model.inputs, k),
            first_neuron=None if model.neuron.poisson is None else np.uint32(start),
        )
        starts = np.asarray(_rows_of(model.recurrent).indptr)
        first, last = starts[rows.bounds[k : k + 2]]
        junctions = None
        if model.junctions is not None and isinstance(model.recurrent, SparseMap):
            at, room = np.asarray(model.junctions), self.cuts["weights"].size  # pyright: ignore[reportAttributeAccessIssue]
            junctions = np.where((at >= first) & (at < last), at - first, room).astype(np.int32)
        return local, BlockFacts(np.array(stop - start, np.int32), np.array(last - first, np.int32), junctions)

    def _columns_of_all(self, kinds: int) -> Int[np.ndarray, "C"]:
        """Place of each output among those of all blocks, one block after the other."""
        n, (bounds, size) = self.model.neurons, (self.rows.bounds, self.rows.size)
        neuron = np.arange(n)
        block = np.searchsorted(bounds, neuron, side="right") - 1
        first = block * kinds * size + neuron - bounds[block]
        return np.concatenate([first + kind * size for kind in range(kinds)]).astype(np.int32)

    def _pattern(self, pattern: ops.Pattern, k: int, columns: Int[np.ndarray, "C"] | None, spikes: bool) -> ops.Pattern:
        """Rows of a block, filled up; `columns`: places of columns where they are others than in the whole."""
        starts = np.asarray(pattern.indptr)
        own = part_of_rows(starts, self.rows.bounds)
        indices = own.block(np.asarray(pattern.indices), k)
        count = pattern.columns
        if columns is not None:
            indices, count = columns[indices], len(self) * (pattern.columns // self.model.neurons) * self.rows.size
        found = ops.Pattern(self._starts(starts, own.size, k), indices.astype(np.int32), count)  # pyright: ignore[reportArgumentType]
        return ops.prepare(found, spikes=spikes)

    def _starts(self, starts: Int[np.ndarray, "N+1"], size: int, k: int) -> Int[np.ndarray, "R+1"]:
        """Starts of rows of a block; what fills up its entries belongs to the last row."""
        first, last = self.rows.bounds[k : k + 2]
        found = np.full(self.rows.size + 1, starts[last] - starts[first], np.int32)
        found[: last - first] = starts[first:last] - starts[first]
        found[-1] = size
        return found

    def _rows(self, kind: type[Sparse], of: SparseMap, k: int, columns: Int[np.ndarray, "C"] | None = None) -> Sparse:
        return kind(self._pattern(of.pattern, k, columns, of.spikes), of.spikes)

    def _gains(self, kind: type[Gains], of: GainMap, k: int, columns: Int[np.ndarray, "C"] | None = None) -> Gains:
        """Branches of a block's neurons, and what they receive."""
        of_neurons = np.asarray(of.branches.indptr)
        branches = part_of_rows(of_neurons, self.rows.bounds)
        starts = np.asarray(of.inputs.indptr).astype(np.int64)
        own = part_of_rows(starts, branches.bounds)
        first, last = branches.bounds[k : k + 2]
        lengths = np.full(branches.size + 1, starts[last] - starts[first], np.int32)
        lengths[: last - first] = starts[first:last] - starts[first]
        lengths[-1] = own.size
        indices, count = own.block(np.asarray(of.inputs.indices), k), of.inputs.columns
        if columns is not None:
            indices, count = columns[indices], len(self) * (count // self.model.neurons) * self.rows.size
        # A branch belongs to one neuron, and branches are sorted by neuron.
        by_neuron = ops.Pattern(
            self._starts(of_neurons, branches.size, k), np.arange(branches.size, dtype=np.int32), branches.size,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        return kind(
            inputs=ops.prepare(ops.Pattern(lengths, indices.astype(np.int32), count)),  # pyright: ignore[reportArgumentType]
            magnitudes=own.block(np.asarray(of.magnitudes), k),  # pyright: ignore[reportArgumentType]
            branches=ops.prepare(by_neuron),
            gain_of=branches.block(np.asarray(of.gain_of), k),  # pyright: ignore[reportArgumentType]
            order=None,
            gains=of.gains,
        )

    def _inputs(self, of: SynapticMap, k: int) -> Any:
        if isinstance(of, DenseMap):
            return BlockDenseDrive(self.rows.size, of.columns)
        if isinstance(of, GainMap):
            return self._gains(BlockSharedInputs, of, k)
        assert isinstance(of, SparseMap)
        return self._rows(BlockSparseDrive, of, k)

    def _readout(self, of: SparseMap | DenseMap, shares: Any, k: int) -> tuple[SparseMap | DenseMap, Any]:
        """Columns of a block, and their weights; what fills up reads the last neuron with weight 0."""
        rows = self.rows
        if isinstance(of, DenseMap):
            return BlockDenseReadout(of.rows, rows.size), None
        start, stop = rows.bounds[k : k + 2]
        columns, row = np.asarray(of.pattern.indices), np.asarray(of.pattern.row_of())
        block = np.searchsorted(rows.bounds, columns, side="right") - 1
        room = int(np.bincount(block, minlength=len(self)).max()) if len(columns) else 0
        here = np.flatnonzero((columns >= start) & (columns < stop))
        indices, weights = np.full(room, rows.size - 1, np.int32), np.zeros(room, np.asarray(shares).dtype)
        indices[: len(here)], weights[: len(here)] = columns[here] - start, np.asarray(shares)[here]
        starts = np.searchsorted(row[here], np.arange(of.pattern.rows + 1)).astype(np.int32)
        starts[-1] = room
        return BlockSparseReadout(ops.prepare(ops.Pattern(starts, indices, rows.size))), weights  # pyright: ignore[reportArgumentType]


def cut_model(model: ConnectomeModel, params: Mapping[str, Any], blocks: int) -> Blocks:
    """Cut a model into contiguous blocks of neurons with about equal numbers of connections.

    Connections are those between neurons and those of drive and inputs: whatever is summed for a neuron in each step.

    Parameters
    ----------
    params
        All parameters of the model, or their shapes.

    Raises
    ------
    ConfigError
        If there are fewer neurons than blocks.
    """
    n = model.neurons
    if blocks > n:
        raise ConfigError(f"train.devices = {blocks}: {n} neurons cannot be cut into as many blocks; set {n} at most")
    held = np.diff(_connections_of(model.recurrent)) + 1
    for by_units in (model.drive, model.inputs):
        if by_units is not None:
            held += by_units.columns if isinstance(by_units, DenseMap) else np.diff(_connections_of(by_units))
    bounds = equal_shares(held, blocks)
    rows = Along(bounds, int(np.diff(bounds).max()) + 1)
    own = {parameter.key: parameter for parameter in model.parameters}

    def cut(key: str) -> Cut:
        if key == "weights":
            return part_of_rows(np.asarray(_rows_of(model.recurrent).indptr), bounds)
        if key in ("gains", INNOVATION_GAINS, f"log_{NOISE_SCALE}") or (key in own and own[key].shared):
            return Everywhere()
        if key == "readout":
            return Along(bounds, rows.size, axis=1)
        if key in ("drive", "inputs"):
            of = model.drive if key == "drive" else model.inputs
            if isinstance(of, GainMap):
                return Everywhere()
            return part_of_rows(np.asarray(of.pattern.indptr), bounds) if isinstance(of, SparseMap) else rows
        return Along(bounds, rows.size, by_first=True)

    return Blocks(model, rows, {key: cut(key) for key in params})


def _rows_of(of: SynapticMap) -> ops.Pattern:
    """The pattern whose rows are neurons."""
    assert isinstance(of, SparseMap | GainMap)
    return of.branches if isinstance(of, GainMap) else of.pattern


def _connections_of(of: SynapticMap) -> Int[np.ndarray, "N+1"]:
    """Connections of neuron i: from entry i to entry i + 1."""
    starts = np.asarray(_rows_of(of).indptr).astype(np.int64)
    return np.asarray(of.inputs.indptr).astype(np.int64)[starts] if isinstance(of, GainMap) else starts
