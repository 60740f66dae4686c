"""Do seeds that predict alike have parameters alike? Agreement of what they start with, end with, and change.

Seeds that share a start agree at the end whatever the data say, and a parameter that nothing moves agrees
perfectly. So each group is compared three times: at the start, after the fit, and in the change from one to the other.
Where changes do not agree although predictions do, the data leave the direction open (Gutenkunst et al. 2007, PLoS
Comput Biol 3:e189, on sloppy parameters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import stats

FLAT_BELOW = 0.1
"""Mean correlation of the changes below which a group is called flat ..."""

ALIKE_ABOVE = 0.95
"""... if predictions of the same seeds correlate above this."""

MIN_VALUES = 10
"""Parameters without which a correlation is not given."""

MOST_RANKED = 2_000_000
"""Of larger groups, rank correlations are of as many parameters, evenly spaced."""


@dataclass(frozen=True)
class Agreement:
    """How far seeds agree on one group of parameters: means over all pairs of seeds.

    Parameters
    ----------
    group
        Name of the group, or of a part of it.
    count
        Parameters.
    seeds
        Number of seeds.
    start_pearson, start_spearman
        Correlation of the values before the fit; 1 if seeds start alike.
    pearson, spearman
        The same after the fit.
    log_pearson
        Of the natural logarithm of the values, over those above 0 in all seeds; None for a group with negative values.
    positive
        Share of the values that are above 0 in all seeds.
    change_pearson, change_spearman
        Of the change from each seed's own start.
    change_low, change_high
        Smallest and largest `change_pearson` among pairs.
    moved
        Size of the change over the size of the start (root mean squares, mean over seeds); None from a start at 0.
    spread_ratio
        Spread between seeds after the fit over the spread before it (root mean square over parameters): below 1 seeds
        have come nearer to each other, above 1 they have drifted apart; None if they start alike.
    reason
        Why numbers are missing.
    """

    group: str
    count: int
    seeds: int
    start_pearson: float | None = None
    start_spearman: float | None = None
    pearson: float | None = None
    spearman: float | None = None
    log_pearson: float | None = None
    positive: float | None = None
    change_pearson: float | None = None
    change_spearman: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    moved: float | None = None
    spread_ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class PredictionAgreement:
    """How far predictions of several seeds agree: means over pairs of seeds, all units and recordings pooled.

    Parameters
    ----------
    frames_ahead
        Horizon in frames.
    count
        Values that all seeds predict.
    pearson
        Correlation of the predictions, units centred on their own mean over seeds and frames: differences between
        units, which any model knows, would make it 1.
    change_pearson
        Correlation of what is predicted to change: prediction minus the last observed value, not centred. Frames are
        nearly copies of each other, so this is what the models say beyond that.
    reason
        Why a number is missing.
    """

    frames_ahead: int
    count: int
    pearson: float | None
    change_pearson: float | None
    reason: str | None = None


def agreement(group: str, starts: Float[np.ndarray, "K n"], ends: Float[np.ndarray, "K n"]) -> Agreement:
    """Agreement of K seeds on n parameters.

    Parameters
    ----------
    group
        Its name in the result.
    starts, ends
        [seed, parameter] before and after the fit, in any unit, the same parameter in the same column.
    """
    starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    seeds, count = ends.shape
    if seeds < 2 or count < MIN_VALUES:
        few = f"{seeds} seed, 2 are needed" if seeds < 2 else f"{count} parameters, {MIN_VALUES} are needed"
        return Agreement(group, count, seeds, reason=few)
    changes = ends - starts
    if not changes.any():
        return Agreement(
            group, count, seeds, _mean(_pairs(starts)), _ranked(starts), _mean(_pairs(ends)), _ranked(ends),
            reason="not changed by the fit",
        )  # fmt: skip
    log, positive = _log_agreement(starts, ends)
    change = _pairs(changes)
    before, after = _spread(starts), _spread(ends)
    size = np.sqrt((starts**2).mean(axis=1))
    return Agreement(
        group=group,
        count=count,
        seeds=seeds,
        start_pearson=_mean(_pairs(starts)),
        start_spearman=_ranked(starts),
        pearson=_mean(_pairs(ends)),
        spearman=_ranked(ends),
        log_pearson=log,
        positive=positive,
        change_pearson=_mean(change),
        change_spearman=_ranked(changes),
        change_low=min(change, default=None),
        change_high=max(change, default=None),
        moved=float(np.mean(np.sqrt((changes**2).mean(axis=1)) / size)) if (size > 0).all() else None,
        # Starts that differ by rounding alone are alike: their spread is nothing to compare with.
        spread_ratio=after / before if before > 1e-5 * float(size.mean()) else None,
        reason=None if change else "the change does not vary over parameters",
    )


def by_part(
    starts: Float[np.ndarray, "K n"], ends: Float[np.ndarray, "K n"], part: Shaped[np.ndarray, "n"], *, most: int = 100
) -> list[Agreement]:
    """`agreement` within each part of a group (each region, each type), the largest parts first.

    Parameters
    ----------
    part
        [n] name of the part that each parameter belongs to; the empty name is left out.
    most
        Parts that are given at most.
    """
    names, codes = np.unique(np.asarray(part).astype(str), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(names))
    order = [k for k in np.argsort(-sizes, kind="stable") if names[k] and sizes[k] >= MIN_VALUES]
    return [agreement(str(names[k]), starts[:, codes == k], ends[:, codes == k]) for k in order[:most]]


def prediction_agreement(
    predictions: Sequence[Float[np.ndarray, "S P"]],
    last: Float[np.ndarray, "S P"],
    frames_ahead: int,
    mask: Bool[np.ndarray, "S P"] | None = None,
) -> PredictionAgreement:
    """Agreement of the predictions of several seeds of the same entries.

    Parameters
    ----------
    predictions
        One array per seed.
    last
        What persistence predicts.
    frames_ahead
        Horizon in frames, for the record.
    mask
        Entries that count; default: all that are finite.
    """
    stack = np.stack([np.asarray(one, np.float64) for one in predictions])
    use = np.isfinite(stack).all(axis=0) & np.isfinite(last)
    if mask is not None:
        use &= mask
    count = int(use.sum())
    if len(stack) < 2 or count < MIN_VALUES:
        few = f"{len(stack)} seed, 2 are needed" if len(stack) < 2 else f"{count} values, {MIN_VALUES} are needed"
        return PredictionAgreement(frames_ahead, count, None, None, few)
    frames = np.maximum(use.sum(axis=0), 1)
    centre = np.where(use, stack, 0.0).sum(axis=1).mean(axis=0) / frames
    level = _pairs((stack - centre)[:, use])
    change = _pairs((stack - last)[:, use])
    reason = None if level and change else "predictions do not vary"
    return PredictionAgreement(frames_ahead, count, _mean(level), _mean(change), reason)


def flat_groups(
    groups: Sequence[Agreement], predictions: Sequence[PredictionAgreement]
) -> tuple[tuple[str, ...], list[str]]:
    """Groups whose changes do not agree between seeds although predictions do, and what to say about all of them.

    Returns
    -------
    names
        Of the flat groups.
    sentences
        One for predictions and one for each group that has numbers.
    """
    known = [one.pearson for one in predictions if one.pearson is not None]
    alike = bool(known) and min(known) > ALIKE_ABOVE
    sentences, flat = [], []
    for one in predictions:
        if one.pearson is not None and one.change_pearson is not None:
            ahead = "one frame" if one.frames_ahead == 1 else f"{one.frames_ahead} frames"
            sentences.append(
                f"Between seeds predictions {ahead} ahead correlate at {one.pearson:.3f}, and the changes that they "
                f"predict at {one.change_pearson:.3f}."
            )
    for one in groups:
        words = one.group.replace("_", " ")
        if one.change_pearson is None:
            if one.reason:
                sentences.append(f"{words}: {one.reason}.")
            continue
        said = f"{words}: changes correlate {one.change_pearson:.3f} between seeds"
        if one.pearson is not None and one.start_pearson is not None:
            said += f" (values after the fit {one.pearson:.3f}, at the start {one.start_pearson:.3f})"
        if one.change_pearson < FLAT_BELOW and alike:
            flat.append(one.group)
            said += ": a flat direction, which these data leave open"
        elif one.change_pearson < FLAT_BELOW:
            said += ", as little as the seeds' predictions would let expect"
        sentences.append(f"{said}.")
    return tuple(flat), sentences


def stack_groups(
    starts: Sequence[Mapping[str, np.ndarray]], ends: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, tuple[Float[np.ndarray, "K n"], Float[np.ndarray, "K n"]]]:
    """Parameters of several runs as [seed, parameter] by group; time constants in seconds."""
    left_out = {"log_time_constants"}
    groups = [key for key in ends[0] if key not in left_out and all(key in one for one in (*starts, *ends))]
    return {
        key: (np.stack([one[key].ravel() for one in starts]), np.stack([one[key].ravel() for one in ends]))
        for key in groups
    }


def _pairs(rows: Float[np.ndarray, "K n"]) -> list[float]:
    """Pearson correlation of every pair of rows that vary."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1))
    # A row that is constant up to rounding has no correlation.
    varies = norms > 1e-10 * np.sqrt(rows.shape[1]) * np.abs(rows).max(axis=1, initial=0.0)
    return [
        float(np.clip(centred[i] @ centred[j] / (norms[i] * norms[j]), -1, 1))
        for i, j in combinations(range(len(rows)), 2)
        if varies[i] and varies[j] and norms[i] > 0 and norms[j] > 0
    ]


def _ranked(rows: Float[np.ndarray, "K n"]) -> float | None:
    """Mean Spearman correlation over pairs."""
    step = -(-rows.shape[1] // MOST_RANKED)
    return _mean(_pairs(np.stack([stats.rankdata(row[::step]) for row in rows])))


def _log_agreement(
    starts: Float[np.ndarray, "K n"], ends: Float[np.ndarray, "K n"]
) -> tuple[float | None, float | None]:
    if (starts < 0).any() or (ends < 0).any():
        return None, None
    positive = (ends > 0).all(axis=0)
    share = float(positive.mean())
    return (_mean(_pairs(np.log(ends[:, positive]))) if positive.sum() >= MIN_VALUES else None), share


def _spread(rows: Float[np.ndarray, "K n"]) -> float:
    """Root mean square over parameters of the standard deviation over seeds."""
    return float(np.sqrt(rows.var(axis=0, ddof=1).mean()))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
