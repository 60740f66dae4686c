"""What all readers of recordings share: the frame rate from frame times, and what to do with missing values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from connfit._display import unstorable
from connfit._io import require_file as require_file
from connfit.connectome.cell_words import MISSING_WORDS, is_missing
from connfit.errors import DataError, UnclearError, UnitsError, first_ten, one_of
from connfit.recordings.frame_blocks import frame_blocks
from connfit.recordings.plausibility import FASTEST_HZ, TIMES
from connfit.recordings.recording import SAME_RATE

MISSING_POLICIES = ("error", "mask")
MISSING = ", ".join(word for word in MISSING_WORDS if word)
GAP_TOLERANCE = 0.5
"""Share of the median interval by which others may be longer or shorter."""
RATE_KEYS = ("frame_rate", "sampling_rate_hz")
"""Names under which a file may state its frame rate in Hz."""

_DRIFT = 0.02
"""Share by which the rate of a stretch of frames may differ from that of another, beyond its jitter."""
_BLOCK = 50
"""Frames of a stretch, at most."""
_SLOW_HZ, _FAST_HZ, _SHORT_S = 0.1, 50, 60
"""Rates of frames, and the length of a recording that is fast, that ask whether times are in seconds."""
_CLOCKS = frozenset(
    ("t time times timesec timeseconds tsec ts timems tms timemin tmin timestamp timestamps date datetime s sec secs "
     "second seconds ms msec milliseconds minutes frame frames frameno frameid frameindex framenumber index idx row "
     "unnamed0 samplingratehz samplingrate framerate frameratehz fps").split()
)  # fmt: skip
"""Names of columns that are no units, without case and punctuation."""


@dataclass(frozen=True)
class FrameTimes:
    """Frame rate of a recording and how regular its frames are.

    Parameters
    ----------
    frame_rate
        1 / mean interval, in Hz.
    mean_interval_s, median_interval_s, shortest_interval_s, longest_interval_s
        Intervals between frames in seconds.
    cautions
        Why the times may not be in seconds.
    """

    frame_rate: float
    mean_interval_s: float
    median_interval_s: float
    shortest_interval_s: float
    longest_interval_s: float
    cautions: tuple[str, ...] = ()

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
        If times are missing, repeat, run backwards, leave out or repeat frames (an interval above 1.5 or below 0.5
        times the median), change their rate on the way, or contradict the stated rate.
    """
    times = np.asarray(times, np.float64)
    stated = None if stated_rate is None else require_rate(stated_rate, path)
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
    _refuse_change(intervals, path)
    if intervals.max() > (1 + GAP_TOLERANCE) * median:
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
    # As short as that is a frame that lies midway between two others.
    if intervals.min() <= GAP_TOLERANCE * median * (1 + 1e-6):
        row = int(np.argmin(intervals))
        raise DataError(
            f"frames lie too close: {intervals[row]:g} s lie between frames {row} and {row + 1}, "
            f"{median:g} s between most others",
            path=path,
            fix="Remove frames that are there twice, or cut the recording where its frame rate changes",
        )
    mean = float(intervals.mean())
    cautions = () if stated is not None else _doubtful_seconds(times, mean)
    result = FrameTimes(1 / mean, mean, median, float(intervals.min()), float(intervals.max()), cautions)
    if stated is not None and abs(result.frame_rate / stated - 1) > SAME_RATE:
        raise DataError(
            f"frame_rate = {stated:g} Hz, but the frame times give {result.frame_rate:.6g} Hz",
            path=path,
            fix="Correct one of them, or leave frame_rate out",
        )
    return result


