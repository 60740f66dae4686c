"""Figures of branching ratios, eigenvalues, weights and time constants of an analysis."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.dynamics.spectrum import Spectrum
from connfit.analysis.parameters.weights import CountCorrelations
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, SPARE, SUPERSCRIPTS, empty, look, new_figure

MATRICES = {
    "weights": "recurrent weights W",
    "jacobian_open": "one step at rest, drive given",
    "jacobian_closed": "one step at rest, free run",
}
SOURCES = {
    "data_units": ("data", DATA, "-"),
    "model_units": ("model, units", MODEL, "-"),
    "model_neurons": ("model, neurons", QUIET, "--"),
    "untrained_units": ("untrained, units", INITIAL, ":"),
}
GROUPS = 8
"""Groups of each kind that are drawn."""
TICKS = 5
"""Labels of a logarithmic axis, at most: more do not fit below a panel of a third of a page."""
SMALLEST = 1e-4
"""Smallest weight over the geometric mean that is drawn."""


def branching_figure(analysis: Analysis) -> Figure:
    """Draw slopes of activity on activity k frames before with fits (left); the ratio in samples (right)."""
    rate = analysis.frame_rate_hz
    with look():
        figure = new_figure(3.7)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.35, 1]})
        for name, (label, colour, line) in SOURCES.items():
            source = analysis.sources.get(name)
            found = source.signal.branching if source and source.signal else None
            if found is None:
                continue
            lags = np.array(found.lags)
            left.plot(lags / rate, found.slopes, ".", ms=2.5, color=colour, alpha=0.5, mew=0)
            text = label
            if found.m is not None and found.amplitude is not None:
                left.plot(lags / rate, found.amplitude * found.m**lags + found.offset, color=colour, ls=line)
                text += f": m = {found.m:.3f}"
                text += f" [{found.interval[0]:.3f}, {found.interval[1]:.3f}]" if found.interval else ""
            left.plot([], [], color=colour, ls=line, label=text)
        left.axhline(0, color="#BBBBBB", lw=0.6, zorder=0)
        left.set_ylim(-0.4, 1.25)
        left.set(xlabel="lag (s)", ylabel="slope of mean activity")
        left.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        rows = [row for row in analysis.branching_by_sample if row.m is not None]
        if not rows:
            empty(right, "no branching ratio is defined")
            return figure
        place = np.arange(len(rows))
        for k, row in enumerate(rows):
            colour = MODEL if row.of == "units" else QUIET
            if row.interval:
                right.hlines(k, *row.interval, color=colour, lw=1.4)
            right.plot(row.m, k, "o", color=colour, ms=4)
            right.plot(row.conventional, k, "x", color="#555555", ms=4)
        right.axvline(1, color="#555555", lw=0.8, ls="--")
        right.plot([], [], "o", color=QUIET, ms=4, label="many lags, 95 %")
        right.plot([], [], "x", color="#555555", ms=4, label="lag 1 alone")
        right.set_yticks(place, [f"{row.size:,} {row.of}" for row in rows])
        right.invert_yaxis()
        right.set_ylim(len(rows) - 0.4, -0.6)
        right.set_xlabel("branching ratio m per frame")
        right.set_title("fitted model, samples", loc="left")
        right.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.18), ncols=2)
        return figure


def eigenvalue_figure(analysis: Analysis) -> Figure:
    """Draw leading eigenvalues before and after the fit in the complex plane, with the unit circle."""
    both = (("before", analysis.stability.before, INITIAL, "o"), ("after", analysis.stability.after, MODEL, "."))
    angle = np.linspace(0, 2 * np.pi, 400)
    with look():
        figure = new_figure(3.5)
        panels = figure.subplots(1, 3)
        for axes, (name, title) in zip(panels, MATRICES.items(), strict=True):
            axes.plot(np.cos(angle), np.sin(angle), color="#555555", lw=0.8)
            reach, lines = 1.0, []
            for when, model, colour, marker in both:
                found: Spectrum | None = getattr(model, name)
                if found is None:
                    lines.append(f"{when}: not defined")
                    continue
                values = np.array(found.eigenvalues).reshape(-1, 2)
                lines.append(f"radius {when} {found.radius:.3f}")
                if len(values):
                    fill = {"mfc": "none"} if marker == "o" else {}
                    axes.plot(*values.T, marker, ms=3.5 if marker == "o" else 4, color=colour, mew=0.7, ls="", **fill)
                    reach = max(reach, float(np.abs(values).max()))
            axes.set_title(title + "\n" + "\n".join(lines), loc="left", fontsize=7.5)
            axes.set_xlim(-1.08 * reach, 1.08 * reach)
            axes.set_ylim(-1.08 * reach, 1.08 * reach)
            axes.set_aspect("equal")
            axes.set_xlabel("real part")
        panels[0].set_ylabel("imaginary part")
        panels[0].plot([], [], "o", ms=3.5, mfc="none", color=INITIAL, label="before")
        panels[0].plot([], [], ".", color=MODEL, label="after the fit")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure


def weights_figure(analysis: Analysis) -> Figure:
    """Draw quantiles of weights against those of counts, means over bins of counts, and rank correlations."""
    statistics = analysis.weights.statistics
    with look():
        figure = new_figure(3.3)
        if not statistics:
            empty(figure.subplots(), analysis.weights.reasons.get("statistics", "not analysed"))
            return figure
        quantiles, binned, ranks = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.1]})
        counts = statistics.counts.relative
        whole = statistics.size_word == "synapse count"
        sizes = "counts" if whole else "source weights"
        of_connection = "synapses of the connection" if whole else statistics.size_word
        ends, hidden = [1.0, 1.0], 0
        for spread, colour, label, marker in (
            (statistics.before, INITIAL, "before", "o"),
            (statistics.after, MODEL, "after", "s"),
        ):
            own = None if spread is None else spread.relative
            if own is not None and counts is not None:
                # A few weights that a fit left near 0 must not squeeze all others.
                seen = own > SMALLEST
                hidden += int((~seen).sum())
                quantiles.plot(counts[seen], own[seen], marker, ms=3, color=colour, label=label, mew=0)
                ends = [min(ends[0], own[seen].min(), counts.min()), max(ends[1], own.max(), counts.max())]
        quantiles.plot(ends, ends, color="#555555", lw=0.8, ls="--")
        quantiles.set(
            xscale="log",
            yscale="log",
            xlabel=f"{sizes} / geometric mean",
            ylabel="weight / geometric mean",
        )
        note = f"\n{hidden} below {SMALLEST:g} not shown" if hidden else ""
        quantiles.set_title(f"quantiles{note}", loc="left", fontsize=8)
        quantiles.legend(loc="upper left", fontsize=7)
        by_count = statistics.by_count
        binned.plot(by_count.mean_count, by_count.mean_weight, "s", ms=3.5, color=MODEL, mew=0)
        binned.set(
            xscale="log",
            yscale="log",
            xlabel=of_connection,
            ylabel="mean fitted weight",
        )
        for axis in (quantiles.xaxis, quantiles.yaxis, binned.xaxis, binned.yaxis):
            _log_ticks(axis)
        correlation = by_count.correlation
        binned.set_title(f"means over bins: r = {correlation:.2f}" if correlation is not None else "means", loc="left")
        _ranks(ranks, statistics.rank_correlation_with_counts, sizes)
        return figure


def _ranks(axes: Axes, found: CountCorrelations, sizes: str) -> None:
    rows = [("all, before", found.before), ("all, after", found.after), ("all, change", found.change)]
    groups = [group for kind in found.by_group for group in kind.largest if group.correlation is not None]
    rows += [(_short(group.name), group.correlation) for group in sorted(groups, key=lambda each: -each.count)[:GROUPS]]
    defined = [(name, value) for name, value in rows if value is not None]
    axes.axvline(0, color="#555555", lw=0.8)
    for k, (name, value) in enumerate(defined):
        colour = INITIAL if name == "all, before" else MODEL if name.startswith("all") else SPARE[1]
        axes.plot([0, value], [k, k], color=colour, lw=1)
        axes.plot(value, k, "o", ms=4, color=colour)
    axes.set_yticks(range(len(defined)), [name for name, _ in defined], fontsize=6.5)
    axes.invert_yaxis()
    axes.set_xlim(-1.05, 1.05)
    axes.set_xlabel(f"rank correlation with {sizes}")
    axes.set_title("connection by connection", loc="left")


def time_constants_figure(analysis: Analysis) -> Figure:
    """Draw quantiles of time constants before and after the fit, and quartiles by group of neurons."""
    found = analysis.time_constants
    with look():
        figure = new_figure(2.9)
        left, right = figure.subplots(1, 2)
        for own, colour, line, label in (
            (found.before_s, INITIAL, "--", "before"),
            (found.after_s, MODEL, "-", "after"),
        ):
            if own is not None:
                left.step(own.quantiles, own.probabilities, where="post", color=colour, ls=line, label=label)
        for bound in found.bounds_s:
            left.axvline(bound, color="#BBBBBB", lw=0.8, zorder=0)
        left.axvline(found.step_s, color="#555555", lw=0.8, ls=":", label="one step")
        left.set(xscale="log", xlabel="time constant (s)", ylabel="share of neurons below")
        left.legend(loc="lower right", fontsize=7)
        groups = [(kind.grouped_by, group) for kind in found.groups for group in kind.largest[:GROUPS]]
        groups = groups[: 3 * GROUPS]
        if not groups:
            empty(right, "the neuron table has no groups of 10 neurons or more")
            return figure
        for k, (_, group) in enumerate(groups):
            low, middle, high = group.quartiles_s
            right.hlines(k, low, high, color=MODEL, lw=1.2)
            right.plot(middle, k, "o", ms=3, color=MODEL)
        size = 6.5 if len(groups) <= 16 else 5
        names = [f"{_short(group.name)} ({group.count:,})" for _, group in groups]
        right.set_yticks(range(len(groups)), names, fontsize=size)
        right.invert_yaxis()
        right.set(xscale="log", xlabel="time constant (s), quartiles")
        kinds = list(dict.fromkeys(name for name, _ in groups))
        right.set_title(f"by {', '.join(kinds)}", loc="left")
        _log_ticks(left.xaxis)
        _log_ticks(right.xaxis)
        return figure


def _log_ticks(axis: Axis) -> None:
    """Label 1, 2 and 5 of each decade where an axis spans few, 1 and 3 or every so many decades where it spans more."""
    low, high = axis.get_view_interval()

    def between(steps: tuple[int, ...], every: int = 1) -> list[float]:
        return [k * 10.0**e for e in range(-30, 31, every) for k in steps if low <= k * 10.0**e <= high]

    choices = [between((1, 2, 5)), between((1, 3)), *(between((1,), every) for every in (1, 2, 3, 5, 10))]
    ticks = next((ticks for ticks in choices if len(ticks) <= TICKS), [])
    if len(ticks) < 2:
        ticks = between(tuple(range(1, 10)))
        ticks = ticks[:: -(-len(ticks) // 3) or 1]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))


def _power(value: float) -> str:
    """A number; a power of ten that would be long as such."""
    exponent = round(np.log10(value)) if value > 0 else 0
    if abs(exponent) > 3 and np.isclose(value, 10.0**exponent):
        return f"10{str(exponent).translate(SUPERSCRIPTS)}"
    return f"{value:g}"


def _short(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
