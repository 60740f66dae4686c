"""What linear autoregressions of all units are fitted to and chosen on: scaled training frames with gaps filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view

from connfit.errors import DataError
from connfit.evaluation.baselines.choosing import least, named, training_blocks, tuning_blocks
from connfit.evaluation.baselines.gap_filter import filtered_pasts
from connfit.evaluation.baselines.gap_moments import Moments, expected_moments, moments_without_gaps, rows_of
from connfit.evaluation.baselines.own_past import TO_PERSISTENCE
from connfit.evaluation.baselines.processes import LowRank, Process, WideProcess
from connfit.evaluation.baselines.ridge_path import RidgeChoice, ridge_candidates
from connfit.evaluation.baselines.unit_scaling import Block, Scaling, Stretch, added
from connfit.evaluation.baselines.wide_moments import MOST_DECOMPOSED, MOST_INPUTS, WideMoments
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import frame_blocks

MIN_OBSERVED = 5
"""Training frames in which a unit must be observed; others are predicted not to change and predict no other unit."""

REFERENCE_LAGS = 2
"""Lags of the autoregression that fills gaps while choices are made."""

REFERENCE_STEPS = (4, 4)
"""Steps of expectation maximisation of it, before and after its penalties are chosen."""

REFINING_STEPS = 2
"""Steps of expectation maximisation of what was chosen."""

BURN_IN = 60
"""Frames before the tuning block from which the filter starts: what was observed long before has no say."""

_COARSE = tuple(10.0 ** np.arange(0, 6))

Solve = Callable[[Moments | WideMoments], tuple[Float[np.ndarray, "X P"] | LowRank, Float[np.ndarray, "P"]]]
"""Coefficients and intercepts from moments."""

Predict = Callable[[Float[np.ndarray, "n W P"]], Iterable[Float[np.ndarray, "n P"]]]
"""Predictions of each of several candidates from past frames."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What linear autoregressions of all units are fitted to and chosen on.

    Parameters
    ----------
    scaling
        Of the training frames.
    fitted
        [P] True for units that are observed in enough frames.
    stretches
        Training frames of each recording. Units that are not fitted are 0.
    tuned_on
        What the tuning block is called.
    reference
        The autoregression that fills gaps; None where there are none.
    moments
        By number of lags; expected under `reference` where there are gaps.
    x, y, weight
        [n, W, P], [n, P], [n, P] of the tuning block: the last W = max(lags) frames before each frame as they are
        known from the frames before (filtered by `reference`), the frame itself, and weights of squared errors,
        whose sum of products is the squared error in squared units of the values.
    """

    recordings: Sequence[Recording]
    scaling: Scaling
    fitted: Bool[np.ndarray, "P"]
    stretches: Sequence[Stretch]
    tuned_on: str
    reference: Process | None = None
    moments: Mapping[int, Moments | WideMoments] = field(default_factory=dict)
    x: Float[np.ndarray, "n W P"] = field(default_factory=lambda: np.zeros((0, 0, 0)))
    y: Float[np.ndarray, "n P"] = field(default_factory=lambda: np.zeros((0, 0)))
    weight: Float[np.ndarray, "n P"] = field(default_factory=lambda: np.zeros((0, 0)))

    @cached_property
    def count(self) -> int:
        """Entries of the tuning block."""
        return int(np.count_nonzero(self.weight))

    @classmethod
    def of(cls, recordings: Sequence[Recording], lags: Sequence[int], what: str) -> Problem:
        """Cut and scale a recording and fill its gaps.

        Raises
        ------
        DataError
            If there are too few training frames for `what` of any number of lags, or nothing to tune on.
        """
        train, tune, tuned_on = tuning_blocks(recordings)
        problem = cls(recordings, *_cut(recordings, train), tuned_on)
        stretches, fitted = problem.stretches, problem.fitted
        usable = sorted(lag for lag in set(lags) if rows_of(stretches, lag) >= 2)
        if not usable or not fitted.any():
            observed = sum(int(seen.sum()) for stretch in stretches for _, seen in stretch.blocks())
            raise DataError(
                f"{named(recordings)}: {max(map(len, stretches))} training frames, with "
                f"{observed if fitted.any() else 0} values observed in units "
                f"with {MIN_OBSERVED} or more, are too few for {what} of {min(lags)} lags"
            )
        gaps = not all(stretch.whole for stretch in stretches) or not all(
            (recording.mask[max(0, first - usable[-1]) : last] | ~fitted).all()
            for recording, (first, last) in zip(recordings, tune, strict=True)
        )
        problem._check_size(usable, gaps=gaps, what=what)
        if gaps:
            problem = replace(problem, reference=problem._reference(tune, min(REFERENCE_LAGS, usable[-1])))
        problem = problem._filled(usable)._tuned_on(tune, usable[-1])
        if not problem.count:
            raise DataError(f"{named(recordings)}: nothing was observed on which {what} could be tuned")
        return problem

    def _check_size(self, lags: Sequence[int], *, gaps: bool, what: str) -> None:
        """Raise an error where the matrix to be decomposed is too large; with gaps it is that of all inputs."""
        units = len(self.fitted)
        sizes = {lag: lag * units if gaps else min(lag * units, rows_of(self.stretches, lag)) for lag in lags}
        size = max(sizes.values())
        if size <= MOST_DECOMPOSED:
            return
        fitting = [lag for lag, of in sizes.items() if of <= MOST_DECOMPOSED]
        raise DataError(
            f"{named(self.recordings)}: {what} of {max(lags)} lags of {units:,} units, "
            f"{'with gaps' if gaps else f'in {rows_of(self.stretches, 1):,} frames'}, has to decompose matrices of "
            f"{size:,} rows, several of {8 * size**2 / 1e9:.1f} GB, which takes hours: the limit is "
            f"{MOST_DECOMPOSED:,} rows",
            fix=f"Name no lag above {max(fitting)} in evaluate.var_lags"
            if fitting
            else f"{'Fill the gaps, fit' if gaps else 'Fit'} fewer units, or leave it out of evaluate.baselines",
        )

    def on_whole_train(self, lags: int) -> Problem:
        """Return the same for all frames of the training parts."""
        whole = training_blocks(self.recordings)
        if tuning_blocks(self.recordings)[0] == whole:
            return self
        scaling, fitted, stretches = _cut(self.recordings, whole)
        return replace(self, stretches=stretches, scaling=scaling, fitted=fitted)._filled([lags])

    def errors(self, predict: Predict) -> list[float]:
        """Return the MSE of each candidate on the tuning block, in squared units; infinite where it overflows."""
        total: np.ndarray | float = 0.0
        n, lags, units = self.x.shape
        # Of many units at least some hundred frames: a block costs a pass over all coefficients.
        for at in frame_blocks(0, n, min(lags * units, 1_024)):
            with np.errstate(over="ignore", invalid="ignore"):
                each = [np.sum(self.weight[at] * (self.y[at] - prediction) ** 2) for prediction in predict(self.x[at])]
                total = total + np.array(each)
        errors = np.atleast_1d(total) / max(self.count, 1)
        return [float(error) if np.isfinite(error) else np.inf for error in errors]

    def finish(self, solve: Solve, lags: int) -> tuple[Process | WideProcess, Moments | WideMoments]:
        """Solve on the whole training parts; where there are gaps, by expectation maximisation from there."""
        whole = self.on_whole_train(lags)
        moments = whole.moments[lags]
        process = _process(moments, *solve(moments))
        if whole.reference is not None and not all(stretch.whole for stretch in whole.stretches):
            for _ in range(REFINING_STEPS):
                assert isinstance(process, Process), "with gaps no frames stand for their moments"
                moments = expected_moments(process, whole.stretches, [lags])[lags]
                process = _process(moments, *solve(moments))
        return process, moments

    def _filled(self, lags: Sequence[int]) -> Problem:
        if self.reference is None:
            moments = {lag: self._moments(lag) for lag in lags}
        else:
            moments = expected_moments(self.reference, self.stretches, lags)
        return replace(self, moments=moments)

    def _moments(self, lags: int) -> Moments | WideMoments:
        inputs = lags * len(self.fitted)
        if inputs > MOST_INPUTS and rows_of(self.stretches, lags) < inputs:
            return WideMoments.of(self.stretches, lags)
        return moments_without_gaps(self.stretches, lags)

    def _tuned_on(self, tune: Sequence[tuple[int, int]], lags: int) -> Problem:
        parts = []
        for recording, (first, last) in zip(self.recordings, tune, strict=True):
            start = max(0, first - (lags if self.reference is None else BURN_IN))
            stretch = _stretch(recording, (start, last), self.scaling, self.fitted)
            z, seen = stretch.read(0, len(stretch))
            scored = seen & self.fitted
            if self.reference is None or stretch.whole:
                # Every frame is known: a window slides over them. Before a recording's first frame there is none.
                scored &= (np.arange(start, last) >= lags)[:, None]
                lacking = max(0, lags - (first - start))
                frames = np.concatenate([np.zeros((lacking, z.shape[1])), z]) if lacking else z
                frames = frames[first - start + lacking - lags :]
                x = sliding_window_view(frames, lags, axis=0)[:-1].transpose(0, 2, 1)[:, ::-1]
            else:
                correlations = stationary(self.moments[min(self.moments)], lags)
                pasts = filtered_pasts(self.reference.with_lags(lags), correlations, stretch)
                x = np.concatenate([rows[:-1][max(0, first - start - begin) :] for begin, rows, _ in pasts])
            at = slice(first - start, len(z))
            parts.append((x, z[at], np.where(scored[at], self.scaling.stds**2, 0.0)))
        x, y, weight = parts[0] if len(parts) == 1 else (np.concatenate(each) for each in zip(*parts, strict=True))
        return replace(self, x=x, y=y, weight=weight)

    def _reference(self, tune: Sequence[tuple[int, int]], lags: int) -> Process:
        """A ridge autoregression around persistence, by expectation maximisation from each unit's own decay."""
        decay = np.clip(own_decay(self.stretches), 0.0, 0.99)
        start = Process(np.diag(decay), np.zeros(len(decay)), np.diag(1 - decay**2))
        rows = max(1, sum(map(len, self.stretches)))

        def improved(process: Process, steps: int, lags: int, choice: RidgeChoice) -> Process:
            for _ in range(steps):
                moments = expected_moments(process, self.stretches, [lags])[lags]
                found = _process(moments, *choice.solve(moments))
                assert isinstance(found, Process), "with gaps no frames stand for their moments"
                process = found
            return process

        choice = RidgeChoice(lags, rows, rows / 30, TO_PERSISTENCE, True)
        process = improved(improved(start, REFERENCE_STEPS[0] - 1, 1, choice), 1, lags, choice)
        here = replace(self, reference=process)._filled([lags])._tuned_on(tune, lags)
        if not here.count:
            return process
        tried = ridge_candidates(
            here.errors,
            here.moments[lags],
            _COARSE,
            _COARSE[:-2],
            shrinks_to=[TO_PERSISTENCE],
            intercepts=[True],
        )
        _, choice = least(tried) or (np.inf, choice)
        return improved(process, REFERENCE_STEPS[1], lags, choice)


