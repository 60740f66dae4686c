"""Downloads that go on where they were interrupted.

The bytes received are kept in `<file>.part`, and the file gets its name only when its checksum is right. A restart asks
for the rest on the condition that the original has not changed (`Range` with `If-Range`, RFC 9110, section 14).

pooch, which decides where the cache is, cannot do this: it gives its downloaders a new temporary file each time and
deletes it after an error.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from connfit.datasets.checksums import (
    READ_BY_PATH,
    REPLACED,
    Known,
    difference,
    digest,
    known,
    record,
    record_of,
    verify,
)
from connfit.datasets.dataset import DataFile
from connfit.datasets.partial import Partial, Version
from connfit.errors import DataError, NotAvailableError

if TYPE_CHECKING:
    import requests

TRIES = 5
"""Failures in a row, without new bytes between them, after which a download ends."""
TRIES_WITHOUT_ANSWER = 2
"""The same where no server has answered yet: most often this machine is offline."""
PAUSE_S = 1.0
"""Before the second try; doubled for each one after it."""
LONGEST_PAUSE_S = 60.0
TIMEOUT_S = (20.0, 60.0)
"""To connect, and between two bytes."""
_CHUNK = 1 << 16
_NEW_BYTES = 1 << 20
_SPARE = 1 << 24
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class NotReachedError(NotAvailableError):
    """No server answered: other files will not be reached either."""


class _TransientError(Exception):
    """Worth another try."""

    def __init__(self, why: str, *, wait_s: float | None = None, answered: bool = True) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.answered = answered


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
    """Download a file, or go on with a download that was interrupted.

    Parameters
    ----------
    file
        What is registered; its `url` is not None.
    target
        Where it goes.
    watch
        Who is told about it.

    Returns
    -------
    Path
        `target`, with the registered checksum. Where none is registered, that of the first download is kept in
        `<file>.sha256`, and later ones are compared with it.

    Raises
    ------
    NotReachedError
        If no server answers.
    NotAvailableError
        If the server refuses, the transfer ends too early, or the disk is full; what was received is kept.
    DataError
        If the file at the address is not the registered one; it is kept as `<file>.changed`.
    """
    watch = watch or Watch()
    if file.url is None:
        raise NotAvailableError(f"{file.path} has no public address")
    right = known(target, file)
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with Partial.opened(target) as part:
            if target.is_file():  # Another process was faster.
                verify(target, file)
                return target
            watch.begin(file, target)
            resumed = _transfer(file, file.url, right, part, watch)
            problem = difference(part.path, right)
            if problem is not None and resumed:
                watch.say(f"{file.path}: {problem} after going on with an interrupted download; starting again")
                part.discard()
                _transfer(file, file.url, right, part, watch)
                problem = difference(part.path, right)
            if problem is not None:
                raise _changed(file, target, part, problem)
            if not right.checksums:
                checksum = record(target, part.path, file.url)
                watch.say(
                    f"{file.path}: no checksum is published; recorded {part.size:,} bytes, sha256 {checksum} in "
                    f"{record_of(target).name}, against which later copies are checked"
                )
            part.move(target)
    return target


def _transfer(file: DataFile, url: str, right: Known, part: Partial, watch: Watch) -> bool:
    """Request until everything is here; returns whether it came in several pieces."""
    import requests

    failures, most, answered, pieces = 0, part.size, False, False
    with requests.Session() as session:
        while True:
            pieces = pieces or part.size > 0
            try:
                _request(session, file, url, right, part, watch)
                return pieces
            except _TransientError as error:
                answered = answered or error.answered
                # Bytes count once: a server that cannot go on and always breaks at one place is not waited for.
                failures = 1 if part.size >= most + _NEW_BYTES else failures + 1
                most = max(most, part.size)
                if failures >= (TRIES if answered else TRIES_WITHOUT_ANSWER):
                    kind = NotAvailableError if answered else NotReachedError
                    raise kind(_ended(file, url, part, str(error))) from error
                wait_s = min(error.wait_s or PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
                watch.say(f"{file.path}: {error}; trying again in {wait_s:.3g} s")
                time.sleep(wait_s)


def _request(session: requests.Session, file: DataFile, url: str, right: Known, part: Partial, watch: Watch) -> None:
    """One request; returns when all bytes are here."""
    import requests

    headers = {"User-Agent": "connfit", "Accept-Encoding": _encoding(file)}
    have, before = part.size, part.version()
    if have and not _can_go_on(before, url, right):
        watch.say(f"{file.path}: what was received belongs to an unknown version; starting again")
        part.discard()
        have = 0
    if have and before is not None:
        if have == before.total:
            return
        headers["Range"] = f"bytes={have}-"
        if before.condition is not None:
            headers["If-Range"] = before.condition
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            total = _start(response, file, url, right, part, before, watch)
            if total != part.size or total is None:
                _receive(response, part, total, watch)
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise NotAvailableError(f"{file.path} could not be downloaded from {url} ({_brief(error)})") from error
    except requests.RequestException as error:
        raise _TransientError(_brief(error), answered=not _is_unreachable(error)) from error
    whole = total if total is not None else right.bytes
    if whole is not None and part.size < whole:
        raise _TransientError(f"the connection broke after {part.size:,} of {whole:,} bytes")


def _can_go_on(before: Version | None, url: str, right: Known) -> bool:
    """Whether the rest can be told to belong to what is here: by the server, or else by the checksum at the end."""
    return before is not None and before.url == url and (before.condition is not None or bool(right.checksums))


def _start(
    response: requests.Response, file: DataFile, url: str, right: Known, part: Partial, before: Version | None,
    watch: Watch,
) -> int | None:  # fmt: skip
    """Judge an answer by its headers and get the part ready for its body; returns the size of the whole."""
    have, code = part.size, response.status_code
    if code in _AGAIN:
        raise _TransientError(f"HTTP {code} ({_phrase(code)})", wait_s=_asked_wait(response))
    if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
        part.discard()
        raise _TransientError(f"HTTP {code}: the file at the address is not longer than what is here; starting again")
    if code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise NotAvailableError(f"{file.path} could not be downloaded from {url}: HTTP {code} ({_phrase(code)})")
    header = response.headers.get
    if _encoding(file) == "identity" and header("Content-Encoding", "identity") != "identity":
        raise NotAvailableError(
            f"{file.path} could not be downloaded from {url}: the server compresses it ({header('Content-Encoding')})"
        )
    if code == HTTPStatus.PARTIAL_CONTENT:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header("Content-Range", "").strip())
        total = int(given[2]) if given and given[2] != "*" else None
        now = Version(url, header("ETag"), header("Last-Modified"), total)
        if given is None or int(given[1]) != have or before is None or before.differs(now):
            part.discard()
            raise _TransientError("the file at the address changed since the download began; starting again")
        _check_space(file, part, (total or before.total or have) - have)
        return total if total is not None else before.total
    length = header("Content-Length")
    total = int(length) if length is not None and length.isdigit() else None
    if total is None and right.bytes is None and not right.checksums:
        raise NotAvailableError(
            f"{file.path} could not be downloaded from {url}: neither the server nor the registry says how long it is, "
            "so that a broken transfer could not be told from a whole one"
        )
    now = Version(url, header("ETag"), header("Last-Modified"), total)
    if have:
        why = "changed since the download began" if before and before.differs(now) else "is sent only as a whole"
        watch.say(f"{file.path}: the file at the address {why}; starting again")
    part.begin(now)
    _check_space(file, part, total or right.bytes or 0)
    return total


def _receive(response: requests.Response, part: Partial, total: int | None, watch: Watch) -> None:
    """Append the body of an answer. Ends early without an error if the connection breaks."""
    from urllib3.exceptions import HTTPError

    while True:
        try:
            # As it was sent: a .gz file is meant to stay one.
            data = response.raw.read(_CHUNK, decode_content=False)
        except (HTTPError, OSError) as error:
            if total is None:
                raise _TransientError(f"the connection broke after {part.size:,} bytes ({_brief(error)})") from error
            return
        if not data:
            return
        if total is not None and part.size + len(data) > total:
            part.discard()
            raise _TransientError(f"the server sent more than the {total:,} bytes that it announced; starting again")
        part.append(data)
        watch.advance(part.size, total)


def _encoding(file: DataFile) -> str:
    """Accept-Encoding: storage services unpack .gz files for those who do not take gzip, and others pack what is not.

    Google Cloud Storage does the first ("decompressive transcoding"), and the checksum would be that of another file.
    """
    return "gzip" if file.path.endswith(".gz") else "identity"


def _changed(file: DataFile, target: Path, part: Partial, problem: str) -> DataError:
    """The error about a whole file that is not the registered one, after putting it aside."""
    right, found = known(target, file), digest(part.path)
    aside = target.with_name(f"{target.name}.changed")
    size = part.size
    part.move(aside)
    expected = ", ".join(f"{algorithm} {one}" for algorithm, one in right.checksums.items()) or "no checksum"
    size_expected = "a size not known" if right.bytes is None else f"{right.bytes:,} bytes"
    return DataError(
        f"the file at {file.url} has the wrong checksum or size: {problem}. Expected ({right.where}): {size_expected}, "
        f"{expected}; found: {size:,} bytes, sha256 {found}. {REPLACED}",
        path=target,
        fix=f"What was received is kept as {aside}; {READ_BY_PATH}, or delete it and try again",
    )


def _ended(file: DataFile, url: str, part: Partial, why: str) -> str:
    """What to say about a download that could not be finished."""
    text = f"{file.path} could not be downloaded from {url} ({why})"
    if not part.size:
        return text
    version = part.version()
    total = version.total if version is not None and version.total is not None else file.bytes
    missing = "" if total is None else f", {total - part.size:,} of {total:,} bytes are missing"
    return f"{text}. {part.size:,} bytes are kept in {part.path}{missing}: the same command goes on from there"


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    """Say what was written where a disk is full or a folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise NotAvailableError(
            f"{target} could not be written ({error.strerror or error}). What was received, if anything, is "
            f"kept in {target.name}.part; make room or choose another folder, and use the same command again"
        ) from error


def _check_space(file: DataFile, part: Partial, needed: int) -> None:
    folder = part.path.parent
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise NotAvailableError(
            f"{file.path} needs {needed:,} bytes more in {folder}, where {free:,} are free: make room, or choose "
            "another folder"
        )


def _asked_wait(response: requests.Response) -> float | None:
    """Seconds for which the server asks to wait, if it says so in seconds."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else None


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "not a known status"


def _is_unreachable(error: Exception) -> bool:
    """Whether no connection came about, as without a network."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, ConnectTimeoutError | NewConnectionError | ProxyError)


def _brief(error: Exception) -> str:
    """What went wrong, without the names of the objects to which it did."""
    reason = getattr(error.args[0] if error.args else None, "reason", None) or error
    text = " ".join(str(reason).split())
    return re.sub(r"^\S*Connection\S*\([^)]*\): ", "", text)[:200] or type(error).__name__
