"""Run the tasks of a study that are not done yet, and say how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue

from connfit.evaluation.study.executor import Executor
from connfit.evaluation.study.messages import Failed, Failure, Finished, Message, Progress, Started
from connfit.evaluation.study.tasks import Task


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
    executor: Executor,
    *,
    logs: Path,
    on_progress: Callable[[StudyProgress], None] = lambda _: None,
) -> dict[str, Failure]:
    """Run all tasks that are not done yet.

    Parameters
    ----------
    logs
        Folder for what workers write on their error streams, and for programs that they have compiled.

    Returns
    -------
    dict
        By name of a task that failed: why.

    Raises
    ------
    ConnfitError
        If a folder holds results of other options or other data (before anything is started), or the executor cannot
        be reached.
    """
    todo = [task for task in tasks if not task.done()]
    if not todo:
        return {}
    logs.mkdir(parents=True, exist_ok=True)
    events: Queue[Message] = Queue()
    with executor.running(todo, events, logs):
        return _watch(events, todo, len(tasks), min(executor.jobs, len(todo)), on_progress)


def _watch(
    events: Queue[Message],
    todo: Sequence[Task],
    total: int,
    jobs: int,
    on_progress: Callable[[StudyProgress], None],
) -> dict[str, Failure]:
    failed: dict[str, Failure] = {}
    running: dict[str, float] = {}
    ended: set[str] = set()
    began = time.perf_counter()
    while len(ended) < len(todo):
        with suppress(Empty):
            match events.get(timeout=1.0):
                case Started(task) if task not in ended:
                    running[task] = 0.0
                case Progress(task, fraction) if task not in ended:
                    running[task] = fraction
                case Finished(task):
                    running.pop(task, None)
                    ended.add(task)
                case Failed(task, why):
                    running.pop(task, None)
                    failed[task] = why
                    ended.add(task)
                case Started() | Progress():
                    pass  # a message of a cluster that came after the end of its task
        seconds = time.perf_counter() - began
        portion = (len(ended) + sum(running.values())) / len(todo)
        left = seconds * (1 - portion) / portion if portion > 0.2 / len(todo) * jobs else None
        on_progress(StudyProgress(total - len(todo) + len(ended), total, dict(running), seconds, left))
    return failed
