"""A study of a small fit: rows, what is reused and what is refused, what a kill leaves, and its numbers."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html import escape
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
from answers import check_numbers
from overlaps import overlapping
from rich.console import Console
from small import finished_run, study_here
from typer.testing import CliRunner
from valid import valid_results
from watched import Watched, watched

from connfit import config as configuration
from connfit._io import read_arrays
from connfit.cli import app
from connfit.config import Config
from connfit.errors import ConfigError, DataError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.scores import score
from connfit.evaluation.study.executor import RETRIES
from connfit.evaluation.study.local_executor import Worker
from connfit.evaluation.study.messages import Failed, Finished, Message, Started
from connfit.evaluation.study.rows import WEIGHT_SPREAD, row_config, study_config, study_rows
from connfit.evaluation.study.run_study import StudyOptions, plan_study, run_study
from connfit.evaluation.study.study import Study, StudyRow, read_study
from connfit.evaluation.study.task_process import TaskProcess
from connfit.evaluation.study.tasks import Task
from connfit.evaluation.study.verdict import verdict_sentences
from connfit.report.console_study import print_study
from connfit.report.questions.questions import answer_all
from connfit.report.run_files import STUDY as STUDY_FILE
from connfit.report.sections.comparison import number
from connfit.report.sections.limits import study_limits
from connfit.report.sections.study_section import study_blocks, study_drawings
from connfit.training import runs

ROWS = ("shuffle_signs", "no_drive", "gain_per_type_pair", "mean", "var_ridge")
OPTIONS = StudyOptions(seeds=2, rows=ROWS, jobs=2)
STUDY = """
import sys
from connfit.evaluation.study.run_study import StudyOptions, run_study
if __name__ == "__main__":
    run_study(sys.argv[1], StudyOptions(seeds=2, rows=tuple(sys.argv[2:]), jobs=2))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a user's own files."""
    return finished_run(tmp_path_factory.mktemp("study"), epochs=12)


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    """The study of it: killed in the middle of its first fits, and done again."""
    with (folder / "killed.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", STUDY, str(folder), *ROWS], stderr=log, stdout=log)
    checkpoint = folder / "study" / "runs" / "connectome-seed3" / runs.CHECKPOINT
    while not checkpoint.exists():
        assert process.poll() is None, (folder / "killed.txt").read_text()
        time.sleep(0.01)
    workers = _children(process.pid)
    process.kill()
    process.wait()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "workers outlive their parent"
    assert not (folder / "study" / "study.json").exists()
    return run_study(folder, replace(OPTIONS, jobs=1))  # a second process would compile all that the first does


def _children(parent: int) -> list[int]:
    task = Path(f"/proc/{parent}/task")
    return [int(child) for one in task.glob("*/children") for child in one.read_text().split()]


def row_of(study: Study, name: str) -> StudyRow:
    row = study.row(name)
    assert row is not None
    return row


def test_every_row_has_its_seeds_and_its_scores(study: Study) -> None:
    assert [row.name for row in study.rows] == [
        "connectome", "no_drive", "gain_per_type_pair", "shuffle_signs", "mean", "var_ridge",
    ]  # fmt: skip
    assert study.seeds == (3, 4) and study.weight_spread == WEIGHT_SPREAD
    for name in ("connectome", "no_drive", "shuffle_signs"):
        row = row_of(study, name)
        assert row.seeds == (3, 4) and not row.reason and len(row.runs) == 2
        skill = row.scores["one_step_skill"]
        assert skill.mean == pytest.approx(np.mean(np.array(skill.seeds)))
        assert skill.std == pytest.approx(np.std(np.array(skill.seeds), ddof=1)) and skill.std
    assert row_of(study, "mean").seeds == (3,)
    assert (row_of(study, "no_drive").parameters or {})["drive"] == 0
    assert (row_of(study, "connectome").parameters or {})["all"] == 595


