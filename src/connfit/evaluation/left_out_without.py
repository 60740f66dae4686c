"""Predictions of units from the others where inputs are missing, from the solution of all inputs.

Of M = (G + α)⁻¹ and w = M c, the solution without inputs g is w - M_g (M_gg)⁻¹ w_g (block inverse: Golub & Van Loan
2013, Matrix Computations, 2.1.4): first without what a frame lacks, then of each unit without its own past. That is an
inverse of as many rows as inputs are missing, where another solution would be one of all that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Without:
    """The solution of all inputs.

    Parameters
    ----------
    inverse, weights
        [K, K] M and [K, P] w, of the K inputs that are ever there.
    there
        [L P] which inputs those are.
    own
        [p, L] positions among the K of each such unit's own inputs, and which units they are.
    """

    inverse: Float[np.ndarray, "K K"]
    weights: Float[np.ndarray, "K P"]
    there: Bool[np.ndarray, "LP"]
    own: Int[np.ndarray, "p L"]
    units: Int[np.ndarray, "p"]

    @classmethod
    def of(
        cls,
        inverse: Float[np.ndarray, "K K"],
        weights: Float[np.ndarray, "K P"],
        there: Bool[np.ndarray, "LP"],
        units: int,
    ) -> Without:
        """Find each unit's own inputs; a unit has those of all lags or none."""
        place = np.where(there, np.cumsum(there) - 1, -1).reshape(-1, units).T
        known = np.flatnonzero((place >= 0).all(axis=1))
        return cls(inverse, weights, there, place[known], known)

    def predict(self, z: Float[np.ndarray, "n LP"], seen: Bool[np.ndarray, "LP"]) -> Float[np.ndarray, "n P"]:
        """Predict every unit from the inputs that are seen, without its own; z is 0 where they are not."""
        z, lacking = z[:, self.there], np.flatnonzero(~seen[self.there])
        columns = self.inverse[:, lacking]
        among = self.inverse[np.ix_(lacking, lacking)]
        solved = np.linalg.solve(among, np.concatenate([columns.T, self.weights[lacking]], axis=1))
        through, lost = solved[:, : len(self.inverse)], solved[:, len(self.inverse) :]
        along = z @ columns
        reached = z @ self.inverse - along @ through
        out = z @ self.weights - along @ lost
        # Of each unit: the inverse among its own inputs, and their weights, without what is lacking.
        own, gone = self.own, ~seen[self.there][self.own]
        inverse = self.inverse[own[:, :, None], own[:, None]]
        inverse = inverse - np.einsum("plm,mpk->plk", columns[own], through[:, own])
        inverse = np.where(gone[:, :, None] | gone[:, None], 0.0, inverse)
        inverse += np.eye(own.shape[1]) * gone[:, :, None]
        weights = self.weights[own, self.units[:, None]] - np.einsum("plm,mp->pl", columns[own], lost[:, self.units])
        weights = np.where(gone, 0.0, weights)
        taken = np.linalg.solve(inverse, weights[:, :, None])[:, :, 0]
        out[:, self.units] -= np.einsum("npl,pl->np", reached[:, own], taken)
        return out
