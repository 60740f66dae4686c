"""Vector autoregressions of what is left around each unit's own: what the ridge and the low-rank kind share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.evaluation.baselines.autoregression import JointAutoregression
from connfit.evaluation.baselines.choosing import Facts, at_edge, least, training_blocks
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.linear_problem import Problem
from connfit.evaluation.baselines.own_moments import OwnMoments
from connfit.evaluation.baselines.own_past import (
    TO_MEAN,
    TO_PERSISTENCE,
    OwnChoice,
    own_choices,
    solve_own,
)
from connfit.evaluation.baselines.processes import LowRank
from connfit.evaluation.baselines.ridge_path import RidgePath
from connfit.evaluation.baselines.wide_moments import WideMoments
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

    def solve(self, moments: Moments | WideMoments) -> tuple[Float[np.ndarray, "W P"], Float[np.ndarray, "P"]]:
        """Return the coefficients of each unit's own past, and constants."""
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


def solve(
    moments: Moments | WideMoments, choice: Choice
) -> tuple[Float[np.ndarray, "X P"] | LowRank, Float[np.ndarray, "P"]]:
    """Return coefficients on levels [W * P, P] and intercepts of one choice, from moments of W frames."""
    units, window, lags = moments.units, moments.window, choice.lags
    own, constant = choice.base.solve(moments)
    target = _inputs(moments.around(own, constant), choice.inputs, lags)
    used = target.centred() if choice.intercept else target
    path = RidgePath.of(used)
    b = path.solve(choice.alpha)
    if choice.rank is not None:
        directions = path.directions(choice.alpha, choice.rank)
        b = replace(b, m=b.m @ directions @ directions.T) if isinstance(b, LowRank) else b @ directions @ directions.T
    left = (used.sum_y - used.sum_x @ b) / used.rows if choice.intercept else 0.0
    each = b.u if isinstance(b, LowRank) else b.reshape(lags, units, units)
    whole = np.zeros((window, *each.shape[1:]))
    whole[:lags] += each
    if choice.inputs == OF_CHANGES:
        whole[1 : lags + 1] -= each
    if isinstance(b, LowRank):
        return LowRank(whole, b.m, own), constant + left
    every = np.arange(units)
    whole[:, every, every] += own
    return whole.reshape(window * units, units), constant + left


def _inputs(moments: Moments | WideMoments, inputs: str, lags: int) -> Moments | WideMoments:
    """Moments of the first `lags` levels or changes."""
    return (moments.changes() if inputs == OF_CHANGES else moments).first(lags)


@dataclass(frozen=True)
class Kind:
    """What distinguishes the kinds of such autoregressions.

    Parameters
    ----------
    what
        In messages.
    shares
        Weights of each unit's own autoregression that are tried; the rest is persistence.
    others
        What is tried in the place of one.
    reduced
        Whether the rank is.
    """

    what: str
    shares: Sequence[float]
    others: Sequence[Base] = ()
    reduced: bool = False

    def ranks(self, units: int) -> Sequence[int | None]:
        """Return the ranks that are tried."""
        return [rank for rank in RANKS if rank < units] or [1] if self.reduced else [None]


@dataclass(frozen=True, eq=False)
class AroundOwn(JointAutoregression):
    """What the kinds share; lags of levels and changes, order of the own past: of `config.var_lags` the largest."""

    kind: ClassVar[Kind]

    @classmethod
    def _tuned(cls, recordings: Sequence[Recording], config: EvaluateConfig) -> Self:
        # The longest past that leaves three frames of four to the fit; changes need two frames.
        frames = max(last - first for first, last in training_blocks(recordings))
        most = max([lag for lag in config.var_lags if 4 * lag <= frames], default=min(config.var_lags))
        window = max(most, 2) if frames >= 8 else most
        problem = Problem.of(recordings, [window], cls.kind.what)
        moments = problem.moments[window]
        best = least(_candidates(problem, moments, cls.kind, config))
        assert best is not None
        error, choice = min(best, _without_intercept(problem, moments, best[1]), key=lambda candidate: candidate[0])
        process, moments = problem.finish(lambda given: solve(given, choice), window)
        fitted = int(problem.fitted.sum())
        chosen = _record(choice, problem, error, moments.units)
        return cls._of(problem, process, moments, _parameters(choice, fitted), chosen)


