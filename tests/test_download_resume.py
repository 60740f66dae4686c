"""Downloads that are interrupted go on: by themselves, by the same command, after a kill, beside another process."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from downloads import CONTENT, OTHER, Said, names, registered
from file_server import FileServer, Served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connfit._system.paths import unfinished
from connfit.datasets import download, fetch
from connfit.datasets.download import download_file
from connfit.datasets.partial import Partial, forget
from connfit.datasets.registry import DataFile
from connfit.errors import ConnfitError, NotAvailableError

pytestmark = pytest.mark.usefixtures("quick_downloads")


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_goes_on_by_itself(server: FileServer, tmp_path: Path, reset: bool) -> None:
    served, said = Served(CONTENT, breaks=[20_000, 5_000], reset=reset), Said()
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert served.requests[0] == "" and len(served.requests) == 3 and all(served.requests[1:])
    if not reset:  # a reset may take bytes with it that were on their way
        assert served.requests == ["", "bytes=20000-", "bytes=25000-"]
        assert "broke after 20,000 of 50,000 bytes; trying again" in said.lines[0]


def test_a_truncated_transfer_keeps_the_part_and_the_same_command_goes_on(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT, breaks=[10_000, *[0] * 10])
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(NotAvailableError, match=r"10,000 bytes are kept in .*a\.bin\.part, 40,000 of 50,000 bytes"):
        download_file(file, target)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert json.loads((tmp_path / "a.bin.part.json").read_text())["etag"] == '"one"'
    assert len(served.requests) == download.TRIES
    served.breaks.clear()
    download_file(file, target)
    assert target.read_bytes() == CONTENT and served.requests[-1] == "bytes=10000-" and names(tmp_path) == ["a.bin"]


def test_an_interrupt_keeps_the_part(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT)
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:7_000]
    download_file(file, target)
    assert target.read_bytes() == CONTENT and served.requests == ["", "bytes=7000-"]
    assert served.conditions == ["", '"one"']


@pytest.mark.parametrize("conditional", [True, False])
def test_an_original_that_changed_between_is_not_joined(server: FileServer, tmp_path: Path, conditional: bool) -> None:
    served, said = Served(OTHER, etag='"old"'), Said()
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    served.content, served.etag, served.conditional = CONTENT, '"new"', conditional
    download_file(file, target, watch=said.watch)
    assert target.read_bytes() == CONTENT
    assert any("changed since the download began; starting again" in line for line in said.lines)


def test_a_mixture_without_any_sign_is_found_by_the_checksum(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(OTHER, etag=None), Said()
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    served.content = CONTENT
    download_file(file, target, watch=said.watch)
    assert target.read_bytes() == CONTENT and served.requests == ["", "bytes=7000-", ""]
    assert "after going on with an interrupted download; starting again" in said.lines[0]


def test_a_weak_etag_is_not_sent_as_a_condition(server: FileServer, tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    served = Served(CONTENT, etag='W/"one"', last_modified=date, breaks=[20_000])
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert served.requests == ["", "bytes=20000-"] and served.conditions == ["", date]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT, ranges=False, breaks=[20_000]), Said()
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert "is sent only as a whole; starting again" in said.lines[-1]


def test_a_damaged_part_never_gets_the_name(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT)
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    (tmp_path / "a.bin.part").write_bytes(b"?" + CONTENT[1:7_000])
    download_file(file, target)
    assert target.read_bytes() == CONTENT and served.requests == ["", "bytes=7000-", ""]


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_one_process_at_a_time(server: FileServer, tmp_path: Path) -> None:
    url, target = server.serve("a", Served(CONTENT)), tmp_path / "a.bin"
    with Partial.opened(target), pytest.raises(NotAvailableError, match="being written by another process"):
        download_file(registered(url), target)
    assert names(tmp_path) == []
    target.write_bytes(CONTENT)
    assert download_file(registered(server.address("nothing")), target) == target, "another process was faster"


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_a_drive_without_locks_has_marks(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    file, target = registered(server.serve("a", Served(CONTENT))), tmp_path / "a.bin"
    with Partial.opened(target):
        assert (tmp_path / "a.bin.part.mark").exists()
        with pytest.raises(NotAvailableError, match=r"being written by another .* delete .*a\.bin\.part\.mark"):
            download_file(file, target)
    download_file(file, target)
    assert names(tmp_path) == ["a.bin"]


def test_what_a_kill_leaves_beside_a_file_is_swept(server: FileServer, tmp_path: Path) -> None:
    """Killed while the checksum of the whole file was computed, or just before its part would have been removed."""
    file, target = registered(server.serve("a", Served(CONTENT))), tmp_path / "a.bin"
    (scratch := unfinished(target)).mkdir()
    (scratch / "tmp12345").write_bytes(CONTENT)
    unfinished(tmp_path / "a.bin.part.json").touch()
    (others := unfinished(tmp_path / "b.bin")).touch()
    download_file(file, target)
    assert names(tmp_path) == sorted(["a.bin", others.name]) and not scratch.exists()
    for name in ("a.bin.part", "a.bin.part.json"):
        (tmp_path / name).touch()
    forget(target)
    assert names(tmp_path) == sorted(["a.bin", others.name])
    (tmp_path / "a.bin.part").touch()
    forget(target)
    assert not (tmp_path / "a.bin.part").exists(), "killed before it had a note"
    (tmp_path / "a.bin.part").write_bytes(b"text")
    forget(target)
    assert (tmp_path / "a.bin.part").exists(), "without a note it may be of another program"


def test_who_comes_second_waits(server: FileServer, tmp_path: Path) -> None:
    url, said = server.serve("second", Served(CONTENT, pace_s=0.1)), Said()
    target = tmp_path / "a.bin"
    with ThreadPoolExecutor() as pool:
        first = pool.submit(download_file, registered(url), target)
        while not target.with_name("a.bin.part").exists():
            time.sleep(0.01)
        assert fetch._downloaded(registered(url), target, said.watch) == first.result() == target
    assert len(said.lines) == 1 and "being written by another process: wait" in said.lines[0]
    assert names(tmp_path) == ["a.bin"]


SCRIPT = """
import sys
from pathlib import Path
from connfit.datasets import download
from connfit.datasets.registry import DataFile
download._CHUNK = 1000
url, target, checksum, size = sys.argv[1:]
download.download_file(DataFile("a.bin", int(size), checksum, url), Path(target))
"""


def test_a_killed_process_goes_on(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT, pace_s=0.4)
    target, part = tmp_path / "a.bin", tmp_path / "a.bin.part"
    url = server.serve("killed", served)
    command = [
        sys.executable, "-c", SCRIPT, url, str(target), hashlib.sha256(CONTENT).hexdigest(), str(len(CONTENT)),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    size = part.stat().st_size
    assert process.returncode and 0 < size < len(CONTENT) and names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    served.pace_s = 0.0
    download_file(registered(url), target)
    assert target.read_bytes() == CONTENT and served.requests == ["", f"bytes={size}-"]
    assert names(tmp_path) == ["a.bin"]


EVENTS = st.one_of(
    st.tuples(st.just("break"), st.integers(0, 2500)),
    st.tuples(st.just("interrupt"), st.integers(0, 2500)),
    st.tuples(st.just("status"), st.sampled_from([404, 416, 429, 500, 503])),
    st.tuples(st.just("change"), st.booleans()),
    st.tuples(st.just("ranges"), st.booleans()),
    st.tuples(st.just("conditional"), st.booleans()),
    st.tuples(st.just("etag"), st.booleans()),
    st.tuples(st.just("damage"), st.integers(0, 2500)),
    st.tuples(st.just("forget"), st.just(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=6), by_sha256=st.booleans())
def test_any_sequence_of_interruptions(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, events: list[tuple[str, int]], by_sha256: bool
) -> None:
    """After each the file equals the original or is not there under its name, and at the end it arrives."""
    monkeypatch.setattr(download, "TRIES", 2)
    monkeypatch.setattr(download, "_CHUNK", 100)
    original, other = CONTENT[:2000], OTHER[:2100]
    served = Served(original)
    file = registered(server.serve("p", served), original)
    if not by_sha256:
        file = DataFile(file.path, len(original), None, file.url, md5=hashlib.md5(original).hexdigest())
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.bin"
        part = Path(folder) / "a.bin.part"
        for kind, value in [*events, ("end", 0)]:
            said = Said()
            if kind == "break":
                served.breaks = [value] * 4
            elif kind == "interrupt":
                said = Said(interrupt_at=value)
            elif kind == "status":
                served.statuses = [value] * 4
            elif kind == "change":
                served.content = other if value else original
                served.etag = '"two"' if value and served.etag else served.etag and '"one"'
            elif kind == "etag":
                served.etag = '"one"' if value else None
            elif kind == "damage" and part.exists() and part.stat().st_size > value:
                part.write_bytes(part.read_bytes()[:value] + b"?" + part.read_bytes()[value + 1 :])
            elif kind == "forget":
                (Path(folder) / "a.bin.part.json").unlink(missing_ok=True)
            elif kind == "end":
                served.content, served.etag = original, '"three"'
            elif kind in ("ranges", "conditional"):
                setattr(served, kind, bool(value))
            try:
                download_file(file, target, watch=said.watch)
                finished = True
            except (ConnfitError, KeyboardInterrupt):
                finished = False
            served.breaks, served.statuses = [], []
            assert target.exists() == finished
            assert not finished or target.read_bytes() == original
            if finished:
                assert set(names(Path(folder))) <= {"a.bin", "a.bin.changed"}
                break
        assert finished


NOTES = (
    "", "[]", "5", "nonsense", '{"url": 5}', '{"url": "URL", "etag": 5}', '{"url": "URL", "etag": "\u4e00"}',
    '{"url": "URL", "etag": "a\\r\\nX: y"}', '{"url": "URL", "total": "7"}', '{"url": "URL", "total": -1}',
    '{"url": "URL", "total": 5}', '{"url": "URL", "total": 1e400}', '{"url": "http://other/"}', "[" * 10**5, "\0",
    '{"url": "URL", "etag": "' + "x" * 10**5 + '"}',
)  # fmt: skip


@pytest.mark.parametrize("note", NOTES)
def test_a_note_that_is_nonsense_costs_the_part_at_most(server: FileServer, tmp_path: Path, note: str) -> None:
    served = Served(CONTENT)
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:7_000])
    (tmp_path / "a.bin.part.json").write_text(note.replace("URL", str(file.url)), encoding="utf-8")
    download_file(file, target)
    assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]


def test_a_trickle_is_a_broken_connection(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", (5.0, 0.1))
    monkeypatch.setattr(download, "SLOWEST", 10**9)
    served = Served(CONTENT, pace_s=0.06, ranges=False)
    with pytest.raises(NotAvailableError, match=r"bytes per second came.*bytes are kept in .*a\.bin\.part"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
