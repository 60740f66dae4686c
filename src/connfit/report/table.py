"""The table of a fit for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from connfit.report.comparison import (
    comparison,
    fixed_point_in_words,
    free_runs_in_words,
    number,
    observations_in_words,
    verdict,
)

_SHORT = {"free run with residuals": "free run, residuals", "free run without noise": "free run, no noise"}
"""Headings that fit beside five columns of numbers on 80 characters."""


def print_table(metrics: Mapping[str, Any], console: Console, *, part: str = "test") -> None:
    """Print model, initialisation and baselines on one part, the best of each row in bold and starred.

    Parameters
    ----------
    metrics
        As written to `metrics.json`.
    console
        Where to print; `rich` adapts to its width and to plain output.
    """
    rows = comparison(metrics, part)
    title = f"{metrics.get('dataset') or 'fit'}, {part} part" + (
        " (surrogate data)" if metrics.get("surrogate") else ""
    )
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in rows[0].values:
        table.add_column(escape("untrained" if name == "at initialisation" else name), justify="right", no_wrap=True)
    group = ""
    for row in rows:
        cells = [
            Text(f"{number(value)}*", style="bold green") if name in row.winners else Text(f"{number(value)} ")
            for name, value in row.values.items()
        ]
        before, colon, measure = row.label.partition(": ")
        if colon and before != group:
            table.add_row(Text(_SHORT.get(before, before), style="bold"))
        group = before if colon else ""
        table.add_row(f"  {measure}" if colon else row.label, *cells)
    console.print(table)
    itself = (metrics.get("data") or {}).get("fc_corr_train_vs_test")
    lines = [verdict(rows)]
    if itself is not None:
        lines.append(f"Data against itself: FC of train and of test correlate at {number(itself)}.")
    scores = (metrics.get("parts") or {}).get(part) or {}
    lines += [text for text in (fixed_point_in_words(scores), free_runs_in_words(metrics, part)) if text]
    if metrics.get("parameters"):
        lines.append(observations_in_words(metrics))
    absent = {f"{name}, {row.label}": reason for row in rows for name, reason in row.reasons.items()}
    grouped: dict[str, list[str]] = {}
    for where, reason in absent.items():
        grouped.setdefault(reason, []).append(where)
    lines += [
        f"–: {wheres[0]}{f' and {len(wheres) - 1} more' if len(wheres) > 1 else ''}: {reason}"
        for reason, wheres in grouped.items()
    ]
    for line in lines:
        console.print(escape(line), highlight=False)
