"""The command line: what it prints, its exit codes, and one line instead of a traceback for a user's mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import write_files
from typer.testing import CliRunner
from valid import valid_results

from connfit import cli, report
from connfit._io import read_arrays
from connfit._version import __version__
from connfit.cli import fit_command
from connfit.training import runs as run

pytestmark = pytest.mark.usefixtures("dots")


class Ran:
    """Exit code, stdout and stderr of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def mistake(self) -> str:
        """The one line that a user's mistake is worth."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("connfit: "), self.err
        return lines[0]


@pytest.fixture
def connfit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Run `connfit` as the installed command does, in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["connfit", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take seconds."""
    monkeypatch.setattr(report, "write_report", lambda out: out / "report.html")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder, whole_evaluation=True)
    return folder


@pytest.fixture(scope="module")
def finished(files: Path) -> tuple[Path, str]:
    """A run made by the command line, and what it printed."""
    out = files / "finished"
    arguments = ["fit", str(files / "own.toml"), "--out", str(out), "--epochs", "2"]
    forgotten: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["connfit", *arguments])  # from which the run records its command
        patch.setattr(fit_command, "forget_programs", lambda: forgotten.append((out / "parameters.npz").exists()))
        ran = CliRunner().invoke(cli.app, arguments)
    assert ran.exit_code == 0, ran.output
    assert forgotten == [False, True], "programs are forgotten before the fit and before its evaluation"
    return out, ran.output


def test_results_are_those_of_the_schemas(finished: tuple[Path, str]) -> None:
    assert valid_results(finished[0]) == {"record.json", "metrics.json", "questions.json"}


def test_the_installed_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "connfit", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, f"connfit {__version__}", "")


