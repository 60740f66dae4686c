"""Signals that ask a program to end, as exceptions: what is half written is removed, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)

_ONCE_SECONDS = 1.0
"""Time in which further signals are the same wish, as where `timeout` sends one to a process and one to its group."""

_AGAIN_SECONDS = 0.05
"""After which a signal is sent again that came where Python lets no exception through."""


class Stopped(KeyboardInterrupt):
    """A signal asked this program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_when_stopped() -> None:
    """Raise `Stopped` at signals that ask to end; those that are ignored, as under `nohup`, stay so."""
    stop = _Stop(sys.unraisablehook)
    sys.unraisablehook = stop.lost
    for number in _ASKED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


class _Stop:
    """The handler of a signal; what it raises where Python lets nothing through is raised again a little later."""

    def __init__(self, otherwise: Callable[[Any], object]) -> None:
        self._last, self._otherwise = -_ONCE_SECONDS, otherwise

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if _loads_library(frame):
            self._send_again(number)
            return
        before, self._last = self._last, time.monotonic()
        if self._last - before >= _ONCE_SECONDS:
            raise Stopped(number)

    def lost(self, unraisable: Any) -> None:
        """Take note of an exception that ended in the finalizer, or a weak reference's callback, of some object."""
        if not isinstance(unraisable.exc_value, Stopped):
            self._otherwise(unraisable)
            return
        self._send_again(unraisable.exc_value.number)

    def _send_again(self, number: int) -> None:
        self._last = -_ONCE_SECONDS
        again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()


def _loads_library(frame: FrameType | None) -> bool:
    """Whether a compiled module is being loaded: it would take an exception for a failure of its own, or abort."""
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            return True
        frame = frame.f_back
    return False


def signal_number(interrupt: KeyboardInterrupt) -> int:
    """Return the signal behind an interrupt."""
    return interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
