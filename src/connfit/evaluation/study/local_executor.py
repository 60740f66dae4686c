"""Tasks of a study in processes of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

from connfit.evaluation.study.executor import ONE_THREAD, RETRIES, environment
from connfit.evaluation.study.messages import Failed, Message, Started
from connfit.evaluation.study.task_process import TaskProcess
from connfit.evaluation.study.tasks import Task


@dataclass(frozen=True)
class LocalExecutor:
    """Do tasks in processes of this machine.

    Parameters
    ----------
    jobs
        Processes at once.
    threads
        Environment of each, beside this process's own.
    """

    jobs: int
    threads: Mapping[str, str] = field(default_factory=lambda: ONE_THREAD)

    @contextmanager
    def running(self, tasks: Sequence[Task], events: Queue[Message], logs: Path) -> Iterator[None]:
        """Do tasks while the context lasts, as `Executor` promises."""
        waiting: Queue[Task] = Queue()
        for task in tasks:
            waiting.put(task)
        given = environment((logs / "compiled").resolve(), self.threads)
        workers = [
            Worker(waiting, events, TaskProcess(logs / f"worker-{number}.log", given))
            for number in range(min(self.jobs, len(tasks)))
        ]
        try:
            yield
        finally:
            for worker in workers:
                worker.stop()


class Worker:
    """A thread that gives tasks to one process."""

    def __init__(self, waiting: Queue[Task], events: Queue[Message], process: TaskProcess) -> None:
        self.process = process
        self._waiting, self._events, self._stopped = waiting, events, False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop what it does."""
        self._stopped = True
        self.process.stop()
        self._thread.join(timeout=10)

    def _serve(self) -> None:
        while not self._stopped:
            try:
                task = self._waiting.get_nowait()
            except Empty:
                break
            self._events.put(Started(task.name))
            self._events.put(self._tried(task))
        self.process.close()

    def _tried(self, task: Task) -> Message:
        for _ in range(1 + RETRIES):
            ended = self.process.do(task, self._events.put)
            if not isinstance(ended, Failed) or not ended.why.again or self._stopped:
                break
        return ended
