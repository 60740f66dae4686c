"""What a row of a study is: trained or not, another model than the connectome's or not, diverged or not.

A row that was not trained, that is the very model it is compared with, or of which every seed diverged keeps its
place in the table, but it wins and loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS
from connfit.evaluation.squared_errors import ONE_STEP, PredictionErrors
from connfit.evaluation.study.messages import Failure
from connfit.evaluation.study.seed_result import SeedResult
from connfit.evaluation.study.words import frames_ahead, listed
from connfit.models.init.starting_weights import WEIGHTS, initial_magnitudes
from connfit.recordings import Recording

EXPLODED = 10.0
"""Squared error over the larger of persistence's and the training mean's above which predictions have diverged: they
have left the range of the recording, which no model does that is merely wrong."""

SAME = 1e-5
"""Relative difference of squared errors, frame by frame, below which two fits from the same seed are the same model."""

NOT_BETTER = "no epoch was better on validation than the start"


@dataclass(frozen=True)
class Status:
    """What a row is, over its seeds.

    Parameters
    ----------
    trained
        By seed with results, ascending: whether the fit ended elsewhere than at its start; None for what is not fitted.
    vacuous
        Why the row is the connectome model itself; None where it is not.
    diverged
        By seed: what happened.
    left_out
        Seeds that others stand for: they diverged on the part that is scored.
    exploded
        Horizons at which all seeds diverged.
    mark
        One or two words for tables, empty where there is nothing to say.
    note
        The same as a clause that follows the row's name; None where there is nothing to say.
    counts
        Whether wins and losses of the row count.
    """

    trained: tuple[bool | None, ...] = ()
    vacuous: str | None = None
    diverged: Mapping[int, str] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()
    exploded: tuple[int, ...] = ()
    mark: str = ""
    note: str | None = None
    counts: bool = True


def moved(start: Mapping[str, np.ndarray], end: Mapping[str, np.ndarray]) -> bool:
    """Return whether any parameter differs from its start, bit for bit; weights that follow from gains are left out."""
    keys = [key for key in end if key in start and not (key == "weights" and "gains" in end)]
    return any(not np.array_equal(start[key], end[key]) for key in keys)


def why_not_trained(history: Sequence[Mapping[str, Any]], learned: int) -> str:
    """Explain why a fit ended where it began.

    Parameters
    ----------
    learned
        Numbers that it could change.
    """
    if not learned:
        return "it has no parameter to learn"
    if not history:
        return "it had no epoch"
    if all(row["selection"] is None for row in history):
        return "no parameter was changed"
    return NOT_BETTER


def why_identity(real: Connectome, null: Connectome, name: str, weights: str, seed: int) -> str | None:
    """Explain why a null connectome is the real one as far as a model can tell; None where it differs.

    Compared are who is connected to whom, the sign of each connection, and the weight at which it starts.

    Parameters
    ----------
    name
        Of the null.
    weights, seed
        How weights start, as in `connfit.models.init_params`.
    """
    for key in ("indptr", "indices", "electrical"):
        if not np.array_equal(getattr(real, key), getattr(null, key)):
            return None
    if not real.m:
        return "there are no connections"
    if not np.array_equal(real.connection_signs, null.connection_signs):
        return None
    start, other = (initial_magnitudes(brain, weights, seed=seed) for brain in (real, null))
    if not np.array_equal(start, other):
        return None
    ignoring_counts = None if WEIGHTS[weights].from_counts else weights
    return NULLS[name].why_same(real, ignoring_counts) or "what was drawn is the real wiring"


def explosions(errors: Sequence[PredictionErrors], recordings: Sequence[Recording]) -> dict[int, float | None]:
    """Find horizons at which predictions diverged: squared error over the larger of two references' (`EXPLODED`).

    Returns
    -------
    dict
        By horizon in frames: the ratio, the largest of all recordings; None where predictions stop being
        finite.
    """
    found: dict[int, float | None] = {}
    for forecast, recording in zip(errors, recordings, strict=True):
        values, mask = recording.part("train")
        seen = mask.sum(axis=0)
        mean = np.where(seen > 0, np.where(mask, values, 0.0).sum(axis=0) / np.maximum(seen, 1), np.nan)
        for h in forecast.horizons:
            known = recording.mask[forecast.frames[h]] & np.isfinite(mean)
            away = np.where(known, recording.values[forecast.frames[h]].astype(np.float64) - mean, 0.0)
            ratio = float(forecast.squared_error[h].sum() / max((away**2).sum(), forecast.reference_error[h].sum()))
            known_ratio = found.get(h, 0.0)
            if ratio > EXPLODED and known_ratio is not None:
                found[h] = max(ratio, known_ratio)
        found |= {h: None for h, why in forecast.reasons.items() if "finite" in why or "diverged" in why}
    return dict(sorted(found.items()))


def row_status(
    group: str,
    seeds: Mapping[int, SeedResult],
    failed: Mapping[int, Failure],
    *,
    same: Sequence[int] = (),
    part: str = "test",
) -> Status:
    """Describe what a row is.

    Parameters
    ----------
    group
        Of the row.
    seeds
        By seed with results: what its task left.
    failed
        By seed without: why.
    same
        Seeds whose predictions are those of the connectome model.
    part
        That is scored.
    """
    results = [result for _, result in sorted(seeds.items())]
    trained = tuple(result.trained for result in results)
    exploded = {seed: result.exploded for seed, result in sorted(seeds.items()) if result.exploded}
    diverged = {seed: _in_epoch(why) for seed, why in failed.items() if why.diverged}
    diverged |= {seed: f"diverges on the {part} part: {_far(at)}" for seed, at in exploded.items()}
    others, every = len(seeds) - len(exploded), len(seeds) + len(failed)
    left_out = tuple(exploded) if others else ()
    everywhere = () if others or not seeds else _common(exploded)
    clauses: list[str] = []
    mark, counts, vacuous = "", True, None
    fitted, untrained = sum(moved is not None for moved in trained), trained.count(False)
    identities = [result.vacuous for result in seeds.values() if result.vacuous]
    if fitted and untrained == fitted:
        whys = dict.fromkeys(result.untrained_reason for result in seeds.values() if result.untrained_reason)
        clauses.append(f"was not trained: {'; '.join(whys) or NOT_BETTER}")
        mark, counts = "not trained", False
    elif untrained:
        mark = f"not trained in {untrained} of {fitted} seeds"
        clauses.append(f"was {mark}: {NOT_BETTER} there")
    if group == "null" and seeds and len(identities) == len(seeds):
        vacuous = identities[0]
        clauses.insert(0, f"is the real wiring here ({vacuous})")
    elif group in ("ablation", "learning", "null") and not clauses and seeds and len(same) == len(seeds):
        vacuous = "its predictions are those of the connectome model"
        clauses.insert(0, f"changes nothing here: {vacuous}")
    elif identities:
        clauses.append(f"is the real wiring in {len(identities)} of {len(seeds)} draws ({identities[0]})")
    if vacuous is not None:
        mark, counts = "vacuous", False
    if diverged:
        clauses.append(_diverged_clause(diverged, others, every, everywhere))
        mark = mark or (f"diverged in {len(diverged)} of {every} seeds" if others else "diverged")
    failures = {seed: why.reason for seed, why in sorted(failed.items()) if not why.diverged}
    if failures and seeds:
        numbered = f"seed{'s' if len(failures) > 1 else ''} {listed(list(failures))}"
        clauses.append(f"has no numbers from {numbered} ({next(iter(failures.values())).rstrip('.')})")
        mark = mark or f"failed in {len(failures)} of {every} seeds"
    if not seeds:
        mark = mark or "no numbers"
    note = "; ".join(clauses) or None
    return Status(trained, vacuous, dict(sorted(diverged.items())), left_out, everywhere, mark, note, counts)


def _in_epoch(why: Failure) -> str:
    return "diverged" if why.epoch is None else f"diverged in epoch {why.epoch}"


def _far(at: Mapping[int, float | None]) -> str:
    """Where and how far the predictions of a seed went."""
    first = min(at)
    ratio, ahead = at[first], frames_ahead(first).lower()
    if ratio is None:
        return f"{ahead} its predictions are not finite"
    return f"{ahead} its squared error is {_times(ratio)} times that of persistence or of the mean, whichever is larger"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.0e}".replace("e+0", "e").replace("e+", "e")


def _common(exploded: Mapping[int, Mapping[int, float | None]]) -> tuple[int, ...]:
    """Horizons at which every seed diverged."""
    return tuple(sorted(set.intersection(*(set(at) for at in exploded.values()))))


def _diverged_clause(diverged: Mapping[int, str], others: int, seeds: int, everywhere: Sequence[int]) -> str:
    """Which seeds diverged and when, and what the numbers of the row are of."""
    if others:
        return f"has numbers of {others} of {seeds} seeds: {why_diverged(diverged, seeds)}"
    first = next(iter(diverged.values()))
    if not everywhere:
        return f"diverged in every seed: {why_diverged(diverged, seeds)}" if seeds > 1 else first
    # Each seed has a number of its own; one of them says what is meant.
    also = ", and so do all other seeds" if seeds > 1 else ""
    unit = "frame" if list(everywhere) == [ONE_STEP] else "frames"
    return f"{first}{also}; at {listed(everywhere)} {unit} it wins and loses nothing"


def why_diverged(diverged: Mapping[int, str], seeds: int) -> str:
    """Return which seeds diverged and what happened; of a single one without its number."""
    return ", ".join(f"seed {seed} {what}" if seeds > 1 else f"it {what}" for seed, what in sorted(diverged.items()))
