"""The branching ratio of the same simulated activity, seen through regions and through few or many neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from connfit.analysis.criticality.branching import Branching, joint_branching
from connfit.analysis.result import Result
from connfit.errors import DataError

SHARES = (1.0, 0.1, 0.01)


@dataclass(frozen=True)
class SampleBranching(Result):
    """Branching ratio of the mean over a sample (Wilting & Priesemann 2018).

    Parameters
    ----------
    of, size
        `"units"` or `"neurons"`, and how many.
    m, interval, amplitude, conventional
        As in `connfit.analysis.criticality.branching.Branching`.
    time_constant
        In seconds.
    reason
        What has to be said about m.
    """

    of: str = ""
    size: int = 0
    m: float | None = None
    interval: tuple[float, float] | None = None
    amplitude: float | None = None
    conventional: float | None = None
    time_constant: float | None = None
    reason: str | None = None


def branching_by_sample(
    units: Sequence[Shaped[np.ndarray, "t p"]],
    neurons: Sequence[Shaped[np.ndarray, "t n"]],
    *,
    frame_rate_hz: float,
    repeats: int,
    seed: int,
) -> tuple[SampleBranching, ...]:
    """Estimate branching ratios of the mean over units, and over all, a tenth and a hundredth of the neurons, and as
    many neurons as there are units. Under subsampling m stays and the slope at lag 1 falls.
    """
    samples = [("units", units[0].shape[1], [values.mean(axis=1, dtype=np.float64) for values in units])]
    if len(neurons):
        total = neurons[0].shape[1]
        order = np.random.default_rng(seed).permutation(total)
        sizes = {round(share * total) for share in SHARES} | {units[0].shape[1]}
        for size in sorted((size for size in sizes if 2 <= size <= total), reverse=True):
            chosen = None if size == total else order[:size]
            samples.append(("neurons", size, [mean_over(values, chosen) for values in neurons]))
    rows = []
    for of, size, courses in samples:
        try:
            found = joint_branching(courses, frame_rate_hz=frame_rate_hz, repeats=repeats, seed=seed)
        except DataError as error:
            found = Branching(reason=str(error))
        rows.append(
            SampleBranching(
                of, size, found.m, found.interval, found.amplitude, found.conventional, found.time_constant,
                found.reason,
            )
        )  # fmt: skip
    return tuple(rows)


def mean_over(values: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """Return the mean over columns, a block of frames at a time, for values may lie on disk."""
    out = np.empty(len(values))
    step = max(1, 2**23 // values.shape[1])
    ordered = None if columns is None else np.sort(columns)
    for at in range(0, len(values), step):
        block = values[at : at + step]
        out[at : at + step] = (block if ordered is None else block[:, ordered]).mean(axis=1, dtype=np.float64)
    return out


def mean_of_observed(values: np.ndarray) -> np.ndarray:
    """Return the mean over observed units in each frame; NaN where none was observed."""
    course = mean_over(values)
    gaps = np.flatnonzero(np.isnan(course))
    there = gaps[np.isfinite(values[gaps]).any(axis=1)]
    course[there] = np.nanmean(values[there], axis=1, dtype=np.float64)
    return course
