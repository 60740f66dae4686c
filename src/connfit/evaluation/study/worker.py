"""A process that does tasks of a study one after the other: JSON lines in, JSON lines out."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import TextIO

import msgspec

from connfit.errors import BusyError, ConnfitError, DivergedError
from connfit.evaluation.study.messages import Failed, Failure, Finished, Message, Progress, encoded
from connfit.evaluation.study.tasks import Task, do

SAY_EVERY_S = 1.0


def main() -> None:
    """Read tasks from standard input until it ends; say what becomes of them on standard output.

    When the parent is gone the input ends, in the middle of a fit too, and so does this process: nothing must
    go on writing where another study may start.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the lines
    tasks: Queue[Task] = Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        _say(out, outcome(task, _progress(task, out)))


def outcome(task: Task, on_progress: Callable[[float], None]) -> Finished | Failed:
    """Do a task; return what became of it."""
    try:
        do(task, on_progress)
    except BusyError as error:  # of the process that had the task before, and was killed a moment ago
        return Failed(task.name, Failure(str(error), again=True))
    except ConnfitError as error:
        diverged = isinstance(error, DivergedError)
        return Failed(task.name, Failure(str(error), diverged, error.epoch if diverged else None))
    except (OSError, MemoryError) as refused:
        return Failed(task.name, Failure(str(refused) or "out of memory", again=True))
    return Finished(task.name)


def _read(tasks: Queue[Task]) -> None:
    for line in sys.stdin:
        tasks.put(msgspec.json.decode(line, type=Task))
    os._exit(0)


def _progress(task: Task, out: TextIO) -> Callable[[float], None]:
    last = time.perf_counter()

    def say(fraction: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last > SAY_EVERY_S:
            last = now
            _say(out, Progress(task.name, fraction))

    return say


def _say(out: TextIO, message: Message) -> None:
    out.write(encoded(message))
    out.flush()


if __name__ == "__main__":
    main()
