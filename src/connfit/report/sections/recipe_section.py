"""What was chosen automatically for a fit, and from what: from `record.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connfit.report import page
from connfit.report.wording import number

SHOWN = 12
"""Candidates above which the table is folded."""


def recipe_blocks(record: Mapping[str, Any]) -> list[str]:
    """Show what was found, how, and every candidate with its value on validation; nothing where nothing was found."""
    blocks = [*_start(record.get("recipe") or {}), *_rates(record.get("learning_rates") or {})]
    if blocks and record.get("long_recordings"):
        blocks = [page.paragraph(f"Of {record['long_recordings']}."), *blocks]
    return [page.heading("Chosen automatically"), *blocks] if blocks else []


def _start(recipe: Mapping[str, Any]) -> list[str]:
    chosen, candidates = recipe.get("chosen") or {}, recipe.get("candidates") or []
    if not chosen:
        return []
    rows, best = [], []
    for candidate in candidates:
        value = number(candidate["value"]) if candidate.get("reason") is None else candidate["reason"]
        rows.append([*(_text(candidate["options"].get(key)) for key in chosen), number(candidate.get("skill")), value])
        best.append([len(chosen) + 1] if candidate["options"] == chosen else [])
    table = page.table(
        [*map(_words, chosen), "skill, 1 frame", "value"], rows, caption="Candidates (the chosen one *)", best=best
    )
    how = (
        f"The start was found among {len(candidates)} untrained models by their predictions of "
        f"{_part(recipe.get('tuned_on'))}. Value: {recipe.get('measure')}."
    )
    found = page.table([], [[_words(key), _text(value)] for key, value in chosen.items()], text=True)
    return [page.paragraph(how), found, page.folded("What was compared", table) if len(rows) > SHOWN else table]


def _rates(rates: Mapping[str, Any]) -> list[str]:
    trials = rates.get("trials") or []
    if not trials:
        return []
    chosen = (rates["learning_rate"], rates["rate_scale"])
    rows, best = [], []
    for trial in trials:
        value = "diverged" if trial["value"] is None else number(trial["value"])
        rows.append([_text(trial["learning_rate"]), _scale(trial["rate_scale"]), value])
        best.append([2] if (trial["learning_rate"], trial["rate_scale"]) == chosen else [])
    table = page.table(
        ["learning rate", "factors", "value"],
        rows,
        caption=f"Learning rates, as shares of each group's size, in trainings of {rates['trial_epochs']} epochs "
        "(the chosen one *); value: the best epoch's on the validation part",
        best=best,
    )
    return [table]


def _part(tuned_on: Any) -> str:
    return "the validation part" if tuned_on == "validation" else str(tuned_on)


def _scale(factors: Mapping[str, float]) -> str:
    return ", ".join(f"{_words(group)} {factor:g}" for group, factor in factors.items()) or "–"


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else json.dumps(value)
