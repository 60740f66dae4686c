"""The table of a study for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connfit._console import literal
from connfit.evaluation.study.row_names import short_name
from connfit.evaluation.study.run_study import StudyPlan
from connfit.evaluation.study.study import Difference, Score, Study, StudyRow, UnitDifference
from connfit.report.sections.comparison import number

GROUPS = {
    "connectome": "the fit",
    "untrained": "before training",
    "ablation": "ablations",
    "learning": "learning rules, optimiser",
    "null": "null connectomes",
    "baseline": "baselines",
}
ALSO = "free_run_fc"
"""The measure that is shown beside skills."""


def print_plan(plan: StudyPlan, console: Console) -> None:
    """Print what a study would do."""
    table = Table(title="rows of the study", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("row", "kind", "keeps", "changes"):
        table.add_column(name)
    for row in plan.rows:
        table.add_row(*map(literal, (row.name, row.group, row.keeps, row.changes)))
    console.print(table)
    seconds = plan.seconds
    time = "not known" if seconds is None else f"about {seconds / 60:.0f} min, without the tuning of baselines"
    fits, done = len(plan.tasks), sum(task.done() for task in plan.tasks)
    console.print(
        f"{fits} fits, {done} of them done, {plan.executor.jobs} at once: {time}.", highlight=False, soft_wrap=True
    )


def print_study(study: Study, console: Console) -> None:
    """Print means over seeds with their spread, differences with intervals, and what they say.

    Skill has two lines: pooled over units, and of the median unit.
    """
    pooled, median = ([column for column in study.measures if column.unit == unit] for unit in ("pooled", "median"))
    others = [column.key for column in study.measures if column.key == ALSO]
    heads = [_frames(column.horizon or 0) for column in pooled] + ["free FC"] * len(others)
    title = (
        f"{'SURROGATE ' if study.surrogate else ''}{study.dataset}, {study.part} part: skill pooled and of the median "
        f"unit, mean over {len(study.seeds)} seeds (± standard deviation)"
    )
    rows, group = [], ""
    for row in study.rows:
        if row.group != group:
            group = row.group
            rows.append([literal(GROUPS[group], style="bold")])
        seconds = "–" if row.fit_seconds is None else f"{row.fit_seconds:.0f}"
        cells = [literal(_spread(row.scores[key])) for key in (*(column.key for column in pooled), *others)]
        rows.append([literal(f"  {short_name(row.name)}"), *cells, literal(learned_in_words(row)), literal(seconds)])
        second = f"    {row.mark or 'median unit'}"
        rows.append([_dim(second), *(_dim(_spread(row.scores[column.key])) for column in median)])
    for table in _tables(title, ["", *heads, "parameters", "s"], rows, console.width):
        console.print(table)
    title = (
        "skill of the connectome model minus that of the row, 95 % interval (* excludes 0); below: of the median unit"
    )
    horizons, rows = study.comparisons.horizons, []
    for row in study.compared():
        differences = [row.difference_at(h) for h in horizons]
        rows.append([literal(short_name(row.name)), *(literal(_interval(of, row)) for of in differences)])
        second = f"  {row.mark or 'median unit'}"
        rows.append([_dim(second), *(_dim(_interval(of.median_unit, row)) for of in differences)])
    for table in _tables(title, ["", *map(_frames, horizons)], rows, console.width):
        console.print(table)
    for line in (*study.verdict, study.comparisons.text, *study.reproducibility.text):
        console.print(literal(line), highlight=False)


def learned_in_words(row: StudyRow) -> str:
    """Return the learned parameters of a row; of one that was not trained, with those that it could have learned."""
    learned = (row.parameters or {}).get("all")
    if learned is None:
        return "–"
    available = (row.parameters_available or {}).get("all")
    return f"0 ({available:,} available)" if learned == 0 and available else f"{learned:,}"


def _frames(horizon: int) -> str:
    return "1 frame" if horizon == 1 else str(horizon)


def _tables(title: str, heads: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> Iterator[Table]:
    """One table below the other, each with the first column and as many others as fit: no number is cut."""
    full = [[*row, *[literal("")] * (len(heads) - len(row))] for row in rows]
    # Two for padding and the space between columns, two for the edges of the table.
    widths = [
        2 + max(cell_len(head), *(cell.cell_len for cell in column)) for head, *column in zip(heads, *full, strict=True)
    ]
    at = 1
    while at < len(heads):
        until = at + 1
        while until < len(heads) and 2 + widths[0] + sum(widths[at : until + 1]) <= width:
            until += 1
        shown = title if at == 1 else "the same, further columns"
        table = Table(
            title=literal(shown), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
        )
        table.add_column("", no_wrap=True)
        for head in heads[at:until]:
            table.add_column(head, justify="right", no_wrap=True)
        for row in full:
            table.add_row(row[0], *row[at:until])
        yield table
        at = until


def _dim(text: str) -> Text:
    return literal(text, style="dim")


def _spread(score: Score) -> str:
    text = number(score.mean)
    return text if score.std is None else f"{text} ±{score.std:.2g}"


def _interval(of: Difference | UnitDifference, row: StudyRow) -> str:
    if of.value is None or of.low is None:
        return number(of.value)
    return f"{of.value:+.3f} [{of.low:+.3f}, {of.high:+.3f}]{'*' if of.excludes_zero and row.counts else ' '}"