def _candidates(
    problem: Problem, moments: Moments | WideMoments, kind: Kind, config: EvaluateConfig
) -> Iterator[tuple[float, Choice]]:
    window = moments.window
    tried = {(LEVELS, lag) for lag in config.var_lags if lag <= window}
    tried |= {(OF_CHANGES, min(lag, window - 1)) for lag in config.var_lags if window > 1}
    orders = [order for order in config.ar_orders if order <= window] or [window]
    ranks = kind.ranks(moments.units)
    paths: dict[tuple[str, int], RidgePath] = {}
    for base in (*kind.others, *_own_bases(problem, moments, orders, kind.shares)):
        own, constant = base.solve(moments)
        around = moments.around(own, constant)
        for inputs, lags in sorted(tried):
            target = _inputs(around, inputs, lags).centred()
            known = paths.get((inputs, lags))
            path = paths[inputs, lags] = RidgePath.of(target) if known is None else known.target(target)
            predict = _Predictions(own, constant, path, target, inputs, lags, ranks)
            choices = [Choice(base, inputs, lags, alpha, rank) for alpha in ALPHAS for rank in ranks]
            yield from zip(problem.errors(predict), choices, strict=True)


class _Predictions:
    """Predictions of all penalties and ranks around one base, from past frames."""

    def __init__(
        self,
        own: Float[np.ndarray, "W P"],
        constant: Float[np.ndarray, "P"],
        path: RidgePath,
        target: Moments | WideMoments,
        inputs: str,
        lags: int,
        ranks: Sequence[int | None],
    ) -> None:
        self._own, self._constant, self._path, self._target = own, constant, path, target
        self._inputs, self._lags, self._ranks = inputs, lags, ranks
        most = max((rank for rank in ranks if rank is not None), default=0)
        self._directions = {alpha: path.directions(alpha, most) for alpha in ALPHAS} if most else {}

    def __call__(self, x: Float[np.ndarray, "n W P"]) -> Iterator[Float[np.ndarray, "n P"]]:
        target = self._target
        start = np.einsum("tlp,lp->tp", x, self._own) + self._constant
        given = (x if self._inputs == LEVELS else x[:, :-1] - x[:, 1:])[:, : self._lags].reshape(len(x), -1)
        expected = start + target.sum_y / target.rows
        for alpha, _, prediction in self._path.predictions(given - target.sum_x / target.rows, ALPHAS):
            for rank in self._ranks:
                reduced = prediction
                if rank is not None:
                    directions = self._directions[alpha][:, :rank]
                    reduced = prediction @ directions @ directions.T
                yield reduced + expected


def _without_intercept(problem: Problem, moments: Moments | WideMoments, choice: Choice) -> tuple[float, Choice]:
    """The choice without a constant, which is decided last."""
    without = replace(choice, intercept=False)
    b, intercept = solve(moments, without)
    (error,) = problem.errors(lambda x: [x.reshape(len(x), -1) @ b + intercept])
    return error, without


def _own_bases(
    problem: Problem, moments: Moments | WideMoments, orders: Sequence[int], shares: Sequence[float]
) -> Iterator[Base]:
    """The best autoregression by itself, of each thing that it can shrink to, in several shares."""
    own_only = OwnMoments.of(moments)
    choices = list(own_choices(orders, OWN_PENALTIES, (True,)))
    solutions = [solve_own(own_only, choice) for choice in choices]
    errors = problem.errors(lambda x: (np.einsum("tlp,lp->tp", x, own) + constant for own, constant in solutions))
    # Two kinds of shrinkage at once would pull to two places: the share leads to persistence.
    for shrink_to in dict.fromkeys(choice.shrink_to for choice in choices if choice.shrink_to != TO_MEAN):
        best = least(pair for pair in zip(errors, choices, strict=True) if pair[1].shrink_to == shrink_to)
        assert best is not None
        for share in shares:
            yield Base(best[1], share)


def _parameters(choice: Choice, units: int) -> int:
    inputs = choice.lags * units
    rank = units if choice.rank is None else min(choice.rank, units)
    own = choice.base.own
    count = rank * (inputs + units - rank) + units * choice.intercept
    return count + (0 if own is None else units * own.numbers)


def _record(choice: Choice, problem: Problem, error: float, units: int) -> Facts:
    own = choice.base.own
    around = "own autoregression" if own is not None else TO_PERSISTENCE if choice.base.share else TO_MEAN
    facts: dict[str, float | str | bool] = {"around": around}
    if own is not None:
        facts |= {
            "own_share": choice.base.share,
            "own_order": own.order,
            "own_alpha": own.alpha,
            "own_alpha_at_edge": at_edge(own.alpha, OWN_PENALTIES),
            "own_shrink_to": own.shrink_to,
        }
    facts |= {
        "inputs": choice.inputs,
        "lags": choice.lags,
        "alpha": choice.alpha,
        "alpha_at_edge": at_edge(choice.alpha, ALPHAS),
        "intercept": choice.intercept,
    }
    if choice.rank is not None:
        facts |= {"rank": choice.rank, "rank_at_edge": at_edge(choice.rank, [r for r in RANKS if r < units])}
    return {**facts, "tuned_on": problem.tuned_on, "tuning_mse": error}
