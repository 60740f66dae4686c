"""A run directory belongs to one process at a time, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from connfit._system.claim import claimed
from connfit.errors import BusyError, DataError

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
    with pytest.raises(DataError, match="cannot be written to"), claimed(tmp_path / "afile"):
        pass
