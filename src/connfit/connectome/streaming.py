"""Reading large tables block by block: bounded memory, strict integers, and a progress bar in a terminal."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from jaxtyping import Int

from connfit._console import Output
from connfit._display import visible
from connfit._io import require_file
from connfit._system import unpacked
from connfit._system.arrow_guard import check_feather, check_parquet
from connfit._system.unpacked import is_gzip, open_unpacked
from connfit.errors import DataError, first_ten, unreadable

_BLOCK_BYTES = 8 << 20
_AGAIN = "The file is truncated or damaged: delete it and download or copy it again"
INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 1000


class IdPositions:
    """Positions of ids in an order of storage.

    Parameters
    ----------
    ids
        [N] distinct ids.
    positions
        [N] where each is stored.
    """

    def __init__(self, ids: Int[np.ndarray, "N"], positions: Int[np.ndarray, "N"]) -> None:
        rank = np.argsort(ids)
        self._ids, self._positions = ids[rank].astype(np.int64), positions[rank].astype(np.int32)

    def __call__(self, ids: Int[np.ndarray, "R"]) -> Int[np.ndarray, "R"]:
        """[R] positions of `ids`, -1 for those that are not known."""
        at = np.searchsorted(self._ids, ids)
        at[at == len(self._ids)] = 0
        return np.where(self._ids[at] == ids, self._positions[at], np.int32(-1))


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error, only where that is a terminal; gives what is called with the progress."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from connfit._system.progress_bar import ProgressBar

    console = Output(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(visible(what), total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert errors while a file is read into a DataError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise unreadable(error, "cannot be read", path=path, fix=_AGAIN) from error


def first_line(path: Path) -> list[str]:
    """Read the fields of the first line of a CSV file, compressed or not.

    Raises
    ------
    DataError
        If there is no such file, or nothing in it.
    """
    require_file(path)
    with reading(path):
        line = unpacked.first_line(path).decode("utf-8-sig").strip()
    if not line:
        raise DataError("the file is empty", path=path, fix=_AGAIN)
    return [field.strip().strip('"') for field in line.split(",")]


def require(columns: Sequence[str], found: Sequence[str], path: Path) -> None:
    """Raise a DataError unless every one of `columns` is among those `found`."""
    for column in columns:
        if found.count(column) != 1:
            near = get_close_matches(column, found, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"there is no column {column!r}" if column not in found else f"column {column!r} is there twice",
                path=path,
                fix=f"{hint}The columns are {', '.join(map(repr, found[:40]))}",
            )


def csv_blocks(
    path: Path,
    types: Mapping[str, pa.DataType],
    *,
    names: Sequence[str] | None = None,
    show: bool = True,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read blocks of a CSV file, compressed or not, with the number of the first row of each.

    Parameters
    ----------
    path
        The file.
    types
        Columns to read, with their types.
    names
        Names of all columns of a file without a header.
    show
        Whether to show how far reading has come.

    Yields
    ------
    tuple[int, pa.RecordBatch]
        Rows count from 1, the first below a header.

    Raises
    ------
    DataError
        If the file is truncated, or a value is not of its column's type; the row is named.
    """
    row, options = 1, pacsv.ConvertOptions(
        column_types=dict(types), include_columns=list(types), null_values=[""], strings_can_be_null=False
    )  # fmt: skip
    # A column that is read as integers and is not one is read again as text, to name its row.
    integers = [name for name, kind in types.items() if pa.types.is_integer(kind)]
    if show and integers and may_hold_hexadecimal(path):
        _name_bad_integer(path, integers, names)
    # Not a Python file: a reading thread that outlives an error would call into an interpreter that is closing.
    with pa.OSFile(str(path), "rb") as raw, progress(f"reading {path.name}", path.stat().st_size) as report:
        stream = pa.CompressedInputStream(raw, "gzip") if is_gzip(path) else raw
        try:
            with pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    block_size=_BLOCK_BYTES, column_names=None if names is None else list(names), use_threads=show
                ),
                convert_options=options,
            ) as blocks:
                for block in blocks:
                    yield row, block
                    row += block.num_rows
                    if show:
                        report(raw.tell())
        except (pa.ArrowException, OSError) as error:
            if integers and "conversion error" in str(error):
                _name_bad_integer(path, integers, names)
            with reading(path):
                raise


