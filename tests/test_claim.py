"""A run directory belongs to one process at a time, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import pytest
from small import OPTIONS, raw_movies, regional_connectome, write_files

from connfit._system import hdf5_guard
from connfit._system.claim import claimed, tidy
from connfit._system.paths import unfinished
from connfit.cli import main
from connfit.errors import BusyError, ConfigError, DataError
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.training import runs
from connfit.training.fit_brain import prepare_fit

HOLD = """
import sys
from connfit._system import hdf5_guard
from connfit._system.claim import claimed, tidy
with claimed(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path):
    """A folder that another process holds."""
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield folder, process
        process.kill()


def test_a_second_process_is_told_who_holds_the_folder(held) -> None:
    folder, process = held
    with pytest.raises(BusyError, match=f"in use by process {process.pid} on"), claimed(folder):
        pass
    assert (folder / ".lock").exists()


def test_a_killed_process_holds_nothing_and_its_parts_are_swept(held) -> None:
    folder, process = held
    (folder / f".record.json.{process.pid}.part").write_text("{")
    process.kill()
    process.wait()
    tidy(folder)
    assert not list(folder.iterdir())


def test_only_what_connfit_left_unfinished_is_swept(held, tmp_path: Path) -> None:
    """Not hidden files of others that end alike, and not those of a process that is at work further in."""
    folder, _ = held
    mine, theirs = unfinished(tmp_path / "store"), tmp_path / ".video.part"
    mine.mkdir()
    (mine / "connectome.h5").touch()
    theirs.touch()
    (working := unfinished(folder / "history.csv")).touch()
    with claimed(tmp_path):
        assert working.exists() and theirs.exists() and not mine.exists()


def test_who_may_wait_waits_and_says_for_whom(held, capfd: pytest.CaptureFixture[str]) -> None:
    folder, process = held
    threading.Timer(0.3, process.kill).start()
    with claimed(folder, wait=True):
        process.wait()
    assert f"is in use by process {process.pid} on" in capfd.readouterr().err


FIT = """
import sys
from pictures import only_dots
from connfit.cli import main
only_dots()
main()
"""
NO_LOCKS = """
import errno, fcntl, os, sys
def flock(*_):
    raise OSError(int(sys.argv[2]), os.strerror(int(sys.argv[2])))
fcntl.flock = flock
"""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_drive_without_locks_has_marks(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    folder = tmp_path / "new" / "run"
    with pytest.warns(UserWarning, match=r"has no locks: \.lock\.mark marks it as in use"), claimed(folder):
        with claimed(folder):
            pass
        assert (folder / ".lock.mark").exists(), "the inner claim released the outer one"
    assert not list(tmp_path.iterdir())
    command = [sys.executable, "-W", "ignore", "-c", NO_LOCKS + HOLD, str(folder), str(number)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        (working := unfinished(folder / "history.csv")).touch()
        with pytest.raises(BusyError, match=rf"in use by process {process.pid} on .*delete .*\.lock\.mark"):
            with claimed(folder):
                pass
        with pytest.warns(UserWarning), claimed(tmp_path):
            assert working.exists(), "of a process that is at work further in"
        process.kill()
        process.wait()
    (folder / ".lock.mark").unlink(missing_ok=True)
    with pytest.warns(UserWarning), claimed(folder):
        assert not working.exists()


def test_hdf5_files_on_a_drive_without_locks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brain, given = regional_connectome(), h5py.File
    brain.save(tmp_path / "brain.h5")

    def refused(path: Path, mode: str, *, locking: bool = True) -> h5py.File:
        if locking:
            raise OSError(errno.ENOLCK, "unable to lock file")
        return given(path, mode, locking=False)

    monkeypatch.setattr("connfit._system.hdf5_guard.h5py.File", refused)
    with hdf5_guard.opened(tmp_path / "brain.h5") as file:
        assert "neurons" in file


def test_two_fits_from_python_never_mix(tmp_path: Path) -> None:
    """The second has looked at the folder before the first made it a run, and is ready only after it has ended."""
    brain, out = regional_connectome(), tmp_path / "run"
    quick = {**OPTIONS, "epochs": 1, "free_run_epochs": 0}
    fitted, other = (prepare_fit(brain, raw_movies(), **{**quick, "seed": seed}) for seed in (3, 4))
    with claimed(out):
        runs.check_free(out)
        runs.start_job(fitted, out)
    with pytest.raises(ConfigError, match="holds a run already"):
        runs.start_job(other, out)
    with pytest.raises(DataError, match="the run of another fit"):
        evaluate_run(other.fit(), out)
    (out / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"holds checkpoints/latest.npz of another run, without its config.json"):
        runs.start_job(other, out)


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError), claimed(tmp_path / "a" / "b"):
        raise ValueError
    assert not (tmp_path / "a").exists()
    with claimed(tmp_path / "a" / "b") as folder:
        (folder / "kept").touch()
        with claimed(folder):
            pass
        assert (folder / ".lock").exists(), "the inner claim released the outer one"
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_an_error_before_anything_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written to"), claimed(tmp_path / "run"):
        pass


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    with pytest.raises(DataError, match="cannot be written to"), claimed(tmp_path / "afile" / "x"):
        pass
    with pytest.raises(ConfigError, match="afile is a file"), claimed(tmp_path / "afile"):
        pass


COMMANDS = {
    "fit": ("fit", "{config}", "--out", "{run}"),
    "demo": ("demo", "--out", "{run}"),
    "resume": ("resume", "{run}"),
    "evaluate": ("evaluate", "{run}"),
    "study": ("evaluate", "{run}", "--full"),
    "compare": ("compare", "{run}", "{run}"),
    "report": ("report", "{run}"),
    "gradcheck": ("gradcheck", "{config}", "--out", "{run}", "--frames", "20"),
    "simulate": ("simulate", "{run}", "--silence", "id:n3"),
    "analyze": ("analyze", "{run}"),
    "recover": ("recover", "--quick", "--out", "{run}"),
    "record-next": ("record-next", "{run}", "{run}"),
    "export": ("export", "elsewhere", "--to", "tables", "--out", "{run}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_into_a_folder_that_another_process_holds(
    command: str, held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, process = held
    names = {"run": str(folder), "config": str(write_files(tmp_path))}
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["connfit", *(part.format(**names) for part in COMMANDS[command])])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"in use by process {process.pid}" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow  # `make kills` starts twenty pairs; what one of them is told is quick, above
def test_two_fits_into_one_folder_never_mix(tmp_path: Path) -> None:
    config, out = write_files(tmp_path), tmp_path / "run"
    options = ("--epochs", "1", "--set", "train.free_run_epochs=0", "--set", "evaluate.baselines=[]")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", FIT, "fit", str(config), "--out", str(out), "--seed", seed, *options],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        for seed in ("0", "7")
    ]  # fmt: skip
    errors = [process.communicate(timeout=300)[1] for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 2], errors
    won = (0, 7)[codes.index(0)]
    assert json.loads((out / "config.json").read_text())["seed"] == won
    assert json.loads((out / "metrics.json").read_text())["seed"] == won
    assert not list(out.rglob(".*"))
