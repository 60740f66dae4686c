"""The order in which a reader stores neurons: as listed, or so that connected neurons lie near each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.errors import one_of

ORDERS = ("source", "local")
LOCAL_BY = ("side", "region", "super_class", "class", "sub_class", "type")
"""Columns of the neuron table that neighbours share, the coarsest first; those that a table lacks are passed over."""

SOURCE_ROW = "source_row"
"""Column that keeps the position in the source of each neuron, counted from 0."""


def ordered(neurons: pd.DataFrame, order: str) -> tuple[pd.DataFrame, Int[np.ndarray, "N"]]:
    """Sort a neuron table in storage order.

    Wiring is local: neurons of one side, region and class connect mostly to each other. Stored side by
    side, what an operator gathers lies in few cache lines.

    Parameters
    ----------
    neurons
        Table with the standard columns of a connectome, in the order of the source.
    order
        `"source"`: as listed. `"local"`: sorted by side, region, class and type, ties as listed.

    Returns
    -------
    neurons
        The same rows in storage order, with the column `source_row`.
    position
        [N] position in storage of each row of the source.

    Raises
    ------
    ConfigError
        If the order has no such name.
    """
    one_of("order", order, ORDERS)
    rows = np.arange(len(neurons))
    if order == "local":
        # The least significant key comes first in a lexical sort, whose ties stay in order.
        keys = [neurons[column].fillna("").astype(str).to_numpy(str) for column in LOCAL_BY if column in neurons]
        codes = [np.unique(key, return_inverse=True)[1] for key in reversed(keys)]
        rows = np.lexsort([rows, *codes]) if codes else rows
    position = np.empty(len(neurons), np.int64)
    position[rows] = np.arange(len(neurons))
    stored = neurons.iloc[rows].reset_index(drop=True)
    return stored.assign(**{SOURCE_ROW: rows.astype(np.int64)}), position
