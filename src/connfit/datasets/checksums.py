"""Whether a file is the registered one: by its size and checksum, or by those of its first download."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from connfit._io import write_bytes
from connfit.datasets.registry import DataFile
from connfit.errors import DataError

READ_BY_PATH = "to use a changed file, read it by path instead of by the dataset's name"
REPLACED = (
    "Providers replace files in place without a new version number (FlyWire Codex does), so results made with it "
    "would not be comparable"
)


@dataclass(frozen=True)
class Known:
    """What is known of a file's content: size, checksum (`sha256:...` or `md5:...`), and where that is from."""

    bytes: int | None
    checksum: str | None
    where: str = "registered"


def known(path: Path, file: DataFile) -> Known:
    """Return what is registered of the file at `path`, or what its first download left beside it.

    Raises
    ------
    DataError
        If the record beside the file cannot be read.
    """
    note = record_of(path)
    if file.sha256 or file.md5 or not note.is_file():
        return Known(file.bytes, f"sha256:{file.sha256}" if file.sha256 else file.md5 and f"md5:{file.md5}")
    text = note.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^# ([0-9]{1,15}) bytes.*\n([0-9a-f]{64}) [ *]", text, re.MULTILINE)
    if found is None:
        raise DataError("is not a record of a download", path=note, fix="Delete it to trust the file as it is now")
    return Known(int(found[1]), f"sha256:{found[2]}", f"recorded at the first download in {note}")


def record_of(path: Path) -> Path:
    """Name the record of a file's first download: `<file>.sha256`, readable by `sha256sum --check`."""
    return path.with_name(f"{path.name}.sha256")


def record(path: Path, content: Path, url: str | None) -> str:
    """Keep and return the sha256 of `content`, against which later copies of the file at `path` are checked."""
    checksum = digest(content)
    text = f"# {content.stat().st_size} bytes, first seen at {url or 'a place unknown'}\n{checksum}  {path.name}\n"
    write_bytes(record_of(path), text.encode())
    return checksum


def first_use(path: Path, file: DataFile) -> str | None:
    """Say by what the content of a file is known that has no published checksum; None for one that has.

    The first time its own is recorded, where that can be kept.
    """
    if file.sha256 or file.md5:
        return None
    right = known(path, file)
    if right.checksum is not None:
        text = f"it has the sha256 of its first use, {right.checksum.partition(':')[2]}"
    else:
        try:
            text = f"recorded sha256 {record(path, path, file.url)}, against which later copies are checked"
        except OSError as error:
            text = f"sha256 {digest(path)} could not be recorded ({error.strerror or error})"
    return f"no checksum is published; {text}"


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Compute the checksum of a file in hexadecimal, by a hash of `hashlib`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def difference(path: Path, right: Known, compute: Callable[[Path, str], str] = digest) -> str | None:
    """Describe how a file differs from what is known of it; None if it does not."""
    size = path.stat().st_size
    if right.bytes is not None and size != right.bytes:
        return f"{size:,} bytes instead of {right.bytes:,}"
    algorithm, _, expected = (right.checksum or "").partition(":")
    if expected and (found := compute(path, algorithm)) != expected:
        return f"checksum {found} instead of {expected} ({algorithm})"
    return None


def verify(path: Path, file: DataFile) -> None:
    """Raise a DataError for a file whose size or checksum is not the registered one, or that of its first download."""
    right, status = known(path, file), path.stat()
    # Datasets are located many times; a checksum holds while size and time of change stay.
    problem = difference(path, right, lambda *at: _remembered(*at, status.st_size, status.st_mtime_ns))
    if problem is None:
        return
    truncated = status.st_size < (right.bytes or 0)
    what = "the file is truncated" if truncated else f"the file is another version or damaged. {REPLACED}"
    fix = f"Delete it and copy or download it again{'' if truncated else f'; {READ_BY_PATH}'}"
    raise DataError(f"{problem} ({right.where}): {what}", path=path, fix=fix)


@lru_cache(maxsize=256)
def _remembered(path: Path, algorithm: str, size: int, modified: int) -> str:
    return digest(path, algorithm)
