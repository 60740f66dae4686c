"""What identifies a connectome, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from connfit.connectome import Connectome


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
        posts, loops = brain.posts, brain.indices == brain.posts
        kept = ~brain.electrical & ~loops
        forward = sp.csr_array(
            sp.coo_array(
                (np.ones(int(kept.sum()), np.int8), (posts[kept], brain.indices[kept])), shape=(brain.n, brain.n)
            )
        )
        mutual = forward.multiply(sp.csr_array(forward.T)).nnz
        total = brain.counts[~brain.electrical].sum(dtype=np.float64 if brain.weighted else np.int64)
        mixed = brain.mixed_signs
        in_degree, out_degree = np.diff(brain.indptr), np.bincount(brain.indices, minlength=brain.n)
        return cls(
            name=brain.name,
            neurons=brain.n,
            connections=int((~brain.electrical).sum()),
            synapses=None if brain.weighted else int(total),
            # Between two neurons a gap junction is stored twice, within one neuron once.
            electrical_connections=int(brain.electrical.sum() + (brain.electrical & loops).sum()) // 2,
            self_connections=int(loops.sum()),
            excitatory_neurons=int((brain.signs > 0).sum()),
            inhibitory_neurons=int((brain.signs < 0).sum()),
            reciprocity=mutual / max(1, forward.nnz),
            median_in_degree=float(np.median(in_degree)) if brain.n else 0.0,
            median_out_degree=float(np.median(out_degree)) if brain.n else 0.0,
            neurons_without_input=int((in_degree == 0).sum()),
            regions=tuple(sorted(set(brain.neurons["region"]) - {""})),
            total_weight=float(total) if brain.weighted else None,
            inhibitory_connections=None if mixed is None else int((mixed < 0).sum()),
        )
