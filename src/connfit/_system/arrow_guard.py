"""Arrow files whose parts claim no more memory than the file may take, looked at before Arrow unpacks them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connfit._system.unpacked import check_size
from connfit.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_MAGIC = b"ARROW1"
_FIRST_VERSION = b"FEA1"
_WIDTH = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 16}


def check_parquet(file: pq.ParquetFile, path: Path) -> None:
    """Refuse a Parquet file whose values would take more memory than it may; text counts as what points to it."""
    claimed, metadata = 0, file.metadata
    check_size(sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)), path)
    for group in range(metadata.num_row_groups):
        # Reading a row raises where asking for a damaged description of a column ends the interpreter.
        next(file.iter_batches(batch_size=1, row_groups=[group]), None)
        for column in range(metadata.num_columns):
            part = metadata.row_group(group).column(column)
            width = _WIDTH.get(part.physical_type) or max(1, metadata.schema.column(column).length)
            rows = max(part.num_values, metadata.row_group(group).num_rows)
            claimed += max(rows * width, part.total_uncompressed_size)
    check_size(max(claimed, metadata.num_rows), path)


def check_feather(path: Path) -> None:
    """Refuse a Feather file (Arrow IPC) whose buffers claim to unpack to more memory than it may take.

    Raises
    ------
    DataError
        If they do, or the file's own table of contents points outside of it; if it is of the first version of Feather.
    """
    try:
        with pa.memory_map(str(path), "rb") as file:
            size = file.size()
            if size >= 4 and file.read_at(4, 0) == _FIRST_VERSION:
                raise DataError(
                    "Feather version 1, of before 2020, which Arrow reads without checking it", path=path,
                    fix="Write it again: pandas.read_feather(path).to_feather(path)",
                )  # fmt: skip
            if size < 20 or file.read_at(6, 0) != _MAGIC:
                return
            (length,) = struct.unpack("<i", file.read_at(4, size - 10))
            if not 0 <= length <= size - 10:
                raise ValueError(f"{length} bytes long")
            footer = file.read_at(length, size - 10 - length)
            claimed = sum(_claimed(file, *block) for block in _blocks(footer))
    except (struct.error, OSError, ValueError, IndexError, OverflowError, pa.ArrowException) as error:
        raise DataError(
            f"truncated or damaged (its table of contents: {error})", path=path, fix="Copy or download it again"
        ) from error
    check_size(claimed, path)


def _blocks(footer: bytes) -> list[tuple[int, int, int]]:
    """Place of each dictionary and batch in the file: offset, length of its description, length of its body."""
    found = []
    for field in (2, 3):
        at = _field(footer, _number(footer, "<I", 0), field)
        if at:
            start = at + _number(footer, "<I", at)
            count = _number(footer, "<I", start)
            if 24 * count > len(footer):
                raise ValueError(f"{count} blocks")
            found += [struct.unpack_from("<qi4xq", footer, start + 4 + 24 * k) for k in range(count)]
    return found


def _claimed(file: pa.NativeFile, offset: int, described: int, body: int) -> int:
    """Bytes that one block takes: its body, and what its buffers say that they unpack to."""
    if min(offset, described, body) < 0 or offset + described + body > file.size():
        raise ValueError("a block lies outside of the file")
    about = file.read_at(described, offset)
    first = 8 if about[:4] == b"\xff\xff\xff\xff" else 4
    about = about[first:]
    message = _number(about, "<I", 0)
    batch = _table(about, message, 2)
    if about[_field(about, message, 1)] == 2:  # a dictionary, whose values are a batch
        batch = _table(about, batch, 1)
    listed, packed = _field(about, batch, 2), _field(about, batch, 3)
    if not listed or not packed:
        return body
    start = listed + _number(about, "<I", listed)
    total = body
    for k in range(min(_number(about, "<I", start), len(about) // 16)):
        place, length = struct.unpack_from("<qq", about, start + 4 + 16 * k)
        if length >= 8:
            total += max(0, struct.unpack("<q", file.read_at(8, offset + described + place))[0])
    return total


def _number(buffer: bytes, kind: str, at: int) -> int:
    return struct.unpack_from(kind, buffer, at)[0]


def _field(buffer: bytes, table: int, field: int) -> int:
    """Place of a field of a table, 0 where it has its default."""
    listed = table - _number(buffer, "<i", table)
    if listed < 0 or 4 + 2 * field >= _number(buffer, "<H", listed):
        return 0
    step = _number(buffer, "<H", listed + 4 + 2 * field)
    return table + step if step else 0


def _table(buffer: bytes, table: int, field: int) -> int:
    at = _field(buffer, table, field)
    return at + _number(buffer, "<I", at)


def check_shared(table: pa.Table, path: Path) -> pa.Table:
    """Return a table none of whose texts or lists, written once and used many times, is large when written out.

    Raises
    ------
    DataError
        If they are, or a column is of a type whose size cannot be told.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        if "run_end" in str(column.type) or "list_view" in str(column.type):
            raise DataError(
                f"column {name!r} holds {column.type}", path=path, fix="Write it as numbers, text or a list"
            )
        check_size(sum(_written_out(chunk) for chunk in column.chunks), path, f"column {name!r}")
    return table


def _written_out(chunk: pa.Array) -> int:
    if chunk.type == pa.string_view() or chunk.type == pa.binary_view():
        views = np.frombuffer(chunk.buffers()[1] or b"", np.int32)[::4]
        return int(views[chunk.offset : chunk.offset + len(chunk)].sum(dtype=np.int64))
    if pa.types.is_dictionary(chunk.type):
        words = chunk.dictionary
        if pa.types.is_string(words.type) or pa.types.is_large_string(words.type) or pa.types.is_binary(words.type):
            lengths = pc.binary_length(words).cast(pa.int64())  # pyright: ignore[reportAttributeAccessIssue]
            return pc.sum(lengths.take(chunk.indices)).as_py() or 0  # pyright: ignore[reportAttributeAccessIssue]
        return len(chunk) * max(1, words.nbytes) if pa.types.is_nested(words.type) else 8 * len(chunk)
    return 0
