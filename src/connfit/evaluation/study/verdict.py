"""What the table says, in plain words made from its numbers alone, whoever wins."""

from __future__ import annotations

from collections.abc import Sequence

from connfit.config import ModelConfig
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.study.advice import what_to_try
from connfit.evaluation.study.row_names import row_name
from connfit.evaluation.study.study import Difference, Study, StudyRow, UnitDifference
from connfit.evaluation.study.words import STANDINGS, frames, frames_ahead, listed

SMALL = 0.005
"""Differences in skill below this, of which neither interval excludes zero, are named and not quoted."""


def verdict_sentences(study: Study, model: ModelConfig | None = None) -> tuple[str, ...]:
    """State who is the strongest baseline, who is beaten, whether the wiring matters, and what does not count.

    A row is beaten, or beats, where the pooled interval excludes zero and the difference of the median unit does not
    have the other sign; it is said where the interval no longer excludes zero once all rows are allowed for. Rows that
    were not trained, that are the connectome model itself, and horizons at which a row diverged win and lose nothing.

    Parameters
    ----------
    study
        With its table, and its recordings where they are known.
    model
        Options of the fit, from which advice follows; default: those of `ModelConfig`.
    """
    ours = next((row for row in study.rows if row.group == "connectome"), None)
    if ours is None or not ours.seeds:
        why = "it was not asked for" if ours is None else ours.reason
        return (f"The connectome model could not be fitted ({why}): nothing can be compared.",)
    sentences = []
    if ours.note:
        sentences.append(f"The connectome model {ours.note}.")
    if not ours.counts:
        sentences.append("So nothing is won or lost here: numbers are those of its start.")
    sentences += _recordings(study)
    if len(ours.seeds) - len(ours.left_out) < 2:
        sentences.append("One seed only: intervals do not include the spread between seeds.")
    sentences += _bar(
        study, "the connectome model" if ours.counts else "the untrained connectome model", model or ModelConfig()
    )
    sentences += [sentence for h in study.comparisons.horizons if (sentence := _at(study.rows, h))]
    sentences += _disagreements(study)
    sentences += _nulls(study)
    sentences += [sentence for row in study.rows if row is not ours and (sentence := _aside(row))]
    missing = [row for row in study.rows if row.reason]
    sentences += [f"{_capital(_name(row))} has no numbers: {(row.reason or '').rstrip('.')}." for row in missing]
    return tuple(sentences)


def _recordings(study: Study) -> list[str]:
    """Of how many recordings this is, where there are more."""
    used, available = len(study.recordings), study.recordings_available
    if not used or available is None or used >= available:
        return []
    few = "one" if used == 1 else str(used)
    return [f"This is a study of {few} of {available} recordings: it says nothing about the rest."]


def _bar(study: Study, subject: str, model: ModelConfig) -> list[str]:
    """The strongest baseline at each horizon, and how the model stands to it."""
    sentences, beaten_by = [], False
    for h in study.comparisons.horizons:
        best = study.strongest.get(h)
        if best is None:
            continue
        difference, units = best.difference, best.difference.median_unit
        skills = f"skill {_plain(best.skill)} pooled"
        skills += f", {_plain(best.median_unit)} of the median unit" if best.median_unit is not None else ""
        said = [f"pooled {_interval(difference)}"]
        if units.value is not None:
            said.append(f"median unit {_interval(units)}")
            said.append(f"ahead in {units.ahead} of {units.units} units{_p(units.sign_p)}")
        standing = _standing(difference.pooled_outcome, units.outcome)
        name = _name(study.row(best.name) or StudyRow(best.name))
        sentences.append(
            f"{frames_ahead(h)} the strongest baseline is {name} ({skills}); {subject} is {standing}: "
            f"{', '.join(said)}."
        )
        beaten_by |= difference.pooled_outcome == "worse" and _is_linear(best.name)
    if beaten_by:
        used = len(study.recordings) or None
        sentences.append(what_to_try(model.strengths, model.drive, used, study.recordings_available))
    return sentences


def _is_linear(name: str) -> bool:
    return name in BASELINES and BASELINES[name].linear


def _standing(pooled: str | None, median: str | None) -> str:
    words = {"better": "better", "worse": "worse", "tie": "not distinguishable from it", None: "not compared"}
    if median is None or pooled == median:
        return words[pooled]
    return f"{words[pooled]} in pooled skill and {words[median]} in the median unit"


