"""The median unit's skill, and two forecasters compared unit by unit: what a few units of large variance cannot buy.

Pooled skill is a ratio of sums, which the units of largest change decide. Here each unit has its own skill and one
vote. Resampled are blocks of consecutive frames, the same for all units and both forecasters, the units, and the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from connfit.evaluation.block_bootstrap import check_options, degrees_of_freedom, draw_blocks, draw_seeds, stretched
from connfit.evaluation.intervals import Interval, SeedErrors, block_of, prepared, why_undefined
from connfit.evaluation.squared_errors import bin_edges

STRONGEST = 5
"""Units whose share of a pooled lead is given."""

_AT_ONCE = 2_000_000
"""Skills of units that are resampled at once, so that many units do not need much memory."""


@dataclass(frozen=True)
class PairedUnits:
    """Two forecasters compared unit by unit, on the units of all recordings.

    Parameters
    ----------
    median
        Difference in skill of the median unit, with an interval over blocks of time, units and seeds; mean over
        recordings.
    units, ahead, behind
        Units whose skill is defined; those in which the first forecaster is better, and worse.
    sign_p, wilcoxon_p
        Two-sided p-values of the exact sign test and of Wilcoxon's signed-rank test that the difference of a unit is
        as likely above zero as below. Both take units for independent. Units of one animal are not: the p-values are
        too small to that degree, while the interval allows for fluctuations in time that units share.
    lead
        Pooled difference in skill: the sum of what each unit contributes to it.
    lead_units, lead_of
        Units that contribute with the sign of the lead, of how many (also those without a skill of their own).
    strongest_share
        Share of the lead that its `STRONGEST` strongest units carry: above 1 where all others together take back;
        None without a lead.
    """

    median: Interval
    units: int
    ahead: int
    behind: int
    sign_p: float | None
    wilcoxon_p: float | None
    lead: float | None
    lead_units: int
    lead_of: int
    strongest_share: float | None


@dataclass(frozen=True, eq=False)
class _Side:
    """One forecaster on one recording: errors of units [seed, B, P]."""

    squared: Float[np.ndarray, "K B P"]
    reference: Float[np.ndarray, "K B P"]

    @property
    def defined(self) -> Bool[np.ndarray, "P"]:
        return (self.reference.sum(axis=1) > 0).all(axis=0)

    @property
    def skill(self) -> Float[np.ndarray, "K P"]:
        """Skill of the units that are defined, which `of` has selected."""
        return 1.0 - self.squared.sum(axis=1) / self.reference.sum(axis=1)

    def of(self, units: Bool[np.ndarray, "P"]) -> _Side:
        return _Side(self.squared[:, :, units], self.reference[:, :, units])

    def influence(self) -> Float[np.ndarray, "B P"]:
        """How each stretch of frames moves each unit's skill: the ratio's linear part, with mean 0."""
        squared, reference = self.squared.mean(axis=0), self.reference.mean(axis=0)
        mean = reference.mean(axis=0)
        return -(squared - squared.mean(axis=0) / mean * reference) / mean

    def contribution(self) -> Float[np.ndarray, "P"]:
        """What each unit takes from the pooled skill, mean over seeds."""
        return (self.squared.sum(axis=1) / self.reference.sum(axis=(1, 2))[:, None]).mean(axis=0)

    def resampled(self, weights: Float[np.ndarray, "R B"]) -> Float[np.ndarray, "K R P"]:
        """Skill of each unit with stretches of frames counted as often as drawn."""
        found = np.empty((len(self.squared), len(weights), self.squared.shape[2]))
        for seed, whole in enumerate(self.skill):
            reference = weights @ self.reference[seed]
            # A unit that does not change in the drawn blocks has no skill of their own: it keeps that of all frames.
            still = reference <= 0
            ratio = (weights @ self.squared[seed]) / np.where(still, 1.0, reference)
            found[seed] = np.where(still, whole, 1.0 - ratio)
        return found


def median_unit_interval(
    errors: Sequence[SeedErrors],
    horizon: int,
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    block_frames: int | None = None,
) -> Interval:
    """Return skill over persistence of the median unit, with an interval; arguments as in `paired_units`."""
    return _median([errors], horizon, repeats, level, seed, block_frames)


def paired_units(
    ours: Sequence[SeedErrors],
    theirs: Sequence[SeedErrors],
    horizon: int,
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    block_frames: int | None = None,
) -> PairedUnits:
    """Compare two forecasters unit by unit: median difference in skill, tests over units, and who carries the lead.

    A unit's skill is that over persistence on the frames of the part, mean over seeds. Above zero `ours` is better.

    Parameters
    ----------
    ours, theirs, horizon, repeats, level, seed, block_frames
        As in `connfit.evaluation.intervals.paired_difference`.

    Raises
    ------
    DataError
        If the errors are not of the same frames of the same recordings.

    Notes
    -----
    The interval of the median is that of `paired_difference` with units as a further level: of P units P - 1 are
    drawn with replacement in each recording, and independently of the blocks of time (Owen 2007, Ann. Appl. Stat.
    1:386, on resampling both margins of a table: somewhat too wide rather than too narrow). Blocks have the length
    that suits the mean over units of each unit's influence over its standard deviation. The tests are
    Dixon & Mood 1946, J. Am. Stat. Assoc. 41:557 (units without a difference are left out) and Wilcoxon 1945,
    Biometrics Bull. 1:80, as in SciPy.
    """
    median = _median([ours, theirs], horizon, repeats, level, seed, block_frames)
    sides = None if median.value is None else _sides([ours, theirs], horizon)
    if sides is None:
        return PairedUnits(median, 0, 0, 0, None, None, None, 0, 0, None)
    differences = np.concatenate(
        [a.of(keep).skill.mean(axis=0) - b.of(keep).skill.mean(axis=0) for a, b in sides for keep in [_both(a, b)]]
    )
    changed = differences[differences != 0]
    share = np.concatenate([(b.contribution() - a.contribution()) / len(sides) for a, b in sides])
    lead = float(share.sum())
    toward = np.sort(share * np.sign(lead))[::-1]
    ahead, behind = int((differences > 0).sum()), int((differences < 0).sum())
    told = ahead + behind > 0
    return PairedUnits(
        median=median,
        units=len(differences),
        ahead=ahead,
        behind=behind,
        sign_p=float(stats.binomtest(ahead, ahead + behind).pvalue) if told else None,
        wilcoxon_p=_signed_rank_p(changed) if told else None,
        lead=lead,
        lead_units=int((toward > 0).sum()),
        lead_of=len(share),
        strongest_share=float(toward[:STRONGEST].sum() / abs(lead)) if lead else None,
    )


def _signed_rank_p(differences: Float[np.ndarray, "n"]) -> float:
    result: Any = stats.wilcoxon(differences)
    return float(result.pvalue)


def _both(*sides: _Side) -> Bool[np.ndarray, "P"]:
    return np.logical_and.reduce([side.defined for side in sides])


def _sides(forecasters: Sequence[Sequence[SeedErrors]], horizon: int) -> list[list[_Side]] | None:
    """By recording, each forecaster; None where the errors of units were not kept."""
    errors = prepared(forecasters)
    if not all(horizon in run.unit_squared_error for side in errors for runs in side for run in runs):
        return None
    return [
        [
            _Side(
                np.stack([seed[number].unit_squared_error[horizon] for seed in side]),
                np.stack([seed[number].unit_reference_error[horizon] for seed in side]),
            )
            for side in errors
        ]
        for number in range(len(errors[0][0]))
    ]


def _median(
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
    reason, sides = why_undefined(errors, horizon), _sides(forecasters, horizon)
    if reason is None and sides is None:
        reason = "errors of single units were not kept"
    if reason is None and sides is not None and not all(_both(*side).any() for side in sides):
        reason = "no unit changes in the frames that are scored"
    if reason is not None or sides is None:
        return Interval(None, None, None, level, 0, 0, seeds, reason)
    generator = np.random.default_rng(seed)
    signs = (1.0, -1.0)[: len(errors)]
    drawn = [draw_seeds(generator, count, repeats) for count in seeds]
    value, resampled, of_seeds = 0.0, np.zeros(repeats), np.zeros((len(seeds), repeats))
    terms: list[tuple[float, float]] = []
    total, longest, short = 0, 0, None
    for first, here in zip(errors[0][0], sides, strict=True):
        share = 1 / len(sides)
        here = [side.of(_both(*here)) for side in here]
        whole = [side.skill for side in here]
        difference = _signed([skill.mean(axis=0) for skill in whole], signs)
        value += share * float(np.median(difference))
        bins, units = here[0].squared.shape[1:]
        frames = first.frames[horizon][bin_edges(len(first.frames[horizon]), bins)[:-1]]
        length, between = block_of(_common_influence(here, signs), frames, horizon, block_frames)
        count = bins / length
        total, longest = total + int(count), max(longest, round(length * between))
        blocks = draw_blocks(generator, bins, length, repeats)
        if blocks is None:
            short = f"{first.recording}: {bins} stretches of frames are too few for two blocks of {length}"
            continue
        places = generator.integers(units, size=(repeats, max(1, units - 1)))
        of_time, of_units, of_all = np.empty(repeats), np.empty(repeats), np.empty(repeats)
        for at in range(0, repeats, step := max(1, _AT_ONCE // units)):
            some = slice(at, at + step)
            weights = blocks.weights(some)
            skills = [side.resampled(weights) for side in here]
            fixed = _signed([skill.mean(axis=0) for skill in skills], signs)
            drawn_here = zip(drawn, skills, strict=True)
            free = _signed([np.einsum("rk,krp->rp", chosen[some], skill) for chosen, skill in drawn_here], signs)
            of_time[some] = np.median(fixed, axis=1)
            of_units[some] = np.median(difference[places[some]], axis=1)
            for side, (sign, skill, chosen) in enumerate(zip(signs, whole, drawn, strict=True)):
                others = difference - sign * skill.mean(axis=0)
                of_seeds[side, some] += share * np.median(others + sign * chosen[some] @ skill, axis=1)
            of_all[some] = np.median(np.take_along_axis(free, places[some], axis=1), axis=1)
        resampled += share * of_all
        terms += [(share**2 * of_time.var(), count - 1), (share**2 * of_units.var(), max(units - 1, 1))]
    if short is not None:
        return Interval(value, None, None, level, total, longest, seeds, short)
    terms += [(spread.var(), count - 1) for spread, count in zip(of_seeds, seeds, strict=True) if count > 1]
    most = 1.0 if len(errors) == 1 else np.inf
    low, high = stretched(value, resampled, level, degrees_of_freedom(terms), most=most)
    return Interval(value, low, high, level, total, longest, seeds)


def _common_influence(sides: Sequence[_Side], signs: Sequence[float]) -> Float[np.ndarray, "B"]:
    """Mean over units of how each stretch of frames moves the difference, each unit over its standard deviation."""
    influence = _signed([side.influence() for side in sides], signs)
    spread = influence.std(axis=0)
    return (influence / np.where(spread > 0, spread, 1.0)).mean(axis=1)


def _signed(terms: Sequence[np.ndarray], signs: Sequence[float]) -> np.ndarray:
    """The first term, minus the second if there is one."""
    return np.sum([sign * term for sign, term in zip(signs, terms, strict=True)], axis=0)
