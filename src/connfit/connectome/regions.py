"""How many synapses each neuron makes and receives in each region, where the source has synapses by region."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from connfit._display import unstorable
from connfit.errors import DataError, first_ten


@dataclass(frozen=True, eq=False)
class RegionSynapses:
    """Synapses of N neurons in P regions.

    Parameters
    ----------
    names
        The P regions.
    outputs
        [P, N] presynapses of each neuron in each region.
    inputs
        [P, N] postsynapses of each neuron in each region; where it has some, it has dendrites.

    Raises
    ------
    DataError
        If names repeat, shapes differ or a count is negative.
    """

    names: tuple[str, ...]
    outputs: sp.csr_array
    inputs: sp.csr_array

    def __post_init__(self) -> None:
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise DataError(f"regions repeat: {first_ten(repeated)}")
        for name in self.names:
            if why := unstorable(name):
                raise DataError(f"region {name!r} {why}", fix="Rename it")
        for key in ("outputs", "inputs"):
            counts = sp.csr_array(getattr(self, key))
            if counts.dtype.kind not in "iuf":
                raise DataError(f"synapses by region ({key}) must be numbers, got {counts.dtype}")
            if counts.nnz and counts.data.min() < 0:
                raise DataError(f"synapses by region ({key}) must not be negative, got {counts.data.min()}")
            if not counts.has_canonical_format or (counts.data == 0).any():
                counts = counts.copy()
                counts.sum_duplicates()
                counts.eliminate_zeros()
            object.__setattr__(
                self, key, counts.astype(np.float64 if counts.dtype.kind == "f" else np.int64, copy=False)
            )
        if self.outputs.shape != self.inputs.shape or self._shape[0] != len(self.names):
            raise DataError(
                f"synapses by region have shapes {self.outputs.shape} (outputs) and {self.inputs.shape} (inputs) for "
                f"{len(self.names)} regions"
            )

    @property
    def _shape(self) -> tuple[int, int]:
        rows, columns = self.outputs.shape  # pyright: ignore[reportGeneralTypeIssues]
        return rows, columns

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        return self._shape[1]

    def of_neurons(self, keep: Int[np.ndarray, "k"]) -> RegionSynapses:
        """Return the same counts for the neurons `keep`, in this order."""
        return RegionSynapses(self.names, sp.csr_array(self.outputs[:, keep]), sp.csr_array(self.inputs[:, keep]))

    def write(self, group: h5py.Group) -> None:
        """Write everything into a group of a connectome file."""
        group.create_dataset("names", data=list(self.names), dtype=h5py.string_dtype())
        for key in ("outputs", "inputs"):
            counts: sp.csr_array = getattr(self, key)
            for part in ("data", "indices", "indptr"):
                group.create_dataset(f"{key}/{part}", data=getattr(counts, part))