def _cut(
    recordings: Sequence[Recording], frames: Sequence[tuple[int, int]]
) -> tuple[Scaling, Bool[np.ndarray, "P"], list[Stretch]]:
    units = len(recordings[0].units)

    def raw() -> Iterator[Block]:
        for recording, block in zip(recordings, frames, strict=True):
            for at in frame_blocks(block[0], max(block[1], block[0] + 1), units):
                yield recording.values[at][: block[1] - at.start], recording.mask[at][: block[1] - at.start]

    scaling = Scaling.of_blocks(raw)
    fitted = sum((mask.sum(axis=0) for _, mask in raw()), np.zeros(units, int)) >= MIN_OBSERVED
    return scaling, fitted, [
        _stretch(recording, block, scaling, fitted) for recording, block in zip(recordings, frames, strict=True)
    ]  # fmt: skip


def _stretch(recording: Recording, block: tuple[int, int], scaling: Scaling, fitted: Bool[np.ndarray, "P"]) -> Stretch:
    def read(first: int, last: int) -> Block:
        at = slice(block[0] + first, block[0] + last)
        z, seen = scaling.standardise(recording.values[at], recording.mask[at])
        return np.where(fitted, z, 0.0), seen | ~fitted

    return Stretch(block[1] - block[0], len(recording.units), read)


