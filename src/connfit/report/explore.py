"""`explore.html`: activity, functional connectivity and wiring of a run to zoom into, in a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from connfit._display import visible
from connfit._io import write_bytes
from connfit._system.claim import claims
from connfit.errors import DataError, NotAvailableError
from connfit.evaluation.connectivity import compared_units
from connfit.evaluation.forecasts import Forecasts, PartForecast, RecordingForecast
from connfit.evaluation.metrics import functional_connectivity
from connfit.report import page
from connfit.report.figures.prediction_figures import unit_order
from connfit.report.figures.style import DATA, INITIAL, MODEL
from connfit.report.run_files import RunFiles

if TYPE_CHECKING:
    from connfit.connectome import Connectome

FILE = "explore.html"

MOST_VALUES = 600_000
"""Values of activity that the page holds (4 bytes each, three lines a unit), shared by its recordings."""

MOST_RECORDINGS = 8
MOST_GROUPS = 120
"""Regions or types in the picture of the wiring, those with most connections."""

MOST_UNITS = 120
"""Units in the pictures of functional connectivity, evenly spaced among all."""


_TEMPLATE = """{% block contents %}<main style="padding: 0 1rem; font-family: sans-serif">
<h1 style="font-size: 1.3rem">{{ title | e }}</h1>{{ super() }}</main>{% endblock %}"""


@claims("run_dir")
def write_explorer(run_dir: str | Path) -> Path:
    """Write `explore.html` of a run directory: what `report.html` shows of activity and wiring, to zoom into.

    Of each recording its last part (the test part, or the held-out animal): data, one-step prediction and a free run of
    any unit; functional connectivity of data and free runs; and weights between regions (or types) as they were fitted.
    The page holds at most `MOST_VALUES` values of activity and says what it leaves out.

    Parameters
    ----------
    run_dir
        A finished run.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    NotAvailableError
        If bokeh is not installed.
    DataError
        If the run has no forecasts.
    """
    try:
        from bokeh.embed import file_html
        from bokeh.layouts import column
        from bokeh.models import Div, TabPanel, Tabs
        from bokeh.resources import INLINE
    except ImportError as error:
        raise NotAvailableError("an interactive page needs bokeh: pip install 'connfit[interactive]'") from error
    run = RunFiles.read(run_dir)
    if run.forecasts is None:
        raise DataError("there is no forecasts.npz", path=run.folder, fix="Run `connfit evaluate` on the run directory")
    panels, left_out = [], []
    chosen = _chosen(run.forecasts)
    for name, (recording, part) in list(chosen.items())[:MOST_RECORDINGS]:
        forecast = recording.parts[part]
        frames = max(1, MOST_VALUES // (3 * len(recording.units) * min(len(chosen), MOST_RECORDINGS)))
        if frames < forecast.values.shape[0]:
            left_out.append(f"{name}: the first {frames} of {forecast.values.shape[0]} frames of its {part} part")
        shown = _activity(recording, forecast.first(frames)), _connectivity(recording, forecast)
        rows = column(*shown, sizing_mode="stretch_width")
        panels.append(TabPanel(title=visible(name), child=rows))
    if len(chosen) > MOST_RECORDINGS:
        left_out.append(f"{len(chosen) - MOST_RECORDINGS} further recordings")
    if run.connectome is not None and run.connectome.m and "weights" in run.parameters:
        panels.append(TabPanel(title="wiring", child=_wiring(run.connectome, run.parameters["weights"])))
    facts = "SURROGATE data. " if run.evaluation.surrogate else ""
    facts += "The last part of each recording, which was not trained on; click a line of the legend to hide it. "
    facts += f"Not in this page: {'; '.join(map(visible, left_out))}." if left_out else ""
    name = run.evaluation.dataset or run.folder.name
    head = Div(text=page.escaped(facts), styles={"font": "14px sans-serif", "max-width": "60rem"})
    everything = column(head, Tabs(tabs=panels, sizing_mode="stretch_width"), sizing_mode="stretch_width")
    html = file_html(everything, INLINE, title=f"connfit: {visible(name)}", template=_TEMPLATE)
    path = run.folder / FILE
    write_bytes(path, html.encode())
    return path


def _chosen(forecasts: Forecasts) -> Mapping[str, tuple[RecordingForecast, str]]:
    """Recordings with their last part, held-out animals behind the others."""
    both = (*forecasts.recordings.items(), *forecasts.held_out.items())
    return {name: (recording, list(recording.parts)[-1]) for name, recording in both}


def _activity(recording: RecordingForecast, part: PartForecast) -> Any:
    """A unit's data, prediction and free run over time, and a list to choose the unit from."""
    from bokeh.layouts import column
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Select
    from bokeh.plotting import figure

    seconds = (part.start + np.arange(part.values.shape[0])) / recording.frame_rate
    free = part.free_run if part.free_run_deterministic is None else part.free_run_deterministic
    lines = {
        "data": np.where(np.asarray(part.mask), np.asarray(part.values), np.nan),
        "one_step": np.asarray(part.one_step),
        "free_run": np.asarray(free),
    }
    # Each line of all units in one array, unit after unit, from which the browser cuts the chosen one.
    every = ColumnDataSource({key: values.T.astype(np.float32).ravel() for key, values in lines.items()})
    now = ColumnDataSource(
        {"seconds": seconds, **{key: values[:, 0].astype(np.float32) for key, values in lines.items()}}
    )
    plot = figure(
        height=320, sizing_mode="stretch_width", tools="xpan,xwheel_zoom,box_zoom,reset,save", active_drag="box_zoom",
        x_axis_label="time (s)", y_axis_label=visible(recording.value_units),
    )  # fmt: skip
    for key, label, colour in (
        ("data", "data", DATA), ("one_step", "one frame ahead", MODEL),
        ("free_run", "free run, no noise", INITIAL),
    ):  # fmt: skip
        plot.line("seconds", key, source=now, color=colour, legend_label=label, line_width=1.3)
    plot.toolbar.logo = None
    plot.legend.click_policy = "hide"
    plot.legend.orientation = "horizontal"
    plot.add_layout(plot.legend[0], "above")
    plot.add_tools(
        HoverTool(
            tooltips=[("s", "@seconds{0.00}"), ("data", "@data{0.000}"), ("model", "@one_step{0.000}")], mode="vline"
        )
    )
    names = [visible(unit) for unit in recording.units]
    choice = Select(title="unit", value="0", options=[(str(k), name) for k, name in enumerate(names)], width=260)
    cut = """
        const k = Number(cb_obj.value), n = now.data.seconds.length
        for (const key of ["data", "one_step", "free_run"])
            now.data[key] = every.data[key].slice(k * n, (k + 1) * n)
        now.change.emit()
    """
    choice.js_on_change("value", CustomJS(args={"now": now, "every": every}, code=cut))
    return column(choice, plot, sizing_mode="stretch_width")


