"""What linear autoregressions of all units are fitted to and chosen on: scaled training frames with gaps filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.errors import DataError
from connfit.evaluation.baselines.blocks import named, tuning_blocks
from connfit.evaluation.baselines.gap_filter import filtered_pasts
from connfit.evaluation.baselines.gap_moments import Moments, Process, expected_moments, moments_without_gaps
from connfit.evaluation.baselines.ridge_path import RidgePath
from connfit.recordings import Recording

MIN_OBSERVED = 5
"""Training frames in which a unit must be observed; others are predicted not to change and predict no other unit."""

REFERENCE_LAGS = 2
"""Lags of the autoregression that fills gaps while choices are made."""

REFERENCE_STEPS = (4, 4)
"""Steps of expectation maximisation of it, before and after its penalties are chosen."""

REFINING_STEPS = 2
"""Steps of expectation maximisation of what was chosen."""

_BURN_IN = 60
"""Frames before the tuning block from which the filter starts: what was observed long before has no say."""


def unit_moments(
    values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"], Bool[np.ndarray, "P"]]:
    """Means (NaN if never observed), standard deviations (1 if constant) and which units were observed at all."""
    count = mask.sum(axis=0)
    x = np.where(mask, values, 0.0).astype(np.float64)
    means = np.where(count > 0, x.sum(axis=0) / np.maximum(count, 1), np.nan)
    spread = np.where(mask, x - np.nan_to_num(means), 0.0)
    stds = np.sqrt((spread**2).sum(axis=0) / np.maximum(count, 1))
    return means, np.where(stds > 1e-10 * np.abs(x).max(axis=0, initial=0.0), stds, 1.0), count > 0


def pooled_means(recordings: Sequence[Recording], units: Sequence[str]) -> Float[np.ndarray, "P"]:
    """Means of `units` over the training parts of all recordings that have them; NaN for a unit of none."""
    total, count = np.zeros(len(units)), np.zeros(len(units))
    for recording in recordings:
        own = [k for k, unit in enumerate(units) if unit in set(recording.units)]
        values, mask = recording.select_units([units[k] for k in own]).part("train")
        total[own] += np.where(mask, values, 0.0).sum(axis=0, dtype=np.float64)
        count[own] += mask.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def standardise(
    values: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
    means: Float[np.ndarray, "P"],
    stds: Float[np.ndarray, "P"],
) -> tuple[Float[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]:
    """Standardised values, 0 where there is none, and which were observed.

    A unit without a mean, which the training part never shows, counts as observed at 0 throughout.
    """
    known = np.isfinite(means)
    seen = mask & known
    z = np.where(seen, (np.where(seen, values, 0.0) - np.nan_to_num(means)) / stds, 0.0)
    return z, seen | ~known


@dataclass(frozen=True, eq=False)
class Problem:
    """What linear autoregressions of all units are fitted to and chosen on.

    Parameters
    ----------
    means, stds
        [P] of the training frames; NaN mean for a unit that they never show.
    fitted
        [P] True for units that are observed in enough frames.
    blocks
        Standardised training frames of each recording, and which were observed. Units that are not fitted are 0.
    moments
        By number of lags; expected under `reference` where there are gaps.
    reference
        The autoregression that fills gaps; None where there are none.
    x, y, weight
        [n, W * P], [n, P], [n, P] of the tuning block: the last W = max(lags) frames before each frame as they are
        known from the frames before (filtered by `reference`), the frame itself, and weights of squared errors,
        whose sum of products is the squared error in squared units of the values.
    count
        Entries of the tuning block.
    """

    recordings: Sequence[Recording]
    means: Float[np.ndarray, "P"]
    stds: Float[np.ndarray, "P"]
    fitted: Bool[np.ndarray, "P"]
    blocks: Sequence[tuple[np.ndarray, np.ndarray]]
    moments: Mapping[int, Moments]
    reference: Process | None
    x: Float[np.ndarray, "n X"]
    y: Float[np.ndarray, "n P"]
    weight: Float[np.ndarray, "n P"]
    count: int
    tuned_on: str

    @classmethod
    def of(cls, recordings: Sequence[Recording], lags: Sequence[int], what: str) -> Problem:
        """Cut, scale and, where there are gaps, fill.

        Raises
        ------
        DataError
            If there are too few training frames for `what` of any number of lags, or nothing to tune on.
        """
        train, tune, tuned_on = tuning_blocks(recordings)
        blocks, means, stds, fitted = _cut(recordings, train)
        frames = max(len(z) for z, _ in blocks)
        usable = sorted(lag for lag in set(lags) if sum(max(len(z) - lag, 0) for z, _ in blocks) >= 2)
        if not usable or not fitted.any():
            raise DataError(
                f"{named(recordings)}: {frames} training frames, with "
                f"{int(np.sum([seen.sum() for _, seen in blocks]) if fitted.any() else 0)} values observed in units "
                f"with {MIN_OBSERVED} or more, are too few for {what} of {min(lags)} lags"
            )
        problem = cls(
            recordings, means, stds, fitted, blocks, {}, None, np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)), 0,
            tuned_on,
        )  # fmt: skip
        gaps = not all(seen.all() for _, seen in blocks) or not all(
            (one.mask[max(0, first - usable[-1]) : last] | ~fitted).all()
            for one, (first, last) in zip(recordings, tune, strict=True)
        )
        if gaps:
            problem = replace(problem, reference=problem._reference(tune, min(REFERENCE_LAGS, usable[-1])))
        problem = problem._filled(usable)._tuned_on(tune, usable[-1])
        if not problem.count:
            raise DataError(f"{named(recordings)}: nothing was observed on which {what} could be tuned")
        return problem

    def on_whole_train(self, lags: int) -> Problem:
        """The same for all frames of the training parts."""
        whole = [one.require_parts().train for one in self.recordings]
        if tuning_blocks(self.recordings)[0] == whole:
            return self
        blocks, means, stds, fitted = _cut(self.recordings, whole)
        return replace(self, blocks=blocks, means=means, stds=stds, fitted=fitted)._filled([lags])

    def error(self, prediction: Float[np.ndarray, "n P"]) -> float:
        """Mean squared error on the tuning block, in squared units of the values; infinite where it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = float(np.sum(self.weight * (self.y - prediction) ** 2)) / max(self.count, 1)
        return error if np.isfinite(error) else np.inf

    def finish(self, solve: Solve, lags: int, steps: int = REFINING_STEPS) -> tuple[Process, Moments]:
        """Solve on the whole training parts; where there are gaps, by expectation maximisation from there."""
        whole = self.on_whole_train(lags)
        moments = whole.moments[lags]
        process = _process(moments, *solve(moments))
        if whole.reference is not None and not all(seen.all() for _, seen in whole.blocks):
            for _ in range(steps):
                moments = expected_moments(process, whole.blocks, [lags])[lags]
                process = _process(moments, *solve(moments))
        return process, moments

    def _filled(self, lags: Sequence[int]) -> Problem:
        if self.reference is None:
            moments = {lag: moments_without_gaps([z for z, _ in self.blocks], lag) for lag in lags}
        else:
            moments = expected_moments(self.reference, self.blocks, lags)
        return replace(self, moments=moments)

    def _tuned_on(self, tune: Sequence[tuple[int, int]], lags: int) -> Problem:
        xs, ys, weights = [], [], []
        for one, (first, last) in zip(self.recordings, tune, strict=True):
            near = max(0, first - lags)
            z, seen = self._standardised(one, near, last)
            if seen.all():
                past = np.concatenate([z[lags - 1 - back : len(z) - 1 - back] for back in range(lags)], axis=1)
                past = past[-(last - first) :] if last > first else past[:0]
            else:
                assert self.reference is not None
                start = max(0, first - _BURN_IN)
                z, seen = self._standardised(one, start, last)
                correlations = stationary(self.moments[min(self.moments)], lags)
                rows, _ = filtered_pasts(self.reference.with_lags(lags), correlations, z, seen)
                past = rows[first - start : -1]
            length = len(past)
            known = seen[len(seen) - length :] & self.fitted
            xs.append(past)
            ys.append(z[len(z) - length :])
            weights.append(np.where(known, self.stds**2, 0.0))
        weight = np.concatenate(weights)
        return replace(self, x=np.concatenate(xs), y=np.concatenate(ys), weight=weight, count=int((weight > 0).sum()))

    def _standardised(self, one: Recording, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        z, seen = standardise(one.values[first:last], one.mask[first:last], self.means, self.stds)
        return np.where(self.fitted, z, 0.0), seen | ~self.fitted

    def _reference(self, tune: Sequence[tuple[int, int]], lags: int) -> Process:
        """A ridge autoregression around persistence, by expectation maximisation from each unit's own decay."""
        decay = np.clip(own_decay(self.blocks), 0.0, 0.99)
        start = Process(np.diag(decay), np.zeros(len(decay)), np.diag(1 - decay**2))
        rows = max(1, sum(len(z) for z, _ in self.blocks))
        penalties = (rows, rows / 30)

        def improved(process: Process, steps: int, lags: int) -> Process:
            for _ in range(steps):
                process = _process(
                    *_around_persistence(expected_moments(process, self.blocks, [lags])[lags], penalties)
                )
            return process

        process = improved(improved(start, REFERENCE_STEPS[0] - 1, 1), 1, lags)
        here = replace(self, reference=process)._filled([lags])._tuned_on(tune, lags)
        if not here.count:
            return process
        moments = here.moments[lags]
        best = np.inf
        target = _centred_change(moments)
        path = RidgePath.of(target)
        means = target.sum_x / target.rows, target.sum_y / target.rows
        units = moments.units
        for alpha, alpha_own, one in path.predictions(here.x - means[0], _COARSE, _COARSE[:-2]):
            error = here.error(one + means[1] + here.x[:, :units])
            if error < best:
                best, penalties = error, (alpha, alpha_own)
        return improved(process, REFERENCE_STEPS[1], lags)


_COARSE = tuple(10.0 ** np.arange(0, 6))

Solve = Callable[[Moments], tuple[np.ndarray, np.ndarray]]
"""Coefficients and intercepts from moments."""


def _cut(
    recordings: Sequence[Recording], frames: Sequence[tuple[int, int]]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray, np.ndarray]:
    raw = [(one.values[slice(*block)], one.mask[slice(*block)]) for one, block in zip(recordings, frames, strict=True)]
    values, mask = (np.concatenate(each) for each in zip(*raw, strict=True))
    means, stds, _ = unit_moments(values, mask)
    fitted = mask.sum(axis=0) >= MIN_OBSERVED
    blocks = []
    for values, mask in raw:
        z, seen = standardise(values, mask, means, stds)
        blocks.append((np.where(fitted, z, 0.0), seen | ~fitted))
    return blocks, means, stds, fitted


def own_decay(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> Float[np.ndarray, "P"]:
    """Lag-1 autocorrelation of each unit over the pairs of frames that are both observed."""
    product = square = 0.0
    for z, seen in blocks:
        both = seen[1:] & seen[:-1]
        product = product + np.where(both, z[1:] * z[:-1], 0.0).sum(axis=0)
        square = square + np.where(both, z[:-1] ** 2, 0.0).sum(axis=0)
    return np.asarray(product / np.maximum(square, 1e-12))


def _centred_change(moments: Moments) -> Moments:
    own = np.zeros((moments.window, moments.units))
    own[0] = 1.0
    return moments.around(own, np.zeros(moments.units)).centred()


def _around_persistence(
    moments: Moments, penalties: tuple[float, float]
) -> tuple[Moments, Float[np.ndarray, "X P"], Float[np.ndarray, "P"]]:
    change = _centred_change(moments)
    b = RidgePath.of(change).solve(*penalties)
    intercept = (change.sum_y - change.sum_x @ b) / max(change.rows, 1)
    b[: moments.units] += np.eye(moments.units)
    return moments, b, intercept


def _process(moments: Moments, coefficients: np.ndarray, intercept: np.ndarray) -> Process:
    return Process(coefficients, intercept, moments.residual_covariance(coefficients, intercept))


def stationary(moments: Moments, lags: int) -> Float[np.ndarray, "L P"]:
    """Autocovariance of each unit at lags 0 ... L - 1 if its decay were geometric: of frames before a recording."""
    units = moments.units
    variance = np.diag(moments.gram)[:units] / max(moments.rows, 1)
    own = np.diag(moments.cross[:units]) / np.maximum(np.diag(moments.gram)[:units], 1e-12)
    own, variance = np.clip(own, 0.0, 0.999), np.where(variance > 0, variance, 1.0)
    return variance * own ** np.arange(lags)[:, None]


def edges(value: float, tried: Sequence[float]) -> bool:
    """Whether a choice is the smallest or the largest of those that were tried."""
    return len(tried) > 1 and value in (min(tried), max(tried))
