"""Figures of avalanches: distributions with fits, all thresholds and bins, scaling and shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.histograms import Histogram
from connfit.analysis.criticality.power_law_evidence import PowerLawTest
from connfit.analysis.criticality.signature_table import GridCell
from connfit.analysis.criticality.signatures import Criticality
from connfit.analysis.findings import SURROGATES
from connfit.report.figures.style import DATA, MODEL, QUIET, SPARE, empty, look, new_figure

KINDS = {"data": "as it is", **SURROGATES}
"""What goes through all thresholds and bins."""

FITS = {
    "power_law": ("power law", MODEL, "-"),
    "lognormal": ("log-normal", QUIET, "--"),
    "exponential": ("exponential", "#009E73", ":"),
    "truncated_power_law": ("truncated power law", SPARE[0], "-."),
}
CELLS = ("too few avalanches", "no power law", "power laws", "power laws and scaling relation")
CELL_COLOURS = ("#F2F2F2", "#BFC8D0", "#F2B27A", "#D55E00")


def density(histogram: Histogram, per_decade: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of whole numbers in logarithmic bins: middle and density of each that has some."""
    x, n = np.asarray(histogram.value, float), np.asarray(histogram.number, float)
    edges = np.unique(np.ceil(10 ** np.arange(0, np.log10(x.max()) + 1.1 / per_decade, 1 / per_decade) - 1e-9))
    edges = np.append(edges, edges[-1] + 1) if edges[-1] <= x.max() else edges
    mass = np.histogram(x, edges, weights=n)[0] / n.sum()
    filled = mass > 0
    return np.sqrt(edges[:-1] * (edges[1:] - 1))[filled], (mass / np.diff(edges))[filled]


def fitted_density(name: str, test: PowerLawTest, x: np.ndarray) -> np.ndarray | None:
    """Return the density of a fitted law at whole numbers x from xmin on, given the tail; None where it has none."""
    fit = test.fit
    parameters = {compared.alternative: compared.parameters for compared in test.comparisons}
    top = fit.xmax or max(10 * x.max(), 1e4)
    begin, far = fit.xmin, fit.xmin + 2000
    single = np.arange(begin, min(top, far) + 1)
    support = np.unique(np.concatenate([single, np.round(np.geomspace(far, max(top, far + 1), 4000))]))

    def log_density(at: np.ndarray) -> np.ndarray | None:
        u = np.log(at)
        if name == "power_law":
            return -fit.exponent * u
        own = {key: value for key, value in parameters.get(name, {}).items() if value is not None}
        if name == "lognormal":
            return -u - (u - own["mu"]) ** 2 / (2 * own["sigma"] ** 2) if "sigma" in own else None
        if name == "exponential":
            return -own["rate"] * at
        return -own["exponent"] * u - own["rate"] * at

    over, here = log_density(support), log_density(x)
    if over is None or here is None:
        return None
    peak = over.max()
    # Each point stands for the whole numbers up to the next one.
    return np.exp(here - peak) / (np.exp(over - peak) * np.diff(np.append(support, support[-1] + 1))).sum()


def distributions_figure(analysis: Analysis, chosen: Mapping[str, str]) -> Figure:
    """Draw sizes (top) and durations (bottom) of each source at the reference threshold, with fits and surrogates.

    Parameters
    ----------
    chosen
        Source to rule of separation.
    """
    with look():
        figure = new_figure(4.6)
        panels = figure.subplots(2, len(chosen), squeeze=False)
        used: set[str] = set()
        for column, (name, floor) in enumerate(chosen.items()):
            source = analysis.sources[name]
            kinds = source.reference[floor]
            for row, (what, key) in enumerate((("size", "sizes"), ("duration", "durations"))):
                axes: Axes = panels[row, column]
                for kind, colour, marker in (("shuffle", "#BBBBBB", "v"), ("phase_together", "#56B4E9", "^")):
                    if kind in kinds and (histogram := getattr(kinds[kind].histograms, what)).value:
                        axes.plot(*density(histogram), marker, ms=3, color=colour, mew=0)
                own = kinds.get("data")
                if own is None or not getattr(own.histograms, what).value:
                    empty(axes, "no avalanches")
                    continue
                test: PowerLawTest | None = getattr(own, key)
                _with_fits(axes, getattr(own.histograms, what), test, used)
                if row == 0:
                    axes.set_title(_wrapped(source.what), loc="left")
                axes.set_xlabel(f"{what} ({'events' if what == 'size' else 'frames'})")
                if column == 0:
                    axes.set_ylabel("probability density")
                if test is None:
                    axes.text(
                        0.97, 0.95, "too few for a fit", ha="right", va="top", transform=axes.transAxes, fontsize=7
                    )
        handles = [Line2D([], [], marker="o", ls="", ms=3.5, color=DATA, label="avalanches"),
                   Line2D([], [], marker="v", ls="", ms=3.5, color="#BBBBBB", label="time-shuffled"),
                   Line2D([], [], marker="^", ls="", ms=3.5, color="#56B4E9", label="phase-randomised")]  # fmt: skip
        handles += [Line2D([], [], color=c, ls=s, label=w) for key, (w, c, s) in FITS.items() if key in used]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7.5)
        return figure