def integers(column: pa.Array, name: str, row: int, path: Path) -> Int[np.ndarray, "R"]:
    """Return a column of a block without missing values; `row` is the number of its first row."""
    if column.null_count:
        missing = row + int(np.argmax(np.asarray(column.is_null())))
        raise DataError(f"row {missing}: {name} is empty", path=path, fix="Fill it in or delete the row")
    if not pa.types.is_integer(column.type):
        raise DataError(f"column {name!r} holds {column.type}", path=path, fix="It must hold whole numbers (int64)")
    return column.to_numpy()


def refuse(bad: np.ndarray, values: np.ndarray, name: str, row: int, path: Path, problem: str, fix: str) -> None:
    """Raise a DataError that names the first bad row of a block."""
    if bad.any():
        k = int(np.argmax(bad))
        raise DataError(f"row {row + k}: {name} = {values[k]} {problem}", path=path, fix=fix)


def refuse_pair(
    blocks: Iterable[tuple[int, pa.RecordBatch]], pair: Int[np.ndarray, "2"], ids: Int[np.ndarray, "2"], path: Path
) -> NoReturn:
    """Raise a DataError that names all rows of a pair that is listed twice.

    Parameters
    ----------
    blocks
        The file, whose first two columns are the presynaptic and the postsynaptic neuron.
    pair, ids
        The pair as these columns have it, and its ids.
    """
    same = []
    for row, block in blocks:
        found = (block.column(0).to_numpy() == pair[0]) & (block.column(1).to_numpy() == pair[1])
        same += (row + np.flatnonzero(found)).tolist()
    problem = f"rows {first_ten(same)} are the same pair {ids[0]} -> {ids[1]}"
    raise DataError(problem, path=path, fix="Keep one row per pair")


def parquet_blocks(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read blocks of a Parquet file with the number of the first row of each, from 1."""
    import pyarrow.parquet as pq

    require_file(path)
    with reading(path), pq.ParquetFile(path) as file:
        check_parquet(file, path)
        require(columns, file.schema_arrow.names, path)
        row = 1
        with progress(f"reading {path.name}", file.metadata.num_rows) as report:
            for block in file.iter_batches(batch_size=1 << 18, columns=list(columns)):
                block.validate(full=True)
                yield row, block
                row += block.num_rows
                report(row - 1)


def feather_blocks(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read blocks of a Feather (Arrow IPC) file with the number of the first row of each, from 1."""
    require_file(path)
    check_feather(path)
    with reading(path), pa.OSFile(str(path), "rb") as raw, pa.ipc.open_file(raw) as file:
        require(columns, file.schema.names, path)
        row = 1
        with progress(f"reading {path.name}", file.num_record_batches) as report:
            for k in range(file.num_record_batches):
                block = file.get_batch(k).select(list(columns))
                block.validate(full=True)
                yield row, block
                row += block.num_rows
                report(k + 1)


def may_hold_hexadecimal(path: Path) -> bool:
    """Return whether a CSV file, compressed or not, has `0x` somewhere: Arrow would read 0x10 as 16."""
    with reading(path), open_unpacked(path) as file:
        last = b""
        while block := file.read(_BLOCK_BYTES):
            if b"0x" in (joined := last + block) or b"0X" in joined:
                return True
            last = block[-1:]
    return False


def _name_bad_integer(path: Path, columns: Sequence[str], names: Sequence[str] | None) -> None:
    """Raise a DataError for the first value of `columns` that is not a whole number of 64 bits."""
    for row, block in csv_blocks(path, dict.fromkeys(columns, pa.string()), names=names, show=False):
        for name in columns:
            for k, value in enumerate(block.column(name).to_pylist()):
                word = value.strip()
                # int() takes some thousand digits and no more.
                whole = INTEGER.fullmatch(word) is not None and len(word) <= _MOST_DIGITS
                if not whole or not -(2**63) <= int(word) < 2**63:
                    raise DataError(
                        f"row {row + k}: {name} = {value!r} is not a whole number of 64 bits",
                        path=path,
                        fix="Write ids and counts as whole numbers, all digits; or delete the row",
                    )
