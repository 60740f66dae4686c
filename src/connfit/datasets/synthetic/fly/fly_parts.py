"""Parts of the fly's brain of any size: whole neuropils, added in a fixed order from the centre outwards."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool

from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.errors import ConfigError

_OUTWARDS = (
    # central complex and what lies around it
    "EB", "PB", "NO", "BU", "GA", "EPA", "LAL", "FB", "CRE", "ATL",
    # superior brain, mushroom bodies, olfactory system
    "SIP", "SMP", "MB_PED", "MB_VL", "MB_ML", "LH", "AL", "MB_CA", "SLP", "SCL",
    # inferior, ventromedial and periesophageal brain
    "ICL", "IB", "GOR", "VES", "FLA", "CAN", "PRW", "SAD", "AMMC", "WED", "SPS", "IPS", "GNG",
    # ventrolateral brain
    "PLP", "PVLP", "AVLP", "AOTU",
    # visual system
    "OCG", "AME", "LOP", "LO", "ME", "LA",
)  # fmt: skip


def _both_sides(label: str) -> tuple[str, ...]:
    return (label,) if label in FLYWIRE_NEUROPILS else (f"{label}_R", f"{label}_L")


SUB_BRAIN_ORDER: tuple[str, ...] = tuple(name for label in _OUTWARDS for name in _both_sides(label))
"""All 78 neuropils in the order in which sub-brains take them: central complex first, optic lobes last, right
before left."""

FEWEST_NEUROPILS = 6
"""A sub-brain has at least so many, so that a read-out by region has something to tell apart."""


def sub_brain(neurons: pd.DataFrame, scale: float) -> tuple[str, Bool[np.ndarray, "N"]]:
    """Choose the largest sub-brain of at most `scale` N neurons.

    Neuropils are taken in the order of `SUB_BRAIN_ORDER` until the next one would exceed `scale` N neurons. A neuron
    belongs to the sub-brain if its input and its output neuropil were both taken, so that its wiring lies mostly
    inside. Smaller sub-brains are parts of larger ones. Only the whole brain (`scale` = 1) has the neurons without
    a neuropil.

    Parameters
    ----------
    neurons
        Table of N neurons with the columns `group_input` and `group_output` (neuropils, empty where not known).
    scale
        Fraction of the neurons, above 0 and at most 1.

    Returns
    -------
    name
        `"whole brain"`, or which neuropils were taken: the number and the last of them.
    mask
        [N] whether a neuron belongs to the sub-brain.

    Raises
    ------
    ConfigError
        If `scale` is not in 0..1, or so small that fewer than `FEWEST_NEUROPILS` neuropils fit.
    """
    if not 0 < scale <= 1:
        raise ConfigError(f"scale = {scale} must be above 0 and at most 1 (the whole brain)")
    if scale == 1:
        return "whole brain", np.ones(len(neurons), bool)
    never = len(SUB_BRAIN_ORDER)
    rank = pd.Index(SUB_BRAIN_ORDER)
    at = [rank.get_indexer(pd.Index(neurons[column])) for column in ("group_input", "group_output")]
    joins = np.maximum(*(np.where(places < 0, never, places) for places in at))
    size_after = np.cumsum(np.bincount(joins, minlength=never + 1))[:never]
    taken = int(np.searchsorted(size_after, scale * len(neurons), side="right"))
    if taken < FEWEST_NEUROPILS:
        smallest = size_after[FEWEST_NEUROPILS - 1] / len(neurons)
        raise ConfigError(
            f"scale = {scale} leaves {taken} neuropils, a sub-brain has at least {FEWEST_NEUROPILS}; "
            f"the smallest scale is {np.ceil(smallest * 1e4) / 1e4:g}"
        )
    name = f"{taken} neuropils, {SUB_BRAIN_ORDER[0]} to {SUB_BRAIN_ORDER[taken - 1]}"
    return name, joins < taken