def test_a_row_that_cannot_be_computed_says_why_and_stops_no_other(study: Study) -> None:
    row = row_of(study, "gain_per_type_pair")
    assert "'gain_per_type_pair' needs" in str(row.reason) and set(row.failed) == {3, 4}
    assert row.mean("one_step_skill") is None and row.difference is None
    assert any("Counts with one gain per pair of cell types has no numbers" in sentence for sentence in study.verdict)


def test_scores_are_those_of_the_run_directories(folder: Path, study: Study) -> None:
    """A row's numbers come again from its own run directory, by the code that scores any fit."""
    fitted = runs.load_fit(folder / "study" / "runs" / "shuffle_signs-seed4")
    config = configuration.read(folder / "config.json").evaluate
    parts = [score(fitted.forecaster(), one, config, ahead_of=("test",))["test"] for one in fitted.cohort.recordings]
    row = row_of(study, "shuffle_signs")
    expected = np.mean([part.horizon_skill[2] for part in parts])
    assert row.scores["horizon_2_skill"].seeds[1] == pytest.approx(expected, rel=1e-5)
    expected = np.mean([part.free_run.fc_corr for part in parts])
    assert row.scores["free_run_fc"].seeds[1] == pytest.approx(expected, rel=1e-4)


def test_differences_are_between_the_means(study: Study) -> None:
    ours = row_of(study, "connectome")
    for name in ("shuffle_signs", "no_drive", "mean", "var_ridge"):
        row = row_of(study, name)
        for horizon, key in ((1, "one_step_skill"), (2, "horizon_2_skill")):
            found = row.difference_at(horizon)
            expected = (ours.mean(key) or np.nan) - (row.mean(key) or np.nan)
            assert found.value == pytest.approx(expected, abs=1e-6)
            assert found.low is not None and found.high is not None and found.low_corrected is not None
            assert found.low < (found.value or 0) < found.high and found.low_corrected < found.low
    assert row_of(study, "no_drive").difference_at(1).outcome == "better"
    assert study.comparisons.rows == 4 and study.comparisons.count == 8


def test_a_study_that_was_killed_ends_where_one_that_was_not_does(folder: Path, study: Study) -> None:
    own = folder / "study" / "runs" / "connectome-seed3"
    base = study_config(configuration.read(folder / "config.json"))
    rows = study_rows(base, ("mean",))
    whole = runs.prepare(row_config(rows[0], base, 3)).fit()
    arrays, _ = read_arrays(own / "parameters.npz")
    for key in ("weights", "bias", "drive"):
        np.testing.assert_allclose(arrays[key], whole.params[key], rtol=1e-4, atol=1e-6)
    assert len(whole.history) == 13


def test_a_second_study_does_nothing_again(folder: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study_here(monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in (folder / "study").rglob("parameters.npz")}
    assert len(before) == 6
    scores = folder / "study" / "runs" / "shuffle_signs-seed4" / "scores.json"
    old = json.loads(scores.read_text())
    scores.write_text(json.dumps({key: value for key, value in old.items() if key != "format"}))
    options = StudyOptions(seeds=2, rows=("shuffle_signs", "mean"), jobs=1)
    again = run_study(folder, options)
    assert read_study(folder) == again
    assert {path: path.stat().st_mtime_ns for path in (folder / "study").rglob("parameters.npz")} == before
    # What an earlier version has scored is scored again, from the same fit.
    assert json.loads(scores.read_text())["scores"] == old["scores"]
    assert row_of(again, "shuffle_signs").scores == row_of(study, "shuffle_signs").scores


def test_metrics_hold_the_compact_study(folder: Path, study: Study) -> None:
    metrics = read_evaluation(folder)
    found = {row["name"]: row for row in (metrics.study or {})["rows"]}
    assert found["connectome"]["seeds"] == 2 and found["mean"]["difference"]["1"]["outcome"] == "better"
    assert (metrics.part("test").one_step.mse or 0) > 0
    assert read_study(folder).run == str(folder)


def test_files_are_those_of_the_schemas(folder: Path, study: Study) -> None:
    assert valid_results(folder) == {"study.json", "metrics.json", "record.json"}


def test_reproducibility_has_every_group(study: Study) -> None:
    found = {group.group: group for group in study.reproducibility.groups}
    assert set(found) == {"weights", "time_constants", "bias", "drive"}
    assert (found["drive"].start_pearson or 0) > 0.999 > (found["weights"].start_pearson or 1)
    assert all(group.change_pearson is not None and group.moved for group in found.values())
    assert {region.group for region in study.reproducibility.weights_by_region} == set("ABCDE")
    assert [ahead.frames_ahead for ahead in study.reproducibility.predictions] == [1, 2]


def test_other_options_are_refused(folder: Path, study: Study) -> None:
    options = StudyOptions(seeds=2, rows=("shuffle_signs",), settings=("train.learning_rate=0.02",))
    with pytest.raises(ConfigError, match=r"made with other options \(train.learning_rate\)"):
        run_study(folder, options)


def test_changed_data_are_refused(folder: Path, study: Study) -> None:
    plan = plan_study(folder, OPTIONS)
    task = plan.tasks[0]
    assert task.done()
    changed = replace(task, fingerprint="0" * 64)
    with pytest.raises(DataError, match="made from other data than the run has now"):
        changed.done()


def test_changed_recordings_are_refused_before_anything_is_fitted(folder: Path, study: Study) -> None:
    path = folder.parent / "movie1.npz"
    content = path.read_bytes()
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "values": arrays["values"] + 0.01})
    try:
        with pytest.raises(DataError, match="are not those that this run was made from"):
            run_study(folder, OPTIONS)
    finally:
        path.write_bytes(content)


