"""How many bytes a file may unpack to, whatever it claims: memory is taken only within that."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import BinaryIO

from connfit._system.environment import MAX_BYTES, whole_number
from connfit.errors import DataError

DENSEST = 1100
"""Times that deflate can shrink zeros, at most (1032), and a little more."""

GROWTH = 32
"""Times that a file may grow; tables and recordings grow about tenfold at most."""

SMALL = 1 << 28
"""Bytes that every file may unpack to."""

LONGEST_LINE = 1 << 24
"""Bytes that a header may have."""


def most_bytes(path: Path, stored: int | None = None) -> int:
    """Return how many bytes a file may unpack to: `CONNFIT_MAX_BYTES`, or what follows from its size.

    Parameters
    ----------
    stored
        Its size; needed of a folder.
    """
    return whole_number(MAX_BYTES) or max(SMALL, GROWTH * (path.stat().st_size if stored is None else stored))


def check_size(claimed: int, path: Path, what: str = "", stored: int | None = None) -> None:
    """Raise a DataError for a file, or a part of it, that would take too many bytes."""
    most = most_bytes(path, stored)
    if claimed > most:
        size = path.stat().st_size if stored is None else stored
        raise DataError(
            f"{what or 'it'} would take {claimed:,} bytes unpacked, and a file of {size:,} may take {most:,}",
            path=path,
            fix=f"If that is right, set {MAX_BYTES}={claimed}",
        )


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed by gzip, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file to read what is in it: unpacked, if gzip packed it.

    Reading raises a DataError as soon as it unpacks to more than it may.
    """
    return io.BufferedReader(_Unpacking(path), 1 << 18) if is_gzip(path) else path.open("rb")


def check_unpacked(path: Path) -> None:
    """Raise a DataError for a packed file that unpacks to more than it may, before anything is made of it."""
    if is_gzip(path):
        with open_unpacked(path) as file:
            while file.read(1 << 20):
                pass


def first_line(path: Path) -> bytes:
    """Return the first line of a table, without its end.

    Raises
    ------
    DataError
        If it is longer than any header.
    """
    with open_unpacked(path) as file:
        line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE and b"\r" not in line:
        raise DataError(f"the first line has more than {LONGEST_LINE:,} bytes", path=path, fix="Is this a table?")
    return line


class _Unpacking(io.RawIOBase):
    """A packed file that counts what it has unpacked."""

    def __init__(self, path: Path) -> None:
        self._path, self._stream, self._done, self._most = path, gzip.open(path, "rb"), 0, most_bytes(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        count = self._stream.readinto(buffer)
        self._done += count
        if self._done > self._most:
            raise DataError(
                f"it unpacks to more than the {self._most:,} bytes that a file of {self._path.stat().st_size:,} may "
                "take",
                path=self._path,
                fix=f"If that is right, set {MAX_BYTES} to the bytes that it unpacks to",
            )
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
