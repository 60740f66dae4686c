"""Whatever interrupts a fit, resuming it ends at the numbers of an uninterrupted one, bit for bit."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import OPTIONS, first_fast, raw_movies, teacher, write_files

from connfit import config as configuration
from connfit._io import plain, read_arrays, write_arrays, write_json
from connfit.errors import DataError
from connfit.evaluation.evaluate_run import ANALYSIS, STUDY, evaluate_run
from connfit.evaluation.evaluated import NullScores
from connfit.training import checkpoints, problem, runs
from connfit.training.fit import FitState, Progress
from connfit.training.fit_brain import fit
from connfit.training.fitted import Fit

TIMING = {"ms_per_step", "seconds"}
SHORT = ("train.epochs=1", "train.free_run_epochs=0", "evaluate.baselines=[]", "evaluate.left_out_units=0")


def result(out: Path) -> dict[str, Any]:
    """Everything that a run leaves behind and that does not depend on the clock."""
    found: dict[str, Any] = {}
    for name in ("parameters", "parameters_initial", "checkpoints/latest"):
        arrays, meta = read_arrays(out / f"{name}.npz")
        meta.pop("performance", None)
        meta["history"] = [
            {key: value for key, value in row.items() if key not in TIMING} for row in meta.get("history", ())
        ]
        found[name] = ({key: (value.dtype.str, value.tobytes()) for key, value in arrays.items()}, meta)
    with (out / "history.csv").open(newline="") as file:
        found["history"] = [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]
    if (out / "metrics.json").exists():
        found["metrics"] = {
            k: v for k, v in json.loads((out / "metrics.json").read_text()).items() if k != "performance"
        }
    return found


class Interruption(BaseException):
    """As abrupt as an interrupt from the keyboard."""


def interrupt_after(epochs: int) -> Any:
    """A progress display that stops the fit at the end of its (epochs + 1)th epoch, before that is checkpointed."""
    ends = 0

    def on_progress(now: Progress) -> None:
        nonlocal ends
        ends += now.window == now.windows
        if ends > epochs:
            raise Interruption

    return on_progress


def test_training_begins_without_the_pages_of_the_connectome(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fits: checks and the start have read all of them."""
    job, seen = runs.prepare(own(files)), []

    def train(*_: Any, **__: Any) -> Any:
        seen.append("trained")
        raise Interruption

    monkeypatch.setattr(type(job.connectome), "release_pages", lambda _: seen.append("released"))
    monkeypatch.setattr(problem, "train", train)
    with pytest.raises(Interruption):
        job.fit()
    assert seen == ["released", "trained"]


def fit_in_pieces(config: configuration.Config, out: Path, epochs: int) -> tuple[Fit, int]:
    """Fit with an interruption after every `epochs` epochs; also how many there were."""
    interruptions = 0
    while True:
        try:
            if not (out / "config.json").exists():
                return runs.start(config, out, on_progress=interrupt_after(epochs)), interruptions
            return runs.resume(out, on_progress=interrupt_after(epochs)), interruptions
        except Interruption:
            interruptions += 1
            assert interruptions < 50, "no progress"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


def own(files: Path, *assignments: str) -> configuration.Config:
    return configuration.override(configuration.read(files / "own.toml"), assignments)


