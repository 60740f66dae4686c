"""The branching ratio of the same simulated activity, seen through regions and through few or many neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from connfit.analysis.criticality.branching import branching_ratio
from connfit.errors import DataError

SHARES = (1.0, 0.1, 0.01)


def branching_by_sample(
    units: Sequence[Shaped[np.ndarray, "t p"]],
    neurons: Sequence[Shaped[np.ndarray, "t n"]],
    *,
    frame_rate_hz: float,
    repeats: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Branching ratios of the mean over units, and over all, a tenth and a hundredth of the neurons, and as many
    neurons as there are units. Under subsampling m stays and the slope at lag 1 falls (Wilting & Priesemann 2018).

    Returns
    -------
    list[dict]
        `of`, `size`, `m`, `interval`, `amplitude`, `conventional`, `time_constant` in seconds, `reason`.
    """
    rows = [("units", units[0].shape[1], [one.mean(axis=1, dtype=np.float64) for one in units])]
    if len(neurons):
        total = neurons[0].shape[1]
        order = np.random.default_rng(seed).permutation(total)
        sizes = [round(share * total) for share in SHARES] + [units[0].shape[1]]
        for size in sorted({one for one in sizes if 2 <= one <= total}, reverse=True):
            rows.append(("neurons", size, [mean_over(one, None if size == total else order[:size]) for one in neurons]))
    out = []
    for of, size, courses in rows:
        max_lag = max(2, min(150, min(len(one) for one in courses) // 10))
        pieces = [piece for one in courses for piece in (one - one.mean(), np.full(max_lag, np.nan))]
        row: dict[str, Any] = {"of": of, "size": int(size)}
        try:
            found = branching_ratio(
                np.concatenate(pieces[:-1]), max_lag=max_lag, frame_rate_hz=frame_rate_hz, repeats=repeats, seed=seed
            )
        except DataError as error:
            found, row["reason"] = None, str(error)
        for key in ("m", "interval", "amplitude", "conventional", "time_constant"):
            row[key] = None if found is None else getattr(found, key)
        if found is not None:
            row["reason"] = found.reason
        out.append(row)
    return out


def mean_over(values: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """Mean over columns, a block of frames at a time, for values may lie on disk."""
    out = np.empty(len(values))
    step = max(1, 2**23 // values.shape[1])
    ordered = None if columns is None else np.sort(columns)
    for at in range(0, len(values), step):
        block = values[at : at + step]
        out[at : at + step] = (block if ordered is None else block[:, ordered]).mean(axis=1, dtype=np.float64)
    return out


def mean_of_observed(values: np.ndarray) -> np.ndarray:
    """Mean over observed units in each frame; NaN where none was observed."""
    course = mean_over(values)
    gaps = np.flatnonzero(np.isnan(course))
    there = gaps[np.isfinite(values[gaps]).any(axis=1)]
    course[there] = np.nanmean(values[there], axis=1, dtype=np.float64)
    return course
