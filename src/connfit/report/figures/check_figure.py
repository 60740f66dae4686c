"""What a user's data look like before anything is fitted: traces, what is missing, distributions, synapse counts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from connfit.connectome import Connectome
from connfit.datasets.own_files.checked_connectome import CheckedConnectome
from connfit.datasets.own_files.checked_recording import CheckedRecording
from connfit.datasets.own_files.checking import CheckedData
from connfit.errors import DataError
from connfit.report.figures.style import DATA, INITIAL, MODEL, QUIET, drawable, empty, look, new_figure

MOST_RECORDINGS = 8
"""Recordings that are drawn; the others are named in the title."""

_TRACES, _POINTS, _MOST_VALUES = 6, 2000, 200_000


def check_figure(checked: CheckedData) -> Figure:
    """Draw a row for each recording: traces of some units, where values are missing, how they are distributed.

    A last row has the synapse counts of the connectome.

    Raises
    ------
    DataError
        If there is nothing to draw.
    """
    recordings = checked.recordings[:MOST_RECORDINGS]
    rows = len(recordings) + (checked.connectome is not None)
    if not rows:
        raise DataError("there is nothing to draw: no recording and no connectome could be read")
    with look():
        figure = new_figure(1.9 * rows)
        grid = figure.add_gridspec(rows, 3, width_ratios=(3, 1.5, 1.2))
        for row, recording in enumerate(recordings):
            _traces(figure.add_subplot(grid[row, 0]), recording)
            _missing(figure.add_subplot(grid[row, 1]), recording)
            _values(figure.add_subplot(grid[row, 2]), recording)
        if checked.connectome is not None:
            _counts(figure.add_subplot(grid[rows - 1, 0]), checked.connectome.connectome)
            _signs(figure.add_subplot(grid[rows - 1, 1:]), checked)
        if len(checked.recordings) > len(recordings):
            figure.suptitle(f"the first {len(recordings)} of {len(checked.recordings)} recordings")
    return figure


def _traces(axes: Axes, checked: CheckedRecording) -> None:
    recording = checked.recording
    chosen = np.unique(np.linspace(0, len(recording.units) - 1, _TRACES).astype(int))
    every = 1 + recording.frames // _POINTS
    seconds = np.arange(0, recording.frames, every) / recording.frame_rate
    for place, column in enumerate(chosen[::-1]):
        values = np.where(recording.mask[::every, column], recording.values[::every, column], np.nan).astype(float)
        seen = values[np.isfinite(values)]
        if len(seen):
            low, high = np.percentile(seen, [1, 99])
            scaled = 0.8 * (values - (low + high) / 2) / (high - low if high > low else 1)
            axes.plot(seconds, place + scaled, color=DATA, lw=0.5)
    axes.set_yticks(range(len(chosen)), [drawable(recording.units[k]) for k in chosen[::-1]])
    axes.set_ylim(-0.7, len(chosen) - 0.3)
    axes.set_title(f"{drawable(recording.name)}: {len(chosen)} of {len(recording.units)} units")
    axes.set_xlabel("seconds")
    if recording.frames > 2:
        axes.axvline(0.6 * recording.duration_s, color=INITIAL, lw=0.8, ls=":")


def _missing(axes: Axes, checked: CheckedRecording) -> None:
    mask = checked.recording.mask
    if mask.all():
        empty(axes, "nothing is missing")
        return
    frames = np.array_split(mask, min(200, len(mask)), axis=0)
    share = np.array([1 - block.mean(axis=0) for block in frames]).T
    share = np.array([block.mean(axis=0) for block in np.array_split(share, min(200, len(share)), axis=0)])
    extent = (0, checked.recording.duration_s, mask.shape[1], 0)
    axes.imshow(share, aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=extent)
    axes.set_title(f"missing: {checked.missing_share:.2%}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("unit")


def _values(axes: Axes, checked: CheckedRecording) -> None:
    values, mask = checked.recording.values, checked.recording.mask
    every = 1 + values.size // _MOST_VALUES
    seen = values[::every][mask[::every]].astype(float)
    if not len(seen):
        empty(axes, "no value")
        return
    low, high = np.percentile(seen, [0.5, 99.5])
    if low == high:
        low, high = low - 0.5, high + 0.5
    axes.hist(seen, bins=60, range=(low, high), color=QUIET)
    axes.set_yticks([])
    kind, unit = checked.recording.kind, checked.recording.value_units
    axes.set_xlabel(drawable(kind if unit == "dimensionless" else f"{kind}, {unit}"))
    axes.set_title("values")


def _counts(axes: Axes, connectome: Connectome) -> None:
    counts = np.asarray(connectome.counts)
    if not counts.any():
        empty(axes, "no connection")
        return
    sizes = np.abs(counts[counts != 0])
    bins = np.geomspace(sizes.min() * 0.99, sizes.max() * 1.01, 40)
    axes.hist(sizes, bins=bins.tolist(), color=QUIET)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("log")
    axes.set_xlabel(f"{connectome.size_word} of a connection")
    axes.set_ylabel("connections")


def _signs(axes: Axes, checked: CheckedData) -> None:
    assert checked.connectome is not None
    if not any(checked.connectome.transmitters):
        _signs_of_connections(axes, checked.connectome)
        return
    words = list(checked.connectome.transmitters.items())[:10][::-1]
    axes.barh(
        range(len(words)), [neurons for _, neurons in words], color=[DATA if word else MODEL for word, _ in words]
    )
    axes.set_yticks(range(len(words)), [drawable(word) or "unknown" for word, _ in words])
    axes.set_xlabel("neurons")
    axes.set_title("transmitters")


def _signs_of_connections(axes: Axes, checked: CheckedConnectome) -> None:
    """Where no neuron has a transmitter: the signs of the connections, if these have any."""
    if not checked.has_signs:
        empty(axes, "no transmitters, and no signs")
        return
    signs = checked.connectome.connection_signs
    axes.barh([1, 0], [int((signs > 0).sum()), int((signs < 0).sum())], color=[DATA, MODEL])
    axes.set_yticks([1, 0], ["excitatory", "inhibitory"])
    axes.set_xlabel("connections")
    axes.set_title("signs")