def test_the_run_counts_as_a_seed_only_where_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("study"))
    assert all(task.run is None for task in plan_study(alone, OPTIONS).tasks)
    tasks = plan_study(alone, StudyOptions(seeds=2, settings=("model.weight_spread=0",))).tasks
    assert {task.name: task.run for task in tasks if task.run} == {"connectome-seed3": str(alone)}


def connfit(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_dry_run_shows_rows_and_time(folder: Path) -> None:
    ran = connfit("evaluate", folder, "--full", "--seeds", 2, "--dry-run")
    assert ran.exit_code == 0, ran.output
    assert "no_recurrence" in ran.output and "fits, " in ran.output and "min" in ran.output


def test_options_of_a_study_alone_are_refused(folder: Path) -> None:
    ran = connfit("evaluate", folder, "--rows", "mean")
    assert isinstance(ran.exception, ConfigError) and "--rows belongs to a study" in str(ran.exception)
    ran = connfit("evaluate", folder, "--full", "--rows", "rewire")
    assert isinstance(ran.exception, ConfigError) and "rewire_degrees" in str(ran.exception)


def test_a_process_that_dies_is_replaced_and_its_task_done(folder: Path, tmp_path: Path) -> None:
    """As where memory runs out for a moment: what was lost is done again, and what dies always fails alone."""
    plan = plan_study(folder, OPTIONS)
    fit = next(task for task in plan.tasks if task.row == "shuffle_signs")
    mean = next(task for task in plan.tasks if task.row == "mean")
    waiting: Queue[Task] = Queue()
    events: Queue[Message] = Queue()
    waiting.put(replace(mean, folder=str(tmp_path / "first")))
    waiting.put(replace(fit, folder=str(tmp_path / "fit"), run=None))
    waiting.put(replace(mean, folder=str(tmp_path / "last")))
    worker = Worker(waiting, events, TaskProcess(tmp_path / "log", os.environ))
    killed: set[int] = set()

    def kill_another() -> None:
        deadline = time.monotonic() + 20
        while (pid := worker.process.pid) is None or pid in killed:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    assert events.get(timeout=10) == Started(mean.name)
    kill_another()
    assert events.get(timeout=60) == Finished("mean-seed3")
    assert events.get(timeout=10) == Started(fit.name)
    for _ in range(1 + RETRIES):  # the first of these is the process that has done the mean
        kill_another()
    failed = events.get(timeout=10)
    assert isinstance(failed, Failed) and failed.task == fit.name and "by signal 9" in failed.why.reason
    assert events.get(timeout=10) == Started(mean.name)
    assert events.get(timeout=60) == Finished("mean-seed3")
    worker.stop()


def test_the_report_has_its_table_and_figures(folder: Path, study: Study) -> None:
    # Not of the folder: its file is of the rows that an earlier test asked for.
    text = "".join(study_blocks(study))
    skill = row_of(study, "shuffle_signs").mean("horizon_2_skill")
    assert number(skill) in text and study.verdict[0] in text
    assert escape(str(row_of(study, "gain_per_type_pair").reason)) in text
    drawn = {drawing.name: drawing.draw() for drawing in study_drawings(study)}
    assert set(drawn) == {"study_differences", "study_reproducibility"}
    labels = [label.get_text() for label in drawn["study_differences"].axes[0].get_yticklabels()]
    assert labels == ["no drive", "shuffle signs", "mean", "ridge VAR"]
    assert all(overlapping(figure) == [] for figure in drawn.values())
    assert all(len(axes.lines) >= 1 + 2 * len(labels) for axes in drawn["study_differences"].axes)
    bars = [patch.get_height() for patch in drawn["study_reproducibility"].axes[0].patches]
    assert bars[-4:] == [group.change_pearson for group in study.reproducibility.groups]


def test_every_key_that_is_asked_for_is_written_by_somebody(folder: Path, study: Study) -> None:
    """Report, terminal, figures, limitations and answers ask a study for no measure or horizon that it does not have.

    Fields are for the types to check.
    """
    missed: set[str] = set()

    def seen(row: StudyRow) -> StudyRow:
        difference = row.difference and Watched(row.difference, missed, "difference")
        return replace(row, scores=Watched(row.scores, missed, "scores"), difference=difference)

    strongest = Watched(study.strongest, missed, "strongest")
    walked = replace(study, rows=tuple(map(seen, study.rows)), strongest=strongest)
    verdict_sentences(walked)
    study_blocks(walked)
    for drawing in study_drawings(walked):
        drawing.draw()
    print_study(walked, Console(file=io.StringIO()))
    study_limits(walked)
    documents = {"metrics.json": read_evaluation(folder), STUDY_FILE: walked}
    assert len(answer_all(documents)) == 30
    assert missed == set()


def test_no_measure_is_null_for_every_row_without_a_reason(folder: Path, study: Study) -> None:
    short = {row["name"]: row for row in (read_evaluation(folder).study or {})["rows"]}
    done = [row for row in study.rows if row.seeds]
    assert {"coverage_80", "coverage_95", "one_step_median_unit"} < {column.key for column in study.measures}
    for column in study.measures:
        found = [row.scores[column.key] for row in done]
        whys = [score.reason for score in found if score.mean is None]
        assert len(whys) < len(found) or not {None, "", "not computed"} & set(whys), (column.key, whys)
        assert all(column.key in row["scores"] for row in short.values())


def test_the_walk_sees_a_key_that_nobody_writes(study: Study) -> None:
    """The control of the tests above: a column that asks for another level of coverage, as one did."""
    missed: set[str] = set()
    seen = watched({"calibration": {"coverage": {"80": 0.8}}}, missed)
    assert seen["calibration"]["coverage"].get("90") is None
    assert missed == {"/calibration/coverage/90"}


def test_the_terminal_shows_rows_and_differences(study: Study) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_study(study, console)
    text = console.export_text()
    found = row_of(study, "no_drive").difference_at(1)
    assert f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]*" in text
    median = found.median_unit
    assert f"{median.value:+.3f} [{median.low:+.3f}, {median.high:+.3f}]" in text and "median unit" in text
    assert number(row_of(study, "no_drive").mean("one_step_median_unit")) in text
    assert "gain per type pair" in text and "predictions one frame ahead" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_cuts_no_number_of_a_study(width: int, study: Study) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    print_study(study, console)
    text = console.export_text()
    assert "…" not in text
    for row in study.compared():
        for found in (row.difference or {}).values():
            if found.low is not None:
                assert f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in text


