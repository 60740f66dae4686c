"""Tasks of a study in worker processes, one thread each."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

import msgspec

from connfit._system import hdf5_trial
from connfit.evaluation.study.messages import Failed, Failure, Finished, Message, Progress, Started, decoded
from connfit.evaluation.study.tasks import Task

ONE_THREAD: Mapping[str, str] = {
    "NPROC": "1",  # threads of XLA's pool on a CPU
    "CONNFIT_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""One thread per worker: on brains of hundreds of neurons a second one gains nothing (worm: 20 s a fit with either)."""

COMPILED: Mapping[str, str] = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Rows with the same shapes run the same programs, which workers share."""


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Parameters
    ----------
    done, total
        Tasks.
    running
        Fraction of each task that is being done, by name.
    seconds
        Since the first task was started.
    left_seconds
        Estimate; None until there is something to estimate it from.
    """

    done: int
    total: int
    running: Mapping[str, float]
    seconds: float
    left_seconds: float | None


def run_tasks(
    tasks: Sequence[Task],
    *,
    jobs: int,
    logs: Path,
    threads: Mapping[str, str] = ONE_THREAD,
    on_progress: Callable[[StudyProgress], None] = lambda _: None,
) -> dict[str, Failure]:
    """Run all tasks that are not done yet.

    Parameters
    ----------
    jobs
        Processes at once.
    logs
        Folder for what workers write on their error streams, and for programs that they have compiled.
    threads
        Environment of the workers, beside this process's own.

    Returns
    -------
    dict
        By name of a task that failed: why.

    Raises
    ------
    ConnfitError
        If a folder holds results of other options or other data (before anything is started).
    """
    waiting: Queue[Task] = Queue()
    todo = [task for task in tasks if not task.done()]
    for task in todo:
        waiting.put(task)
    if not todo:
        return {}
    logs.mkdir(parents=True, exist_ok=True)
    events: Queue[Message] = Queue()
    environment = {
        # A user's own folder for compiled programs stays: it may hold these already.
        **COMPILED, "JAX_COMPILATION_CACHE_DIR": str((logs / "compiled").resolve()), **os.environ, **threads,
        # This process has read the same files.
        hdf5_trial.VARIABLE: "off",
    }  # fmt: skip
    workers = [_Worker(number, waiting, events, logs, environment) for number in range(min(jobs, len(todo)))]
    try:
        return _watch(events, todo, len(tasks), len(workers), on_progress)
    finally:
        for worker in workers:
            worker.stop()


def _watch(
    events: Queue[Message],
    todo: Sequence[Task],
    total: int,
    workers: int,
    on_progress: Callable[[StudyProgress], None],
) -> dict[str, Failure]:
    failed: dict[str, Failure] = {}
    running: dict[str, float] = {}
    began, ended = time.perf_counter(), 0
    while ended < len(todo):
        with suppress(Empty):
            match events.get(timeout=1.0):
                case Started(task):
                    running[task] = 0.0
                case Progress(task, fraction):
                    running[task] = fraction
                case Finished(task):
                    running.pop(task, None)
                    ended += 1
                case Failed(task, why):
                    running.pop(task, None)
                    failed[task] = why
                    ended += 1
        seconds = time.perf_counter() - began
        portion = (ended + sum(running.values())) / len(todo)
        left = seconds * (1 - portion) / portion if portion > 0.2 / len(todo) * workers else None
        on_progress(StudyProgress(total - len(todo) + ended, total, dict(running), seconds, left))
    return failed


class _Worker:
    """A thread that gives tasks to one process, and starts another one where that dies."""

    def __init__(
        self, number: int, waiting: Queue[Task], events: Queue[Message], logs: Path, environment: dict[str, str]
    ) -> None:
        self.waiting, self.events, self.environment = waiting, events, environment
        self.log = logs / f"worker-{number}.log"
        self.process: subprocess.Popen[str] | None = None
        self.stopped = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the process, in the middle of a fit too: its checkpoints are enough to go on from."""
        self.stopped = True
        process = self.process
        if process is not None and process.poll() is None:
            process.kill()
        self.thread.join(timeout=10)

    def _serve(self) -> None:
        while not self.stopped:
            try:
                task = self.waiting.get_nowait()
            except Empty:
                break
            self.events.put(Started(task.name))
            self.events.put(self._do(task))
        self._close()

    def _do(self, task: Task) -> Message:
        process = self.process = self._alive()
        if self.stopped:  # between the start of the process and its being known to `stop`
            process.kill()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(task).decode() + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = decoded(line)
                if not isinstance(message, Progress):
                    return message
                self.events.put(message)
        except BrokenPipeError:
            pass
        code = self._close()
        end = f"by signal {-code}, as where memory runs out" if code < 0 else f"with code {code}"
        return Failed(task.name, Failure(f"its process ended {end}; see {self.log}"))

    def _close(self) -> int:
        """Wait for the process, which ends where its input does; its exit code."""
        if self.process is None:
            return 0
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        code = self.process.wait()
        self.process = None
        return code

    def _alive(self) -> subprocess.Popen[str]:
        if self.process is not None:
            return self.process
        command = [sys.executable, "-m", "connfit.evaluation.study.worker"]
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
            )
