"""Plots for notebooks: each takes a fit (or arrays) and optionally axes to draw on, and returns the axes.

Add one: a function with `ax: Axes | None = None` that draws on `_axes(ax)` with a function of `connfit.report.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from connfit.config import EvaluateConfig
from connfit.errors import ConfigError, one_of
from connfit.evaluation.connectivity import compared_connectivity, compared_units
from connfit.evaluation.evaluate_run import evaluate
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.free_run import free_runs
from connfit.evaluation.metrics import functional_connectivity as correlations
from connfit.evaluation.residual_noise import residuals_of
from connfit.recordings import PART_NAMES, Recording
from connfit.report.figures.distribution_figures import cloud
from connfit.report.figures.prediction_figures import draw_horizons, overlay, unit_order
from connfit.report.figures.style import look
from connfit.training.activity_arrays import activity_array
from connfit.training.fitted import Fit

__all__ = ["functional_connectivity", "horizons", "raster", "traces", "weights"]

MOST_NAMES = 45
"""Units whose names are legible side by side."""

Activity = Fit | xr.DataArray | Float[np.ndarray, "t P"]
"""A fit, or activity [time, unit]: an array, or what `Fit.predict` returns, which has names and seconds."""


def traces(
    data: Activity,
    prediction: xr.DataArray | Float[np.ndarray, "t P"] | None = None,
    *,
    unit: str | int = 0,
    recording: str | Recording | None = None,
    part: str = "test",
    ax: Axes | None = None,
) -> Axes:
    """Plot what was recorded of a unit and what the model predicts one frame ahead.

    Parameters
    ----------
    data
        A fit; or recorded activity [time, unit], with its `prediction`, if any.
    unit
        Name or position of the unit.
    recording, part
        Of a fit: which of its recordings (default: the first), and which part.
    ax
        Default: axes of a new figure.
    """
    if isinstance(data, Fit):
        chosen = data.recording(recording)
        prediction = _part(data.predict(chosen), part)
        data = _part(_recorded(chosen), part)
    data = _named(data)
    column = _unit(data, unit)
    predicted = np.full(len(data), np.nan) if prediction is None else _named(prediction).values[:, column]
    with look():
        ax = _axes(ax)
        overlay(ax, data["time"].values, data.values[:, column], predicted)
        ax.set_xlabel(_time_label(data))
        ax.set_ylabel(_value_label(data))
        ax.set_title(str(data["unit"].values[column]), loc="left")
        if prediction is not None:
            ax.legend()
    return ax


def functional_connectivity(
    activity: Activity,
    *,
    which: str = "model",
    recording: str | Recording | None = None,
    part: str = "test",
    ax: Axes | None = None,
) -> Axes:
    """Plot functional connectivity: the Pearson correlation of every pair of units over time.

    Parameters
    ----------
    activity
        A fit; or activity [time, unit], NaN where it was not observed.
    which
        Of a fit: `"model"`, mean over free runs that are driven by one-step errors on the training part, as in a
        report; or `"data"`.
    recording, part
        Of a fit: which of its recordings (default: the first), and which part.
    ax
        Default: axes of a new figure.

    Notes
    -----
    Units of a fit are in the order of a clustering of the data's training part, those of an array in their own.
    """
    if isinstance(activity, Fit):
        one_of("which", which, ("model", "data"))
        chosen = activity.recording(recording)
        order = unit_order(compared_connectivity(*chosen.part("train")))
        matrix = (
            compared_connectivity(*chosen.part(part))
            if which == "data"
            else _free_run_connectivity(activity, chosen, part)
        )
        names, title = [chosen.units[k] for k in compared_units(len(chosen.units))], f"{which}, {part}"
    else:
        named = _named(activity)
        matrix = correlations(np.nan_to_num(named.values), np.isfinite(named.values))
        order, names, title = np.arange(len(matrix)), tuple(map(str, named["unit"].values)), ""
    with look():
        ax = _axes(ax)
        image = ax.imshow(matrix[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r")
        ax.set_facecolor("#bbbbbb")
        ax.set_title(title)
        _name_units(ax.xaxis, [names[k] for k in order], rotation=90)
        _name_units(ax.yaxis, [names[k] for k in order])
        ax.figure.colorbar(image, ax=ax, label="Pearson r", shrink=0.8)
    return ax


def horizons(
    scores: Fit | Evaluation | Mapping[str, Mapping[int, float | None]], *, part: str = "test", ax: Axes | None = None
) -> Axes:
    """Plot skill over persistence against how many frames ahead is predicted, of the model and the baselines.

    Parameters
    ----------
    scores
        An evaluation; a fit, which is evaluated first; or name to {frames ahead: skill}.
    part
        Of an evaluation or a fit.
    ax
        Default: axes of a new figure.
    """
    rate = None
    if isinstance(scores, Fit):
        rate, scores = scores.cohort.frame_rate, evaluate(scores)
    if isinstance(scores, Evaluation):
        scores = {who: of for who, of in scores.skills(part).items() if who != "persistence"}
    with look():
        ax = _axes(ax)
        if draw_horizons(ax, scores, frame_rate=rate):
            ax.legend(fontsize="small")
    return ax


def weights(parameters: Fit | tuple[Float[np.ndarray, "M"], Float[np.ndarray, "M"]], *, ax: Axes | None = None) -> Axes:
    """Plot the magnitude of every weight after the fit against before, on logarithmic axes.

    Parameters
    ----------
    parameters
        A fit, or weights before and after. Weights that are 0 before or after are left out, with their number in the
        title.
    ax
        Default: axes of a new figure.
    """
    if isinstance(parameters, Fit):
        model = parameters.model
        parameters = (
            np.asarray(model.magnitudes(parameters.initial_params)),
            np.asarray(model.magnitudes(parameters.params)),
        )
    before, after = (np.abs(np.asarray(each)) for each in parameters)
    if before.shape != after.shape or before.ndim != 1:
        raise ConfigError(
            f"weights before and after have shapes {before.shape} and {after.shape}: give two of one length"
        )
    shown = (before > 0) & (after > 0)
    with look():
        ax = _axes(ax)
        positive = before[shown], after[shown]
        low, high = (min(map(np.min, positive)), max(map(np.max, positive))) if shown.any() else (1.0, 1.0)
        cloud(ax, before, after, float(low), float(high))
        ax.set_xlabel("weight before the fit (magnitude)")
        ax.set_ylabel("weight after the fit (magnitude)")
        ax.set_title(
            f"{shown.sum():,} connections" + (f", {(~shown).sum():,} at 0" if not shown.all() else ""), loc="left"
        )
    return ax


def raster(
    activity: Activity,
    *,
    which: str = "data",
    recording: str | Recording | None = None,
    part: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the activity of all units over time, one row per unit.

    Parameters
    ----------
    activity
        A fit; or activity [time, unit], NaN where it was not observed.
    which
        Of a fit: `"data"`, or `"prediction"`, one frame ahead.
    recording, part
        Of a fit: which of its recordings (default: the first), and which part (default: all frames).
    ax
        Default: axes of a new figure.

    Notes
    -----
    Colours end at the 1st and the 99th percentile; grey was not observed.
    """
    if isinstance(activity, Fit):
        one_of("which", which, ("data", "prediction"))
        chosen = activity.recording(recording)
        activity = _recorded(chosen) if which == "data" else activity.predict(chosen)
        activity = activity if part is None else _part(activity, part)
    named = _named(activity)
    values, time = named.values, named["time"].values
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99]) if len(finite) else (0.0, 1.0)
    step = time[1] - time[0] if len(time) > 1 else 1.0
    with look():
        ax = _axes(ax)
        extent = (time[0] - step / 2, time[-1] + step / 2, values.shape[1] - 0.5, -0.5)
        image = ax.imshow(values.T, aspect="auto", vmin=low, vmax=high, cmap="viridis", extent=extent)
        ax.set_facecolor("#bbbbbb")
        ax.set_xlabel(_time_label(named))
        _name_units(ax.yaxis, [str(name) for name in named["unit"].values])
        ax.figure.colorbar(image, ax=ax, label=_value_label(named))
    return ax


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def _name_units(axis: Axis, names: Sequence[str], rotation: int = 0) -> None:
    """Write the names of units at an axis, smaller the more there are; of many, their number."""
    if len(names) > MOST_NAMES:
        axis.set_ticks([])
        axis.set_label_text(f"{len(names)} units")
        return
    size = 8.0 if len(names) <= 20 else 5.5
    axis.set_ticks(range(len(names)), list(names), fontsize=size, rotation=rotation)


