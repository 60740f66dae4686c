"""Ridge regression of all units on all units, with penalties of its own for a unit's own past, for many penalties.

Coefficients of least Σ (y - B'x)² + α Σ_others B² + α_own Σ_own B². For one penalty α the inverse comes from one
eigendecomposition; that of a unit whose own inputs have another penalty differs from it by as many ranks as there are
such inputs (Woodbury 1950), so that no further inverse is needed. Source: Hoerl & Kennard (1970) Technometrics 12:55;
other penalties for other lags as in the Minnesota prior, Litterman (1986) J. Bus. Econ. Stat. 4:25.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg
from jaxtyping import Float

from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.own_past import TO_MEAN, TO_PERSISTENCE
from connfit.evaluation.baselines.processes import LowRank
from connfit.evaluation.baselines.wide_moments import WideMoments

OwnInputs = tuple[Float[np.ndarray, "P L L"], Float[np.ndarray, "P L"]]
"""Of a solution: its inverse among the inputs of each unit's own past, and their coefficients."""


@dataclass(frozen=True, eq=False)
class RidgePath:
    """The spectrum of one regression; `moments` as they are to be used: centred or not.

    Parameters
    ----------
    lam, u
        [k], [X, k] eigenvalues and eigenvectors of the Gram matrix; directions that are left out have eigenvalue 0.
    projected
        [k, P] U' Σ x y'.
    units
        P.
    scores
        [n, k] x U of wide recordings, whose coefficients are never made.
    """

    lam: Float[np.ndarray, "k"]
    u: Float[np.ndarray, "X k"]
    projected: Float[np.ndarray, "k P"]
    units: int
    scores: Float[np.ndarray, "n k"] | None = None
    _of_own: dict[float, OwnInputs] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, moments: Moments | WideMoments) -> RidgePath:
        """Decompose."""
        if isinstance(moments, WideMoments):
            lam, u, scores = moments.spectrum()
            return cls(lam, u, scores.T @ moments.y, moments.units, scores)
        lam, u = moments.spectrum()
        return cls(lam, u, u.T @ moments.cross, moments.units)

    def target(self, moments: Moments | WideMoments) -> RidgePath:
        """Return the same inputs for another target."""
        if isinstance(moments, WideMoments):
            assert self.scores is not None
            return replace(self, projected=self.scores.T @ moments.y)
        return replace(self, projected=self.u.T @ moments.cross)

    def directions(self, alpha: float, most: int) -> Float[np.ndarray, "P r"]:
        """Return directions in which the ridge fit varies most, first the most, as columns.

        Principal components of the fitted values with the penalty counted in, which is the solution of least penalised
        error of each rank: Mukherjee & Zhu (2011) Stat. Anal. Data Min. 4:612.
        """
        if self.scores is None or len(self.projected) >= self.units:
            fitted = self.projected.T @ (self.projected / (self.lam + alpha)[:, None])
            return np.linalg.eigh((fitted + fitted.T) / 2)[1][:, ::-1][:, :most]
        scaled, size = self.projected / np.sqrt(self.lam + alpha)[:, None], len(self.projected)
        values, vectors = scipy.linalg.eigh(scaled @ scaled.T, subset_by_index=[max(size - most, 0), size - 1])
        kept = values > 1e-13 * max(values[-1], 0.0)
        return (scaled.T @ (vectors[:, kept] / np.sqrt(values[kept])))[:, ::-1]

    @property
    def _complete(self) -> bool:
        return self.u.shape[0] == self.u.shape[1]

    def _weights(self, alpha: float) -> np.ndarray:
        return 1.0 / (self.lam + alpha)

    def _own(self, alpha: float) -> OwnInputs:
        """Of the solution for one penalty, found once: inverse among a unit's own inputs, and their coefficients."""
        if alpha not in self._of_own:
            self._of_own[alpha] = self._solved_own(alpha)
        return self._of_own[alpha]

    def _solved_own(self, alpha: float) -> OwnInputs:
        lags = len(self.u) // self.units
        u = self.u.reshape(lags, self.units, -1)
        w = self._weights(alpha)
        by_unit = u.transpose(1, 0, 2)
        inverse = (by_unit * w) @ by_unit.transpose(0, 2, 1)
        if not self._complete:
            inverse += (np.eye(lags) - by_unit @ by_unit.transpose(0, 2, 1)) / alpha
        solution = (by_unit @ (w[:, None] * self.projected).T[:, :, None])[:, :, 0]
        return inverse, solution

    def solve(self, alpha: float, alpha_own: float | None = None) -> Float[np.ndarray, "X P"] | LowRank:
        """Return the coefficients; one penalty for all inputs without `alpha_own`."""
        w = self._weights(alpha)
        lags = len(self.u) // self.units
        by_lag, m = self.u.reshape(lags, self.units, -1), w[:, None] * self.projected
        if alpha_own is None or alpha_own == alpha:
            return self.u @ m if self.scores is None else LowRank(by_lag, m, np.zeros((lags, self.units)))
        taken = _taken(*self._own(alpha), alpha_own - alpha)
        through = np.einsum("lpk,pl->kp", by_lag, taken, optimize=True)
        if self.scores is not None:
            return LowRank(by_lag, m - w[:, None] * through + through / alpha, -taken.T / alpha)
        b = self.u @ m
        b -= self.u @ (w[:, None] * through)
        if not self._complete:
            direct = np.zeros((lags, self.units, self.units))
            every = np.arange(self.units)
            direct[:, every, every] = taken.T
            b -= (direct.reshape(b.shape) - self.u @ through) / alpha
        return b

    def predictions(
        self, x: Float[np.ndarray, "n X"], alphas: Sequence[float], alphas_own: Sequence[float] | None = None
    ) -> Iterator[tuple[float, float, Float[np.ndarray, "n P"]]]:
        """Compute `x @ solve(alpha, alpha_own)` for all pairs of penalties, without the coefficients."""
        lags = len(self.u) // self.units
        along = x @ self.u
        rest = None if self._complete or alphas_own is None else x - along @ self.u.T
        for alpha in alphas:
            w = self._weights(alpha)
            base = along @ (w[:, None] * self.projected)
            if alphas_own is None:
                yield alpha, alpha, base
                continue
            through = (along * w) @ self.u.T
            if rest is not None:
                through += rest / alpha
            through = through.reshape(len(x), lags, self.units)
            own = self._own(alpha)
            for alpha_own in alphas_own:
                taken = _taken(*own, alpha_own - alpha)
                yield alpha, alpha_own, base - sum(through[:, lag] * taken[:, lag] for lag in range(lags))


