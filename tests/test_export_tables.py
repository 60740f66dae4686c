"""`connfit export`: the folder it writes, what it refuses, and tables."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from odd_names import RECORDINGS, UNITS

from connfit.cli import main
from connfit.errors import ConfigError, DataError, NotAvailableError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.export.export_run import export_run
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.export.report_tables import report_tables
from connfit.report.run_files import RunFiles
from connfit.training.runs import load_fit


@pytest.fixture(scope="module")
def tables(odd_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables")
    assert export_run(odd_run, ["tables"], out) == [out / "tables"]
    assert sorted(path.name for path in out.iterdir()) == ["tables"], "nothing else is left in the folder"
    return out / "tables"


def test_scores_are_those_of_the_run(tables: Path, odd_run: Path) -> None:
    found = pd.read_parquet(tables / "scores.parquet")
    text = pd.read_csv(tables / "scores.csv", dtype=str, keep_default_na=False)
    # Not as pandas reads numbers: before pandas 3 they are not those that were written.
    np.testing.assert_array_equal(found["value"], [float(value or "nan") for value in text["value"]])
    assert list(found["recording"]) == list(text["recording"]) and set(found["recording"]) == {"", *RECORDINGS}
    evaluation = read_evaluation(odd_run)
    for who, skills in evaluation.skills().items():
        of = found[(found.part == "test") & (found.recording == "") & (found.predictor == who)]
        one = of[of.measure == "one_step.skill_vs_persistence"]
        assert float(one["value"].iloc[0]) == skills[1] and int(one["horizon"].iloc[0]) == 1
        ahead = of[of.measure == "horizon_skill"].set_index("horizon")["value"]
        assert ahead[2] == skills[2]
    median = evaluation.recordings[RECORDINGS[1]].part("test").median_unit(2)
    row = found[
        (found.recording == RECORDINGS[1]) & (found.predictor == "model") & (found.part == "test")
        & (found.measure == "horizon_median_unit") & (found.horizon == 2)
    ]  # fmt: skip
    assert row[["value", "low", "high"]].to_numpy().tolist() == [[median.value, median.low, median.high]]
    undefined = found[found["value"].isna()]
    assert len(undefined) and (undefined["reason"] != "").all(), "a value is missing without a reason"


def test_every_number_of_the_result_files_is_there(tables: Path, odd_run: Path) -> None:
    with (tables / "results.csv").open(encoding="utf-8", newline="") as file:
        found = {(row["file"], row["key"]): row["value"] for row in csv.DictReader(file)}
    metrics = json.loads((odd_run / "metrics.json").read_text())
    assert float(found["metrics.json", "parts.test.one_step.mse"]) == metrics["parts"]["test"]["one_step"]["mse"]
    assert ("config.json", "train.epochs") in found and ("record.json", "connectome.name") in found


def test_weights_and_neurons_carry_ids_and_read_back(tables: Path, odd_run: Path) -> None:
    fit = load_fit(odd_run)
    weights = pd.read_csv(tables / "weights.csv", dtype={"pre_id": str, "post_id": str})
    assert weights["pre_id"].tolist() == fit.connectome.ids[fit.connectome.indices].tolist()
    np.testing.assert_array_equal(
        weights["weight_fitted"].to_numpy(np.float32),
        fit.connectome.connection_signs * np.asarray(fit.model.magnitudes(fit.params)),
    )
    neurons = pd.read_csv(tables / "neurons.csv")
    assert neurons["id"].tolist()[: len(UNITS)] == list(UNITS)
    np.testing.assert_array_equal(neurons["bias_fitted"].to_numpy(np.float32), fit.params["bias"])
    assert pd.read_csv(tables / "readout.csv")["neuron_id"].tolist() == list(UNITS)


def test_the_tables_of_the_report_are_as_it_shows_them(tables: Path, odd_run: Path) -> None:
    shown = report_tables(RunFiles.read(odd_run))
    files = sorted((tables / "report").iterdir())
    assert len(files) == len(shown) > 10
    for path, table in zip(files, shown, strict=True):
        with path.open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file)) == table.rows
    page = [cell for table in shown for row in table.rows for cell in row]
    assert any("movie/1" in cell for cell in page)
    readme = (tables / "README.md").read_text(encoding="utf-8")
    assert all(path.name in readme for path in files) and "\x1b" not in readme


def test_what_is_refused_says_what_to_do(odd_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--to is 'tabels', but must be one of tables.*did you mean 'tables'"):
        export_run(odd_run, ["tabels"], tmp_path / "out")
    with pytest.raises(ConfigError, match="name at least one format"):
        export_run(odd_run, [], tmp_path / "out")
    (tmp_path / "afile").touch()
    with pytest.raises(ConfigError, match="afile is a file: give a folder"):
        export_run(odd_run, ["tables"], tmp_path / "afile")
    (tmp_path / "there" / "tables").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"there/tables is there already: remove it, or give another folder"):
        export_run(odd_run, ["tables"], tmp_path / "there")
    with pytest.raises(DataError, match="no run here"):
        export_run(tmp_path / "absent", ["tables"], tmp_path / "out")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(odd_run, unfinished)
    (unfinished / "parameters.npz").unlink()
    with pytest.raises(DataError, match=r"the fit has not finished\. Go on with `connfit resume"):
        export_run(unfinished, ["tables"], tmp_path / "out")
    (unfinished / "metrics.json").unlink()
    shutil.copy(odd_run / "parameters.npz", unfinished)
    with pytest.raises(DataError, match="Run `connfit evaluate`"):
        export_run(unfinished, ["tables"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_edited_run_is_refused(odd_run: Path, tmp_path: Path) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(odd_run, edited)
    record = json.loads((edited / "record.json").read_text())
    (edited / "record.json").write_text(json.dumps({**record, "data_fingerprint": "0"}))
    with pytest.raises(DataError, match="are not those that this run was made from"):
        export_run(edited, ["tables"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(odd_run: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(DataError, match="cannot be written to"):
        export_run(odd_run, ["tables"], tmp_path / "closed")


def test_a_format_that_fails_leaves_nothing_and_the_others_stay(
    odd_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(run: ExportedRun, folder: Path) -> None:
        (folder / "name.txt").write_text(run.name)

    def fail(run: ExportedRun, folder: Path) -> None:
        (folder / "half.txt").touch()
        raise DataError("not possible")

    known = {name: ExportFormat(name=name, label=name, write=write) for name, write in (("some", some), ("bad", fail))}
    known["far"] = ExportFormat(name="far", label="far", write=some, package="no_such_package", extra="far")
    monkeypatch.setattr(EXPORTS, "_entries", known)
    with pytest.raises(NotAvailableError, match=r"far needs no_such_package: pip install 'connfit\[far\]'"):
        export_run(odd_run, ["some", "far"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="not possible"):
        export_run(odd_run, ["some", "bad"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["some", "name.txt"]


def test_the_command_says_where_it_wrote(
    odd_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in odd_run.rglob("*"))
    argv = ["connfit", "export", str(odd_run), "--to", "tables", "--to", "tables", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out == f"written to {tmp_path / 'out' / 'tables'}\n"
    assert sorted((path, path.stat().st_mtime_ns) for path in odd_run.rglob("*")) == before, "the run was changed"
