"""Recovery of known parameters: curves, what is right beside what is not, and the terminal's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, SPARE, empty, look, new_figure, save_figure

WEIGHTS, TIME_CONSTANTS, BIAS = MODEL, QUIET, "#009E73"
LEAST = -0.6
"""Lower end of the axes of R²: what lies below is drawn at the edge with an arrow."""

STUDENTS = {
    "free": "free",
    "gain_per_neuron": "gain per neuron",
    "gain_per_type_pair": "gain per type pair",
    "known": "weights given",
}


def curves_figure(record: Mapping[str, Any]) -> Figure:
    """R² of each group of parameters over frames and over the recorded fraction, and correlation of activity."""
    curves = record["curves"]
    with look():
        figure = new_figure(3.1)
        by_frames, by_recorded, active = figure.subplots(1, 3)
        _parameters(by_frames, curves.get("frames", []), "frames", "training frames, all neurons recorded")
        _parameters(by_recorded, curves.get("recorded", []), "recorded", "fraction of neurons recorded")
        _activity(active, curves.get("recorded", []))
        by_frames.set_ylabel("R² with the truth")
        for panel in (by_frames, active):
            if panel.get_legend_handles_labels()[0]:
                panel.legend(loc="lower right", fontsize=6.5, handlelength=1.6, labelspacing=0.3)
        return figure


def conditions_figure(record: Mapping[str, Any]) -> Figure:
    """Every condition: parameters on the left, activity on the right, each beside its start and its best."""
    rows = distinct_points(record)
    with look():
        figure = new_figure(1.2 + 0.22 * max(len(rows), 3))
        panels = figure.subplots(1, 4, sharey=True)
        if not rows:
            for axes in panels:
                empty(axes, "no condition was run")
            return figure
        titles = ("weights\nR²", "time const.\nR²", "recorded\nr", "unrecorded\nr")
        columns: tuple[tuple[tuple[str, str, str, str], ...], ...] = (
            (("weights_r2_at_start", INITIAL, "|", "at the start"), ("weights_r2", WEIGHTS, "o", "fitted")),
            (("time_constants_r2", TIME_CONSTANTS, "o", "fitted"),),
            tuple((f"recorded_r{end}", *kind) for end, kind in _KINDS.items() if end != "_shuffled"),
            tuple((f"unrecorded_r{end}", *kind) for end, kind in _KINDS.items()),
        )
        place = np.arange(len(rows))
        for number, (axes, title, drawn) in enumerate(zip(panels, titles, columns, strict=True)):
            axes.set_title(title, loc="left")
            axes.hlines(place, *((LEAST, 1) if number < 2 else (-0.1, 1)), color="#EEEEEE", lw=0.8, zorder=0)
            for key, colour, marker, label in drawn:
                _points(axes, rows, place, key, colour, marker, label)
            axes.set_xlim(*((LEAST - 0.1, 1.12) if number < 2 else (-0.15, 1.1)))
        panels[0].set_yticks(place, [in_words(row) for row in rows])
        panels[0].invert_yaxis()
        handles, labels = panels[3].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=len(labels))
        return figure


_KINDS = {
    "_shuffled": (INITIAL, "x", "fitted, neurons shuffled"),
    "_at_start": (INITIAL, "|", "at the start"),
    "_teacher": (DATA, "|", "teacher's own parameters"),
    "": (MODEL, "o", "fitted"),
}


def distinct_points(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Points of all curves, each condition once, in the order of the curves."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for point in _all_points(record):
        found.setdefault(tuple(value for value in point.values() if not isinstance(value, dict)), point)
    return list(found.values())


def _all_points(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for points in record.get("curves", {}).values():
        yield from points


def in_words(point: Mapping[str, Any]) -> str:
    """A condition in one line."""
    parts = [f"{point['recorded']:.0%}", f"{point['frames']:,} frames", f"noise {point['process_noise']:g}"]
    if point["observation_noise"]:
        parts.append(f"measured ±{point['observation_noise']:g}")
    if point["state_forcing"] != 1:
        parts.append(f"φ {point['state_forcing']:g}")
    student = STUDENTS[point["strengths"]]
    if point["teacher_strengths"] != "free" and point["strengths"] == "free":
        student += f" ({STUDENTS[point['teacher_strengths']]} in truth)"
    return ", ".join([student, *parts])


def write_recovery_figures(record: Mapping[str, Any], folder: Path) -> None:
    """Write `recovery_curves` and `recovery_conditions` as PNG and SVG."""
    save_figure(curves_figure(record), folder, "recovery_curves")
    save_figure(conditions_figure(record), folder, "recovery_conditions")


TABLE = (
    ("w R²", "weights_r2"),
    ("start", "weights_r2_at_start"),
    ("limit", "weights_r2_regression"),
    ("tau R²", "time_constants_r2"),
    ("bias R²", "bias_r2"),
    ("rec. r", "recorded_r"),
    ("skill", "recorded_skill"),
    ("truth", "recorded_skill_teacher"),
    ("unrec. r", "unrecorded_r"),
    ("start", "unrecorded_r_at_start"),
    ("truth", "unrecorded_r_teacher"),
)
"""Columns of the table: heading and name in the summary; first those of parameters, then those of activity."""

PARAMETER_COLUMNS = 5

LEGEND = (
    "Student: what it learns of the weights, fraction of neurons recorded, training frames, private noise of neurons. "
    "w, tau, bias: R² of weights, log time constants and biases with the truth (1 is perfect, below 0 worse than their "
    "mean). rec. r, skill: median correlation over test time and skill over persistence of recorded neurons, one step "
    "ahead. unrec. r: of neurons that were never recorded, while the recorded ones are given. start: before training. "
    "truth: with the teacher's own parameters. limit: each neuron's own regression, solved directly."
)


def print_recovery(record: Mapping[str, Any], console: Console) -> None:
    """Print the tables of all conditions, means over seeds."""
    seeds = record["design"]["seeds"]
    title = f"SURROGATE teachers of {record['design']['neurons']} neurons, {seeds} seed{'s' * (seeds > 1)}"
    # Two tables, for one would lose its first column in a terminal of 80 characters.
    for subject, columns in (("parameters", TABLE[:PARAMETER_COLUMNS]), ("activity", TABLE[PARAMETER_COLUMNS:])):
        table = Table(
            title=f"{title}: {subject}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
        )
        table.add_column("student")
        for name, _ in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for point in distinct_points(record):
            table.add_row(in_words(point), *(digits(point.get(key)) for _, key in columns))
        console.print(table)
    console.print(LEGEND, highlight=False)
    for sentence in verdict(record):
        console.print(sentence, highlight=False)


def digits(value: Mapping[str, Any] | None) -> str:
    """Mean over seeds, or a dash where there is no such number."""
    return "–" if value is None else f"{value['mean']:.2f}"


def verdict(record: Mapping[str, Any]) -> list[str]:
    """What the numbers say, in sentences."""
    curves, made = record.get("curves", {}), []
    frames = curves.get("frames", [])
    if frames:
        most = max(frames, key=lambda point: point["frames"])
        made.append(
            f"With all neurons recorded for {most['frames']:,} frames, R² is {digits(most.get('weights_r2'))} for "
            f"weights ({digits(most.get('weights_r2_at_start'))} at the start) and "
            f"{digits(most.get('time_constants_r2'))} for time constants."
        )
    few = [point for point in curves.get("recorded", []) if point["recorded"] < 1]
    if few:
        least = min(few, key=lambda point: point["recorded"])
        of = {key: digits(value) for key, value in least.items() if isinstance(value, dict)}
        made.append(
            f"With {least['recorded']:.0%} recorded, recorded neurons are predicted with r = {of['recorded_r']} (by "
            f"the teacher's own parameters: {of['recorded_r_teacher']}), others with {of['unrecorded_r']} "
            f"({of['unrecorded_r_teacher']}; before training {of['unrecorded_r_at_start']}); R² is {of['weights_r2']} "
            f"for weights ({of['weights_r2_at_start']} at the start) and {of['time_constants_r2']} for time constants."
        )
        if _activity_alone(least):
            made.append("There recorded activity is as right as the truth makes it, while weights are not the truth's.")
    return made


def _activity_alone(point: Mapping[str, Any]) -> bool:
    """Whether recorded activity is predicted nearly as well as by the truth (0.03), with weights far from it (0.9)."""
    close = point["recorded_r"]["mean"] > point["recorded_r_teacher"]["mean"] - 0.03
    return close and point["weights_r2"]["mean"] < 0.9


def _parameters(axes: Axes, points: Sequence[Mapping[str, Any]], over: str, label: str) -> None:
    if not points:
        empty(axes, "not varied")
        return
    x = [point[over] for point in points]
    for key, colour, name in (
        ("weights_r2", WEIGHTS, "weights"),
        ("time_constants_r2", TIME_CONSTANTS, "time constants (log)"),
        ("bias_r2", BIAS, "biases"),
    ):
        _band(axes, x, points, key, colour, name, "-", "o")
        _band(axes, x, points, f"{key}_regression", colour, "best possible" if key == "weights_r2" else "", "--", "")
    _band(axes, x, points, "weights_r2_at_start", INITIAL, "weights at the start", ":", "")
    if over == "recorded":
        _band(axes, x, points, "weights_r2_between_recorded", SPARE[2], "", "-", "s")
        between = points[0].get("weights_r2_between_recorded")
        if between is not None:
            axes.annotate(
                "weights between\nrecorded neurons", (x[0], between["mean"]), (0, -6), textcoords="offset points",
                va="top", color=SPARE[2], fontsize=7,
            )  # fmt: skip
    axes.axhline(0, color="#CCCCCC", lw=0.6, zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{one:g}" for one in x])
    axes.minorticks_off()
    axes.set_ylim(max(min(axes.get_ylim()[0], -0.02), LEAST), 1.05)
    axes.set_xlabel(label)


def _activity(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    if not points:
        empty(axes, "not varied")
        return
    x = [point["recorded"] for point in points]
    _band(axes, x, points, "recorded_r", MODEL, "recorded, fitted", "-", "o")
    _band(axes, x, points, "recorded_r_teacher", DATA, "recorded, truth", ":", "")
    _band(axes, x, points, "unrecorded_r", QUIET, "unrecorded, fitted", "-", "s")
    _band(axes, x, points, "unrecorded_r_teacher", DATA, "unrecorded, truth", "--", "")
    _band(axes, x, points, "unrecorded_r_at_start", INITIAL, "unrecorded, at the start", "--", "")
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{one:g}" for one in x])
    axes.minorticks_off()
    axes.set_ylim(min(-0.02, axes.get_ylim()[0]), 1.05)
    axes.set_xlabel("fraction of neurons recorded")
    axes.set_ylabel("median r over time (test)")


def _band(
    axes: Axes, x: Sequence[float], points: Sequence[Mapping[str, Any]], key: str, colour: str, name: str, line: str,
    marker: str,
) -> None:  # fmt: skip
    """Mean over seeds, and the range between them."""
    there = [(at, point[key]) for at, point in zip(x, points, strict=True) if key in point]
    if not there:
        return
    at = [one for one, _ in there]
    axes.plot(
        at, [value["mean"] for _, value in there], color=colour, ls=line, marker=marker, ms=3.5, label=name or None
    )
    if any(value["seeds"] > 1 for _, value in there):
        low, high = [value["low"] for _, value in there], [value["high"] for _, value in there]
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)


def _points(
    axes: Axes, rows: Sequence[Mapping[str, Any]], place: np.ndarray, key: str, colour: str, marker: str, label: str
) -> None:
    least = LEAST if "r2" in key else -0.1
    shown = [(at, row[key]["mean"]) for at, row in zip(place, rows, strict=True) if key in row]
    inside = [(at, value) for at, value in shown if value >= least]
    below = [at for at, value in shown if value < least]
    size = 60 if marker == "|" else 20
    axes.scatter(
        [value for _, value in inside],
        [at for at, _ in inside],
        color=colour,
        marker=marker,
        s=size,
        label=label,
        zorder=3,
    )
    axes.scatter([least] * len(below), below, color=colour, marker="<", s=20, zorder=3)
