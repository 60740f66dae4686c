"""NPZ files of arrays that need not fit into memory: written and read in blocks of frames."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from connfit._io import replacing
from connfit._system.npz_members import ArrayHeader, array_header, read_array
from connfit.evaluation.scratch import IN_MEMORY
from connfit.recordings.frame_blocks import Stored, frame_blocks


class InArchive:
    """An array of an NPZ file that is read in blocks of rows, best in their order: what is packed cannot be skipped.

    Parameters
    ----------
    path
        The archive.
    header
        Of the array.
    """

    def __init__(self, path: Path, header: ArrayHeader) -> None:
        self._path, self._header = path, header
        self._archive: zipfile.ZipFile | None = None
        self._stream: IO[bytes] | None = None
        self._row = 0

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._archive is not None:
            self._archive.close()
        self._archive = self._stream = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._header.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any, /) -> np.ndarray:
        rows, *others = at if isinstance(at, tuple) else (at,)
        if isinstance(rows, int | np.integer):
            row = range(len(self))[rows]
            return np.asarray(self[row : row + 1])[0][tuple(others)]
        if not isinstance(rows, slice):  # rows by their numbers, or by a mask
            return self[:][at]
        first, stop, step = rows.indices(len(self))
        return self._read(first, max(first, stop))[(slice(None, None, step), *others)]

    def __setitem__(self, at: Any, values: Any, /) -> None:
        raise TypeError(f"{self._header.name} is in {self._path}, which cannot be changed")

    def _read(self, first: int, stop: int) -> np.ndarray:
        if self._stream is None or self._row > first:
            self._close()
            self._archive = zipfile.ZipFile(self._path)
            self._stream, self._row = self._archive.open(self._header.name), 0
            array_header(self._stream, self._archive.getinfo(self._header.name))
        rest = self.shape[1:]
        for skipped in frame_blocks(self._row, first, int(np.prod(rest))):
            read_array(self._stream, replace(self._header, shape=(skipped.stop - skipped.start, *rest)))
        self._row = stop
        block = read_array(self._stream, replace(self._header, shape=(stop - first, *rest)))
        if stop == len(self):
            self._close()
        return block


def write_large_npz(path: Path, arrays: Mapping[str, Stored | np.ndarray]) -> None:
    """Write arrays as one compressed NPZ file, atomically, block by block."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if not values.shape:
                    np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)
                    continue
                dtype = np.asarray(values[:0]).dtype
                dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype
                about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": values.shape}
                np.lib.format.write_array_header_2_0(member, about)
                for block in frame_blocks(0, values.shape[0], int(np.prod(values.shape[1:]))):
                    member.write(np.ascontiguousarray(values[block], dtype).tobytes())


def read_large_npz(path: Path) -> dict[str, np.ndarray | InArchive]:
    """Read an NPZ file: small arrays at once, large ones when they are asked for.

    Raises
    ------
    OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error
        If the file is damaged (`connfit._io.DAMAGE`).
    """
    arrays: dict[str, np.ndarray | InArchive] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                header = array_header(stream, member)
                large = header.size > IN_MEMORY and not header.by_column and len(header.shape) > 1
                found = InArchive(path, header) if large else read_array(stream, header)
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"{name} is there twice")
            arrays[name] = found
    return arrays
