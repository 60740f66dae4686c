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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, eq=False)
class Process:
    """A vector autoregression on standardised values.

    Parameters
    ----------
    coefficients
        [lags * P, P], lag 1 first.
    intercept
        [P].
    covariance
        [P, P] of the innovations.
    """

    coefficients: Float[np.ndarray, "LP P"]
    intercept: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P P"]

    @property
    def units(self) -> int:
        """P."""
        return len(self.intercept)

    @property
    def lags(self) -> int:
        """L."""
        return len(self.coefficients) // self.units

    def with_lags(self, lags: int) -> Process:
        """The same with more lags, whose coefficients are 0."""
        more = np.zeros(((lags - self.lags) * self.units, self.units))
        return Process(np.concatenate([self.coefficients, more]), self.intercept, self.covariance)


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
        """The same about the means, as a regression with an intercept needs them."""
        n = max(self.rows, 1)
        return replace(
            self,
            gram=self.gram - np.outer(self.sum_x, self.sum_x) / n,
            cross=self.cross - np.outer(self.sum_x, self.sum_y) / n,
            square=self.square - np.outer(self.sum_y, self.sum_y) / n,
            inputs=None if self.inputs is None else self.inputs - self.sum_x / n,
        )

    def around(self, own: Float[np.ndarray, "W P"], constant: Float[np.ndarray, "P"]) -> Moments:
        """Moments of what is left of y without `own` times each unit's own past and the constant; `square` stays."""
        size = (len(self.gram), self.window, self.units)
        cross = self.cross - (self.gram.reshape(size) * own).sum(axis=1) - np.outer(self.sum_x, constant)
        taken = (self.sum_x.reshape(self.window, self.units) * own).sum(axis=0)
        return replace(self, cross=cross, sum_y=self.sum_y - taken - self.rows * constant)

    def changes(self) -> Moments:
        """The same for y(t - l) - y(t - l - 1), l = 1 ... W - 1, in the place of levels."""
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
        """Covariance of what the coefficients leave, shrunken towards its diagonal.

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
    """Moments of complete blocks of frames, or of blocks whose gaps are filled as they are."""
    units = blocks[0].shape[1]
    inputs = [lagged(z, window) for z in blocks if len(z) > window]
    targets = [z[window:] for z in blocks if len(z) > window]
    x = np.concatenate(inputs) if inputs else np.zeros((0, window * units))
    y = np.concatenate(targets) if targets else np.zeros((0, units))
    few = x if len(x) < x.shape[1] else None
    return Moments(x.T @ x, x.T @ y, y.T @ y, x.sum(axis=0), y.sum(axis=0), len(x), few)


def lagged(z: Float[np.ndarray, "t P"], lags: int) -> Float[np.ndarray, "r LP"]:
    """[t - lags, lags * P]: the frames 1 ... lags before each frame, newest first."""
    return np.concatenate([z[lags - back : len(z) - back] for back in range(1, lags + 1)], axis=1)


def expected_moments(
    process: Process,
    blocks: Sequence[tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]],
    windows: Sequence[int],
) -> dict[int, Moments]:
    """Moments of blocks of frames with gaps, expected under a process given all that was observed in each block.

    Parameters
    ----------
    process
        On the scale of the values, of at most max(windows) lags.
    blocks
        Standardised values, and which were observed. Before the first frames nothing is assumed but mean 0 and
        variance 1.
    windows
        W, the numbers of past frames in the moments.
    """
    widest = max(windows)
    filled: list[np.ndarray] = []
    totals = {window: _Covariances(process.units, window) for window in windows}
    for z, seen in blocks:
        if len(z) <= process.lags or seen.all():
            filled.append(z)
            continue
        mean, groups, entries = smooth(process, z, seen, max(widest, process.lags))
        filled.append(mean)
        for total in totals.values():
            total.add(groups, entries, len(z))
    found = {}
    for window, total in totals.items():
        moments, whole = moments_without_gaps(filled, window), total.assembled()
        if whole is not None:
            units = process.units
            moments = replace(
                moments,
                gram=moments.gram + whole[units:, units:],
                cross=moments.cross + whole[units:, :units],
                square=moments.square + whole[:units, :units],
                inputs=None,
            )
        found[window] = moments
    return found


Groups = tuple[list[np.ndarray], list[np.ndarray]]


def smooth(
    process: Process, z: Float[np.ndarray, "t P"], seen: Bool[np.ndarray, "t P"], group: int
) -> tuple[Float[np.ndarray, "t P"], Groups, list[tuple[np.ndarray, np.ndarray]]]:
    """Values with the mean of each missing entry given all observed ones, and the covariances of missing entries.

    Parameters
    ----------
    group
        Frames per group, at least the number of lags.

    Returns
    -------
    values
        [t, P].
    covariances
        Of the missing entries within each group of frames, and of each group with the next.
    entries
        Frame and unit of the missing entries of each group.
    """
    frames, units, lags = len(z), process.units, process.lags
    z = np.where(seen, z, 0.0)
    precision = np.linalg.inv(process.covariance)
    filters = np.concatenate([np.eye(units), -process.coefficients]).reshape(lags + 1, units, units)
    # Gradient of the energy where missing entries are 0.
    error = z[lags:] - process.intercept
    for lag in range(1, lags + 1):
        error = error - z[lags - lag : frames - lag] @ process.coefficients[(lag - 1) * units : lag * units]
    weighted = error @ precision
    gradient = np.zeros_like(z)
    for lag in range(lags + 1):
        gradient[lags - lag : frames - lag] += weighted @ filters[lag].T
    known: dict[tuple[int, int, int], np.ndarray] = {}
    scaled = filters @ precision

    def between(s: int, apart: int) -> np.ndarray:
        """Precision of frame s with frame s + apart."""
        low, high = max(apart, lags - s), min(lags, frames - 1 - s)
        key = (apart, low, high)
        if key not in known:
            known[key] = np.zeros((units, units)) + sum(
                scaled[lag] @ filters[lag - apart].T for lag in range(low, high + 1)
            )
        return known[key] + np.eye(units) if apart == 0 and s < lags else known[key]

    frame, unit = np.nonzero(~seen)
    bounds = np.searchsorted(frame, np.arange(0, frames + group, group))
    entries = [
        (frame[first:last], unit[first:last]) for first, last in pairwise(bounds)
    ]  # fmt: skip
    diagonal, above, right = [], [], []
    for number, (rows, of) in enumerate(entries):
        columns = entries[number + 1] if number + 1 < len(entries) else (np.zeros(0, int), np.zeros(0, int))
        diagonal.append(_precision_block(between, (rows, of), (rows, of), lags))
        above.append(_precision_block(between, (rows, of), columns, lags))
        right.append(-gradient[rows, of])
    means, within, across = block_tridiagonal_inverse(diagonal, above, right)
    filled = z.copy()
    for (rows, of), mean in zip(entries, means, strict=True):
        filled[rows, of] = mean
    return filled, (within, across), entries


def _precision_block(between, rows, columns, lags: int) -> np.ndarray:
    (s, p), (t, q) = rows, columns
    block = np.zeros((len(s), len(t)))
    if not block.size:
        return block
    first, starts = np.unique(s, return_index=True)
    other, others = np.unique(t, return_index=True)
    ends, other_ends = [*starts[1:], len(s)], [*others[1:], len(t)]
    for frame, a, b in zip(first, starts, ends, strict=True):
        for last, c, d in zip(other, others, other_ends, strict=True):
            apart = int(last - frame)
            if 0 <= apart <= lags:
                block[a:b, c:d] = between(int(frame), apart)[np.ix_(p[a:b], q[c:d])]
            elif -lags <= apart < 0:
                block[a:b, c:d] = between(int(last), -apart)[np.ix_(q[c:d], p[a:b])].T
    return block


def block_tridiagonal_inverse(
    diagonal: Sequence[Float[np.ndarray, "*b n n"]],
    above: Sequence[Float[np.ndarray, "*b n m"]],
    right: Sequence[Float[np.ndarray, "*b n"]],
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Solve a symmetric positive definite block tridiagonal system; also its inverse on the same blocks.

    Parameters
    ----------
    diagonal, above
        Blocks on the diagonal and right of it; the last of `above` is not used. Axes before the last two run along.
    right
        Right-hand side.
    """
    inverses, gains, values = [], [], []
    schur, carried = diagonal[0], right[0]
    for number in range(len(diagonal)):
        if number:
            schur = diagonal[number] - np.swapaxes(above[number - 1], -1, -2) @ gains[-1]
            carried = right[number] - (np.swapaxes(above[number - 1], -1, -2) @ values[-1][..., None])[..., 0]
        inverse = np.linalg.inv(schur)
        inverses.append((inverse + np.swapaxes(inverse, -1, -2)) / 2)
        values.append((inverses[-1] @ carried[..., None])[..., 0])
        if number + 1 < len(diagonal):
            gains.append(inverses[-1] @ above[number])
    within, across = [inverses[-1]], []
    solved = [values[-1]]
    for number in range(len(diagonal) - 2, -1, -1):
        back = -gains[number] @ within[0]
        across.insert(0, back)
        solved.insert(0, values[number] - (gains[number] @ solved[0][..., None])[..., 0])
        one = inverses[number] - back @ np.swapaxes(gains[number], -1, -2)
        within.insert(0, (one + np.swapaxes(one, -1, -2)) / 2)
    return solved, within, across


