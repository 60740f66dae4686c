"""Comparison of gradients with BPTT's: against plain vectors, on a small brain, and as the command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from small import student, write_files
from typer.testing import CliRunner

from connfit import cli, run
from connfit import config as configuration
from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.gradient_fidelity import (
    Rule,
    Segment,
    _Comparison,
    _Feeding,
    check_steps_fit,
    choose_segments,
    gradient_fidelity,
    rules_to_compare,
)
from connfit.learn import PRESETS, Windowed
from connfit.learning_curves import learning_curves
from connfit.report.gradient_figure import cost_figure, print_fidelity

FRAMES = 24


def test_measures_of_a_group_are_those_of_plain_vectors() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(5, 40))
    got = 0.5 * exact + 0.2 * rng.normal(size=(5, 40)) + 0.3
    comparison = _Comparison()
    for g, e in zip(got, exact, strict=True):
        comparison.add(g.reshape(8, 5), e.reshape(8, 5))
    row, norm = comparison.row(), np.linalg.norm
    cosines = [np.dot(g, e) / norm(g) / norm(e) for g, e in zip(got, exact, strict=True)]
    error, mean = got - exact, norm(exact.mean(axis=0))
    expected = {
        "cosine": np.mean(cosines),
        "cosine_min": min(cosines),
        "undefined_segments": 0,
        "cosine_of_sum": np.dot(got.sum(0), exact.sum(0)) / norm(got.sum(0)) / norm(exact.sum(0)),
        "relative_norm": np.mean(norm(got, axis=1) / norm(exact, axis=1)),
        "relative_error": np.mean(norm(error, axis=1) / norm(exact, axis=1)),
        "bias": norm(error.mean(axis=0)) / mean,
        "spread": np.sqrt(error.var(axis=0, ddof=1).sum()) / mean,
        "variance_ratio": got.var(axis=0).sum() / exact.var(axis=0).sum(),
    }
    assert row == pytest.approx(expected)


def test_a_gradient_of_zero_has_no_cosine_and_is_counted() -> None:
    comparison = _Comparison()
    comparison.add(np.ones(3), np.ones(3))
    comparison.add(np.zeros(3), np.ones(3))
    row = comparison.row()
    assert row["cosine"] == pytest.approx(1) and row["undefined_segments"] == 1
    nothing = _Comparison()
    nothing.add(np.zeros(3), np.zeros(3))
    assert nothing.row()["cosine"] is None and nothing.row()["bias"] is None


def table(**options: Any) -> dict[str, dict[str, Any]]:
    small = student()
    rules = [
        Rule("hybrid", Windowed(FRAMES, *PRESETS["hybrid"])),
        Rule("hybrid", Windowed(4, *PRESETS["hybrid"])),
        Rule("d-rtrl", Windowed(8, *PRESETS["d-rtrl"]), by_window=False),
    ]
    segments = choose_segments(small.cohort, FRAMES, 3)
    rows = gradient_fidelity(small.model, small.params, small.cohort, rules, segments, warmup_frames=5, **options)
    return {row["label"]: row for row in rows}


def test_the_longest_window_is_exact_and_shorter_ones_are_not() -> None:
    rows = table()
    assert list(rows) == ["bptt", f"hybrid, K = {FRAMES}", "hybrid, K = 4", "d-rtrl"]
    for group in student().model.groups:
        for label in ("bptt", f"hybrid, K = {FRAMES}"):
            assert rows[label]["groups"][group]["relative_error"] < 1e-5
        near, far = (rows[label]["groups"][group]["relative_error"] for label in ("hybrid, K = 4", "d-rtrl"))
        assert 1e-4 < near < far
    m, p, n = student().connectome.m, len(student().cohort.units), student().connectome.n
    assert rows["bptt"]["carried_bytes"] == 4 * n, "rates alone"
    assert rows["d-rtrl"]["carried_bytes"] == 4 * (3 * n + m + n * p), "rates, and a trace per trained number"
    assert all(row["ms_per_step"] > 0 and row["working_bytes"] > 0 for row in rows.values())


def test_free_running_segments_withhold_what_a_fit_withholds() -> None:
    cohort = student().cohort
    segment = Segment(cohort.recordings[0].name, 0, 10, 10 + FRAMES)
    feeding = _Feeding.of(cohort, [segment], 5, (3, 4))
    forced = np.concatenate([window.forced for window in feeding.windows(8, segment)])[:, 0, 0]
    expected = [True] * 5 + ([True] * 3 + [False] * 4) * 3
    assert forced.tolist() == expected[:FRAMES]
    values = np.concatenate([window.inputs for window in feeding.windows(8, segment)])[:, :, 0]
    np.testing.assert_allclose(values, cohort.recordings[0].values[9 : 9 + FRAMES])


def test_segments_lie_in_training_parts_and_alternate_between_recordings() -> None:
    cohort = student().cohort
    segments = choose_segments(cohort, FRAMES, 5)
    assert [sum(one.member == k for one in segments) for k in (0, 1)] == [3, 2]
    assert all(1 <= one.start and one.stop - one.start == FRAMES and one.stop <= 120 for one in segments)
    assert len({(one.member, one.start) for one in segments}) == 5
    with pytest.raises(ConfigError, match="--frames 119 is the most"):
        choose_segments(cohort, 150, 2)


def test_rules_cover_all_names_and_refuse_windows_longer_than_a_segment() -> None:
    rules = rules_to_compare(40, trace_decay=0.5)
    assert {rule.name for rule in rules} == {"d-rtrl", "d-rtrl, bf16", "pp-prop", "hybrid", "tbptt", "hybrid-pp"}
    assert [rule.learner.window for rule in rules if rule.name == "tbptt"] == [1, 4, 16]
    assert all(rule.learner.trace_decay == 0.5 for rule in rules if rule.learner.carry == "factorised")
    with pytest.raises(ConfigError, match="windows of 64 steps: a window must have 1 to 40"):
        rules_to_compare(40, [4, 64])


def test_too_long_a_segment_says_what_fits() -> None:
    small = student()
    check_steps_fit(small.model, small.params, 100, 4)
    with pytest.raises(ConfigError, match=r"--frames for (\d+) model steps would fit"):
        check_steps_fit(small.model, small.params, 10**7, 4, free=10**9)
    with pytest.raises(ConfigError, match="fewer --segments"):
        check_steps_fit(small.model, small.params, 10, 4, free=10**6)


def test_learning_curves_compare_at_equal_steps_and_seconds() -> None:
    small = student()
    learners = {"tbptt": Windowed(8, *PRESETS["tbptt"]), "wild": Windowed(8, *PRESETS["tbptt"])}
    config = TrainConfig(epochs=3, learning_rate=0.01, warmup_frames=5)
    before = {key: np.array(value) for key, value in small.params.items()}
    found = learning_curves(small.model, small.params, small.cohort, learners, config)
    for key, value in before.items():
        np.testing.assert_array_equal(small.params[key], value)
    first, second = found["curves"]
    assert first["train_loss"] == second["train_loss"] and first["train_loss"][-1] < first["train_loss"][0]
    assert first["steps"] == [120, 240, 360] and np.all(np.diff(first["seconds"]) > 0)
    shortest = min(first["seconds"][-1], second["seconds"][-1])
    assert found["equal_seconds"]["seconds"] == shortest
    assert {row["epochs"] for row in found["equal_steps"]["rules"].values()} == {3}
    bad = {**small.params, "bias": jnp.full(small.model.neurons, jnp.nan)}
    stopped = learning_curves(small.model, bad, small.cohort, {"wild": learners["wild"]}, config)
    assert "not finite" in stopped["curves"][0]["diverged"] and stopped["equal_steps"] is None


def test_the_command_measures_a_run_before_and_after_its_fit(tmp_path: Path) -> None:
    config = configuration.override(configuration.read(write_files(tmp_path)), ["train.epochs=1"])
    run.start(configuration.override(config, ["train.free_run_epochs=0"]), tmp_path / "run")
    options = ["--frames", "24", "--segments", "2", "--window", "4"]
    ran = CliRunner().invoke(cli.app, ["gradcheck", str(tmp_path / "run"), *options])
    assert ran.exit_code == 0, ran.output
    record = json.loads((tmp_path / "run" / "gradient_fidelity.json").read_text())
    assert list(record["parameters"]) == ["start", "fitted"]
    assert (record["steps"], record["phase"], len(record["segments"])) == (24, "teacher-forced", 2)
    start, fitted = record["parameters"].values()
    labels = ["bptt", "d-rtrl", "d-rtrl, bf16", "pp-prop", "hybrid, K = 4", "tbptt, K = 4", "hybrid-pp, K = 4"]
    assert [row["label"] for row in start] == [row["label"] for row in fitted] == labels
    assert start[1]["groups"]["weights"] != fitted[1]["groups"]["weights"]
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {
        f"{name}.{ending}" for name in ("gradient_fidelity", "gradient_cost") for ending in ("png", "svg")
    }
    assert all(text in ran.output for text in (labels[4], "at the start", "after the fit"))
    assert max(map(len, ran.output.replace(str(tmp_path), "").splitlines())) <= 80
    refused = CliRunner().invoke(cli.app, ["gradcheck", str(tmp_path / "run"), "--set", "seed=1"])
    assert isinstance(refused.exception, ConfigError) and "--set changes nothing" in str(refused.exception)


def test_learning_curves_are_drawn_and_printed() -> None:
    group = {"cosine": 0.5, "relative_norm": 1.0, "bias": 0.1}
    cost = {"window": 4, "ms_per_step": 1.0, "carried_bytes": 10, "working_bytes": 20, "by_window": False}
    row = {"rule": "hybrid", "label": "hybrid", "groups": {"bias": group}, **cost}
    curve = {"rule": "hybrid", "steps": [4, 8], "seconds": [1.0, 2.0], "train_loss": [2.0, 1.0]}
    at = {"seconds": 2.0, "rules": {"hybrid": {"epochs": 2, "train_loss": 1.0, "validation_skill": None}}}
    record = {
        "surrogate": True, "dataset": "toy", "phase": "teacher-forced", "segments": [{}], "steps": 8,
        "parameters": {"start": [row]},
        "learning_curves": {
            "curves": [curve, {"rule": "tbptt", "diverged": "the loss is not finite"}], "equal_seconds": at
        },
    }  # fmt: skip
    figure = cost_figure(record)
    lines = [line for axes in figure.axes for line in axes.lines]
    assert [line.get_xydata().tolist() for line in lines] == [[[4, 2], [8, 1]], [[1, 2], [2, 1]]]
    console = Console(width=80, record=True, file=io.StringIO())
    print_fidelity(record, console)
    text = console.export_text()
    assert "SURROGATE toy" in text and "tbptt: the loss is not finite" in text and "learning curves, at 2 s" in text
