"""Answers of servers, the note beside a part, and the record of a first download, for `fuzz` to damage.

A file of the kind `download` holds what a server sends to one request after another, as it is sent. Whatever that is,
the download ends with the registered file or with one line, and once the server behaves it goes on to the right file.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from fuzz import Kind
from fuzz_changes import TOKENS, as_bytes

from connfit.datasets import checksums, download
from connfit.datasets.partial import forget
from connfit.datasets.registry import DataFile
from connfit.errors import ConnfitError

CONTENT = random.Random(0).randbytes(3000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HOST, URL = "files.test", "http://files.test/a.bin"
NEXT = b"\n=== next answer ===\n"
KEPT = {"a.bin", "a.bin.part", "a.bin.part.json", "a.bin.changed", "a.bin.sha256"}


def answer(status: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


WHOLE = {
    "Content-Type": "application/octet-stream", "ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
    "Content-Length": str(len(CONTENT)),
}  # fmt: skip
GOOD = answer("200 OK", WHOLE, CONTENT)


def rest(first: int) -> bytes:
    size = len(CONTENT)
    sent = WHOLE | {"Content-Length": str(size - first), "Content-Range": f"bytes {first}-{size - 1}/{size}"}
    return answer("206 Partial Content", sent, CONTENT[first:])


def chunked() -> bytes:
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (CONTENT[:1000], CONTENT[1000:], b""))
    sent = {key: value for key, value in WHOLE.items() if key != "Content-Length"}
    return answer("200 OK", sent | {"Transfer-Encoding": "chunked"}, parts)


SCRIPTS = (
    (GOOD,), (chunked(),), (GOOD[:-1700], rest(1300)),
    (answer("503 Service Unavailable", {"Retry-After": "0", "Content-Length": "0"}), GOOD),
    (answer("302 Found", {"Location": "/b.bin", "Content-Length": "0"}), GOOD),
    (GOOD[:-2000], answer("429 Too Many Requests", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), rest(1000)),
    (GOOD[:-2000], answer("416 Range Not Satisfiable", {"Content-Range": "bytes */3000"}), GOOD),
)  # fmt: skip
"""What servers send that behave, or break off and let a download go on."""

HEADERS = (
    "Content-Length", "Content-Range", "Retry-After", "Location", "Content-Type", "Content-Encoding", "ETag",
    "Transfer-Encoding", "Last-Modified", "Set-Cookie", "Connection", "Date", "Accept-Ranges", "Refresh", "X" * 70000,
)  # fmt: skip
SAID = (
    *TOKENS, b"5, 7", b"2999", b"3001", b"3000", b"bytes 0-2999/3000", b"bytes 1300-2999/9", b"bytes 1300-1/*", b"gzip",
    b"br, gzip", b"identity", b"chunked", b"gzip, chunked", b"text/html; charset=nonsense", b'W/"one"', b'"two"',
    b"close",
    b"/a.bin", b"//", b"http://[", b"http://other.test/", b"https://files.test/", b"file:///etc/passwd",
    b"http://files.test:0/",
    b"http://a:b@files.test:99999/", b"ftp://files.test/", b"?", b"#", b"http://files.test/%", b"http://\xff\xfe/",
    b"\r\n folded", b"Wed, 99 Oct 99999", b"a=b; Max-Age=9" + b"9" * 400, b"=; Expires=x", b"3600", b"0",
)  # fmt: skip
STATUSES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 100 Continue", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 301 x", b"HTTP/1.1 304 x", b"HTTP/1.1 308 x", b"HTTP/1.1 407 x", b"HTTP/1.1 416 x", b"HTTP/1.1 99999 x",
    b"HTTP/1.1 -1 x", b"HTTP/1.1", b"HTTP/9.9 200 OK", b"HTTP/1.0 200 OK", b"ICY 200 OK", b"", b"\xff",
    b"HTTP/1.1 2e2 OK",
    b"HTTP/1.1 \xc2\xb2 OK", b"HTTP/1.1 200 " + b"x" * 70000, b"HTTP/1.1 503 x", b"HTTP/1.1 999 \x1b[31m[/red]",
)  # fmt: skip


def as_answers(content: bytes, rng: random.Random) -> bytes:
    """Change a header, the status, the body or the order of what a server sends."""
    if rng.random() < 0.2:
        return as_bytes(content, rng)
    answers = content.split(NEXT)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(answers))
        head, _, body = answers[at].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        match rng.randrange(8):
            case 0:
                lines[0] = rng.choice(STATUSES)
            case 1:
                body = rng.choice((body[: rng.randrange(len(body) + 1)], body + body, b"", as_bytes(body, rng)))
            case 2:
                lines.append(rng.choice(HEADERS).encode() + b": " + rng.choice(SAID))
            case 3:
                del lines[rng.randrange(len(lines))]
            case 4:
                answers.insert(at, answers[rng.randrange(len(answers))])
            case 5:
                lines.append(rng.choice(lines))
            case _:
                name = lines[line := rng.randrange(len(lines))].partition(b":")[0]
                lines[line] = name + b": " + rng.choice(SAID)
        answers[at] = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return NEXT.join(answers)


class Server:
    """Sends what it was given to one connection after another, and then the whole file to each."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(2)
                try:
                    while b"\r\n\r\n" not in connection.recv(1 << 16):
                        pass
                    connection.sendall(self.answers.pop(0) if self.answers else GOOD)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass
                except OSError:
                    pass  # who asked has gone away


