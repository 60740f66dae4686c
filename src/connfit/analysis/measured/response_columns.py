"""Columns of a table of measured responses, cell by cell: ids, numbers, and words for yes and no."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float

from connfit.connectome.cell_words import MISSING_WORDS, numbers_of
from connfit.connectome.columns import NamedTable
from connfit.errors import DataError

YES, NO = ("1", "yes", "true"), ("0", "no", "false")
"""What a cell of the column `responds` can say, in small letters; an empty one: not tested."""

_FIX = "Correct the cell; rows count from 1 below the header"


def ids(table: NamedTable, column: str, *, may_be_empty: bool = False) -> np.ndarray:
    """Read names of neurons as text; where they may be missing, an empty one stands for nobody."""
    if not may_be_empty:
        return np.array([str(each) for each in table.ids(column)], object)
    table.require([column])
    texts = _texts(table, column)
    nobody = texts.str.lower().isin(MISSING_WORDS).to_numpy()
    if nobody.all():
        return np.full(table.rows, "", object)
    kind = table.data.column(column).type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        raise DataError(
            f"column {column!r} holds floating point numbers, which cannot hold ids above 2^53 exactly",
            path=table.path,
            fix="Write the ids as text, or as nullable integers (Int64), where some cells are empty",
        )
    # A whole number in the place of what is missing leaves ids that are numbers what they are.
    values = pa.array(texts.where(~nobody, "0"), pa.string())
    data = table.data.set_column(table.columns.index(column), column, values)
    found = np.array([str(each) for each in NamedTable(data, table.path).ids(column)], object)
    found[nobody] = ""
    return found


_WORDS_AND_NUMBERS = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer, pa.types.is_floating,
    pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null,
)  # fmt: skip


def _texts(table: NamedTable, column: str) -> pd.Series:
    values = table.data.column(column)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not any(is_kind(kind) for is_kind in _WORDS_AND_NUMBERS):
        raise DataError(
            f"column {column!r} holds {values.type}", path=table.path, fix="Write one number or word in each cell"
        )
    return values.cast(pa.string()).to_pandas().fillna("").str.strip()


def numbers(table: NamedTable, column: str) -> Float[np.ndarray, "R"]:
    """Read a column of numbers, NaN where a cell is empty or says so."""
    table.require([column])
    text = _texts(table, column)
    missing = text.str.lower().isin(MISSING_WORDS).to_numpy()
    found = numbers_of(text.where(~missing, "nan"))
    _refuse(np.isnan(found) & ~missing, text, column, "is not a number", table.path)
    _refuse(np.isinf(found), text, column, "is not finite", table.path)
    return found


def within(q: Float[np.ndarray, "R"], column: str, path: str) -> Float[np.ndarray, "R"]:
    """Refuse shares below 0 or above 1."""
    _refuse((q < 0) | (q > 1), pd.Series(q), column, "does not lie between 0 and 1", path)
    return q


def words(table: NamedTable, column: str) -> Float[np.ndarray, "R"]:
    """Read a column of yes and no: 1, 0, NaN where a cell is empty or says so."""
    text = _texts(table, column).str.lower().str.removesuffix(".0")
    yes, no = (text.isin(said).to_numpy() for said in (YES, NO))
    missing = text.isin(MISSING_WORDS).to_numpy() & ~no
    _refuse(~yes & ~no & ~missing, text, column, f"is none of {', '.join((*YES, *NO))}", table.path)
    return np.where(missing, np.nan, yes.astype(np.float64))


def _refuse(bad: Bool[np.ndarray, "R"], values: pd.Series, column: str, problem: str, path: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        many = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise DataError(f"row {row + 1}: {column} = {values.iloc[row]} {problem}{many}", path=path, fix=_FIX)
