"""What identifies a connectome, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from connfit.connectome import Connectome

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ConnectomeSummary:
    """What identifies a connectome; electrical connections are undirected, reciprocity is of chemical ones.

    Parameters
    ----------
    synapses, total_weight
        Of chemical connections: the sum of their synapse counts, or of their weights where the source has those.
    inhibitory_connections
        Where the source gives signs to connections, and neurons make both; else None.
    """

    name: str
    neurons: int
    connections: int
    synapses: int | None
    electrical_connections: int
    self_connections: int
    excitatory_neurons: int
    inhibitory_neurons: int
    reciprocity: float
    median_in_degree: float
    median_out_degree: float
    neurons_without_input: int
    regions: tuple[str, ...]
    total_weight: float | None = None
    inhibitory_connections: int | None = None

    @classmethod
    def of(cls, brain: Connectome) -> ConnectomeSummary:
        """Count everything."""
        chemical = _chemical(brain)
        to_others = sp.csr_array(chemical.T)
        loops = int(chemical.diagonal().sum(dtype=np.int64))
        gaps = np.flatnonzero(brain.electrical)
        gap_loops = int((brain.indices[gaps] == np.searchsorted(brain.indptr, gaps, side="right") - 1).sum())
        total = np.sum(brain.counts, where=~brain.electrical, dtype=np.float64 if brain.weighted else np.int64)
        mixed = brain.mixed_signs
        in_degree = np.diff(brain.indptr)
        out_degree = np.diff(to_others.indptr) + np.bincount(brain.indices[gaps], minlength=brain.n)
        return cls(
            name=brain.name,
            neurons=brain.n,
            connections=chemical.nnz,
            synapses=None if brain.weighted else int(total),
            # Between two neurons a gap junction is stored twice, within one neuron once.
            electrical_connections=(len(gaps) + gap_loops) // 2,
            self_connections=loops + gap_loops,
            excitatory_neurons=int((brain.signs > 0).sum()),
            inhibitory_neurons=int((brain.signs < 0).sum()),
            reciprocity=(_shared(chemical, to_others) - loops) / max(1, chemical.nnz - loops),
            median_in_degree=float(np.median(in_degree)) if brain.n else 0.0,
            median_out_degree=float(np.median(out_degree)) if brain.n else 0.0,
            neurons_without_input=int((in_degree == 0).sum()),
            regions=tuple(sorted(set(brain.neurons["region"]) - {""})),
            total_weight=float(total) if brain.weighted else None,
            inhibitory_connections=None if mixed is None else int((mixed < 0).sum()),
        )


def _chemical(brain: Connectome) -> sp.csr_array:
    """Return the chemical connections as ones, without a copy of their indices where all are chemical."""
    kept = ~brain.electrical
    indices, indptr = brain.indices, brain.indptr
    if not kept.all():
        indices, indptr = indices[kept], np.concatenate([[0], np.cumsum(kept)])[indptr]
    return sp.csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(brain.n, brain.n))


def _shared(one: sp.csr_array, other: sp.csr_array) -> int:
    """Count entries of both; some rows at a time, for a product as large as a brain would double its memory."""
    starts = range(0, len(one.indptr) - 1, _ROWS_AT_ONCE)
    return sum(one[at : at + _ROWS_AT_ONCE].multiply(other[at : at + _ROWS_AT_ONCE]).nnz for at in starts)
