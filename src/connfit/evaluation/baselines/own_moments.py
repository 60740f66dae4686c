"""Second moments of single units with gaps, all units side by side: expected given all that was observed of each.

The same as `connfit.evaluation.baselines.gap_moments` with units that do not know of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.block_tridiagonal import block_tridiagonal_inverse
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.processes import OwnProcess
from connfit.evaluation.baselines.unit_scaling import Block


@dataclass(frozen=True, eq=False)
class OwnMoments:
    """Sums of products of the last W frames x of each unit, newest first, and its next frame y.

    Parameters
    ----------
    gram, cross, square
        [P, W, W], [P, W], [P].
    sum_x, sum_y, rows
        [P, W], [P], [P] sums and number of frames.
    observed
        [P] of these frames, those in which y was observed.
    """

    gram: Float[np.ndarray, "P W W"]
    cross: Float[np.ndarray, "P W"]
    square: Float[np.ndarray, "P"]
    sum_x: Float[np.ndarray, "P W"]
    sum_y: Float[np.ndarray, "P"]
    rows: Float[np.ndarray, "P"]
    observed: Float[np.ndarray, "P"]

    @classmethod
    def of(cls, moments: Moments) -> OwnMoments:
        """Extract the moments within units from those of all pairs."""
        window, units = moments.window, moments.units
        every = np.arange(units)
        gram = moments.gram.reshape(window, units, window, units)[:, every, :, every]
        cross = moments.cross.reshape(window, units, units)[:, every, every].T
        sum_x = moments.sum_x.reshape(window, units).T
        rows = np.full(units, float(moments.rows))
        return cls(gram, cross, np.diag(moments.square), sum_x, moments.sum_y, rows, rows)


def own_moments(process: OwnProcess, blocks: Sequence[Block], windows: Sequence[int]) -> dict[int, OwnMoments]:
    """Return moments by number of past frames, expected under a process where there are gaps.

    Frames after which, and before which, nothing of a unit is observed for a whole window say nothing about it and
    are left out of its sums.
    """
    units, span = process.units, max(*windows, process.lags)
    filled = [(z, seen, None if seen.all() else smooth_own(process, z, seen, span)) for z, seen in blocks]
    found = {}
    for window in windows:
        shapes = ((units, window, window), (units, window), (units,), (units, window), (units,), (units,), (units,))
        sums = [np.zeros(shape) for shape in shapes]
        for z, seen, smoothed in filled:
            if len(z) > window:
                values, covariance = (z, None) if smoothed is None else smoothed
                for total, part in zip(sums, _sums(values, seen, covariance, window), strict=True):
                    total += part
        found[window] = OwnMoments(*sums)
    return found


def _sums(z: np.ndarray, seen: np.ndarray, covariance: np.ndarray | None, window: int) -> tuple[np.ndarray, ...]:
    frames = len(z)
    count = np.concatenate([np.zeros((1, z.shape[1])), np.cumsum(seen, axis=0)])
    used = (count[window + 1 :] - count[: frames - window] > 0).astype(np.float64)
    x = np.stack([z[window - back : frames - back] for back in range(1, window + 1)], axis=2)
    y = z[window:]
    weighted = x * used[:, :, None]
    gram = np.einsum("tpi,tpj->pij", weighted, x, optimize=True)
    cross = np.einsum("tpi,tp->pi", weighted, y)
    square = (used * y**2).sum(axis=0)
    if covariance is not None:
        square += (used * covariance[0, window:]).sum(axis=0)
        for lag in range(1, window + 1):
            cross[:, lag - 1] += (used * covariance[lag, window:]).sum(axis=0)
            for other in range(lag, window + 1):
                more = (used * covariance[other - lag, window - lag : frames - lag]).sum(axis=0)
                gram[:, lag - 1, other - 1] += more
                if other > lag:
                    gram[:, other - 1, lag - 1] += more
    observed = seen[window:].sum(axis=0).astype(np.float64)
    return gram, cross, square, weighted.sum(axis=0), (used * y).sum(axis=0), used.sum(axis=0), observed


def smooth_own(
    process: OwnProcess, z: Float[np.ndarray, "t P"], seen: Bool[np.ndarray, "t P"], span: int
) -> tuple[Float[np.ndarray, "t P"], Float[np.ndarray, "d t P"]]:
    """Return values with the mean of each missing entry given the unit's observed ones, and covariances over time.

    Returns
    -------
    values
        [t, P].
    covariances
        [span + 1, t, P]: entry [d, t] of frame t with frame t - d; 0 where one of them was observed.
    """
    (frames, units), lags = z.shape, process.lags
    z = np.where(seen, z, 0.0)
    filters = np.concatenate([np.ones((1, units)), -process.coefficients])
    past = np.stack([z[lags - back : frames - back] for back in range(1, lags + 1)], axis=1)
    weighted = (z[lags:] - process.predict(past)) / process.variance
    padded = -(-frames // span) * span
    gradient, band = np.zeros((padded, units)), np.zeros((span + 1, padded, units))
    band[0, :lags] = 1.0
    for lag in range(lags + 1):
        gradient[lags - lag : frames - lag] += filters[lag] * weighted
        for other in range(lag + 1):
            # Frames t - lag and t - other of each prediction t: `lag - other` apart, the earlier one first.
            band[lag - other, lags - lag : frames - lag] += filters[lag] * filters[other] / process.variance
    missing = np.zeros((padded, units), bool)
    missing[:frames] = ~seen
    # Groups of `span` frames: [group, P, frame, frame].
    gone = missing.reshape(-1, span, units).transpose(0, 2, 1)
    slope = -gradient.reshape(-1, span, units).transpose(0, 2, 1)
    first, (i, j) = np.arange(0, padded, span)[:, None, None], np.indices((span, span))
    near = band[np.abs(i - j), first + np.minimum(i, j)].transpose(0, 3, 1, 2)
    diagonal = np.where(gone[..., None] & gone[:, :, None], near, np.eye(span) * ~gone[..., None])
    far = np.where((j <= i)[:, :, None], band[np.minimum(span + j - i, span), first + i], 0.0).transpose(0, 3, 1, 2)
    above = np.where(gone[:-1, :, :, None] & gone[1:, :, None], far[:-1], 0.0)
    means, within, across = block_tridiagonal_inverse(list(diagonal), list(above), list(np.where(gone, slope, 0.0)))
    mean = np.concatenate([group.T for group in means])[:frames]
    found = np.zeros((span + 1, frames, units))
    inside = np.stack(within)
    between = np.stack(across) if across else np.zeros((1, *within[0].shape))
    t = np.arange(frames)
    for apart in range(span + 1):
        now = t[apart:]
        group, same = now // span, now // span == (now - apart) // span
        here = inside[group, :, now % span, (now - apart) % span]
        there = between[np.maximum(group - 1, 0), :, (now - apart) % span, now % span]
        found[apart, apart:] = np.where(same[:, None], here, there) * (missing[now] & missing[now - apart])
    return np.where(seen, z, mean), found
