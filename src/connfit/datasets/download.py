"""Downloads that go on where they were interrupted.

`Resumer` collects the bytes in `<file>.part` and asks a server for the rest on the condition that the original has not
changed (`Range` with `If-Range`, RFC 9110, section 14). The file gets its name once its size and checksum are right.

What is kept: bytes stay in `<file>.part`, and the next command goes on with them, when a connection breaks, a server
asks to wait, the disk is full or the command is interrupted. They are dropped when they are of another version, of an
unknown one (the note beside them is absent or damaged, or names another address), more than the whole file, or more
than the registered size. What a server says in a header counts only where it can be right: a length is a whole number.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import responses
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from connfit.datasets import checksums
from connfit.datasets.checksums import Known, difference, known
from connfit.datasets.partial import Partial, Version
from connfit.datasets.registry import DataFile
from connfit.errors import DataError, NotAvailableError

if TYPE_CHECKING:
    import requests

TRIES, TRIES_WITHOUT_ANSWER = 5, 2
"""Failures in a row, without new bytes between them, after which a download ends; the latter most often offline."""
PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before the second try, doubled for each one after it."""
TIMEOUT_S = (20.0, 60.0)
"""To connect, and between two bytes."""
SLOWEST = 100
"""Bytes per second below which a connection counts as broken."""
MOST_REDIRECTS = 10
_LENGTH = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)")
_CHUNK, _NEW_BYTES, _SPARE = 1 << 16, 1 << 20, 1 << 24
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class NotReachedError(NotAvailableError):
    """No server answered: other files will not be reached either."""


class _TransientError(Exception):
    """Worth another try, after `wait_s` seconds if the server asked for that."""

    def __init__(self, why: str, *, wait_s: float | None = None, answered: bool = True) -> None:
        super().__init__(why)
        self.wait_s, self.answered = wait_s, answered


class _LongerError(ValueError):
    """More bytes came than the registered file has."""


def _length(text: str) -> int | None:
    """A length in a header; None where it is no whole number."""
    return int(text) if _LENGTH.fullmatch(text.strip()) else None


