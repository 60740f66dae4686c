"""Try HDF5 files of unknown origin in another process before they are read here.

The HDF5 library crashes on some damaged files and never ends on others. One process per program (`hdf5_probe`) reads
each once; it starts with the first such file and ends with the program. It is a program of its own, for a fork of one
with threads, as JAX has, may hang.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from threading import Lock

from connfit.errors import DataError, one_of

VARIABLE = "CONNFIT_HDF5_TRIAL"
"""`off`: read files at once."""

TOO_LARGE = 3
"""Exit code of a file that takes more memory than what it holds can unpack to."""

_lock = Lock()
_tried: set[tuple[int, int, int, int]] = set()


class _Probe:
    """The process that reads files first."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OPENBLAS_NUM_THREADS": "1",
            # Memory that is read before it is written, or after it was freed, shows itself.
            "MALLOC_PERTURB_": "165",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "connfit._system.hdf5_probe"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
            start_new_session=True,
        )  # fmt: skip
        atexit.register(self.end)
        if self._line() != b"ready\n":
            self.end()
            raise OSError(f"{sys.executable} does not start it")

    def status(self, path: Path) -> int:
        """Have a file read; returns how that process ended, as `os.waitpid` says it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            self.process.stdin.flush()
            return int(self._line())
        except BaseException:
            # An interrupt leaves an answer on its way that is for no later question.
            self.end()
            raise

    def end(self) -> None:
        """End it, and what it is reading."""
        atexit.unregister(self.end)
        if self.owner == os.getpid() and self.process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def usable(self) -> bool:
        """Whether it is this program's own, and runs."""
        return self.owner == os.getpid() and self.process.poll() is None

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


_probe: _Probe | None = None


def try_once(path: Path) -> None:
    """Have another process read a file, unless this version of it was tried before.

    Raises
    ------
    DataError
        If the HDF5 library crashed, or did not end.
    """
    if one_of(VARIABLE, os.environ.get(VARIABLE) or "on", ("on", "off")) == "off":
        return
    facts = path.stat()
    version = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
    with _lock:
        if version in _tried:
            return
        status = _ended(path.absolute())
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        problem = "the HDF5 library does not end on this file"
    elif code == TOO_LARGE:
        problem = "the HDF5 library asks for more memory than all that this file holds"
    elif code:
        problem = f"the HDF5 library crashes on this file ({_name(-code)})"
    else:
        _tried.add(version)
        return
    raise DataError(f"{problem}: it is damaged", path=path, fix="Copy or download it again")


def _ended(path: Path) -> int:
    global _probe
    try:
        if _probe is None or not _probe.usable():
            _probe = _Probe()
        return _probe.status(path)
    except (OSError, ValueError) as error:
        warnings.warn(
            f"{path} is read without a trial in another process, which would show that it crashes the HDF5 library: "
            f"{error}",
            stacklevel=5,
        )
        return 0


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"code {-number}"
