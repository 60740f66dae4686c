"""What a row of a study is: trained or not, another model than the connectome's or not, diverged or not.

A row that was not trained, that is the very model it is compared with, or of which every seed diverged keeps its
place in the table, but it wins and loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS
from connfit.evaluation.squared_errors import ONE_STEP, PredictionErrors
from connfit.models.init.initial import initial_magnitudes
from connfit.recordings import Recording

EXPLODED = 10.0
"""Squared error over the larger of persistence's and the training mean's above which predictions have diverged: they
have left the range of the recording, which no model does that is merely wrong."""

SAME = 1e-5
"""Relative difference of squared errors, frame by frame, below which two fits from the same seed are the same model."""

NOT_BETTER = "no epoch was better on validation than the start"


@dataclass(frozen=True)
class Failure:
    """Why a task could not be done.

    Parameters
    ----------
    reason
        In words.
    diverged
        Whether a fit stopped being finite.
    epoch
        In which epoch, as in `history.csv`; None if it is not known.
    """

    reason: str
    diverged: bool = False
    epoch: int | None = None


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
    diverged: Mapping[int, str] | None = None
    left_out: tuple[int, ...] = ()
    exploded: tuple[int, ...] = ()
    mark: str = ""
    note: str | None = None
    counts: bool = True


def moved(start: Mapping[str, np.ndarray], end: Mapping[str, np.ndarray]) -> bool:
    """Whether any parameter differs from its start, bit for bit; strengths that follow from gains are left out."""
    keys = [key for key in end if key in start and not (key == "weights" and "gains" in end)]
    return any(not np.array_equal(start[key], end[key]) for key in keys)


def why_not_trained(history: Sequence[Mapping[str, Any]], learned: int) -> str:
    """Why a fit ended where it began.

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
    """Why a null connectome is the real one as far as a model can tell; None where it differs.

    Compared are who is connected to whom, the sign of each connection, and the strength at which it starts.

    Parameters
    ----------
    name
        Of the null.
    weights, seed
        How strengths start, as in `connfit.models.init_params`.
    """
    for key in ("indptr", "indices", "electrical"):
        if not np.array_equal(getattr(real, key), getattr(null, key)):
            return None
    if not real.m:
        return "there are no connections"
    if not np.array_equal(real.connection_signs, null.connection_signs):
        return None
    start, other = (initial_magnitudes(one, weights, seed=seed) for one in (real, null))
    if not np.array_equal(start, other):
        return None
    return NULLS[name].why_same(real, weights) or "what was drawn is the real wiring"


def explosions(errors: Sequence[PredictionErrors], recordings: Sequence[Recording]) -> dict[str, float | None]:
    """Horizons at which predictions diverged: their squared error over the larger of two references' (`EXPLODED`).

    Returns
    -------
    dict
        By horizon in frames, as text: the ratio, the largest of all recordings; None where predictions stop being
        finite.
    """
    found: dict[str, float | None] = {}
    for one, recording in zip(errors, recordings, strict=True):
        values, mask = recording.part("train")
        seen = mask.sum(axis=0)
        mean = np.where(seen > 0, np.where(mask, values, 0.0).sum(axis=0) / np.maximum(seen, 1), np.nan)
        for h in one.horizons:
            known = recording.mask[one.frames[h]] & np.isfinite(mean)
            away = np.where(known, recording.values[one.frames[h]].astype(np.float64) - mean, 0.0)
            ratio = float(one.squared_error[h].sum() / max((away**2).sum(), one.reference_error[h].sum()))
            known_ratio = found.get(str(h), 0.0)
            if ratio > EXPLODED and known_ratio is not None:
                found[str(h)] = max(ratio, known_ratio)
        found |= {str(h): None for h, why in one.reasons.items() if "finite" in why or "diverged" in why}
    return {h: found[h] for h in sorted(found, key=int)}


