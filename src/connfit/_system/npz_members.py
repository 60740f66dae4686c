"""Arrays in NPZ files, whose memory is taken only if the file has as many bytes."""

from __future__ import annotations

import math
import sys
import zipfile
from dataclasses import dataclass
from typing import IO

import numpy as np

from connfit._system.unpacked import DENSEST

_BLOCK = 1 << 24
"""Bytes of an array that are unpacked at once."""


def check_packed(member: zipfile.ZipInfo) -> None:
    """Raise a ValueError if a member claims more than what its packed bytes can hold."""
    if member.file_size > DENSEST * member.compress_size:
        raise ValueError(f"{member.filename} claims {member.file_size:,} bytes, packed in {member.compress_size:,}")


@dataclass(frozen=True)
class ArrayHeader:
    """What a member of an NPZ file says of its array."""

    name: str
    shape: tuple[int, ...]
    by_column: bool
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def array_header(stream: IO[bytes], member: zipfile.ZipInfo) -> ArrayHeader:
    """Read the header of an array of an NPZ file; its values follow in the stream.

    Raises
    ------
    ValueError
        If it is no array of numbers or text, or claims more than what the archive has.
    """
    check_packed(member)
    return whole_header(stream, member.filename, member.file_size)


def whole_header(stream: IO[bytes], name: str, size: int) -> ArrayHeader:
    """Read the header of an array in the form of NPY, of which there are `size` bytes with the header.

    Raises
    ------
    ValueError
        If it is no array of numbers or text, or claims more or less than what is there.
    """
    header = stated_header(stream, name)
    shape, dtype, there = header.shape, header.dtype, size - stream.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if header.size != there or min(shape, default=0) < 0 or not dtype.itemsize:
        raise ValueError(f"{name} claims {dtype} of shape {shape}, {header.size:,} bytes, and has {there:,}")
    return header


def stated_header(stream: IO[bytes], name: str) -> ArrayHeader:
    """Read what the header of an array in the form of NPY states; a ValueError says if there is none."""
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"{name} is of an unknown version {version}")
    return ArrayHeader(name, *headers[version](stream))


def read_array(stream: IO[bytes], header: ArrayHeader) -> np.ndarray:
    """Read the values of an array, or of as many rows as the shape in `header` says.

    Raises
    ------
    EOFError
        If there are fewer.
    ValueError
        If text holds numbers that are no characters.
    """
    content = np.empty(header.size, np.uint8)
    view = content.data
    at = 0
    while at < header.size:
        read = stream.readinto(view[at : at + _BLOCK])  # pyright: ignore[reportAttributeAccessIssue]
        if not read:
            raise EOFError(f"{header.name} ends early")
        at += read
    if header.dtype.kind == "U" and (content.view(f"{header.dtype.byteorder}u4") > sys.maxunicode).any():
        # Python ends in a SystemError, or worse, when it makes a word of them.
        raise ValueError(f"{header.name} holds text with numbers that are no characters")
    return np.ndarray(header.shape, header.dtype, content, order="F" if header.by_column else "C")
