"""The table of a study for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connfit.report.comparison import number

GROUPS = {
    "connectome": "the fit",
    "untrained": "before training",
    "ablation": "ablations",
    "null": "null connectomes",
    "baseline": "baselines",
}
SHOWN = ("one_step_skill", "horizon_2_skill", "horizon_5_skill", "horizon_10_skill", "horizon_30_skill", "free_run_fc")
SHORT = {"one_step_skill": "1 frame", "free_run_fc": "free FC"}


def print_plan(
    rows: Sequence[tuple[str, str, str, str]], fits: int, done: int, jobs: int, seconds: float | None, console: Console
) -> None:
    """Print what a study would do.

    Parameters
    ----------
    rows
        Name, group, what it keeps and what it changes.
    fits, done
        Rows times seeds, and how many of them are finished.
    jobs, seconds
        Fits at once, and an estimate of the time for all that is left.
    """
    table = Table(title="rows of the study", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("row", "kind", "keeps", "changes"):
        table.add_column(name)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    time = "not known" if seconds is None else f"about {seconds / 60:.0f} min, without the tuning of baselines"
    console.print(f"{fits} fits, {done} of them done, {jobs} at once: {time}.", highlight=False, soft_wrap=True)


def print_study(study: Mapping[str, Any], console: Console) -> None:
    """Print means over seeds with their spread, differences with intervals, and what they say.

    Parameters
    ----------
    study
        As in `study.json`.
    """
    surrogate = "SURROGATE " if study["surrogate"] else ""
    seeds = len(study["seeds"])
    keys = [key for key in SHOWN if any(one["key"] == key for one in study["measures"])]
    heads = [SHORT.get(key, key.split("_")[1] if key.startswith("horizon") else key) for key in keys]
    title = f"{surrogate}{study['dataset']}, {study['part']} part: mean over {seeds} seeds (± standard deviation)"
    table = _table(title)
    table.add_column("", no_wrap=True)
    for name in (*heads, "parameters", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    group = ""
    for row in study["rows"]:
        if row["group"] != group:
            group = row["group"]
            table.add_row(f"[bold]{GROUPS[group]}")
        total = (row["parameters"] or {}).get("all")
        cells = [_spread(row["scores"][key]) for key in keys]
        seconds = "–" if row["fit_seconds"] is None else f"{row['fit_seconds']:.0f}"
        table.add_row(f"  {escape(row['name'])}", *cells, "–" if total is None else f"{total:,}", seconds)
    console.print(table)
    differences = _table("skill of the connectome model minus that of the row, 95 % interval (* excludes 0)")
    differences.add_column("", no_wrap=True)
    horizons = [str(h) for h in study["comparisons"]["horizons"]]
    for h in horizons:
        differences.add_column("1 frame" if h == "1" else h, justify="right", no_wrap=True)
    for row in study["rows"]:
        if row["difference"]:
            differences.add_row(escape(row["name"]), *(_interval(row["difference"][h]) for h in horizons))
    console.print(differences)
    for line in [*study["verdict"], study["comparisons"]["text"], *(study["reproducibility"].get("text") or [])]:
        console.print(escape(line), highlight=False)


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _spread(score: Mapping[str, Any]) -> str:
    text = number(score["mean"])
    return text if score["std"] is None else f"{text} ±{score['std']:.2g}"


def _interval(one: Mapping[str, Any]) -> str:
    if one["low"] is None:
        return number(one["value"])
    star = "*" if one["excludes_zero"] else " "
    return f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]{star}"
