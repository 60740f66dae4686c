"""Tasks that run beside each other in threads of one process, where each alone keeps one core busy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import TypeVar

from connfit._system import process_group
from connfit._system.environment import THREADS

Task = TypeVar("Task")
Done = TypeVar("Done")


class Stopped(BaseException):
    """Another task failed, or the command is interrupted: what this one would find is not asked for any more."""


def side_by_side(do: Callable[[Task, Callable[[], None]], Done], tasks: Sequence[Task], most: int) -> Iterator[Done]:
    """Yield what comes of each task, in their order, with as many at once as there are cores, at most `most`.

    One after the other where only one can run, and where a context of JAX, as `jax.enable_x64()`, holds for the thread
    of the caller alone.

    Parameters
    ----------
    do
        Does a task. It calls its second argument now and then, which raises `Stopped` where the others have ended.
    """
    at_once = min(most, len(tasks), _computing())
    with ThreadPoolExecutor(max(at_once, 1)) as threads:
        if at_once < 2 or not process_group.alone() or not _alike(threads):
            for task in tasks:
                yield do(task, lambda: None)
            return
        end = Event()

        def check() -> None:
            if end.is_set():
                raise Stopped

        try:
            for doing in [threads.submit(copy_context().run, do, task, check) for task in tasks]:
                yield doing.result()
        finally:
            end.set()
            threads.shutdown(cancel_futures=True)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _computing() -> int:
    """How many threads can compute at once: as many as there are cores, fewer if the environment says so."""
    found = cores()
    for name in ("NPROC", THREADS):  # threads of XLA, and of the kernels
        if (text := os.environ.get(name, "")).isdigit():
            found = min(found, max(1, int(text)))
    return found


def _alike(threads: ThreadPoolExecutor) -> bool:
    """Whether JAX computes in another thread as in this one."""
    import jax

    return threads.submit(lambda: dict(jax.config.values)).result() == dict(jax.config.values)
