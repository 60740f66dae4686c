"""Results of a run directory as typed values, from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_run import complete_run, run_directory
from valid import validator

import connfit as cf
from connfit import Analysis
from connfit._io import write_json
from connfit.errors import DataError

pytestmark = pytest.mark.usefixtures("dots")


def test_evaluation_study_and_analysis_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = complete_run(tmp_path / "run")
    (run / "analysis").mkdir()
    write_json(run / "analysis" / "analysis.json", Analysis(findings=("It is one.",)))
    evaluation, study, analysis = cf.load_evaluation(run), cf.load_study(str(run)), cf.load_analysis(run)
    assert isinstance(evaluation, cf.Evaluation) and evaluation.skills()["model"]
    assert isinstance(study, cf.Study) and study.rows
    assert isinstance(analysis, cf.Analysis) and analysis.findings == ("It is one.",)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cf.load_study("~/run") == study


def test_what_is_not_there_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run")
    for load, command in (
        (cf.load_study, f"connfit evaluate {run} --full"),
        (cf.load_analysis, f"connfit analyze {run}"),
    ):
        with pytest.raises(DataError, match=command):
            load(run)
        with pytest.raises(DataError, match="no such run directory"):
            load(tmp_path / "rnu")
    (run / "metrics.json").unlink()
    with pytest.raises(DataError, match="connfit evaluate"):
        cf.load_evaluation(run)


def test_the_report_finds_limitations_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connfit.report.questions.questions.all_limits", lambda _: pytest.fail("they are known"))
    run = run_directory(tmp_path / "run")
    cf.write_report(run)
    validator("questions.json").validate(json.loads((run / "questions.json").read_text()))
