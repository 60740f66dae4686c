"""How near each learning rule comes to the exact gradient, and at what cost: figures and the terminal's table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connfit.report.style import DATA, MARKERS, SPARE, WIDTH, empty, look, new_figure, save_figure

COLOURS = {
    "hybrid": "#D55E00",
    "hybrid-pp": "#E69F00",
    "tbptt": "#0072B2",
    "d-rtrl": "#009E73",
    "d-rtrl, bf16": "#56B4E9",
    "pp-prop": "#CC79A7",
    "bptt": DATA,
}
STATES = {"start": "at the start", "fitted": "after the fit"}
FLOOR = 1e-6
"""Distance 1 - cosine below which float32 cannot tell gradients apart."""


def fidelity_figure(record: Mapping[str, Any]) -> Figure:
    """Cosine of every rule's gradient to BPTT's against K: a panel per parameter group, a row per state of the fit.

    Parameters
    ----------
    record
        As `connfit.gradcheck.check_gradients` writes it.
    """
    tables = record["parameters"]
    groups = list(next(iter(tables.values()))[0]["groups"])
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


def cost_figure(record: Mapping[str, Any]) -> Figure:
    """Milliseconds per step, memory between windows and within one, per rule; learning curves if there are any."""
    rows = next(iter(record["parameters"].values()))
    curves = (record.get("learning_curves") or {}).get("curves")
    with look():
        heights = [0.24 * len(rows) + 0.9, *([2.4] if curves else [])]
        figure = new_figure(sum(heights))
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        bars = parts[0].subplots(1, 3, sharey=True)
        columns = (
            ("ms_per_step", 1, "ms per step"),
            ("carried_bytes", 1e6, "kept (MB)"),
            ("working_bytes", 1e6, "working memory (MB)"),
        )
        position = np.arange(len(rows))
        for axes, (key, unit, label) in zip(bars, columns, strict=True):
            values = [row[key] / unit for row in rows]
            axes.hlines(position, 0, values, color="#DDDDDD", lw=0.8)
            axes.scatter(values, position, color=[COLOURS[row["rule"]] for row in rows], s=18, zorder=3)
            if key == "ms_per_step":
                axes.set_xlim(0)
            else:
                axes.set_xscale("log")
            axes.set_xlabel(label)
        bars[0].set_yticks(position, [row["label"] for row in rows])
        bars[0].invert_yaxis()
        if curves:
            _learning_curves(parts[1].subplots(1, 2, sharey=True), curves)
        return figure


def write_figures(record: Mapping[str, Any], folder: Path) -> None:
    """Write `gradient_fidelity` and `gradient_cost` as PNG and SVG."""
    save_figure(fidelity_figure(record), folder, "gradient_fidelity")
    save_figure(cost_figure(record), folder, "gradient_cost")


def print_fidelity(record: Mapping[str, Any], console: Console) -> None:
    """Print one table per state of the fit: cosines of all groups, norm and error of the weights, cost."""
    surrogate = "SURROGATE " if record["surrogate"] else ""
    groups = list(next(iter(record["parameters"].values()))[0]["groups"])
    main = "weights" if "weights" in groups else groups[0]
    for state, rows in record["parameters"].items():
        title = f"{surrogate}{record['dataset']}, {record['phase']}, {STATES.get(state, state)}: cosine to BPTT"
        table = _table(title)
        table.add_column("rule", no_wrap=True)
        shown = ["tau" if group == "time_constants" else group for group in groups]
        for name in (*shown, "norm", "error", "ms", "MB"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            of = row["groups"][main]
            table.add_row(
                row["label"],
                *(_digits(row["groups"][group]["cosine"]) for group in groups),
                *(_digits(of[key], 3) for key in ("relative_norm", "bias")),
                f"{row['ms_per_step']:.3g}",
                f"{(row['carried_bytes'] + row['working_bytes']) / 1e6:.3g}",
            )
        console.print(table)
    console.print(
        f"Means over {len(record['segments'])} segments of {record['steps']} steps. norm: of the {main} gradient over "
        "that of BPTT's. error: norm of its mean error over that of BPTT's mean. ms: per step. MB: kept between "
        "windows and working memory within one.",
        highlight=False,
    )
    for curve in (record.get("learning_curves") or {}).get("curves") or []:
        if "diverged" in curve:
            console.print(escape(f"learning curve of {curve['rule']}: {curve['diverged']}"), style="yellow")
    at = (record.get("learning_curves") or {}).get("equal_seconds")
    if at:
        table = _table(f"learning curves, at {at['seconds']:.3g} s")
        for name in ("rule", "epochs", "train loss", "validation skill"):
            table.add_column(name, justify="left" if name == "rule" else "right")
        for rule, row in at["rules"].items():
            table.add_row(rule, str(row["epochs"]), _digits(row["train_loss"]), _digits(row["validation_skill"]))
        console.print(table)


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)


def _digits(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _cosines(axes: Axes, rows: list[Mapping[str, Any]], group: str) -> None:
    """Distance 1 - cosine on a logarithmic axis, labelled by the cosine: 0.998 and 0.9999 are far apart."""
    names = list(dict.fromkeys(row["rule"] for row in rows if row["rule"] != "bptt"))
    drawn = False
    for number, name in enumerate(names):
        points = [row for row in rows if row["rule"] == name and row["groups"][group]["cosine"] is not None]
        if not points:
            continue
        drawn = True
        colour = COLOURS.get(name, SPARE[number % len(SPARE)])
        distance = [max(1 - row["groups"][group]["cosine"], FLOOR) for row in points]
        if points[0]["by_window"]:
            axes.plot(
                [row["window"] for row in points], distance, color=colour, marker=MARKERS[number], ms=4, label=name
            )
        else:
            axes.axhline(distance[0], color=colour, ls="--" if name == "d-rtrl" else ":", label=name)
    if not drawn:
        empty(axes, "gradient is 0")
        return
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yscale("log")
    axes.set_ylim(3, FLOOR / 2)
    cosines = (0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
    axes.minorticks_off()
    axes.set_yticks([1 - one for one in cosines], [f"{one:g}" for one in cosines])


def _learning_curves(panels: Any, curves: list[Mapping[str, Any]]) -> None:
    for axes, key, label in zip(panels, ("steps", "seconds"), ("steps", "seconds of training"), strict=True):
        for curve in curves:
            if "diverged" not in curve:
                axes.plot(curve[key], curve["train_loss"], color=COLOURS[curve["rule"]], label=curve["rule"])
        axes.set_xlabel(label)
    panels[0].set_ylabel("training loss")
    panels[0].legend()
