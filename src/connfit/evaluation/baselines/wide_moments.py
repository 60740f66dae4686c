"""What least squares needs of wide recordings, which have more inputs than frames: the frames themselves.

A Gram matrix of all inputs would be as large as their square; that of all frames has the same spectrum. Golub & Van
Loan (2013) Matrix Computations, 2.4; Saunders, Gammerman & Vovk (1998) ICML, for ridge regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from connfit.evaluation.baselines.unit_scaling import Stretch

MOST_INPUTS = 2_048
"""Inputs up to which their Gram matrix is made, however few frames there are."""

MOST_DECOMPOSED = 6_000
"""Rows of the largest matrix that is decomposed, of inputs or of frames: minutes each, and some are needed."""

_NOTHING = 1e-11
"""Share of the largest eigenvalue below which one is rounding."""


@dataclass(frozen=True, eq=False)
class WideMoments:
    """Frames y and their inputs x, in the place of `connfit.evaluation.baselines.gap_moments.Moments`.

    Parameters
    ----------
    x, y
        [n, W P] and [n, P].
    sum_x, sum_y
        [W P], [P] sums over frames, of values that are not centred.
    """

    x: Float[np.ndarray, "n X"]
    y: Float[np.ndarray, "n P"]
    sum_x: Float[np.ndarray, "X"]
    sum_y: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, stretches: Sequence[Stretch], window: int) -> WideMoments:
        """Read stretches without gaps."""
        blocks = [stretch.read(0, len(stretch))[0] for stretch in stretches if len(stretch) > window]
        x = np.concatenate([_lagged(z, window) for z in blocks])
        y = np.concatenate([z[window:] for z in blocks])
        return cls(x, y, x.sum(axis=0), y.sum(axis=0))

    @property
    def units(self) -> int:
        """P."""
        return self.y.shape[1]

    @property
    def window(self) -> int:
        """W."""
        return self.x.shape[1] // self.units

    @property
    def rows(self) -> int:
        """Number of frames."""
        return len(self.x)

    def centred(self) -> WideMoments:
        """Return the same about the means."""
        return replace(self, x=self.x - self.sum_x / self.rows, y=self.y - self.sum_y / self.rows)

    def around(self, own: Float[np.ndarray, "W P"], constant: Float[np.ndarray, "P"]) -> WideMoments:
        """Return what is left of y without `own` times each unit's past and the constant."""
        y = self.y - np.einsum("lp,nlp->np", own, self._by_lag) - constant
        return replace(self, y=y, sum_y=y.sum(axis=0))

    def around_persistence(self) -> WideMoments:
        """Return the change y(t) - y(t - 1) in the place of y."""
        return replace(self, y=self.y - self.x[:, : self.units], sum_y=self.sum_y - self.sum_x[: self.units])

    def changes(self) -> WideMoments:
        """Return the same for y(t - l) - y(t - l - 1), l = 1 ... W - 1, in the place of levels."""
        x = (self._by_lag[:, :-1] - self._by_lag[:, 1:]).reshape(self.rows, -1)
        return replace(self, x=x, sum_x=x.sum(axis=0))

    def first(self, lags: int) -> WideMoments:
        """Return the same for the first lags alone."""
        size = lags * self.units
        return replace(self, x=self.x[:, :size], sum_x=self.sum_x[:size])

    def within_units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gram [P, W, W], cross [P, W] and square [P] of single units."""
        x = self._by_lag
        gram = np.stack([np.einsum("np,nvp->pv", x[:, lag], x) for lag in range(self.window)], axis=1)
        return gram, np.einsum("nwp,np->pw", x, self.y), (self.y**2).sum(axis=0)

    def spectrum(self) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "X k"], Float[np.ndarray, "n k"]]:
        """Return eigenvalues and eigenvectors u of the Gram matrix of inputs where it is not 0, and x @ u."""
        lam, v = np.linalg.eigh(self.x @ self.x.T)
        kept = lam > _NOTHING * max(lam[-1], 0.0)
        root = np.sqrt(lam[kept])
        return lam[kept], self.x.T @ (v[:, kept] / root), v[:, kept] * root

    @property
    def _by_lag(self) -> Float[np.ndarray, "n W P"]:
        return self.x.reshape(self.rows, self.window, self.units)


def _lagged(z: Float[np.ndarray, "t P"], lags: int) -> Float[np.ndarray, "r LP"]:
    return np.concatenate([z[lags - back : len(z) - back] for back in range(1, lags + 1)], axis=1)