def test_a_mistake_is_one_line_in_a_process_of_its_own(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-m", "connfit", "fit", "wurm"], capture_output=True, text=True, cwd=tmp_path)
    line = Ran(ran.returncode, ran.stdout, ran.stderr).mistake()
    assert "wurm" in line and "did you mean 'worm'" in line
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command(connfit) -> None:
    ran = connfit("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in ("demo", "fit", "resume", "evaluate", "report", "data"))
    for command in ("demo", "fit", "resume", "evaluate", "report"):
        assert connfit(command, "--help").code == 0
    assert connfit("--version").out.strip() == f"connfit {__version__}"


def test_datasets_are_listed_and_described(connfit) -> None:
    listed = connfit("data", "list")
    assert listed.code == 0 and "worm" in listed.out and "demo" in listed.out and "generated" in listed.out
    info = connfit("data", "info", "demo")
    assert info.code == 0 and "SURROGATE" in info.out.upper() and "2000" in info.out
    worm = connfit("data", "info", "worm")
    assert worm.code == 0 and all(word in worm.out for word in ("licence", "citation", "elegans", "10."))


def test_fit_says_what_it_fits_and_where_the_report_is(finished: tuple[Path, str]) -> None:
    out, printed = finished
    assert "40 neurons, 195 connections; 2 recordings, 8 units" in printed
    assert "8 of 8 units match" in printed
    assert (
        "595 parameters (weights 195, time_constants 40, bias 40, drive 320) for 1,824 training observations" in printed
    )
    assert "teacher-forced epoch 2/2" in printed and "free-running epoch 2/2" in printed
    assert f"report: {out / 'report.html'}" in printed
    assert all(column in printed for column in ("model", "mean", "ridge", "VAR", "one step", "skill"))


def test_the_run_directory_of_fit(finished: tuple[Path, str]) -> None:
    out, _ = finished
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "config.json", "record.json", "connectome.h5", "history.csv", "parameters_initial.npz", "parameters.npz",
        "checkpoints", "metrics.json", "forecasts.npz", "figures", "report.html",
    }  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"] == "edges" and metrics["seed"] == 3 and metrics["surrogate"] is False
    assert metrics["connfit"] == __version__
    assert metrics["parameters"] == {"weights": 195, "time_constants": 40, "bias": 40, "drive": 320}
    assert metrics["observations"] == {"train": 1824, "validation": 640, "test": 640}
    assert metrics["observed"] == {"train": 1920, "validation": 640, "test": 640}
    assert set(metrics["parts"]) == set(metrics["at_initialisation"]) == {"train", "validation", "test"}
    assert {"mse", "skill_vs_persistence", "fc_corr"} <= set(metrics["parts"]["test"]["one_step"])
    assert set(metrics["baselines"]) == {"mean", "persistence", "ar", "var_ridge", "var_around_ar", "reduced_rank"}
    assert {"ms_per_step", "first_step_s", "peak_rss_bytes", "steps"} <= set(metrics["performance"])
    assert json.loads((out / "record.json").read_text())["command"].startswith("connfit fit ")


def test_options_of_fit_reach_the_configuration(connfit, files: Path, not_drawn: None) -> None:
    ran = connfit(
        "fit", files / "own.toml", "--out", files / "options", "--epochs", 0, "--window", 4, "--credit", "neuron",
        "--carry", "history", "--drive", "none", "--seed", 9, "--set", "train.free_run_epochs=0",
        "--set", "learner.history=6", "--set", "evaluate.baselines=[]",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    config = json.loads((files / "options" / "config.json").read_text())
    chosen = {"preset": None, "window": 4, "credit": "neuron", "carry": "history", "history": 6, "rule_options": {}}
    assert config["learner"] == {**chosen, "trace_dtype": "float32", "trace_decay": 0.9}
    assert (config["train"]["epochs"], config["model"]["drive"], config["seed"]) == (0, "none", 9)
    fitted, start = (read_arrays(files / "options" / f"parameters{name}.npz")[0] for name in ("", "_initial"))
    assert all(np.array_equal(fitted[key], start[key]) for key in start)


def test_a_preset_sets_both_dials(connfit, files: Path, not_drawn: None) -> None:
    folder = files / "preset"
    quick = ("--epochs", 0, "--set", "train.free_run_epochs=0", "--set", "evaluate.baselines=[]")
    ran = connfit("fit", files / "own.toml", "--out", folder, "--preset", "tbptt", *quick)
    assert ran.code == 0, ran.err
    learner = json.loads((folder / "config.json").read_text())["learner"]
    assert (learner["credit"], learner["carry"]) == ("network", "none")
    before = (folder / "metrics.json").read_bytes()
    again = connfit("evaluate", folder)  # a run without a single epoch is a finished one
    assert again.code == 0, again.err
    assert (folder / "metrics.json").read_bytes() == before


def test_a_report_is_drawn_again_from_the_files_of_a_run(connfit, finished: tuple[Path, str]) -> None:
    out, _ = finished
    (out / "report.html").unlink()
    ran = connfit("report", out)
    assert ran.code == 0 and ran.out.strip() == f"report: {out / 'report.html'}"
    assert (out / "report.html").stat().st_size > 10_000


def test_a_finished_run_is_evaluated_and_resumed_again(connfit, finished: tuple[Path, str], not_drawn: None) -> None:
    out, _ = finished
    before = {name: (out / name).read_bytes() for name in ("metrics.json", "parameters.npz", "history.csv")}
    for command in ("evaluate", "resume"):
        for name in ("metrics.json", "forecasts.npz"):
            (out / name).unlink()
        ran = connfit(command, out)
        assert ran.code == 0 and f"report: {out / 'report.html'}" in ran.out
        took = r"^time: [\d.]+ s \(.*scores of the model [\d.]+ s.*\); memory: [\d.]+ GB at peak$"
        assert re.search(took, ran.out, re.MULTILINE), command
        assert (out / "forecasts.npz").exists()
        assert {name: (out / name).read_bytes() for name in before} == before, command


def test_a_run_is_resumed_on_devices_that_are_there(connfit, finished: tuple[Path, str], not_drawn: None) -> None:
    out, _ = finished
    before = (out / "config.json").read_bytes()
    assert "train.devices = 'some'" in connfit("resume", out, "--devices", "some").mistake()
    assert "train.devices = 99: JAX finds" in connfit("resume", out, "--devices", "99").mistake()
    assert connfit("resume", out, "--devices", "all").code == 0
    assert (out / "config.json").read_bytes() == before


def test_a_run_directory_of_its_own_where_none_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.terminal.free_folder("worm") == Path("runs/worm")
    for name in ("worm", "worm-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").touch()
    assert cli.terminal.free_folder("worm") == Path("runs/worm-3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "wrom"], ["'wrom'", "did you mean 'worm'"]),
        (["fit", "demo", "--recording", "9"], ["'demo/9'", "demo/1, demo/2, demo/3, demo/4"]),
        (["fit", "absent.toml"], ["absent.toml", "no such configuration file"]),
        (["fit", "{files}/broken.toml"], ["broken.toml", "not valid TOML"]),
        (["fit", "{files}/unknown.toml"], ["unknown.toml", "no option 'epoch'", "did you mean 'epochs'"]),
        (["fit", "{files}/lost.toml"], ["edges_that_are_not_there.csv"]),
        (["fit", "{files}/own.toml", "--set", "train.epoch=3"], ["'epoch'", "did you mean 'epochs'"]),
        (["fit", "{files}/own.toml", "--set", "train.epochs=three"], ["train.epochs", "Expected `int`"]),
        (["fit", "{files}/own.toml", "--set", "epochs"], ["write it as section.key=value"]),
        (["fit", "{files}/own.toml", "--credit", "neurons"], ["learner.credit", "neurons"]),
        (["fit", "{files}/own.toml", "--drive", "denze"], ["model.drive", "denze"]),
        (["fit", "{files}/own.toml", "--window", "0"], ["learner.window", "`int` >= 1"]),
        (["fit", "{files}/own.toml", "--recording", "all"], ["data.recordings"]),
        (["fit", "{files}/own.toml", "--out", "{files}/finished"], ["holds a run already"]),
        (["fit", "{files}/own.toml", "--out", "{files}/own.toml"], ["is a file"]),
        (["fit", "{files}/own.toml", "--set", "model.spectral_radius=-1"], ["spectral_radius"]),
        (["resume", "{files}/nothing"], ["no run here"]),
        (["resume", "{files}"], ["no run here"]),
        (["evaluate", "{files}/nothing"], ["no run here"]),
        (["report", "{files}/nothing"], ["nothing"]),
        (["data", "info", "wurm"], ["'wurm'", "did you mean 'worm'"]),
        (["demo", "--set", "modle.drive=none"], ["'modle'", "did you mean 'model'"]),
    ],
    ids=lambda value: " ".join(value).replace("{files}/", "") if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(
    connfit, files: Path, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    arguments: list[str], words: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    text = (files / "own.toml").read_text()
    (files / "broken.toml").write_text("train = [")
    (files / "unknown.toml").write_text(text.replace("\nepochs = ", "\nepoch = "))
    (files / "lost.toml").write_text(text.replace('"edges.csv"', '"edges_that_are_not_there.csv"'))
    line = connfit(*(argument.replace("{files}", str(files)) for argument in arguments)).mistake()
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    "arguments", [["fitt"], ["fit"], ["fit", "demo", "--epochs", "three"], ["resume"], ["fit", "demo", "--epoch", "3"]]
)
def test_usage_errors_end_with_the_same_code(connfit, arguments: list[str]) -> None:
    ran = connfit(*arguments)
    assert ran.code == 2 and "Usage" in ran.err and "Traceback" not in ran.err


def test_without_a_command_it_shows_its_help(connfit) -> None:
    ran = connfit()
    assert "Usage" in ran.out + ran.err and "Traceback" not in ran.err


def test_a_fit_that_diverges_ends_with_one_line(connfit, files: Path) -> None:
    ran = connfit("fit", files / "own.toml", "--out", files / "hot", "--set", "train.learning_rate=1e30")
    last = ran.err.strip().splitlines()[-1]
    assert ran.code == 2 and "Traceback" not in ran.err
    assert last.startswith("connfit: the gradient of ") and "is not finite in window 1 (model step 8)" in last


def test_an_interrupt_says_how_to_go_on(connfit, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for started in (False, True):
        out = files / f"cut {started}"
        if started:
            out.mkdir()
            (out / "config.json").touch()
        monkeypatch.setattr(run, "start", interrupted)
        ran = connfit("fit", files / "own.toml", "--out", out)
        hint = f"; go on with `connfit resume {out}`" if started else ""
        assert (ran.code, ran.err.strip()) == (130, f"connfit: interrupted{hint}")
