"""Where the neurons of the fly's table lie, as numbers: sides, and neuropils with and without hemisphere."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS

SIDES = ("left", "right")
LABELS: tuple[str, ...] = tuple(sorted({name.removesuffix("_L").removesuffix("_R") for name in FLYWIRE_NEUROPILS}))
"""The 43 neuropils without hemisphere, as in the column `group`."""
MIDLINE = np.array([label in FLYWIRE_NEUROPILS for label in LABELS])
"""[43] whether a neuropil lies on the midline and has no hemisphere."""
OPTIC = np.array([label in ("AME", "LA", "LO", "LOP", "ME") for label in LABELS])
"""[43] whether a neuropil belongs to an optic lobe."""


def side_codes(neurons: pd.DataFrame) -> Int[np.ndarray, "N"]:
    """Code the sides of neurons: [N] 0 left, 1 right, -1 where the side is neither."""
    return pd.Index(SIDES).get_indexer(pd.Index(neurons["side"])).astype(np.int8)


def label_codes(neurons: pd.DataFrame) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """Find the input and the output neuropil of each neuron: [N] positions in `LABELS`, -1 where there is none.

    They are the first and the second label of the column `group`, or its only one.
    """
    labels = neurons["group"].str.split(".", n=1)
    index = pd.Index(LABELS)
    first, last = (index.get_indexer(pd.Index(label)).astype(np.int8) for label in (labels.str[0], labels.str[-1]))
    return first, last


def regions_by_side(labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N 3"]:
    """Find neuropils on the left, right and without a side: [N, 3] positions in `FLYWIRE_NEUROPILS`, -1: none."""
    row = {name: k for k, name in enumerate(FLYWIRE_NEUROPILS)}
    table = [[row.get(label + suffix, row.get(label, -1)) for suffix in ("_L", "_R", "")] for label in LABELS]
    # The last row serves the neurons without a neuropil, whose code is -1.
    return np.array([*table, [-1, -1, -1]], np.int8)[labels]
