"""Second moments of single units with gaps, all units side by side: expected given all that was observed of each.

The same as `connfit.evaluation.baselines.gap_moments` with units that do not know of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.block_tridiagonal import Row, block_tridiagonal_inverse
from connfit.evaluation.baselines.gap_moments import Moments
from connfit.evaluation.baselines.processes import OwnProcess
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.evaluation.baselines.wide_moments import WideMoments
from connfit.recordings.frame_blocks import BLOCK_VALUES, frame_blocks


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
    def of(cls, moments: Moments | WideMoments) -> OwnMoments:
        """Extract the moments within units from those of all pairs."""
        gram, cross, square = moments.within_units()
        sum_x, rows = moments.sum_x.reshape(moments.window, -1).T, np.full(moments.units, float(moments.rows))
        return cls(gram, cross, square, sum_x, moments.sum_y, rows, rows)


def own_moments(process: OwnProcess, stretches: Sequence[Stretch], windows: Sequence[int]) -> dict[int, OwnMoments]:
    """Return moments by number of past frames, expected under a process where there are gaps.

    Frames after which, and before which, nothing of a unit is observed for a whole window say nothing about it and
    are left out of its sums.
    """
    units, span = process.units, max(*windows, process.lags)
    sums = {}
    for window in windows:
        shapes = ((units, window, window), (units, window), (units,), (units, window), (units,), (units,), (units,))
        sums[window] = [np.zeros(shape) for shape in shapes]

    def add(window: int, at: slice, z: np.ndarray, seen: np.ndarray, covariance: np.ndarray | None) -> None:
        if len(z) > window:
            for total, part in zip(sums[window], _sums(z, seen, covariance, window), strict=True):
                total[at] += part

    for stretch in stretches:
        if stretch.whole:
            for window in windows:
                for z, seen in stretch.blocks(window):
                    for at in _units_at_once(len(z), units, window):
                        add(window, at, z[:, at], seen[:, at], None)
            continue
        for at in _units_at_once(min(len(stretch), max(1, BLOCK_VALUES // units)), units, span):
            for frames, z, seen, covariance in smooth_own(process.of_units(at), stretch, at, span):
                for window in windows:
                    end = frames + window
                    add(window, at, z[:end], seen[:end], covariance[:, :end])
    return {window: OwnMoments(*totals) for window, totals in sums.items()}


def _units_at_once(frames: int, units: int, window: int) -> Iterator[slice]:
    """Units do not know of each other: as many at a time as keep what is made of their windows small."""
    return frame_blocks(0, units, -(-frames * window // 4))


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
    process: OwnProcess, stretch: Stretch, at: slice, span: int
) -> Iterator[tuple[int, Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"], Float[np.ndarray, "d t P"]]]:
    """Yield parts of a stretch, from the last to the first, with what is missing as it is expected.

    Parameters
    ----------
    process
        Of the units `at`.

    Yields
    ------
    frames
        In this part; up to `span` of the part after it follow them.
    values
        [t, P] with the mean of each missing entry given the unit's observed ones.
    seen
        [t, P].
    covariances
        [span + 1, t, P]: entry [d, t] of frame t with frame t - d; 0 where one of them was observed.
    """
    total, units, lags = len(stretch), process.units, process.lags
    filters = np.concatenate([np.ones((1, units)), -process.coefficients])
    count, most = -(-total // span), max(1, BLOCK_VALUES // stretch.units // span)

    @lru_cache(maxsize=2)
    def part(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frames, which were observed, and the system: [group, P, frame, frame] on the diagonal, right of it, [...]."""
        first, last = number * most * span, min((number + 1) * most * span, total)
        start, stop = max(0, first - lags), min(last + span + lags, total)
        z, seen = (each[:, at] for each in stretch.read(start, stop))
        z, frames = np.where(seen, z, 0.0), stop - start
        past = np.stack([z[lags - back : frames - back] for back in range(1, lags + 1)], axis=1)
        weighted = (z[lags:] - process.predict(past)) / process.variance
        # One more group than in this part, for what is right of the last one's diagonal.
        padded = (-(-(last - first) // span) + 1) * span
        room = (first - start) + max(padded, frames)
        gradient, band = np.zeros((room, units)), np.zeros((span + 1, room, units))
        if start == 0:
            band[0, :lags] = 1.0
        for lag in range(lags + 1):
            gradient[lags - lag : frames - lag] += filters[lag] * weighted
            for other in range(lag + 1):
                # Frames t - lag and t - other of each prediction t: `lag - other` apart, the earlier one first.
                band[lag - other, lags - lag : frames - lag] += filters[lag] * filters[other] / process.variance
        own = slice(first - start, first - start + padded)
        gradient, band = gradient[own], band[:, own]
        missing = np.zeros((padded, units), bool)
        inside = ~seen[own]
        missing[: len(inside)] = inside
        gone = missing.reshape(-1, span, units).transpose(0, 2, 1)
        slope = -gradient.reshape(-1, span, units).transpose(0, 2, 1)
        begin, (i, j) = np.arange(0, padded, span)[:, None, None], np.indices((span, span))
        near = band[np.abs(i - j), begin + np.minimum(i, j)].transpose(0, 3, 1, 2)
        diagonal = np.where(gone[..., None] & gone[:, :, None], near, np.eye(span) * ~gone[..., None])
        far = np.where((j <= i)[:, :, None], band[np.minimum(span + j - i, span), begin + i], 0.0).transpose(0, 3, 1, 2)
        above = np.where(gone[:-1, :, :, None] & gone[1:, :, None], far[:-1], 0.0)
        rest = slice(first - start, min(last + span, total) - start)
        return z[rest], seen[rest], missing, diagonal, above, np.where(gone, slope, 0.0)

    def row(number: int) -> Row:
        here = number % most
        _, _, _, diagonal, above, right = part(number // most)
        return diagonal[here], above[here], right[here]

    for solved in block_tridiagonal_inverse(count, row, most):
        z, seen, missing, *_ = part(solved.first // most)
        mean = np.concatenate([group.T for group in solved.values])[: len(z)]
        found = np.zeros((span + 1, len(z), units))
        inside = np.stack(solved.within)
        between = np.stack(solved.across) if solved.across else np.zeros((1, *inside[0].shape))
        t = np.arange(len(z))
        for apart in range(span + 1):
            now = t[apart:]
            group, same = now // span, now // span == (now - apart) // span
            here = inside[group, :, now % span, (now - apart) % span]
            there = between[np.maximum(group - 1, 0), :, (now - apart) % span, now % span]
            found[apart, apart:] = np.where(same[:, None], here, there) * (missing[now] & missing[now - apart])
        yield min(most * span, total - solved.first * span), np.where(seen, z, mean), seen, found
