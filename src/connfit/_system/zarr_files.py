"""Files of a Zarr store, a folder or a ZIP archive of one: their names and sizes are known before any is read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connfit._system.npz_members import check_packed
from connfit.errors import DataError

_MOST_FILES = 1 << 20
_DEEPEST = 12
_COPY = "Copy the store again, or write it anew"


@dataclass(frozen=True)
class ZarrFiles:
    """The files of an open store.

    Parameters
    ----------
    path
        Of the folder or the archive.
    sizes
        Bytes of each file, unpacked, by its name in the store, as `"dff/0.0"`.
    stored
        Bytes of all of them as they are stored.
    archive
        None of a folder.
    """

    path: Path
    sizes: Mapping[str, int]
    stored: int
    archive: zipfile.ZipFile | None = None

    def read(self, name: str, start: int = 0, most: int | None = None) -> bytes:
        """Return bytes of a file from `start` on, at most `most` and what it has."""
        count = self.sizes[name] - start if most is None else min(most, self.sizes[name] - start)
        with (self.path / name).open("rb") if self.archive is None else self.archive.open(name) as file:
            file.seek(start)
            return file.read(max(count, 0))


@contextmanager
def opened_files(path: Path) -> Iterator[ZarrFiles]:
    """List the files of a store and open them.

    Raises
    ------
    DataError
        If a file of it is a link, or no regular file, or packed with a password; if there are too many.
    ValueError
        If a member of an archive claims more than what is packed in it.
    """
    if path.is_dir():
        sizes = _of_folder(path)
        yield ZarrFiles(path, sizes, sum(sizes.values()))
    else:
        with zipfile.ZipFile(path) as archive:
            yield ZarrFiles(path, _of_archive(archive, path), path.stat().st_size, archive)


def _of_folder(path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    waiting = [("", path, 0)]
    while waiting:
        inside, folder, depth = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{inside}{entry.name}"
                if entry.is_symlink():
                    problem = f"{name} is a link, which is not followed"
                    raise DataError(problem, path=path, fix="Copy the values into this store")
                if entry.is_dir():
                    if depth == _DEEPEST:
                        raise DataError(f"{name} lies too deep for a Zarr store", path=path, fix=_COPY)
                    waiting.append((f"{name}/", Path(entry.path), depth + 1))
                elif not entry.is_file():
                    raise DataError(f"{name} is not a regular file", path=path, fix=_COPY)
                else:
                    sizes[name] = entry.stat().st_size
                _check_count(sizes, path)
    return sizes


def _of_archive(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for member in archive.infolist():
        if member.is_dir():
            continue
        if member.flag_bits & 1:
            raise DataError(f"{member.filename} is encrypted", path=path, fix="Pack it without a password")
        check_packed(member)
        # Zarr's library writes metadata again when attributes change: the last counts.
        sizes[member.filename] = member.file_size
        _check_count(sizes, path)
    return sizes


def _check_count(sizes: Mapping[str, int], path: Path) -> None:
    if len(sizes) > _MOST_FILES:
        raise DataError(f"it holds more than {_MOST_FILES:,} files", path=path, fix="Write larger chunks")
