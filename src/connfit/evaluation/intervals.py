"""Confidence intervals of skill, and of the difference in skill between two forecasters on the same frames.

Errors of neighbouring frames are alike, the more so the further ahead they are predicted, and two networks
that differ in their seed alone do not score the same. Resampled are therefore blocks of consecutive frames,
the same for both forecasters, and seeds of each.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from connfit._system.backend import usable_backend
from connfit.errors import ConfigError, DataError
from connfit.evaluation.squared_errors import PredictionErrors

MIN_BLOCKS = 4
"""Blocks are at most a fourth of a part: of fewer, no spread can be told."""

SeedErrors = PredictionErrors | Sequence[PredictionErrors]
"""Errors of one seed: on one recording, or on several."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval.

    Parameters
    ----------
    value, low, high
        Estimate and ends of the interval; None where they are not defined.
    level
        Confidence level of the interval.
    blocks
        Number of blocks of time, of all recordings together (frames over block length, rounded down).
    block_frames
        Length of a block in frames, the longest one with several recordings.
    seeds
        Number of seeds of the forecaster, and of the one that it is compared with if there is one. One
        seed by itself has no spread: the interval then says nothing about other seeds.
    reason
        Why there is no value or no interval; None otherwise.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    blocks: int
    block_frames: int
    seeds: tuple[int, ...]
    reason: str | None = None

    @property
    def excludes_zero(self) -> bool | None:
        """Whether zero lies outside the interval; None if there is none."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


def paired_difference(
    ours: Sequence[SeedErrors],
    theirs: Sequence[SeedErrors],
    horizon: int,
    *,
    repeats: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    block_frames: int | None = None,
) -> Interval:
    """Skill of one forecaster minus skill of another, with a paired block bootstrap over time and seeds.

    Skill is that over persistence, mean over recordings and seeds. Above zero `ours` is better.

    Parameters
    ----------
    ours, theirs
        One entry per seed: errors on the recording, or a sequence of errors on each of several
        recordings, in the same order everywhere. Forecasters without chance have one entry.
    horizon
        Frames ahead; 1 is one step ahead at every frame of the part.
    repeats
        Number of resamples.
    level
        Confidence level.
    seed
        Of the resampling.
    block_frames
        Length of blocks; default: see `block_length`.

    Raises
    ------
    DataError
        If the errors are not of the same frames of the same recordings.

    Notes
    -----
    A circular block bootstrap (Politis & Romano 1992, in Exploring the Limits of Bootstrap, p. 263): in each
    recording blocks are drawn with replacement, at the same frames for both forecasters and all seeds.
    Seeds are drawn with replacement from those of each forecaster, independently. Of B blocks and of K seeds,
    B - 1 and K - 1 are drawn, which makes the bootstrap variance of a mean unbiased (Rao & Wu 1988, J. Am.
    Stat. Assoc. 83:231). The ends are percentiles of the resampled differences, whose distances
    from the estimate are multiplied by t / z, quantiles of Student's and of the normal distribution, because
    the spread is itself estimated from few blocks and seeds (compare Hesterberg 2015, Am. Stat. 69:371);
    the degrees of freedom are those of Satterthwaite (1946) Biometrics 2:110 for B - 1, K - 1 and so on.
    The interval is about other stretches of time and other seeds of the same animals, not about others.
    """
    return _interval([ours, theirs], horizon, repeats, level, seed, block_frames)


def skill_interval(
    errors: Sequence[SeedErrors],
    horizon: int,
    *,
    repeats: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    block_frames: int | None = None,
) -> Interval:
    """Skill over persistence with a block bootstrap over time and seeds; arguments as in `paired_difference`."""
    return _interval([errors], horizon, repeats, level, seed, block_frames)


def block_length(series: Float[np.ndarray, "S"]) -> int:
    """Entries per block that suit a series of length S, at least 1 and at most S / 4.

    Twice the length that minimises the mean squared error of the circular block bootstrap's variance, estimated
    from the series' autocorrelation (Politis & White 2004, Econometric Reviews 23:53; Patton, Politis & White
    2009, 28:372; as implemented in the library arch). Twice, because that optimum accepts a variance that is too
    small for one that is steadier, and an interval with Student's quantiles does better with longer blocks
    (compare Shao & Politis 2013, J. R. Stat. Soc. B 75:161).
    """
    usable_backend()  # arch imports matplotlib
    from arch.bootstrap import optimal_block_length

    longest = max(1, len(series) // MIN_BLOCKS)
    with warnings.catch_warnings():
        # A constant series, or one too short for its autocorrelation, has no optimum.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = float(optimal_block_length(np.asarray(series, np.float64))["circular"].iloc[0]) if longest > 1 else 1.0
    return int(np.clip(np.ceil(2 * found), 1, longest)) if np.isfinite(found) else 1


@dataclass(frozen=True, eq=False)
class _Side:
    """One forecaster on one recording: errors [seed, S]."""

    squared: Float[np.ndarray, "K S"]
    reference: Float[np.ndarray, "K S"]

    @property
    def skill(self) -> Float[np.ndarray, "K"]:
        return 1.0 - self.squared.sum(axis=1) / self.reference.sum(axis=1)

    @property
    def influence(self) -> Float[np.ndarray, "S"]:
        """How each frame moves the mean skill over seeds: the ratio's linear part, with mean 0."""
        mean = self.reference.mean(axis=1, keepdims=True)
        ratio = self.squared.mean(axis=1, keepdims=True) / mean
        return (-(self.squared - ratio * self.reference) / mean).mean(axis=0)


