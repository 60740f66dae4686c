"""A process that does tasks of a study one after the other: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from queue import Queue
from typing import Any, TextIO

from connfit.errors import ConnfitError, DivergedError
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
        try:
            do(task, _progress(task, out))
        except ConnfitError as error:
            when = {"diverged": True, "epoch": error.epoch} if isinstance(error, DivergedError) else {}
            _say(out, {"event": "failed", "task": task.name, "reason": str(error), **when})
        else:
            _say(out, {"event": "done", "task": task.name})


def _read(tasks: Queue[Task]) -> None:
    for line in sys.stdin:
        tasks.put(Task(**json.loads(line)))
    os._exit(0)


def _progress(task: Task, out: TextIO) -> Any:
    last = time.perf_counter()

    def say(fraction: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last > SAY_EVERY_S:
            last = now
            _say(out, {"event": "progress", "task": task.name, "fraction": fraction})

    return say


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
