"""The command line asks for huge pages where that is the program's choice, and never overrules the user."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from connfit._system.pages import SETTING, VARIABLE, with_huge_pages

linux = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35),
    reason="needs the GNU C library 2.35",
)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


@linux
def test_the_setting_joins_others(asked: Path) -> None:
    assert with_huge_pages({"A": "b"}, asked) == {"A": "b", VARIABLE: SETTING}
    others = with_huge_pages({VARIABLE: "glibc.malloc.check=1"}, asked)
    assert others == {VARIABLE: f"glibc.malloc.check=1:{SETTING}"}


def test_a_choice_of_the_user_or_of_the_system_stays(asked: Path, tmp_path: Path) -> None:
    assert with_huge_pages({VARIABLE: "glibc.malloc.hugetlb=0"}, asked) is None
    asked.write_text("[always] madvise never\n", encoding="utf-8")
    assert with_huge_pages({}, asked) is None
    assert with_huge_pages({}, tmp_path / "absent") is None


def test_the_command_restarts_once_and_keeps_its_arguments() -> None:
    """Both starts print the same version; with the setting already there nothing is restarted."""
    said = [
        subprocess.run(
            [sys.executable, "-m", "connfit", "--version"], env={**os.environ, **more}, capture_output=True, text=True
        )
        for more in ({}, {VARIABLE: SETTING})
    ]
    assert [one.returncode for one in said] == [0, 0]
    assert said[0].stdout == said[1].stdout and said[0].stdout.startswith("connfit ")
