"""An experiment on a spiking network: who spikes when, rates against dose, and what silencing changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connfit.analysis.spiking.spiking_results import OverTrials, SpikingSimulation
from connfit.report.figures.style import DATA, INITIAL, MARKERS, MODEL, QUIET, SPARE, drawable, empty, look, new_figure
from connfit.report.wording import number

ROWS = 30
"""Neurons, or silenced groups, that a figure shows."""

LINES = 400
"""Neurons of a raster."""

_COLOURS = (MODEL, QUIET, "#009E73", *SPARE)


def what_was_done(done: SpikingSimulation) -> str:
    """Name data, sets and trials, in one line."""
    parts = []
    for each in done.stimulated:
        rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(each.rates_hz))
        parts.append(f"{each.set} stimulated at {rates} Hz ({_count(each.neurons)})")
    parts += [f"{each.set} silenced ({_count(each.neurons)})" for each in done.silenced]
    surrogate = "SURROGATE " if done.notes.get("surrogate") else ""
    trials = f"{done.trials} {'trial' if done.trials == 1 else 'trials'} of {done.seconds:g} s"
    return f"{surrogate}{done.data}, {done.model}: {'; '.join(parts)}; {trials}"


def _count(neurons: int) -> str:
    return f"{neurons:,} {'neuron' if neurons == 1 else 'neurons'}"


def raster_figure(done: SpikingSimulation, spikes: pd.DataFrame) -> Figure:
    """Draw the first trial at the highest dose: stimulated neurons below, neurons that are read above.

    Parameters
    ----------
    spikes
        As in `spikes.parquet`.
    """
    last = len(done.doses) - 1
    chosen = (spikes["dose"].to_numpy() == last) & (spikes["trial"].to_numpy() == 0)
    time, name, stimulated = (spikes[key].to_numpy()[chosen] for key in ("time_s", "id", "stimulated"))
    # Stimulated neurons are the lowest lines.
    lines = list(dict.fromkeys(sorted(zip(~stimulated, map(str, name), strict=True))))[:LINES]
    place = {key: k for k, (_, key) in enumerate(lines)}
    at = np.array([place.get(str(key), -1) for key in name], float)
    with look():
        figure = new_figure(3.2)
        axes: Axes = figure.subplots()
        if not lines:
            empty(axes, "no neuron that is stimulated or read spiked")
            return figure
        for of, colour, label in ((stimulated, INITIAL, "stimulated"), (~stimulated, MODEL, "read")):
            drawn = of & (at >= 0)
            if drawn.any():
                draw_spikes(axes, time[drawn], at[drawn], len(lines), colour, label)
        axes.set_xlim(0, done.seconds)
        axes.set_ylim(-1, len(lines))
        axes.set_xlabel("time (s)")
        axes.set_ylabel("neuron")
        rates = ", ".join(f"{each.set} at {each.rates_hz[last]:g} Hz" for each in done.stimulated)
        axes.set_title(drawable(f"trial 1, {rates}"), loc="left")
        figure.legend(loc="outside lower center", ncols=2, markerscale=1.5)
        return figure


def draw_spikes(axes: Axes, time: np.ndarray, line: np.ndarray, lines: int, colour: str, label: str) -> None:
    """Draw spikes of a raster.

    Parameters
    ----------
    time, line
        Of each spike, in seconds and in lines from below.
    lines
        How many the raster has.
    """
    axes.plot(
        time, line, "|", color=colour, ms=max(1.5, min(8, 180 / lines)), mew=0.7, label=label,
        rasterized=len(time) > 5000,
    )  # fmt: skip


def dose_figure(done: SpikingSimulation) -> Figure:
    """Draw the rate of each read-out against the dose with 95 % intervals, and how many neurons are active."""
    varied = next((each for each in done.stimulated if len(set(each.rates_hz)) > 1), done.stimulated[0])
    dose = np.array(varied.rates_hz)
    order = np.argsort(dose, kind="stable")
    with look():
        figure = new_figure(3.0)
        rates, active = figure.subplots(1, 2)
        for k, readout in enumerate(done.readouts):
            values = [done.doses[d].readouts[k] for d in order]
            label = f"{readout.set} ({_count(readout.neurons)})"
            _with_intervals(rates, dose[order], values, _COLOURS[k % len(_COLOURS)], MARKERS[k % len(MARKERS)], label)
        if not done.readouts:
            empty(rates, "nothing was read")
        _with_intervals(active, dose[order], [done.doses[d].active_neurons for d in order], DATA, "o", "")
        for axes, label in ((rates, "mean rate (Hz)"), (active, "neurons with a spike")):
            axes.set_xlabel(drawable(f"{varied.set} (Hz)"))
            axes.set_ylabel(label)
        if done.readouts:
            figure.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure


def _with_intervals(axes: Axes, x: np.ndarray, values: list[OverTrials], colour: str, marker: str, label: str) -> None:
    axes.plot(x, [value.mean for value in values], marker=marker, ms=4, color=colour, label=drawable(label))
    for at, value in zip(x, values, strict=True):
        if value.low is not None and value.high is not None:
            axes.plot([at, at], [value.low, value.high], color=colour, lw=1)


def active_figure(done: SpikingSimulation) -> Figure:
    """Draw the rates of the most active neurons that were not stimulated, by dose."""
    rows = done.active[:ROWS]
    with look():
        figure = new_figure(1.1 + 0.16 * max(len(rows), 4))
        axes: Axes = figure.subplots()
        if not rows:
            empty(axes, "no neuron spiked that was not stimulated")
            return figure
        image = axes.imshow(np.array([row.rates_hz for row in rows]), aspect="auto", cmap="magma", vmin=0)
        minus = {1: "", -1: " −"}
        names = [" ".join(filter(None, (row.type, row.region, row.id))) + minus[row.sign] for row in rows]
        axes.set_yticks(np.arange(len(rows)), [drawable(name) for name in names], fontsize=6.5)
        doses = ["\n".join(f"{rate:g}" for rate in each.rates_hz) for each in done.doses]
        axes.set_xticks(np.arange(len(doses)), doses)
        axes.set_xlabel("stimulated at (Hz); −: inhibitory neuron")
        figure.colorbar(image, ax=axes, label="mean rate (Hz)")
        return figure


def screen_figure(done: SpikingSimulation) -> Figure:
    """Draw the largest changes of the first read-out, with intervals of each and of all together."""
    screen = done.screen
    first = done.readouts[0].set if done.readouts else ""
    rows = [row for row in (screen.rows if screen else ()) if row.readout == first][:ROWS]
    with look():
        figure = new_figure(1.2 + 0.17 * max(len(rows), 4))
        axes: Axes = figure.subplots()
        if not rows:
            empty(axes, "nobody was silenced")
            return figure
        for k, row in enumerate(rows):
            colour = MODEL if row.changes else INITIAL
            if row.low_of_all is not None and row.high_of_all is not None:
                axes.plot([row.low_of_all, row.high_of_all], [k, k], color=colour, lw=0.7)
            if row.change_hz.low is not None and row.change_hz.high is not None:
                axes.plot([row.change_hz.low, row.change_hz.high], [k, k], color=colour, lw=2)
            axes.plot(row.change_hz.mean, k, "o", ms=3.5, color=colour)
        axes.axvline(0, color="#BBBBBB", lw=0.8, zorder=0)
        axes.set_yticks(np.arange(len(rows)), [drawable(row.name) for row in rows], fontsize=6.5)
        axes.invert_yaxis()
        before = done.doses[0].readouts[0].mean
        axes.set_xlabel(drawable(f"change of {first} (Hz; {number(before)} Hz with nobody silenced)"))
        return figure
