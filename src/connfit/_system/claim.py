"""One process at a time in a run directory: two that write there would mix their files."""

from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import filelock

from connfit._display import unstorable, visible
from connfit._system.paths import UNFINISHED
from connfit.errors import BusyError, ConfigError, DataError

LOCK = ".lock"
"""File of a folder that is in use; its content says by whom."""


@contextmanager
def claimed(folder: str | Path, *, make: bool = True, wait: bool = False) -> Iterator[Path]:
    """Lock a folder for this process while it writes there.

    The folder is made if it is absent, and is tried: a command learns before it computes anything that it could not
    keep the result. What processes that ended early left behind is removed (`sweep`). A process may claim a folder
    that it holds already. A folder that was made here and is still empty at the end is removed again.

    Parameters
    ----------
    make
        Whether to make the folder; otherwise one that is absent is not claimed, and whoever looks for a run in it says
        that there is none.
    wait
        Whether to wait for a process that holds the folder, which is said on stderr.

    Raises
    ------
    BusyError
        If another process holds the folder, and `wait` is false; the message says which.
    DataError
        If the folder cannot be made or written to.
    """
    folder = Path(folder)
    if why := unstorable(str(folder)):
        raise ConfigError(f"{str(folder)!r} {why}: give another folder")
    if not make and not folder.is_dir():
        yield folder
        return
    made = _make(folder)
    lock = filelock.FileLock(folder / LOCK, timeout=0, is_singleton=True, thread_local=False)
    try:
        try:
            lock.acquire()
        except filelock.Timeout:
            if not wait:
                raise
            print(f"connfit: {visible(str(folder))} is in use by {_holder(folder)}: waiting for it", file=sys.stderr)
            lock.acquire(timeout=-1)
    except filelock.Timeout:
        raise BusyError(f"{folder} is in use by {_holder(folder)}: wait for it, or give another folder") from None
    except (OSError, NotImplementedError) as error:
        raise _unusable(folder, error) from error
    try:
        if lock.lock_counter == 1:
            _try_out(folder)
            sweep(folder)
        yield folder
    finally:
        if lock.lock_counter == 1:
            # Before the release: whoever waits for the file sees that it is gone, and makes another.
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                for empty in reversed(made):
                    empty.rmdir()
        lock.release()


F = TypeVar("F", bound=Callable[..., Any])


def claims(argument: str, *, make: bool = False) -> Callable[[F], F]:
    """Have a function hold, while it runs, the folder that one of its arguments names (see `claimed`)."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @wraps(function)
        def held(*args: object, **kwargs: object) -> object:
            folder = signature.bind(*args, **kwargs).arguments[argument]
            with claimed(folder, make=make):
                return function(*args, **kwargs)

        return cast("F", held)

    return decorate


def sweep(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what processes that ended left `unfinished` (`connfit._system.paths`); only for who holds the folder.

    A folder within it that another process holds, as one that resumes a fit of a study, is left alone.

    Parameters
    ----------
    names
        Of the files, where these alone are held; default: all in the folder.
    """
    for left_over in list(folder.rglob(".*.part")):
        of = UNFINISHED.fullmatch(left_over.name)
        if of is None or (names is not None and of["of"] not in names):
            continue
        within = left_over.relative_to(folder).parents
        if any(_is_held(folder / parent) for parent in within if parent != Path()):
            continue
        with contextlib.suppress(OSError):
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()


def tidy(folder: Path) -> None:
    """Remove what a process left that ended in a folder, where nothing is to be written any more."""
    if (folder / LOCK).exists():
        with contextlib.suppress(BusyError, DataError), claimed(folder, make=False):
            pass


def _is_held(folder: Path) -> bool:
    """Whether another process holds a folder."""
    if not (folder / LOCK).exists():
        return False
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            return False
    except (OSError, RuntimeError):  # a Timeout is an OSError; the other, where another lock of this process has it
        return True


def _make(folder: Path) -> list[Path]:
    """Make a folder; returns what had to be made, from the outside in."""
    if folder.is_file():
        raise ConfigError(f"{folder} is a file: give a folder")
    absent = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    return absent


def _try_out(folder: Path) -> None:
    """Write who holds the folder, which also shows that it can be written to."""
    text = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    try:
        (folder / LOCK).write_text(
            f"{text} ({shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])})", "utf-8", "backslashreplace"
        )
    except OSError as error:
        raise _unusable(folder, error) from error


def _holder(folder: Path) -> str:
    try:
        return (folder / LOCK).read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


def _unusable(folder: Path, error: BaseException) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(f"cannot be written to ({reason})", path=folder, fix="Give a folder that can, with free space")
