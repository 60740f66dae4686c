"""What the table says, in plain words made from its numbers alone, whoever wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.study.advice import what_to_try
from connfit.evaluation.study.row_names import row_name

SMALL = 0.005
"""Differences in skill below this, of which neither interval excludes zero, are named and not quoted."""


def verdict_sentences(table: Mapping[str, Any]) -> list[str]:
    """What a study says: the strongest baseline, who is beaten, whether the wiring matters, and what does not count.

    A row is beaten, or beats, where the pooled interval excludes zero and the difference of the median unit does not
    have the other sign; it is said where the interval no longer excludes zero once all rows are allowed for. Rows that
    were not trained, that are the connectome model itself, and horizons at which a row diverged win and lose nothing.

    Parameters
    ----------
    table
        As `study_table` returns it; of the study's facts `recordings`, `recordings_available` and `model` are read
        where they are there.
    """
    rows = table["rows"]
    horizons = table["comparisons"]["horizons"]
    ours = next((row for row in rows if row["group"] == "connectome"), None)
    if ours is None or not ours["seeds"]:
        why = "it was not asked for" if ours is None else ours["reason"]
        return [f"The connectome model could not be fitted ({why}): there is nothing to compare."]
    sentences = []
    if ours.get("note"):
        sentences.append(f"The connectome model {ours['note']}.")
    if not ours.get("counts", True):
        sentences.append("So nothing is won or lost here: numbers are those of its start.")
    sentences += _recordings(table)
    if len(ours["seeds"]) - len(ours.get("left_out") or ()) < 2:
        sentences.append("One seed only: intervals know nothing of the spread between seeds.")
    sentences += _bar(table, horizons, "the connectome model" if ours.get("counts", True) else "its start")
    sentences += [sentence for h in horizons if (sentence := _at(rows, h))]
    sentences += _disagreements(rows, horizons)
    sentences += _nulls(rows, horizons)
    sentences += [sentence for row in rows if row is not ours and (sentence := _aside(row))]
    missing = [row for row in rows if row["reason"]]
    sentences += [f"{_capital(_name(row))} has no numbers: {row['reason'].rstrip('.')}." for row in missing]
    return sentences


def _recordings(table: Mapping[str, Any]) -> list[str]:
    """Of how many recordings this is, where there are more."""
    used, available = len(table.get("recordings") or ()), table.get("recordings_available")
    if not used or available is None or used >= available:
        return []
    few = "one" if used == 1 else str(used)
    return [f"This is a study of {few} of {available} recordings: it says nothing about the rest."]


def _bar(table: Mapping[str, Any], horizons: Sequence[int], subject: str) -> list[str]:
    """The strongest baseline at each horizon, and how the model stands to it."""
    strongest: Mapping[str, Any] = table.get("strongest") or {}
    sentences, beaten_by = [], False
    for h in horizons:
        best = strongest.get(str(h))
        if best is None:
            continue
        difference = best["difference"]
        units = difference["median_unit"]
        skills = f"skill {_plain(best['skill'])} pooled"
        skills += f", {_plain(best['median_unit'])} of the median unit" if best["median_unit"] is not None else ""
        said = [f"pooled {_interval(difference)}"]
        if units["value"] is not None:
            said.append(f"median unit {_interval(units)}")
            said.append(f"ahead in {units['ahead']} of {units['units']} units{_p(units['sign_p'])}")
        standing = _standing(difference.get("pooled_outcome"), units.get("outcome"))
        name = _name(_row(table, best["name"]))
        sentences.append(
            f"{_ahead(h)} the strongest baseline is {name} ({skills}); {subject} is {standing}: {', '.join(said)}."
        )
        beaten_by |= difference.get("pooled_outcome") == "worse" and _is_linear(best["name"])
    if beaten_by:
        used = len(table.get("recordings") or ()) or None
        sentences.append(what_to_try(table.get("model") or {}, used, table.get("recordings_available")))
    return sentences


def _is_linear(name: str) -> bool:
    return name in BASELINES and BASELINES[name].linear


def _standing(pooled: str | None, median: str | None) -> str:
    words = {"better": "better", "worse": "worse", "tie": "not distinguishable from it", None: "not compared"}
    if median is None or pooled == median:
        return words[pooled]
    return f"{words[pooled]} in pooled skill and {words[median]} in the median unit"


def _at(rows: Sequence[Mapping[str, Any]], horizon: int) -> str:
    found: dict[str, list[str]] = {"better": [], "ahead": [], "tie": [], "behind": [], "worse": []}
    for row in rows:
        difference = (row["difference"] or {}).get(str(horizon)) or {}
        outcome = difference.get("outcome")
        if outcome is None:
            continue
        if outcome == "mixed":
            outcome = "ahead" if difference["value"] > 0 else "behind"
        weak = outcome != "tie" and not difference["excludes_zero_corrected"]
        found[outcome].append(_name(row) + (" (not after correction)" if weak else ""))
    words = {
        "better": "beats {}",
        "ahead": "is ahead of {} in pooled skill but not in the median unit",
        "tie": "is not distinguishable from {}",
        "behind": "is behind {} in pooled skill but not in the median unit",
        "worse": "loses to {}",
    }
    parts = [text.format(_list(found[key])) for key, text in words.items() if found[key]]
    return f"{_ahead(horizon)} the connectome model {_list(parts, '; ', '; and ')}." if parts else ""


def _disagreements(rows: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> list[str]:
    """Rows against which pooled skill and the median unit point in opposite directions, with who carries the lead."""
    sentences, small = [], []
    for row in rows:
        told, little = [], False
        for h in horizons:
            one = (row["difference"] or {}).get(str(h)) or {}
            units = one.get("median_unit") or {}
            if one.get("outcome") is None or units.get("value") is None or one["value"] * units["value"] >= 0:
                continue
            sure = one["excludes_zero"] or units["excludes_zero"]
            if not sure and max(abs(one["value"]), abs(units["value"])) < SMALL:
                little = True
                continue
            lead = "lead" if one["value"] > 0 else "deficit"
            told.append(
                f"{_ahead(h).lower()} pooled {_signed(one['value'])}, median unit {_signed(units['value'])}: the "
                f"pooled {lead} comes from {units['lead_units']} of {units['lead_of']} units, and the five strongest "
                f"carry {units['strongest_share']:.0%} of it"
            )
        if told:
            sentences.append(f"Against {_name(row)} pooled skill and the median unit disagree: {'; '.join(told)}.")
        elif little:
            small.append(_name(row))
    if small:
        sentences.append(
            f"Pooled skill and the median unit differ in sign, by less than {SMALL} and within chance, against "
            f"{_list(small)}."
        )
    return sentences


def _nulls(rows: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> list[str]:
    """Whether the wiring matters, by horizon."""
    nulls = [row for row in rows if row["group"] == "null" and row["difference"]]
    counts = []
    for h in horizons:
        outcomes = [outcome for row in nulls if (outcome := row["difference"][str(h)]["outcome"]) is not None]
        if outcomes:
            counts.append((h, outcomes.count("better"), len(outcomes)))
    if not counts:
        return []
    told = ", ".join(f"{better} of {total} at {_frames(h)}" for h, better, total in counts)
    sentences = [f"Null connectomes that the real wiring beats: {told}."]
    if not any(better for _, better, _ in counts):
        sentences.append(
            "So this fit gives no evidence that the wiring matters for predicting these recordings: with shuffled or "
            "rewired connections it predicts as well."
        )
    elif any(better == total for _, better, total in counts):
        best = [_frames(h) for h, better, total in counts if better == total]
        sentences.append(f"The real wiring beats every null connectome at {_list(best)}.")
    lost = [row for row in nulls if any(row["difference"][str(h)]["outcome"] == "worse" for h in horizons)]
    if lost:
        names = _list([_name(row) for row in lost])
        sentences.append(f"At one horizon at least it does worse than {names}.")
    return sentences


def _aside(row: Mapping[str, Any]) -> str:
    """What a row is where it does not count, or not all of its seeds do."""
    if not row.get("note") or row["reason"]:
        return ""
    end = "" if row.get("counts", True) else " It wins and loses nothing."
    return f"{_capital(_name(row))} {row['note']}.{end}"


def _row(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((row for row in table["rows"] if row["name"] == name), {"name": name, "group": ""})


def _name(row: Mapping[str, Any]) -> str:
    kinds = {"null": "null ", "baseline": "" if row["name"] in BASELINES else "baseline "}
    return kinds.get(row["group"], "") + row_name(row["name"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ahead(horizon: int) -> str:
    return "One frame ahead" if horizon == 1 else f"{horizon} frames ahead"


def _frames(horizon: int) -> str:
    return "1 frame" if horizon == 1 else f"{horizon} frames"


def _plain(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _interval(one: Mapping[str, Any]) -> str:
    if one["low"] is None:
        return _signed(one["value"])
    return f"{_signed(one['value'])} [{_signed(one['low'])}, {_signed(one['high'])}]"


def _p(p: float | None) -> str:
    """The p-value of the sign test, in brackets."""
    if p is None:
        return ""
    return f" (sign test p = {p:.2g})" if p >= 0.001 else " (sign test p < 0.001)"


def _list(items: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    return comma.join(items[:-1]) + (last if len(items) > 1 else "") + items[-1] if items else ""
