"""What the machine refuses, and signals, end a command with one line; going on gives the numbers of a quiet run."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import faults
import pytest
from small import regional_connectome, write_files

from connfit import _io, cli
from connfit._system import ulimits
from connfit._system.signals import Stopped, raise_when_stopped
from connfit.cli.terminal import Output
from connfit.datasets.cache import cached
from connfit.training import runs

pytestmark = pytest.mark.usefixtures("dots")

OPTIONS = ("--epochs", "1", "--set", "train.free_run_epochs=0", "--set", "evaluate.baselines=[]")


@pytest.fixture
def connfit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Run `connfit` in this process; returns its exit code and the lines that say why it ended."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["connfit", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        err = capfd.readouterr().err
        assert "Traceback" not in err
        return int(ended.value.code or 0), [line for line in err.splitlines() if line.startswith("connfit: ")]

    return run


@pytest.fixture
def signals():
    """The usual handlers of signals, also where tests run under `nohup`; after a test as they were."""
    kept = {number: signal.getsignal(number) for number in (2, 15, 1, signal.SIGXCPU)}
    hook = sys.unraisablehook
    for number in kept:
        signal.signal(number, signal.SIG_DFL)
    yield
    sys.unraisablehook = hook
    for number, handler in kept.items():
        signal.signal(number, handler)


def scores(run: Path) -> object:
    metrics = json.loads((run / "metrics.json").read_text())
    metrics.pop("performance")
    return metrics


def test_a_disk_that_fills_at_any_write_costs_no_number(
    connfit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, settle = write_files(tmp_path), _io._settle
    monkeypatch.setattr("connfit.report.write_report", lambda out, **_: out / "report.html")
    assert connfit("fit", config, "--out", tmp_path / "quiet", *OPTIONS) == (0, [])
    for full_at in (2, 6):
        written: list[Path] = []

        def full(path: Path, full_at: int = full_at, written: list[Path] = written) -> None:
            written.append(path)
            if len(written) == full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            settle(path)

        monkeypatch.setattr(_io, "_settle", full)
        out = tmp_path / f"run {full_at}"
        code, lines = connfit("fit", config, "--out", out, *OPTIONS)
        monkeypatch.setattr(_io, "_settle", settle)
        assert code == 2 and len(lines) == 1 and "connfit resume" in lines[0]
        assert lines[0].startswith(f"connfit: {out}/") and "No space left on device" in lines[0]
        assert not list(tmp_path.rglob(".*"))
        again = ("resume", out) if (out / "config.json").exists() else ("fit", config, "--out", out, *OPTIONS)
        assert connfit(*again) == (0, [])
        assert scores(out) == scores(tmp_path / "quiet")


def test_an_hdf5_file_on_a_full_disk_is_an_error_not_a_crash(tmp_path: Path) -> None:
    brain, whole = regional_connectome(), tmp_path / "whole.h5"
    brain.save(whole)
    program = (
        "import resource, sys; from connfit.connectome import Connectome\n"
        "brain = Connectome.load(sys.argv[1])\n"
        "for size in range(0, int(sys.argv[3]), 509):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))\n"
        "    try: brain.save(sys.argv[2])\n"
        "    except OSError as error: assert error.errno == 27, error\n"
        "    else: raise SystemExit(3)\n"
    )
    size = whole.stat().st_size
    ran = subprocess.run(
        [sys.executable, "-c", program, whole, tmp_path / "out.h5", str(size)], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_command_with_one_line(
    number: signal.Signals, connfit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    raise_when_stopped()
    name = "" if number == signal.SIGINT else f" ({number.name})"
    config = write_files(tmp_path)

    def start(_: object, out: Path, **__: object) -> None:
        (out / "config.json").write_text("{}")
        signal.raise_signal(number)

    monkeypatch.setattr(runs, "start", start)
    monkeypatch.setattr("connfit._system.signals._ONCE_SECONDS", 0.0)
    out = tmp_path / "run"
    line = f"connfit: interrupted{name}; go on with `connfit resume {out}`"
    assert connfit("fit", config, "--out", out) == (128 + number, [line])
    assert not list(out.glob(".*"))

    monkeypatch.setattr("connfit.report.write_report", lambda *_, **__: signal.raise_signal(number))
    line = f"connfit: interrupted{name}; go on with `connfit report {out}`"
    assert connfit("report", out) == (128 + number, [line])


def test_signals_that_come_together_are_one_and_ignored_ones_stay_so(signals: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_when_stopped()
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_comes_while_an_object_is_finalized_is_not_lost(
    signals: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python lets no exception out of there: it would print a traceback and go on."""

    class Last:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    raise_when_stopped()
    last = Last()
    with pytest.raises(Stopped):
        del last
        time.sleep(5)
    assert capfd.readouterr().err == ""