def _with_fits(axes: Axes, histogram: Histogram, test: PowerLawTest | None, used: set[str]) -> None:
    x, y = density(histogram)
    axes.plot(x, y, "o", ms=3.2, color=DATA, mew=0, zorder=3)
    if test is not None:
        fit = test.fit
        at = np.unique(np.round(np.geomspace(fit.xmin, max(*histogram.value, fit.xmin + 1), 80)))
        share = fit.tail / fit.count
        for key, (_, colour, line) in FITS.items():
            drawn = fitted_density(key, test, at)
            if drawn is not None:
                axes.plot(at, share * drawn, color=colour, ls=line, lw=1.3, zorder=4)
                used.add(key)
        text = f"exponent {fit.exponent:.2f}, from {fit.xmin}\n{fit.decades:.1f} decades, n = {fit.tail:,}"
        text += f"\ngoodness of fit p = {test.goodness.p:.2f}" if test.goodness else ""
        axes.text(0.03, 0.03, text, ha="left", va="bottom", transform=axes.transAxes, fontsize=6.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(y.min() / 30, y.max() * 3)


def sensitivity_figure(analysis: Analysis, chosen: Mapping[str, str]) -> Figure:
    """Draw what stands at each threshold and bin, with the exponent of sizes, for each source and its surrogates."""
    verdicts = [analysis.sources[name].verdict[floor] for name, floor in chosen.items()]
    kinds = [kind for kind in KINDS if any(kind in verdict for verdict in verdicts)]
    first = analysis.sources[next(iter(chosen))].grid or ()
    thresholds = list(dict.fromkeys(cell.threshold for cell in first))
    bins = analysis.bins
    with look():
        figure = new_figure(0.7 + 0.155 * len(thresholds) * len(chosen) + 0.45 * len(chosen))
        panels = figure.subplots(len(chosen), len(kinds), squeeze=False, sharex=True, sharey=True)
        for at, (name, floor) in enumerate(chosen.items()):
            source = analysis.sources[name]
            for column, kind in enumerate(kinds):
                axes: Axes = panels[at, column]
                cells = {
                    (cell.threshold, cell.bin_frames): cell
                    for cell in source.grid or ()
                    if cell.floor_rule == floor and cell.surrogate == kind
                }
                if not cells:
                    empty(axes, source.reasons.get(kind, "not computed"))
                    continue
                grid = np.array([[cell_of(cells[threshold, width]) for width in bins] for threshold in thresholds])
                axes.imshow(grid, aspect="auto", cmap=ListedColormap(CELL_COLOURS), vmin=-0.5, vmax=3.5)
                for i, threshold in enumerate(thresholds):
                    for j, width in enumerate(bins):
                        exponent = cells[threshold, width].size_exponent
                        if grid[i, j] > 0 and exponent is not None:
                            colour = "white" if grid[i, j] == 3 else "black"
                            axes.text(j, i, f"{exponent:.2f}", ha="center", va="center", fontsize=6, color=colour)
                axes.set_xticks(range(len(bins)), list(map(str, bins)))
                axes.set_yticks(range(len(thresholds)), thresholds, fontsize=6.5)
                axes.tick_params(length=0)
                for spine in axes.spines.values():
                    spine.set_visible(False)
                title = f"{source.what}\n{KINDS[kind]}" if column == 0 else KINDS[kind]
                axes.set_title(title, loc="left", fontsize=8)
                if at == len(chosen) - 1:
                    axes.set_xlabel("bin (frames)")
        figure.legend(
            handles=[Patch(color=c, label=w) for c, w in zip(CELL_COLOURS, CELLS, strict=True)],
            loc="outside lower center", ncols=4, fontsize=7.5,
        )  # fmt: skip
        return figure


def cell_of(cell: GridCell) -> int:
    """Return the position in `CELLS` of a cell of the table."""
    if cell.sizes_stand is None or cell.durations_stand is None:
        return 0
    if not (cell.sizes_stand and cell.durations_stand):
        return 1
    return 3 if cell.gamma_consistent else 2


def scaling_figure(analysis: Analysis, chosen: Mapping[str, str]) -> Figure:
    """Draw mean size against duration with the fitted and the predicted exponent (top), and shapes (bottom)."""
    each = [analysis.sources[name].reference[floor].get("data") for name, floor in chosen.items()]
    collapsed = any(own is not None and own.collapse is not None for own in each)
    with look():
        figure = new_figure(4.6 if collapsed else 2.6)
        panels = figure.subplots(2 if collapsed else 1, len(chosen), squeeze=False)
        for column, (name, own) in enumerate(zip(chosen, each, strict=True)):
            source = analysis.sources[name]
            top, bottom = panels[0, column], panels[1, column] if collapsed else None
            if own is None or not own.histograms.mean_size.duration:
                empty(top, "no avalanches")
                if bottom is not None:
                    empty(bottom, "")
                continue
            duration = np.array(own.histograms.mean_size.duration, float)
            size = np.array(own.histograms.mean_size.size, float)
            top.plot(duration, size, "o", ms=3, color=DATA, mew=0, label="mean size")
            scaling = own.scaling
            if scaling:
                ends = np.array(scaling.durations, float)
                inside = (duration >= ends[0]) & (duration <= ends[1])
                middle = np.exp(np.log(duration[inside]).mean()), np.exp(np.log(size[inside]).mean())
                for exponent, (low, high), colour, line, word in (
                    (scaling.gamma, scaling.gamma_interval, MODEL, "-", "γ"),
                    (scaling.predicted, scaling.predicted_interval, QUIET, "--", "(α−1)/(τ−1)"),
                ):
                    interval = f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
                    top.plot(ends, middle[1] * (ends / middle[0]) ** exponent, color=colour, ls=line,
                             label=f"{word} = {exponent:.2f}{interval}")  # fmt: skip
                top.legend(fontsize=6.5, loc="upper left")
            else:
                why = own.reasons.get("scaling", "not defined")
                top.text(0.97, 0.03, _wrapped(why, 30), ha="right", va="bottom", transform=top.transAxes, fontsize=6.5)
            top.set(xscale="log", yscale="log", xlabel="duration (frames)")
            # Room for the legend above the points.
            top.set_ylim(size.min() / 1.5, size.max() * (size.max() / size.min()) ** (0.45 if scaling else 0.1) * 1.2)
            top.set_title(_wrapped(source.what), loc="left")
            if column == 0:
                top.set_ylabel("mean size (events)")
            if bottom is not None:
                _shapes(bottom, own)
                if column == 0:
                    bottom.set_ylabel("mean shape, rescaled")
        return figure


def _shapes(axes: Axes, own: Criticality) -> None:
    collapse, shapes = own.collapse, own.histograms.shapes
    if not collapse or not shapes:
        empty(axes, _wrapped(own.reasons.get("collapse", "no shapes"), 34))
        return
    at = (np.arange(len(shapes[0])) + 0.5) / len(shapes[0])
    for k, (shape, length) in enumerate(zip(shapes, collapse.durations, strict=True)):
        shade = 0.75 * (1 - k / max(len(shapes) - 1, 1))
        label = f"{length} frames" if k in (0, len(shapes) - 1) else None
        axes.plot(at, shape, color=str(shade), lw=0.9, label=label)
    axes.set_xlabel("time / duration")
    low, high = collapse.interval
    axes.set_title(f"collapse γ = {collapse.gamma:.2f} [{low:.2f}, {high:.2f}]", loc="left", fontsize=7.5)
    axes.set_ylim(0, None)
    axes.legend(fontsize=6.5, loc="lower center")


def _wrapped(text: str, width: int = 30) -> str:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, word]
    return "\n".join(line for line in lines if line)
