"""Every figure for one unit, two units and many, and that what is drawn is what was given."""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from overlaps import overlapping

from connfit._io import as_result
from connfit.analysis.brain_analysis import Analysis
from connfit.evaluation.metrics import functional_connectivity, unit_correlations, unit_skill
from connfit.report.figures import distribution_figures, prediction_figures
from connfit.report.figures.parameter_figures import weights_figure
from connfit.report.figures.style import save_figure
from connfit.training.learning_rates import TRIAL

FRAME_RATE = 1.7


def activity(units: int, frames: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(frames, 3)), axis=0) @ rng.normal(size=(3, units)) + rng.normal(
        size=(frames, units)
    )
    mask = np.ones(values.shape, bool)
    mask[60:70] = False
    one_step = np.concatenate([np.full((1, units), np.nan), values[:-1]])
    return values, mask, one_step, values + rng.normal(size=values.shape)


def drawn(figure: Figure) -> None:
    """Lay out and rasterise, coarsely: where a panel cannot be drawn, it fails here."""
    figure.set_dpi(40)
    figure.canvas.draw()


def saved(figure: Figure, folder: Path) -> Path:
    png, svg = save_figure(figure, folder, "figure")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text()[:2000]
    return png


@pytest.mark.parametrize("units", [1, 2, 140])
def test_traces_and_connectivity_for_any_number_of_units(units: int) -> None:
    values, mask, one_step, free_run = activity(units)
    names = [f"unit{k}" for k in range(units)]
    figure = prediction_figures.traces(
        values,
        mask,
        one_step,
        free_run,
        units=names,
        frame_rate=FRAME_RATE,
        start=600,
        skill=unit_skill(values, one_step, one_step + 0.1, mask),
        correlation=unit_correlations(values, free_run, mask),
    )
    assert len(figure.axes) == 2 * min(units, 3)
    drawn(figure)
    matrix = functional_connectivity(values, mask)
    order = prediction_figures.unit_order(matrix)
    assert sorted(order) == list(range(units))
    drawn(prediction_figures.connectivities({"data": matrix, "model": matrix}, order=order, units=names))


def test_traces_are_in_seconds_and_leave_gaps() -> None:
    values, mask, one_step, free_run = activity(1)
    skill, correlation = np.array([0.25]), np.array([np.nan])
    figure = prediction_figures.traces(
        values,
        mask,
        one_step,
        free_run,
        units=["AVA"],
        frame_rate=FRAME_RATE,
        start=600,
        skill=skill,
        correlation=correlation,
    )
    left, right = figure.axes
    data, model = right.get_lines()
    assert np.allclose(data.get_xdata(), (600 + np.arange(200)) / FRAME_RATE)
    assert np.isnan(np.asarray(data.get_ydata())[60:70]).all()
    assert np.array_equal(model.get_ydata(), free_run[:, 0])
    assert len(left.get_lines()[0].get_xdata()) == prediction_figures.ONE_STEP_FRAMES
    assert "skill 0.25" in left.get_title("left")
    assert "not defined" in right.get_title("left")
    assert left.get_xlabel() == "time (s)"


def test_a_simulated_run_stands_below_the_data_on_their_scale() -> None:
    values, mask, one_step, simulated = activity(3)
    quiet = np.zeros(values.shape)
    skill = np.array([0.1, 0.2, 0.3])
    figure = prediction_figures.traces(
        values,
        mask,
        one_step,
        simulated,
        units=["a", "b", "c"],
        frame_rate=1.0,
        start=0,
        skill=skill,
        correlation=skill,
        deterministic=quiet,
    )
    right = figure.axes[1]
    upper, lower = right.child_axes
    assert upper.get_ylim() == lower.get_ylim()
    assert np.array_equal(upper.get_lines()[0].get_ydata(), np.where(mask[:, 2], values[:, 2], np.nan), equal_nan=True)
    run, without = lower.get_lines()
    assert np.array_equal(run.get_ydata(), simulated[:, 2])
    assert np.array_equal(without.get_ydata(), quiet[:, 2])
    assert "one simulated run" in right.get_title("left")
    assert "r =" not in right.get_title("left")
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"data", "model", "model without noise"}
    assert figure.axes[-1].child_axes[1].get_xlabel() == "time (s)"
    drawn(figure)