@contextmanager
def only_here(server: Server) -> Iterator[None]:
    """Find the server under its name and no other, without pauses, proxies or long waits."""

    def found(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        if host not in (HOST, HOST.encode()):
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.socket.getsockname())]

    clock = SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic)
    with ExitStack() as changed:
        for place, name, value in (
            (socket, "getaddrinfo", found), (download, "time", clock), (download, "_CHUNK", 500),
            (download, "TIMEOUT_S", (1.0, 1.0)),
        ):  # fmt: skip
            changed.enter_context(mock.patch.object(place, name, value))
        changed.enter_context(mock.patch.dict("os.environ", {"NO_PROXY": "*", "no_proxy": "*"}))
        yield


def network_kinds() -> dict[str, Kind]:
    """Answers of a server; and notes and records beside a file whose server behaves."""
    servers: list[Server] = []

    def serve(answers: Sequence[bytes]) -> Server:
        servers[:] = servers or [Server()]  # where inputs are read, not in the process that started that one
        servers[0].answers = list(answers)
        return servers[0]

    def fetched(path: Path) -> None:
        answers = path.read_bytes().split(NEXT)
        for known in (True, False):
            with tempfile.TemporaryDirectory() as folder, only_here(serve(answers)):
                _obtained(
                    Path(folder),
                    DataFile("a.bin", len(CONTENT), SHA256 if known else None, URL),
                    servers[0].answers.clear,
                )

    def noted(path: Path) -> None:
        for have in (CONTENT[:1300], b"", CONTENT, CONTENT + b"more", b"?" + CONTENT[:99]):
            with tempfile.TemporaryDirectory() as folder, only_here(serve([])):
                (Path(folder) / "a.bin.part").write_bytes(have)
                (Path(folder) / "a.bin.part.json").write_bytes(path.read_bytes())
                _obtained(Path(folder), DataFile("a.bin", len(CONTENT), SHA256, URL), servers[0].answers.clear)

    def recorded(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "a.bin"
            target.write_bytes(CONTENT)
            checksums.record_of(target).write_bytes(path.read_bytes())
            forget(target)
            checksums.verify(target, DataFile("a.bin", len(CONTENT), None, URL))

    note = {"url": URL, "etag": '"one"', "last_modified": WHOLE["Last-Modified"], "total": len(CONTENT)}
    record = f"# {len(CONTENT)} bytes, first seen at {URL}\n{SHA256}  a.bin\n"
    return {
        "download header": Kind(".http", tuple(NEXT.join(script) for script in SCRIPTS), fetched, as_answers),
        "part note": Kind(".part.json", (json.dumps(note).encode(),), noted),
        "checksum record": Kind(".sha256", (record.encode(),), recorded),
    }


def _obtained(folder: Path, file: DataFile, behaves: Callable[[], object]) -> None:
    """Download, and again from a server that behaves, which must end with the registered file and nothing beside it."""
    target, problem = folder / "a.bin", None
    try:
        download.download_file(file, target)
    except ConnfitError as error:
        problem = error
    left = {path.name for path in folder.rglob("*")}
    assert left <= KEPT, f"left behind: {sorted(left - KEPT)}"
    assert target.exists() == (problem is None), "a file of this name after an error, or none without one"
    if problem is not None:
        behaves()
        download.download_file(file, target)
    if file.sha256 is not None:
        assert target.read_bytes() == CONTENT, "another file than the registered one"
    left = {path.name for path in folder.rglob("*")} & {"a.bin.part", "a.bin.part.json"}
    assert not left, f"left behind: {sorted(left)}"
    if problem is not None:
        raise problem
