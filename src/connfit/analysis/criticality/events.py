"""Events of a population: frames in which units cross a threshold.

Recordings are read in blocks of units, once for all thresholds, so that an array larger than memory can be mapped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from connfit.analysis.criticality.levels import Levels
from connfit.analysis.criticality.surrogates import Surrogate
from connfit.analysis.criticality.threshold import Threshold
from connfit.errors import ConfigError, DataError, first_ten, one_of

BLOCK_ENTRIES = 2**22
"""Entries of a recording in one block: 16 MB in single precision, and a few copies of it."""

WORKERS = min(4, os.cpu_count() or 1)
"""Blocks that are worked on at a time."""


@dataclass(frozen=True)
class EventRule:
    """How values became events, and of which units.

    Parameters
    ----------
    threshold
        What made values into events; None where the data were events.
    units
        Units that took part.
    left_out
        Units that did not: never observed, constant, or of no spread by the threshold's rule.
    missing
        Entries that were not observed (without a threshold: none can be missing).
    grain
        What a count of 1 is worth, in the recording's units, for a threshold on the population; else None.
    surrogate
        Kind of the surrogate that was counted; None for the data.
    """

    threshold: Threshold | None = None
    units: int = 0
    left_out: int = 0
    missing: int = 0
    grain: float | None = None
    surrogate: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class EventCounts(EventRule):
    """Events of a population, frame by frame.

    Parameters
    ----------
    counts
        Events of all units in each frame; with a threshold on the population, how far it is above, in grains.
    observed
        Frames in which at least one unit was observed.
    population
        Mean over observed units of what was recorded, in its units (events, for data that are events); NaN where
        nothing was observed.
    """

    counts: Int[np.ndarray, "T"]
    observed: Bool[np.ndarray, "T"]
    population: Float[np.ndarray, "T"]


def count_events(
    values: Shaped[np.ndarray, "T N"],
    thresholds: Sequence[Threshold] | None = None,
    *,
    surrogate: Surrogate | None = None,
    without_spread: str = "refuse",
) -> list[EventCounts]:
    """Turn recorded values into events and count them in every frame, for one or several thresholds in one pass.

    Parameters
    ----------
    values
        [time, unit]; NaN marks missing values, which are never events and are counted. May be memory-mapped.
    thresholds
        What makes values into events. None: the data are events (bool, or integers as numbers of events).
    surrogate
        Count events of this surrogate instead.
    without_spread
        What becomes of a threshold by whose rule no unit has a spread, as by the MAD of events that are mostly zero:
        `"refuse"` it with an error, or `"count"` no events under it (`EventCounts.units` is then 0), as long as some
        other threshold has units.

    Returns
    -------
    list[EventCounts]
        One for each threshold; a single one without thresholds.

    Raises
    ------
    DataError
        If values are infinite, or no unit varies.
    ConfigError
        If thresholds and type of the data do not fit together.
    """
    one_of("without_spread", without_spread, ("refuse", "count"))
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"the recording has shape {values.shape}", fix="Pass an array [time, unit] that is not empty")
    frames, count = values.shape
    if thresholds is None:
        if values.dtype.kind not in "bui":
            raise ConfigError(f"values are {values.dtype} and no threshold is given; without one they must be events")
    elif not thresholds:
        raise ConfigError("thresholds is empty; give one or more")
    wanted = tuple(thresholds or ())
    by_unit = [threshold for threshold in wanted if threshold.over == "units"]
    counts = {threshold: np.zeros(frames, np.int64) for threshold in wanted}
    left_out = dict.fromkeys(wanted, 0)
    seen, total = np.zeros(frames, np.int64), np.zeros(frames)

    def of_block(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[tuple[int, np.ndarray]]]:
        """Observed units and their sum in each frame; by threshold, units left out and events in each frame."""
        rows = np.ascontiguousarray(np.asarray(values[:, ids[0] : ids[-1] + 1]).T)
        if thresholds is None and (rows.dtype.kind == "i" and (rows < 0).any()):
            raise DataError(f"units {first_ten(ids[(rows < 0).any(axis=1)])} have negative numbers of events")
        if surrogate is not None:
            rows = surrogate.rows(rows, ids)
        missing = _missing(rows, ids)
        there = np.full(frames, len(rows)) if missing is None else (~missing).sum(axis=0)
        sums = (rows if missing is None else np.where(missing, 0, rows)).sum(axis=0, dtype=np.float64)
        levels, events = Levels(rows, missing), []
        for threshold in by_unit:
            level = levels.of(threshold)
            above = _events(rows, level, missing, threshold.events).sum(axis=0)
            events.append((int((~np.isfinite(level)).sum()), above))
        return there, sums, events

    # NumPy works on several blocks at a time; sums are made in the order of the blocks, whichever is ready first.
    with ThreadPoolExecutor(WORKERS) as pool:
        for there, sums, events in pool.map(of_block, _blocks(frames, count)):
            seen += there
            total += sums
            for threshold, (without, number) in zip(by_unit, events, strict=True):
                left_out[threshold] += without
                counts[threshold] += number
    observed = seen > 0
    population = np.where(observed, total / np.maximum(seen, 1), np.nan)
    rest = {
        "observed": observed,
        "population": population,
        "missing": int(count * frames - seen.sum()),
        "surrogate": surrogate.kind if surrogate else None,
    }
    if thresholds is None:
        return [EventCounts(counts=total.astype(np.int64), threshold=None, units=count, left_out=0, **rest)]
    found, problems = [], []
    for threshold in wanted:
        events, without, grain = counts[threshold], left_out[threshold], None
        try:
            if threshold.over == "population":
                events, grain = _excess(population, observed, threshold)
            elif without == count:
                raise DataError(
                    f"none of {count} units has a spread by the rule {threshold.rule!r}",
                    fix="Units that rest at one value most of the time have no MAD: use 'zscore' or 'percentile'",
                )
        except DataError as error:
            problems.append(error)
            without = count
        found.append(
            EventCounts(
                counts=events, threshold=threshold, units=count - without, left_out=without, grain=grain, **rest
            )
        )
    if problems and (without_spread == "refuse" or len(problems) == len(found)):
        raise problems[0]
    return found


def _blocks(frames: int, units: int) -> list[np.ndarray]:
    """Numbers of the units of each block."""
    size = max(1, BLOCK_ENTRIES // frames)
    return [np.arange(start, min(start + size, units)) for start in range(0, units, size)]


def _missing(rows: np.ndarray, ids: np.ndarray) -> np.ndarray | None:
    """Where values are missing; None where all are there."""
    if rows.dtype.kind != "f":
        return None
    finite = np.isfinite(rows)
    if finite.all():
        return None
    infinite = np.isinf(rows).any(axis=1)
    if infinite.any():
        raise DataError(f"units {first_ten(ids[infinite])} have infinite values", fix="Mark missing values with NaN")
    return ~finite


def _events(rows: np.ndarray, level: np.ndarray, missing: np.ndarray | None, kind: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        above = rows > level.astype(rows.dtype if rows.dtype.kind == "f" else np.float64)[:, None]
    if kind == "above":
        return above
    # An onset needs a frame before it that was observed and below.
    before = ~above[:, :-1] if missing is None else ~above[:, :-1] & ~missing[:, :-1]
    onset = np.zeros_like(above)
    onset[:, 1:] = above[:, 1:] & before
    return onset


def _excess(population: np.ndarray, observed: np.ndarray, threshold: Threshold) -> tuple[np.ndarray, float]:
    """How far the population is above a threshold on it, in tenths of its robust (or else plain) deviation."""
    course = population[observed][None, :]
    levels = Levels(course, None)
    level = float(levels.of(threshold)[0])
    if not np.isfinite(level):
        raise DataError(f"the mean over units has no spread by the rule {threshold.rule!r}")
    grain = 0.1 * float(levels.mad[0] if levels.mad[0] > 0 else levels.deviation[0])
    above = np.zeros(len(population), np.int64)
    above[observed] = np.maximum(np.ceil((course[0] - level) / grain), 0).astype(np.int64)
    return above, grain


def join_events(parts: Sequence[EventCounts]) -> EventCounts:
    """Join events of several recordings, counted by one rule, with a frame that was not observed between two.

    No avalanche then crosses from one recording to the next. Levels stay those of each recording; units, units left
    out and grains are those of the first.
    """
    if len(parts) == 1:
        return parts[0]
    if len({(part.threshold, part.surrogate) for part in parts}) != 1:
        raise ConfigError("events that are joined must be counted by one threshold and be of one surrogate, or none")

    def joined(name: str, between: Any) -> np.ndarray:
        first, *others = (getattr(part, name) for part in parts)
        gap = np.array([between], first.dtype)
        return np.concatenate([first, *(piece for other in others for piece in (gap, other))])

    return replace(
        parts[0],
        counts=joined("counts", 0),
        observed=joined("observed", False),
        population=joined("population", np.nan),
        missing=sum(part.missing for part in parts),
    )
