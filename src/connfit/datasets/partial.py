"""A file that is being downloaded: what is here of it, and which version of the original that belongs to."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from connfit.errors import NotAvailableError


@dataclass(frozen=True)
class Version:
    """Which version of an original a server sent.

    Parameters
    ----------
    url
        Its address.
    etag, last_modified
        As the server's headers of these names say, or None.
    total
        Its size in bytes, or None.
    """

    url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None

    @property
    def condition(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the time of the last change (RFC 9110, section 13.1.5)."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def differs(self, other: Version) -> bool:
        """Whether two answers are known to be of different versions."""
        pairs = ((self.etag, other.etag), (self.last_modified, other.last_modified), (self.total, other.total))
        return self.url != other.url or any(one != two for one, two in pairs if one is not None and two is not None)


class Partial:
    """`<file>.part` and, beside it, `<file>.part.json` with the version that it is a part of.

    Only to be used inside `opened`. Every byte in it survives the end of the process.

    Parameters
    ----------
    file
        The open `<file>.part`.
    path
        Its path.
    """

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file = file
        self.path = path
        self._note = path.with_name(f"{path.name}.json")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, target: Path) -> Iterator[Partial]:
        """Open the part of `target`, for one process at a time.

        Raises
        ------
        NotAvailableError
            If another process is downloading the same file.
        """
        path = target.with_name(f"{target.name}.part")
        while True:
            # Unbuffered, so that what was received is on disk however the process ends.
            with path.open("ab", buffering=0) as file:
                if not _locked(file):
                    raise NotAvailableError(f"{path} is being written by another process: wait until it is done")
                if not _is_at(file, path):
                    continue  # Another process finished and moved the file between opening and locking.
                part = cls(file, path)
                try:
                    yield part
                finally:
                    if not file.closed and part.size == 0 and _is_at(file, path):
                        part.remove()
                return

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return os.fstat(self._file.fileno()).st_size

    def version(self) -> Version | None:
        """The version of the original that the bytes here belong to; None if that is not known."""
        try:
            return Version(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, version: Version) -> None:
        """Start from nothing."""
        # First the bytes, then the note: a note never stands beside bytes of another version.
        self._file.truncate(0)
        temporary = self._note.with_name(f"{self._note.name}.new")
        temporary.write_text(json.dumps(asdict(version)), encoding="utf-8")
        os.replace(temporary, self._note)

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def discard(self) -> None:
        """Forget what is here."""
        self._file.truncate(0)
        self._note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing behind, as far as the system allows it for an open file."""
        self.discard()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def move(self, target: Path) -> None:
        """Give the bytes their final name."""
        os.fsync(self._file.fileno())
        if os.name == "nt":
            self._file.close()  # Windows moves closed files only.
        os.replace(self.path, target)
        self._note.unlink(missing_ok=True)


def _locked(file: FileIO) -> bool:
    """Whether this process now holds the file's lock; where the system has no such locks, yes."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # A file system without locks, as some network ones.
    return True


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
