"""Times in seconds, whatever unit a file has them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit.errors import DataError, one_of

TIME_UNITS = ("s", "ms", "us", "min")
"""Values of the option `time_unit`."""

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
}


def in_seconds(times: np.ndarray, path: Path, *, time_unit: str | None, stated: str = "") -> Float[np.ndarray, "T"]:
    """Return times in seconds as float64.

    Parameters
    ----------
    times
        Numbers in the unit; or dates and durations of NumPy, which need none and count from the first.
    path
        The file, for messages.
    time_unit
        One of `TIME_UNITS`, whatever the file says. Default: what it says, else seconds.
    stated
        What the file says of them, as `"ms"` or `"seconds since 2020-01-01"`.

    Raises
    ------
    DataError
        If they are no numbers, or the file states another unit than those known here.
    ConfigError
        If there is no such `time_unit`.
    """
    if time_unit is not None:
        one_of("time_unit", time_unit, TIME_UNITS)
    if times.dtype.kind in "mM":
        if time_unit is not None:
            raise DataError("times are dates or durations, which have a unit", path=path, fix="Leave time_unit out")
        if np.isnat(times).any():
            raise DataError("a time is missing", path=path, fix="Every frame needs its time")
        start = times[0] if times.dtype.kind == "M" else np.timedelta64(0, "ns")
        return (times - start) / np.timedelta64(1, "s")
    if times.dtype.kind not in "fiu":
        raise DataError(f"times are {times.dtype}", path=path, fix="Write them in seconds, as numbers")
    word = _word(time_unit or stated)
    if word not in _SECONDS:
        fix = f"Write them in seconds, or say what they are with time_unit, one of {', '.join(TIME_UNITS)}"
        raise DataError(f"the times are in {stated!r}", path=path, fix=fix)
    # Divided where that is exact: 3 ms are 0.003 s and nothing beside.
    factor = _SECONDS[word]
    seconds = times.astype(np.float64)
    return seconds / round(1 / factor) if factor < 1 else seconds * factor


def overruled(time_unit: str | None, stated: str) -> list[str]:
    """Return a caution where a file states another unit of its times than the option `time_unit`; else nothing."""
    if time_unit is None or not stated or _SECONDS.get(_word(stated)) == _SECONDS.get(time_unit):
        return []
    return [f"the times are taken as {time_unit} (option time_unit), though the file says {stated!r}"]


def are_seconds(stated: str) -> bool:
    """Return whether a word says seconds."""
    return _SECONDS.get(_word(stated)) == 1


def _word(stated: str) -> str:
    return stated.partition(" since ")[0].strip().lower() or "s"
