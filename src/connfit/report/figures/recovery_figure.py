"""Recovery of known parameters: curves, what is right beside what is not, and the terminal's table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.recovery.design import NO_INDICATOR, NO_INPUTS, RATES, Setting
from connfit.analysis.recovery.recovery_results import OverSeeds, Point, Recovery
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, SPARE, empty, look, new_figure
from connfit.report.prose import write_prose
from connfit.report.run_files import RECOVERY

WEIGHTS, TIME_CONSTANTS, BIAS = MODEL, QUIET, "#009E73"
LEAST = -0.6
"""Lower end of the axes of R²: what lies below is drawn at the edge with an arrow."""

STUDENTS = {
    "free": "free",
    "gain_per_neuron": "gain per neuron",
    "gain_per_type_pair": "gain per type pair",
    "known": "weights given",
}


KNOWN = {RATES: "rates recorded", NO_INDICATOR: "no indicator known", NO_INPUTS: "no inputs known"}
"""What students know, where that is not all."""


def curves_figure(recovery: Recovery) -> Figure:
    """Draw R² of each group of parameters over frames and the recorded fraction, and correlation of activity."""
    frames, recorded = (recovery.curves.get(name, ()) for name in ("frames", "recorded"))
    with look():
        figure = new_figure(3.1)
        by_frames, by_recorded, active = figure.subplots(1, 3)
        _parameters(by_frames, frames, "frames", "training frames, all neurons recorded")
        _parameters(by_recorded, recorded, "recorded", "fraction of neurons recorded")
        _activity(active, recorded)
        by_frames.set_ylabel("R² with the truth")
        for panel in (by_frames, active):
            if panel.get_legend_handles_labels()[0]:
                panel.legend(loc="lower right", fontsize=6.5, handlelength=1.6, labelspacing=0.3)
        return figure


def conditions_figure(recovery: Recovery) -> Figure:
    """Draw every condition: parameters on the left, activity on the right, each beside its start and its best."""
    rows = recovery.points
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


def in_words(condition: Setting) -> str:
    """Write a condition in one line."""
    parts = [f"{condition.recorded:.0%}", f"{condition.frames:,} frames", f"noise {condition.process_noise:g}"]
    if condition.observation_noise:
        parts.append(f"measured ±{condition.observation_noise:g}")
    if condition.knows in KNOWN:
        parts.append(KNOWN[condition.knows])
    if condition.state_forcing != 1:
        parts.append(f"φ {condition.state_forcing:g}")
    student = STUDENTS[condition.strengths]
    if condition.teacher_strengths != "free" and condition.strengths == "free":
        student += f" ({STUDENTS[condition.teacher_strengths]} in truth)"
    return ", ".join([student, *parts])


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

OBSERVATION = (("tau ratio", "time_constants_ratio"), ("inputs R²", "inputs_r2"))
"""Columns of teachers that have an indicator, or inputs."""

WIDEST = 8
"""Letters of a heading that is never broken."""

LEGEND = (
    "Student: what it learns of the weights, fraction of neurons recorded, training frames, private noise of neurons. "
    "w, tau, bias: R² of weights, log time constants and biases with the truth (1 is perfect, below 0 worse than their "
    "mean). rec. r, skill: median correlation over test time and skill over persistence of recorded neurons, one step "
    "ahead. unrec. r: of neurons that were never recorded, while the recorded ones are given. start: before training. "
    "truth: with the teacher's own parameters. limit: each neuron's own regression, solved directly. tau ratio, rise, "
    "decay: time constants of neurons (median) and of the indicator over the true ones; fits start the latter at 1.5. "
    "inputs R²: of the weights of external inputs."
)


def title(recovery: Recovery) -> str:
    """Name the teachers and their number."""
    design = recovery.design
    kind = "" if design.cell == "rate" else f" ({design.cell})"
    if design.has_indicator:
        times = " and ".join(f"{name} {value:g} s" for name, value in recovery.indicator.items())
        kind += f" seen through an indicator ({times})"
    if design.has_inputs:
        kind += f" with {design.input_file or f'{design.inputs} drawn'} inputs"
    return f"SURROGATE teachers of {design.neurons} neurons{kind}, {design.seeds} seed{'s' * (design.seeds > 1)}"


def print_recovery(recovery: Recovery, console: Console) -> None:
    """Print the tables of all conditions, means over seeds."""
    # Two tables, for one would lose its first column in a terminal of 80 characters.
    shown = [("parameters", TABLE[:PARAMETER_COLUMNS]), ("activity", TABLE[PARAMETER_COLUMNS:])]
    further = ("parameters of the cell", own_columns(recovery)), ("indicator and inputs", observation_columns(recovery))
    for subject, columns in (*shown, *(each for each in further if each[1])):
        table = Table(
            title=f"{title(recovery)}: {subject}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
            pad_edge=False,
        )  # fmt: skip
        table.add_column("student")
        for name, _ in columns:
            table.add_column(name, justify="right", no_wrap=len(name) <= WIDEST)
        for point in recovery.points:
            table.add_row(literal(in_words(point)), *(digits(number_of(point, key)) for _, key in columns))
        console.print(table)
    console.print(LEGEND, highlight=False)
    for sentence in verdict(recovery):
        console.print(literal(sentence), highlight=False)


def own_columns(recovery: Recovery) -> tuple[tuple[str, str], ...]:
    """Return heading and name of each parameter of the teacher's cell."""
    keys = dict.fromkeys(key for point in recovery.points for key in point.own_r2)
    return tuple((f"{key.removeprefix('log_').replace('_', ' ')} R²", key) for key in keys)


