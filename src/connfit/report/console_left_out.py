"""The tables of left-out units, of the fit's own animals and of unseen ones, for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.left_out_unit import LeftOut
from connfit.report.sections.left_out_section import (
    COLUMNS,
    how_it_is_read,
    left_out_caption,
    left_out_in_words,
    left_out_rows,
)

NONE_HELD_OUT = (
    "Unseen animals: none was held out of this fit (data.held_out), so that nothing is said of other animals."
)


def print_left_out(evaluation: Evaluation, console: Console) -> None:
    """Print how well each unit is predicted from the others, beside ridge regression, MLP and ceiling."""
    _print(evaluation.left_out_unit, "each unit from the others, test part", console, unseen=False)
    held_out = evaluation.held_out
    if held_out is None:
        console.print(NONE_HELD_OUT, highlight=False)
    else:
        _print(held_out.left_out_unit, "each unit from the others, unseen animals", console, unseen=True)


def _print(found: LeftOut, title: str, console: Console, *, unseen: bool) -> None:
    if found.reason:
        console.print(literal(f"{title}: {found.reason}"), highlight=False)
        return
    rows = left_out_rows(found)
    if not rows:
        return
    table = Table(
        title=literal(f"{title}: {left_out_caption(found)}"), title_justify="left", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for k, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if k else "left", no_wrap=False)
    for row in rows:
        table.add_row(*map(literal, row))
    console.print(table)
    lines = [" ".join(left_out_in_words(found)), how_it_is_read(found, unseen=unseen)]
    for line in [*lines, *(f"{key}: {text}" for key, text in found.reasons.items())]:
        console.print(literal(line), highlight=False)
