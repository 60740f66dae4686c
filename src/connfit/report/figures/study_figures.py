"""Figures of a study: a forest plot of differences with intervals, and agreement of parameters between seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from connfit.evaluation.study.agreements import Reproducibility
from connfit.evaluation.study.row_names import short_name
from connfit.evaluation.study.study import Difference, Study, StudyRow, UnitDifference
from connfit.evaluation.study.words import frames
from connfit.report.figures.style import INITIAL, MODEL, QUIET, WIDTH, look, new_figure

MOST_PANELS = 5
COLOURS = {"untrained": INITIAL, "ablation": "#009E73", "learning": "#CC79A7", "null": MODEL, "baseline": QUIET}
EDGE = 3.0
"""A difference this many times as large as the median of its panel is drawn at the edge."""


def forest(study: Study) -> Figure:
    """Draw differences in skill with intervals, pooled and of the median unit: a row per row, a panel per horizon.

    Parameters
    ----------
    study
        With at least one row that is compared.
    """
    rows = study.compared()
    horizons = study.comparisons.horizons[:MOST_PANELS]
    with look():
        figure = new_figure(0.9 + 0.27 * len(rows), WIDTH)
        panels = figure.subplots(1, len(horizons), sharey=True, squeeze=False)[0]
        for axes, h in zip(panels, horizons, strict=True):
            _panel(axes, rows, [row.difference_at(h) for row in rows])
            axes.set_title(frames(h), loc="left")
        position = np.arange(len(rows))
        names = [short_name(row.name) for row in rows]
        labels = [name if row.counts else f"({name})" for name, row in zip(names, rows, strict=True)]
        panels[0].set_yticks(position, labels)
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        for row, label in zip(rows, panels[0].get_yticklabels(), strict=True):
            label.set_color(COLOURS.get(row.group, "#000000"))
        figure.supxlabel("skill of the connectome model minus that of the row", fontsize=8.5)
        return figure


def _panel(axes: Axes, rows: Sequence[StudyRow], differences: Sequence[Difference]) -> None:
    limit = _limit(differences)
    axes.axvline(0, color="#888888", lw=0.8, zorder=0)
    for at, (row, difference) in enumerate(zip(rows, differences, strict=True)):
        colour = COLOURS.get(row.group, "#000000")
        _point(axes, difference, at - 0.18, limit, colour, "o")
        _point(axes, difference.median_unit, at + 0.18, limit, colour, "D")
    axes.set_xlim(-1.1 * limit, 1.1 * limit)
    axes.locator_params(axis="x", nbins=2, symmetric=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def _point(axes: Axes, of: Difference | UnitDifference, at: float, limit: float, colour: str, marker: str) -> None:
    """A difference with its interval at height `at`."""
    if of.value is None:
        axes.text(0, at, "–", ha="center", va="center")
        return
    filled = colour if of.excludes_zero else "white"
    size = 4 if marker == "o" else 3
    if abs(of.value) > limit:
        side = 1 if of.value > 0 else -1
        axes.plot(side * limit, at, ">" if side > 0 else "<", ms=size + 1, mfc=filled, mec=colour, mew=1)
        text = f"{of.value:+.2g}"
        axes.text(0.85 * side * limit, at, text, ha="right" if side > 0 else "left", va="center", fontsize="x-small")
        return
    if of.low is not None and of.high is not None:
        low, high = np.clip([of.low, of.high], -1.1 * limit, 1.1 * limit)
        axes.plot([low, high], [at, at], color=colour, lw=1.4 if marker == "o" else 0.8, solid_capstyle="butt")
    axes.plot(of.value, at, marker, ms=size, mfc=filled, mec=colour, mew=1)


def _limit(differences: Sequence[Difference]) -> float:
    """Half width of a panel: large enough for most rows, so that one that is far off does not hide the others."""
    both = [part for difference in differences for part in (difference, difference.median_unit)]
    ends = [max(abs(of.low), abs(of.high)) for of in both if of.low is not None and of.high is not None]
    values = ends or [abs(of.value) for of in both if of.value is not None]
    if not values or max(values) == 0:
        return 1.0
    return float(min(max(values), max(EDGE * np.median(values), 1e-6)))


def agreement_bars(found: Reproducibility) -> Figure:
    """Draw the correlation between seeds of each group, before and after the fit and of the change, beside predictions.

    Parameters
    ----------
    found
        With at least one group that changed.
    """
    groups = [group for group in found.groups if group.change_pearson is not None]
    series = (
        ("start", [group.start_pearson for group in groups], INITIAL),
        ("after", [group.pearson for group in groups], QUIET),
        ("change", [group.change_pearson for group in groups], MODEL),
    )
    predictions = [ahead for ahead in found.predictions if ahead.pearson is not None]
    with look():
        figure = new_figure(2.4, WIDTH)
        left, right = figure.subplots(
            1, 2, sharey=True, width_ratios=[len(groups) * 1.5, max(len(predictions), 1) + 0.5]
        )
        for number, (label, values, colour) in enumerate(series):
            place = np.arange(len(groups)) + 0.27 * (number - 1)
            left.bar(place, [_or_nan(value) for value in values], 0.25, color=colour, label=label)
        if any(group.change_low != group.change_high for group in groups):
            for at, group in enumerate(groups):
                left.plot(
                    [at + 0.27] * 2, [_or_nan(group.change_low), _or_nan(group.change_high)], color="#000000", lw=0.8
                )
        left.set_xticks(np.arange(len(groups)), [group.group.replace("_", "\n") for group in groups])
        left.set_ylabel("correlation between seeds")
        left.set_title("parameters", loc="left")
        left.axhline(0, color="#888888", lw=0.8)
        left.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.25, 1.0), borderaxespad=0)
        for at, ahead in enumerate(predictions):
            right.bar(at - 0.15, _or_nan(ahead.pearson), 0.28, color=QUIET)
            right.bar(at + 0.15, _or_nan(ahead.change_pearson), 0.28, color=MODEL)
        right.set_xticks(np.arange(len(predictions)), [frames(ahead.frames_ahead) for ahead in predictions])
        right.set_title("predictions", loc="left")
        right.axhline(0, color="#888888", lw=0.8)
        low = min([0.0, *(group.change_low for group in groups if group.change_low is not None)])
        left.set_ylim(low - 0.05, 1.05)
        return figure


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
