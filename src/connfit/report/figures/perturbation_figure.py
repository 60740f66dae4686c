"""What a perturbation did: responses with and without it, the most changed neurons, and the terminal's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit.analysis.perturbation_results import Perturbation
from connfit.report.figures.style import INITIAL, MODEL, QUIET, empty, look, new_figure

PANELS = 6
"""Responses that are drawn; watched sets of neurons come first."""
NEURONS = 30
ROWS = 10
"""Neurons that are drawn, and rows of each table that is printed."""


def what_was_done(done: Perturbation) -> str:
    """Name data, sets, and what drives the model, in one line."""
    sets, rate = [], f" {done.rate_units}" if done.rate_units else ""
    for name, value in (done.inputs or {}).items():
        sets.append(f"input {name} at {value:.3g}")
    for held in done.sets:
        what = f"silenced at {held.rate:.3g}" if held.kind == "silenced" else f"held at {held.rate:g}"
        sets.append(f"{held.set} {what}{rate} ({_count(held.neurons)}, unperturbed {held.baseline:.3g}{rate})")
    for given in done.injected:
        what = f"given {given.input:+g} {done.input_units or 'of input'}"
        sets.append(f"{given.set} {what} ({_count(given.neurons)}, unperturbed {given.baseline:.3g}{rate})")
    surrogate = "SURROGATE " if done.surrogate else ""
    return f"{surrogate}{done.dataset}: {'; '.join(sets)}; drive: {done.drive_in_words}"


def _count(neurons: int) -> str:
    return f"{neurons:,} {'neuron' if neurons == 1 else 'neurons'}"


def responses_figure(
    done: Perturbation, traces: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]
) -> Figure:
    """Draw watched sets of neurons, then the most changed units, over time with and without the perturbation.

    Parameters
    ----------
    traces
        `time_s` [T], and `<kind>_baseline`, `<kind>_perturbed` [T, names] of the kinds `unit` and `set`.
    names
        Names of the columns by kind.
    """
    chosen = [("set", response) for response in done.readouts] + [("unit", response) for response in done.units]
    chosen = chosen[:PANELS]
    rows = -(-len(chosen) // 2)
    with look():
        figure = new_figure(0.9 + 1.6 * rows)
        panels = figure.subplots(rows, 2, squeeze=False, sharex=True)
        for axes, (kind, response) in zip(panels.ravel(), chosen, strict=False):
            column = list(names[kind]).index(response.name)
            axes.axvspan(*done.averaged_s, color="#F2F2F2", lw=0)
            for key, colour, label in (("baseline", INITIAL, "unperturbed"), ("perturbed", MODEL, "perturbed")):
                axes.plot(traces["time_s"], traces[f"{kind}_{key}"][:, column], color=colour, label=label)
            axes.set_title(response.name, loc="left")
            label = _label("mean rate", done.units_of_rates) if kind == "set" else _label("activity", done.value_units)
            axes.set_ylabel(label.replace(" (", "\n("), fontsize=7)
        for axes in panels.ravel()[len(chosen) :]:
            axes.set_axis_off()
        for axes in panels[-1]:
            axes.set_xlabel("time from onset (s)")
        figure.suptitle(_wrapped(what_was_done(done)), x=0.01, ha="left", fontsize=8.5)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        return figure


def neurons_figure(done: Perturbation) -> Figure:
    """Draw mean rates over the last half of the most changed neurons: from unperturbed to perturbed."""
    rows = [neuron for neuron in done.changed_neurons if neuron.change][:NEURONS]
    with look():
        figure = new_figure(1.1 + 0.18 * max(len(rows), 4))
        axes: Axes = figure.subplots()
        figure.suptitle(_wrapped(what_was_done(done)), x=0.01, ha="left", fontsize=8.5)
        if not rows:
            empty(axes, "no neuron changed")
            return figure
        position = np.arange(len(rows))
        before, after = [neuron.baseline for neuron in rows], [neuron.perturbed for neuron in rows]
        axes.hlines(position, before, after, color="#BBBBBB", lw=1)
        axes.scatter(before, position, color=INITIAL, s=16, zorder=3, label="unperturbed")
        for sign, marker, colour, label in (
            (1, "o", MODEL, "perturbed, excitatory neuron"),
            (-1, "D", QUIET, "perturbed, inhibitory neuron"),
        ):
            of = [k for k, neuron in enumerate(rows) if neuron.sign == sign]
            if of:
                axes.scatter([after[k] for k in of], of, color=colour, marker=marker, s=16, zorder=4, label=label)
        axes.set_yticks(position, [neuron.name for neuron in rows], fontsize=7)
        axes.invert_yaxis()
        start, stop = done.averaged_s
        axes.set_xlabel(_label(f"mean rate, {start:g} to {stop:g} s after onset", done.units_of_rates))
        figure.legend(loc="outside lower center", ncols=3)
        return figure


def print_perturbation(done: Perturbation, console: Console) -> None:
    """Print the most changed read-outs and neurons."""
    console.print(literal(what_was_done(done)), highlight=False, soft_wrap=True)
    start, stop = done.averaged_s
    what = f"mean rates {start:g} to {stop:g} s after the onset, unperturbed and perturbed"
    if done.rate_units:
        what += f"; of neurons in {done.rate_units}, of units in those of the recording"
    console.print(what, highlight=False)
    for title, rows in (("set of neurons", done.readouts), ("unit", done.units), ("neuron", done.changed_neurons)):
        changed = [response for response in rows if response.change]
        if not changed:
            if rows:
                console.print(f"no {title} changed", highlight=False)
            continue
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        table.add_column(title, overflow="fold")
        for name in ("unperturbed", "perturbed", "change"):
            table.add_column(name, justify="right", no_wrap=True)
        for response in changed[:ROWS]:
            numbers = (f"{response.baseline:.4g}", f"{response.perturbed:.4g}", f"{response.change:+.3g}")
            table.add_row(literal(response.name), *numbers)
        console.print(table)


def _label(what: str, units: str) -> str:
    return f"{what} ({units or 'dimensionless'})"


def _wrapped(text: str, width: int = 105) -> str:
    """Break a title at its sets."""
    lines = [""]
    for part in text.split("; "):
        joined = f"{lines[-1]}; {part}" if lines[-1] else part
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, part]
    return "\n".join(line for line in lines if line)
