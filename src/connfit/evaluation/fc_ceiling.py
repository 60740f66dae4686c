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
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.metrics import Measured, collect, fc_corr, functional_connectivity
from connfit.recordings import Recording

SPLITS = 40
"""Random ways to deal blocks to halves over which reliability is averaged."""

MIN_BLOCKS = 4
MIN_BLOCK_FRAMES = 5
_SEED = 1910


def spearman_brown(half: float) -> float:
    """Reliability of the whole from the correlation of its halves: 2 r / (1 + r)."""
    return 2 * half / (1 + half)


def fc_ceiling(values: Float[np.ndarray, "t P"], mask: Bool[np.ndarray, "t P"]) -> dict[str, Any]:
    """Ceiling of the agreement of any FC with that of these frames.

    Returns
    -------
    dict
        `ceiling`, `reliability` and `half_correlation` from dealt blocks; `ceiling_in_order` and
        `half_correlation_in_order` from the first half against the second; `blocks`, `block_frames`. None comes with
        its reason under `reasons`.
    """
    frames = len(values)
    length = max(MIN_BLOCK_FRAMES, 2 * _correlation_time(values, mask))
    blocks = 2 * (frames // (2 * length))
    order = _halves(values, mask, np.arange(frames) < frames // 2)
    facts = {"blocks": blocks, "block_frames": length}
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
        known = [one.value for one in found if one.value is not None]
        dealt = Measured(float(np.mean(known)), len(known)) if known else found[0]
    return {
        **facts,
        **collect(
            half_correlation=dealt,
            reliability=_stepped_up(dealt, root=False),
            ceiling=_stepped_up(dealt, root=True),
            half_correlation_in_order=order,
            ceiling_in_order=_stepped_up(order, root=True),
        ),
    }


def between_animals(recordings: Sequence[Recording], part: str = "test") -> dict[str, dict[str, Any]]:
    """For each recording, its FC against the mean FC of the others, and against the mean of all, on shared units.

    Returns
    -------
    dict
        By name: `others` (lower bound), `all` (upper bound), `units` shared with at least one other recording. Empty
        for a single recording.
    """
    if len(recordings) < 2:
        return {}
    every = sorted({unit for one in recordings for unit in one.units})
    place = {unit: k for k, unit in enumerate(every)}
    aligned = np.full((len(recordings), len(every), len(every)), np.nan)
    for k, one in enumerate(recordings):
        at = [place[unit] for unit in one.units]
        aligned[k][np.ix_(at, at)] = functional_connectivity(*one.part(part))
    known = np.isfinite(aligned)
    total, count = np.where(known, aligned, 0.0).sum(axis=0), known.sum(axis=0)
    found: dict[str, dict[str, Any]] = {}
    for k, one in enumerate(recordings):
        rest = count - known[k]
        shared = known[k] & (rest > 0)
        others = np.where(shared, (total - np.where(known[k], aligned[k], 0.0)) / np.maximum(rest, 1), np.nan)
        mean = np.where(shared, total / np.maximum(count, 1), np.nan)
        units = int((shared.sum(axis=0) > 1).sum())
        # `fc_corr` counts units without a pair as left out; that most are not shared is said by the number of units.
        of_pair = np.where(shared, aligned[k], np.nan)
        measured = {"others": _quiet(fc_corr(of_pair, others)), "all": _quiet(fc_corr(of_pair, mean))}
        found[one.name] = {"units": units, **collect(**measured)}
    return found


def _quiet(measured: Measured) -> Measured:
    return measured if measured.value is None else Measured(measured.value, measured.count)


def _halves(values: np.ndarray, mask: np.ndarray, first: np.ndarray) -> Measured:
    one, other = (functional_connectivity(values[half], mask[half]) for half in (first, ~first))
    return fc_corr(one, other)


def _stepped_up(half: Measured, *, root: bool) -> Measured:
    if half.value is None:
        return half
    if half.value <= 0:
        return Measured(None, half.count, reason=f"the FCs of the halves do not agree (correlation {half.value:.2g})")
    whole = spearman_brown(half.value)
    return Measured(float(np.sqrt(whole)) if root else whole, half.count)


def _correlation_time(values: np.ndarray, mask: np.ndarray) -> int:
    """Lag in frames at which the mean autocorrelation of units falls below 1/e."""
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
