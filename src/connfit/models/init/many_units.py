"""What a start by regression finds of many units without decomposing matrices of all pairs of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import Float

from connfit.models.init.centred_frames import CentredFrames

NEWTON_STEPS = 50
"""Steps in which it is found which of many units keep something of their own past; a few are enough."""


def nearest(
    own: Float[np.ndarray, "P"],
    own_brought: Float[np.ndarray, "P F"],
    own_next: Float[np.ndarray, "P"],
    brought: Float[np.ndarray, "F F"],
    brought_next: Float[np.ndarray, "F"],
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "F"]]:
    """Solve non-negative least squares of many units, which are coupled through the few factors alone.

    Given which units keep something of their own past, the factors solve a problem of their own number of unknowns,
    and given the factors each unit is solved by itself: Newton steps on a function that is quadratic in pieces.
    """
    tiny = np.finfo(float).tiny
    own, square = (1 + 1e-9) * np.maximum(own, tiny), np.maximum(np.diag(brought), tiny)
    brought = brought + np.diag(1e-9 * square)
    keeps, factors = np.ones(len(own), bool), np.zeros(len(square))
    for _ in range(NEWTON_STEPS):
        across = own_brought[keeps] / own[keeps, None]
        normal = brought - own_brought[keeps].T @ across
        size = np.sqrt(square)
        root = np.linalg.cholesky(normal / np.outer(size, size) + 1e-12 * np.eye(len(size)))
        right = (brought_next - across.T @ own_next[keeps]) / size
        factors = scipy.optimize.nnls(root.T, np.linalg.solve(root, right))[0] / size
        before, keeps = keeps, own_next - own_brought @ factors > 0
        if (before == keeps).all():
            break
    return np.maximum(own_next - own_brought @ factors, 0) / own, np.where(square > tiny, factors, 0)


def slowest_by_frames(training: Sequence[CentredFrames]) -> float | None:
    """Return the autocorrelation over one frame of the units' first principal component; None if frames are not fewer.

    The course of that component is the first eigenvector of the products of frames with frames, but for its size.
    """
    if sum(len(part.values) for part in training) >= len(training[0].mean):
        return None
    courses = [
        np.concatenate([stretch.now for stretch in part.stretches(0)]) * np.sqrt(part.unit_weights * part.counted)
        for part in training
    ]
    x = np.concatenate(courses)
    last = len(x) - 1
    first = scipy.linalg.eigh(x @ x.T, subset_by_index=(last, last), overwrite_a=True)[1][:, 0]
    split = np.split(first, np.cumsum([len(course) for course in courses])[:-1])
    lagged = sum(float(course[:-1] @ course[1:]) for course in split)
    return float(np.clip(lagged / (first @ first), 0, 0.999))
