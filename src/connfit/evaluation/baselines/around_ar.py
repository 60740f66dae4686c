"""Vector autoregressions of what is left around each unit's own: what the ridge and the low-rank kind share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.linear import LinearForecaster
from connfit.evaluation.baselines.linear_problem import Problem, edges
from connfit.evaluation.baselines.own_past import (
    CHANGES,
    TO_MEAN,
    TO_PERSISTENCE,
    OwnChoice,
    OwnMoments,
    own_choices,
    solve_own,
)
from connfit.evaluation.baselines.ridge_path import RidgePath
from connfit.recordings import Recording

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-1.0, 6.5, 0.5))
"""Ridge penalties that are tried."""

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""Ranks that are tried, below the number of units."""

OWN_PENALTIES = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 5.5, 1.0))

LEVELS, OF_CHANGES = "levels", "changes"
"""What all units' past is: their values, or the changes from frame to frame."""


@dataclass(frozen=True)
class Base:
    """What is predicted of each unit from its own past.

    Parameters
    ----------
    own
        How its autoregression is fitted; None: persistence.
    share
        Weight of the autoregression, the rest is persistence; 0 predicts the mean where `own` is None.
    """

    own: OwnChoice | None
    share: float

    def solve(self, moments: Moments) -> tuple[Float[np.ndarray, "W P"], Float[np.ndarray, "P"]]:
        """Coefficients of each unit's own past, and constants."""
        window, units = moments.window, moments.units
        stay = np.zeros((window, units))
        if self.own is None:
            stay[0] = self.share
            return stay, np.zeros(units)
        stay[0] = 1.0
        own, constant = solve_own(OwnMoments.of(moments), self.own)
        return self.share * own + (1 - self.share) * stay, self.share * constant


@dataclass(frozen=True)
class Choice:
    """What is chosen on validation.

    Parameters
    ----------
    base
        What is predicted from each unit's own past.
    inputs, lags
        `LEVELS` or `OF_CHANGES` of all units, and how many of them.
    alpha
        Ridge penalty.
    rank
        Rank of the coefficients; None: not reduced.
    intercept
        Whether what is left has a constant.
    """

    base: Base
    inputs: str
    lags: int
    alpha: float
    rank: int | None = None
    intercept: bool = True


def solve(moments: Moments, choice: Choice) -> tuple[Float[np.ndarray, "X P"], Float[np.ndarray, "P"]]:
    """Coefficients on levels [W * P, P] and intercepts of one choice, from moments of W frames."""
    units, window = moments.units, moments.window
    own, constant = choice.base.solve(moments)
    target = _inputs(moments.around(own, constant), choice.inputs, choice.lags)
    used = target.centred() if choice.intercept else target
    path = RidgePath.of(used)
    b = path.solve(choice.alpha)
    if choice.rank is not None:
        directions = _directions(path, choice.alpha)[:, : choice.rank]
        b = b @ directions @ directions.T
    left = (used.sum_y - used.sum_x @ b) / used.rows if choice.intercept else 0.0
    b = b.reshape(choice.lags, units, units)
    whole = np.zeros((window, units, units))
    whole[: choice.lags] += b
    if choice.inputs == OF_CHANGES:
        whole[1 : choice.lags + 1] -= b
    every = np.arange(units)
    whole[:, every, every] += own
    return whole.reshape(window * units, units), constant + left


def _inputs(moments: Moments, inputs: str, lags: int) -> Moments:
    """Moments of the first `lags` levels or changes."""
    moments = moments.changes() if inputs == OF_CHANGES else moments
    size = lags * moments.units
    return Moments(
        moments.gram[:size, :size],
        moments.cross[:size],
        moments.square,
        moments.sum_x[:size],
        moments.sum_y,
        moments.rows,
        # With fewer inputs than frames, the Gram matrix is the shorter way.
        None if moments.inputs is None or size < moments.rows else moments.inputs[:, :size],
    )


def _directions(path: RidgePath, alpha: float) -> Float[np.ndarray, "P P"]:
    """Directions in which the ridge fit varies most, first the most: [P, P] columns.

    Principal components of the fitted values with the penalty counted in, which is the solution of least penalised
    error of each rank: Mukherjee & Zhu (2011) Stat. Anal. Data Min. 4:612.
    """
    fitted = path.projected.T @ (path.projected / (path.lam + alpha)[:, None])
    return np.linalg.eigh((fitted + fitted.T) / 2)[1][:, ::-1]


