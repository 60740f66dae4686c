"""`connfit compare A B`: two runs side by side, and which predicts better."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from odd_names import odd_brain, odd_fit, odd_movies
from small import OPTIONS
from typer.testing import CliRunner, Result

import connfit as cf
from connfit import cli
from connfit.errors import ConfigError, DataError
from connfit.evaluation.compare_runs import HorizonComparison, RunComparison, compare_runs, compare_with
from connfit.evaluation.evaluate_run import evaluate_run, read_evaluation
from connfit.training.runs import load_fit


def connfit(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data as `odd_run`, without drive and state forcing, and with rates that are far too high."""
    fit, out = odd_fit(drive="none", state_forcing=0, epochs=0), tmp_path_factory.mktemp("other") / "without"
    fit = replace(fit, params={**fit.params, "bias": fit.params["bias"] + 1})
    fit.save(out)
    evaluate_run(fit, out)
    return out


def test_the_same_frames_are_compared_with_intervals(odd_run: Path, other: Path) -> None:
    found = compare_runs(odd_run, other)
    assert found.names == ("run", "without") and not found.apart
    table = cf.compare(load_fit(odd_run), load_fit(other), horizons=(1, 2))
    assert [row.frames_ahead for row in found.horizons] == [1, 2]
    for row, expected in zip(found.horizons, table.itertuples(), strict=True):
        got = (row.first, row.second, row.difference, row.low, row.high)
        assert got == (expected.skill_of_first, expected.skill, expected.difference, expected.low, expected.high)
    assert found.horizons[0].winner == 1 and found.verdict().startswith("run is better 1")
    back = compare_runs(other, odd_run)
    assert back.horizons[0].winner == -1 and back.verdict().startswith("run is better 1")
    np.testing.assert_allclose(back.horizons[0].difference, -found.horizons[0].difference)  # type: ignore[operator]
    assert found.options["model.drive"] == ("dense", "none") and "seed" not in found.options
    assert found.parameters["drive"][0] > 0 == found.parameters["drive"][1]
    scores = [read_evaluation(each).part("test").free_run.fc_corr for each in (odd_run, other)]
    assert found.measures["FC correlation, free run"] == tuple(scores)


def test_other_data_are_put_side_by_side_and_not_judged(odd_run: Path, tmp_path: Path) -> None:
    fit = cf.fit(odd_brain(), odd_movies()[:1], **{**OPTIONS, "epochs": 0})
    fit.save(tmp_path / "single")
    evaluate_run(fit, tmp_path / "single")
    found = compare_runs(odd_run, tmp_path / "single")
    assert "is a fit to movie/1, movie $2" in found.apart
    assert all(row.difference is None and row.winner == 0 for row in found.horizons)
    one = read_evaluation(tmp_path / "single").part("test").skill(2)
    assert found.horizons[1].second == one
    assert found.verdict().startswith("Which is better cannot be told: ")
    ran = connfit("compare", odd_run, tmp_path / "single")
    assert ran.exit_code == 0 and "Which is better cannot be told" in ran.output


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(0.1, 0.2), (0.1, 0.3)], "a is better 1 and 5 frames ahead"),
        ([(0.1, 0.2), (-0.1, 0.3)], "a is better 1 frame ahead; 5 frames ahead it cannot be told"),
        ([(0.1, 0.2), (-0.3, -0.1)], "a is better 1 frame ahead, b 5 frames ahead"),
        ([(-0.1, 0.2), (-0.3, -0.1)], "b is better 5 frames ahead; 1 frame ahead it cannot be told"),
        ([(-0.1, 0.2), (None, None)], "Which is better cannot be told: every interval of the difference includes 0, "
                                      "or is not defined"),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_intervals(intervals: list[tuple], verdict: str) -> None:
    rows = tuple(
        HorizonComparison(h, 0.5, 0.4, 0.1, low, high) for h, (low, high) in zip((1, 5), intervals, strict=True)
    )
    assert RunComparison(("a", "b"), "test", "", rows, {}, {}, {}).verdict() == verdict


def test_the_command_prints_one_table_and_a_verdict_and_writes_nothing(odd_run: Path, other: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [*odd_run.rglob("*"), *other.rglob("*")]}
    ran = connfit("compare", odd_run, other)
    assert ran.exit_code == 0, ran.output
    assert "model.drive: 'dense' and 'none'" in ran.output and "run is better 1" in ran.output
    assert {path: path.stat().st_mtime_ns for path in [*odd_run.rglob("*"), *other.rglob("*")]} == before


def test_what_cannot_be_compared_is_refused(odd_run: Path, other: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an evaluated run"):
        compare_with(odd_run, [tmp_path])
    with pytest.raises(ConfigError, match=r"give one run to compare .* with, or runs on null connectomes of it"):
        compare_with(odd_run, [other, other])
    unfinished = tmp_path / "unfinished"
    shutil.copytree(other, unfinished)
    (unfinished / "parameters.npz").unlink()
    with pytest.raises(DataError, match="the fit has not finished"):
        compare_runs(odd_run, unfinished)
    null = tmp_path / "null"
    shutil.copytree(other, null)
    config = json.loads((null / "config.json").read_text())
    config["data"]["null"] = "rewire_degrees"
    (null / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="null was not made like"):
        compare_with(odd_run, [null])
