"""Plots of notebooks: what they draw, and where."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from small import FRAME_RATE, OPTIONS, UNITS, raw_movies, teacher

import connfit as cf
from connfit.errors import ConfigError
from connfit.evaluation.metrics import functional_connectivity
from connfit.report.figures.prediction_figures import unit_order


@pytest.fixture(scope="module")
def fit() -> cf.Fit:
    return cf.fit(teacher()[0], raw_movies()[0], **OPTIONS)


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    matplotlib.use("agg")
    yield
    plt.close("all")


def test_traces_are_the_data_and_the_prediction_of_the_part(fit: cf.Fit) -> None:
    axes = Figure().subplots()
    assert cf.plot.traces(fit, unit="n2", ax=axes) is axes
    movie = fit.recording()
    data, predicted = axes.get_lines()
    np.testing.assert_allclose(data.get_xdata(), np.arange(160, 200) / FRAME_RATE)
    np.testing.assert_array_equal(data.get_ydata(), movie.values[160:, 2])
    np.testing.assert_array_equal(predicted.get_ydata(), fit.forecaster().one_step(movie)[160:, 2])
    assert axes.get_xlabel() == "time (s)" and axes.get_title("left") == "n2"
    values = np.arange(12.0).reshape(6, 2)
    axes = cf.plot.traces(values, 2 * values, unit=1)
    np.testing.assert_array_equal([line.get_ydata() for line in axes.get_lines()], [values[:, 1], 2 * values[:, 1]])
    assert axes.get_xlabel() == "frame"
    for wrong, words in (({"unit": "n9"}, "unit is 'n9'"), ({"unit": 8}, "unit = 8"), ({"part": "x"}, "part is 'x'")):
        with pytest.raises(ConfigError, match=words):
            cf.plot.traces(fit, **wrong)


def test_connectivity_is_of_the_data_and_of_free_runs(fit: cf.Fit) -> None:
    movie = fit.recording()
    order = unit_order(functional_connectivity(*movie.part("train")))
    (data,) = cf.plot.functional_connectivity(fit, which="data").images
    matrix = functional_connectivity(*movie.part("test"))[np.ix_(order, order)]
    np.testing.assert_allclose(data.get_array(), matrix)
    axes = cf.plot.functional_connectivity(fit)
    shown = cf.evaluate(fit).forecasts.recordings[movie.name].parts["test"].free_run_connectivity
    np.testing.assert_allclose(axes.images[0].get_array(), shown[np.ix_(order, order)])
    assert [label.get_text() for label in axes.get_xticklabels()] == [movie.units[k] for k in order]
    values = np.random.default_rng(0).normal(size=(50, 3))
    (image,) = cf.plot.functional_connectivity(values).images
    np.testing.assert_allclose(image.get_array(), np.corrcoef(values.T))


def test_horizons_are_those_of_the_evaluation(fit: cf.Fit) -> None:
    scored = cf.evaluate(fit)
    axes = cf.plot.horizons(scored)
    drawn = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
    assert drawn["model"] == scored.skills()["model"]
    assert {"untrained", "AR"} <= set(drawn) and "persistence" not in drawn
    assert axes.get_legend() is not None


def test_weights_are_fitted_against_start(fit: cf.Fit) -> None:
    axes = cf.plot.weights((np.array([1.0, -2.0, 0.0, 3.0]), np.array([2.0, -1.0, 1.0, 0.0])))
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1, 2], [2, 1]])
    assert axes.get_title("left") == "2 connections, 2 at 0"
    table = fit.weights_table()
    points = cf.plot.weights(fit).get_lines()[0].get_xydata()
    assert len(points) == ((table["weight_start"] != 0) & (table["weight_fitted"] != 0)).sum()
    assert axes.get_xlabel() == "weight before the fit (magnitude)"
    with pytest.raises(ConfigError, match=r"shapes \(2,\) and \(3,\)"):
        cf.plot.weights((np.ones(2), np.ones(3)))


def test_a_raster_has_a_row_per_unit(fit: cf.Fit) -> None:
    (image,) = cf.plot.raster(fit, part="test").images
    np.testing.assert_array_equal(image.get_array(), fit.recording().part("test")[0].T)
    (image,) = cf.plot.raster(fit.simulate(frames=7)).images
    assert image.get_array().shape == (UNITS, 7)
    assert image.get_extent()[:2] == [160 / FRAME_RATE - 0.25, 166 / FRAME_RATE + 0.25]
    with pytest.raises(ConfigError, match=r"\[time, unit\]"):
        cf.plot.raster(np.ones(3))


@pytest.mark.parametrize("units", [UNITS, 30, 60])
def test_units_are_named_where_names_can_be_read_and_counted_otherwise(units: int) -> None:
    names = [f"N{k:02}" for k in range(units)]
    activity = xr.DataArray(
        np.random.default_rng(1).normal(size=(50, units)),
        dims=("time", "unit"), coords={"time": np.arange(50), "unit": names},
    )  # fmt: skip
    connectivity, raster = cf.plot.functional_connectivity(activity), cf.plot.raster(activity)
    for axis in (connectivity.xaxis, connectivity.yaxis, raster.yaxis):
        shown = [label.get_text() for label in axis.get_ticklabels()]
        assert shown == (names if units < 60 else [])
        assert axis.get_label_text() == ("" if units < 60 else "60 units")


def test_drawing_leaves_the_settings_of_the_user_and_is_imported_when_it_is_asked_for() -> None:
    size = matplotlib.rcParams["font.size"]
    cf.plot.raster(np.random.default_rng(0).normal(size=(5, 2)))
    assert matplotlib.rcParams["font.size"] == size
    probe = "import connfit, sys; connfit.Fit, connfit.evaluate; assert 'matplotlib' not in sys.modules; connfit.plot"
    subprocess.run([sys.executable, "-c", probe], check=True)


HOSTILE = ("$\\frac$", "$x_1$", "\x1b[31mred", "9" * 5000, "a\\$b", "[/red]")


def test_names_are_drawn_as_they_are_into_axes_of_a_user() -> None:
    values = xr.DataArray(
        np.random.default_rng(0).normal(size=(30, len(HOSTILE))), dims=("time", "unit"),
        coords={"time": np.arange(30.0), "unit": list(HOSTILE)}, attrs={"units": "$\\frac$"},
    )  # fmt: skip
    scores = {name: {1: 0.5, 2: 0.25} for name in HOSTILE}
    for draw in (
        lambda ax: cf.plot.traces(values, unit=HOSTILE[0], ax=ax), lambda ax: cf.plot.raster(values, ax=ax),
        lambda ax: cf.plot.functional_connectivity(values, ax=ax), lambda ax: cf.plot.horizons(scores, ax=ax),
    ):  # fmt: skip
        figure = Figure(layout="constrained")
        draw(figure.subplots())
        figure.savefig(io.BytesIO(), format="svg")