def _at(rows: Sequence[StudyRow], horizon: int) -> str:
    found: dict[str, list[str]] = {standing: [] for standing in STANDINGS}
    for row in rows:
        difference = row.difference_at(horizon)
        if difference.standing is not None:
            weak = difference.outcome != "tie" and not difference.excludes_zero_corrected
            found[difference.standing].append(_name(row) + (" (not after correction)" if weak else ""))
    parts = [text.format(listed(found[standing])) for standing, text in STANDINGS.items() if found[standing]]
    return f"{frames_ahead(horizon)} the connectome model {listed(parts, '; ', '; and ')}." if parts else ""


def _disagreements(study: Study) -> list[str]:
    """Rows against which pooled skill and the median unit point in opposite directions, with who carries the lead."""
    sentences, small = [], []
    for row in study.rows:
        told, little = [], False
        for h in study.comparisons.horizons:
            pooled, units = row.difference_at(h), row.difference_at(h).median_unit
            if pooled.outcome is None or pooled.value is None or units.value is None or pooled.value * units.value >= 0:
                continue
            sure = pooled.excludes_zero or units.excludes_zero
            if not sure and max(abs(pooled.value), abs(units.value)) < SMALL:
                little = True
                continue
            lead = "lead" if pooled.value > 0 else "deficit"
            told.append(
                f"{frames_ahead(h).lower()} pooled {_signed(pooled.value)}, median unit {_signed(units.value)}: the "
                f"pooled {lead} comes from {units.lead_units} of {units.lead_of} units, and the five strongest "
                f"carry {units.strongest_share:.0%} of it"
            )
        if told:
            sentences.append(f"Against {_name(row)} pooled skill and the median unit disagree: {'; '.join(told)}.")
        elif little:
            small.append(_name(row))
    if small:
        sentences.append(
            f"Pooled skill and the median unit differ in sign, by less than {SMALL} and within chance, against "
            f"{listed(small)}."
        )
    return sentences


def _nulls(study: Study) -> list[str]:
    """Whether the wiring matters, by horizon."""
    nulls, horizons = study.compared("null"), study.comparisons.horizons
    outcomes = {h: [what for row in nulls if (what := row.difference_at(h).outcome) is not None] for h in horizons}
    counts = {h: (found.count("better"), len(found)) for h, found in outcomes.items() if found}
    if not counts:
        return []
    told = ", ".join(f"{better} of {total} at {frames(h)}" for h, (better, total) in counts.items())
    sentences = [f"Null connectomes that the real wiring beats: {told}."]
    best = [frames(h) for h, (better, total) in counts.items() if better == total]
    if not any(better for better, _ in counts.values()):
        sentences.append(
            "So this fit gives no evidence that the wiring matters for predicting these recordings: with shuffled or "
            "rewired connections it predicts as well."
        )
    elif best:
        sentences.append(f"The real wiring beats every null connectome at {listed(best)}.")
    lost = [_name(row) for row in nulls if any(row.difference_at(h).outcome == "worse" for h in horizons)]
    if lost:
        sentences.append(f"At one or more horizons it does worse than {listed(lost)}.")
    return sentences


def _aside(row: StudyRow) -> str:
    """What a row is where it does not count, or not all of its seeds do."""
    if not row.note or row.reason:
        return ""
    end = "" if row.counts else " It wins and loses nothing."
    return f"{_capital(_name(row))} {row.note}.{end}"


def _name(row: StudyRow) -> str:
    kinds = {"null": "null ", "baseline": "" if row.name in BASELINES else "baseline "}
    return kinds.get(row.group, "") + row_name(row.name)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(value: float | None) -> str:
    return f"{value:.3f}".replace("-", "−")


def _signed(value: float | None) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _interval(of: Difference | UnitDifference) -> str:
    if of.low is None:
        return _signed(of.value)
    return f"{_signed(of.value)} [{_signed(of.low)}, {_signed(of.high)}]"


def _p(p: float | None) -> str:
    """The p-value of the sign test, in brackets."""
    if p is None:
        return ""
    return f" (sign test p = {p:.2g})" if p >= 0.001 else " (sign test p < 0.001)"
