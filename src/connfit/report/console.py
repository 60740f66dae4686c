"""The table of a fit for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connfit._console import literal
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.held_out import HELD_OUT
from connfit.report.console_left_out import print_left_out
from connfit.report.figures.connectivity_figure import COLUMNS, connectivity_in_words, connectivity_rows
from connfit.report.sections.comparison import (
    Row,
    by_reason,
    comparison,
    fixed_point_in_words,
    free_runs_in_words,
    observations_in_words,
    verdict,
)
from connfit.report.sections.headline import headline
from connfit.report.sections.held_out_section import held_out_in_words, held_out_rows
from connfit.report.sections.training_status import model_label
from connfit.report.wording import number

_SHORT = {"free run with residuals": "free run, residuals", "free run without noise": "free run, no noise"}
"""Headings that fit beside six columns of numbers on 80 characters."""

_BROKEN = {"untrained": "un-\ntrained", "persistence": "persis-\ntence"}
"""Headings of columns that are broken to fit; others are where they have a space."""


def print_table(
    evaluation: Evaluation, console: Console, *, part: str = "test", config: Mapping[str, Any] | None = None
) -> None:
    """Print model, untrained model and baselines on one part, the best of each row in bold and starred, and who wins.

    Parameters
    ----------
    console
        Where to print; `rich` adapts to its width and to plain output.
    config
        The run's options: advice leaves out what they have already.
    """
    rows = comparison(evaluation, part)
    title = f"{evaluation.dataset or 'fit'}, {part} part" + (" (surrogate data)" if evaluation.surrogate else "")
    for table in _scores(rows, title, console.width, evaluation):
        console.print(table)
    itself = evaluation.data.fc_corr_train_vs_test
    lines = [*headline(evaluation, part, config=config), verdict(rows)]
    if itself is not None:
        lines.append(f"Data against itself: FC of train and of test correlate at {number(itself)}.")
    told = fixed_point_in_words(evaluation.part(part)), free_runs_in_words(evaluation, part)
    lines += [text for text in told if text]
    if evaluation.parameters:
        lines.append(observations_in_words(evaluation))
    _print_lines([*lines, *_missing(rows)], console)
    _print_connectivity(evaluation, console)
    _print_held_out(evaluation, console)
    print_left_out(evaluation, console)


def _print_lines(lines: Sequence[str], console: Console) -> None:
    for line in lines:
        console.print(literal(line), highlight=False)


def _scores(rows: Sequence[Row], title: str, width: int, evaluation: Evaluation) -> list[Table]:
    """Without columns that do not compete, which are named in words; more than fit go into another table."""
    columns = [name for name in rows[0].values if name not in rows[0].outside]
    headings = {name: _heading(name, evaluation) for name in columns}
    room = width - 2 - max(len(_SHORT.get(text, text)) for row in rows for text in _label(row))
    widths = {name: _width(headings[name], name, rows) for name in columns}
    ours, others = columns[:1], columns[1:]
    tables: list[Table] = []
    while others or not tables:
        taken = list(ours)
        while others and (len(taken) < 2 or sum(widths[name] for name in [*taken, others[0]]) <= room):
            taken.append(others.pop(0))
        tables.append(_one_table(rows, taken, headings, f"{title}{', more baselines' if tables else ''}"))
    return tables


def _label(row: Row) -> tuple[str, str]:
    """Heading and line of a row: what stands before and after its colon."""
    if row.key[0] == "horizon_median_unit" and row.key[1] != "1":
        return "", "  median unit"  # below the skill of the same horizon
    before, colon, measure = row.label.partition(": ")
    return (before, f"  {measure}") if colon else ("", row.label)


def _heading(name: str, evaluation: Evaluation) -> str:
    return _BROKEN.get(name, model_label(name, evaluation).replace(" ", "\n"))


def _width(heading: str, name: str, rows: Sequence[Row]) -> int:
    """Characters of a column, with its star and the blank before it."""
    cells = [len(number(row.values[name])) + 1 for row in rows]
    return max(*cells, *map(len, heading.split("\n"))) + 1


def _one_table(rows: Sequence[Row], columns: list[str], headings: Mapping[str, str], title: str) -> Table:
    table = _table(title, padding=0)
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(literal(*headings[name].split("\n")), justify="right", no_wrap=True)
    group = ""
    for row in rows:
        cells = [
            Text(f"{number(row.values[name])}*", style="bold green")
            if name in row.winners
            else Text(f"{number(row.values[name])} ")
            for name in columns
        ]
        before, line = _label(row)
        if before and before != group:
            table.add_row(literal(_SHORT.get(before, before), style="bold"))
        group = before
        table.add_row(literal(line), *cells)
    return table


def _table(title: str, padding: int = 1) -> Table:
    padded = (0, padding, 0, 0)
    return Table(title=literal(title), title_justify="left", box=box.SIMPLE_HEAD, padding=padded, pad_edge=False)


def _missing(rows: Sequence[Row]) -> list[str]:
    """Why there is no number, once for each reason."""
    return [
        f"–: {', '.join(places[0])}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {reason}"
        for reason, places in by_reason(rows).items()
    ]


def _print_connectivity(evaluation: Evaluation, console: Console) -> None:
    """Functional connectivity beside that of null connectomes; without any, the table above says it all."""
    if not evaluation.nulls:
        return
    table = _table("functional connectivity, correlation with the data's")
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    rows = connectivity_rows(evaluation)
    for row in rows:
        table.add_row(literal(row.name), *(number(value) for value in row.values))
    console.print(table)
    words = [f"{row.name}: {row.what}" for row in rows if row.what]
    _print_lines([connectivity_in_words(evaluation), *words], console)


def _print_held_out(evaluation: Evaluation, console: Console) -> None:
    rows, held_out = held_out_rows(evaluation), evaluation.held_out
    if held_out is None:
        return
    animals = len(held_out.recordings)
    title = f"{animals} held-out animal{'' if animals == 1 else 's'}, test part"
    for scores in _scores(rows, title, console.width, evaluation):
        console.print(scores)
    noise = free_runs_in_words(held_out, HELD_OUT)
    _print_lines([*held_out_in_words(evaluation), *([noise] if noise else []), *_missing(rows)], console)
