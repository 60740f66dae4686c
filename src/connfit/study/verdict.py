"""What the table says, in plain words made from its numbers alone, whoever wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "untrained": "the untrained model",
    "mean": "the mean",
    "persistence": "persistence",
    "ar": "AR of each unit",
    "var_ridge": "ridge VAR",
    "lds": "the linear dynamical system",
    "gru": "the GRU",
    "region_rnn": "the region-level RNN",
}


def verdict_sentences(table: Mapping[str, Any]) -> list[str]:
    """For every horizon which rows the connectome model beats, cannot be told from and loses to; then null connectomes.

    A row is beaten, or beats, where the paired interval leaves out zero; it is said where that no longer holds
    once all rows are allowed for.

    Parameters
    ----------
    table
        As `study_table` returns it.
    """
    rows = table["rows"]
    horizons = table["comparisons"]["horizons"]
    ours = next((row for row in rows if row["group"] == "connectome"), None)
    if ours is None or not ours["seeds"]:
        why = "it was not asked for" if ours is None else ours["reason"]
        return [f"The connectome model could not be fitted ({why}): there is nothing to compare."]
    sentences = []
    if len(ours["seeds"]) < 2:
        sentences.append("One seed only: intervals know nothing of the spread between seeds.")
    sentences += [sentence for h in horizons if (sentence := _at(rows, h))]
    sentences += _nulls(rows, horizons)
    missing = [row for row in rows if row["reason"]]
    sentences += [f"{_name(row)[0].upper()}{_name(row)[1:]} has no numbers: {row['reason']}." for row in missing]
    return sentences


def _at(rows: Sequence[Mapping[str, Any]], horizon: int) -> str:
    found: dict[str, list[str]] = {"better": [], "tie": [], "worse": []}
    for row in rows:
        difference = (row["difference"] or {}).get(str(horizon)) or {}
        outcome = difference.get("outcome")
        if outcome is not None:
            weak = outcome != "tie" and not difference["excludes_zero_corrected"]
            found[outcome].append(_name(row) + (" (not after correction)" if weak else ""))
    parts = [
        *([f"beats {_list(found['better'])}"] if found["better"] else []),
        *([f"cannot be told from {_list(found['tie'])}"] if found["tie"] else []),
        *([f"loses to {_list(found['worse'])}"] if found["worse"] else []),
    ]
    return f"{_ahead(horizon)} the connectome model {_list(parts, '; ', '; and ')}." if parts else ""


def _nulls(rows: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> list[str]:
    """Whether the wiring matters, by horizon."""
    nulls = [row for row in rows if row["group"] == "null" and row["difference"]]
    if not nulls:
        return []
    counts = []
    for h in horizons:
        outcomes = [row["difference"][str(h)]["outcome"] for row in nulls]
        counts.append((h, outcomes.count("better"), outcomes.count("worse"), len(outcomes)))
    told = ", ".join(f"{better} of {total} at {_frames(h)}" for h, better, _, total in counts)
    sentences = [f"Null connectomes that the real wiring beats: {told}."]
    if not any(better for _, better, _, _ in counts):
        sentences.append(
            "So this fit gives no evidence that the wiring matters for predicting these recordings: with shuffled or "
            "rewired connections it predicts as well."
        )
    elif any(better == total for _, better, _, total in counts):
        best = [_frames(h) for h, better, _, total in counts if better == total]
        sentences.append(f"The real wiring beats every null connectome at {_list(best)}.")
    lost = [row for row in nulls if any(row["difference"][str(h)]["outcome"] == "worse" for h in horizons)]
    if lost:
        names = _list([_name(row) for row in lost])
        sentences.append(f"At one horizon at least it does worse than {names}.")
    return sentences


def _name(row: Mapping[str, Any]) -> str:
    known = NAMES.get(row["name"])
    if known is not None:
        return known
    words = row["name"].replace("_", " ").replace("erdos renyi", "Erdős–Rényi wiring")
    kinds = {"null": "null ", "baseline": "baseline "}
    return kinds.get(row["group"], "") + words


def _ahead(horizon: int) -> str:
    return "One frame ahead" if horizon == 1 else f"{horizon} frames ahead"


def _frames(horizon: int) -> str:
    return "1 frame" if horizon == 1 else f"{horizon} frames"


def _list(items: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    return comma.join(items[:-1]) + (last if len(items) > 1 else "") + items[-1] if items else ""
