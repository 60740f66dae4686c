"""How well the functional connectivity (FC) of a part can be known, and so how well any model's can agree with it.

The FC of some hundred frames is a noisy picture of the one that other frames of the same kind would have. A model that
had that one exactly would agree with the picture at the root of its reliability, no better. Reliability comes from
halves of the part: blocks of frames are dealt to two halves at random, and the correlation of their FCs is stepped up
to the full length (Spearman 1910, Brown 1910, Br. J. Psychol. 3:271 and 3:296). As the ceiling of models:
Lage-Castellanos, Valente, Formisano & De Martino (2019) PLoS Comput. Biol. 15:e1006397.

It assumes that halves have errors of their own, which blocks of twice the correlation time nearly have: what they still
share makes the ceiling too high, never too low. Drift is shared by dealt blocks; the first half of the part against the
second shows it, and is the lower of the two ceilings.

Between animals the bounds are those of Nili et al. (2014) PLoS Comput. Biol. 10:e1003553: an animal's FC against the
mean of the others', which a predictor that knows no more than the others reaches, and against the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.connectivity import compared_connectivity, compared_units, connectivity_of
from connfit.evaluation.metrics import Measured, fc_corr, with_measures
from connfit.evaluation.pooling import Result, mean, same, total
from connfit.recordings import Recording

SPLITS = 40
"""Random ways to deal blocks to halves over which reliability is averaged."""

LAG_FRAMES = 10_000
"""Frames from which the correlation time is estimated, at most."""

MIN_BLOCKS = 4
MIN_BLOCK_FRAMES = 5
_SEED = 1910


@dataclass(frozen=True)
class FcCeiling(Result):
    """How well any functional connectivity can agree with that of some frames.

    Parameters
    ----------
    blocks, block_frames
        Blocks of frames that are dealt to halves, and their length.
    half_correlation, reliability, ceiling
        From dealt blocks: correlation of the halves' FCs, the same at full length, and its root.
    half_correlation_in_order, ceiling_in_order
        From the first half against the second.
    reason
        Why nothing was computed.
    """

    blocks: int | float | None = mean()
    block_frames: int | float | None = mean()
    half_correlation: float | None = mean()
    reliability: float | None = mean()
    ceiling: float | None = mean()
    half_correlation_in_order: float | None = mean()
    ceiling_in_order: float | None = mean()
    reason: str | None = same(optional=True)


@dataclass(frozen=True)
class BetweenAnimals(Result):
    """Correlation of an animal's functional connectivity with the mean of others, on shared units.

    Parameters
    ----------
    units
        Shared with at least one other recording.
    others, all
        With the mean of the others (lower bound), and of all (upper bound).
    """

    units: int = total()
    others: float | None = mean()
    all: float | None = mean()


def spearman_brown(half: float) -> float:
    """Return the reliability of the whole from the correlation of its halves: 2 r / (1 + r)."""
    return 2 * half / (1 + half)


def fc_ceiling(values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> FcCeiling:
    """Estimate the ceiling of the agreement of any FC with that of these frames."""
    if not len(values):
        return FcCeiling(reason="the part has no frames")
    frames = len(values)
    length = max(MIN_BLOCK_FRAMES, 2 * _correlation_time(values, mask))
    blocks = 2 * (frames // (2 * length))
    order = _halves(values, mask, np.arange(frames) < frames // 2)
    if blocks < MIN_BLOCKS:
        dealt = Measured(
            None,
            0,
            reason=f"{frames} frames make {blocks} blocks of twice the correlation time ({length} frames), "
            f"{MIN_BLOCKS} are needed",
        )
    else:
        rng = np.random.default_rng(_SEED)
        block = np.minimum(np.arange(frames) * blocks // frames, blocks - 1)
        found = []
        for _ in range(SPLITS):
            first = np.isin(block, rng.permutation(blocks)[: blocks // 2])
            found.append(_halves(values, mask, first))
        known = [half.value for half in found if half.value is not None]
        dealt = Measured(float(np.mean(known)), len(known)) if known else found[0]
    return with_measures(
        FcCeiling(blocks=blocks, block_frames=length),
        half_correlation=dealt,
        reliability=_stepped_up(dealt, root=False),
        ceiling=_stepped_up(dealt, root=True),
        half_correlation_in_order=order,
        ceiling_in_order=_stepped_up(order, root=True),
    )


def between_animals(recordings: Sequence[Recording], part: str = "test") -> dict[str, BetweenAnimals]:
    """Compare the FC of each recording with the mean FC of the others, and of all, on shared units.

    Returns
    -------
    dict
        By name; empty for a single recording.
    """
    if len(recordings) < 2:
        return {}
    names = sorted({unit for recording in recordings for unit in recording.units})
    every = [names[k] for k in compared_units(len(names))]
    place = {unit: k for k, unit in enumerate(every)}
    aligned = np.full((len(recordings), len(every), len(every)), np.nan)
    for k, recording in enumerate(recordings):
        own = np.array([column for column, unit in enumerate(recording.units) if unit in place], np.int64)
        at = [place[recording.units[column]] for column in own]
        aligned[k][np.ix_(at, at)] = connectivity_of(*recording.part(part), own)
    known = np.isfinite(aligned)
    summed, count = np.where(known, aligned, 0.0).sum(axis=0), known.sum(axis=0)
    found: dict[str, BetweenAnimals] = {}
    for k, recording in enumerate(recordings):
        rest = count - known[k]
        shared = known[k] & (rest > 0)
        others = np.where(shared, (summed - np.where(known[k], aligned[k], 0.0)) / np.maximum(rest, 1), np.nan)
        mean_fc = np.where(shared, summed / np.maximum(count, 1), np.nan)
        units = int((shared.sum(axis=0) > 1).sum())
        # `fc_corr` counts units without a pair as left out; that most are not shared is said by the number of units.
        of_pair = np.where(shared, aligned[k], np.nan)
        found[recording.name] = with_measures(
            BetweenAnimals(units), others=_quiet(fc_corr(of_pair, others)), all=_quiet(fc_corr(of_pair, mean_fc))
        )
    return found


def _quiet(measured: Measured) -> Measured:
    return measured if measured.value is None else Measured(measured.value, measured.count)


def _halves(values: np.ndarray, mask: np.ndarray, first: np.ndarray) -> Measured:
    return fc_corr(*(compared_connectivity(values, mask, half) for half in (first, ~first)))


def _stepped_up(half: Measured, *, root: bool) -> Measured:
    if half.value is None:
        return half
    if half.value <= 0:
        return Measured(None, half.count, reason=f"the FCs of the halves do not agree (correlation {half.value:.2g})")
    whole = spearman_brown(half.value)
    return Measured(float(np.sqrt(whole)) if root else whole, half.count)


def _correlation_time(values: np.ndarray, mask: np.ndarray) -> int:
    """Lag in frames at which the mean autocorrelation of units falls below 1/e, in the first frames of a long part."""
    values, mask = (each[:LAG_FRAMES] for each in (values, mask))
    count = np.maximum(mask.sum(axis=0), 1)
    x = np.where(mask, values, 0.0).astype(np.float64)
    x = np.where(mask, x - x.sum(axis=0) / count, 0.0)
    variance = (x**2).sum(axis=0) / count
    varies = variance > (1e-10 * np.abs(np.where(mask, values, 0.0)).max(axis=0, initial=0.0)) ** 2
    x = np.where(varies, x / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    for lag in range(1, len(x) // 2):
        pairs = int((mask[lag:] & mask[:-lag] & varies).sum())
        if pairs == 0 or (x[lag:] * x[:-lag]).sum() / pairs < np.exp(-1):
            return lag
    return max(1, len(x) // 2)
