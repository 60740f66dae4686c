"""The first rows of a table, by which it is recognised; however large it is, no more is read."""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from connfit._io import require_file
from connfit._system.arrow_guard import check_feather, check_parquet
from connfit.connectome.cell_words import FLOAT, INTEGER, is_missing
from connfit.connectome.table_files import ARROW, PARQUET, TABLES
from connfit.connectome.text_files import first_line, lines
from connfit.errors import DataError, unreadable

_ROWS = 200
_MOST_LETTERS = 1 << 24
_WIDE = ("__index_level_",)


@dataclass(frozen=True)
class Peek:
    """Titles of a table and what its first rows hold.

    Parameters
    ----------
    header
        Titles of the columns.
    columns
        For each, the cells of the first rows as text, empty where there is none.
    """

    header: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]

    def cells(self, title: str) -> tuple[str, ...]:
        """Return the first cells of a column."""
        return self.columns[self.header.index(title)]

    def numbers(self, title: str) -> bool:
        """Return whether every cell of a column that is not empty holds a number."""
        return all(is_missing(cell) or FLOAT.fullmatch(cell) or INTEGER.fullmatch(cell) for cell in self.cells(title))


NOTHING = Peek((), ())
"""Of files that are no tables."""


def is_table(path: Path) -> bool:
    """Return whether a file is a table by its name."""
    return path.name.lower().endswith(TABLES)


def peek(path: Path) -> Peek:
    """Read titles and first rows.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    path = require_file(path)
    name = path.name.lower()
    try:
        if name.endswith(PARQUET):
            return _of_parquet(path)
        if name.endswith(ARROW):
            return _of_feather(path)
        return _of_text(path, "\t" if ".tsv" in name else ",")
    except (pa.ArrowException, OSError, EOFError, MemoryError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        fix = "The file is truncated or damaged, or not what its name says: copy or download it again"
        raise unreadable(error, "cannot be read", path=path, fix=fix) from error


def _of_text(path: Path, separator: str) -> Peek:
    header = next(csv.reader([first_line(path).decode("utf-8-sig")], delimiter=separator), [])
    if not header:
        raise DataError("the first line is empty", path=path, fix="Write the names of columns in the first line")
    taken, letters = [], 0
    for line in islice(lines(path), 1, 1 + _ROWS):
        letters += len(line)
        if letters > _MOST_LETTERS:
            break
        # Each letter is a byte there.
        taken.append(line.encode("latin-1").decode("utf-8", "replace"))
    rows = [row for row in csv.reader(taken, delimiter=separator) if len(row) == len(header)]
    columns = tuple(tuple(row[k].strip() for row in rows) for k in range(len(header)))
    return Peek(tuple(title.strip() for title in header), columns)


def _of_parquet(path: Path) -> Peek:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        check_parquet(file, path)
        batch = next(file.iter_batches(batch_size=_ROWS), None)
        return _of_batch(file.schema_arrow, batch)


def _of_feather(path: Path) -> Peek:
    check_feather(path)
    with pa.memory_map(str(path), "rb") as mapped, pa.ipc.open_file(mapped) as file:
        return _of_batch(file.schema, file.get_batch(0).slice(0, _ROWS) if file.num_record_batches else None)


def _of_batch(schema: pa.Schema, batch: pa.RecordBatch | None) -> Peek:
    names = [name for name in schema.names if not name.startswith(_WIDE)]
    columns = []
    for name in names:
        at = schema.names.index(name)
        values = [] if batch is None else batch.column(at).to_pylist()
        columns.append(tuple("" if value is None else str(value).strip() for value in values))
    return Peek(tuple(name.strip() for name in names), tuple(columns))