def _refuse_change(intervals: Float[np.ndarray, "T-1"], path: Path) -> None:
    """Raise a DataError if frames come faster in one stretch than in another, beyond what their jitter explains."""
    for size in {max(10, min(_BLOCK, len(intervals) // 20)), min(_BLOCK, len(intervals) // 2)}:
        if size < 5 or len(intervals) < 2 * size:
            continue
        starts = np.arange(0, len(intervals) - size + 1, size)
        # The last block ends with the recording, and may share frames with the one before it.
        starts = np.append(starts, len(intervals) - size)
        blocks = intervals[starts[:, None] + np.arange(size)]
        # A single gap changes the mean of a block, jitter of few frames its median: a rate changes both.
        means, medians = blocks.mean(axis=1), np.median(blocks, axis=1)
        allowed = 1 + _DRIFT + 8 * np.mean(blocks.std(axis=1) / means) / np.sqrt(size)
        least, most = int(np.argmin(medians)), int(np.argmax(medians))
        if min(medians[most] / medians[least], means[most] / means[least]) > allowed:
            places = [f"{1 / medians[k]:.4g} Hz at frame {starts[k]}" for k in sorted((least, most))]
            fix = "Cut the recording where the rate changes, or resample it to one rate"
            raise DataError(f"the frame rate changes: {' and '.join(places)}", path=path, fix=fix)


def _doubtful_seconds(times: Float[np.ndarray, "T"], mean: float) -> tuple[str, ...]:
    """Why times that no stated frame rate confirms may not be in seconds."""
    duration, rate = times[-1] - times[0], 1 / mean
    if np.array_equal(times - times[0], np.arange(len(times))) and times[0] in (0, 1):
        doubt = "count up by 1: if they are numbers of frames and not seconds,"
    elif rate < _SLOW_HZ:
        doubt = f"put {mean:.4g} s between frames: if they are in milliseconds or in frames,"
    elif rate > FASTEST_HZ or (rate > _FAST_HZ and duration < _SHORT_S and len(times) >= 100):
        doubt = f"make {rate:.4g} frames/s and {duration:.3g} s in all: if they are in minutes,"
    else:
        return ()
    fix = "read them with time_unit, or convert them to seconds; otherwise confirm them with"
    return (f"{TIMES} {doubt} {fix} frame_rate = {rate:.6g}",)


def unread(found: Collection[str], known: Collection[str], what: str) -> list[str]:
    """Return a caution on names in a file that a reader does not know, with the nearest that it does; else nothing.

    Parameters
    ----------
    found, known
        Names in the file, and those that its reader uses or leaves out on purpose.
    what
        What has these names, as `"arrays"`.
    """
    names = sorted(name for name in found if name not in known)
    if not names:
        return []
    free = [name for name in known if name not in found]
    near = {name: get_close_matches(name.casefold(), free, n=1, cutoff=0.7) for name in names}
    hints = [f"did you mean {close[0]!r} by {name!r}?" for name, close in near.items() if close]
    return ["; ".join([f"{what} that are not read: {first_ten(names)}", *hints])]


def stated_rate(found: Mapping[str, object], frame_rate: float | None, path: Path) -> float | None:
    """Return the frame rate that a file or the option states, if one does.

    Parameters
    ----------
    found
        What the file has by name, of which `RATE_KEYS` are looked at.

    Raises
    ------
    DataError
        If it is no positive number, or two contradict each other.
    """
    rates = [agreed_rate(found[key], frame_rate, path) for key in RATE_KEYS if key in found]
    if len(rates) > 1 and abs(rates[0] / rates[1] - 1) > SAME_RATE:
        problem = f"{RATE_KEYS[0]} says {rates[0]:g} Hz, {RATE_KEYS[1]} {rates[1]:g} Hz"
        raise DataError(problem, path=path, fix="Correct one of them, or leave it out")
    return rates[0] if rates else frame_rate


def require_rate(frame_rate: object, path: Path) -> float:
    """Return a positive frame rate in Hz, or raise a DataError."""
    if frame_rate is None:
        fix = "Give frame_rate, the frames per second in Hz"
        raise UnclearError("the frame rate is not known", option="frame_rate", path=path, fix=fix)
    try:
        given = np.asarray(frame_rate).item()  # type: ignore[arg-type]
        rate = float("nan") if isinstance(given, bool) else float(given)
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
    if frame_rate is not None and abs(rate / frame_rate - 1) > SAME_RATE:
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
        A unit without any stays, to be left out before a fit.
    mask
        [time, unit] True where observed, if the source says so itself.

    Raises
    ------
    DataError
        If values are missing and the policy is `"error"`; if no unit has a value; if a unit is a clock or an index.
    """
    one_of("missing", missing, MISSING_POLICIES)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"values have shape {values.shape}", path=path, fix="They must be [time, unit], at least one of each"
        )
    stated = np.ones(values.shape, bool) if mask is None else mask
    # A model computes in single precision, where larger values are infinite.
    absent = stated.copy()
    for block in frame_blocks(0, *values.shape):
        absent[block] &= ~(np.abs(values[block]) <= np.finfo(np.float32).max)
    observed = stated & ~absent
    silent = [units[int(k)] for k in np.flatnonzero(~observed.any(axis=0))]
    if len(silent) == len(units):
        raise DataError("no unit has an observed value", path=path, fix="Check the file, and its mask if it has one")
    if missing == "error" and (absent.any() or silent):
        frame, unit = np.argwhere(absent if absent.any() else ~observed)[0]
        count = int(absent.sum())
        problem = f"{count} values are missing or infinite, the first at frame {frame}, unit {units[unit]!r}"
        fix = "Read with missing='mask' to mark them as not observed, or repair the file"
        if silent:
            problem += f"; units without any observed value: {first_ten(silent)} ({len(silent)} of {len(units)})"
            fix = (
                "Leave these units out with empty_units='drop' (others must be complete), with missing='mask', or with "
                "the step 'select'"
            )
        lacking = absent.any(axis=0) | ~observed.any(axis=0)
        raise UnitsError(problem, units=[units[int(k)] for k in np.flatnonzero(lacking)], path=path, fix=fix)
    refuse_clocks(values, units, path)
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


def refuse_clocks(values: Float[np.ndarray, "T P"], units: Sequence[str], path: Path) -> None:
    """Raise a DataError for a unit, or an input, that by its name and its values is a time, an index, or a rate."""
    for column, unit in enumerate(units):
        if re.sub(r"[\W_]+", "", unit.casefold()) in _CLOCKS:
            steps = np.diff(values[:, column].astype(np.float64))
            if len(steps) and ((steps > 0).all() or (steps < 0).all() or (steps == 0).all()):
                raise DataError(
                    f"column {unit!r} is no unit and no input: it "
                    f"{'never changes' if steps[0] == 0 else 'only rises or falls'}, as times, indices and rates do",
                    path=path,
                    fix="Delete the column; of frame times in seconds, name it time_s (CSV: or give time_column)",
                )
