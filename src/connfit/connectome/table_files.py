"""Tables on disk, read whole or by their columns: CSV, Parquet, Feather, or a data frame in memory."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from connfit._io import require_file
from connfit._system.arrow_guard import check_feather, check_parquet, check_shared
from connfit._system.unpacked import check_unpacked, open_unpacked
from connfit.connectome.columns import NamedTable, TableSource, is_text
from connfit.connectome.memory_tables import table_of_frame
from connfit.connectome.streaming import may_hold_hexadecimal
from connfit.connectome.text_files import check_separator, first_line, holds_quotes, lines, refuse_open_quotes
from connfit.errors import DataError, unreadable

TEXT, PARQUET, ARROW = (
    (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz"),
    (".parquet", ".pq"),
    (".feather", ".arrow"),
)
TABLES = (*TEXT, *PARQUET, *ARROW)
"""Ends of the names of tables."""


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
    text = [column.name for column in schema if is_text(column.type)]
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
