"""Two runs side by side on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Column, Table

from connfit._console import literal
from connfit.evaluation.compare_runs import HorizonComparison, RunComparison
from connfit.report.wording import number


def print_comparison(found: RunComparison, console: Console) -> None:
    """Print skills with the interval of their difference, other measures, sizes, options, and who is better."""
    heads = [f"{found.part} part", *found.names, "difference (95 %)"]
    table = Table(*(Column(literal(head)) for head in heads), box=None)
    for row in found.horizons:
        label = f"skill {row.frames_ahead} frame{'s' if row.frames_ahead > 1 else ''} ahead"
        table.add_row(label, _number(row.first), _number(row.second), _difference(row))
    for label, (one, other) in found.measures.items():
        table.add_row(label, _number(one), _number(other), "")
    for group, (one, other) in found.parameters.items():
        table.add_row(f"parameters changed: {group.replace('_', ' ')}", f"{one:,}", f"{other:,}", "")
    console.print(table)
    _print_options(found.options, console)
    console.print(literal(found.verdict() + "."), highlight=False, soft_wrap=True)


def _print_options(options: Mapping[str, tuple[object, object]], console: Console) -> None:
    if not options:
        console.print("The options of both are the same.", highlight=False)
    for key, (one, other) in options.items():
        console.print(literal(f"{key}: {one!r} and {other!r}"), highlight=False, soft_wrap=True)


def _difference(row: HorizonComparison) -> str:
    if row.difference is None:
        return ""
    if row.low is None or row.high is None:
        return f"{row.difference:+.3f}"
    return f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)