class _Covariances:
    """Sums of the covariances of missing entries over all windows of W + 1 frames."""

    def __init__(self, units: int, window: int) -> None:
        self._units, self._window = units, window
        self._everywhere: dict[int, np.ndarray] = {}
        self._edge: dict[tuple[int, int], np.ndarray] = {}

    def add(self, groups: Groups, entries: list[tuple[np.ndarray, np.ndarray]], frames: int) -> None:
        within, across = groups
        span = {}
        for number, (rows, of) in enumerate(entries):
            if not len(rows):
                continue
            first, starts = np.unique(rows, return_index=True)
            for frame, a, b in zip(first, starts, [*starts[1:], len(rows)], strict=True):
                span[int(frame)] = (number, slice(a, b), of[a:b])
        for frame, (number, at, of) in span.items():
            for apart in range(self._window + 1):
                if frame - apart not in span:
                    continue
                earlier, before, others = span[frame - apart]
                if earlier == number:
                    block = within[number][at, before]
                elif earlier + 1 == number:
                    block = across[earlier][before, at].T
                else:
                    continue
                low, high = max(0, self._window - frame), min(self._window - apart, frames - 1 - frame)
                where = np.ix_(of, others)
                if low == 0 and high == self._window - apart:
                    self._sum(self._everywhere, apart)[where] += block
                else:
                    for lag in range(low, high + 1):
                        self._sum(self._edge, (lag, apart))[where] += block

    def _sum(self, among: dict, key: object) -> np.ndarray:
        return among.setdefault(key, np.zeros((self._units, self._units)))

    def assembled(self) -> Float[np.ndarray, "n n"] | None:
        """[(W + 1) P, (W + 1) P], frame t first; None if there were no gaps."""
        if not self._everywhere and not self._edge:
            return None
        units, window = self._units, self._window
        whole = np.zeros(((window + 1) * units,) * 2)
        for lag in range(window + 1):
            for apart in range(window + 1 - lag):
                block = self._everywhere.get(apart, 0.0) + self._edge.get((lag, apart), 0.0)
                rows, columns = (slice(i * units, (i + 1) * units) for i in (lag, lag + apart))
                whole[rows, columns] = block
                whole[columns, rows] = np.transpose(block)
        return whole