def test_a_signal_waits_until_a_compiled_module_is_loaded(signals: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take it for a failure of its own: "initialization failed", or an interpreter that aborts."""

    class Compiled(ExtensionFileLoader):
        def create_module(self, spec: ModuleSpec) -> ModuleType:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.2)
            loaded.append(spec.name)
            return ModuleType(spec.name)

        def exec_module(self, module: ModuleType) -> None:
            pass

    loaded: list[str] = []
    raise_when_stopped()
    spec = ModuleSpec("connfit_compiled", Compiled("connfit_compiled", "nowhere"))
    with pytest.raises(Stopped):
        module_from_spec(spec)
        time.sleep(5)
    assert loaded == ["connfit_compiled"]


@pytest.mark.parametrize("step", ["make_context", "invoke"])
def test_a_signal_before_a_command_runs_is_told_too(
    step: str, connfit, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    raise_when_stopped()
    monkeypatch.setattr(f"typer.core.TyperGroup.{step}", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    code, lines = connfit("list")
    assert code == 128 + signal.SIGTERM
    assert len(lines) == 1 and lines[0].startswith("connfit: interrupted (SIGTERM); go on with ")


def test_a_user_without_a_home_is_told_what_to_set(connfit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: str) -> NoReturn:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_dir", homeless)
    monkeypatch.delenv("CONNFIT_CACHE", raising=False)
    code, lines = connfit("data", "info", "worm")
    assert code == 2 and lines == [
        "connfit: this user has no home in which a cache could be: set CONNFIT_CACHE to a folder"
    ]
    brain = regional_connectome()
    with pytest.warns(UserWarning, match="could not be kept in the cache: this user has no home"):
        assert cached("brain", lambda: brain, {}, {}) is brain


def test_output_that_cannot_be_written_does_not_end_a_command() -> None:
    for make, code in ((lambda: os.open("/dev/full", os.O_WRONLY), errno.ENOSPC), (broken_pipe, errno.EPIPE)):
        output = Output()
        with os.fdopen(make(), "w") as output.file:
            for _ in range(3):
                output.print("a line")
            lost = output.settle()
        assert lost is not None and lost.errno == code


def broken_pipe() -> int:
    """The end of a pipe that nobody reads."""
    there, here = os.pipe()
    os.close(there)
    return here


def started(command: str) -> subprocess.CompletedProcess[str]:
    """Run `connfit` in a shell of its own, as `CONNFIT`."""
    env = {**os.environ, "CONNFIT": f"{sys.executable} -m connfit"}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)


@pytest.mark.parametrize(
    ("limit", "said"),
    [("-v 700000", "address space is limited to 0.72 GB"), ("-n 16", "open files are limited to 16")],
)
def test_a_limit_at_which_libraries_crash_is_said_first(limit: str, said: str) -> None:
    ran = started(f"ulimit {limit}; exec $CONNFIT list")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"connfit: {said}") and ran.stderr.count("\n") == 1


def test_limits_that_are_high_enough_or_can_be_raised_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ulimits.limit_problem() is None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, files[1]))
        assert ulimits.limit_problem() is None
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (ulimits.FILES, files[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
    monkeypatch.setattr(ulimits, "_threads", lambda count: 3)
    assert "3 of " in (ulimits.limit_problem() or "")


def test_a_full_or_closed_output_is_one_line_or_none(tmp_path: Path) -> None:
    ran = started("exec $CONNFIT data list > /dev/full")
    assert (ran.returncode, ran.stderr) == (
        2, "connfit: not all could be printed (No space left on device). All files are written\n"
    )  # fmt: skip
    ran = started("$CONNFIT data list | true; exit ${PIPESTATUS[0]}")
    assert (ran.returncode, ran.stderr) == (141, "")
    program = tmp_path / "program.py"
    program.write_text(
        "import os, connfit.__main__ as main\nmain._open_streams()\nassert os.open(__file__, os.O_RDONLY) > 2\n"
    )
    ran = started(f"exec {sys.executable} {program} <&- >&- 2>&-")
    assert ran.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("fault", ["disk full at 0 kB", "disk full at 200 kB", "read-only mount", "SIGTERM at 45%"])
def test_real_disks_and_signals(fault: str) -> None:
    with faults.prepared() as place:
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        try_fault, _ = faults.FAULTS[fault]
        for name in ("fit", "simulate", "analyze", "data fetch"):
            ended, codes = try_fault(place, name)
            assert not ended.problem(codes), (name, ended)
