"""What was chosen automatically for a fit, and from what: from `record.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connfit.report import page
from connfit.report.wording import number

SHOWN = 12
"""Candidates above which the table is folded."""

_SKILL = "validation_skill"


def recipe_blocks(record: Mapping[str, Any]) -> list[str]:
    """How it was chosen, in words, and every candidate with its skill on validation; nothing where nothing was."""
    recipe = record.get("recipe") or {}
    chosen: Mapping[str, Any] = recipe.get("chosen") or {}
    if not chosen:
        return []
    blocks = [page.heading("Chosen automatically"), page.paragraph(str(recipe.get("how") or ""))]
    blocks.append(page.table([], [[_words(key), _text(value)] for key, value in chosen.items()], text=True))
    table = _candidates(list(recipe.get("candidates") or []), chosen)
    many = len(recipe.get("candidates") or []) > SHOWN
    return [*blocks, page.folded("What was compared on validation", table) if many else table]


def _candidates(candidates: list[Mapping[str, Any]], chosen: Mapping[str, Any]) -> str:
    """A row per candidate: its options, then its skill by frames ahead; the chosen one is marked."""
    options = list(dict.fromkeys(key for one in candidates for key in one if key != _SKILL))
    skills = list(dict.fromkeys(key for one in candidates for key in _skill(one)))
    rows, best = [], []
    for one in candidates:
        shared = [key for key in options if key in chosen]
        is_chosen = bool(shared) and all(one.get(key) == chosen[key] for key in shared)
        rows.append([*(_text(one.get(key)) for key in options), *(number(_skill(one).get(key)) for key in skills)])
        best.append([len(options) + k for k in range(len(skills))] if is_chosen else [])
    header = [*map(_words, options), *(f"skill, {_ahead(key)}" for key in skills)]
    return page.table(header, rows, caption="Candidates, skill on validation (the chosen one *)", best=best)


def _skill(candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """Skill by horizon; a single number is that of one frame."""
    skill = candidate.get(_SKILL)
    return skill if isinstance(skill, Mapping) else {"1": skill}


def _ahead(key: str) -> str:
    return f"{key} frame{'' if key == '1' else 's'} ahead" if key.isdigit() else _words(key)


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else json.dumps(value)
