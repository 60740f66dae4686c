"""Compiled programs that outlast a command: of the user alone, few, and used by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from connfit._system.kept_programs import ENABLED, FOLDER, MOST_BYTES, keep_programs

WITHOUT_OURS = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}

COMPILED = """
import os, sys
from pathlib import Path
from connfit._system.kept_programs import keep_programs
keep_programs(Path(sys.argv[1]))
import jax
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event))
jax.jit(lambda x: x * 3 + 1)(2.0).block_until_ready()
print(sum(event.endswith("/cache_hits") for event in found), sum(event.endswith("/cache_misses") for event in found))
"""


def compiled(root: Path, **variables: str) -> tuple[int, int]:
    """Programs that were found and that were compiled by a new process."""
    command = [sys.executable, "-W", "error", "-c", COMPILED, str(root)]
    done = subprocess.run(command, env={**WITHOUT_OURS, **variables}, check=True, capture_output=True, text=True)
    found, missed = map(int, done.stdout.split())
    return found, missed


def test_the_next_command_compiles_nothing(tmp_path: Path) -> None:
    found, missed = compiled(tmp_path)
    assert found == 0
    assert missed > 0
    assert compiled(tmp_path) == (missed, 0)
    (kept,) = (tmp_path / "programs").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700


def test_a_damaged_program_is_compiled_again_without_a_word(tmp_path: Path) -> None:
    _, missed = compiled(tmp_path)
    for file in (tmp_path / "programs").rglob("*-cache"):
        file.write_bytes(file.read_bytes()[:20])
    command = [sys.executable, "-c", COMPILED, str(tmp_path)]
    done = subprocess.run(command, env=WITHOUT_OURS, check=True, capture_output=True, text=True)
    assert missed > 0
    assert done.stderr == ""


def test_folders_that_others_can_write_are_not_used(tmp_path: Path) -> None:
    folder = keep_programs(tmp_path, {})
    assert folder is not None
    folder.chmod(0o770)
    assert keep_programs(tmp_path, {}) is None
    folder.chmod(0o700)
    assert keep_programs(tmp_path, {}) == folder


@pytest.mark.parametrize("environment", [{FOLDER: "mine"}, {ENABLED: "false"}])
def test_a_cache_of_the_users_own_stays(tmp_path: Path, environment: dict[str, str]) -> None:
    given = dict(environment)
    assert keep_programs(tmp_path, environment) is None
    assert environment == given
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_used_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "programs").write_text("a file")
    environment: dict[str, str] = {}
    assert keep_programs(tmp_path, environment) is None
    assert environment == {}


def test_the_oldest_programs_make_room(tmp_path: Path) -> None:
    folder = keep_programs(tmp_path, {})
    assert folder is not None
    size = MOST_BYTES // 4
    for number in range(6):
        with (folder / f"{number}-cache").open("wb") as file:
            file.truncate(size)
        os.utime(folder / f"{number}-cache", (number, number))
    keep_programs(tmp_path, {})
    assert sorted(file.name for file in folder.iterdir()) == [f"{number}-cache" for number in range(2, 6)]
