"""The first-order autoregression of every unit by itself, from series with gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.recordings.frame_blocks import frame_blocks

_GRID = 201
_ROUNDS = 6
"""Ever finer grids: each has a tenth of the step of the one before, the last one of 1e-8."""


def lag_one(stretch: Stretch) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """Estimate a in y(t) = a y(t-1) + e(t), and the standard deviation of e about its mean.

    By maximum likelihood given the first observed value: what was observed k frames after y is normal about a^k y with
    1 + a² + ... + a^(2k - 2) times the variance of e (Brockwell & Davis 1991, Time Series: Theory and Methods,
    section 12.3). Without gaps this is least squares, the lag-1 autocorrelation.

    Returns
    -------
    decay
        [P], -1 to 1; 0 for a unit that was observed fewer than twice.
    spread
        [P]; 1 for such a unit and for one that a fits without error.
    """
    decay, spread = np.zeros(stretch.units), np.ones(stretch.units)
    for unit, z, seen in _columns(stretch):
        at = np.flatnonzero(seen)
        if len(at) < 2:
            continue
        before, after, apart = z[at[:-1]], z[at[1:]], np.diff(at)
        a = float(np.clip((before @ after) / max(before @ before, 1e-12), -1.0, 1.0))
        if (apart > 1).any():
            a = _most_likely(before, after, apart)
        error = (after - a**apart * before) / np.sqrt(_growth(a, apart))
        decay[unit], found = a, error.std()
        spread[unit] = found if found > 1e-10 * np.abs(after).max() else 1.0
    return decay, spread


def _columns(stretch: Stretch) -> Iterator[tuple[int, Float[np.ndarray, "T"], Bool[np.ndarray, "T"]]]:
    """Single units, of which no more are held at once than have a million values."""
    for at in frame_blocks(0, stretch.units, -(-len(stretch) // 4)):
        blocks = [(z[:, at].copy(), seen[:, at].copy()) for z, seen in stretch.blocks()]
        z, seen = (np.concatenate(each) for each in zip(*blocks, strict=True))
        for unit in range(at.start, at.stop):
            yield unit, z[:, unit - at.start], seen[:, unit - at.start]


def _growth(a, apart: np.ndarray) -> np.ndarray:
    """Variance of k steps over that of one."""
    square = np.minimum(np.square(a), 1 - 1e-12)
    return (1 - square**apart) / (1 - square)


def _most_likely(before: np.ndarray, after: np.ndarray, apart: np.ndarray) -> float:
    lengths, group, count = np.unique(apart, return_inverse=True, return_counts=True)
    sums = [np.bincount(group, weights) for weights in (after**2, before * after, before**2)]
    # From 1 downwards: where the sign is ambiguous, as with every other frame missing, the positive one is taken.
    grid, half = np.linspace(1.0, -1.0, _GRID), 1.0
    for _ in range(_ROUNDS):
        power, growth = grid[:, None] ** lengths, _growth(grid[:, None], lengths)
        squares = ((sums[0] - 2 * power * sums[1] + power**2 * sums[2]) / growth).sum(axis=1)
        cost = len(apart) * np.log(np.maximum(squares, 1e-300)) + (count * np.log(growth)).sum(axis=1)
        best, half = grid[np.argmin(cost)], half * (2 * 10 / (_GRID - 1))
        grid = np.clip(np.linspace(best + half, best - half, _GRID), -1.0, 1.0)
    return float(best)