def test_a_diverged_free_run_does_not_hide_the_data() -> None:
    values, mask, one_step, free_run = activity(1)
    free_run = free_run * 1e6
    nan = np.array([np.nan])
    figure = prediction_figures.traces(
        values, mask, one_step, free_run, units=["a"], frame_rate=1.0, start=0, skill=nan, correlation=nan
    )
    low, high = figure.axes[1].get_ylim()
    assert high - low < 10 * np.ptp(values)


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        ([0.1, 0.9, 0.5, -1.0, 0.3], [("best", 1), ("median", 4), ("worst", 3)]),
        ([np.nan, 0.2, 0.1], [("best", 1), ("worst", 2)]),
        ([0.5], [("only unit", 0)]),
        ([np.nan, 0.5], [("only scored", 1)]),
        ([np.nan, np.nan, np.nan], [("best", 0), ("median", 1), ("worst", 2)]),
    ],
)
def test_best_median_worst(ranking: list[float], expected: list[tuple[str, int]]) -> None:
    assert prediction_figures.best_median_worst(np.array(ranking)) == expected


def test_clustering_puts_groups_side_by_side_in_all_panels() -> None:
    rng = np.random.default_rng(1)
    group = np.array([0, 1, 0, 1, 2, 2, 0, 1, 2, 0])
    values = rng.normal(size=(300, 3))[:, group] + 0.2 * rng.normal(size=(300, 10))
    matrix = functional_connectivity(values)
    matrix[4, :] = matrix[:, 4] = np.nan
    order = prediction_figures.unit_order(matrix)
    ranks = [k for k in order if k != 4]
    assert np.count_nonzero(np.diff(group[ranks])) == 2
    figure = prediction_figures.connectivities({"data": matrix, "model": -matrix}, order=order)
    first, second = (axes.images[0] for axes in figure.axes[:2])
    assert first.get_clim() == second.get_clim() == (-1, 1)
    assert np.allclose(first.get_array().filled(9), -second.get_array().filled(-9))
    assert np.allclose(np.ma.filled(first.get_array(), 0), np.nan_to_num(matrix[np.ix_(order, order)]))


def test_horizon_skill_draws_the_numbers_and_marks_what_falls_off() -> None:
    curves = {
        "model": {1: 0.1, 5: 0.3, 30: None},
        "untrained": {1: -100.0, 5: -20.0, 30: 0.1},
        "mean": {1: -7.0, 5: 0.2, 30: 0.4},
        "ar": {1: 0.0, 5: 0.0, 30: 0.0},
        "my_baseline": {1: 0.0, 5: 0.0, 30: 0.0},
    }
    figure = prediction_figures.horizon_skill(curves, frame_rate=FRAME_RATE)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(lines["model"].get_ydata()) == [0.1, 0.3]
    assert list(lines["untrained"].get_ydata()) == [-1, -1, 0.1]
    assert {text.get_text() for text in figure.axes[0].texts} == {"−100", "−20", "−7"}
    assert {"AR", "my baseline"} <= set(lines)
    assert "0.588 s" in figure.axes[0].get_xlabel()
    drawn(figure)


def test_horizon_skill_where_nothing_could_be_scored() -> None:
    figure = prediction_figures.horizon_skill({"model": {1: None, 2: None}}, frame_rate=None)
    assert any("no horizon" in text.get_text() for text in figure.axes[0].texts)
    drawn(figure)


