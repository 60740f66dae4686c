"""Second moments of frames with gaps: what least squares would need, expected given all that was observed.

A vector autoregression y(t) = c + Σ_l A_l y(t - l) + e(t), e ~ N(0, S), makes the frames of a block jointly normal,
with a precision matrix that joins only frames at most L apart. Given the observed entries, those that are missing are
normal with the part of that matrix which is theirs; grouped by L frames it is block tridiagonal, so that their means
and all covariances within L + 1 frames follow by one pass forward and one back (the blocks of an inverse: Takahashi,
Fagan & Chin 1973, 8th PICA; Rue & Held 2005, Gaussian Markov Random Fields, chapter 2). This is the Kalman smoother
of the companion form, on missing entries alone. With least squares on the expected moments it is expectation
maximisation (Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39:1). Without gaps the moments are the data's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.evaluation.baselines.block_tridiagonal import block_tridiagonal_inverse
from connfit.evaluation.baselines.processes import Process
from connfit.evaluation.baselines.unit_scaling import Block


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over frames t of the products of x(t) = [y(t - 1), ..., y(t - W)] and y(t).

    Parameters
    ----------
    gram
        [W P, W P] Σ x x'.
    cross
        [W P, P] Σ x y'.
    square
        [P, P] Σ y y'.
    sum_x, sum_y
        [W P], [P] Σ x and Σ y.
    rows
        Number of frames.
    inputs
        [r, W P] x itself, where nothing was missing and frames are fewer than inputs: the shorter way to its spectrum.
    """

    gram: Float[np.ndarray, "X X"]
    cross: Float[np.ndarray, "X P"]
    square: Float[np.ndarray, "P P"]
    sum_x: Float[np.ndarray, "X"]
    sum_y: Float[np.ndarray, "P"]
    rows: int
    inputs: Float[np.ndarray, "r X"] | None = None

    @property
    def units(self) -> int:
        """P."""
        return len(self.sum_y)

    @property
    def window(self) -> int:
        """W."""
        return len(self.sum_x) // self.units

    def centred(self) -> Moments:
        """Return the same about the means, as a regression with an intercept needs them."""
        n = max(self.rows, 1)
        return replace(
            self,
            gram=self.gram - np.outer(self.sum_x, self.sum_x) / n,
            cross=self.cross - np.outer(self.sum_x, self.sum_y) / n,
            square=self.square - np.outer(self.sum_y, self.sum_y) / n,
            inputs=None if self.inputs is None else self.inputs - self.sum_x / n,
        )

    def around(self, own: Float[np.ndarray, "W P"], constant: Float[np.ndarray, "P"]) -> Moments:
        """Return moments of what is left of y without `own` times each unit's past and the constant; `square` stays."""
        size = (len(self.gram), self.window, self.units)
        cross = self.cross - (self.gram.reshape(size) * own).sum(axis=1) - np.outer(self.sum_x, constant)
        taken = (self.sum_x.reshape(self.window, self.units) * own).sum(axis=0)
        return replace(self, cross=cross, sum_y=self.sum_y - taken - self.rows * constant)

    def around_persistence(self) -> Moments:
        """Return moments of the change y(t) - y(t - 1) in the place of y."""
        own = np.zeros((self.window, self.units))
        own[0] = 1.0
        return self.around(own, np.zeros(self.units))

    def changes(self) -> Moments:
        """Return the same for y(t - l) - y(t - l - 1), l = 1 ... W - 1, in the place of levels."""
        window, units = self.window, self.units
        gram = self.gram.reshape(window, units, window, units)
        gram = gram[:-1] - gram[1:]
        gram = gram[:, :, :-1] - gram[:, :, 1:]
        size = (window - 1) * units
        return replace(
            self,
            gram=gram.reshape(size, size),
            cross=self.cross[:size] - self.cross[units:],
            sum_x=self.sum_x[:size] - self.sum_x[units:],
            inputs=None if self.inputs is None else self.inputs[:, :size] - self.inputs[:, units:],
        )

    def residual_covariance(self, coefficients: np.ndarray, intercept: np.ndarray) -> Float[np.ndarray, "P P"]:
        """Return the covariance of what the coefficients leave, shrunken towards its diagonal.

        By P / (P + rows), as under an inverse Wishart prior with P degrees of freedom: of fewer frames than units
        alone it would be singular.
        """
        b = coefficients
        used = len(b)
        gram, cross, sum_x = self.gram[:used, :used], self.cross[:used], self.sum_x[:used]
        half = b.T @ cross
        mean = self.sum_y - b.T @ sum_x
        spread = self.square - half - half.T + b.T @ gram @ b
        spread += self.rows * np.outer(intercept, intercept) - np.outer(mean, intercept) - np.outer(intercept, mean)
        spread = spread / max(self.rows, 1)
        own = np.maximum(np.diag(spread), LEAST_VARIANCE)
        share = self.units / (self.units + self.rows)
        return (1 - share) * (spread + spread.T) / 2 + np.diag(own - (1 - share) * np.diag(spread))


