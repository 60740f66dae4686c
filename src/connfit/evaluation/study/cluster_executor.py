"""Tasks of a study on a cluster of dask (https://distributed.dask.org), as dask-jobqueue starts it under SLURM.

Each task runs in a process of its own on the machine of a worker, which a worker that is killed takes with it. Machines
share the file system that the run is on.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, cast

import msgspec

from connfit._version import __version__
from connfit.errors import ConfigError, NotAvailableError
from connfit.evaluation.study.executor import ONE_THREAD, RETRIES, environment
from connfit.evaluation.study.messages import Failed, Failure, Message, Progress, Started, decoded, encoded
from connfit.evaluation.study.task_process import TaskProcess
from connfit.evaluation.study.tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

CONNECT_S = 20
"""Seconds to wait for a scheduler."""


@dataclass(frozen=True)
class ClusterExecutor:
    """Do tasks on the workers of a scheduler of dask, one for each of their threads.

    Parameters
    ----------
    scheduler
        Its address, as `tcp://host:8786`, or the file that it was told to write (`--scheduler-file`).
    jobs
        Tasks at once: the threads of all workers.
    threads
        Environment of each task's process, beside its worker's own.
    """

    scheduler: str
    jobs: int
    threads: Mapping[str, str] = field(default_factory=lambda: ONE_THREAD)

    @classmethod
    def at(cls, scheduler: str, threads: Mapping[str, str]) -> ClusterExecutor:
        """Ask a scheduler how many tasks its workers can do at once now; at least 1, for others may come.

        Raises
        ------
        ConfigError
            If nothing answers there.
        NotAvailableError
            If dask is not installed.
        """
        with _client(scheduler) as client:
            return cls(scheduler, max(1, sum(cast("dict[str, int]", client.nthreads()).values())), threads)

    @contextmanager
    def running(self, tasks: Sequence[Task], events: Queue[Message], logs: Path) -> Iterator[None]:
        """Do tasks while the context lasts, as `Executor` promises; waits for workers where there are none yet."""
        study = f"connfit-study-{uuid.uuid4().hex}"
        with _client(self.scheduler) as client:
            _check_workers(client, self.scheduler, logs)
            client.subscribe_topic(study, lambda event: events.put(decoded(event[1])))
            futures = []
            for task in tasks:
                asked, key = msgspec.json.encode(task).decode(), f"{study}-{task.name}"
                future = client.submit(
                    _do, asked, key, str(logs.resolve()), dict(self.threads), study, key=key, retries=RETRIES
                )
                future.add_done_callback(partial(_ended, task.name, events))
                futures.append(future)
            try:
                yield
            finally:
                client.cancel(futures, force=True)


class _AgainError(Exception):
    """A task may be tried again, here or on another worker."""


def _client(scheduler: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise NotAvailableError(
            "a study on a cluster needs dask: pip install 'connfit[cluster]', here and where its workers run"
        ) from error
    try:
        if "://" in scheduler or ":" in scheduler:
            return Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        if not Path(scheduler).is_file():
            raise ConfigError(
                f"--scheduler {scheduler} is neither an address, as tcp://host:8786, nor a file that a scheduler wrote"
            )
        return Client(scheduler_file=scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, KeyError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"--scheduler {scheduler}: no scheduler of dask answers ({why}); start one with `dask scheduler`, or give "
            "the address that `cluster.scheduler_address` of dask-jobqueue shows"
        ) from error


def _check_workers(client: Client, scheduler: str, logs: Path) -> None:
    """Raise a ConfigError where a worker that is there already could do no task."""
    try:
        found = cast("dict[str, str]", client.run(_unfit, str(logs.resolve()), __version__))
    except Exception as error:  # whatever a worker without connfit raises comes here as it is
        raise ConfigError(f"--scheduler {scheduler}: a worker cannot import this connfit ({error})") from error
    for address, why in found.items():
        if why:
            raise ConfigError(f"--scheduler {scheduler}: the worker at {address} {why}")


def _unfit(logs: str, version: str) -> str:
    """Why this worker can do no task of a study; empty if it can."""
    if __version__ != version:
        return f"has connfit {__version__}, and the study is of {version}: install the same"
    if not Path(logs).is_dir():
        return f"does not see {logs}: a study on a cluster needs a folder that all its machines share"
    return ""


def _do(asked: str, key: str, logs: str, threads: dict[str, str], study: str) -> str:
    """Do a task on a worker; return what became of it, as the line that says it."""
    from distributed import get_worker

    task = msgspec.json.decode(asked, type=Task)
    worker, host = get_worker(), socket.gethostname()
    if why := _unfit(logs, __version__):
        return encoded(Failed(task.name, Failure(f"the worker on {host} {why}")))
    folder = Path(logs)
    # What a machine has compiled need not run on another kind of machine.
    process = TaskProcess(folder / f"{task.name}.log", environment(folder / "compiled" / host, threads))
    over = threading.Event()
    watch = threading.Thread(target=_stop_where_cancelled, args=(worker, key, process, over), daemon=True)
    watch.start()
    worker.log_event(study, encoded(Started(task.name)))

    def say(now: Progress) -> None:
        worker.log_event(study, encoded(now))

    try:
        ended = process.do(task, say)
    finally:
        over.set()
        process.close()
    if isinstance(ended, Failed) and ended.why.again:
        raise _AgainError(f"on {host}: {ended.why.reason}")
    return encoded(ended)


def _stop_where_cancelled(worker: Worker, key: str, process: TaskProcess, over: threading.Event) -> None:
    """Kill the process of a task that nobody wants any more: dask leaves what runs already alone."""
    while not over.wait(1.0):
        state = worker.state.tasks.get(key)
        if state is None or state.state in ("cancelled", "released", "forgotten"):
            process.stop()
            return


def _ended(task: str, events: Queue[Message], future: Future) -> None:
    if future.status == "finished":
        events.put(decoded(future.result()))
        return
    if future.status == "error":
        from distributed import KilledWorker

        error = future.exception()
        killed = isinstance(error, KilledWorker)
        reason = f"its workers died {1 + RETRIES} times" if killed else f"{error} ({1 + RETRIES} times)"
        events.put(Failed(task, Failure(reason)))
        return
    events.put(Failed(task, Failure("the scheduler has dropped it, or is gone: run the study again to go on")))
