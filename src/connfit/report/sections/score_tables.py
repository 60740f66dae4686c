"""The tables of numbers in `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connfit.evaluation.held_out import HELD_OUT
from connfit.report import page
from connfit.report.figures.connectivity_figure import COLUMNS, connectivity_in_words, connectivity_rows
from connfit.report.sections.comparison import comparison, free_runs_in_words
from connfit.report.sections.held_out_section import held_out_in_words
from connfit.report.sections.training_status import model_label
from connfit.report.wording import capital, first_of, number, pretty, with_interval


def score_blocks(metrics: Mapping[str, Any]) -> list[str]:
    """Tables of model, initialisation and baselines on every part, and how to read them."""
    parts = metrics.get("parts") or {}
    note = (
        "Best of each row marked *. MSE in squared units of the preprocessed values; skill = 1 − MSE / MSE of "
        "persistence on the same entries; "
        "FC: correlation of functional connectivity with the data's. "
        "The median unit's skill has its 95 % interval over blocks of time in brackets: a pooled lead that it does not "
        "share is that of few units. "
        "One-step FC carries no *: the last frame, repeated, has the data's FC by construction, and so nearly has "
        "whatever is close to it. Baselines are fitted to each recording on its own training part."
    )
    several = len(metrics.get("recordings") or {}) > 1
    blocks = [
        _score_table(metrics, "test", "Test part" + (" (means over recordings)" if several else "")),
        page.folded(
            "How to read this table",
            page.paragraph(note, "soft small"),
            page.paragraph(free_runs_in_words(metrics), "soft small") if free_runs_in_words(metrics) else "",
        ),
    ]
    blocks += [
        page.folded(f"The same on the {part} part", _score_table(metrics, part, ""))
        for part in ("validation", "train")
        if parts.get(part)
    ]
    if several:
        inner = [_score_table(detail, "test", f"{name}, test part") for name, detail in metrics["recordings"].items()]
        blocks.append(page.folded("Every recording by itself", *inner))
    return [*blocks, *_choices(metrics.get("baselines") or {})]


def _score_table(metrics: Mapping[str, Any], part: str, caption: str) -> str:
    rows = comparison(metrics, part)
    columns = list(rows[0].values)
    cells = [
        [row.label, *(with_interval(row.values[name], row.intervals.get(name)) for name in columns)] for row in rows
    ]
    shown = [model_label(name, metrics) for name in columns]
    best = [[columns.index(name) + 1 for name in row.winners] for row in rows]
    grouped: dict[str, list[str]] = {}
    for row in rows:
        for name, reason in row.reasons.items():
            grouped.setdefault(reason, []).append(f"{name} ({row.label})")
    why = page.bullets(f"–: {first_of(where)}: {reason}" for reason, where in grouped.items())
    return page.table(["", *shown], cells, caption=caption, best=best) + (
        page.folded("Why some numbers are missing", why) if why else ""
    )


def held_out_blocks(metrics: Mapping[str, Any]) -> list[str]:
    """The table of held-out animals, with each by itself; nothing if there are none."""
    section = metrics.get("held_out")
    if not section:
        return []
    recordings = section.get("recordings") or {}
    several = len(recordings) > 1
    blocks = [
        _score_table(section, HELD_OUT, "Test part" + (" (means over recordings)" if several else "")),
        *(page.paragraph(line) for line in held_out_in_words(metrics)),
        page.paragraph(free_runs_in_words(section, HELD_OUT), "soft small"),
    ]
    if several:
        inner = [_score_table(detail, HELD_OUT, f"{name}, test part") for name, detail in recordings.items()]
        blocks.append(page.folded("Every held-out recording by itself", *inner))
    return [*blocks, *_choices(section.get("baselines") or {})]


def connectivity_blocks(metrics: Mapping[str, Any]) -> list[str]:
    """Functional connectivity of the fit beside that of the untrained model, null connectomes and the data."""
    rows = connectivity_rows(metrics)
    cells = [[row.name, *(number(value) for value in row.values)] for row in rows]
    return [
        page.table(["", *COLUMNS], cells),
        page.paragraph(connectivity_in_words(metrics), "soft small"),
        page.bullets(f"{row.name}: {row.what}" for row in rows if row.what),
    ]


def _choices(baselines: Mapping[str, Any]) -> list[str]:
    """What the tuning of baselines chose."""
    blocks = []
    for name, scores in baselines.items():
        told = [
            f"{key.replace('_', ' ')} {_chosen(value)}"
            for key, value in (scores.get("chosen") or {}).items()
            if value is not None and not isinstance(value, Mapping) and not key.endswith("_at_edge")
        ]
        if told:
            blocks.append(page.paragraph(f"{capital(pretty(name))}: {', '.join(told)}.", "soft small"))
    return blocks


def _chosen(value: Any) -> str:
    """A chosen option as a reader writes it; of many values, the first and a count."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return first_of([_chosen(one) for one in value])
    return str(value)
