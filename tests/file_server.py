"""A file server on this machine that misbehaves on request, for tests of downloads."""

from __future__ import annotations

import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Served:
    """One file of the server and how it is served; may be changed between requests.

    Attributes
    ----------
    content, etag, last_modified
        The file; headers that are None are not sent.
    ranges
        Whether `Range` is understood.
    conditional
        Whether `If-Range` is understood; without it a range of a changed file is sent.
    statuses
        Answers with these codes first, one per request.
    retry_after, location
        Headers of those answers.
    breaks
        For one request each: closes the connection after so many bytes; None: sends all.
    reset
        Whether a break is a reset instead of an end.
    announce
        A Content-Length that is not the truth.
    chunked
        Whether it is sent in chunks, without a length.
    bare
        Whether it is sent with neither length nor chunks.
    surplus
        Bytes sent after the end of a range.
    headers
        Further headers.
    pace_s
        Pause after every 10,000 bytes.
    requests
        The headers `Range` of all requests, empty where there was none.
    conditions
        The same of `If-Range`.
    """

    content: bytes
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: bool = True
    conditional: bool = True
    statuses: list[int] = field(default_factory=list)
    retry_after: str = "0"
    location: str | None = None
    breaks: list[int | None] = field(default_factory=list)
    reset: bool = False
    announce: int | None = None
    chunked: bool = False
    bare: bool = False
    surplus: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pace_s: float = 0.0
    requests: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` by path; anything else is absent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def serve(self, path: str, file: Served) -> str:
        """Serve a file and return its address."""
        self.files[f"/{path}"] = file
        return self.address(path)

    def handle_error(self, *_: object) -> None:
        """Clients that go away are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer  # type: ignore[assignment]

    def do_GET(self) -> None:
        self.close_connection = True
        file = self.server.files.get(self.path)
        if file is None:
            self.send_error(404)
            return
        file.requests.append(self.headers.get("Range", ""))
        file.conditions.append(self.headers.get("If-Range", ""))
        if file.statuses:
            self.send_response(file.statuses.pop(0))
            self.send_header("Retry-After", file.retry_after)
            self.send_header("Connection", "close")
            if file.location is not None:
                self.send_header("Location", file.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start(file)
        size = len(file.content)
        if start is not None and start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = file.content[start or 0 :] + (b"" if start is None else file.surplus)
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        given = {"ETag": file.etag, "Last-Modified": file.last_modified} | file.headers
        for key, value in given.items():
            if value is not None:
                self.send_header(key, value)
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not file.bare:
            self.send_header("Content-Length", str(len(body) if file.announce is None else file.announce))
        self.end_headers()
        stop = file.breaks.pop(0) if file.breaks else None
        self._send(file, body if stop is None else body[:stop], whole=stop is None)

    def _start(self, file: Served) -> int | None:
        """First byte asked for, if a range is to be sent."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        current = condition is None or condition in (file.etag, file.last_modified) or not file.conditional
        return int(asked[1]) if asked and file.ranges and current else None

    def _send(self, file: Served, body: bytes, *, whole: bool) -> None:
        for first in range(0, len(body), 10_000):
            part = body[first : first + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if file.chunked else part)
            if file.pace_s:
                time.sleep(file.pace_s)
        if file.chunked and whole:
            self.wfile.write(b"0\r\n\r\n")
        if file.reset and not whole:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[FileServer]:
    """A server in a thread."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
