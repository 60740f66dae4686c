"""Confidence intervals of skill, and of the difference in skill between two forecasters on the same frames.

Errors of neighbouring frames are alike, the more so the further ahead they are predicted, and two networks
that differ in their seed alone do not score the same. Resampled are therefore blocks of consecutive frames,
the same for both forecasters, and seeds of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.errors import DataError
from connfit.evaluation.block_bootstrap import (
    Blocks,
    block_sums,
    check_options,
    degrees_of_freedom,
    draw_blocks,
    draw_seeds,
    stretched,
    suitable_length,
)
from connfit.evaluation.squared_errors import PredictionErrors, bin_edges, ratio_skill, spacing, stretches

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
    """Compare the skill of two forecasters, with a paired block bootstrap over time and seeds.

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
        Length of blocks; default: see `connfit.evaluation.block_bootstrap.block_length`.

    Raises
    ------
    DataError
        If the errors are not of the same frames of the same recordings.

    Notes
    -----
    See `connfit.evaluation.block_bootstrap`. Blocks are at the same frames for both forecasters and all seeds; seeds
    are drawn with replacement from those of each forecaster, independently. Degrees of freedom are Satterthwaite's for
    B - 1, K - 1 and so on. The interval is about other stretches of time and other seeds of the same animals, not
    about others.
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
    """Return skill over persistence with a block bootstrap over time and seeds; arguments as in `paired_difference`."""
    return _interval([errors], horizon, repeats, level, seed, block_frames)


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
    seeds = tuple(len(side) for side in errors)
    recordings = errors[0][0]
    reason = why_undefined(errors, horizon)
    if reason is not None:
        return Interval(None, None, None, level, 0, 0, seeds, reason)
    generator = np.random.default_rng(seed)
    sides = [[_side(side, number, horizon) for number in range(len(recordings))] for side in errors]
    signs = (1.0, -1.0)[: len(errors)]
    skills = [np.mean([side.skill for side in side], axis=0) for side in sides]
    value = float(sum(sign * skill.mean() for sign, skill in zip(signs, skills, strict=True)))
    # Seeds are drawn once for all recordings: a seed is one model, or one way to start in all of them.
    drawn = [draw_seeds(generator, count, repeats) for count in seeds]
    # Terms of the variance with their degrees of freedom, and the resampled skills.
    terms: list[tuple[float, float]] = [
        (skill.var(ddof=1) / len(skill), len(skill) - 1) for skill in skills if len(skill) > 1
    ]
    resampled = np.zeros(repeats)
    total, longest, short = 0, 0, None
    for number, first in enumerate(errors[0][0]):
        here = [side[number] for side in sides]
        influence = sum(sign * side.influence for sign, side in zip(signs, here, strict=True))
        frames = first.frames[horizon]
        frames = frames[bin_edges(len(frames), stretches(len(frames), 1))[:-1]]
        length, between = block_of(np.asarray(influence), frames, horizon, block_frames)
        count = len(frames) / length
        total, longest = total + int(count), max(longest, round(length * between))
        blocks = draw_blocks(generator, len(frames), length, repeats)
        if blocks is None:
            short = f"{first.recording}: {len(frames)} frames are too few for two blocks of {length}"
            continue
        for sign, side, weights in zip(signs, here, drawn, strict=True):
            resampled += sign * _resampled_skill(side, blocks, weights) / len(recordings)
        spread = block_sums(np.asarray(influence)[None], length)[0] / length
        terms.append((spread.var() / max(count - 1, 1) / len(recordings) ** 2, count - 1))
    if short is not None:
        return Interval(value, None, None, level, total, longest, seeds, short)
    low, high = stretched(value, resampled, level, degrees_of_freedom(terms))
    return Interval(value, low, high, level, total, longest, seeds)


def prepared(forecasters: Sequence[Sequence[SeedErrors]]) -> list[list[list[PredictionErrors]]]:
    """Return, by forecaster and seed, the errors on each recording.

    Raises
    ------
    DataError
        If there are none, or they are not of the same frames of the same recordings.
    """
    errors = [[[run] if isinstance(run, PredictionErrors) else list(run) for run in seeds] for seeds in forecasters]
    if not all(errors) or not errors[0][0]:
        raise DataError("there are no errors to compare: at least one seed and one recording are needed")
    _aligned(errors)
    return errors


def why_undefined(errors: Sequence[Sequence[Sequence[PredictionErrors]]], horizon: int) -> str | None:
    """Explain why there is no skill at a horizon; None where there is one."""
    for run in (run for side in errors for runs in side for run in runs):
        if horizon not in run.squared_error:
            known = f"of horizons {', '.join(map(str, run.horizons))} only"
            return f"{run.recording}: {run.reasons.get(horizon, f'there are errors {known}')}"
    return None


def _aligned(errors: Sequence[Sequence[Sequence[PredictionErrors]]]) -> None:
    """Raise a DataError unless recordings, parts and frames are the same everywhere."""
    first = errors[0][0]
    names = [(run.recording, run.part) for run in first]
    for seeds in errors:
        for runs in seeds:
            if [(run.recording, run.part) for run in runs] != names:
                raise DataError(
                    f"errors of {[f'{run.recording} ({run.part})' for run in runs]} cannot be paired with errors of "
                    f"{[f'{name} ({part})' for name, part in names]}: give the same recordings in the same order"
                )
            for own, other in zip(first, runs, strict=True):
                for h in set(own.horizons) & set(other.horizons):
                    if not np.array_equal(own.frames[h], other.frames[h]):
                        raise DataError(
                            f"recording {own.recording!r}: errors at horizon {h} are of different frames and cannot be "
                            "paired",
                            fix="Make them with the same parts and the same evaluate.horizon_starts",
                        )


def _side(seeds: Sequence[Sequence[PredictionErrors]], number: int, horizon: int) -> _Side:
    squared, reference = (
        np.stack([getattr(runs[number], key)[horizon] for runs in seeds])
        for key in ("squared_error", "reference_error")
    )
    frames = squared.shape[1]
    edges = bin_edges(frames, stretches(frames, 1))
    if len(edges) <= frames:
        squared, reference = (np.add.reduceat(errors, edges[:-1], axis=1) for errors in (squared, reference))
    return _Side(squared, reference)


def block_of(
    influence: Float[np.ndarray, "S"], frames: Float[np.ndarray, "S"], horizon: int, block_frames: int | None
) -> tuple[int, float]:
    """Return entries per block, as asked for or as suits, and frames per entry."""
    between = spacing(frames)
    if block_frames is not None:
        return max(1, round(block_frames / between)), between
    return suitable_length(influence, between, horizon), between


def _resampled_skill(side: _Side, blocks: Blocks, weights: Float[np.ndarray, "repeats K"]) -> Float[np.ndarray, "R"]:
    """Mean skill over the drawn seeds on the drawn blocks."""
    skills = ratio_skill(blocks.sums(side.squared), blocks.sums(side.reference))
    # Blocks in which nothing moves or nothing was observed have no skill of their own; they say nothing.
    skills = np.where(np.isfinite(skills), skills, side.skill[:, None])
    return (np.ascontiguousarray(skills.T) * weights).sum(axis=1)
