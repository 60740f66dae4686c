"""How long the stages of a command take, measured where they run, and where a long one is at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

LEAST_SHARE = 0.01
"""Share of the total below which a stage is counted among the others."""

_measured: ContextVar[dict[str, float] | None] = ContextVar("measured", default=None)

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call the listener meanwhile with where a stage is, as often as that changes."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(where: str) -> None:
    """Say where a stage is, to whoever listens."""
    if (listener := _listener.get()) is not None:
        listener(where)


@contextmanager
def measured_stages() -> Iterator[dict[str, float]]:
    """Measure the stages that run meanwhile, in seconds by name, in the order in which they began."""
    seconds: dict[str, float] = {}
    token = _measured.set(seconds)
    try:
        yield seconds
    finally:
        _measured.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time as that of a stage; what another stage inside it takes is that one's alone."""
    seconds = _measured.get()
    if seconds is None:
        yield
        return
    seconds.setdefault(name, 0.0)
    before, began = sum(seconds.values()), time.perf_counter()
    try:
        yield
    finally:
        inside = sum(seconds.values()) - before
        seconds[name] += time.perf_counter() - began - inside


def stages_so_far() -> Mapping[str, float]:
    """Return the seconds of the stages that were measured so far; nothing where none are measured."""
    return _measured.get() or {}


def told(seconds: Mapping[str, float]) -> str:
    """Describe how long stages took, those of less than `LEAST_SHARE` together."""
    total = sum(seconds.values())
    long = {name: of for name, of in seconds.items() if of >= LEAST_SHARE * total}
    others = total - sum(long.values())
    each = [f"{name} {_seconds(of)}" for name, of in long.items()]
    each += [f"others {_seconds(others)}"] if len(long) < len(seconds) else []
    return f"{_seconds(total)} ({', '.join(each)})"


def _seconds(number: float) -> str:
    return f"{number:,.0f} s" if number >= 10 else f"{number:.1f} s"