VARIANTS = {
    "two phases, single recordings in random order": ((), 1),
    "only some groups are learned": (('model.learn=["bias", "drive"]',), 2),
    "checkpoints every second epoch": (("train.checkpoint_every=2",), 2),
    "early stopping by horizon": (
        ("train.epochs=9", "train.patience=3", "train.learning_rate=0.05", "train.select_on=horizon"), 1,
    ),
    "D-RTRL without validation": (
        ("learner.credit=neuron", "data.validation=0", "train.free_run_epochs=0"), 1,
    ),
    "one gain per pair of types": (
        ("model.strengths=gain_per_type_pair", "data.connectome.type=region", "model.weight_spread=0.3"), 2,
    ),
    "RMSprop without credit through time": (
        ("train.optimiser=rmsprop", "learner.credit=neuron", "learner.carry=none", "learner.window=1"), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", first_fast(VARIANTS, 2))
def test_interrupted_after_every_epoch(files: Path, tmp_path: Path, variant: str) -> None:
    assignments, epochs = VARIANTS[variant]
    config = own(files, *assignments)
    whole = runs.start(config, tmp_path / "whole")
    assert (len(whole.history) < config.train.epochs + config.train.free_run_epochs) == ("early" in variant)
    _, interruptions = fit_in_pieces(config, tmp_path / "pieces", epochs)
    assert interruptions >= 2
    assert result(tmp_path / "pieces") == result(tmp_path / "whole")


def test_interrupted_before_the_first_checkpoint(files: Path, tmp_path: Path) -> None:
    config = own(files)
    runs.start(config, tmp_path / "whole")
    with pytest.raises(Interruption):
        runs.start(config, tmp_path / "cut", on_progress=interrupt_after(0))
    assert not (tmp_path / "cut" / "checkpoints" / "latest.npz").exists()
    runs.resume(tmp_path / "cut")
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_resuming_a_finished_run_changes_nothing(files: Path, tmp_path: Path) -> None:
    first = runs.start(own(files), tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = runs.resume(tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert again.history == first.history and again.performance == first.performance
    for key, value in first.params.items():
        np.testing.assert_array_equal(again.params[key], value)


def test_a_run_killed_between_its_last_checkpoint_and_its_parameters(files: Path, tmp_path: Path) -> None:
    runs.start(own(files), tmp_path / "run")
    whole = result(tmp_path / "run")
    (tmp_path / "run" / "parameters.npz").unlink()
    table = tmp_path / "run" / "history.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))  # the checkpoint comes before it
    runs.resume(tmp_path / "run")
    assert result(tmp_path / "run") == whole


def test_what_a_kill_leaves_half_written_is_not_used_and_cleared_away(files: Path, tmp_path: Path) -> None:
    config = own(files)
    runs.start(config, tmp_path / "whole")
    with pytest.raises(Interruption):
        runs.start(config, tmp_path / "cut", on_progress=interrupt_after(2))
    parts = [tmp_path / "cut" / name for name in ("checkpoints/.latest.npz.99999.part", ".history.csv.99999.part")]
    for part in parts:
        part.write_bytes(b"half a ")
    runs.resume(tmp_path / "cut")
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    assert not any(part.exists() for part in parts)


def test_killed_at_write_events_of_a_fit_and_its_evaluation(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs after a kill: temporary files and the lock's file stay, and the next command sweeps them."""
    config = own(
        files, "train.epochs=1", "train.free_run_epochs=0", "evaluate.baselines=[]", "evaluate.left_out_units=0"
    )
    real_replace, unlink, events, dead = os.replace, Path.unlink, 0, False

    def go_on(out: Path) -> None:
        fitted = runs.resume(out) if (out / "config.json").exists() else runs.start(config, out)
        evaluate_run(fitted, out)

    def replaced(*names: Path) -> None:
        nonlocal events, dead
        events += 1
        if events == at:
            dead = True
            raise Interruption
        real_replace(*names)

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: None if dead else unlink(path, missing_ok))
    at, whole = 0, tmp_path / "whole"
    go_on(whole)
    for at in np.linspace(1, events, 6).round():
        out, events, dead = tmp_path / f"killed at {at:.0f}", 0, False
        with pytest.raises(Interruption):
            go_on(out)
        assert len(list(out.rglob("*.part"))) >= 1
        at, dead = 0, False
        go_on(out)
        assert result(out) == result(whole), out
        assert [path.relative_to(out) for path in sorted(out.rglob("*"))] == [
            path.relative_to(whole) for path in sorted(whole.rglob("*"))
        ]


def test_data_of_another_run_are_copied_again_where_that_was_interrupted(tmp_path: Path) -> None:
    first = fit(teacher()[0], raw_movies(), **{**OPTIONS, "epochs": 1}, out=tmp_path / "first", progress=False)
    (tmp_path / "second" / "data").mkdir(parents=True)
    (tmp_path / "second" / "data" / "recordings.npz").write_bytes(b"half a ")
    again = runs.start(configuration.read(tmp_path / "first" / "config.json"), tmp_path / "second")
    for key, value in first.params.items():
        np.testing.assert_array_equal(again.params[key], value)


def test_an_evaluation_again_keeps_what_a_study_an_analysis_and_nulls_added(files: Path, tmp_path: Path) -> None:
    fitted = runs.start(own(files, *SHORT), tmp_path)
    before = replace(
        evaluate_run(fitted, tmp_path), study={"verdict": []}, analysis={"findings": []}, nulls={"a": NullScores()}
    )
    for name in (STUDY, ANALYSIS):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    write_json(tmp_path / "metrics.json", before)
    evaluate_run(runs.load_fit(tmp_path), tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == plain(before)
    (tmp_path / STUDY).unlink()
    assert evaluate_run(runs.load_fit(tmp_path), tmp_path).study is None


def test_a_damaged_checkpoint_is_named(files: Path, tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        runs.start(own(files), tmp_path / "run", on_progress=interrupt_after(2))
    path = tmp_path / "run" / "checkpoints" / "latest.npz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"latest.npz: damaged, or not written by connfit"):
        runs.resume(tmp_path / "run")
    path.unlink()
    runs.resume(tmp_path / "run")


def test_the_state_in_a_checkpoint_is_the_state_of_the_fit(files: Path, tmp_path: Path) -> None:
    """Adam's moments and counter included, or the first steps after resuming would be others."""
    path = tmp_path / "state.npz"
    states = []

    def keep(state: FitState) -> None:
        checkpoints.write_state(path, state, "adam")
        states.append(checkpoints.read_state(path))

    runs.prepare(own(files)).fit(on_epoch=keep)
    middle = states[1]
    assert int(middle.optimiser.count) == 2 * 30 and not middle.finished  # 15 windows of each of two recordings
    assert all(np.abs(middle.optimiser.mu[key]).max() > 0 for key in middle.params)
    assert all(np.abs(middle.optimiser.nu[key]).max() > 0 for key in middle.params)
    checkpoints.write_state(path, middle, "adam")
    again = checkpoints.read_state(path)
    arrays = ("params", "best_params", "optimiser")
    facts = [{key: value for key, value in vars(one).items() if key not in arrays} for one in (again, middle)]
    assert facts[0] == facts[1] and facts[0]["history"]


def test_checkpoints_of_releases_that_knew_adam_alone_are_read(files: Path, tmp_path: Path) -> None:
    """They hold `count`, `mu/...` and `nu/...`, and no name of the optimiser."""
    whole = runs.start(own(files), tmp_path / "whole")
    with pytest.raises(Interruption):
        runs.start(own(files), tmp_path / "cut", on_progress=interrupt_after(2))
    path = tmp_path / "cut" / "checkpoints" / "latest.npz"
    arrays, meta = read_arrays(path)
    assert meta.pop("optimiser") == "adam"
    names = {key.partition("/")[0] for key in arrays}
    assert names == {"params", "best", "mu", "nu", "count"}
    write_arrays(path, arrays, meta)
    again = runs.resume(tmp_path / "cut")
    for key, value in whole.params.items():
        np.testing.assert_array_equal(again.params[key], value)


# Killed from outside

IMPORTS = "import sys; from connfit import config; from connfit.training import runs; "
FIT = IMPORTS + "runs.start(config.read(sys.argv[1]), sys.argv[2])"
RESUME = IMPORTS + "runs.resume(sys.argv[2])"


class Killer:
    """Starts a fit or its continuation over and over, kills it at random moments and keeps count.

    Every other kill comes at any moment from the start of the process on, the others after a
    checkpoint of this process, so that fits are hit as well as imports and compilation.
    """

    def __init__(self, config: Path, work: Path, *, by_command_line: bool) -> None:
        self.config, self.work, self.by_command_line = config, work, by_command_line
        self.kills = self.finished = self.unfinished_checkpoints = 0

    def start(self, out: Path) -> subprocess.Popen:
        going_on = (out / "config.json").exists()
        if self.by_command_line:
            arguments = ["resume", out] if going_on else ["fit", self.config, "--out", out]
            command = [sys.executable, "-m", "connfit", *map(str, arguments)]
        else:
            command = [sys.executable, "-c", RESUME if going_on else FIT, str(self.config), str(out)]
        with (self.work / "stderr.txt").open("wb") as stderr:
            return subprocess.Popen(command, cwd=self.work, stdout=subprocess.DEVNULL, stderr=stderr)

    def finish(self, process: subprocess.Popen, timeout: float) -> bool:
        """Whether it ends by itself within `timeout` seconds; it must then have ended well."""
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        assert process.returncode == 0, (self.work / "stderr.txt").read_text()
        self.finished += 1
        return True

    def kill_at_random(self, out: Path, rng: np.random.Generator, whole_s: float, training_s: float) -> bool:
        """Whether the process was killed (it may end before)."""
        process = self.start(out)
        checkpoint = out / runs.CHECKPOINT
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        delay = rng.uniform(0, whole_s)
        if self.kills % 2:
            while process.poll() is None and (checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0) == before:
                time.sleep(0.005)
            delay = rng.uniform(0, 0.4 * training_s)  # well before the last epoch, on a busy machine too
        if self.finish(process, delay):
            return False
        process.kill()
        process.wait()
        self.kills += 1
        self.unfinished_checkpoints += checkpoint.exists() and not checkpoints.read_state(checkpoint).finished
        return True


def kill_and_resume(files: Path, work: Path, kills: int, *, epochs: int, by_command_line: bool) -> Killer:
    config = files / "long.toml"
    text = (files / "own.toml").read_text()
    config.write_text(text.replace("\nepochs = 4", f"\nepochs = {epochs}\npatience = {epochs}"))
    killer = Killer(config, work, by_command_line=by_command_line)
    whole, whole_s = work / "whole", 6.0
    if by_command_line:
        began = time.perf_counter()
        assert killer.finish(killer.start(whole), 300)
        whole_s = time.perf_counter() - began
    else:
        runs.start(configuration.read(config), whole)  # in this process, which has compiled it already
    expected = result(whole)
    with (whole / "history.csv").open(newline="") as file:
        training_s = sum(float(row["seconds"]) for row in csv.DictReader(file))
    rng = np.random.default_rng(kills)
    number = 0
    while killer.kills < kills:
        out = work / f"run {number}"
        if not killer.kill_at_random(out, rng, whole_s, training_s):
            assert result(out) == expected
            number += 1
    out = work / f"run {number}"
    assert killer.finish(killer.start(out), 300)
    assert result(out) == expected
    return killer


@pytest.mark.slow
def test_killed_three_times(files: Path, tmp_path: Path) -> None:
    killer = kill_and_resume(files, tmp_path, 3, epochs=60, by_command_line=False)
    assert killer.unfinished_checkpoints >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_twenty_times(files: Path, tmp_path: Path) -> None:
    killer = kill_and_resume(files, tmp_path, 20, epochs=300, by_command_line=True)
    assert killer.kills == 20 and killer.unfinished_checkpoints >= 5
    assert (tmp_path / "whole" / "metrics.json").exists()
