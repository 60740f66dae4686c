"""Gaps in autoregressions of single units: moments expected, and pasts filtered, for all units side by side.

The same as `connfit.evaluation.baselines.gap_moments` and `connfit.evaluation.baselines.gap_filter` with units that do
not know of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.gap_moments import block_tridiagonal_inverse
from connfit.evaluation.baselines.own_past import OwnMoments


@dataclass(frozen=True, eq=False)
class OwnProcess:
    """y(t) = c + Σ_l a_l y(t - l) + e(t) of every unit, on standardised values.

    Parameters
    ----------
    coefficients
        [L, P], lag 1 first.
    intercept, variance
        [P] c, and variance of e.
    """

    coefficients: Float[np.ndarray, "L P"]
    intercept: Float[np.ndarray, "P"]
    variance: Float[np.ndarray, "P"]

    def with_lags(self, lags: int) -> OwnProcess:
        """The same with more lags, whose coefficients are 0."""
        more = np.zeros((lags - len(self.coefficients), len(self.intercept)))
        return OwnProcess(np.concatenate([self.coefficients, more]), self.intercept, self.variance)


Block = tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]


def own_moments(process: OwnProcess | None, blocks: Sequence[Block], windows: Sequence[int]) -> dict[int, OwnMoments]:
    """Moments by number of past frames, expected under a process where there are gaps.

    Frames after which, and before which, nothing of a unit is observed for a whole window say nothing about it and
    are left out of its sums. Without a process, gaps count as 0.
    """
    parts = {window: [] for window in windows}
    for z, seen in blocks:
        covariance = None
        if process is not None and not seen.all():
            z, covariance = smooth_own(process, z, seen, max(max(windows), len(process.coefficients)))
        for window in windows:
            if len(z) > window:
                parts[window].append(_moments(z, seen, covariance, window))
    units = blocks[0][0].shape[1]
    result = {}
    for window, some in parts.items():
        nothing = [np.zeros(shape) for shape in ((units, window, window), (units, window), (units,), (units, window))]
        sums = [sum((one[k] for one in some), start) for k, start in enumerate([*nothing, *np.zeros((3, units))])]
        result[window] = OwnMoments(*sums)
    return result


def _moments(z: np.ndarray, seen: np.ndarray, covariance: np.ndarray | None, window: int) -> tuple[np.ndarray, ...]:
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
    """Values with the mean of each missing entry given the unit's observed ones, and covariances over time.

    Returns
    -------
    values
        [t, P].
    covariances
        [span + 1, t, P]: entry [d, t] of frame t with frame t - d; 0 where one of them was observed.
    """
    frames, units = z.shape
    lags = len(process.coefficients)
    z = np.where(seen, z, 0.0)
    filters = np.concatenate([np.ones((1, units)), -process.coefficients])
    error = z[lags:] - process.intercept
    for lag in range(1, lags + 1):
        error = error - process.coefficients[lag - 1] * z[lags - lag : frames - lag]
    weighted = error / process.variance
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
    groups = padded // span
    diagonal, above, right = [], [], []
    i, j = np.indices((span, span))
    for group in range(groups):
        first = group * span
        gone = missing[first : first + span].T
        block = band[np.abs(i - j), first + np.minimum(i, j)].transpose(2, 0, 1)
        pair = gone[:, :, None] & gone[:, None, :]
        diagonal.append(np.where(pair, block, 0.0) + np.eye(span) * ~gone[:, :, None])
        right.append(np.where(gone, -gradient[first : first + span].T, 0.0))
        if group + 1 < groups:
            apart = span + j - i
            block = np.where((apart <= span)[:, :, None], band[np.minimum(apart, span), first + i], 0.0)
            after = missing[first + span : first + 2 * span].T
            above.append(np.where(gone[:, :, None] & after[:, None, :], block.transpose(2, 0, 1), 0.0))
    means, within, across = block_tridiagonal_inverse(diagonal, above, right)
    mean = np.concatenate([one.T for one in means])[:frames]
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


class OwnFilter:
    """The last L frames of every unit as they are known from what was observed; covariances by unit.

    Parameters
    ----------
    process
        Of L lags.
    correlations
        [L, P] autocovariance of each unit at lags 0 ... L - 1, for frames before the first one.
    """

    def __init__(self, process: OwnProcess, correlations: Float[np.ndarray, "L P"]) -> None:
        self._process = process
        lags = np.arange(len(correlations))
        self._covariance = correlations[np.abs(lags[:, None] - lags)].transpose(2, 0, 1).copy()
        self.past: Float[np.ndarray, "L P"] = np.zeros(correlations.shape)
        self.certain = False

    def known(self, past: Float[np.ndarray, "L P"]) -> None:
        """Start again after L frames that were observed whole."""
        self.past, self._covariance, self.certain = past, np.zeros_like(self._covariance), True

    def gains(self, seen: Bool[np.ndarray, "P"]) -> Float[np.ndarray, "L P"]:
        """Go on by a frame, leaving the means as predicted: what the errors of observed units add to the new past."""
        a = self._process.coefficients.T
        through = (self._covariance @ a[:, :, None])[:, :, 0]
        spread = self._process.variance + (a * through).sum(axis=1)
        covariance = np.empty_like(self._covariance)
        covariance[:, 1:, 1:] = self._covariance[:, :-1, :-1]
        covariance[:, 0, 1:] = covariance[:, 1:, 0] = through[:, :-1]
        covariance[:, 0, 0] = spread
        gain = covariance[:, 0] / spread[:, None] * seen[:, None]
        covariance -= gain[:, :, None] * covariance[:, None, 0]
        # Exactly known, and not only up to rounding.
        covariance[seen, 0], covariance[seen, :, 0] = 0.0, 0.0
        self._covariance = covariance
        self.certain = not covariance.any()
        gain[:, 0] = 0.0
        return gain.T

    def advance(self, frame: Float[np.ndarray, "P"], seen: Bool[np.ndarray, "P"]) -> None:
        """Go on by a recorded frame."""
        if self.certain and seen.all():
            self.past = np.concatenate([frame[None], self.past[:-1]])
            return
        predicted = (self._process.coefficients * self.past).sum(axis=0) + self._process.intercept
        gain = self.gains(seen)
        self.past = np.concatenate([np.where(seen, frame, predicted)[None], self.past[:-1]])
        self.past = self.past + gain * np.where(seen, frame - predicted, 0.0)


def filtered_own_pasts(
    process: OwnProcess,
    correlations: Float[np.ndarray, "L P"],
    z: Float[np.ndarray, "t P"],
    seen: Bool[np.ndarray, "t P"],
) -> tuple[Float[np.ndarray, "t1 L P"], OwnFilter]:
    """The last L frames before each frame and after the last one, given the frames before; and the filter."""
    z = np.where(seen, z, 0.0)
    filter_ = OwnFilter(process, correlations)
    rows = np.empty((len(z) + 1, *correlations.shape))
    rows[0] = filter_.past
    for t in range(len(z)):
        filter_.advance(z[t], seen[t])
        rows[t + 1] = filter_.past
    return rows, filter_
