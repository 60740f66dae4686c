"""Several processes that fit one model together, on one machine or many: how they meet, agree, and end.

Each runs the same command on the same data and holds its devices' blocks of neurons; the first writes the run. What
follows from numbers that may round differently on another machine is decided by the first process and told to the
others.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar

from connfit.errors import ConfigError, ConnfitError

WAIT_SECONDS = 300
"""How long a process waits for the others at the start."""

HEARTBEAT_SECONDS = 60
"""After how long without a sign a process counts as lost, where its connections do not say so at once."""

OPTION = "--distributed"

T = TypeVar("T")

_LOST = re.compile(r"gloo|nccl|coordination|UNAVAILABLE|DEADLINE_EXCEEDED|Connection (closed|reset)", re.IGNORECASE)
_joined: list[tuple[int, int]] = []
_kept: list[Any] = []


class LostProcessError(ConnfitError):
    """Another process of the same fit has ended, or cannot be reached."""


def join(coordinator: str | None, process: int | None, processes: int | None, wait: float = WAIT_SECONDS) -> None:
    """Meet the other processes, before anything else is asked of JAX.

    Parameters
    ----------
    coordinator
        `host:port` of the first process. Without it JAX finds out: from SLURM and Open MPI, or from its environment
        variables `JAX_COORDINATOR_ADDRESS`, `JAX_PROCESS_ID` and `JAX_NUM_PROCESSES`.
    process, processes
        Number of this process, from 0 on, and how many there are; likewise.
    wait
        Seconds.

    Raises
    ------
    ConfigError
        If one of them is not known or impossible, or the first process does not answer.
    """
    import jax

    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    process = _number("--process", "JAX_PROCESS_ID", process)
    processes = _number("--processes", "JAX_NUM_PROCESSES", processes)
    if coordinator is None and (process is not None or processes is not None):
        raise ConfigError("--process and --processes need --coordinator HOST:PORT, an address of the first process")
    if coordinator is not None:
        host, port = _address(coordinator)
        if process is not None and processes is not None:
            if not 0 <= process < processes:
                raise ConfigError(f"--process {process}: numbers of {processes} processes go from 0 to {processes - 1}")
            if process > 0:
                _answers(host, port, wait)
    _speak_when_aborted(
        "the processes of this fit did not meet, or lost each other: see the lines above. What the first process had "
        "written is whole: `connfit resume DIR` goes on from the last checkpoint, on any number of devices"
    )
    try:
        jax.distributed.initialize(
            coordinator, processes, process, initialization_timeout=max(1, round(wait)),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )  # fmt: skip
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ConfigError(
            f"{OPTION}: JAX does not find the other processes ({' '.join(str(error).split())[:200]}). Under SLURM "
            "start the command with srun; elsewhere give --coordinator HOST:PORT --processes N and, on each "
            "machine another, --process K"
        ) from error
    _joined.append((jax.process_index(), jax.process_count()))


def alone() -> bool:
    """Return whether this process fits by itself."""
    return not _joined or _joined[0][1] == 1


def first() -> bool:
    """Return whether this is the process that writes."""
    return not _joined or _joined[0][0] == 0


def leave() -> None:
    """Part from the other processes, once all have come here."""
    if _joined:
        import jax

        with lost_processes():
            jax.distributed.shutdown()
        _joined.clear()


def end_at_once(code: object) -> None:
    """Exit where other processes take part in what failed here: theirs end when they miss this one, not by waiting."""
    if _joined and code:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 1)


def end_with_traceback() -> None:
    """Do so after an exception that is no user's mistake."""
    if _joined:
        traceback.print_exc()
        end_at_once(1)


@contextmanager
def lost_processes() -> Iterator[None]:
    """Have what JAX raises when another process is gone say so.

    Raises
    ------
    LostProcessError
        If that is what happened.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        if alone() or not _LOST.search(text):
            raise
        raise LostProcessError(
            f"another process of this fit has ended, or cannot be reached ({text[:200]}). `connfit resume DIR` goes on "
            "from the last checkpoint, on any number of devices"
        ) from error


def told(values: T) -> T:
    """Return the arrays of the first process, of the same shapes in all."""
    if alone():
        return values
    import jax
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    def as_bytes(one: Any) -> Any:
        return np.frombuffer(np.ascontiguousarray(one).tobytes(), np.uint8)

    def as_before(given: Any, one: Any) -> Any:
        like = np.asarray(one)
        return np.frombuffer(np.asarray(given).astype(np.uint8).tobytes(), like.dtype).reshape(like.shape)

    with lost_processes():
        sent = broadcast_one_to_all(jax.tree.map(as_bytes, values))
    return jax.tree.map(as_before, sent, values)


def check_same(facts: Mapping[str, str]) -> None:
    """Check that all processes were given the same.

    Parameters
    ----------
    facts
        What must be the same, by what it is in words.

    Raises
    ------
    ConfigError
        Names what differs from the first process.
    """
    if alone():
        return
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    own = np.array([list(sha256(text.encode()).digest()[:8]) for text in facts.values()], np.int32)
    with lost_processes():
        every = np.asarray(process_allgather(own))
    for process, others in enumerate(every):
        different = [what for what, same in zip(facts, (others == every[0]).all(axis=1), strict=True) if not same]
        if different:
            raise ConfigError(
                f"process {process} has other {' and '.join(different)} than process 0: start all with the same "
                "command, version of connfit and files"
            )


def _number(option: str, variable: str, given: int | None) -> int | None:
    text = os.environ.get(variable)
    if given is not None or text is None:
        return given
    if not text.isdecimal():
        raise ConfigError(f"{variable}={text!r} must be a whole number, or not be set; {option} is the same")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"--coordinator {text!r} must be HOST:PORT, an address of the first process")
    return host.strip("[]"), int(port)


def _answers(host: str, port: int, wait: float) -> None:
    """Wait for the first process: JAX ends a process that does not find it."""
    until = time.monotonic() + wait
    while True:
        try:
            with socket.create_connection((host, port), timeout=5):
                return
        except OSError as error:
            if time.monotonic() > until:
                raise ConfigError(
                    f"--coordinator {host}:{port}: the first process does not answer within {wait:g} s ({error}): "
                    "start the same command there with --process 0, or mend the address"
                ) from error
        time.sleep(0.2)


def _speak_when_aborted(message: str) -> None:
    """Print a line where XLA ends the process, which it does when it loses the first one, from a thread of its own."""
    library = ctypes.CDLL(None) if hasattr(signal, "SIGABRT") and os.name == "posix" else None
    if library is None:
        return

    def speak(_: int) -> None:
        os.write(2, f"\nconnfit: {message}\n".encode())
        os._exit(2)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(speak)
    _kept.append(handler)
    library.signal(signal.SIGABRT, handler)