@dataclass(frozen=True, eq=False)
class AroundOwn(LinearForecaster):
    """What the two kinds share; lags of levels and changes, order of the own past: of `config.var_lags` the largest."""

    @classmethod
    def fit(cls, recording: Recording, config: EvaluateConfig | None = None) -> Self:
        """Fit on the training part; every choice is the one of least one-step MSE on validation.

        Raises
        ------
        DataError
            If the training part is too short, or nothing was observed to tune on.
        """
        return cls._tuned([recording], config or EvaluateConfig())

    @classmethod
    def pooled(
        cls, recordings: Sequence[Recording], units: Sequence[str], config: EvaluateConfig | None = None
    ) -> Self:
        """One of several animals, on those of `units` that all have; the others are predicted not to change.

        Raises
        ------
        DataError
            If the recordings share none of these units, or too few frames were recorded.
        """
        return cls._pooled(lambda some: cls._tuned(some, config or EvaluateConfig()), recordings, units)

    @classmethod
    def _bases(cls, problem: Problem, moments: Moments, orders: Sequence[int]) -> Iterator[Base]:
        raise NotImplementedError

    @classmethod
    def _ranks(cls, units: int) -> Sequence[int | None]:
        raise NotImplementedError

    @classmethod
    def _what(cls) -> str:
        raise NotImplementedError

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> Self:
        # The longest past that leaves three frames of four to the fit; changes need two frames.
        frames = max(last - first for first, last in (one.require_parts().train for one in recordings))
        most = max([lag for lag in config.var_lags if 4 * lag <= frames], default=min(config.var_lags))
        window = max(most, 2) if frames >= 8 else most
        problem = Problem.of(recordings, [window], cls._what())
        moments = problem.moments[window]
        units = moments.units
        tried = {(LEVELS, lag) for lag in config.var_lags if lag <= window}
        tried |= {(OF_CHANGES, min(lag, window - 1)) for lag in config.var_lags if window > 1}
        orders = [order for order in config.ar_orders if order <= window] or [window]
        x = problem.x.reshape(len(problem.x), window, units)
        paths: dict[tuple[str, int], RidgePath] = {}
        best, choice = np.inf, None
        for base in cls._bases(problem, moments, orders):
            own, constant = base.solve(moments)
            start = np.einsum("tlp,lp->tp", x, own) + constant
            around = moments.around(own, constant)
            for inputs, lags in sorted(tried):
                target = _inputs(around, inputs, lags).centred()
                known = paths.get((inputs, lags))
                path = paths[inputs, lags] = RidgePath.of(target) if known is None else known.target(target)
                given = (x if inputs == LEVELS else x[:, :-1] - x[:, 1:])[:, :lags].reshape(len(x), -1)
                expected = start + target.sum_y / target.rows
                for alpha, _, prediction in path.predictions(given - target.sum_x / target.rows, ALPHAS):
                    directions = None
                    for rank in cls._ranks(units):
                        reduced = prediction
                        if rank is not None:
                            directions = _directions(path, alpha) if directions is None else directions
                            reduced = prediction @ directions[:, :rank] @ directions[:, :rank].T
                        error = problem.error(reduced + expected)
                        if error < best or choice is None:
                            best, choice = error, Choice(base, inputs, lags, alpha, rank)
        assert choice is not None
        choice, best = _intercept(problem, moments, choice, best)
        process, moments = problem.finish(lambda given: solve(given, choice), window)
        fitted = int(problem.fitted.sum())
        return cls._of(problem, process, moments, _parameters(choice, fitted), _record(choice, problem, best, units))


def _intercept(problem: Problem, moments: Moments, choice: Choice, error: float) -> tuple[Choice, float]:
    """The choice without a constant where that is better: decided last."""
    without = Choice(choice.base, choice.inputs, choice.lags, choice.alpha, choice.rank, intercept=False)
    b, intercept = solve(moments, without)
    other = problem.error(problem.x @ b + intercept)
    return (without, other) if other < error else (choice, error)


def _parameters(choice: Choice, units: int) -> int:
    inputs = choice.lags * units
    rank = units if choice.rank is None else min(choice.rank, units)
    own = choice.base.own
    count = rank * (inputs + units - rank) + units * choice.intercept
    return count + (0 if own is None else units * (own.order - (own.shrink_to == CHANGES) + own.intercept))


def _record(choice: Choice, problem: Problem, error: float, units: int) -> dict[str, Any]:
    own = choice.base.own
    around = "own autoregression" if own is not None else TO_PERSISTENCE if choice.base.share else TO_MEAN
    facts: dict[str, Any] = {"around": around}
    if own is not None:
        facts |= {
            "own_share": choice.base.share,
            "own_order": own.order,
            "own_alpha": own.alpha,
            "own_alpha_at_edge": edges(own.alpha, OWN_PENALTIES),
            "own_shrink_to": own.shrink_to,
        }
    facts |= {
        "inputs": choice.inputs,
        "lags": choice.lags,
        "alpha": choice.alpha,
        "alpha_at_edge": edges(choice.alpha, ALPHAS),
        "intercept": choice.intercept,
    }
    if choice.rank is not None:
        facts |= {"rank": choice.rank, "rank_at_edge": edges(choice.rank, [r for r in RANKS if r < units])}
    return {**facts, "tuned_on": problem.tuned_on, "tuning_mse": error}


def own_bases(problem: Problem, moments: Moments, orders: Sequence[int], shares: Sequence[float]) -> Iterator[Base]:
    """The best autoregression by itself, of each thing that it can shrink to, in several shares."""
    x = problem.x.reshape(len(problem.x), moments.window, moments.units)
    own_only = OwnMoments.of(moments)
    best: dict[str, tuple[float, OwnChoice]] = {}
    for choice in own_choices(orders, OWN_PENALTIES, (True,)):
        # Two kinds of shrinkage at once would pull to two places: the share leads to persistence.
        if choice.shrink_to == TO_MEAN:
            continue
        own, constant = solve_own(own_only, choice)
        error = problem.error(np.einsum("tlp,lp->tp", x, own) + constant)
        if choice.shrink_to not in best or error < best[choice.shrink_to][0]:
            best[choice.shrink_to] = (error, choice)
    for _, choice in best.values():
        for share in shares:
            yield Base(choice, share)
