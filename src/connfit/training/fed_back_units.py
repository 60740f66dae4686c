"""Which units run on the model's own prediction in a window: those that one of its recordings has not observed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from connfit.recordings.cohort import Cohort


def fed_back_units(cohort: Cohort, batch: int) -> Callable[[list[int]], Int[Array, "W"]] | None:
    """Return how to find the units that a member of a batch has not observed in all training frames.

    The answer has the same length for every batch, so that all run the same program: where fewer units
    are fed back, others are listed too. None if that would be most of the units.
    """
    unobserved = [set(range(len(cohort.units))) for _ in cohort.recordings]
    for missing, recording, columns in zip(unobserved, cohort.recordings, cohort.columns, strict=True):
        # Frames after the training part must not decide how it is computed: sums in another order round differently.
        start, stop = recording.require_parts().train
        shown = recording.stretches(start, stop) if recording.blocks else [(max(start - 1, 0), stop)]
        always = np.all([recording.mask[first:last].all(axis=0) for first, last in shown], axis=0)
        missing -= set(columns[always].tolist())
    longest = sum(sorted((len(missing) for missing in unobserved), reverse=True)[:batch])
    longest = min(longest, len(set().union(*unobserved)))
    if 2 * longest > len(cohort.units):
        return None

    def units(members: list[int]) -> Int[Array, "W"]:
        needed = sorted(set().union(*(unobserved[member] for member in members)))
        others = (unit for unit in range(len(cohort.units)) if unit not in needed)
        return jnp.asarray([*needed, *islice(others, longest - len(needed))], jnp.int32)

    return units
