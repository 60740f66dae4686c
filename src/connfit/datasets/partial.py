"""A file that is being downloaded: what is here of it, and which version of the original that belongs to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

import filelock
import msgspec

from connfit._io import write_json
from connfit._system.claim import sweep
from connfit._system.file_locks import NO_LOCKS
from connfit.datasets.checksums import record_of
from connfit.errors import NotAvailableError

_HEADER = re.compile(r"[!-~][ -~]{0,4000}")
_LONGEST_NOTE = 1 << 16


@dataclass(frozen=True)
class Version:
    """Which version of an original a server sent: address, the headers ETag and Last-Modified, size in bytes."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None

    @property
    def condition(self) -> str | None:
        """What `If-Range` may carry: a strong ETag, else the time of the last change (RFC 9110, section 13.1.5)."""
        strong = self.etag if self.etag is not None and not self.etag.startswith("W/") else self.last_modified
        return strong if strong and _HEADER.fullmatch(strong) else None

    def differs(self, other: Version) -> bool:
        """Return whether two answers are known to be of different versions."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return any(mine != its for mine, its in pairs if mine is not None and its is not None)


class BeingWrittenError(NotAvailableError):
    """Another process downloads the file."""


class Partial:
    """`<file>.part` and, beside it, `<file>.part.json` with the version that it is a part of; made by `opened`."""

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file, self.path, self._note = file, path, path.with_name(f"{path.name}.json")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, target: Path) -> Iterator[Partial]:
        """Open the part of `target`, for one process at a time: a BeingWrittenError tells the others."""
        path = target.with_name(f"{target.name}.part")
        while True:
            # Unbuffered, so that what was received is on disk however the process ends.
            with path.open("ab", buffering=0) as file, _held(file, path):
                if not _is_at(file, path):
                    continue  # Another process finished and removed the file between opening and locking.
                part = cls(file, path)
                sweep(target.parent, {target.name, part._note.name, record_of(target).name})
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
        """Return the version of the original that the bytes here belong to; None if that is not known, or none are."""
        if not self.size:
            return None  # a note alone says nothing of what will come
        try:
            if self._note.stat().st_size > _LONGEST_NOTE:
                return None
            found = msgspec.json.decode(self._note.read_bytes(), type=Version)
        except (OSError, ValueError, RecursionError):
            return None
        return found if found.total is None or found.total >= self.size else None

    def begin(self, version: Version) -> None:
        """Start from nothing: first without a note, which must never stand beside bytes of another version."""
        self.discard()
        write_json(self._note, asdict(version))

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def discard(self) -> None:
        """Forget what is here."""
        self._file.truncate(0)
        self._note.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Give the bytes another name, under which they are whole, and forget the part and its note."""
        os.fsync(self._file.fileno())
        if os.name == "nt":
            self._file.close()
        os.replace(self.path, path)
        self.remove()

    def remove(self) -> None:
        """Take the names of the part and its note away, as far as the system allows it for an open file."""
        if os.name == "nt":
            self._file.close()
        for path in (self.path, self._note):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def forget(target: Path) -> None:
    """Remove the part of a file that is whole, which a process leaves that ends just before it would.

    A part with bytes and without a note may be of another program, and stays.
    """
    part = target.with_name(f"{target.name}.part")
    note = part.with_name(f"{part.name}.json")
    if note.exists() or (part.is_file() and not part.stat().st_size):
        for path in (part, note):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(file: FileIO, path: Path) -> Iterator[None]:
    """Hold a file for this process; on drives without locks by a file beside it, `<name>.mark`."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows, which does not let another process remove or rename an open file
        pass
    except BlockingIOError:
        raise _being_written(path) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        mark = path.with_name(f"{path.name}.mark")
        lock = filelock.SoftFileLock(mark, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            # Of the same machine, a mark whose process is gone is taken over.
            raise _being_written(path, f"; its drive has no locks: if no process does, delete {mark}") from None
        try:
            yield
        finally:
            lock.release()
        return
    yield


def _being_written(path: Path, otherwise: str = "") -> BeingWrittenError:
    return BeingWrittenError(f"{path} is being written by another process: wait until it is done{otherwise}")


def _is_at(file: FileIO, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
