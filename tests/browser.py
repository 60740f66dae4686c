"""A real headless browser, driven over Chromium's DevTools protocol through two pipes: no driver, no dependency."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and writes to 4; these are copied there before it replaces the launcher.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """Path of a Chromium or Chrome: that of `CONNFIT_BROWSER`, or the first of the usual names that is there."""
    chosen = os.environ.get("CONNFIT_BROWSER")
    return chosen or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """One tab. Messages that the browser sends meanwhile are kept in `events`."""

    process: subprocess.Popen[bytes]
    commands: int
    replies: int
    session: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0
    _buffer: bytes = b""

    def send(self, method: str, *, timeout: float = 60.0, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + timeout
        while True:
            reply = self._read(until, method)
            if reply.get("id") == self._number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]
            self.events.append(reply)

    def wait_for(self, event: str, *, timeout: float = 60.0) -> None:
        """Return when the browser has sent an event since `events` was last emptied."""
        until = time.monotonic() + timeout
        while not any(one.get("method") == event for one in self.events):
            self.events.append(self._read(until, event))

    def open(self, address: str) -> None:
        """Load a page and wait until it and its images are there."""
        self.events.clear()
        self.send("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")
        self.value("Promise.all(Array.from(document.images, one => one.decode().catch(() => null))).then(() => 1)")

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression, awaited if it is a promise."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def show(self, width: int, *, dark: bool, height: int = 900) -> None:
        """Size of the window in CSS pixels, and whether the reader prefers dark colours; narrow ones are phones."""
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Picture of the window, or of the whole page, as PNG."""
        made = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(made["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def _read(self, until: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            with selectors.DefaultSelector() as ready:
                ready.register(self.replies, selectors.EVENT_READ)
                if not ready.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError(f"the browser did not answer {waiting_for}")
            piece = os.read(self.replies, 1 << 20)
            if not piece:
                raise ConnectionError(f"the browser ended (exit status {self.process.wait()}) before {waiting_for}")
            self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def browser_page(profile: Path, executable: str) -> Iterator[Page]:
    """Start a browser with a new profile and open a tab that reports console, faults and requests."""
    to_browser, commands = os.pipe()
    replies, from_browser = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(to_browser), str(from_browser), executable, *FLAGS,
         f"--user-data-dir={profile}"],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    page = Page(process, commands, replies)
    try:
        target = page.send("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        yield page
        page.session = None
        with contextlib.suppress(ConnectionError):
            page.send("Browser.close")
    finally:
        os.close(commands)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(replies)
