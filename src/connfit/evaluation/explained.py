"""What own past, inputs, other units and the wiring each explain of a recording, one frame ahead.

A baseline says what it predicts from (`Baseline.knows`). Of those that know the same, the one that errs least on the
validation part stands for it, and the fitted model for the wiring. Their predicted changes are added up with weights
that are not negative and fitted on the validation part (stacked regressions: Breiman 1996, doi 10.1007/BF00117832).
What a source explains is how much the skill of such sums on the test part gains by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import nnls

from connfit._io import optional
from connfit.evaluation.intervals import Interval, paired_difference, skill_interval
from connfit.evaluation.scores import Scored
from connfit.evaluation.scratch import Scratch, part_of
from connfit.evaluation.squared_errors import ONE_STEP, PredictionErrors
from connfit.evaluation.unit_scores import Estimate
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored, frame_blocks

WIRING = "wiring"

SOURCES = ("own_past", "inputs", "other_units", WIRING)
"""In the order in which they are added: what a simpler predictor knows comes first."""

FITTED, SCORED = "validation", "test"
"""Part on which weights are fitted, and the part that is scored."""


@dataclass(frozen=True)
class Contribution:
    """What one source explains, as skill over persistence of all units pooled, mean over recordings.

    Parameters
    ----------
    predictor
        Who stands for it; None where recordings differ in that.
    weight
        Of its predicted change in the sum of all sources.
    alone
        Skill of its predictions as they are.
    added
        Gain in skill when it joins the sources before it.
    missed
        Loss in skill when it alone is taken from all sources: what no other source knows.
    """

    predictor: str | None
    weight: float
    alone: Estimate
    added: Estimate
    missed: Estimate


@dataclass(frozen=True)
class Explained:
    """What each source explains of the test part, one frame ahead.

    Parameters
    ----------
    sources
        By name, in the order in which they are added.
    together
        Skill of the sum of all sources.
    recordings
        Number of recordings that have all of these sources.
    reason
        Why nothing is known, or of which recordings it is not.
    """

    sources: Mapping[str, Contribution] = field(default_factory=dict)
    together: Estimate = field(default_factory=Estimate)
    recordings: int = 0
    reason: str | None = optional()


@dataclass(frozen=True, eq=False)
class Candidate:
    """One-step predictions of the two parts by one predictor, and its skill on validation."""

    name: str
    skill: float
    parts: Mapping[str, Stored]


@dataclass(frozen=True, eq=False)
class StackErrors:
    """Errors of sums of sources on the test part of one recording.

    Parameters
    ----------
    names
        By source: who stands for it.
    weights
        In the sum of all of them.
    alone
        By source: errors of its predictions as they are.
    sums
        By sources: errors of their sum.
    """

    names: Mapping[str, str]
    weights: Mapping[str, float]
    alone: Mapping[str, PredictionErrors]
    sums: Mapping[tuple[str, ...], PredictionErrors]


def with_candidate(
    found: Mapping[str, Candidate], source: str, name: str, scored: Scored, recording: Recording, store: Scratch
) -> dict[str, Candidate]:
    """Return the candidates by source, with another if it errs less on validation than the one that is there."""
    skill = scored.scores[FITTED].one_step.skill_vs_persistence if FITTED in scored.scores else None
    best = found.get(source)
    if source not in SOURCES or skill is None or (best is not None and best.skill >= skill):
        return dict(found)
    parts = best.parts if best is not None else _space(recording, store)
    blocks = recording.require_parts()
    for part, to in parts.items():
        predicted = part_of(scored.one_step, blocks[part])
        for block in frame_blocks(0, to.shape[0], to.shape[1]):
            to[block] = predicted[block]
    return {**found, source: Candidate(name, skill, parts)}


def stack_errors(recording: Recording, candidates: Mapping[str, Candidate], last_values: Stored) -> StackErrors | str:
    """Fit the weights of sums of sources on validation, and score the sums on the test part.

    Parameters
    ----------
    candidates
        By source.
    last_values
        One-step prediction of all frames by persistence.

    Returns
    -------
    StackErrors or str
        Or why there are none.
    """
    sources = tuple(source for source in SOURCES if source in candidates)
    if len(sources) < 2:
        return "it takes the model and a baseline that knows less, both with skill on validation"
    first = {source: sources[: k + 1] for k, source in enumerate(sources)}
    without = {source: tuple(other for other in sources if other != source) for source in sources}
    sets = dict.fromkeys((*first.values(), *without.values()))
    gram, count = np.zeros((len(sources) + 1, len(sources) + 1)), 0
    for _, changes, scored in _changes(recording, FITTED, sources, candidates, last_values):
        flat = changes[:, scored]
        gram += flat @ flat.T
        count += int(scored.sum())
    if not count or not gram[-1, -1] > 0 or not np.isfinite(gram).all():
        return f"no entry of the {FITTED} part is predicted by all, or nothing changes there"
    weights = {of: _weights(gram, [sources.index(source) for source in of]) for of in sets}
    rows = [np.eye(len(sources))[k] for k in range(len(sources))]
    rows += [_row(of, weights[of], sources) for of in sets]
    block = recording.require_parts()[SCORED]
    frames = block.stop - block.start
    squared, reference, entries = np.zeros((len(rows), frames)), np.zeros(frames), np.zeros(frames, np.int64)
    for at, changes, scored in _changes(recording, SCORED, sources, candidates, last_values):
        changes = np.where(scored, changes, 0.0)
        reference[at] = (changes[-1] ** 2).sum(axis=1)
        entries[at] = scored.sum(axis=1)
        for row, of in enumerate(rows):
            squared[row, at] = ((changes[-1] - np.tensordot(of, changes[:-1], 1)) ** 2).sum(axis=1)
    if not reference.any() or not np.isfinite(squared).all():
        return f"no entry of the {SCORED} part is predicted by all, or nothing changes there"

    def errors(row: int) -> PredictionErrors:
        return PredictionErrors(
            recording.name,
            SCORED,
            frames={ONE_STEP: np.arange(block.start, block.stop)},
            squared_error={ONE_STEP: squared[row]},
            reference_error={ONE_STEP: reference},
            entries={ONE_STEP: entries},
        )

    return StackErrors(
        names={source: candidates[source].name for source in sources},
        weights=dict(zip(sources, map(float, weights[sources]), strict=True)),
        alone={source: errors(k) for k, source in enumerate(sources)},
        sums={of: errors(len(sources) + k) for k, of in enumerate(sets)},
    )


def explained(stacks: Mapping[str, StackErrors | str]) -> Explained:
    """Compute what each source explains, of one recording or as the mean over several.

    Parameters
    ----------
    stacks
        By recording, of `stack_errors`. Those without a source that another has are left out.
    """
    there = {name: stack for name, stack in stacks.items() if not isinstance(stack, str)}
    sources = max((tuple(stack.names) for stack in there.values()), key=len, default=())
    used = [stack for stack in there.values() if tuple(stack.names) == sources]
    lacking = {name: stack for name, stack in stacks.items() if isinstance(stack, str)}
    lacking |= {name: "sources are absent" for name, stack in there.items() if tuple(stack.names) != sources}
    why = "; ".join(f"{name}: {reason}" for name, reason in lacking.items()) or None
    if not used:
        return Explained(reason=why)

    def sums(*of: str) -> list[PredictionErrors]:
        return [stack.sums[of] for stack in used]

    found: dict[str, Contribution] = {}
    for k, source in enumerate(sources):
        names = {stack.names[source] for stack in used}
        others = tuple(other for other in sources if other != source)
        now, before = [sums(*sources[: k + 1])], [sums(*sources[:k])] if k else []
        found[source] = Contribution(
            predictor=names.pop() if len(names) == 1 else None,
            weight=float(np.mean([stack.weights[source] for stack in used])),
            alone=_estimate(skill_interval([[stack.alone[source] for stack in used]], ONE_STEP)),
            added=_estimate(paired_difference(now, before, ONE_STEP) if k else skill_interval(now, ONE_STEP)),
            missed=_estimate(paired_difference([sums(*sources)], [sums(*others)], ONE_STEP)),
        )
    return Explained(found, _estimate(skill_interval([sums(*sources)], ONE_STEP)), len(used), why)


def _space(recording: Recording, store: Scratch) -> dict[str, Stored]:
    blocks = {part: recording.require_parts()[part] for part in (FITTED, SCORED)}
    units = len(recording.units)
    return {part: store.array(at.stop - at.start, units, dtype=np.float32) for part, at in blocks.items()}


def _changes(
    recording: Recording,
    part: str,
    sources: Sequence[str],
    candidates: Mapping[str, Candidate],
    last_values: Stored,
) -> Iterator[tuple[slice, Float[np.ndarray, "n F P"], Bool[np.ndarray, "F P"]]]:
    """Yield, by block of frames of a part: where, changes from frame to frame that are predicted by each source and,
    last, that happened [sources + 1, frames, units], and which entries all predict."""
    values, mask = recording.part(part)
    last = part_of(last_values, recording.require_parts()[part])
    for block in frame_blocks(0, *values.shape):
        before = np.asarray(last[block], np.float64)
        rows = [np.asarray(candidates[source].parts[part][block], np.float64) for source in sources]
        changes = np.stack([*rows, np.asarray(values[block], np.float64)]) - before
        scored = mask[block] & np.isfinite(changes).all(axis=0)
        yield block, changes, scored


def _weights(gram: Float[np.ndarray, "n n"], which: Sequence[int]) -> Float[np.ndarray, "k"]:
    """Weights, none of them negative, of the least squared error, from products of changes; the last are the true."""
    among, target = gram[np.ix_(which, which)], gram[which, -1]
    size, axes = np.linalg.eigh(among)
    root = np.sqrt(np.maximum(size, size.max() * 1e-12))
    return nnls(root[:, None] * axes.T, axes.T @ target / root)[0]


def _row(of: Sequence[str], weights: Float[np.ndarray, "k"], sources: Sequence[str]) -> Float[np.ndarray, "n"]:
    row = np.zeros(len(sources))
    row[[sources.index(source) for source in of]] = weights
    return row


def _estimate(interval: Interval) -> Estimate:
    reasons = {} if interval.reason is None else {"value" if interval.value is None else "low": interval.reason}
    return Estimate(interval.value, interval.low, interval.high, reasons=reasons)
