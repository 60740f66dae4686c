"""`connfit data fetch` and `data info`: what they print, exit codes, and how an interrupt goes on."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, Served, running

from connfit import cli
from connfit.datasets import download
from connfit.datasets.registry import DATASETS, DataFile

CONTENT = np.random.default_rng(0).bytes(30_000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of the files `one` and `two` of a dataset that takes the place of `worm`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CONNFIT_DATA", raising=False)
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setattr(download, "_CHUNK", 1000)
    checksum = hashlib.sha256(CONTENT).hexdigest()
    with running() as one:
        files = tuple(
            DataFile(name, len(CONTENT), checksum if name == "one" else None, one.serve(name, Served(CONTENT)))
            for name in ("one", "two")
        )
        monkeypatch.setitem(DATASETS._entries, "worm", replace(DATASETS["worm"], files=files))
        yield one


@pytest.fixture
def connfit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `connfit` as the installed command does, in this process; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["connfit", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_fetch_downloads_and_says_where(server: FileServer, connfit, tmp_path: Path) -> None:
    code, out, err = connfit("data", "fetch", "worm")
    folder = tmp_path / "cache" / "worm"
    assert code == 0 and (folder / "one").read_bytes() == (folder / "two").read_bytes() == CONTENT
    assert out.splitlines() == [
        f"one: downloaded, 30,000 bytes, {folder / 'one'}",
        f"two: downloaded, 30,000 bytes, {folder / 'two'}",
        "2 files here, 60,000 bytes",
    ]
    assert "downloading one (30,000 bytes) from http" in err
    assert f"two: no checksum is published; recorded 30,000 bytes, sha256 {hashlib.sha256(CONTENT).hexdigest()}" in err
    code, out, err = connfit("data", "fetch", "worm")
    assert code == 0 and err.startswith("two: no checksum is published; it has the sha256 of its first use, ")
    assert err.count("\n") == 1 and out.count(": here, 30,000 bytes, ") == 2
    assert len(server.files["/one"].requests) == 1


def test_fetch_one_file_into_a_folder(server: FileServer, connfit, tmp_path: Path) -> None:
    code, out, _ = connfit("data", "fetch", "worm", "--file", "two", "--to", tmp_path / "big")
    assert code == 0 and (tmp_path / "big" / "worm" / "two").read_bytes() == CONTENT
    assert "one:" not in out and "1 file here, 30,000 bytes" in out
    assert f"set CONNFIT_DATA={tmp_path / 'big'}" in out
    code, _, err = connfit("data", "fetch", "worm", "--file", "tow")
    assert code == 2 and "did you mean 'two'" in err


def test_fetch_goes_on_after_an_interrupt(
    server: FileServer, connfit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, received = download.Partial.append, []

    def interrupted(self: download.Partial, data: bytes) -> None:
        append(self, data)
        received.append(data)
        if len(received) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(download.Partial, "append", interrupted)
    code, out, err = connfit("data", "fetch", "worm", "--file", "one")
    assert code == 130 and out == "" and "go on with `connfit data fetch worm --file one`" in err
    assert (tmp_path / "cache" / "worm" / "one.part").read_bytes() == CONTENT[:7000]
    assert connfit("data", "fetch", "worm", "--file", "one")[0] == 0
    assert (tmp_path / "cache" / "worm" / "one").read_bytes() == CONTENT
    assert server.files["/one"].requests == ["", "bytes=7000-"]


def test_fetch_names_what_failed(server: FileServer, connfit, tmp_path: Path) -> None:
    server.files["/one"].content = CONTENT[::-1]
    code, out, err = connfit("data", "fetch", "worm")
    assert code == 2 and "one: failed, 30,000 bytes, see below" in out and "two: downloaded" in out
    assert "connfit: " in err and f"kept as {tmp_path / 'cache' / 'worm' / 'one.changed'}" in err


def test_a_bar_is_shown_in_a_terminal(server: FileServer, connfit, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setattr("connfit.cli.data_command.err_console", Console(stderr=True, force_terminal=True, width=100))
    server.files["/one"].breaks = [10_000]
    code, _, err = connfit("data", "fetch", "worm")
    assert code == 0 and "30.0/30.0 kB" in err and "trying again" in err


def test_info_says_whether_anything_can_be_downloaded(connfit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path))
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path))
    assert "not all" in connfit("data", "info", "worm")[1]
    assert "yes: connfit data fetch shiu-630" in connfit("data", "info", "shiu-630")[1]
    assert "nothing is missing" in connfit("data", "info", "demo")[1]