def _taken(inverse: np.ndarray, solution: np.ndarray, more: float) -> Float[np.ndarray, "P L"]:
    """What `more` penalty on its own inputs takes away from a unit's solution: the inverse's columns times this."""
    if np.isinf(more):
        return np.linalg.solve(inverse, solution[:, :, None])[:, :, 0]
    return np.linalg.solve(np.eye(inverse.shape[1]) + more * inverse, more * solution[:, :, None])[:, :, 0]


@dataclass(frozen=True)
class RidgeChoice:
    """One ridge regression.

    Parameters
    ----------
    lags
        Past frames.
    alpha, alpha_own
        Ridge penalties of other units' past and of a unit's own.
    shrink_to
        What strong penalties lead to, `TO_MEAN` or `TO_PERSISTENCE`.
    intercept
        Whether there is one.
    """

    lags: int
    alpha: float
    alpha_own: float
    shrink_to: str
    intercept: bool

    def solve(
        self, moments: Moments | WideMoments
    ) -> tuple[Float[np.ndarray, "LP P"] | LowRank, Float[np.ndarray, "P"]]:
        """Return coefficients and intercepts, from moments of as many lags."""
        target = _target(moments, self.shrink_to, self.intercept)
        b = RidgePath.of(target).solve(self.alpha, self.alpha_own)
        intercept = (target.sum_y - target.sum_x @ b) / target.rows if self.intercept else np.zeros(moments.units)
        if self.shrink_to != TO_PERSISTENCE:
            return b, intercept
        if isinstance(b, LowRank):
            return b.with_own(np.eye(moments.window, 1)), intercept
        b[: moments.units] += np.eye(moments.units)
        return b, intercept


def ridge_candidates(
    errors: Callable[[Callable[[Float[np.ndarray, "n W P"]], Iterator[Float[np.ndarray, "n P"]]]], Sequence[float]],
    moments: Moments | WideMoments,
    alphas: Sequence[float],
    alphas_own: Sequence[float],
    *,
    shrinks_to: Sequence[str] = (TO_MEAN, TO_PERSISTENCE),
    intercepts: Sequence[bool] = (True, False),
) -> Iterator[tuple[float, RidgeChoice]]:
    """Yield all regressions with the errors of their predictions from past frames."""
    lags = moments.window
    for intercept in intercepts:
        path = None
        for shrink_to in shrinks_to:
            target = _target(moments, shrink_to, intercept)
            path = RidgePath.of(target) if path is None else path.target(target)
            predict = _Predictions(path, target, lags, shrink_to, intercept, alphas, alphas_own)
            choices = [RidgeChoice(lags, a, own, shrink_to, intercept) for a in alphas for own in alphas_own]
            yield from zip(errors(predict), choices, strict=True)


@dataclass(frozen=True, eq=False)
class _Predictions:
    """Predictions of the regressions on one path, from past frames."""

    path: RidgePath
    target: Moments | WideMoments
    lags: int
    shrink_to: str
    intercept: bool
    alphas: Sequence[float]
    alphas_own: Sequence[float]

    def __call__(self, past: Float[np.ndarray, "n W P"]) -> Iterator[Float[np.ndarray, "n P"]]:
        target = self.target
        x, constant = past[:, : self.lags].reshape(len(past), -1), 0.0
        start = past[:, 0] if self.shrink_to == TO_PERSISTENCE else 0.0
        if self.intercept:
            x, constant = x - target.sum_x / target.rows, target.sum_y / target.rows
        for _, _, prediction in self.path.predictions(x, self.alphas, self.alphas_own):
            yield prediction + constant + start


def _target(moments: Moments | WideMoments, shrink_to: str, intercept: bool) -> Moments | WideMoments:
    target = moments.around_persistence() if shrink_to == TO_PERSISTENCE else moments
    return target.centred() if intercept else target
