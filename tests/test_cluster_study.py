"""A study on a cluster of dask: workers that are killed lose nothing, and what cannot run there is one clear line."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from small import finished_run

from connfit._io import read_arrays
from connfit._system.claim import LOCK, claimed
from connfit.errors import BusyError, ConfigError
from connfit.evaluation.study import cluster_executor
from connfit.evaluation.study.run_study import StudyOptions, plan_study, run_study
from connfit.training import runs

pytest.importorskip("distributed")

ROWS = ("shuffle_signs", "mean")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a user's own files."""
    return finished_run(tmp_path_factory.mktemp("cluster"), epochs=30)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scheduler with two workers, each kept alive by a nanny, as a user starts them; its file."""
    place = tmp_path_factory.mktemp("dask")
    file = place / "scheduler.json"
    with ExitStack() as stack, (place / "log.txt").open("w") as log:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([*arguments], stdout=log, stderr=log, cwd=place)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        start(
            sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--no-dashboard", "--scheduler-file", str(file),
        )  # fmt: skip
        start(
            sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nworkers", "2",
            "--nthreads", "1", "--nanny", "--no-dashboard", "--local-directory", str(place),
        )  # fmt: skip
        with client_of(file) as client:
            client.wait_for_workers(2, timeout=60)
        yield file


def client_of(file: Path) -> cluster_executor.Client:
    from distributed import Client

    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, (file.parent / "log.txt").read_text()
        time.sleep(0.05)
    return Client(scheduler_file=str(file), set_as_default=False, timeout=60)


@pytest.mark.slow
def test_workers_that_are_killed_three_times_change_no_number(folder: Path, scheduler: Path, tmp_path: Path) -> None:
    local = shutil.copytree(folder, tmp_path / "local")
    here = run_study(local, StudyOptions(seeds=2, rows=ROWS, jobs=2))
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        """Three times a random fit that has begun to learn loses its worker; the second time its own process alone."""
        chance = random.Random(0)
        while len(killed) < 3 and not over.wait(0.1):
            learning = [point.parents[1] / LOCK for point in (folder / "study").rglob(str(runs.CHECKPOINT))]
            held = [lock for lock in learning if lock.exists() and lock.read_text()]
            if held:
                found = re.match(r"process (\d+) ", chance.choice(held).read_text())
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(int(found[1])) if found else None
                    worker = process and process.parent()
                    if process and worker and "spawn_main" in " ".join(worker.cmdline()):
                        lost = process if len(killed) == 1 else worker
                        if lost.pid not in killed:
                            lost.kill()
                            killed.append(lost.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        there = run_study(folder, StudyOptions(seeds=2, rows=ROWS, scheduler=str(scheduler)))
    finally:
        over.set()
        killer.join()
    assert not [row.failed for row in there.rows if row.failed]
    assert len(set(killed)) == 3
    assert there.performance is not None and there.performance.jobs == 2
    assert [row.name for row in there.rows] == ["connectome", "shuffle_signs", "mean"]
    for row, same in zip(there.rows, here.rows, strict=True):
        assert row.seeds == same.seeds
        for key, score in row.scores.items():
            if score.mean is not None:
                # Sums of float32 in another order where a program was compiled for one thread or two.
                assert score.mean == pytest.approx(same.scores[key].mean, rel=1e-4, abs=1e-5), (row.name, key)
    for path in sorted((folder / "study" / "runs").glob("*/parameters.npz")):
        other, _ = read_arrays(local / path.relative_to(folder))
        for name, values in read_arrays(path)[0].items():
            np.testing.assert_allclose(values, other[name], rtol=1e-4, atol=1e-6, err_msg=f"{path.parent.name} {name}")


@pytest.mark.slow
def test_nothing_goes_on_when_a_study_is_stopped(folder: Path, scheduler: Path, tmp_path: Path) -> None:
    """The process of a task that runs ends soon after the study: another one may start in its folder."""
    copy = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("study"))
    plan = plan_study(
        copy, StudyOptions(seeds=1, rows=("mean",), settings=("train.epochs=5000",), scheduler=str(scheduler))
    )
    events = cluster_executor.Queue()
    (copy / "study" / "logs").mkdir(parents=True)
    with plan.executor.running(plan.tasks[:1], events, copy / "study" / "logs"):
        while not (checkpoint := Path(plan.tasks[0].folder) / runs.CHECKPOINT).exists():
            time.sleep(0.05)
    deadline = time.monotonic() + 20
    while True:
        try:
            with claimed(plan.tasks[0].folder, make=False):
                break
        except BusyError:
            assert time.monotonic() < deadline, "the process of the task goes on"
            time.sleep(0.1)
    before = checkpoint.stat().st_mtime_ns
    time.sleep(1.5)
    assert checkpoint.stat().st_mtime_ns == before


def test_a_scheduler_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_executor, "CONNECT_S", 1)
    with pytest.raises(ConfigError, match=r"tcp://127.0.0.1:9: no scheduler of dask answers"):
        plan_study(folder, StudyOptions(scheduler="tcp://127.0.0.1:9"))
    with pytest.raises(ConfigError, match="neither an address, as tcp://host:8786, nor a file"):
        plan_study(folder, StudyOptions(scheduler="nowhere.json"))
    with pytest.raises(ConfigError, match="jobs is of this machine"):
        StudyOptions(jobs=2, scheduler="tcp://127.0.0.1:9")


@pytest.mark.slow
def test_a_worker_that_cannot_do_its_part_is_named(scheduler: Path, tmp_path: Path) -> None:
    assert "does not see" in cluster_executor._unfit(str(tmp_path / "elsewhere"), cluster_executor.__version__)
    assert "has connfit" in cluster_executor._unfit(str(tmp_path), "0.0.1")
    with client_of(scheduler) as client, pytest.raises(ConfigError, match=r"the worker at tcp://\S+ does not see"):
        cluster_executor._check_workers(client, str(scheduler), tmp_path / "elsewhere")
