"""The tables of numbers in `report.html`."""

from __future__ import annotations

from collections.abc import Mapping

from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.held_out import HELD_OUT
from connfit.evaluation.part_scores import BaselineScores, ModelScores
from connfit.report import page
from connfit.report.figures.connectivity_figure import COLUMNS, connectivity_in_words, connectivity_rows
from connfit.report.sections.comparison import by_reason, comparison, free_runs_in_words
from connfit.report.sections.held_out_section import held_out_in_words
from connfit.report.sections.left_out_section import left_out_blocks
from connfit.report.sections.training_status import model_label
from connfit.report.wording import capital, first_of, number, pretty, with_interval


def score_blocks(evaluation: Evaluation) -> list[str]:
    """Return tables of model, untrained model and baselines on every part, and how to read them."""
    note = (
        "Best of each row marked *. MSE in squared units of the preprocessed values; skill = 1 − MSE / MSE of "
        "persistence on the same entries; "
        "FC: correlation of functional connectivity with the data's. "
        "The median unit's skill has its 95 % interval over blocks of time in brackets: a pooled lead that it "
        "does not share comes from few units. "
        "One-step FC carries no *: the last frame, repeated, has the data's FC by construction, and so nearly has "
        "whatever is close to it. Baselines are fitted to each recording on its own training part."
    )
    several = len(evaluation.recordings) > 1
    blocks = [
        _score_table(evaluation, "test", "Test part" + (" (means over recordings)" if several else "")),
        page.folded(
            "How to read this table",
            page.paragraph(note, "soft small"),
            page.paragraph(runs, "soft small") if (runs := free_runs_in_words(evaluation)) else "",
        ),
    ]
    blocks += [
        page.folded(f"The same on the {part} part", _score_table(evaluation, part, ""))
        for part in ("validation", "train")
        if part in evaluation.parts
    ]
    if several:
        inner = [_score_table(detail, "test", f"{name}, test part") for name, detail in evaluation.recordings.items()]
        blocks.append(page.folded("Every recording by itself", *inner))
    return [*blocks, *_choices(evaluation.baselines)]


def _score_table(scores: ModelScores, part: str, caption: str) -> str:
    rows = comparison(scores, part)
    columns = list(rows[0].values)
    cells = [
        [row.label, *(with_interval(row.values[name], row.intervals.get(name)) for name in columns)] for row in rows
    ]
    shown = [model_label(name, scores) for name in columns]
    best = [[columns.index(name) + 1 for name in row.winners] for row in rows]
    why = page.bullets(
        f"–: {first_of([f'{name} ({label})' for name, label in places])}: {reason}"
        for reason, places in by_reason(rows).items()
    )
    return page.table(["", *shown], cells, caption=caption, best=best) + (
        page.folded("Why some numbers are missing", why) if why else ""
    )


def held_out_blocks(evaluation: Evaluation) -> list[str]:
    """Return the table of held-out animals, with each by itself; nothing if there are none."""
    held_out = evaluation.held_out
    if held_out is None:
        return []
    several = len(held_out.recordings) > 1
    blocks = [
        _score_table(held_out, HELD_OUT, "Test part" + (" (means over recordings)" if several else "")),
        *(page.paragraph(line) for line in held_out_in_words(evaluation)),
        page.paragraph(free_runs_in_words(held_out, HELD_OUT), "soft small"),
    ]
    if several:
        inner = [_score_table(scores, HELD_OUT, f"{name}, test part") for name, scores in held_out.recordings.items()]
        blocks.append(page.folded("Every held-out recording by itself", *inner))
    blocks += left_out_blocks(held_out.left_out_unit, unseen=True)
    return [*blocks, *_choices(held_out.baselines)]


def connectivity_blocks(evaluation: Evaluation) -> list[str]:
    """Return functional connectivity of the fit beside that of the untrained model, null connectomes and the data."""
    rows = connectivity_rows(evaluation)
    cells = [[row.name, *(number(value) for value in row.values)] for row in rows]
    return [
        page.table(["", *COLUMNS], cells),
        page.paragraph(connectivity_in_words(evaluation), "soft small"),
        page.bullets(f"{row.name}: {row.what}" for row in rows if row.what),
    ]


def _choices(baselines: Mapping[str, BaselineScores]) -> list[str]:
    """What the tuning of baselines chose."""
    blocks = []
    for name, scores in baselines.items():
        told = [
            f"{key.replace('_', ' ')} {_chosen(value)}"
            for key, value in (scores.chosen or {}).items()
            if value is not None and not isinstance(value, Mapping) and not key.endswith("_at_edge")
        ]
        if told:
            blocks.append(page.paragraph(f"{capital(pretty(name))}: {', '.join(told)}.", "soft small"))
    return blocks


def _chosen(value: object) -> str:
    """A chosen option as a reader writes it; of many values, the first and a count."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return first_of([_chosen(item) for item in value])
    return str(value)