def own_decay(stretches: Sequence[Stretch]) -> Float[np.ndarray, "P"]:
    """Return the lag-1 autocorrelation of each unit over the pairs of frames that are both observed."""
    product = square = 0.0
    for stretch in stretches:
        products = squares = None
        for z, seen in stretch.blocks(1):
            both = seen[1:] & seen[:-1]
            products = added(products, np.where(both, z[1:] * z[:-1], 0.0))
            squares = added(squares, np.where(both, z[:-1] ** 2, 0.0))
        if products is not None and squares is not None:
            product, square = product + products, square + squares
    return np.asarray(product / np.maximum(square, 1e-12))


def _process(
    moments: Moments | WideMoments, coefficients: np.ndarray | LowRank, intercept: np.ndarray
) -> Process | WideProcess:
    if isinstance(coefficients, LowRank) or isinstance(moments, WideMoments):
        assert isinstance(coefficients, LowRank)
        return WideProcess(coefficients, intercept)
    return Process(coefficients, intercept, moments.residual_covariance(coefficients, intercept))


def stationary(moments: Moments | WideMoments, lags: int) -> Float[np.ndarray, "L P"]:
    """Return autocovariances at lags 0 ... L - 1 of units whose decay is geometric: of frames before a recording."""
    gram, cross, _ = moments.within_units()
    variance = gram[:, 0, 0] / max(moments.rows, 1)
    own = cross[:, 0] / np.maximum(gram[:, 0, 0], 1e-12)
    own, variance = np.clip(own, 0.0, 0.999), np.where(variance > 0, variance, 1.0)
    return variance * own ** np.arange(lags)[:, None]