def _interval(
    forecasters: Sequence[Sequence[SeedErrors]],
    horizon: int,
    repeats: int,
    level: float,
    seed: int,
    block_frames: int | None,
) -> Interval:
    check_options(repeats, level, block_frames)
    errors = prepared(forecasters)
    seeds = tuple(len(one) for one in errors)
    recordings = errors[0][0]
    reason = why_undefined(errors, horizon)
    if reason is not None:
        return Interval(None, None, None, level, 0, 0, seeds, reason)
    generator = np.random.default_rng(seed)
    sides = [[_side(one, number, horizon) for number in range(len(recordings))] for one in errors]
    signs = (1.0, -1.0)[: len(errors)]
    skills = [np.mean([side.skill for side in one], axis=0) for one in sides]
    value = float(sum(sign * one.mean() for sign, one in zip(signs, skills, strict=True)))
    # Seeds are drawn once for all recordings: a seed is one model, or one way to start in all of them.
    drawn = [draw_seeds(generator, count, repeats) for count in seeds]
    # Terms of the variance with their degrees of freedom, and the resampled skills.
    terms: list[tuple[float, float]] = [(one.var(ddof=1) / len(one), len(one) - 1) for one in skills if len(one) > 1]
    resampled = np.zeros(repeats)
    blocks, longest, short = 0, 0, None
    for number, first in enumerate(errors[0][0]):
        here = [one[number] for one in sides]
        influence = sum(sign * side.influence for sign, side in zip(signs, here, strict=True))
        frames = first.frames[horizon]
        length, spacing = block_of(np.asarray(influence), frames, horizon, block_frames)
        count = len(frames) / length
        blocks, longest = blocks + int(count), max(longest, round(length * spacing))
        if count < 2:
            short = f"{first.recording}: {len(frames)} frames are too few for two blocks of {length}"
            continue
        starts = generator.integers(len(frames), size=(repeats, max(1, round(count - 1))))
        for sign, side, weights in zip(signs, here, drawn, strict=True):
            resampled += sign * _resampled_skill(side, starts, length, weights) / len(recordings)
        spread = _sums(np.asarray(influence)[None], length)[0] / length
        terms.append((spread.var() / max(count - 1, 1) / len(recordings) ** 2, count - 1))
    if short is not None:
        return Interval(value, None, None, level, blocks, longest, seeds, short)
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    stretch = stats.t.ppf(1 - tail, degrees_of_freedom(terms)) / stats.norm.ppf(1 - tail)
    low, high = value + stretch * (low - value), value + stretch * (high - value)
    return Interval(value, float(low), float(high), level, blocks, longest, seeds)


def prepared(forecasters: Sequence[Sequence[SeedErrors]]) -> list[list[list[PredictionErrors]]]:
    """By forecaster and seed, the errors on each recording.

    Raises
    ------
    DataError
        If there are none, or they are not of the same frames of the same recordings.
    """
    errors = [[[one] if isinstance(one, PredictionErrors) else list(one) for one in seeds] for seeds in forecasters]
    if not all(errors) or not errors[0][0]:
        raise DataError("there are no errors to compare: at least one seed and one recording are needed")
    _aligned(errors)
    return errors


def why_undefined(errors: Sequence[Sequence[Sequence[PredictionErrors]]], horizon: int) -> str | None:
    """Why there is no skill at a horizon; None where there is one."""
    for run in (run for one in errors for runs in one for run in runs):
        if horizon not in run.squared_error:
            known = f"of horizons {', '.join(map(str, run.horizons))} only"
            return f"{run.recording}: {run.reasons.get(horizon, f'there are errors {known}')}"
    return None