def _pause(text: str) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None where it is neither."""
    if (seconds := _length(text)) is not None:
        return float(seconds)
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Watch:
    """Who is told about a download.

    Parameters
    ----------
    begin
        Called with the file and its target, before the first request.
    advance
        Called with the bytes that are here and the size of the whole, or None if that is not known.
    say
        Called with a line about something worth knowing: a new try, a start from the beginning, a recorded checksum.
    """

    begin: Callable[[DataFile, Path], None] = _silent
    advance: Callable[[int, int | None], None] = _silent
    say: Callable[[str], None] = _silent


def download_file(file: DataFile, target: Path, *, watch: Watch | None = None) -> Path:
    """Download a registered file to `target`, or go on with a download that was interrupted, and return `target`.

    Where no checksum is registered, that of the first download is kept in `<file>.sha256`.

    Raises
    ------
    NotReachedError
        If no server answers.
    BeingWrittenError
        If another process downloads it.
    NotAvailableError
        If the server refuses, the transfer ends too early, or the disk is full; what was received is kept.
    DataError
        If the file at the address is not the registered one; it is kept as `<file>.changed`.
    """
    if file.url is None:
        raise NotAvailableError(f"{file.path} has no public address")
    right, watch = known(target, file), watch or Watch()
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with Partial.opened(target) as part:
            if target.is_file():  # Another process was faster.
                checksums.verify(target, file)
            else:
                watch.begin(file, target)
            resumer = Resumer(file, target, right, part, watch)
            while not target.is_file():
                try:
                    resumer.receive(file.url)
                    problem = difference(part.path, right)
                except _LongerError as error:
                    part.discard()
                    problem = str(error)
                if problem is None:
                    part.become(target)
                elif resumer.joined:
                    watch.say(f"{file.path}: {problem} after going on with an interrupted download; starting again")
                    part.discard()
                    resumer = Resumer(file, target, right, part, watch, again=True)
                else:
                    raise _changed(resumer, problem)
            part.remove()
    return target


@dataclass
class Resumer:
    """A download that goes on with what is in `part`, and tries again where a connection breaks.

    `joined` says whether bytes of several answers were joined, which may be of different originals; never of a download
    `again`, after which no third one helps.
    """

    file: DataFile
    target: Path
    right: Known
    part: Partial
    watch: Watch
    again: bool = False
    joined: bool = False

    def receive(self, url: str) -> None:
        """Request until everything is here."""
        failures, most, answered = 0, self.part.size, False
        with _session() as session:
            while True:
                self.joined = not self.again and (self.joined or self.part.size > 0)
                try:
                    self._request(session, url)
                    break
                except _TransientError as error:
                    answered = answered or error.answered
                    # Bytes count once: a server that cannot go on and always breaks at one place is not waited for.
                    failures = 1 if self.part.size >= most + _NEW_BYTES else failures + 1
                    most = max(most, self.part.size)
                    if failures >= (TRIES if answered else TRIES_WITHOUT_ANSWER):
                        kind = NotAvailableError if answered else NotReachedError
                        raise kind(self._ended(url, str(error))) from error
                    wait_s = min(error.wait_s or PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
                    self._say(f"{error}; trying again in {wait_s:.3g} s")
                    time.sleep(wait_s)
        if self.right.checksum is None and self.right.bytes in (None, self.part.size):
            checksum = checksums.record(self.target, self.part.path, url)
            kept = f"recorded {self.part.size:,} bytes, sha256 {checksum} in {checksums.record_of(self.target).name}"
            self._say(f"no checksum is published; {kept}, against which later copies are checked")

    def _request(self, session: requests.Session, url: str) -> None:
        """Request once; returns when all bytes are here."""
        import requests
        from urllib3.exceptions import HTTPError

        headers = {"User-Agent": "connfit", "Accept-Encoding": self._encoding}
        before = self.part.version()
        # The rest can be told to belong to what is here by the server, or else by the checksum at the end.
        if before is None or before.url != url or not (before.condition or self.right.checksum):
            if self.part.size:
                self._restart("what was received belongs to an unknown version")
            before = Version(url)
        elif self.part.size == before.total:
            return
        elif self.part.size:
            headers |= {"Range": f"bytes={self.part.size}-"}
            headers |= {"If-Range": before.condition} if before.condition else {}
        try:
            with self._answer(session, url, headers) as response:
                total = self._start(response, before)
                self._receive(response, total)
        except _LongerError:
            raise
        except (ValueError, requests.TooManyRedirects) as error:
            raise self._refused(url, _brief(error)) from error
        except (requests.RequestException, HTTPError) as error:
            raise _TransientError(_brief(error), answered=not _is_unreachable(error)) from error
        whole = total if total is not None else self.right.bytes
        if whole is not None and self.part.size < whole:
            raise _TransientError(f"the connection broke after {self.part.size:,} of {whole:,} bytes")

    def _answer(self, session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
        import requests

        try:
            return session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)
        except requests.RequestException:
            raise
        except OSError as error:  # certificates that the environment names and that are not there
            raise self._refused(url, _brief(error)) from error

    def _start(self, response: requests.Response, before: Version) -> int | None:
        """Judge an answer by its headers and get the part ready for its body; returns the size of the whole."""
        have, code, header = self.part.size, response.status_code, response.headers.get
        status = f"HTTP {code} ({responses.get(code, 'not a known status')})"
        if code in _AGAIN:
            wait_s = _pause(header("Retry-After", ""))
            if wait_s is not None and wait_s > LONGEST_PAUSE_S:
                raise NotAvailableError(self._ended(before.url, f"{status}: the server asks to wait {wait_s:,.0f} s"))
            raise _TransientError(status, wait_s=wait_s)
        if code == 416 and have:
            raise self._anew(f"{status}: the file at the address is not longer than what is here")
        if code not in (200, 206):
            raise self._refused(before.url, status)
        packed = (header("Content-Encoding") or "identity").strip().lower()
        if packed not in ("identity", self._encoding):
            raise self._refused(before.url, f"the server compresses it ({packed})")
        given = _RANGE.fullmatch(header("Content-Range", "").strip())
        length = _length(given[2] if given else header("Content-Length", ""))
        now = Version(before.url, header("ETag"), header("Last-Modified"), length)
        total = now.total
        if code == 206:
            if given is None or int(given[1]) != have or before.differs(now):
                raise self._anew("the file at the address changed since the download began")
            total = before.total if total is None else total
        elif total is None and self.right.bytes is None and self.right.checksum is None:
            why = "neither the server nor the registry says how long it is, and a broken transfer would look whole"
            raise self._refused(before.url, why)
        else:
            if have:
                why = "changed since the download began" if before.differs(now) else "is sent only as a whole"
                self._restart(f"the file at the address {why}")
            self.part.begin(now)
        folder, needed = self.target.parent, (self.right.bytes or total or 0) - self.part.size
        if needed + _SPARE > (free := shutil.disk_usage(folder).free):
            raise NotAvailableError(
                f"{self.file.path} needs {needed:,} bytes more in {folder}, where {free:,} are free: make room, or "
                "choose another folder"
            )
        return total

    def _receive(self, response: requests.Response, total: int | None) -> None:
        """Append the body of an answer. Ends early without an error if the connection breaks."""
        from urllib3.exceptions import HTTPError

        # What has come, not what was asked for: else a server that sends a byte now and then is waited for for days.
        read = getattr(response.raw, "read1", response.raw.read)
        checked, at = time.monotonic(), self.part.size
        while True:
            try:
                # As it was sent: a .gz file is meant to stay one.
                data = read(_CHUNK, decode_content=False)
            except (HTTPError, OSError) as error:
                if total is None:
                    why = f"the connection broke after {self.part.size:,} bytes ({_brief(error)})"
                    raise _TransientError(why) from error
                return
            if not data:
                return
            if total is not None and self.part.size + len(data) > total:
                raise self._anew(f"the server sent more than the {total:,} bytes that it announced")
            if self.right.bytes is not None and self.part.size + len(data) > self.right.bytes:
                raise _LongerError(f"more than {self.right.bytes:,} bytes")
            self.part.append(data)
            self.watch.advance(self.part.size, total)
            if (now := time.monotonic()) > checked + TIMEOUT_S[1]:
                if self.part.size < at + SLOWEST * TIMEOUT_S[1]:
                    raise _TransientError(f"fewer than {SLOWEST:,} bytes per second came")
                checked, at = now, self.part.size

    @property
    def _encoding(self) -> str:
        """Accept-Encoding: Google Cloud Storage unpacks .gz files for who does not take gzip, other servers pack."""
        return "gzip" if self.file.path.endswith(".gz") else "identity"

    def _say(self, text: str) -> None:
        self.watch.say(f"{self.file.path}: {text}")

    def _restart(self, why: str) -> None:
        self._say(f"{why}; starting again")
        self.part.discard()

    def _anew(self, why: str) -> _TransientError:
        self.part.discard()
        return _TransientError(f"{why}; starting again")

    def _refused(self, url: str, why: str) -> NotAvailableError:
        return NotAvailableError(f"{self.file.path} could not be downloaded from {url}: {why}")

    def _ended(self, url: str, why: str) -> str:
        text, have = f"{self.file.path} could not be downloaded from {url} ({why})", self.part.size
        total = (self.part.version() or Version(url)).total or self.file.bytes
        missing = "" if total is None else f", {total - have:,} of {total:,} bytes are missing"
        kept = f". {have:,} bytes are kept in {self.part.path}{missing}: the same command goes on from there"
        return text + kept if have else text


def _session() -> requests.Session:
    """A session that is not led in circles, nor from a protected connection to an open one."""
    import requests

    class Careful(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target is not None and resp.url.startswith("https:") and urljoin(resp.url, target).startswith("http:"):
                raise requests.exceptions.InvalidURL("it leads from https to http, where anybody may change the file")
            return target

    session = Careful()
    session.max_redirects = MOST_REDIRECTS
    return session


def _changed(resumer: Resumer, problem: str) -> DataError:
    """The error about a file that is not the registered one, after putting it aside if it is whole."""
    target, right, part = resumer.target, resumer.right, resumer.part
    expected = "a size not known" if right.bytes is None else f"{right.bytes:,} bytes"
    if not part.size:
        return DataError(
            f"the file at {resumer.file.url} is not the registered one: {problem} came, expected ({right.where}): "
            f"{expected}; nothing of it was kept. {checksums.REPLACED}",
            path=target,
            fix="Download it by hand and read it by path if it is what you want",
        )
    aside, size, found = target.with_name(f"{target.name}.changed"), part.size, checksums.digest(part.path)
    part.become(aside)
    return DataError(
        f"the file at {resumer.file.url} has the wrong checksum or size: {problem}. Expected ({right.where}): "
        f"{expected}, {(right.checksum or 'no checksum').replace(':', ' ')}; found: {size:,} bytes, sha256 {found}. "
        f"{checksums.REPLACED}",
        path=target,
        fix=f"What was received is kept as {aside}; {checksums.READ_BY_PATH}, or delete it and try again",
    )


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    """Describe what was written where a disk is full or a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise NotAvailableError(
            f"{target} could not be written ({error.strerror or error}). What was received, if anything, is "
            f"kept in {target.name}.part; make room or choose another folder, and use the same command again"
        ) from error


def _reason(error: Exception) -> object:
    """What urllib3 says inside an error of requests."""
    return getattr(error.args[0] if error.args else None, "reason", None)


def _is_unreachable(error: Exception) -> bool:
    """Whether no connection came about, as without a network."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    return isinstance(_reason(error), ConnectTimeoutError | NewConnectionError | ProxyError)


def _brief(error: Exception) -> str:
    """What went wrong, without the names of the objects to which it did."""
    text = " ".join(str(_reason(error) or error).split())
    return re.sub(r"^\S*Connection\S*\([^)]*\): ", "", text)[:200] or type(error).__name__
