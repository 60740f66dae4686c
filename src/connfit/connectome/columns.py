"""Named columns of tables on disk, converted strictly: an id never passes through a floating point number."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from connfit._io import require_file
from connfit._system.arrow_guard import check_feather, check_parquet, check_shared
from connfit._system.unpacked import check_unpacked, open_unpacked
from connfit.connectome.cell_words import (
    FLOAT,
    INTEGER,
    SPREADSHEET_ID,
    fault,
    is_missing,
    names_taken_for_missing,
    whole_number,
)  # fmt: skip
from connfit.connectome.memory_tables import table_of_frame
from connfit.connectome.streaming import may_hold_hexadecimal
from connfit.connectome.text_files import check_separator, first_line, holds_quotes, lines, refuse_open_quotes
from connfit.errors import DataError, first_ten, unreadable

TableSource: TypeAlias = "str | Path | pd.DataFrame | NamedTable"
IdArray: TypeAlias = np.ndarray

TEXT, PARQUET, ARROW = (
    (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz"),
    (".parquet", ".pq"),
    (".feather", ".arrow"),
)
TABLES = (*TEXT, *PARQUET, *ARROW)
"""Ends of the names of tables."""


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
        if not _is_text(values.type):
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
        if _is_text(values.type):
            text = values.to_pandas().str.strip()
            numbers = np.asarray(pd.to_numeric(text, errors="coerce"), np.float64)
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
        return (values if _is_text(values.type) else self._cast(values, pa.string(), column)).fill_null("")

    def taken_for_missing(self, column: str) -> list[str]:
        """List the words of a column of text that count as missing though they could be names, such as `NA`."""
        values = self._column(column)
        return names_taken_for_missing(values.unique().drop_null().to_pylist()) if _is_text(values.type) else []

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


def read_table(
    source: TableSource,
    what: str,
    *,
    columns: Sequence[str] | None = None,
    integers: Sequence[str] = (),
    as_csv: bool = False,
) -> NamedTable:
    """Read a table.

    Parameters
    ----------
    source
        A CSV (or `.csv.gz`, `.tsv`), Parquet or Feather file, a DataFrame, or a table that was read already.
    what
        What the table is, for messages about a DataFrame: `"edges"`, `"neurons"`.
    columns
        Columns that must be there; only these are read. Default: all.
    integers
        Columns of a CSV file to be read as integers at once where all their values are plain integers;
        this saves most of the memory of a large edge table.
    as_csv
        Read the file as CSV whatever its name.

    Raises
    ------
    DataError
        If the file is missing, empty, truncated, of another format, or lacks a column.
    """
    if isinstance(source, NamedTable):
        table = source
    elif isinstance(source, pd.DataFrame):
        table = NamedTable(table_of_frame(source, what), f"the {what} table")
    else:
        path = require_file(source, fix=f"Check the path of the {what} table")
        table = NamedTable(_read_file(path, columns, integers, as_csv), str(path))
    if columns is not None:
        table.require(columns)
        table = NamedTable(table.data.select(list(dict.fromkeys(columns))), table.path)
    if table.rows == 0:
        raise DataError("the table has no rows", path=table.path, fix=f"Check that this is the {what} table")
    return table


def _read_file(path: Path, columns: Sequence[str] | None, integers: Sequence[str], as_csv: bool) -> pa.Table:
    name = path.name.lower()
    again = "The file is truncated or damaged, not in UTF-8, or not what its name says: copy or download it again"
    try:
        if as_csv or name.endswith(TEXT):
            return _read_csv(path, columns, integers)
        if name.endswith(PARQUET):
            return _read_parquet(path, columns)
        if name.endswith(ARROW):
            import pyarrow.feather as feather

            check_feather(path)
            table = feather.read_table(path, memory_map=False)
            table.validate(full=True)
            _check_header(table.column_names, columns, path)
            return check_shared(table, path)
    except (pa.ArrowException, OSError, EOFError, MemoryError, zlib.error, UnicodeDecodeError) as error:
        fix = "Every row needs one cell for each column of the header" if "columns, got" in str(error) else again
        raise unreadable(error, "cannot be read", path=path, fix=fix) from error
    raise DataError(
        "the format is not known by this file name", path=path, fix="Use .csv, .csv.gz, .tsv, .parquet or .feather"
    )


def _read_parquet(path: Path, columns: Sequence[str] | None) -> pa.Table:
    """The columns of a Parquet file, text as it is stored until it is known how much it is written out."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        check_parquet(file, path)
        schema = file.schema_arrow
        _check_header(schema.names, columns, path)
    text = [column.name for column in schema if _is_text(column.type)]
    with pq.ParquetFile(path, read_dictionary=text) as file:
        table = file.read(columns=None if columns is None else list(columns))
    table.validate(full=True)
    table = check_shared(table, path)
    for at, name in enumerate(table.column_names):
        if name in text:  # those that nobody asked for may repeat
            kind = schema.field(at if columns is None else name).type
            table = table.set_column(at, name, table.column(at).cast(kind))
    return table


def _check_header(names: Sequence[str], columns: Sequence[str] | None, path: Path) -> None:
    if columns is not None:
        NamedTable(pa.Table.from_arrays([pa.array([], pa.null())] * len(names), names=list(names)), str(path)).require(
            columns
        )


def _read_csv(path: Path, columns: Sequence[str] | None, integers: Sequence[str]) -> pa.Table:
    """All columns as text, or some as integers if every value of theirs is one."""
    parse = pacsv.ParseOptions(delimiter="\t" if ".tsv" in path.name.lower() else ",", newlines_in_values=False)
    check_unpacked(path)
    header = pacsv.read_csv(pa.BufferReader(first_line(path)), parse_options=parse).column_names
    check_separator(header, parse.delimiter, path)
    _check_header(header, columns, path)
    repeated = [name for name, times in Counter(header).items() if times > 1]
    if repeated:
        raise DataError(
            f"columns are there more than once: {', '.join(map(repr, repeated))}",
            path=path,
            fix="Rename the repeated columns",
        )
    wanted = list(dict.fromkeys(columns)) if columns is not None else header

    def read(types: dict[str, pa.DataType]) -> pa.Table:
        with open_unpacked(path) as file:
            return pacsv.read_csv(
                file,
                # One thread: only then do messages name the row.
                read_options=pacsv.ReadOptions(use_threads=False),
                parse_options=parse,
                convert_options=pacsv.ConvertOptions(
                    column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=False
                ),
            )

    text = dict.fromkeys(wanted, pa.string())
    if integers and not may_hold_hexadecimal(path):
        try:
            table = read({**text, **{name: pa.int64() for name in integers if name in wanted}})
        except pa.ArrowInvalid:
            table = read(text)  # as text, the offending row can be named
    else:
        table = read(text)
    if holds_quotes(path) and sum(not line.isspace() for line in lines(path)) != table.num_rows + 1:
        refuse_open_quotes(read(dict.fromkeys(header, pa.string())), parse.delimiter, path)
    return table


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
