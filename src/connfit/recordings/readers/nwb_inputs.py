"""External inputs and epochs of NWB files: time series of stimuli and behaviour, and tables of intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit.errors import DataError, did_you_mean, first_ten
from connfit.recordings import Inputs
from connfit.recordings.readers.input_table import at_frames, settle_inputs

Written = Callable[[Any, Path], Any]
Intervals = dict[str, list[tuple[float, float]]]


def nwb_intervals(file: Any, path: Path, written: Written) -> Intervals:
    """Return start and end in seconds of every interval: by its table (`epochs`, `trials`, ...), and by its tags.

    Raises
    ------
    DataError
        If a time is missing.
    """
    found: Intervals = {}
    tables = {"epochs": file.epochs, "trials": file.trials, **dict(file.intervals or {})}
    for name, table in tables.items():
        if table is None or "start_time" not in table.colnames:
            continue
        starts, stops = (
            np.asarray(written(table[column].data, path)[:], np.float64) for column in ("start_time", "stop_time")
        )
        tags = table["tags"][:] if "tags" in table.colnames else [()] * len(starts)
        for row, (start, stop, words) in enumerate(zip(starts, stops, tags, strict=True)):
            if not np.isfinite([start, stop]).all() or stop < start:
                raise DataError(f"interval {row} of {name!r} is from {start:g} s to {stop:g} s", path=path)
            for key in dict.fromkeys([name, *map(str, words)]):
                found.setdefault(key, []).append((float(start), float(stop)))
    return found


def nwb_inputs(
    pynwb: Any,
    file: Any,
    path: Path,
    wanted: Sequence[str],
    frames: Float[np.ndarray, "T"],
    *,
    resample: str,
    missing: str,
    written: Written,
) -> Inputs:
    """Read inputs by name: `series` or `Container/series`, whose columns become channels, or a kind of interval.

    A time series is brought to the frames as a table of inputs is (`read_input_table`). An interval is a channel that
    is 1 in frames from its start to before its end, else 0.

    Parameters
    ----------
    frames
        Time of each frame in seconds.
    written
        Checks a dataset before it is read.

    Raises
    ------
    DataError
        If there is nothing of a name, or more than one; if a series has no times.
    """
    intervals = nwb_intervals(file, path, written)
    series: dict[str, list[Any]] = {}
    for each in file.objects.values():
        if isinstance(each, pynwb.TimeSeries) and each.data is not None and np.ndim(each.data) in (1, 2):
            for name in {each.name, f"{getattr(each.parent, 'name', '')}/{each.name}"}:
                series.setdefault(name, []).append(each)
    columns, channels, units = [], [], []
    for name in wanted:
        found = series.get(name, [])
        if len(found) == 1:
            values, names = _of_series(found[0], name, path, frames, resample, missing, written)
            columns.append(values)
            channels += names
            units += [str(found[0].unit or "")] * len(names)
        elif not found and name in intervals:
            on = np.zeros(len(frames))
            for start, stop in intervals[name]:
                on[np.searchsorted(frames, start) : np.searchsorted(frames, stop)] = 1
            columns.append(on[:, None])
            channels.append(name)
            units.append("")
        else:
            known = [*(key for key in series if "/" in key), *intervals]
            near = "" if found else did_you_mean(name, [*series, *intervals])
            raise DataError(
                f"{len(found) or 'no'} time series or intervals are named {name!r}{near}; there "
                f"are {first_ten(sorted(known)) or 'none'}",
                path=path,
                fix="Name a series as Container/name",
            )
    return settle_inputs(np.concatenate(columns, axis=1), channels, path, missing=missing, units=units)


def _of_series(
    series: Any, name: str, path: Path, frames: Float[np.ndarray, "T"], resample: str, missing: str, written: Written
) -> tuple[Float[np.ndarray, "T Q"], list[str]]:
    data = np.asarray(written(series.data, path)[:])
    if data.dtype.kind not in "fiub":
        raise DataError(f"series {name!r} holds {data.dtype}", path=path, fix="It must hold numbers")
    values = data.reshape(len(data), -1).astype(np.float64) * float(series.conversion) + float(series.offset)
    if series.timestamps is not None:
        times = np.asarray(written(series.timestamps, path)[:], np.float64)
    elif series.rate:
        times = float(series.starting_time or 0.0) + np.arange(len(values)) / float(series.rate)
    else:
        raise DataError(f"series {name!r} has neither timestamps nor a rate", path=path)
    if times.shape != (len(values),):
        raise DataError(f"series {name!r} has {times.size} timestamps for {len(values)} values", path=path)
    names = [name] if values.shape[1] == 1 else [f"{name}[{k}]" for k in range(values.shape[1])]
    return at_frames(values, times, frames, path, resample, missing), names