# Rows


def config_with(**model: Any) -> Config:
    return configuration.from_dict({"data": {"dataset": "worm"}, "model": model})


def names(config: Config) -> set[str]:
    return {row.name for row in study_rows(config, ("mean",))}


def test_an_option_that_the_fit_has_is_no_ablation() -> None:
    assert {"no_drive", "anatomical_drive"} < names(config_with()) and "dense_drive" not in names(config_with())
    gains = names(config_with(strengths="gain_per_neuron", drive="anatomical", learned_readout=True))
    assert {"free_strengths", "dense_drive"} < gains
    assert not {"gain_per_neuron", "anatomical_drive", "learned_readout"} & gains


def test_rows_that_state_forcing_changes() -> None:
    """No row is refused for what the fit forces, and none is handicapped by what was chosen with a drive."""
    assert "no_state_forcing" not in names(config_with(state_forcing=0.0))
    assert "no_state_forcing" in names(config_with())  # what the recipe finds may force
    forced = {row.name: row.model for row in study_rows(config_with(state_forcing=1.5), ("mean",))}
    assert forced["no_drive"] == {"drive": "none", "state_forcing": 1.0}
    assert forced["no_state_forcing"] == {"state_forcing": 0.0}
    assert forced["learned_readout"] == {"learned_readout": True, "state_forcing": 0.0}
    below = {row.name: row.model for row in study_rows(config_with(state_forcing=0.5), ("mean",))}
    assert below["no_drive"] == {"drive": "none"}


