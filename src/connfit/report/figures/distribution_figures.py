"""Figures of parameters before and after the fit, for a handful or for millions of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from connfit.report.figures.style import INITIAL, MODEL, empty, look, new_figure

MANY_POINTS = 3000
"""Above this a cloud of points is drawn as hexagons."""

_DRAWN_CONNECTIONS = 500_000
_ENOUGH_FOR_A_MEDIAN = 1_000_000


def weights(before: Float[np.ndarray, "M"], after: Float[np.ndarray, "M"]) -> Figure:
    """Draw weights of connections before and after the fit: distribution of magnitudes, and one against the other."""
    return _before_after(
        _magnitudes(before), _magnitudes(after), quantity="absolute weight", unit="", things="connections"
    )


def time_constants(before: Float[np.ndarray, "N"], after: Float[np.ndarray, "N"]) -> Figure:
    """Draw time constants (s) of all neurons before and after the fit."""
    return _before_after(
        np.asarray(before).ravel(), np.asarray(after).ravel(), quantity="τ", unit=" (s)", things="neurons"
    )


def _magnitudes(weights: np.ndarray) -> np.ndarray:
    """Return absolute values; a fit's weights are that already, and not copied."""
    weights = np.asarray(weights).ravel()
    return np.abs(weights) if (weights < 0).any() else weights


def _before_after(before: np.ndarray, after: np.ndarray, *, quantity: str, unit: str, things: str) -> Figure:
    with look():
        figure = new_figure(2.7)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.2, 1]})
        seen = [_positive(values) for values in (before, after) if (values > 0).any()]
        if not seen:
            empty(left, f"there are no {things} with {quantity} above 0")
            empty(right, "")
            return figure
        low, high = min(of.low for of in seen), max(of.high for of in seen)
        # Seven decades hold everything that matters; a handful of near-zero weights must not squeeze the rest.
        low = max(low, float(np.median(np.concatenate([of.thinned for of in seen]))) * 1e-4, high * 1e-7)
        bins = int(np.clip(2 * np.sqrt(len(after)), 12, 60))
        spreads = high > low * 1.01
        edges = np.geomspace(*((low * 0.999, high * 1.001) if spreads else (low / 2, high * 2)), bins + 2 - spreads)
        for values, colour, label, line in ((before, INITIAL, "before", "--"), (after, MODEL, "after", "-")):
            look_of = {"color": colour, "lw": 1.4, "ls": line}
            if len(values) and values.min() == values.max() > 0:
                left.axvline(values[0], label=f"{label} (all {values[0]:.3g}{' s' if unit else ''})", **look_of)
                continue
            counts, _ = np.histogram(values, edges)
            # Half a count lies below the axis: empty bins then read as a line that drops out of the panel.
            filled = np.maximum(counts, 0.5)
            left.stairs(filled, edges, baseline=0.5, label=_with_rest(label, values, low), **look_of)
        left.set(xscale="log", yscale="log", xlabel=f"{quantity}{unit}", ylabel=f"number of {things}")
        left.set_ylim(0.7, None)
        if all(len(values) and values.min() == values.max() > 0 for values in (before, after)):
            # Lines alone leave an axis of logarithms without ends.
            left.set(xlim=(low / 2, high * 2), yscale="linear", ylim=(0, 1))
            left.set_yticks([0, 1], ["0", f"{len(after):,}"])
        # Above both panels: inside, it would lie on the bars of one run or another; as wide as its counts are, it would
        # push the right panel away if it belonged to the left one.
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        if len(before) and before.max() <= 1.001 * before.min():
            _cumulative(right, after, quantity, unit, things)
        else:
            cloud(right, before, after, low, high)
            right.set_xlabel(f"{quantity} before{unit}")
            right.set_ylabel(f"{quantity} after{unit}")
        for axis in (left.xaxis, right.xaxis, right.yaxis):
            _readable_log_ticks(axis)
    return figure


class _Positive(NamedTuple):
    """Ends of the values above 0, and as many of them as a median needs."""

    low: float
    high: float
    thinned: np.ndarray


def _positive(values: np.ndarray) -> _Positive:
    above = values[values > 0]
    return _Positive(float(above.min()), float(above.max()), above[:: -(-len(above) // _ENOUGH_FOR_A_MEDIAN)].copy())


def _cumulative(axes: Axes, after: np.ndarray, quantity: str, unit: str, things: str) -> None:
    """Cumulative distribution: where all values start alike, a cloud would be one vertical line."""
    x = np.sort(after)
    ranks = np.arange(np.searchsorted(x, 0, side="right"), len(x))
    if len(ranks) > MANY_POINTS:
        ranks = ranks[np.linspace(0, len(ranks) - 1, MANY_POINTS).astype(int)]
    axes.step(x[ranks], (ranks + 1) / len(x), where="post", color=MODEL)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(f"{quantity} after{unit}")
    axes.set_ylabel(f"fraction of {things} below")


def _readable_log_ticks(axis: Axis) -> None:
    """Label 1, 2 and 5 in every decade where an axis spans few; powers of ten otherwise."""
    if axis.get_scale() != "log":
        return
    low, high = axis.get_view_interval()
    if low > 0 and high < 300 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _with_rest(label: str, values: np.ndarray, low: float) -> str:
    zero, below = int((values == 0).sum()), int(((values > 0) & (values < low)).sum())
    notes = [f"{zero:,} at 0"] if zero else []
    notes += [f"{below:,} smaller"] if below else []
    return f"{label} ({', '.join(notes)})" if notes else label


def cloud(axes: Axes, before: np.ndarray, after: np.ndarray, low: float, high: float) -> None:
    """Draw before against after on logarithmic axes: points if few, hexagons if many."""
    shown = (before >= low * 0.99) & (after >= low * 0.99)
    x, y = before[shown], after[shown]
    if not len(x):
        empty(axes, "nothing is above 0 both before and after")
        return
    label = "connections"
    if len(x) > _DRAWN_CONNECTIONS:
        label = f"connections in a sample of {_DRAWN_CONNECTIONS:,}"
        pick = np.random.default_rng(0).choice(len(x), _DRAWN_CONNECTIONS, replace=False, shuffle=False)
        x, y = x[pick], y[pick]
    (x_low, x_high), (y_low, y_high) = _ends(x), _ends(y)
    if len(x) > MANY_POINTS:
        extent = (*np.log10([x_low, x_high]), *np.log10([y_low, y_high]))
        scales = {"xscale": "log", "yscale": "log", "bins": "log", "extent": extent}
        image = axes.hexbin(x, y, gridsize=45, mincnt=1, cmap="viridis", linewidths=0.1, **scales)
        axes.figure.colorbar(image, ax=axes, label=label, shrink=0.85)
    else:
        axes.plot(x, y, ".", ms=3, color=MODEL, alpha=0.5, mew=0, rasterized=len(x) > 1000)
        axes.set(xscale="log", yscale="log")
    ends = [min(x_low, y_low), max(x_high, y_high)]
    axes.plot(ends, ends, color="#555555", lw=0.8, ls="--")
    axes.set_xlim(x_low * 0.8, x_high * 1.25)
    axes.set_ylim(y_low * 0.8, y_high * 1.25)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis; apart from each other where all values are alike, as time constants often start."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > 1.02 * low else (low / 1.5, high * 1.5)