def row_status(
    group: str,
    seeds: Mapping[int, Mapping[str, Any]],
    failed: Mapping[int, Failure],
    *,
    same: Sequence[int] = (),
    part: str = "test",
) -> Status:
    """What a row is.

    Parameters
    ----------
    group
        Of the row.
    seeds
        By seed with results: the facts that its task left.
    failed
        By seed without: why.
    same
        Seeds whose predictions are those of the connectome model.
    part
        That is scored.
    """
    trained = tuple(facts.get("trained") for _, facts in sorted(seeds.items()))
    exploded = {seed: facts["exploded"] for seed, facts in sorted(seeds.items()) if facts.get("exploded")}
    diverged = {seed: _in_epoch(one) for seed, one in failed.items() if one.diverged}
    diverged |= {seed: f"diverges on the {part} part: {_far(at)}" for seed, at in exploded.items()}
    others = len(seeds) - len(exploded)
    left_out = tuple(exploded) if others else ()
    everywhere = () if others or not seeds else _common(exploded)
    clauses: list[str] = []
    mark, counts, vacuous = "", True, None
    fitted = sum(one is not None for one in trained)
    untrained = sum(one is False for one in trained)
    identities = [why for facts in seeds.values() if (why := facts.get("vacuous"))]
    if fitted and untrained == fitted:
        whys = dict.fromkeys(why for facts in seeds.values() if (why := facts.get("untrained_reason")))
        clauses.append(f"was not trained: {'; '.join(whys) or NOT_BETTER}")
        mark, counts = "not trained", False
    elif untrained:
        clauses.append(f"was not trained in {untrained} of {fitted} seeds: {NOT_BETTER} there")
        mark = f"not trained in {untrained} of {fitted} seeds"
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
        clauses.append(_diverged_clause(diverged, others, len(seeds) + len(failed), everywhere))
        lost = f"diverged in {len(diverged)} of {len(seeds) + len(failed)} seeds"
        mark = mark or (lost if others else "diverged")
    others_failed = {seed: one.reason for seed, one in sorted(failed.items()) if not one.diverged}
    if others_failed and seeds:
        reason = next(iter(others_failed.values()))
        numbered = _seeds(list(others_failed))
        clauses.append(f"has no numbers from {numbered} ({reason.rstrip('.')})")
        mark = mark or f"failed in {len(others_failed)} of {len(seeds) + len(failed)} seeds"
    if not seeds:
        mark = mark or "no numbers"
    note = "; ".join(clauses) or None
    return Status(trained, vacuous, dict(sorted(diverged.items())), left_out, everywhere, mark, note, counts)


def _in_epoch(failure: Failure) -> str:
    return "diverged" if failure.epoch is None else f"diverged in epoch {failure.epoch}"


def _far(at: Mapping[str, float | None]) -> str:
    """Where and how far the predictions of a seed went."""
    first = min(at, key=int)
    ahead = "one frame ahead" if int(first) == ONE_STEP else f"{first} frames ahead"
    ratio = at[first]
    if ratio is None:
        return f"{ahead} its predictions are not finite"
    return f"{ahead} its squared error is {_times(ratio)} times that of persistence or of the mean, whichever is larger"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.0e}".replace("e+0", "e").replace("e+", "e")


def _common(exploded: Mapping[int, Mapping[str, float | None]]) -> tuple[int, ...]:
    """Horizons at which every seed diverged."""
    sets = [set(map(int, at)) for at in exploded.values()]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def _diverged_clause(diverged: Mapping[int, str], others: int, seeds: int, everywhere: Sequence[int]) -> str:
    """Which seeds diverged and when, and what the numbers of the row are of."""
    if others:
        return f"has numbers of {others} of {seeds} seeds: {why_diverged(diverged, seeds)}"
    if not everywhere:
        return (
            f"diverged in every seed: {why_diverged(diverged, seeds)}" if seeds > 1 else next(iter(diverged.values()))
        )
    far = [str(h) for h in everywhere]
    listed = f"{', '.join(far[:-1])} and {far[-1]}" if len(far) > 1 else far[0]
    # Each seed has a number of its own; one of them says what is meant.
    first = next(iter(diverged.values())) + (", and so do all other seeds" if seeds > 1 else "")
    return f"{first}; at {listed} {'frame' if far == ['1'] else 'frames'} it wins and loses nothing"


def why_diverged(diverged: Mapping[int, str], seeds: int) -> str:
    """Each seed that diverged, with what happened; of a single one without its number."""
    return ", ".join(f"seed {seed} {what}" if seeds > 1 else f"it {what}" for seed, what in sorted(diverged.items()))


def _seeds(seeds: Sequence[int]) -> str:
    numbers = [str(seed) for seed in seeds]
    if len(numbers) == 1:
        return f"seed {numbers[0]}"
    return f"seeds {', '.join(numbers[:-1])} and {numbers[-1]}"
