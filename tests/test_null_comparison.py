"""Fits on null connectomes, and their scores beside those of the fit on the real one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small import write_files
from typer.testing import CliRunner, Result

from connfit import cli, report
from connfit.errors import ConfigError, DataError
from connfit.evaluation.evaluate_run import compare_with_nulls

pytestmark = pytest.mark.usefixtures("dots")

QUICK = ("--set", "train.epochs=1", "--set", "train.free_run_epochs=0")


def connfit(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the real wiring and two on nulls of it, without reports: drawing takes longer than the fits."""
    folder = tmp_path_factory.mktemp("runs")
    source = write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda out: out / "report.html")
        for name, options in {
            "real": (),
            "rewired": ("--set", "data.null=rewire_degrees"),
            "signs": ("--set", "data.null=shuffle_signs", "--seed", "9"),
        }.items():
            ran = connfit("fit", source, "--out", folder / name, *QUICK, *options)
            assert ran.exit_code == 0, ran.output
    return folder


def test_a_null_is_fitted_in_place_of_the_real_wiring(runs: Path) -> None:
    real, rewired = (json.loads((runs / name / "record.json").read_text()) for name in ("real", "rewired"))
    assert rewired["connectome"]["connections"] == real["connectome"]["connections"]
    assert rewired["connectome"]["name"].endswith("rewire_degrees")
    assert rewired["data_fingerprint"] != real["data_fingerprint"]
    assert connfit("resume", runs / "rewired").exit_code == 0, "a run on a null is found again from its seed"


def test_scores_of_nulls_stand_beside_those_of_the_real_wiring(runs: Path) -> None:
    before = json.loads((runs / "real" / "metrics.json").read_text())
    ran = connfit("compare", runs / "real", runs / "rewired", runs / "signs")
    assert ran.exit_code == 0, ran.output
    after = json.loads((runs / "real" / "metrics.json").read_text())
    assert {key: value for key, value in after.items() if key != "nulls"} == before
    nulls = after["nulls"]
    assert list(nulls) == ["rewire_degrees, seed 3", "shuffle_signs, seed 9"]
    rewired = json.loads((runs / "rewired" / "metrics.json").read_text())
    assert nulls["rewire_degrees, seed 3"]["test"] == rewired["parts"]["test"]
    assert nulls["rewire_degrees, seed 3"]["what"].startswith("preserves in-degree, out-degree")
    assert "rewire degrees" in ran.output
    assert "rewire degrees" in (runs / "real" / "report.html").read_text()


def test_runs_that_cannot_be_compared_are_refused(runs: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    shutil.copytree(runs / "rewired", longer)
    config = json.loads((longer / "config.json").read_text())
    config["train"]["epochs"] = 2
    (longer / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"longer was not made like .*real: train\.epochs differ"):
        compare_with_nulls(runs / "real", [longer])
    with pytest.raises(ConfigError, match="real is not a run on a null connectome"):
        compare_with_nulls(runs / "real", [runs / "real"])
    with pytest.raises(ConfigError, match="itself a run on a null connectome"):
        compare_with_nulls(runs / "rewired", [runs / "rewired"])
    with pytest.raises(DataError, match="not an evaluated run"):
        compare_with_nulls(runs / "real", [tmp_path])


def test_an_unknown_null_names_those_that_there_are(runs: Path) -> None:
    ran = connfit("fit", runs / "own.toml", "--out", runs / "none", "--set", "data.null=rewire")
    assert ran.exit_code != 0
    assert isinstance(ran.exception, ConfigError) and "rewire_degrees" in str(ran.exception)
