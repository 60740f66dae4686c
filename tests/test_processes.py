"""Several processes that fit one model: on the loopback, with gloo; what they end with, and how they end."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import write_files

from connfit._system import process_group
from connfit.cli.several_processes import asks_to_join
from connfit.errors import ConfigError

SHORT = (
    "train.epochs=10", "train.free_run_epochs=2", "train.patience=null", "evaluate.baselines=[]",
    "evaluate.left_out_units=0",
)  # fmt: skip
SOON = 60
"""Seconds in which a process that lost another has to say so."""

pytestmark = pytest.mark.timeout(1800)  # several whole fits at once, each of which imports and compiles everything


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def started(arguments: list[Any], process: int, number: int, port: int, **environment: str) -> subprocess.Popen[str]:
    """One of several processes; with an environment it is to find the others by that."""
    where = ["--distributed"]
    if not environment:
        where += ["--coordinator", f"127.0.0.1:{port}", "--process", process, "--processes", number]
    return subprocess.Popen(
        [sys.executable, "-m", "connfit", *map(str, [*arguments, *where])], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], timeout: float = 1000) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def together(arguments: list[Any], number: int) -> list[tuple[int, str, str]]:
    port = free_port()
    return [ended(one) for one in [started(arguments, k, number, port) for k in range(number)]]


def command(files: Path, out: Path, *settings: str) -> list[Any]:
    return ["fit", files / "own.toml", "--out", out, *(f"--set={one}" for one in (*SHORT, *settings))]


def history(out: Path) -> dict[str, np.ndarray]:
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in ("train_loss", "validation_skill", "selection")}


def assert_same_run(out: Path, like: Path) -> None:
    found, right = history(out), history(like)
    assert len(right["train_loss"]) == 12
    for key, values in right.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-6, err_msg=key)
    assert (out / "metrics.json").exists() and (out / "report.html").exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(files: Path) -> Path:
    """A fit of one process."""
    out = files / "undisturbed"
    subprocess.run([sys.executable, "-m", "connfit", *map(str, command(files, out))], check=True, capture_output=True)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_processes_end_with_the_losses_of_one_and_the_first_writes_them(
    files: Path, undisturbed: Path, number: int
) -> None:
    out = files / f"of-{number}"
    first, *others = together(command(files, out), number)
    assert first[0] == 0 and f"report: {out / 'report.html'}" in first[1], first[2]
    assert all(code == 0 and "report" not in text for code, text, _ in others)
    assert_same_run(out, undisturbed)


@pytest.mark.slow
def test_slurm_says_who_takes_part(files: Path, undisturbed: Path) -> None:
    out, job = files / "slurm", str(free_port())
    steps = [
        {
            "SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2", "SLURM_PROCID": str(k),
            "SLURM_LOCALID": str(k), "SLURM_STEP_NUM_NODES": "1",
        }
        for k in range(2)
    ]  # fmt: skip
    every = [started(command(files, out), k, 2, 0, **step) for k, step in enumerate(steps)]
    assert [ended(one)[0] for one in every] == [0, 0]
    assert_same_run(out, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on_without_it(
    files: Path, undisturbed: Path, victim: int
) -> None:
    out, port = files / f"killed-{victim}", free_port()
    both = [started(command(files, out), k, 2, port) for k in range(2)]
    until = time.monotonic() + 300
    while not (out / "history.csv").exists() or len((out / "history.csv").read_text().splitlines()) < 4:
        assert time.monotonic() < until and all(one.poll() is None for one in both)
        time.sleep(0.02)
    both[victim].send_signal(signal.SIGKILL)
    code, _, err = ended(both[1 - victim], SOON)
    ended(both[victim])
    assert code == 2
    assert "connfit: " in err and "`connfit resume DIR` goes on from the last checkpoint" in " ".join(err.split())
    assert 3 <= len(history(out)["train_loss"]) < 12
    again = files / f"again-{victim}"
    shutil.copytree(out, again)
    resumed = [sys.executable, "-m", "connfit", "resume", str(out), "--devices", "1"]
    subprocess.run(resumed, check=True, capture_output=True)
    assert_same_run(out, undisturbed)
    if victim == 1:  # two go on as well as one
        assert [one[0] for one in together(["resume", again], 2)] == [0, 0]
        assert_same_run(again, undisturbed)


@pytest.mark.slow
def test_processes_with_other_options_are_named(files: Path) -> None:
    port = free_port()
    both = [started(command(files, files / f"other-{k}", f"seed={k}"), k, 2, port) for k in range(2)]
    texts = [ended(one) for one in both]
    assert [code for code, *_ in texts] == [2, 2]
    assert any("process 1 has other options than process 0" in " ".join(err.split()) for *_, err in texts)


@pytest.mark.slow
def test_whoever_finds_no_others_says_what_to_give(files: Path) -> None:
    alone = subprocess.run(
        [sys.executable, "-m", "connfit", *map(str, command(files, files / "nobody")), "--distributed"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert alone.returncode == 2 and "give --coordinator HOST:PORT --processes N" in " ".join(alone.stderr.split())
    assert not (files / "nobody").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("localhost", 0, 2), r"--coordinator 'localhost' must be HOST:PORT"),
        (("localhost:port", 0, 2), r"must be HOST:PORT"),
        (("localhost:99999", 0, 2), r"must be HOST:PORT"),
        (("localhost:7000", 2, 2), r"--process 2: numbers of 2 processes go from 0 to 1"),
        ((None, 1, 2), r"--process and --processes need --coordinator"),
    ],
)
def test_addresses_and_numbers_that_cannot_be(given: tuple[Any, Any, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        process_group.join(*given)


def test_variables_of_jax_are_read_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:7000")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "2")
    with pytest.raises(ConfigError, match="--process 2: numbers of 2 processes"):
        process_group.join(None, None, None)
    monkeypatch.setenv("JAX_PROCESS_ID", "first")
    with pytest.raises(ConfigError, match="JAX_PROCESS_ID='first' must be a whole number"):
        process_group.join(None, None, None)


def test_a_first_process_that_does_not_answer_is_named_in_time() -> None:
    began = time.monotonic()
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match=rf"--coordinator {address}: the first process does not answer within 0\.3 s"):
        process_group.join(address, 1, 2, wait=0.3)
    assert time.monotonic() - began < 10


def test_only_what_is_lost_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = RuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    with pytest.raises(RuntimeError, match="Gloo"), process_group.lost_processes():
        raise lost  # this process is alone
    monkeypatch.setattr(process_group, "_joined", [(0, 2)])
    with pytest.raises(process_group.LostProcessError, match="connfit resume DIR"), process_group.lost_processes():
        raise lost
    with pytest.raises(RuntimeError, match="shapes"), process_group.lost_processes():
        raise RuntimeError("shapes do not match")


def test_a_process_by_itself_decides_and_writes() -> None:
    assert process_group.alone() and process_group.first()
    values = {"skill": 0.1, "finite": True}
    assert process_group.told(values) is values
    process_group.check_same({"data": "a"})
    process_group.end_at_once(2)  # would end this one


def test_nothing_asks_for_a_device_before_processes_have_met() -> None:
    assert asks_to_join(["connfit", "fit", "x", "--distributed"])
    assert asks_to_join(["connfit", "resume", "x", "--coordinator=a:1"])
    assert not asks_to_join(["connfit", "fit", "x", "--set", "train.devices=all"])