LEAST_VARIANCE = 1e-6
"""Least variance of an innovation, on units of variance 1."""


def moments_without_gaps(blocks: Sequence[Float[np.ndarray, "t P"]], window: int) -> Moments:
    """Return moments of complete blocks of frames, or of blocks whose gaps are filled as they are."""
    units = blocks[0].shape[1]
    inputs = [lagged(z, window) for z in blocks if len(z) > window]
    targets = [z[window:] for z in blocks if len(z) > window]
    x = np.concatenate(inputs) if inputs else np.zeros((0, window * units))
    y = np.concatenate(targets) if targets else np.zeros((0, units))
    few = x if len(x) < x.shape[1] else None
    return Moments(x.T @ x, x.T @ y, y.T @ y, x.sum(axis=0), y.sum(axis=0), len(x), few)


def lagged(z: Float[np.ndarray, "t P"], lags: int) -> Float[np.ndarray, "r LP"]:
    """Return [t - lags, lags * P], the frames 1 ... lags before each frame, newest first."""
    return np.concatenate([z[lags - back : len(z) - back] for back in range(1, lags + 1)], axis=1)


def expected_moments(process: Process, blocks: Sequence[Block], windows: Sequence[int]) -> dict[int, Moments]:
    """Return moments of blocks of frames with gaps, expected under a process given all that was observed in each block.

    Parameters
    ----------
    process
        On the scale of the values, of at most max(windows) lags.
    blocks
        Before the first frames nothing is assumed but mean 0 and variance 1.
    windows
        W, the numbers of past frames in the moments.
    """
    widest, units = max(*windows, process.lags), process.units
    filled = []
    totals = {window: np.zeros((window + 1, units, window + 1, units)) for window in windows}
    for z, seen in blocks:
        if len(z) <= process.lags or seen.all():
            filled.append(z)
            continue
        mean, covariance, missing = smooth(process, z, seen, widest)
        filled.append(mean)
        for total in totals.values():
            _add_covariances(total, covariance, missing)
    found = {}
    for window, total in totals.items():
        moments, whole = moments_without_gaps(filled, window), total.reshape(((window + 1) * units,) * 2)
        if whole.any():
            moments = replace(
                moments,
                gram=moments.gram + whole[units:, units:],
                cross=moments.cross + whole[units:, :units],
                square=moments.square + whole[:units, :units],
                inputs=None,
            )
        found[window] = moments
    return found


Covariance = Callable[[int, int], Float[np.ndarray, "m n"]]
"""Of the missing entries of a frame with those of an earlier one, at most W frames before it."""


