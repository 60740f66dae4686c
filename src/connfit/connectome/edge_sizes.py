"""How large each row of an edge table is, and which sign it has: from columns of counts, of weights, and of signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from connfit.connectome.cell_words import is_missing, numbers_of
from connfit.connectome.columns import NamedTable
from connfit.errors import ConfigError, DataError

POSITIVE = ("1", "+1", "1.0", "+", "excitatory", "exc", "positive", "pos", "e")
NEGATIVE = ("-1", "-1.0", "-", "−", "−1", "inhibitory", "inh", "negative", "neg", "i")


@dataclass(frozen=True, eq=False)
class EdgeSizes:
    """Sizes of the R rows of an edge table.

    Parameters
    ----------
    values
        [R] synapses (int64, at least 1), or magnitudes of weights (float64; 0 where a row says that there is no
        connection).
    signs
        [R] +1 or -1 where the table says; None where signs come from transmitters.
    """

    values: Int[np.ndarray, "R"] | Float[np.ndarray, "R"]
    signs: Int[np.ndarray, "R"] | None

    @property
    def weighted(self) -> bool:
        """Whether they are weights."""
        return self.values.dtype.kind == "f"


def edge_sizes(
    table: NamedTable, *, count: str | None, weight: str | None, sign: str | None, gap: Bool[np.ndarray, "R"]
) -> EdgeSizes:
    """Read sizes and signs.

    Parameters
    ----------
    count
        Column with numbers of synapses; None without `weight`: each row is one synapse.
    weight
        Column with real-valued weights in place of counts. Negative ones are inhibitory connections.
    sign
        Column with the sign of each row: 1 or -1, `+` or `-`, `excitatory` or `inhibitory`.
    gap
        [R] electrical connections, which have no sign.

    Raises
    ------
    ConfigError
        If both `count` and `weight` are given.
    DataError
        If a value cannot be used, or signs contradict each other; the first such row is named.
    """
    if count is not None and weight is not None:
        raise ConfigError(
            f"count = {count!r} and weight = {weight!r} are both set: keep count for numbers of synapses, or weight "
            "for real values"
        )
    if weight is None:
        values = np.ones(table.rows, np.int64) if count is None else table.counts(count)
        return EdgeSizes(values, None if sign is None else _signs(table, sign, gap))
    values = real_numbers(table, weight)
    negative = values < 0
    if (negative & gap).any():
        row = int(np.flatnonzero(negative & gap)[0])
        problem = f"row {row + 1}: the electrical connection has {weight} = {values[row]:g}"
        raise DataError(problem, path=table.path, fix="A gap junction has no sign: give a weight above 0")
    if sign is not None:
        if negative.any():
            row = int(np.flatnonzero(negative)[0])
            raise DataError(
                f"row {row + 1}: {weight} = {values[row]:g} is below 0, and column {sign!r} has signs, too",
                path=table.path,
                fix=f"Give magnitudes in {weight!r}, or leave sign out and let the weights say it",
            )
        return EdgeSizes(values, _signs(table, sign, gap))
    return EdgeSizes(np.abs(values), np.where(negative, -1, 1).astype(np.int8) if negative.any() else None)


def real_numbers(table: NamedTable, column: str) -> Float[np.ndarray, "R"]:
    """Read a column of finite real numbers: [R] float64.

    Raises
    ------
    DataError
        If one is missing, not a number or not finite; the first such row is named.
    """
    table.require([column])
    values = table.data.column(column)
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = np.asarray(values.to_pandas(), np.float64)
        words = numbers.astype(object)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        text = values.to_pandas().fillna("").str.strip()
        words = text.to_numpy(object)
        numbers = numbers_of(words)
    else:
        raise DataError(f"column {column!r} holds {kind}", path=table.path, fix="Weights must be numbers")
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        word = words[wrong[0]]
        said = "is empty" if pd.isna(word) or is_missing(str(word)) else f"= {word!r} is no finite number"
        raise DataError(
            f"row {wrong[0] + 1}: {column} {said} ({len(wrong)} such rows)",
            path=table.path,
            fix="Give a finite number with a decimal point; 0 says that there is no connection",
        )
    return numbers


def _signs(table: NamedTable, column: str, gap: Bool[np.ndarray, "R"]) -> Int[np.ndarray, "R"]:
    table.require([column])
    values = table.data.column(column)
    words = pd.Series(values.to_pandas()).map(lambda word: "" if pd.isna(word) else str(word).strip().lower())
    positive, negative = words.isin(POSITIVE).to_numpy(), words.isin(NEGATIVE).to_numpy()
    wrong = np.flatnonzero(~(positive | negative | gap))
    if len(wrong):
        raise DataError(
            f"row {wrong[0] + 1}: {column} = {words.iloc[wrong[0]]!r} is no sign ({len(wrong)} such rows)",
            path=table.path,
            fix="Write 1 or -1, + or -, excitatory or inhibitory; leave rows without a sign out",
        )
    return np.where(negative & ~gap, -1, 1).astype(np.int8)


def signs_of_neurons(
    pre: Int[np.ndarray, "R"],
    values: Int[np.ndarray, "R"] | Float[np.ndarray, "R"],
    signs: Int[np.ndarray, "R"],
    neurons: int,
) -> Int[np.ndarray, "N"]:
    """Return the sign of most of what each neuron makes, by size; +1 where it makes nothing, or as much of both."""
    balance = np.bincount(pre, values * signs, neurons)
    return np.where(balance < 0, -1, 1).astype(np.int8)
