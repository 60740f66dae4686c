"""Named columns of tables on disk, converted strictly: an id never passes through a floating point number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from connfit.connectome.cell_words import (
    FLOAT,
    INTEGER,
    SPREADSHEET_ID,
    fault,
    is_missing,
    names_taken_for_missing,
    numbers_of,
    whole_number,
)  # fmt: skip
from connfit.errors import DataError, first_ten

TableSource: TypeAlias = "str | Path | pd.DataFrame | NamedTable"
IdArray: TypeAlias = np.ndarray


@dataclass(frozen=True)
class NamedTable:
    """A table with where it came from, for messages.

    Parameters
    ----------
    data
        Columns as the source has them; those of a CSV file are text unless asked for as integers.
    path
        The file, or a word such as `"edges"` for a table in memory.
    """

    data: pa.Table
    path: str

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return self.data.column_names

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.data.num_rows

    def require(self, columns: Sequence[str]) -> None:
        """Raise a DataError unless every column is there exactly once."""
        for column in columns:
            found = self.columns.count(column)
            if found == 1:
                continue
            if found > 1:
                raise DataError(
                    f"column {column!r} is there {found} times", path=self.path, fix="Rename the repeated columns"
                )
            near = get_close_matches(column, self.columns, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"there is no column {column!r}; the columns are {', '.join(map(repr, self.columns[:40]))}",
                path=self.path,
                fix=f"{hint}Name the right column in the options",
            )

    def ids(self, column: str) -> IdArray:
        """Read ids: [rows] int64, or text where at least one is not a whole number.

        Raises
        ------
        DataError
            If an id is missing, is a floating point number, or does not fit into 64 bits.
        """
        values = self._column(column)
        self._refuse_missing(values, column, "id")
        if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
            raise DataError(
                f"column {column!r} holds floating point numbers, which cannot hold ids above 2^53 exactly",
                path=self.path,
                fix="Write the ids as int64 or as text",
            )
        if pa.types.is_integer(values.type):
            return self._cast(values, pa.int64(), column).to_numpy()
        if not is_text(values.type):
            raise DataError(
                f"column {column!r} holds {values.type}", path=self.path, fix="Ids must be integers or text"
            )
        text = [str(value).strip() for value in values.to_pylist()]
        for row, word in enumerate(text, 1):
            if is_missing(word):
                raise DataError(
                    f"row {row}: the id in column {column!r} is {repr(word) if word else 'empty'}",
                    path=self.path,
                    fix="Fill it in or delete the row",
                )
            if why := fault(word):
                raise DataError(f"row {row}: {column} = {word!r} {why}", path=self.path, fix="Correct the row")
        changed = [row for row, word in enumerate(text, 1) if SPREADSHEET_ID.fullmatch(word)]
        if changed:
            raise DataError(
                f"row {changed[0]}: id {text[changed[0] - 1]!r} in column {column!r} is written as a spreadsheet shows "
                f"long numbers ({len(changed)} such rows)",
                path=self.path,
                fix="Write whole ids, all digits",
            )
        whole = [INTEGER.fullmatch(word) is not None for word in text]
        broken = [row for row, word in enumerate(text, 1) if FLOAT.fullmatch(word)]
        # A name such as "3e5" among other names is a name; among numbers it is an id that went through a float.
        if broken and sum(whole) + len(broken) == len(text):
            raise DataError(
                f"row {broken[0]}: id {text[broken[0] - 1]!r} in column {column!r} was written as a "
                f"floating point number ({len(broken)} such rows)",
                path=self.path,
                fix="Write whole ids, all digits",
            )
        if not all(whole):
            return np.array(text, dtype=object)
        for row, word in enumerate(text, 1):
            if whole_number(word) is None:
                raise DataError(
                    f"row {row}: id {word} in column {column!r} does not fit into 64 bits",
                    path=self.path,
                    fix="Correct the id",
                )
        return np.array([int(word) for word in text], np.int64)

    def unique_ids(self, column: str, *, whole: bool = False, fix: str = "Keep one row per neuron") -> IdArray:
        """Read ids as `ids` does, each of which must be there once.

        Raises
        ------
        DataError
            If an id repeats, or with `whole` one is not a whole number.
        """
        ids = self.ids(column)
        if whole and ids.dtype.kind != "i":
            row, odd = next((row, name) for row, name in enumerate(ids, 1) if not INTEGER.fullmatch(name))
            raise DataError(f"row {row}: {column} {odd!r} is not a whole number", path=self.path, fix="Correct the row")
        repeated = ids[pd.Series(ids).duplicated().to_numpy()].tolist()
        if repeated:
            listed = first_ten(dict.fromkeys(repeated))
            raise DataError(f"ids repeat in column {column!r}: {listed}", path=self.path, fix=fix)
        return ids

    def counts(self, column: str) -> np.ndarray:
        """Read counts: [rows] int64, each at least 1.

        Raises
        ------
        DataError
            If a count is missing, not a whole number, or below 1; the first such row is named.
        """
        values = self._column(column)
        self._refuse_missing(values, column, "count")
        if is_text(values.type):
            text = values.to_pandas().str.strip()
            numbers = numbers_of(text)
            self._refuse_rows(np.isnan(numbers), text.to_numpy(object), column, "is not a number")
        elif pa.types.is_integer(values.type):
            numbers = np.asarray(values)
        elif pa.types.is_floating(values.type):
            numbers = np.asarray(values, np.float64)
        else:
            raise DataError(
                f"column {column!r} holds {values.type}", path=self.path, fix="Counts must be whole numbers"
            )
        if numbers.dtype.kind == "f":
            self._refuse_rows(~np.isfinite(numbers), numbers, column, "is not a finite number")
            self._refuse_rows(numbers != np.round(numbers), numbers, column, "is not a whole number")
        self._refuse_rows(numbers < 1, numbers, column, "is below 1")
        self._refuse_rows(numbers > np.iinfo(np.int32).max, numbers, column, "is above 2^31 - 1")
        return numbers.astype(np.int64)

    def text(self, column: str) -> list[str]:
        """Read text: [rows], empty where missing."""
        words = ["" if value is None else str(value).strip() for value in self._column(column).to_pylist()]
        for row, word in enumerate(words, 1):
            if why := fault(word):
                problem = f"row {row}: {column} = {word!r} {why}"
                raise DataError(problem, path=self.path, fix="Correct the cell, or leave it empty")
        return ["" if is_missing(word) else word for word in words]

    def words(self, column: str) -> pa.ChunkedArray:
        """Read text as Arrow holds it: as it is written, empty where there is none.

        Raises
        ------
        DataError
            If the column holds what cannot be written as text.
        """
        values = self._column(column)
        return (values if is_text(values.type) else self._cast(values, pa.string(), column)).fill_null("")

    def taken_for_missing(self, column: str) -> list[str]:
        """List the words of a column of text that count as missing though they could be names, such as `NA`."""
        values = self._column(column)
        return names_taken_for_missing(values.unique().drop_null().to_pylist()) if is_text(values.type) else []

    def other(self, column: str) -> pd.Series:
        """Read a column that nothing depends on: numbers where that loses nothing, text otherwise."""
        values = self._column(column)
        if pa.types.is_boolean(values.type) and not values.null_count:
            return values.to_pandas()
        if pa.types.is_floating(values.type) or (pa.types.is_integer(values.type) and not values.null_count):
            return values.to_pandas()
        text = self.text(column)
        filled = [word for word in text if word]
        if filled and len(filled) == len(text) and all(INTEGER.fullmatch(word) and len(word) < 19 for word in filled):
            return pd.Series(np.array([int(word) for word in text], np.int64))
        if filled and all(FLOAT.fullmatch(word) for word in filled):
            return pd.Series([float(word) if word else np.nan for word in text])
        return pd.Series(text, dtype="str")

    def _column(self, column: str) -> pa.ChunkedArray:
        self.require([column])
        values = self.data.column(column)
        return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values

    def _cast(self, values: pa.ChunkedArray, to: pa.DataType, column: str) -> pa.ChunkedArray:
        try:
            return values.cast(to)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"column {column!r}: {error}", path=self.path, fix=f"Its values must fit into {to}"
            ) from error

    def _refuse_missing(self, values: pa.ChunkedArray, column: str, what: str) -> None:
        if values.null_count:
            row = int(np.flatnonzero(np.asarray(values.is_null()))[0]) + 1
            raise DataError(
                f"row {row}: the {what} in column {column!r} is missing ({values.null_count} such rows)",
                path=self.path,
                fix="Fill it in or delete the row",
            )

    def _refuse_rows(self, bad: np.ndarray, values: np.ndarray, column: str, problem: str) -> None:
        if bad.any():
            rows = np.flatnonzero(bad)
            listed = f" (rows {first_ten(rows + 1)})" if len(rows) > 1 else ""
            raise DataError(
                f"row {rows[0] + 1}: {column} = {values[rows[0]]} {problem}{listed}",
                path=self.path,
                fix="Correct or delete the row; rows count from 1 below the header",
            )


def is_text(kind: pa.DataType) -> bool:
    """Say whether a column of this type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