@pytest.mark.parametrize(
    ("row", "learned"),
    [
        ("connectome", ("weights", "time_constants", "bias", "drive")),
        ("no_drive", ("weights", "time_constants", "bias")),
        ("learned_readout", ("weights", "time_constants", "bias", "drive", "readout")),
        ("frozen_time_constants", ("weights", "bias", "drive")),
        ("fixed_strengths", ("time_constants", "bias", "drive")),
        ("gain_per_neuron", ("gains", "time_constants", "bias", "drive")),
        ("erdos_renyi", ("weights", "time_constants", "bias", "drive")),
    ],
)
def test_what_each_row_learns(row: str, learned: tuple[str, ...]) -> None:
    base = config_with(learn=["weights", "time_constants", "bias", "drive"])
    chosen = next(one for one in study_rows(base, ()) if one.name == row)
    assert row_config(chosen, base, 7).model.learn == learned
    assert row_config(chosen, base, 7).seed == 7


def test_rows_differ_from_the_connectome_in_what_they_say_alone() -> None:
    base = study_config(config_with(learn=["weights", "time_constants", "bias", "drive"]))
    assert base.model.weight_spread == WEIGHT_SPREAD
    for row in study_rows(base, ()):
        made = row_config(row, base, 0)
        assert made.evaluate == base.evaluate
        if row.group != "learning":
            assert made.train == base.train and made.learner == base.learner
        assert (made.data.null == row.name) == (row.group == "null")
        if row.group == "null":
            assert made.model == base.model
    fixed = next(row for row in study_rows(base, ()) if row.name == "fixed_strengths")
    assert row_config(fixed, base, 0).model.weight_spread == 0


def test_a_spread_of_the_fit_itself_is_kept() -> None:
    assert study_config(config_with(weight_spread=0.2)).model.weight_spread == 0.2


def test_a_fit_to_a_null_connectome_has_no_study() -> None:
    config = configuration.from_dict({"data": {"dataset": "worm", "null": "erdos_renyi"}})
    with pytest.raises(ConfigError, match="itself on a null connectome"):
        study_rows(config, ())


def test_the_thirty_questions_quote_it(folder: Path, study: Study) -> None:
    answers = check_numbers(folder)
    assert answers["across_seeds"]["status"] == answers["null_connectomes"]["status"] == "answered"
    seeds = len(study.rows[0].seeds)
    assert answers["across_seeds"]["answer"].startswith(f"Over {seeds} seeds, parameter by parameter: ")


def test_study_json_is_strict(folder: Path, study: Study) -> None:
    text = (folder / "study" / "study.json").read_text()
    assert "NaN" not in text and json.loads(text)["rows"][0]["name"] == "connectome"
