"""Measured responses beside predictions: ROC curves of model and opponents, and who responds by distance."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connfit.analysis.measured.experiments import STIMULATION
from connfit.analysis.measured.pair_scores import FALSE_ALARMS
from connfit.analysis.measured.scored_responses import PredictorScores, ScoredResponses
from connfit.report.figures.style import INITIAL, MODEL, QUIET, SPARE, look, new_figure
from connfit.report.wording import number

ALWAYS: tuple[str, ...] = (
    "model",
    "untrained",
    "two_steps",
    "functional_connectivity",
    "model+two_steps+functional_connectivity",
)
"""Predictors that are drawn where they are there, beside the first by AUROC."""
COLOURS: dict[str, str] = dict(zip(ALWAYS, (MODEL, INITIAL, QUIET, "#009E73", SPARE[0]), strict=True))
NAMES = {"none": "no path"}
LEGEND_WIDTH = 46
"""Letters of a line of the legend, which has two columns."""


def drawn(scores: ScoredResponses) -> dict[str, PredictorScores]:
    """Return the predictors that a figure shows."""
    names = dict.fromkeys((*ALWAYS, scores.verdict.first))
    found = {name: scores.predictors[name] for name in names if name in scores.predictors}
    whole = {name: row for name, row in found.items() if len(row.roc) == len(FALSE_ALARMS)}
    return {name: row for name, row in whole.items() if row.auroc.value is not None}


def measured_figure(scores: ScoredResponses) -> Figure:
    """Draw ROC curves, the share of pairs that respond by distance, and AUROC by distance with intervals."""
    rows = drawn(scores)
    with look():
        figure = new_figure(3.6)
        roc, by_distance = figure.subplots(1, 2, width_ratios=[1, 1.15])
        roc.plot([0, 1], [0, 1], color="#BBBBBB", lw=0.8)
        for name, row in rows.items():
            label = fill(f"{row.label}: {number(row.auroc.value)}", LEGEND_WIDTH)
            roc.plot(FALSE_ALARMS, row.roc, color=_colour(name), label=label, lw=1.6 if name == "model" else 1.0)
        found = "responses" if scores.table.experiment == STIMULATION else "changes when silenced"
        roc.set_xlabel(f"share of other pairs taken for {found}")
        roc.set_ylabel(f"share of {found} found")
        roc.set_aspect("equal")
        _distances(by_distance, rows, scores.neurons_that_vary)
        figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure


def _colour(name: str) -> str:
    return COLOURS.get(name, SPARE[2])


def _distances(axes: Axes, rows: dict[str, PredictorScores], start: str) -> None:
    """AUROC of each predictor by distance; on top, how many pairs of a distance respond."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row.by_distance))
    axes.axhline(0.5, color="#BBBBBB", lw=0.8)
    for at, (name, row) in enumerate(rows.items()):
        shift = (at - (len(rows) - 1) / 2) * 0.11
        for position, distance in enumerate(names):
            found = row.by_distance.get(distance)
            if found is None or found.auroc.value is None:
                continue
            x = position + shift
            if found.auroc.low is not None and found.auroc.high is not None:
                axes.plot([x, x], [found.auroc.low, found.auroc.high], color=_colour(name), lw=1)
            axes.plot(x, found.auroc.value, "o", ms=4, color=_colour(name))
    model = rows.get("model")
    for position, name in enumerate(names):
        counted = None if model is None else model.by_distance.get(name)
        if counted is not None:
            share = f"{counted.responses:,} of\n{counted.pairs:,}"
            axes.text(position, 1.01, share, transform=axes.get_xaxis_transform(), ha="center", fontsize=7)
    axes.set_xticks(np.arange(len(names)), [NAMES.get(name, name) for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    between = "between the two neurons" if start == "stimulated" else "from silenced to responding neuron"
    axes.set_xlabel(f"connections {between}")
    axes.set_ylabel("AUROC")
