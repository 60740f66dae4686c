"""Neurons grouped by what the neuron table says about them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.errors import ConfigError

CLASS_COLUMNS = ("super_class", "class", "type", "transmitter")
"""Columns of the neuron table by which neurons are grouped, where they exist and say something."""


def default_columns(table: pd.DataFrame) -> list[str]:
    """Return those of `CLASS_COLUMNS` that the table has and that name more than one group."""
    return [name for name in CLASS_COLUMNS if name in table.columns and len(named_groups(table, name)[1]) > 1]


def named_groups(table: pd.DataFrame, column: str) -> tuple[Int[np.ndarray, "N"], list[str]]:
    """Group neurons by a column: positions among its labels in alphabetical order (-1: empty or missing), and these.

    Raises
    ------
    ConfigError
        If the table has no such column.
    """
    if column not in table.columns:
        raise ConfigError(f"the neuron table has no column {column!r}; it has {', '.join(map(str, table.columns))}")
    labels = table[column]
    text = labels.astype(object).where(labels.notna(), "").map(str)
    distinct = sorted(set(text) - {""})
    return pd.Index(distinct, dtype=object).get_indexer(pd.Index(text, dtype=object)).astype(np.int32), distinct