def check_options(repeats: int, level: float, block_frames: int | None) -> None:
    """Refuse options of a bootstrap that mean nothing."""
    if repeats < 100:
        raise ConfigError(f"repeats = {repeats} must be 100 or more resamples")
    if not 0 < level < 1:
        raise ConfigError(f"level = {level} must lie between 0 and 1")
    if block_frames is not None and block_frames < 1:
        raise ConfigError(f"block_frames = {block_frames} must be 1 or more")


def _aligned(errors: Sequence[Sequence[Sequence[PredictionErrors]]]) -> None:
    """Raise a DataError unless recordings, parts and frames are the same everywhere."""
    first = errors[0][0]
    names = [(one.recording, one.part) for one in first]
    for seeds in errors:
        for runs in seeds:
            if [(one.recording, one.part) for one in runs] != names:
                raise DataError(
                    f"errors of {[f'{one.recording} ({one.part})' for one in runs]} cannot be paired with errors of "
                    f"{[f'{name} ({part})' for name, part in names]}: give the same recordings in the same order"
                )
            for one, other in zip(first, runs, strict=True):
                for h in set(one.horizons) & set(other.horizons):
                    if not np.array_equal(one.frames[h], other.frames[h]):
                        raise DataError(
                            f"recording {one.recording!r}: errors at horizon {h} are of different frames and cannot be "
                            "paired",
                            fix="Make them with the same parts and the same evaluate.horizon_starts",
                        )


def _side(seeds: Sequence[Sequence[PredictionErrors]], number: int, horizon: int) -> _Side:
    return _Side(
        np.stack([one[number].squared_error[horizon] for one in seeds]),
        np.stack([one[number].reference_error[horizon] for one in seeds]),
    )


def block_of(influence: np.ndarray, frames: np.ndarray, horizon: int, block_frames: int | None) -> tuple[int, float]:
    """Entries per block, and frames per entry.

    At least as long as the horizon, for two predictions from starts less than that apart have steps in common.
    """
    spacing = (frames[-1] - frames[0]) / (len(frames) - 1) if len(frames) > 1 else 1.0
    if block_frames is not None:
        return max(1, round(block_frames / spacing)), spacing
    overlap = int(np.ceil(horizon / spacing))
    longest = max(1, len(frames) // MIN_BLOCKS)
    return min(max(block_length(influence), overlap), longest), spacing


def draw_seeds(generator: np.random.Generator, count: int, repeats: int) -> Float[np.ndarray, "repeats K"]:
    """Weights of the seeds in each resample; all 1 for a single one."""
    if count == 1:
        return np.ones((repeats, 1))
    drawn = generator.integers(count, size=(repeats, count - 1))
    return (drawn[:, :, None] == np.arange(count)).mean(axis=1)


def _sums(series: Float[np.ndarray, "K S"], length: int) -> Float[np.ndarray, "K S"]:
    """Sum over the block of `length` entries that starts at each entry, around the end to the start."""
    total = np.cumsum(np.concatenate([np.zeros((len(series), 1)), series, series[:, :length]], axis=1), axis=1)
    return total[:, length : length + series.shape[1]] - total[:, : series.shape[1]]


def _resampled_skill(
    side: _Side, starts: np.ndarray, length: int, weights: Float[np.ndarray, "repeats K"]
) -> Float[np.ndarray, "repeats"]:
    """Mean skill over the drawn seeds on the drawn blocks."""
    squared, reference = (_sums(one, length) for one in (side.squared, side.reference))
    skills = np.empty((len(starts), len(squared)))
    for number in range(len(squared)):
        total = reference[number][starts].sum(axis=1)
        # Blocks in which nothing moves or nothing was observed have no skill of their own; they say nothing.
        ratio = squared[number][starts].sum(axis=1) / np.where(total > 0, total, np.nan)
        skills[:, number] = np.where(np.isfinite(ratio), 1.0 - ratio, side.skill[number])
    return (skills * weights).sum(axis=1)


def degrees_of_freedom(terms: Sequence[tuple[float, float]]) -> float:
    """Satterthwaite's, of a sum of independent variance estimates."""
    total = sum(variance for variance, _ in terms)
    if total == 0:
        return np.inf
    return total**2 / sum(variance**2 / freedom for variance, freedom in terms)