def _recorded(recording: Recording) -> xr.DataArray:
    values = np.where(recording.mask, recording.values, np.nan)
    return activity_array(values, recording, name="recorded")


def _part(activity: xr.DataArray, part: str) -> xr.DataArray:
    chosen = activity.isel(time=activity["part"].values == one_of("part", part, PART_NAMES))
    if not chosen.sizes["time"]:
        raise ConfigError(f"the part {part!r} of recording {activity.attrs['recording']!r} has no frames")
    return chosen


def _named(activity: xr.DataArray | np.ndarray) -> xr.DataArray:
    """Activity with time and units: of a plain array frames and positions."""
    values = np.asarray(activity)
    if values.ndim != 2:
        raise ConfigError(f"activity has shape {values.shape}, but must be [time, unit]")
    if isinstance(activity, xr.DataArray):
        return activity
    return xr.DataArray(
        values, dims=("time", "unit"), coords={"time": np.arange(len(values)), "unit": np.arange(values.shape[1])}
    )


def _unit(activity: xr.DataArray, unit: str | int) -> int:
    names = [str(name) for name in activity["unit"].values]
    if isinstance(unit, str):
        return names.index(one_of("unit", unit, names))
    if not 0 <= unit < len(names):
        raise ConfigError(f"unit = {unit} must be a name or a position from 0 to {len(names) - 1}")
    return unit


def _time_label(activity: xr.DataArray) -> str:
    return "time (s)" if activity["time"].attrs.get("units") == "s" else "frame"


def _value_label(activity: xr.DataArray) -> str:
    units = activity.attrs.get("units", "")
    return "activity" if units in ("", "dimensionless") else f"activity ({units})"


def _free_run_connectivity(fit: Fit, recording: Recording, part: str) -> Float[np.ndarray, "P P"]:
    config = EvaluateConfig() if fit.job is None else fit.job.config.evaluate
    forecaster = fit.forecaster()
    residuals = residuals_of(forecaster.one_step(recording), recording, config.free_run_warmup)
    if config.free_run_noise == "none":
        residuals = None
    return free_runs(forecaster, recording, part, residuals, config)[0].connectivity
