"""Which neurons each recorded unit reads, and with what share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.connectome.matching import match_units
from connfit.errors import DataError, first_ten

MANY_UNITS = 500
"""Units above which no matrix of all pairs of them is decomposed where another way is as good."""


@dataclass(frozen=True, eq=False)
class Readout:
    """The read-out ``y_k = Σ_j C_kj r_j``, whose rows sum to 1.

    Parameters
    ----------
    matrix
        [P, N] shares C ≥ 0.
    unit_names
        Names of the P units.
    learned
        True for the control in which C is learned, starting from `matrix`.
    """

    matrix: sp.csr_array
    unit_names: tuple[str, ...]
    learned: bool = False

    def __post_init__(self) -> None:
        matrix = sp.csr_array(self.matrix, dtype=np.float64)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        sums = np.asarray(matrix.sum(axis=1)).ravel()
        if len(sums) != len(self.unit_names):
            raise DataError(f"the read-out has {len(sums)} rows for {len(self.unit_names)} unit names")
        empty = [name for name, total in zip(self.unit_names, sums, strict=True) if not total > 0]
        if empty:
            raise DataError(
                f"units that read no neuron: {first_ten(empty)}",
                fix="Leave them out of the recording, or add their neurons",
            )
        if matrix.data.min() < 0:
            raise DataError("shares of a read-out must not be negative")
        scaled = sp.diags_array(1 / sums) @ matrix
        object.__setattr__(self, "matrix", sp.csr_array(scaled))

    @property
    def units(self) -> int:
        """Number of units P."""
        return len(self.unit_names)

    @property
    def neurons(self) -> int:
        """Number of neurons N."""
        return len(sp.csc_array(self.matrix).indptr) - 1

    @classmethod
    def by_name(
        cls, connectome: Connectome, units: Sequence[str], *, column: str = "id", learned: bool = False
    ) -> Readout:
        """Read each unit as the mean of the neurons that carry its name in `column` of the neuron table.

        Raises
        ------
        DataError
            If a unit matches no neuron: match and select units first (`connfit.connectome.matching`).
        """
        match = match_units(units, connectome, column=column)
        if match.unmatched:
            raise DataError(
                f"units without a neuron in column {column!r}: {first_ten(match.unmatched)}",
                fix="Select the matched units first",
            )
        rows = np.repeat(np.arange(len(units)), [len(neurons) for neurons in match.neurons])
        matrix = sp.csr_array(
            (np.ones(len(rows)), (rows, np.concatenate(match.neurons))), shape=(len(units), connectome.n)
        )
        return cls(matrix, tuple(units), learned)

    @classmethod
    def by_anatomy(cls, connectome: Connectome, units: Sequence[str], *, learned: bool = False) -> Readout:
        """Read each unit, a region, from neurons in proportion to their presynapses there.

        Raises
        ------
        DataError
            If the connectome has no such region.
        """
        regions, presynapses = presynapses_by_region(connectome)
        position = {region: k for k, region in enumerate(regions)}
        absent = [unit for unit in units if unit not in position]
        if absent:
            raise DataError(
                f"connectome {connectome.name!r} has no regions {first_ten(absent)}; it has {first_ten(regions)}"
            )
        return cls(sp.csr_array(presynapses)[[position[unit] for unit in units]], tuple(units), learned)


def own_overlap(readout: Readout) -> Float[np.ndarray, "P"] | None:
    """Return the diagonal of C Cᵀ where there are many units and no two read the same neuron; else None."""
    if readout.units <= MANY_UNITS or (np.bincount(readout.matrix.indices) > 1).any():
        return None
    # Not `matrix.power`, which sorts the entries of the matrix itself.
    matrix = readout.matrix
    return np.bincount(np.repeat(np.arange(readout.units), np.diff(matrix.indptr)), matrix.data**2, readout.units)


def overlap(readout: Readout) -> Float[np.ndarray, "P P"]:
    """Return C Cᵀ, with whose inverse Cᵀ (C Cᵀ)⁻¹ is the smallest change of rates that moves each unit alone by one.

    Raises
    ------
    DataError
        If what one unit reads is a sum of what others read: then no change of rates moves it alone.
    """
    shared = np.asarray((readout.matrix @ readout.matrix.T).toarray())
    if np.linalg.matrix_rank(shared, hermitian=True) < len(shared):
        vector = np.abs(np.linalg.eigh(shared)[1][:, 0])
        tied = [readout.unit_names[k] for k in np.flatnonzero(vector > 1e-6)]
        raise DataError(
            f"the units {first_ten(tied)} read the same neurons in the same shares, or sums of each other's",
            fix="Leave one of them out, or set model.state_forcing to 0 and model.drive_start to persistence",
        )
    return shared
