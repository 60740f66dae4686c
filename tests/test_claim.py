"""A run directory belongs to one process at a time, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import write_files

from connfit._io import replacing
from connfit._system.claim import claimed, own_name, sweep_dead
from connfit.cli import main
from connfit.errors import BusyError, ConfigError, DataError

HOLD = """
import sys
from connfit._system.claim import claimed
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
    with claimed(folder):
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert not (folder / ".lock").exists()


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


def test_in_a_folder_of_many_only_what_the_dead_left_is_removed(held, tmp_path: Path) -> None:
    _, process = held
    me, living = f".{os.getpid()}-", f".{process.pid}-"
    mine, foreign = own_name("a.h5"), ".a.h5.another-computer.1-2.part"
    theirs = own_name("b.h5").replace(me, living)
    with replacing(tmp_path / "c.h5") as temporary:
        temporary.touch()
        assert temporary.name.split(".")[-2:] == own_name("c.h5").split(".")[-2:]
        for name in (mine, theirs, foreign, "a.bin.part", ".hidden.part"):
            (tmp_path / name).touch()
        (tmp_path / own_name("d").replace(me, living)).mkdir()
        sweep_dead(tmp_path)
        assert len(list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))) >= 7
        process.kill()
        process.wait()
        sweep_dead(tmp_path)
        left = {path.name for path in tmp_path.iterdir()} - {"run"}
        assert left == {mine, foreign, "a.bin.part", ".hidden.part", temporary.name}


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


def test_two_fits_into_one_folder_never_mix(tmp_path: Path) -> None:
    config, out = write_files(tmp_path), tmp_path / "run"
    options = ("--epochs", "1", "--set", "train.free_run_epochs=0", "--set", "evaluate.baselines=[]")
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "connfit", "fit", str(config), "--out", str(out), "--seed", seed, *options],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
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
