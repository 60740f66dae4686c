"""A word for the avalanches of a source, from counts over its table and from what no threshold enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from connfit.analysis.criticality.linear_surrogates import noise_growth
from connfit.errors import DataError

LEAST_SHARE, LEAST_CELLS = 0.5, 9
"""Smallest share and number of cells with avalanches enough; cells share their avalanches, so a few are one."""

SHARE = 0.75
"""Smallest share of these in which both power laws and their relation hold: critical branching of 6,000 frames has 0.85
and more, branching with m = 0.98 up to 0.5."""

CRITICAL_FROM, SLOWEST = 0.9995, 0.9
"""An interval of the branching ratio must reach the first and lie above the second: a wider one tells nothing."""

LEVEL = 0.02
"""Of the test that noise grows with activity."""

GRID_SURROGATES = ("shuffle", "phase_together")
"""Surrogates that go through all thresholds and bins: no order in time, and all linear structure but no other."""


@dataclass(frozen=True)
class Signal:
    """What the mean activity says, to which no threshold is applied.

    Parameters
    ----------
    interval
        Of the branching ratio, 95 %; None where there is none.
    p
        Of the hypothesis that the activity is linear and Gaussian (`connfit.analysis.criticality.linear_surrogates`);
        None where it could not be tested.
    correlation
        Of squared errors with the level; None where it could not be tested.
    reason
        Why there was no test.
    """

    interval: tuple[float, float] | None
    p: float | None
    correlation: float | None = None
    reason: str | None = None


def signal_of(interval: tuple[float, float] | None, courses: Sequence[np.ndarray], seed: int = 0) -> Signal:
    """The test of the mean activity, beside an interval of its branching ratio."""
    try:
        found = noise_growth(courses, seed=seed)
    except DataError as error:
        return Signal(interval, None, None, str(error))
    return Signal(interval, found.p, found.correlation)


def signal_in(source: Mapping[str, Any]) -> Signal | None:
    """What the mean activity of a source says, from its record; None in records without it."""
    found = (source.get("signal") or {}).get("linear")
    if found is None:
        return None
    branching = (source["signal"] or {}).get("branching") or {}
    interval = branching.get("interval")
    return Signal(tuple(interval) if interval else None, found["p"], found["correlation"], found["reason"])


def best_floor(source: Mapping[str, Any]) -> str | None:
    """The separation of avalanches under which most cells of the table have enough of them."""
    counts = {floor: kinds["data"]["enough"] for floor, kinds in source["verdict"].items() if "data" in kinds}
    return max(counts, key=lambda floor: counts[floor]) if counts else None


def judge(kinds: Mapping[str, Mapping[str, int]], signal: Signal | None = None) -> str:
    """A word for the avalanches of one source from the counts of its table and its surrogates'.

    `undecidable`: fewer than half of the cells whose threshold applies, or fewer than 9, have avalanches enough.
    `none`: in no cell do both power laws stand. `untested`: they do, but in no cell are there enough durations to test
    the scaling relation; `unrelated`: where there are, it never holds. `not specific`: in no larger share of cells
    than for shuffled frames, or noise does not grow with activity, so that a linear process does as well (where that
    could not be tested: in no larger share than for some surrogate). `dependent on threshold and bin`: in fewer than
    three quarters of the cells. `not near 1`: the interval of the branching ratio does not reach 1, or is too wide to
    tell. `consistent with criticality`: none of these.

    Parameters
    ----------
    kinds
        By surrogate, what `connfit.analysis.criticality.signature_table.verdict` counts.
    signal
        What the mean activity says; None to judge by the counts alone.
    """
    own = kinds["data"]
    if own["enough"] < max(LEAST_CELLS, LEAST_SHARE * own.get("cells", 0)):
        return "undecidable"
    if not own["both"]:
        return "none"
    if not own["all"]:
        return "unrelated" if own["tested"] else "untested"
    share = own["all"] / own["enough"]
    linear = signal is not None and signal.p is not None
    others = [kinds[one] for one in GRID_SURROGATES if one in kinds and not (linear and one == "phase_together")]
    if any(one["enough"] and one["all"] / one["enough"] >= share for one in others):
        return "not specific"
    if signal is not None and signal.p is not None and signal.p > LEVEL:
        return "not specific"
    if share < SHARE:
        return "dependent on threshold and bin"
    if signal is not None:
        interval = signal.interval
        if interval is None or interval[1] < CRITICAL_FROM or interval[0] < SLOWEST:
            return "not near 1"
    return "consistent with criticality"


JUDGED = {
    "undecidable": "Too few combinations of threshold and bin have avalanches enough to say anything.",
    "none": "No sign of criticality.",
    "untested": "Power laws alone: there are too few avalanches for the relation that a critical point asks for.",
    "unrelated": "Power laws alone, without the relation between them that a critical point asks for.",
    "not specific": "Surrogates or a linear process do as well, so this says nothing about criticality.",
    "dependent on threshold and bin": "What one would report depends on threshold and bin.",
    "not near 1": "Power laws with their relation, but a branching ratio that is below 1 or not known well enough.",
    "consistent with criticality": "Consistent with criticality, which it does not prove.",
}
