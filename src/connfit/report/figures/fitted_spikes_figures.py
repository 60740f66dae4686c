"""How a fitted model spikes: a raster above the population's rate; rates and variation of intervals of all neurons."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from connfit.analysis.spiking.fitted_spikes_results import Binned, FittedSpikes
from connfit.report.figures.spiking_figures import draw_spikes
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, drawable, empty, look, new_figure

SIGNS = ((1, MODEL, "excitatory"), (-1, QUIET, "inhibitory"), (0, DATA, "of both signs"))

CLOSE = 0.06
"""Part of the height of a raster that the name of a group needs."""


def fitted_raster_figure(found: FittedSpikes) -> Figure:
    """Draw spikes of some neurons, sorted by group, and below them the mean rate of all neurons."""
    raster = found.raster
    lines = len(raster.rows)
    with look():
        figure = new_figure(1.9 + max(0.9, min(3.0, 0.025 * lines)))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(max(1.0, min(3.2, 0.027 * lines)), 1))
        if not lines:
            empty(above, "no neuron spiked")
        for sign, colour, label in SIGNS:
            # The first row is the highest.
            rows = [(lines - 1 - k, row.steps) for k, row in enumerate(raster.rows) if row.sign == sign]
            if rows:
                time = np.concatenate([np.array(steps) for _, steps in rows]) * found.step_ms / 1000
                line = np.repeat([at for at, _ in rows], [len(steps) for _, steps in rows])
                draw_spikes(above, time, line, lines, colour, label)
        if lines:
            above.set_ylim(-1, lines)
            _name_groups(above, found)
        bin_s, population = found.bin_ms / 1000, np.array(raster.population)
        edges = bin_s * np.arange(len(population) + 1)
        below.stairs(population / (max(found.neurons, 1) * bin_s), edges, baseline=None, color=DATA, lw=0.9)
        below.set_ylim(0, None)
        below.set_ylabel("all neurons\n(Hz)")
        below.set_xlabel("time in the free run (s)")
        below.set_xlim(0, edges[-1])
        if lines:
            figure.legend(*above.get_legend_handles_labels(), loc="outside upper right", ncols=3, markerscale=3)
        figure.align_ylabels([above, below])
        return figure


def _name_groups(axes: Axes, found: FittedSpikes) -> None:
    """Name groups where there is room, with lines between them; else say what the rows are."""
    raster, lines = found.raster, len(found.raster.rows)
    if not raster.sorted_by:
        axes.set_ylabel("neuron")
        axes.set_yticks([])
        return
    begin, places, names = 0, [], []
    for group, rows in groupby(row.group for row in raster.rows):
        size = len(list(rows))
        if begin:
            axes.axhline(lines - begin - 0.5, color="#BBBBBB", lw=0.5, zorder=0)
        middle = lines - begin - (size + 1) / 2
        if not places or places[-1] - middle > CLOSE * lines:
            places.append(middle)
            names.append(drawable(group) or "(none)")
        begin += size
    axes.set_yticks(places, names, fontsize=7)
    axes.tick_params("y", length=0)
    axes.set_ylabel(f"neurons by {raster.sorted_by}")


def spike_statistics_figure(found: FittedSpikes) -> Figure:
    """Draw histograms over neurons: rates on a logarithmic scale (left), CV of intervals between spikes (right)."""
    with look():
        figure = new_figure(2.7)
        left, right = figure.subplots(1, 2)
        if _bars(left, found.rates, "no neuron spiked"):
            left.set_xscale("log")
            # Over few decades powers of ten alone may be one label, or none.
            low, high = found.rates.edges[0] / 1.3, found.rates.edges[-1] * 1.3
            subs = (1,) if high > 100 * low else (1, 2, 5) if high > 5 * low else tuple(range(1, 10))
            left.set_xlim(low, high)
            left.xaxis.set_major_locator(LogLocator(10, subs=subs))
            left.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
            left.xaxis.set_minor_formatter(NullFormatter())
            left.set_xlabel("rate (Hz)")
            if found.rate_hz.mean:
                left.axvline(found.rate_hz.mean, color=DATA, lw=1, ls="--", label=f"mean {found.rate_hz.mean:.3g} Hz")
            if found.limit_hz and found.limit_hz <= found.rates.edges[-1]:
                left.axvline(found.limit_hz, color=QUIET, lw=1, ls=":", label=f"limit {found.limit_hz:.3g} Hz")
            left.set_title(f"{found.silent:,} of {found.neurons:,} neurons silent, not shown", loc="left")
        few = f"no neuron has {found.intervals.least} intervals"
        if _bars(right, found.intervals.histogram, few):
            right.set_xlabel("CV of intervals between spikes")
            right.axvline(1, color=INITIAL, lw=1, ls=":", label="Poisson process")
            if found.intervals.cv:
                median = found.intervals.cv[1]
                right.axvline(median, color=DATA, lw=1, ls="--", label=f"median {median:.2f}")
            title = f"{found.intervals.neurons:,} neurons with {found.intervals.least} or more intervals"
            right.set_title(title, loc="left")
        for axes in (left, right):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=7, loc="best")
        return figure


def _bars(axes: Axes, histogram: Binned, nothing: str) -> bool:
    if not sum(histogram.number):
        empty(axes, nothing)
        return False
    axes.stairs(histogram.number, histogram.edges, fill=True, color=MODEL, alpha=0.75)
    axes.set_ylabel("neurons")
    # Room for the legend above the bars.
    axes.set_ylim(0, 1.35 * max(histogram.number))
    return True
