"""What all readers of recordings share: the frame rate from frame times, and what to do with missing values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from connfit._display import unstorable
from connfit.connectome.columns import MISSING_WORDS, is_missing
from connfit.errors import DataError, first_ten, one_of

MISSING_POLICIES = ("error", "mask")
MISSING = ", ".join(word for word in MISSING_WORDS if word)
GAP_TOLERANCE = 1.5
RATE_TOLERANCE = 0.01


@dataclass(frozen=True)
class FrameTimes:
    """Frame rate of a recording and how regular its frames are.

    Parameters
    ----------
    frame_rate
        1 / mean interval, in Hz.
    mean_interval_s, median_interval_s, shortest_interval_s, longest_interval_s
        Intervals between frames in seconds.
    """

    frame_rate: float
    mean_interval_s: float
    median_interval_s: float
    shortest_interval_s: float
    longest_interval_s: float

    def notes(self) -> dict[str, float]:
        """Return the intervals, for a recording's notes."""
        return {
            "mean_interval_s": self.mean_interval_s,
            "median_interval_s": self.median_interval_s,
            "shortest_interval_s": self.shortest_interval_s,
            "longest_interval_s": self.longest_interval_s,
        }


def frame_times(times: Float[np.ndarray, "T"], path: Path, *, stated_rate: float | None = None) -> FrameTimes:
    """Find the frame rate from the times of the frames.

    Parameters
    ----------
    times
        [T] in seconds.
    path
        The file, for messages.
    stated_rate
        Frame rate in Hz that must agree within 1 %, if there is one.

    Raises
    ------
    DataError
        If times are missing, repeat, run backwards, leave out frames (an interval above 1.5 times the
        median), or contradict the stated rate.
    """
    times = np.asarray(times, np.float64)
    if len(times) < 2:
        raise DataError(
            f"{len(times)} frame times are too few for a frame rate",
            path=path,
            fix="A recording needs at least two frames",
        )
    if not np.isfinite(times).all():
        row = int(np.flatnonzero(~np.isfinite(times))[0])
        raise DataError(f"the time of frame {row} is missing", path=path, fix="Every frame needs its time in seconds")
    intervals = np.diff(times)
    if (intervals <= 0).any():
        row = int(np.flatnonzero(intervals <= 0)[0])
        what = "repeats the time of" if intervals[row] == 0 else "is earlier than"
        raise DataError(
            f"frame {row + 1} at {times[row + 1]:g} s {what} frame {row} at {times[row]:g} s "
            f"({int((intervals <= 0).sum())} such frames)",
            path=path,
            fix="Sort the frames by time and remove those that are there twice",
        )
    median = float(np.median(intervals))
    if intervals.max() > GAP_TOLERANCE * median:
        row = int(np.argmax(intervals))
        raise DataError(
            f"frames are left out: {intervals[row]:g} s lie between frames {row} and {row + 1}, "
            f"{median:g} s between most others",
            path=path,
            fix=(
                "Put the missing frames in as rows without values and read with missing='mask', or cut the "
                "recording there"
            ),
        )
    result = FrameTimes(
        1 / float(intervals.mean()), float(intervals.mean()), median, float(intervals.min()), float(intervals.max())
    )
    if stated_rate is not None and abs(result.frame_rate / stated_rate - 1) > RATE_TOLERANCE:
        raise DataError(
            f"frame_rate = {stated_rate:g} Hz, but the frame times give {result.frame_rate:.6g} Hz",
            path=path,
            fix="Correct one of them, or leave frame_rate out",
        )
    return result


def require_rate(frame_rate: object, path: Path) -> float:
    """Return a positive frame rate in Hz, or raise a DataError."""
    try:
        rate = float(np.asarray(frame_rate).item())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        rate = float("nan")
    if not np.isfinite(rate) or rate <= 0:
        raise DataError(
            f"frame_rate = {frame_rate!r} is not a positive number", path=path, fix="Give the frames per second in Hz"
        )
    return rate


def agreed_rate(stated: object, frame_rate: float | None, path: Path) -> float:
    """Return the frame rate that a file states, or raise a DataError where the option contradicts it."""
    rate = require_rate(stated, path)
    if frame_rate is not None and abs(rate / frame_rate - 1) > RATE_TOLERANCE:
        problem = f"the file says {rate:g} Hz, the option frame_rate = {frame_rate:g} Hz"
        raise DataError(problem, path=path, fix="Leave the option out or correct the file")
    return rate


def settle_missing(
    values: Float[np.ndarray, "T P"],
    units: Sequence[str],
    path: Path,
    *,
    missing: str,
    mask: Bool[np.ndarray, "T P"] | None = None,
) -> tuple[Float[np.ndarray, "T P"], Bool[np.ndarray, "T P"], int]:
    """Return values with NaN wherever nothing was observed, the mask, and the number of missing values.

    Parameters
    ----------
    values
        [time, unit] as read.
    units
        Unit names, for the message.
    missing
        `"error"`, or `"mask"`: missing and infinite values are marked as not observed.
    mask
        [time, unit] True where observed, if the source says so itself.

    Raises
    ------
    DataError
        If values are missing and the policy is `"error"`, or a unit has no value at all.
    """
    one_of("missing", missing, MISSING_POLICIES)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"values have shape {values.shape}", path=path, fix="They must be [time, unit], at least one of each"
        )
    stated = np.ones(values.shape, bool) if mask is None else mask
    absent = stated & ~np.isfinite(values)
    if absent.any() and missing == "error":
        frame, unit = np.argwhere(absent)[0]
        raise DataError(
            f"{int(absent.sum())} values are missing or infinite, the first at frame {frame}, unit {units[unit]!r}",
            path=path,
            fix="Read with missing='mask' to mark them as not observed, or repair the file",
        )
    observed = stated & ~absent
    silent = [units[int(k)] for k in np.flatnonzero(~observed.any(axis=0))]
    if silent:
        raise DataError(
            f"units without any observed value: {first_ten(silent)} ({len(silent)} of {len(units)})",
            path=path,
            fix="Remove these units from the file",
        )
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    if not observed.all():
        values = np.where(observed, values, np.nan).astype(values.dtype)
    return values, observed, int((~observed).sum())


def check_units(units: Sequence[object], columns: int, path: Path) -> tuple[str, ...]:
    """Check unit names and return them as text: one per column, none empty, none twice."""
    names = tuple(str(unit).strip() for unit in units)
    if len(names) != columns:
        raise DataError(
            f"{len(names)} unit names for {columns} columns of values",
            path=path,
            fix="values must be [time, unit] with one name per unit",
        )
    empty = [k for k, unit in enumerate(names) if is_missing(unit)]
    if empty:
        raise DataError(
            f"units without a name in columns {first_ten(empty)} (counted from 0; {MISSING} say that there is none)",
            path=path,
            fix="Name every unit",
        )
    for k, unit in enumerate(names):
        if why := unstorable(unit):
            raise DataError(f"unit {unit!r} in column {k} (counted from 0) {why}", path=path, fix="Rename it")
    seen: set[str] = set()
    repeated = [unit for unit in names if unit in seen or seen.add(unit)]
    if repeated:
        raise DataError(
            f"unit names repeat: {first_ten(dict.fromkeys(repeated))}",
            path=path,
            fix="Rename, merge or remove the repeated units",
        )
    return names


def require_file(path: str | Path) -> Path:
    """Return the path of a file that is there and not empty, or raise a DataError."""
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", path=path, fix="Check the path")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", path=path, fix="Copy or download it again")
    return path
