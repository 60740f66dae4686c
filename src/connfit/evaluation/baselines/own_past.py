"""Regressions of every unit on its own past: solved for all units at once from their moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.evaluation.baselines.own_moments import OwnMoments

TO_MEAN, TO_PERSISTENCE, CHANGES = "mean", "persistence", "persistence, on changes"
"""What a strong penalty leads to, and whether it is levels or changes from frame to frame that are regressed on."""

PENALTIES = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 5.5, 0.5))
"""Ridge penalties that are tried; inputs have variance 1, so that a Gram matrix is of the order of the frames."""


@dataclass(frozen=True)
class OwnChoice:
    """How a unit's own past is regressed on.

    Parameters
    ----------
    order
        Past frames; of the changes between them there is one less.
    alpha
        Ridge penalty.
    shrink_to
        `TO_MEAN`, `TO_PERSISTENCE` or `CHANGES`.
    intercept
        Whether there is one.
    """

    order: int
    alpha: float
    shrink_to: str
    intercept: bool

    @property
    def numbers(self) -> int:
        """Coefficients and constant of a unit."""
        return self.order - (self.shrink_to == CHANGES) + self.intercept


def own_choices(
    orders: Sequence[int], penalties: Sequence[float] = PENALTIES, intercepts: Sequence[bool] = (True, False)
) -> Iterator[OwnChoice]:
    """Yield all combinations; there are no changes between fewer than two frames."""
    for order in orders:
        for shrink_to in (TO_MEAN, TO_PERSISTENCE, CHANGES):
            if shrink_to == CHANGES and order < 2:
                continue
            for alpha in penalties:
                for intercept in intercepts:
                    yield OwnChoice(order, alpha, shrink_to, intercept)


def solve_own(moments: OwnMoments, choice: OwnChoice) -> tuple[Float[np.ndarray, "W P"], Float[np.ndarray, "P"]]:
    """Return coefficients on levels, lag 1 first, and constants, of the ridge regression.

    `moments` may have more past frames than `choice.order`; the coefficients of the others are 0.
    """
    order, window = choice.order, moments.sum_x.shape[1]
    gram, cross, sum_x = moments.gram[:, :order, :order], moments.cross[:, :order], moments.sum_x[:, :order]
    sum_y, rows = moments.sum_y, np.maximum(moments.rows, 1.0)
    start = np.zeros(order)
    if choice.shrink_to != TO_MEAN:
        start[0] = 1.0
    cross, sum_y = cross - gram @ start, sum_y - sum_x @ start
    to_levels = np.eye(order)
    if choice.shrink_to == CHANGES:
        to_levels = np.eye(order, order - 1) - np.eye(order, order - 1, -1)
        gram, cross, sum_x = to_levels.T @ gram @ to_levels, cross @ to_levels, sum_x @ to_levels
    if choice.intercept:
        gram = gram - sum_x[:, :, None] * sum_x[:, None, :] / rows[:, None, None]
        cross = cross - sum_x * (sum_y / rows)[:, None]
    b = np.linalg.solve(gram + choice.alpha * np.eye(gram.shape[1]), cross[:, :, None])[:, :, 0]
    constant = (sum_y - (sum_x * b).sum(axis=1)) / rows if choice.intercept else np.zeros(len(rows))
    own = np.zeros((window, len(rows)))
    own[:order] = (b @ to_levels.T + start).T
    return own, constant


def own_variance(
    moments: OwnMoments, own: Float[np.ndarray, "W P"], constant: Float[np.ndarray, "P"]
) -> Float[np.ndarray, "P"]:
    """Return the mean square of what the coefficients leave of each unit."""
    a = own.T
    left = moments.square - 2 * (a * moments.cross).sum(axis=1) + np.einsum("pi,pij,pj->p", a, moments.gram, a)
    left += constant * (moments.rows * constant - 2 * (moments.sum_y - (a * moments.sum_x).sum(axis=1)))
    return np.maximum(left / np.maximum(moments.rows, 1.0), 1e-6)
