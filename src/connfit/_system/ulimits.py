"""Limits of a process (`ulimit`) below which libraries crash, or wait for ever, instead of raising an error."""

from __future__ import annotations

import resource
from threading import Event, Thread

from connfit._system.side_by_side import cores

ADDRESSES = 3_500_000_000
"""Bytes of address space that the libraries take before any data; most of it is never touched."""

FILES = 64
"""Files that may be open at once."""

_THREADS = 16, 5
"""Threads that are started, most by libraries: so many, and for each processor."""


def limit_problem() -> str | None:
    """Say which limit is too low, and what would be right; None where all are high enough.

    The limit of open files is raised as far as is allowed.
    """
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY and addresses < ADDRESSES:
        return (
            f"address space is limited to {addresses / 1e9:.2f} GB (ulimit -v), and the libraries reserve about "
            f"{ADDRESSES / 1e9:.1f} GB: raise it, or limit memory in another way (a control group)"
        )
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FILES:
        if most != resource.RLIM_INFINITY and most < FILES:
            return f"open files are limited to {most} (ulimit -n): allow {FILES} or more"
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, most))
    needed = _THREADS[0] + _THREADS[1] * cores()
    started = _threads(needed)
    if started < needed:
        return (
            f"processes and threads are limited (ulimit -u): {started} of {needed} that the libraries start could be "
            "started; allow more, or end other programs"
        )
    return None


def _threads(count: int) -> int:
    """Start threads, and end them; returns how many could be started."""
    over = Event()
    threads: list[Thread] = []
    try:
        for _ in range(count):
            thread = Thread(target=over.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except (RuntimeError, MemoryError):
        pass
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return len(threads)
