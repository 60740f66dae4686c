"""What a terminal, a batch job's log or the machine does to the output of a command."""

from __future__ import annotations

import errno
import io
from typing import NoReturn

import pytest
from rich.table import Table

from connfit import cli
from connfit.cli.terminal import Output

NUMBERS = ("3.412e-05", "−0.0123", "1,234,567", "0.999 ± 0.001")


def printed(what: object, *, columns: int, **options: object) -> str:
    output = Output()
    output.width, output.file = columns, io.StringIO()
    output.print(what, **options)
    return output.file.getvalue()


@pytest.mark.parametrize("columns", [1, 20, 40, 80])
def test_no_width_cuts_a_number(columns: int) -> None:
    table = Table("what it is, in a text of some length", title="a long title of a table")
    for at in range(len(NUMBERS)):
        table.add_column(f"head {at}", justify="right")
    table.add_row("a row with a long name", *NUMBERS)
    text = printed(table, columns=columns)
    for number in NUMBERS:
        assert number in text
    assert "…" not in text


def test_a_batch_job_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Output().width > 1000
    monkeypatch.setenv("COLUMNS", "60")
    assert Output().width == 60


@pytest.mark.parametrize("name", ["\x1b[31mred\x1b[0m", "\u202eevil", "bell\x07", "\r0 errors", "\x9b2J"])
def test_a_name_does_not_steer_the_terminal(name: str) -> None:
    table = Table("name")
    table.add_row(name)
    for what in (name, table):
        text = printed(what, columns=80, markup=False) if isinstance(what, str) else printed(what, columns=80)
        assert not any(letter in text for letter in "\x1b\u202e\x07\r\x9b")
        assert "\\" in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a/metrics.json"), "runs/a/metrics.json: No space left"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (MemoryError(), "out of memory"),
        (ImportError("failed to map segment from shared object"), "a library could not be loaded (failed to map"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."), "out of memory"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> NoReturn:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"connfit: {said}") and shown.count("\n") == 1 and "connfit resume" in shown


def test_a_fault_of_connfit_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()
