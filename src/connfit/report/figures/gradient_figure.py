"""How near each learning rule comes to the exact gradient, and at what cost: figures and the terminal's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.gradients.gradient_results import AXES, GradientFidelity, LearningCurves, RuleFidelity
from connfit.report.figures.learning_figure import (
    amount,
    learning_table,
    learning_verdict,
    rule_colour,
)
from connfit.report.figures.style import MARKERS, SPARE, WIDTH, empty, look, new_figure

STATES = {"start": "at the start", "fitted": "after the fit"}
FLOOR = 1e-6
"""Distance 1 - cosine below which float32 cannot tell gradients apart."""


def fidelity_figure(record: GradientFidelity) -> Figure:
    """Draw cosines to BPTT's gradient against K: a panel per parameter group, a row per state of the fit."""
    tables, groups = record.parameters, record.groups
    with look():
        figure = new_figure(0.5 + 2.1 * len(tables), max(WIDTH, 1.9 * len(groups)))
        panels = figure.subplots(len(tables), len(groups), squeeze=False, sharex=True, sharey=True)
        for axes, (state, rows) in zip(panels, tables.items(), strict=True):
            for panel, group in zip(axes, groups, strict=True):
                _cosines(panel, rows, group)
                if state == next(iter(tables)):
                    panel.set_title(group.replace("_", " "), loc="left")
            axes[0].set_ylabel(f"cosine to BPTT,\n{STATES.get(state, state)}")
        for panel in panels[-1]:
            panel.set_xlabel("window K (steps)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def cost_figure(record: GradientFidelity) -> Figure:
    """Draw milliseconds per step, memory between windows and within one, per rule."""
    rows = next(iter(record.parameters.values()))
    with look():
        figure = new_figure(0.24 * len(rows) + 0.9)
        bars = figure.subplots(1, 3, sharey=True)
        columns = (
            ("ms_per_step", 1, "ms per step"),
            ("carried_bytes", 1e6, "kept (MB)"),
            ("working_bytes", 1e6, "working memory (MB)"),
        )
        position = np.arange(len(rows))
        for axes, (key, unit, label) in zip(bars, columns, strict=True):
            values = [getattr(row, key) / unit for row in rows]
            axes.hlines(position, 0, values, color="#DDDDDD", lw=0.8)
            axes.scatter(values, position, color=[rule_colour(row.rule) for row in rows], s=18, zorder=3)
            if key == "ms_per_step":
                axes.set_xlim(0)
            else:
                axes.set_xscale("log")
            axes.set_xlabel(label)
        bars[0].set_yticks(position, [row.label for row in rows])
        bars[0].invert_yaxis()
        return figure


def print_fidelity(record: GradientFidelity, console: Console) -> None:
    """Print one table per state of the fit: cosines of all groups, norm and error of the weights, cost."""
    surrogate = "SURROGATE " if record.surrogate else ""
    groups, main = record.groups, record.main_group
    for state, rows in record.parameters.items():
        title = f"{surrogate}{record.dataset}, {record.phase}, {STATES.get(state, state)}: cosine to BPTT"
        table = _table(title)
        table.add_column("rule", no_wrap=True)
        shown = ["tau" if group == "time_constants" else group for group in groups]
        for name in (*shown, "norm", "error", "ms", "MB"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                literal(row.label),
                *(_digits(row.groups[group].cosine) for group in groups),
                *(_digits(value, 3) for value in (row.groups[main].relative_norm, row.groups[main].bias)),
                f"{row.ms_per_step:.3g}",
                f"{(row.carried_bytes + row.working_bytes) / 1e6:.3g}",
            )
        console.print(table)
    console.print(
        f"Means over {len(record.segments)} segments of {record.steps} steps. norm: of the {main} gradient over "
        "that of BPTT's. error: norm of its mean error over that of BPTT's mean. ms: per step. MB: kept between "
        "windows and working memory within one.",
        highlight=False,
    )
    if record.learning_curves is not None:
        _print_curves(record.learning_curves, console)


def _print_curves(curves: LearningCurves, console: Console) -> None:
    """What each rule ends with after equal steps and equal time, and what that says."""
    for rule in curves.left_out:
        console.print(literal(f"learning curves without {rule.rule}: {rule.reason}"), style="yellow")
    for curve in curves.curves:
        if curve.diverged:
            console.print(literal(f"learning curve of {curve.name}: {curve.diverged}"), style="yellow")
    for axis, at in curves.compared.items():
        table = _table(f"learning curves, after {AXES[axis]} ({amount(at)})")
        header, cells = learning_table(at)
        # Differences need more than 80 characters: they are in the report.
        shown = [number for number, name in enumerate(header) if not name.startswith("difference")]
        for number in shown:
            short = header[number].replace(" frames ahead", " ahead").replace("one frame", "1").replace("learning ", "")
            table.add_column(short, justify="left" if number == 0 else "right", no_wrap=number == 0)
        for row in cells:
            table.add_row(*(literal(row[number]) for number in shown))
        console.print(table)
    for line in learning_verdict(curves):
        console.print(literal(line), highlight=False)


def _table(title: str) -> Table:
    return Table(title=literal(title), title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)


def _digits(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _cosines(axes: Axes, rows: Sequence[RuleFidelity], group: str) -> None:
    """Distance 1 - cosine on a logarithmic axis, labelled by the cosine: 0.998 and 0.9999 are far apart."""
    names = list(dict.fromkeys(row.rule for row in rows if row.rule != "bptt"))
    drawn = False
    for number, name in enumerate(names):
        points = [(row, row.groups[group].cosine) for row in rows if row.rule == name]
        known = [(row.window, max(1 - cosine, FLOOR)) for row, cosine in points if cosine is not None]
        if not known:
            continue
        drawn = True
        colour = rule_colour(name, SPARE[number % len(SPARE)])
        if points[0][0].by_window:
            axes.plot(*zip(*known, strict=True), color=colour, marker=MARKERS[number % len(MARKERS)], ms=4, label=name)
        else:
            axes.axhline(known[0][1], color=colour, ls="--" if name == "d-rtrl" else ":", label=name)
    if not drawn:
        empty(axes, "gradient is 0")
        return
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("log")
    axes.set_ylim(3, FLOOR / 2)
    cosines = (0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
    axes.minorticks_off()
    axes.set_yticks([1 - cosine for cosine in cosines], [f"{cosine:g}" for cosine in cosines])
