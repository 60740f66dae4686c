"""Whether a file is the registered one: by its size and checksum, or by those of its first download."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from connfit.datasets.dataset import DataFile
from connfit.errors import DataError

READ_BY_PATH = "to use a changed file, read it by path instead of by the dataset's name"
REPLACED = (
    "Providers replace files in place without a new version number (FlyWire Codex does), so results made with it "
    "would not be comparable"
)


@dataclass(frozen=True)
class Known:
    """What is known of the right content of a file.

    Parameters
    ----------
    bytes
        Size, or None.
    checksums
        Algorithm (`sha256`, `md5`) to hexadecimal checksum; empty if none is known.
    where
        Where that is from, in words.
    """

    bytes: int | None
    checksums: Mapping[str, str]
    where: str


def known(path: Path, file: DataFile) -> Known:
    """The registered size and checksum of a file, or those that its first download left beside it.

    Parameters
    ----------
    path
        Where the file is, or will be.
    file
        What is registered.

    Raises
    ------
    DataError
        If the record beside the file cannot be read.
    """
    if file.sha256 is not None:
        return Known(file.bytes, MappingProxyType({"sha256": file.sha256}), "registered")
    if file.md5 is not None:
        return Known(file.bytes, MappingProxyType({"md5": file.md5}), "registered")
    note = record_of(path)
    if not note.is_file():
        return Known(file.bytes, MappingProxyType({}), "registered")
    text = note.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^# (\d+) bytes.*\n([0-9a-f]{64}) [ *]", text, re.MULTILINE)
    if found is None:
        raise DataError("is not a record of a download", path=note, fix="Delete it to trust the file as it is now")
    return Known(int(found[1]), MappingProxyType({"sha256": found[2]}), f"recorded at the first download in {note}")


def record_of(path: Path) -> Path:
    """Where the checksum of the first download is kept: `<file>.sha256`, readable by `sha256sum --check`."""
    return path.with_name(f"{path.name}.sha256")


def record(path: Path, content: Path, url: str | None) -> str:
    """Keep the checksum of a file for which none is registered; later copies are checked against it.

    Parameters
    ----------
    path
        The file's final place.
    content
        Where its content is now.
    url
        Where it is from.

    Returns
    -------
    str
        The sha256.
    """
    checksum = digest(content)
    text = f"# {content.stat().st_size} bytes, first seen at {url or 'a place unknown'}\n{checksum}  {path.name}\n"
    temporary = record_of(path).with_name(f"{path.name}.sha256.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, record_of(path))
    return checksum


def difference(path: Path, right: Known, *, compute: Callable[[Path, str], str] | None = None) -> str | None:
    """How a file differs from what is known of it, or None.

    Parameters
    ----------
    path
        The file.
    right
        What it should be.
    compute
        Gives the checksum. Default: `digest`.
    """
    size = path.stat().st_size
    if right.bytes is not None and size != right.bytes:
        return f"{size:,} bytes instead of {right.bytes:,}"
    for algorithm, expected in right.checksums.items():
        if (found := (compute or digest)(path, algorithm)) != expected:
            return f"checksum {found} instead of {expected} ({algorithm})"
    return None


def verify(path: Path, file: DataFile) -> None:
    """Refuse a file that is not the registered one.

    A file without a registered checksum is compared with the record of its first download, if there is one.

    Parameters
    ----------
    path
        The file.
    file
        What is registered.

    Raises
    ------
    DataError
        If size or checksum differ.
    """
    right = known(path, file)
    problem = difference(path, right, compute=_digest_once)
    if problem is None:
        return
    size = path.stat().st_size
    if right.bytes is not None and size < right.bytes:
        raise DataError(
            f"{problem} ({right.where}): the file is truncated",
            path=path,
            fix="Delete it and copy or download it again",
        )
    raise DataError(
        f"{problem} ({right.where}): the file is another version or damaged. {REPLACED}",
        path=path,
        fix=f"Delete it and copy or download it again; {READ_BY_PATH}",
    )


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file in hexadecimal.

    Parameters
    ----------
    path
        The file.
    algorithm
        Name of a hash, as in `hashlib`.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _digest_once(path: Path, algorithm: str) -> str:
    """The same, but not computed again while size and time of change stay: datasets are located many times."""
    status = path.stat()
    return _remembered(path, algorithm, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _remembered(path: Path, algorithm: str, size: int, modified: int) -> str:
    return digest(path, algorithm)