def _add_covariances(
    total: Float[np.ndarray, "W1 P W1 P"], covariance: Covariance, missing: Sequence[Int[np.ndarray, "m"]]
) -> None:
    """Add the sums of the covariances over all windows of W + 1 frames; the newest frame comes first."""
    window, frames = len(total) - 1, len(missing)
    for frame, entries in enumerate(missing):
        for apart in range(min(window, frame) + 1) if len(entries) else ():
            if not len(before := missing[frame - apart]):
                continue
            block, at = covariance(frame, frame - apart), np.ix_(entries, before)
            for lag in range(max(0, window - frame), min(window - apart, frames - 1 - frame) + 1):
                total[lag, :, lag + apart][at] += block
                if apart:
                    total[lag + apart, :, lag][at[::-1]] += block


def smooth(
    process: Process, z: Float[np.ndarray, "t P"], seen: Bool[np.ndarray, "t P"], group: int
) -> tuple[Float[np.ndarray, "t P"], Covariance, list[Int[np.ndarray, "m"]]]:
    """Return values with the mean of each missing entry given all observed ones, and missing entries' covariances.

    Parameters
    ----------
    group
        Frames per group, at least the number of lags: covariances are found within a group and with the one before.

    Returns
    -------
    values
        [t, P].
    covariance
        See `Covariance`, with W = `group`.
    missing
        Units that are missing in each frame.
    """
    frames, units, lags = len(z), process.units, process.lags
    z = np.where(seen, z, 0.0)
    precision = np.linalg.inv(process.covariance)
    filters = np.concatenate([np.eye(units), -process.coefficients]).reshape(lags + 1, units, units)
    # Gradient of the energy where missing entries are 0.
    weighted = (z[lags:] - process.predict(lagged(z, lags).reshape(-1, lags, units))) @ precision
    gradient = np.zeros_like(z)
    for lag in range(lags + 1):
        gradient[lags - lag : frames - lag] += weighted @ filters[lag].T
    known: dict[tuple[int, int, int], np.ndarray] = {}
    scaled = filters @ precision
    missing = [np.flatnonzero(~frame) for frame in seen]

    def between(s: int, t: int) -> Float[np.ndarray, "m n"]:
        """Precision of the missing entries of two frames."""
        if s > t:
            return between(t, s).T
        apart = t - s
        if apart > lags or not len(missing[s]) or not len(missing[t]):
            return np.zeros((len(missing[s]), len(missing[t])))
        key = (apart, max(apart, lags - s), min(lags, frames - 1 - s))
        if key not in known:
            terms = [scaled[lag] @ filters[lag - apart].T for lag in range(key[1], key[2] + 1)]
            known[key] = sum(terms, np.zeros((units, units)))
        whole = known[key] + np.eye(units) if apart == 0 and s < lags else known[key]
        return whole[np.ix_(missing[s], missing[t])]

    def block(rows: range, columns: range) -> Float[np.ndarray, "m n"]:
        if not columns:
            return np.zeros((sum(len(missing[s]) for s in rows), 0))
        return np.block([[between(s, t) for t in columns] for s in rows])

    groups = [range(first, min(first + group, frames)) for first in range(0, frames, group)]
    diagonal = [block(rows, rows) for rows in groups]
    above = [block(rows, columns) for rows, columns in zip(groups, [*groups[1:], range(0)], strict=True)]
    at = np.concatenate([[0], np.cumsum([len(entries) for entries in missing])])
    right = np.split(-gradient[~seen], at[[rows.start for rows in groups[1:]]])
    means, within, across = block_tridiagonal_inverse(diagonal, above, right)
    filled = z.copy()
    filled[~seen] = np.concatenate(means)

    def entries_of(frame: int) -> slice:
        first = at[groups[frame // group].start]
        return slice(at[frame] - first, at[frame + 1] - first)

    def covariance(frame: int, before: int) -> Float[np.ndarray, "m n"]:
        number, rows, columns = frame // group, entries_of(frame), entries_of(before)
        if before // group == number:
            return within[number][rows, columns]
        return across[number - 1][columns, rows].T

    return filled, covariance, missing