def _connectivity(recording: RecordingForecast, part: PartForecast) -> Any:
    """Functional connectivity of data and of free runs, side by side in one order of units, zoomed together."""
    from bokeh.layouts import row

    count = len(recording.units)
    units = np.unique(np.round(np.linspace(0, count - 1, min(count, MOST_UNITS))).astype(np.int64))
    data = functional_connectivity(part.values, part.mask, units=units)
    order = unit_order(data)
    names = [visible(recording.units[k]) for k in units[order]]
    plots: list[Any] = []
    for title, matrix in (("data", data), ("free runs, mean", part.free_run_connectivity)):
        found = np.asarray(matrix)
        if len(found) != len(units):
            # Of many units a run keeps the connectivity of some (`compared_units`).
            kept = np.arange(count) if len(found) == count else compared_units(count)
            place = np.clip(np.searchsorted(kept, units), 0, len(kept) - 1)
            found = np.where(
                (kept[place] == units)[:, None] & (kept[place] == units), found[np.ix_(place, place)], np.nan
            )
        shared = {} if not plots else {"x_range": plots[0].x_range, "y_range": plots[0].y_range}
        plots.append(_heat(found[np.ix_(order, order)], names, f"FC, {title}", "r", low=-1, high=1, **shared))
    return row(*plots, styles={"flex-wrap": "wrap"})


def _wiring(connectome: Connectome, weights: Float[np.ndarray, "M"]) -> Any:
    """Summed signed weights from group to group: regions, or types where there are none."""
    what = next((key for key in ("region", "type") if any(map(str, connectome.neurons[key]))), "id")
    labels = connectome.neurons[what].astype(str).to_numpy(str)
    groups, of = np.unique(labels, return_inverse=True)
    pre, post = of[connectome.indices], of[connectome.posts]
    ends = np.bincount(pre, minlength=len(groups)) + np.bincount(post, minlength=len(groups))
    # What has no name is no group.
    ends[groups == ""] = -1
    named = int((ends >= 0).sum())
    kept = np.sort(np.argsort(-ends, kind="stable")[: min(MOST_GROUPS, named)])
    place = np.full(len(groups), -1)
    place[kept] = np.arange(len(kept))
    inside = (place[pre] >= 0) & (place[post] >= 0)
    matrix = np.zeros((len(kept), len(kept)))
    np.add.at(matrix, (place[post[inside]], place[pre[inside]]), (weights * connectome.connection_signs)[inside])
    names = [visible(str(groups[k])) for k in kept]
    title = f"fitted weights between {what}s, summed" + (
        f" (the {len(kept)} with most connections of {named})" if len(kept) < named else ""
    )
    most = float(np.abs(matrix).max(initial=0)) or 1.0
    return _heat(matrix, names, title, "weight", low=-most, high=most, across="from", down="to")


def _heat(
    matrix: Float[np.ndarray, "n n"], names: list[str], title: str, value: str, *, low: float, high: float,
    across: str = "unit", down: str = "unit", **ranges: Any,
) -> Any:  # fmt: skip
    from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper
    from bokeh.palettes import Blues256, Reds256, diverging_palette
    from bokeh.plotting import figure

    mapper = LinearColorMapper(
        palette=diverging_palette(Blues256, Reds256, n=255), low=low, high=high, nan_color="#bbbbbb"
    )
    n = len(matrix)
    rows, columns = np.divmod(np.arange(n * n), n)
    source = ColumnDataSource(
        {
            "x": columns + 0.5, "y": n - rows - 0.5, "value": matrix.ravel().astype(np.float32),
            "down": [names[k] for k in rows], "across": [names[k] for k in columns],
        }
    )  # fmt: skip
    plot = figure(
        title=title, height=360, width=350, toolbar_location="above", tools="pan,wheel_zoom,box_zoom,reset,save,hover",
        tooltips=[(down, "@down"), (across, "@across"), (value, "@value{0.000}")],
        x_range=ranges.get("x_range", (0, n)), y_range=ranges.get("y_range", (0, n)),
    )  # fmt: skip
    plot.rect("x", "y", 1, 1, source=source, fill_color={"field": "value", "transform": mapper}, line_color=None)
    plot.add_layout(ColorBar(color_mapper=mapper, width=10), "right")
    plot.toolbar.logo = None
    plot.axis.visible = False
    plot.grid.visible = False
    return plot
