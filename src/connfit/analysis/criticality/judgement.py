"""A word for the avalanches of a source, from counts over its table and from what no threshold enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from connfit.analysis.criticality.branching import Branching
from connfit.analysis.criticality.fluctuations import Fluctuations
from connfit.analysis.criticality.linear_surrogates import NoiseGrowth, noise_growth
from connfit.errors import DataError

LEAST_SHARE, LEAST_CELLS = 0.5, 9
"""Smallest share and number of cells with enough avalanches; cells share their avalanches, so a few are one."""

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
class CellCounts:
    """Cells of the table over thresholds and bins.

    Parameters
    ----------
    cells
        All whose threshold applies to the data.
    enough
        Those with fits of sizes and durations.
    sizes, durations, both
        Those in which the power law of sizes, of durations, of both stands.
    tested
        Those of `both` with enough durations to test the scaling relation.
    all
        Those in which it holds within its interval and `connfit.analysis.criticality.crackling.TOLERANCE`.
    """

    cells: int = 0
    enough: int = 0
    sizes: int = 0
    durations: int = 0
    both: int = 0
    tested: int = 0
    all: int = 0


@dataclass(frozen=True)
class Signal:
    """What the mean activity says, to which no threshold is applied.

    Parameters
    ----------
    branching, memory
        Its branching ratio and fluctuations; None where they are not defined.
    linear
        Test of the hypothesis that it is linear and Gaussian; None in files of releases without it.
    """

    branching: Branching | None = None
    memory: Fluctuations | None = None
    linear: NoiseGrowth | None = None


def growth_of_noise(courses: Sequence[np.ndarray], seed: int = 0) -> NoiseGrowth:
    """Test whether noise grows with activity (`noise_growth`), or say why that cannot be tested."""
    try:
        return noise_growth(courses, seed=seed)
    except DataError as error:
        return NoiseGrowth(reason=str(error))


def best_floor(verdict: Mapping[str, Mapping[str, CellCounts]]) -> str | None:
    """Return the separation of avalanches under which most cells of the table have enough of them."""
    counts = {floor: kinds["data"].enough for floor, kinds in verdict.items() if "data" in kinds}
    return max(counts, key=lambda floor: counts[floor]) if counts else None


def judge(kinds: Mapping[str, CellCounts], signal: Signal | None = None) -> str:
    """Return a word for the avalanches of one source from the counts of its table and its surrogates'.

    `undecidable`: fewer than half of the cells whose threshold applies, or fewer than 9, have enough avalanches.
    `none`: in no cell do both power laws stand. `untested`: they do, but in no cell are there enough durations to test
    the scaling relation; `unrelated`: where there are, it never holds. `not specific`: in no larger share of cells
    than for shuffled frames, or noise does not grow with activity, so that a linear process does as well (where that
    could not be tested: in no larger share than for some surrogate). `dependent on threshold and bin`: in fewer than
    three quarters of the cells. `not near 1`: the interval of the branching ratio does not reach 1, or is too wide to
    tell. `consistent with criticality`: none of these.

    Parameters
    ----------
    kinds
        By surrogate, its cells.
    signal
        What the mean activity says; None, or one without a test, to judge by the counts alone.
    """
    own = kinds["data"]
    if own.enough < max(LEAST_CELLS, LEAST_SHARE * own.cells):
        return "undecidable"
    if not own.both:
        return "none"
    if not own.all:
        return "unrelated" if own.tested else "untested"
    share = own.all / own.enough
    linear = None if signal is None else signal.linear
    p = None if linear is None else linear.p
    compared = [kinds[kind] for kind in GRID_SURROGATES if kind in kinds and not (p is not None and kind != "shuffle")]
    if any(other.enough and other.all / other.enough >= share for other in compared) or (p is not None and p > LEVEL):
        return "not specific"
    if share < SHARE:
        return "dependent on threshold and bin"
    if signal is not None and linear is not None:
        interval = signal.branching.interval if signal.branching else None
        if interval is None or interval[1] < CRITICAL_FROM or interval[0] < SLOWEST:
            return "not near 1"
    return "consistent with criticality"


JUDGED = {
    "undecidable": "Too few combinations of threshold and bin have enough avalanches to say anything.",
    "none": "No sign of criticality.",
    "untested": "Power laws alone: there are too few avalanches for the relation that a critical point asks for.",
    "unrelated": "Power laws alone, without the relation between them that a critical point asks for.",
    "not specific": "Surrogates or a linear process do as well, so this says nothing about criticality.",
    "dependent on threshold and bin": "What one would report depends on threshold and bin.",
    "not near 1": "Power laws with their relation, but a branching ratio that is below 1 or not known well enough.",
    "consistent with criticality": "Consistent with criticality, which it does not prove.",
}
"""A sentence for each word."""
