"""Intervals of the median unit over neurons and animals: what other neurons, of other animals, would have shown.

Resampled are whole animals, each with its units: what animals differ by holds both what is particular to them and the
chance of which units were recorded, and resampling units within drawn animals would count the latter twice (Davison &
Hinkley 1997, Bootstrap Methods, 3.8). One animal or two say nothing of others: then units are resampled, and the
interval is about other units of the same animals. Of A animals A - 1 are drawn, which makes the bootstrap variance of a
mean unbiased; ends are stretched by Student's t for few of them, as in `connfit.evaluation.block_bootstrap`. Frames are
not resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit._io import optional
from connfit.evaluation.block_bootstrap import stretched
from connfit.evaluation.unit_scores import LEVEL, REPEATS

MIN_UNITS = 6
"""Units below which there is no interval."""

MIN_ANIMALS = 3
"""Animals below which units alone are resampled."""


@dataclass(frozen=True)
class OverUnits:
    """The median over units with the ends of its 95 % interval.

    Parameters
    ----------
    median
        Over the units of all animals.
    low, high
        None where there are too few units.
    units, animals
        Those that are defined.
    over
        `"units"` or `"animals with their units"`: what was resampled; None without an interval.
    reason
        Why a number is None.
    """

    median: float | None = None
    low: float | None = None
    high: float | None = None
    units: int = 0
    animals: int = 0
    over: str | None = None
    reason: str | None = optional()


def over_units(
    animals: Sequence[Float[np.ndarray, "U"]], *, repeats: int = REPEATS, seed: int = 0, most: float = np.inf
) -> OverUnits:
    """Return the median over the units of all animals with a 95 % interval.

    Parameters
    ----------
    animals
        A number of each unit, NaN where it is not defined, animal by animal.
    repeats
        Number of resamples.
    seed
        Of the resampling.
    most
        What no number is above.
    """
    known = [values[np.isfinite(values)] for values in map(np.asarray, animals)]
    known = [values for values in known if len(values)]
    count = sum(map(len, known))
    if not count:
        return OverUnits(reason="it is not defined for any unit")
    median = float(np.median(np.concatenate(known)))
    if count < MIN_UNITS:
        return OverUnits(median, units=count, animals=len(known), reason=f"{count} units, {MIN_UNITS} are needed")
    generator = np.random.default_rng(seed)
    if len(known) < MIN_ANIMALS:
        pooled = np.concatenate(known)
        drawn = generator.integers(count, size=(repeats, count - 1))
        low, high = stretched(median, np.median(pooled[drawn], axis=1), LEVEL, count - 1, most=most)
    else:
        drawn = generator.integers(len(known), size=(repeats, len(known) - 1))
        medians = np.array([np.median(np.concatenate([known[k] for k in some])) for some in drawn.tolist()])
        low, high = stretched(median, medians, LEVEL, len(known) - 1, most=most)
    over = "units" if len(known) < MIN_ANIMALS else "animals with their units"
    return OverUnits(median, min(low, median), max(high, median), count, len(known), over)
