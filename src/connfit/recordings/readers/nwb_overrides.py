"""What options put in the place of what an NWB file says of a time series: its factor, offset, rate and start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.errors import ConfigError, DataError
from connfit.recordings.readers.frames import FrameTimes, agreed_rate, frame_times, require_rate


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Options that count whatever the file says; None leaves that to the file.

    Parameters
    ----------
    conversion
        Factor of the values; those of single columns (`channel_conversion`) stay.
    offset
        What is added to them then.
    rate
        Frames per second (Hz): neither timestamps nor a rate of the file are used.
    start_s
        Time of the first frame in seconds.

    Raises
    ------
    ConfigError
        If one is no finite number, the factor is 0, or the rate is not positive.
    """

    conversion: float | None = None
    offset: float | None = None
    rate: float | None = None
    start_s: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and not number:
                raise ConfigError(f"{each.name} is {value!r}, but must be a finite number")
        if self.conversion == 0:
            raise ConfigError("conversion is 0, but must be another number")
        if self.rate is not None and self.rate <= 0:
            raise ConfigError(f"rate is {self.rate:g}, but must be a positive number, in Hz")


@dataclass(frozen=True)
class SeriesTimes:
    """Times of the frames of a series.

    Parameters
    ----------
    seconds
        [T] of each frame.
    frame_rate
        In Hz.
    intervals
        Of timestamps; None where there are none, or they are not used.
    cautions
        What of the file was replaced.
    """

    seconds: Float[np.ndarray, "T"]
    frame_rate: float
    intervals: FrameTimes | None = None
    cautions: tuple[str, ...] = field(default=())


def scaled(
    series: Any, data: np.ndarray, path: Path, overrides: Overrides
) -> tuple[Float[np.ndarray, "T P"], tuple[str, ...]]:
    """Return `data * conversion + offset`, and cautions on what of the file was replaced.

    Raises
    ------
    DataError
        If the factors are 0 or not finite, or not one for each column.
    """
    said = []
    stated = {"conversion": float(series.conversion), "offset": float(series.offset)}
    used = dict(stated)
    for name in stated:
        given = getattr(overrides, name)
        if given is not None and given != stated[name]:
            said.append(f"the {name} of series {series.name}, {stated[name]:g}, is replaced by {given:g} ({name})")
            used[name] = float(given)
    of_columns = getattr(series, "channel_conversion", None)
    factors = np.asarray(1.0 if of_columns is None else of_columns[:], np.float64) * used["conversion"]
    if not np.isfinite(factors).all() or not factors.all() or not np.isfinite(used["offset"]):
        problem = f"series {series.name!r} has the conversion {used['conversion']} and the offset {used['offset']}"
        fix = "Write factors that are finite and not 0, or give them as conversion and offset"
        raise DataError(problem, path=path, fix=fix)
    if factors.shape not in ((), (data.shape[1],)):
        problem = f"series {series.name!r} has {factors.size} factors (channel_conversion) for {data.shape[1]} columns"
        raise DataError(problem, path=path, fix="Write one per column")
    return data.astype(np.float64) * factors + used["offset"], tuple(said)


def series_times(
    series: Any,
    frames: int,
    path: Path,
    overrides: Overrides,
    *,
    frame_rate: float | None,
    written: Callable[[Any, Path], Any],
) -> SeriesTimes:
    """Find the time of each frame: from timestamps, from rate and start, or from what replaces them.

    Parameters
    ----------
    frame_rate
        Frames per second (Hz) that must agree.
    written
        Checks a dataset before it is read.

    Raises
    ------
    DataError
        If the timestamps are not one for each frame, in another unit, or not regular; or there is no rate.
    """
    stamps = None if series.timestamps is None else _stamps(series, frames, path, overrides, written)
    first = None if stamps is None else next(iter(stamps[np.isfinite(stamps)].tolist()), None)
    start, said = float(series.starting_time or 0.0) if first is None else first, []
    if overrides.start_s is not None and overrides.start_s != start:
        said.append(f"series {series.name} starts at {overrides.start_s:g} s (start_s), not at {start:g} s")
        start = float(overrides.start_s)
    if overrides.rate is not None:
        if stamps is not None or series.rate != overrides.rate:
            stated = f"the {series.rate} Hz" if stamps is None else "the timestamps"
            said.append(
                f"frames of series {series.name} come at {overrides.rate:g} Hz (rate), not at {stated} of the file"
            )
        rate = agreed_rate(overrides.rate, frame_rate, path)
        return SeriesTimes(start + np.arange(frames) / rate, rate, None, tuple(said))
    rate = frame_rate if series.rate is None else agreed_rate(series.rate, frame_rate, path)
    if stamps is None:
        rate = require_rate(rate, path)
        return SeriesTimes(start + np.arange(frames) / rate, rate, None, tuple(said))
    intervals = frame_times(stamps, path, stated_rate=rate)
    return SeriesTimes(stamps - stamps[0] + start if said else stamps, intervals.frame_rate, intervals, tuple(said))


def _stamps(
    series: Any, frames: int, path: Path, overrides: Overrides, written: Callable[[Any, Path], Any]
) -> Float[np.ndarray, "T"]:
    unit = getattr(series.timestamps, "attrs", {}).get("unit", "seconds")
    if unit != "seconds" and (overrides.rate is None or overrides.start_s is None):
        problem, fix = f"the timestamps of series {series.name!r} are in {unit!r}", "Write them in seconds"
        raise DataError(problem, path=path, fix=f"{fix}, or replace them with rate (Hz) and start_s")
    stamps = np.asarray(written(series.timestamps, path)[:], np.float64)
    if stamps.shape != (frames,) and overrides.rate is None:
        problem = f"series {series.name!r} has {stamps.size} timestamps for {frames} frames"
        raise DataError(
            problem, path=path, fix="data must be [time, unit]; wrong timestamps are replaced with rate (Hz)"
        )
    return stamps
