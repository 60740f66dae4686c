"""One file at a time in a folder that is not connfit's: the figure or the configuration of `connfit check`."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from connfit._system.file_locks import has_locks
from connfit._system.paths import UNFINISHED
from connfit.errors import BusyError


@contextmanager
def claimed_file(path: Path) -> Iterator[Path]:
    """Hold the place of one file in a folder of the user's while it is written; sweep what is `unfinished` of it.

    On drives without locks nothing is held, and nothing swept: it might be somebody else's.

    Raises
    ------
    BusyError
        If another process writes this file.
    """
    place = path.with_name(f".{path.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        locks = has_locks(place)
    except OSError as error:
        error.filename = str(path)
        raise
    if not locks:
        place.unlink()
        yield path
        return
    lock = filelock.FileLock(place, timeout=0, is_singleton=True, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        busy = f"{path} is being written by another process: wait for it, or write to another file"
        raise BusyError(busy) from None
    try:
        for left_over in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            of = UNFINISHED.fullmatch(left_over.name)
            if of is not None and of["of"] == path.name:
                left_over.unlink(missing_ok=True)
        yield path
    finally:
        with contextlib.suppress(OSError):
            place.unlink()
        lock.release()