@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_loss_history(epochs: int) -> None:
    x = list(range(epochs))
    phases = ["teacher-forced"] * (epochs // 2) + ["free-running"] * (epochs - epochs // 2)
    loss = [10.0 / (1 + k) for k in x]
    figure = prediction_figures.loss_history(x, loss, [1.1 * one for one in loss], [1 - one for one in loss], phases)
    if epochs == 30:
        assert list(figure.axes[0].get_lines()[0].get_ydata()) == loss
        assert len(figure.axes[0].patches) == 1
    drawn(figure)


def test_a_trial_of_learning_rates_is_apart_from_the_schedule() -> None:
    phases = [TRIAL] * 3 + ["teacher-forced"] * 10
    loss = [10.0 / (1 + k) for k in range(13)]
    figure = prediction_figures.loss_history(range(13), loss, loss, [1 - one for one in loss], phases)
    left, right = figure.axes
    assert [len(np.atleast_1d(line.get_xdata())) for line in left.get_lines()] == [3, 3, 10, 10]
    assert [len(np.atleast_1d(line.get_xdata())) for line in right.get_lines()[:2]] == [3, 10]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["train", "validation", TRIAL]
    assert not left.texts, "the schedule has one phase"
    assert overlapping(figure) == [] and all(float(tick).is_integer() for tick in left.get_xticks())


def test_loss_history_without_validation() -> None:
    nan = [float("nan")] * 5
    drawn(prediction_figures.loss_history(range(5), [5, 4, 3, 2, 1], nan, nan, ["teacher-forced"] * 5))


@pytest.mark.parametrize("kind", ["few", "many", "all alike", "all zero", "one", "none", "unchanged"])
def test_weights_and_time_constants(kind: str) -> None:
    rng = np.random.default_rng(2)
    count = {"few": 200, "many": 20_000, "one": 1, "none": 0}.get(kind, 300)
    before = rng.lognormal(-3, 1, count)
    after = np.maximum(before * rng.lognormal(0, 0.5, count) - 0.01, 0)
    if kind == "all alike":
        before = np.full(count, 0.3)
    elif kind == "all zero":
        before = after = np.zeros(count)
    elif kind == "unchanged":
        after = before = np.full(count, 0.3)
    for figure in (distribution_figures.weights(before, after), distribution_figures.time_constants(before, after)):
        assert overlapping(figure) == []
        for axis in (
            one
            for axes in figure.axes
            if axes.get_label() != "<colorbar>" and axes.axison
            for one in (axes.xaxis, axes.yaxis)
        ):
            low, high = axis.get_view_interval()
            assert sum(low <= tick <= high for tick in axis.get_ticklocs()) > 1, "an axis without numbers"


@pytest.mark.parametrize("decades", [0.1, 0.5, 1, 2, 4, 9])
def test_labels_of_weights_and_counts_do_not_overlap(decades: float) -> None:
    spread = {"quantiles": np.logspace(-decades / 2, decades / 2, 20).tolist(), "log_mean": 0.0}
    counts, weights = (np.logspace(first, first + decades, 8).tolist() for first in (0.7, -3.7))
    found = {"counts": spread, "before": spread, "after": spread}
    content = {"weights": {"statistics": {**found, "by_count": {"mean_count": counts, "mean_weight": weights}}}}
    assert overlapping(weights_figure(as_result(content, Analysis))) == []


def test_histogram_counts_every_weight() -> None:
    rng = np.random.default_rng(3)
    before = rng.lognormal(0, 1, 1000)
    after = before.copy()
    after[:50] = 0
    patches = distribution_figures.weights(before, after).axes[0].patches
    counts = [np.round(patch.get_data().values - 0.25).sum() for patch in patches]
    assert counts == [1000, 950]
    assert "50 at 0" in patches[1].get_label()


def test_a_long_legend_leaves_the_panels_their_places() -> None:
    before = np.concatenate([np.zeros(5_000_000, np.float32), np.geomspace(1e-4, 1, 500, dtype=np.float32)])
    figure = distribution_figures.weights(
        before, np.concatenate([np.zeros(1_000_000, np.float32), before[1_000_000:] + 1e-3])
    )
    drawn(figure)
    left, right = (axes.get_position() for axes in figure.axes[:2])
    assert "5,000,000 at 0" in figure.legends[0].get_texts()[0].get_text()
    assert right.x0 - left.x1 < 0.2 and left.width > 0.3


@pytest.mark.slow
def test_millions_of_weights_are_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution_figures, "_DRAWN_CONNECTIONS", 300_000)
    before = np.random.default_rng(4).lognormal(-3, 1, 2_000_000).astype(np.float32)
    started = time.perf_counter()
    figure = distribution_figures.weights(before, before * 1.1)
    png = saved(figure, tmp_path)
    assert time.perf_counter() - started < 30
    assert "connections in a sample of 300,000" in {axes.get_ylabel() for axes in figure.axes}
    assert png.stat().st_size < 1_000_000
    assert (tmp_path / "figure.svg").stat().st_size < 2_000_000


def test_drawing_leaves_the_users_settings_alone_and_is_repeatable(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    pictures = [
        saved(distribution_figures.weights(np.ones(50), np.linspace(0.5, 2, 50)), tmp_path).read_bytes()
        for _ in range(2)
    ]
    svg = (tmp_path / "figure.svg").read_text()
    saved(distribution_figures.weights(np.ones(50), np.linspace(0.5, 2, 50)), tmp_path)
    assert pictures[0] == pictures[1]
    assert svg == (tmp_path / "figure.svg").read_text()
    assert dict(matplotlib.rcParams) == before
