"""What to record next: uncertainty that is left after each neuron, and information of each stimulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connfit.analysis.record_next.record_next_results import NeuronToRecord, NeuronToStimulate
from connfit.report.figures.style import MODEL, QUIET, drawable, empty, look, new_figure

MOST = 20
"""Neurons of each panel; names of more cannot be read."""


def record_next_figure(record: Sequence[NeuronToRecord], stimulate: Sequence[NeuronToStimulate]) -> Figure:
    """Draw both rankings side by side, the first on top.

    Parameters
    ----------
    record
        Chosen neurons in the order in which to record them.
    stimulate
        Neurons by what their stimulation tells, the first first.
    """
    record, stimulate = record[:MOST], stimulate[:MOST]
    rows = max(len(record), len(stimulate), 4)
    with look():
        figure = new_figure(0.9 + 0.17 * rows)
        left, right = figure.subplots(1, 2)
        if record:
            after = [each.left or 0.0 for each in record]
            _names(left, [each.id for each in record])
            left.plot(after, np.arange(len(record)), "o-", color=MODEL, ms=4)
            left.set_xlim(0, 1.05)
            left.set_xlabel("share of the uncertainty that is left")
            left.set_title("recorded in this order", loc="left")
        else:
            empty(left, "no neuron can be chosen")
        if stimulate:
            _names(right, [each.id for each in stimulate])
            right.barh(np.arange(len(stimulate)), [each.information for each in stimulate], color=QUIET, height=0.7)
            right.set_xlabel("information (nats)")
            right.set_title("stimulated", loc="left")
        else:
            empty(right, "no neuron was stimulated")
        return figure


def _names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), [drawable(name) for name in names], fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
