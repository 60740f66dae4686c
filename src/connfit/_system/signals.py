"""Signals that ask a program to end, as exceptions: what is half written is removed, and one line says how to go on."""

from __future__ import annotations

import signal
import time
from types import FrameType

_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)

_ONCE_SECONDS = 1.0
"""Time in which further signals are the same wish, as where `timeout` sends one to a process and one to its group."""


class Stopped(KeyboardInterrupt):
    """A signal asked this program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_when_stopped() -> None:
    """Raise `Stopped` at signals that ask to end; those that are ignored, as under `nohup`, stay so."""
    last = -_ONCE_SECONDS

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= _ONCE_SECONDS:
            raise Stopped(number)

    for number in _ASKED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def signal_number(interrupt: KeyboardInterrupt) -> int:
    """Return the signal behind an interrupt."""
    return interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
