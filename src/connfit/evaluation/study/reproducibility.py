"""Do seeds that predict alike have parameters alike? Agreement of what they start with, end with, and change.

Seeds that share a start agree at the end whatever the data say, and a parameter that nothing moves agrees
perfectly. So each group is compared three times: at the start, after the fit, and in the change from one to the other.
Where changes do not agree although predictions do, the data leave the direction open (Gutenkunst et al. 2007, PLoS
Comput Biol 3:e189, on sloppy parameters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import stats

from connfit._io import read_arrays
from connfit.connectome import Connectome
from connfit.evaluation.study.agreements import Agreement, PredictionAgreement, Reproducibility
from connfit.evaluation.study.seed_result import Done
from connfit.evaluation.study.words import frames_ahead

FLAT_BELOW = 0.1
"""Mean correlation of the changes below which a group is called flat ..."""

ALIKE_ABOVE = 0.95
"""... if predictions of the same seeds correlate above this."""

MIN_VALUES = 10
"""Parameters without which a correlation is not given."""

MOST_RANKED = 2_000_000
"""Of larger groups, rank correlations are of as many parameters, evenly spaced."""


def reproducibility(runs: Mapping[int, Path], done: Mapping[int, Done], folder: Path) -> Reproducibility:
    """Compare parameters and predictions between the seeds of the connectome model.

    Parameters
    ----------
    runs
        Run directory by seed.
    done
        Predictions by seed.
    folder
        Of the run that is studied, with the connectome.
    """
    if len(runs) < 2:
        return Reproducibility(reason=f"{len(runs)} seed of the connectome model, 2 are needed")
    starts, ends = (
        [read_arrays(run / file)[0] for run in runs.values()] for file in ("parameters_initial.npz", "parameters.npz")
    )
    stacked = stack_groups(starts, ends)
    groups = tuple(agreement(group, *both) for group, both in stacked.items())
    regions: list[Agreement] = []
    if "weights" in stacked:
        connectome = Connectome.load(folder / "connectome.h5")
        region = connectome.neurons["region"].fillna("").astype(str).to_numpy()
        regions = by_part(*stacked["weights"], region[connectome.posts])
    predictions = _prediction_agreements(done)
    flat, sentences = flat_groups(groups, predictions)
    return Reproducibility(tuple(runs), groups, tuple(regions), predictions, flat, sentences)


def _prediction_agreements(done: Mapping[int, Done]) -> tuple[PredictionAgreement, ...]:
    """One frame ahead and far ahead, recordings one below the other."""
    arrays = [of_seed.arrays for _, of_seed in sorted(done.items())]
    first, found = arrays[0], []
    for key in ("one_step", "far"):
        numbers = [number for number in range(int(first["recordings"])) if f"{number}.{key}" in first]
        if not numbers:
            continue
        ahead = 1 if key == "one_step" else max(int(first[f"{number}.far_frames"]) for number in numbers)
        # Each recording has its own units: all values in one column, each centred where it belongs.
        agreements = [
            prediction_agreement([seed[f"{n}.{key}"] for seed in arrays], first[f"{n}.{key}_last"], ahead)
            for n in numbers
        ]
        found.append(_over_recordings(agreements))
    return tuple(found)


def _over_recordings(agreements: Sequence[PredictionAgreement]) -> PredictionAgreement:
    """Mean over recordings, weighted by their number of values."""
    known = [found for found in agreements if found.pearson is not None and found.change_pearson is not None]
    if len(known) < 2:
        return known[0] if known else agreements[0]
    sizes = np.array([found.count for found in known], np.float64)
    return replace(
        known[0],
        count=int(sizes.sum()),
        pearson=float(np.average([found.pearson or 0.0 for found in known], weights=sizes)),
        change_pearson=float(np.average([found.change_pearson or 0.0 for found in known], weights=sizes)),
    )


def agreement(group: str, starts: Float[np.ndarray, "K n"], ends: Float[np.ndarray, "K n"]) -> Agreement:
    """Compare K seeds on n parameters.

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
    """Compute `agreement` within each part of a group (each region, each type), the largest parts first.

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
    """Compare predictions that several seeds make of the same entries.

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
    stack = np.stack([np.asarray(of_seed, np.float64) for of_seed in predictions])
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
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find groups whose changes do not agree between seeds although predictions do, and say how all of them agree.

    Returns
    -------
    names
        Of the flat groups.
    sentences
        One for predictions and one for each group that has numbers.
    """
    known = [found.pearson for found in predictions if found.pearson is not None]
    alike = bool(known) and min(known) > ALIKE_ABOVE
    sentences = [
        f"Between seeds predictions {frames_ahead(found.frames_ahead).lower()} "
        f"correlate at {found.pearson:.3f}, and the changes that they predict at {found.change_pearson:.3f}."
        for found in predictions
        if found.pearson is not None and found.change_pearson is not None
    ]
    flat = []
    for group in groups:
        words = group.group.replace("_", " ")
        if group.change_pearson is None:
            sentences += [f"{words}: {group.reason}."] if group.reason else []
            continue
        said = f"{words}: changes correlate {group.change_pearson:.3f} between seeds"
        if group.pearson is not None and group.start_pearson is not None:
            said += f" (values after the fit {group.pearson:.3f}, at the start {group.start_pearson:.3f})"
        if group.change_pearson < FLAT_BELOW and alike:
            flat.append(group.group)
            said += ": a flat direction, which these data leave open"
        elif group.change_pearson < FLAT_BELOW:
            said += ", as little as the seeds' predictions suggest"
        sentences.append(f"{said}.")
    return tuple(flat), tuple(sentences)


def stack_groups(
    starts: Sequence[Mapping[str, np.ndarray]], ends: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, tuple[Float[np.ndarray, "K n"], Float[np.ndarray, "K n"]]]:
    """Return parameters of several runs as [seed, parameter] by group; time constants in seconds."""
    groups = [
        key for key in ends[0] if not key.startswith("log_") and all(key in arrays for arrays in (*starts, *ends))
    ]
    return {key: (_stacked(starts, key), _stacked(ends, key)) for key in groups}


def _stacked(runs: Sequence[Mapping[str, np.ndarray]], key: str) -> Float[np.ndarray, "K n"]:
    return np.stack([arrays[key].ravel() for arrays in runs])


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
