"""Text tables that are not what they seem: of another encoding or separator, or with a quote that is never closed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from connfit._system import unpacked
from connfit.errors import DataError

_BLOCK = 8 << 20
_OTHER_SEPARATORS = ";\t,|"


def first_line(path: Path) -> bytes:
    """Read the first line, whichever end it has.

    Raises
    ------
    DataError
        If the file is not text in UTF-8 as far as that.
    """
    line = re.split(rb"(?<=\n)|\r(?!\n)", unpacked.first_line(path), maxsplit=1)[0]
    problem, fix = None, "Save it as CSV in UTF-8"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
        problem = "is binary, or text in UTF-16"
    elif line.startswith(b"#") and b"," not in line and b"\t" not in line:
        problem, fix = "begins with a comment", "Delete lines that are neither header nor rows"
    elif line.count(b'"') % 2:
        problem, fix = "has a line break or an open quote in the header", "Write the names of columns in one line"
    else:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            problem = "is not text in UTF-8"
    if problem:
        raise DataError(problem, path=path, fix=fix)
    return line if line.endswith(b"\n") else line + b"\n"


def check_separator(header: list[str], separator: str, path: Path) -> None:
    """Raise a DataError if the fields of a header seem to be separated by another character."""
    other = next((mark for mark in _OTHER_SEPARATORS if mark != separator and mark in header[0]), None)
    if len(header) == 1 and other is not None:
        wanted = {"\t": "a tab", ",": "a comma"}[separator]
        raise DataError(
            f"fields are separated by {other!r}",
            path=path,
            fix=f"Write {wanted} between fields, and numbers with a decimal point; the ending .tsv means tabs",
        )


def lines(path: Path) -> Iterator[str]:
    """Read lines with any of the usual ends, each letter one byte."""
    with unpacked.open_unpacked(path) as file, io.TextIOWrapper(file, encoding="latin-1", newline=None) as text:
        yield from text


def holds_quotes(path: Path) -> bool:
    """Return whether there is a double quote anywhere."""
    with unpacked.open_unpacked(path) as file:
        return any(b'"' in block for block in iter(lambda: file.read(_BLOCK), b""))


def refuse_open_quotes(table: pa.Table, separator: str, path: Path) -> None:
    """Raise a DataError if a cell holds a whole row: then a quote before it was not closed, and rows are lost in it.

    Parameters
    ----------
    table
        All columns as text.
    """
    swallowed = re.compile(rf"[\r\n][^\r\n]*{re.escape(separator)}")
    for name, column in zip(table.column_names, table.columns, strict=True):
        for row, cell in enumerate(column.to_pylist(), 1):
            if swallowed.search(cell or ""):
                raise DataError(
                    f"row {row}, column {name!r}: the cell goes on over further rows",
                    path=path,
                    fix='Close its quote ("), or remove it',
                )