def observation_columns(recovery: Recovery) -> tuple[tuple[str, str], ...]:
    """Return heading and name of what teachers with an indicator or inputs have beside others."""
    design = recovery.design
    there = [column for column, has in zip(OBSERVATION, (design.has_indicator, design.has_inputs), strict=True) if has]
    groups = dict.fromkeys(group for point in recovery.points for group in point.indicator_ratio)
    return *there, *((f"{group.removeprefix('indicator_')} ratio", group) for group in groups)


def number_of(point: Point, key: str) -> OverSeeds | None:
    """Return a number of a column of the tables."""
    if key.startswith("indicator_"):
        return point.indicator_ratio.get(key)
    return point.own_r2[key] if key in point.own_r2 else getattr(point, key)


def digits(value: OverSeeds | None) -> str:
    """Write a mean over seeds, or a dash where there is no such number."""
    return "–" if value is None else f"{value.mean:.2f}"


def verdict(recovery: Recovery) -> tuple[str, ...]:
    """Describe what the numbers amount to, in sentences."""
    return write_prose("sections/recovery.j2", {RECOVERY: recovery}).paragraphs


def _parameters(axes: Axes, points: Sequence[Point], over: str, label: str) -> None:
    if not points:
        empty(axes, "not varied")
        return
    x = [getattr(point, over) for point in points]
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
        between = points[0].weights_r2_between_recorded
        if between is not None:
            axes.annotate(
                "weights between\nrecorded neurons", (x[0], between.mean), (0, -6), textcoords="offset points",
                va="top", color=SPARE[2], fontsize=7,
            )  # fmt: skip
    axes.axhline(0, color="#CCCCCC", lw=0.6, zorder=0)
    _logarithmic(axes, x, label, LEAST)


def _activity(axes: Axes, points: Sequence[Point]) -> None:
    if not points:
        empty(axes, "not varied")
        return
    x = [point.recorded for point in points]
    _band(axes, x, points, "recorded_r", MODEL, "recorded, fitted", "-", "o")
    _band(axes, x, points, "recorded_r_teacher", DATA, "recorded, truth", ":", "")
    _band(axes, x, points, "unrecorded_r", QUIET, "unrecorded, fitted", "-", "s")
    _band(axes, x, points, "unrecorded_r_teacher", DATA, "unrecorded, truth", "--", "")
    _band(axes, x, points, "unrecorded_r_at_start", INITIAL, "unrecorded, at the start", "--", "")
    _logarithmic(axes, x, "fraction of neurons recorded", -1.0)
    axes.set_ylabel("median r over time (test)")


def _logarithmic(axes: Axes, x: Sequence[float], label: str, least: float) -> None:
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.minorticks_off()
    axes.set_ylim(max(min(axes.get_ylim()[0], -0.02), least), 1.05)
    axes.set_xlabel(label)


def _band(
    axes: Axes, x: Sequence[float], points: Sequence[Point], key: str, colour: str, name: str, line: str,
    marker: str,
) -> None:  # fmt: skip
    """Mean over seeds, and the range between them."""
    shown = [(at, value) for at, point in zip(x, points, strict=True) if (value := _number(point, key)) is not None]
    if not shown:
        return
    at, values = zip(*shown, strict=True)
    means = [value.mean for value in values]
    axes.plot(at, means, color=colour, ls=line, marker=marker, ms=3.5, label=name or None)
    if any(value.seeds > 1 for value in values):
        axes.fill_between(
            at, [value.low for value in values], [value.high for value in values], color=colour, alpha=0.15, lw=0
        )


def _number(point: Point, key: str) -> OverSeeds | None:
    return getattr(point, key)


def _points(
    axes: Axes, rows: Sequence[Point], place: np.ndarray, key: str, colour: str, marker: str, label: str
) -> None:
    least = LEAST if "r2" in key else -0.1
    shown = [(found.mean, at) for at, row in zip(place, rows, strict=True) if (found := _number(row, key)) is not None]
    inside = np.array([pair for pair in shown if pair[0] >= least]).reshape(-1, 2)
    below = [at for value, at in shown if value < least]
    size = 60 if marker == "|" else 20
    axes.scatter(*inside.T, color=colour, marker=marker, s=size, label=label, zorder=3)
    axes.scatter([least] * len(below), below, color=colour, marker="<", s=20, zorder=3)
