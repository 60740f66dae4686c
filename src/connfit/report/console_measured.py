"""Scores against measured responses for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.measured.experiments import EXPERIMENTS, STIMULATION
from connfit.analysis.measured.response_scores import Estimate
from connfit.analysis.measured.scored_responses import FILE, ScoredResponses
from connfit.report.sections.measured_words import distance_caption, label_of, measured_words
from connfit.report.wording import number, with_interval


def print_measured(scores: ScoredResponses, console: Console) -> None:
    """Print what every predictor scores, by distance too, and what differences allow to be said."""
    console.print(_overall(scores))
    console.print(_by_distance(scores))
    for paragraph in measured_words(FILE, scores):
        console.print(literal(paragraph), highlight=False)
    for name, row in scores.predictors.items():
        if row.auroc.value is None:
            console.print(literal(f"{name}: {row.auroc.reason}"), highlight=False)


def estimate(of: Estimate | None) -> str:
    """Write a score with its interval."""
    return "" if of is None else with_interval(of.value, (of.low, of.high))


def _overall(scores: ScoredResponses) -> Table:
    surrogate = ", SURROGATE data" if scores.surrogate else ""
    asked = "who responds" if scores.table.experiment == STIMULATION else EXPERIMENTS[scores.table.experiment]
    table = _table(f"{asked}: {scores.table.name}{surrogate}", "predictor")
    for name in ("pairs", "AUROC", "model minus this", "precision"):
        table.add_column(name, justify="right")
    for row in scores.predictors.values():
        table.add_row(
            literal(label_of(row)), f"{row.pairs:,}", estimate(row.auroc), estimate(row.model_minus_this),
            number(row.average_precision.value),
        )  # fmt: skip
    return table


def _by_distance(scores: ScoredResponses) -> Table:
    names = list(dict.fromkeys(name for row in scores.predictors.values() for name in row.by_distance))
    table = _table(distance_caption(scores), "predictor")
    for name in names:
        table.add_column(name, justify="right")
    for row in scores.predictors.values():
        if row.kind != "sum":
            cells = [number(row.by_distance[name].auroc.value) if name in row.by_distance else "" for name in names]
            table.add_row(literal(label_of(row)), *cells)
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=literal(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    return table
