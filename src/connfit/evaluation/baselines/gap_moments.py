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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from connfit.evaluation.baselines.block_tridiagonal import Row, Solved, block_tridiagonal_inverse
from connfit.evaluation.baselines.processes import Process
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.recordings.frame_blocks import BLOCK_VALUES


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

    def first(self, lags: int) -> Moments:
        """Return the same for the first lags alone."""
        size = lags * self.units
        # With fewer inputs than frames, the Gram matrix is the shorter way to the spectrum.
        inputs = None if self.inputs is None or size < self.rows else self.inputs[:, :size]
        gram, cross, sum_x = self.gram[:size, :size], self.cross[:size], self.sum_x[:size]
        return replace(self, gram=gram, cross=cross, sum_x=sum_x, inputs=inputs)

    def within_units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gram [P, W, W], cross [P, W] and square [P] of single units."""
        every = np.arange(self.units)
        gram = self.gram.reshape(self.window, self.units, self.window, self.units)[:, every, :, every]
        cross = self.cross.reshape(self.window, self.units, self.units)[:, every, every].T
        return gram, cross, np.diag(self.square)

    def spectrum(self) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "X k"]]:
        """Return eigenvalues and eigenvectors of the Gram matrix; of few frames, those that are not 0."""
        if self.inputs is not None:
            _, s, vt = np.linalg.svd(self.inputs, full_matrices=False)
            return s**2, vt.T
        lam, u = np.linalg.eigh(self.gram)
        return np.maximum(lam, 0.0), u

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


class MomentSums:
    """Sums up moments of blocks of frames.

    Parameters
    ----------
    window, units
        W and P.
    rows
        How many there will be; with fewer than inputs these are kept.
    """

    def __init__(self, window: int, units: int, rows: int) -> None:
        self._window, self._units = window, units
        self._kept: list[np.ndarray] | None = [] if rows < window * units else None
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        size = window * units
        self._sums = [np.zeros(shape) for shape in ((size, size), (size, units), (units, units), size, units)]
        self._rows = 0

    def add(self, z: Float[np.ndarray, "t P"]) -> None:
        """Add all windows of consecutive frames."""
        if len(z) <= self._window:
            return
        if sum(len(y) for _, y in self._held) + len(z) > max(1, BLOCK_VALUES // self._units):
            self._flush()
        self._held.append((lagged(z, self._window), z[self._window :]))

    def _flush(self) -> None:
        if not self._held:
            return
        x, y = (np.concatenate(each) for each in zip(*self._held, strict=True))
        for total, more in zip(self._sums, (x.T @ x, x.T @ y, y.T @ y, x.sum(axis=0), y.sum(axis=0)), strict=True):
            total += more
        self._rows, self._held = self._rows + len(x), []
        if self._kept is not None:
            self._kept.append(x)

    def moments(self) -> Moments:
        """Return what was added."""
        self._flush()
        inputs = None if not self._kept else np.concatenate(self._kept)
        gram, cross, square, sum_x, sum_y = self._sums
        return Moments(gram, cross, square, sum_x, sum_y, self._rows, inputs)


def moments_without_gaps(stretches: Sequence[Stretch], window: int) -> Moments:
    """Return moments of complete stretches of frames."""
    sums = MomentSums(window, stretches[0].units, rows_of(stretches, window))
    for stretch in stretches:
        for z, _ in stretch.blocks(window):
            sums.add(z)
    return sums.moments()


def rows_of(stretches: Sequence[Stretch], window: int) -> int:
    """Count the frames with a whole window before them."""
    return sum(max(len(stretch) - window, 0) for stretch in stretches)


def lagged(z: Float[np.ndarray, "t P"], lags: int) -> Float[np.ndarray, "r LP"]:
    """Return [t - lags, lags * P], the frames 1 ... lags before each frame, newest first."""
    return np.concatenate([z[lags - back : len(z) - back] for back in range(1, lags + 1)], axis=1)


def expected_moments(process: Process, stretches: Sequence[Stretch], windows: Sequence[int]) -> dict[int, Moments]:
    """Return moments of stretches with gaps, expected under a process given all that was observed in each stretch.

    Parameters
    ----------
    process
        On the scale of the values, of at most max(windows) lags.
    stretches
        Before the first frames nothing is assumed but mean 0 and variance 1.
    windows
        W, the numbers of past frames in the moments.
    """
    widest, units = max(*windows, process.lags), process.units
    totals = {window: np.zeros((window + 1, units, window + 1, units)) for window in windows}
    sums = {window: MomentSums(window, units, rows_of(stretches, window)) for window in windows}
    for stretch in stretches:
        if len(stretch) <= process.lags or stretch.whole:
            for window in windows:
                for z, _ in stretch.blocks(window):
                    sums[window].add(z)
            continue
        after = np.zeros((0, units))
        for part in smooth(process, stretch, widest):
            filled = np.concatenate([part.values, after])
            for window in windows:
                sums[window].add(filled[: len(part.values) + window])
                part.add_covariances(totals[window])
            after = filled[:widest]
    found = {}
    for window, total in totals.items():
        moments, whole = sums[window].moments(), total.reshape(((window + 1) * units,) * 2)
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


@dataclass(frozen=True, eq=False)
class SmoothedPart:
    """Some frames of a stretch, given all that was observed in the stretch.

    Parameters
    ----------
    solved
        Means and covariances of missing entries, in groups of frames.
    group
        Frames in a group.
    frames
        In the stretch.
    values
        [t, P] with the mean of each missing entry.
    missing
        Units that are missing in each frame, and in those of the group after these frames.
    """

    solved: Solved
    group: int
    frames: int
    values: Float[np.ndarray, "t P"]
    missing: Sequence[Int[np.ndarray, "m"]]

    def add_covariances(self, total: Float[np.ndarray, "W1 P W1 P"]) -> None:
        """Add the sums, over all windows of W + 1 frames, of the covariances of these frames with later ones.

        The newest frame of a window comes first.
        """
        window, first = len(total) - 1, self.solved.first * self.group
        for earlier in range(len(self.values)):
            before = self.missing[earlier]
            for frame in range(earlier, min(earlier + window + 1, len(self.missing))) if len(before) else ():
                if not len(entries := self.missing[frame]):
                    continue
                apart, block, at = frame - earlier, self._covariance(frame, earlier), np.ix_(entries, before)
                lags = range(max(0, window - first - frame), min(window - apart, self.frames - 1 - first - frame) + 1)
                for lag in lags:
                    total[lag, :, lag + apart][at] += block
                    if apart:
                        total[lag + apart, :, lag][at[::-1]] += block

    def _covariance(self, frame: int, before: int) -> Float[np.ndarray, "m n"]:
        """Of the missing entries of a frame with those of an earlier one, at most a group before it."""
        number, rows, columns = frame // self.group, self._entries_of(frame), self._entries_of(before)
        if before // self.group == number:
            return self.solved.within[number][rows, columns]
        return self.solved.across[number - 1][columns, rows].T

    def _entries_of(self, frame: int) -> slice:
        start = sum(len(entries) for entries in self.missing[frame // self.group * self.group : frame])
        return slice(start, start + len(self.missing[frame]))


def smooth(process: Process, stretch: Stretch, group: int) -> Iterator[SmoothedPart]:
    """Yield a stretch in parts, from the last to the first.

    Parameters
    ----------
    group
        Frames per group, at least the number of lags: covariances are found within a group and with the one before.
    """
    frames, units, lags = len(stretch), process.units, process.lags
    precision = np.linalg.inv(process.covariance)
    filters = np.concatenate([np.eye(units), -process.coefficients]).reshape(lags + 1, units, units)
    known: dict[tuple[int, int, int], np.ndarray] = {}
    scaled = filters @ precision
    count, most = -(-frames // group), max(1, BLOCK_VALUES // units // group)

    @lru_cache(maxsize=2)
    def part(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """Values, where they were observed, gradient of the energy where missing entries are 0, and missing units."""
        first, last = number * most * group, min((number + 1) * most * group, frames)
        start = max(0, first - lags)
        z, seen = stretch.read(start, min(last + lags, frames))
        z = np.where(seen, z, 0.0)
        weighted = (z[lags:] - process.predict(lagged(z, lags).reshape(-1, lags, units))) @ precision
        gradient = np.zeros_like(z)
        for lag in range(lags + 1):
            gradient[lags - lag : len(z) - lag] += weighted @ filters[lag].T
        at = slice(first - start, last - start)
        return z[at], seen[at], gradient[at], [np.flatnonzero(~frame) for frame in seen[at]]

    def missing(frame: int) -> np.ndarray:
        return part(frame // (most * group))[3][frame % (most * group)]

    def between(s: int, t: int) -> Float[np.ndarray, "m n"]:
        """Precision of the missing entries of two frames, the earlier one first."""
        apart, rows, columns = t - s, missing(s), missing(t)
        if apart > lags or not len(rows) or not len(columns):
            return np.zeros((len(rows), len(columns)))
        key = (apart, max(apart, lags - s), min(lags, frames - 1 - s))
        if key not in known:
            terms = [scaled[lag] @ filters[lag - apart].T for lag in range(key[1], key[2] + 1)]
            known[key] = sum(terms, np.zeros((units, units)))
        whole = known[key] + np.eye(units) if apart == 0 and s < lags else known[key]
        return whole[np.ix_(rows, columns)]

    def block(rows: range, columns: range) -> Float[np.ndarray, "m n"]:
        return np.block([[between(s, t) if s <= t else between(t, s).T for t in columns] for s in rows])

    def of_group(number: int) -> range:
        return range(number * group, min((number + 1) * group, frames))

    def row(number: int) -> Row:
        rows = of_group(number)
        _, seen, gradient, _ = part(number // most)
        at = slice(rows.start - number // most * most * group, rows.stop - number // most * most * group)
        above = block(rows, of_group(number + 1)) if number + 1 < count else None
        return block(rows, rows), above, -gradient[at][~seen[at]]

    for solved in block_tridiagonal_inverse(count, row, most):
        z, seen, _, gone = part(solved.first // most)
        values, after = z.copy(), solved.first + most
        values[~seen] = np.concatenate(solved.values[: min(most, count - solved.first)])
        more = [missing(frame) for frame in of_group(after)] if after < count else []
        yield SmoothedPart(solved, group, frames, values, [*gone, *more])
