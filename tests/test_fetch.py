"""Downloads that are interrupted, lied to, refused, or of another file; from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer, Served, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connfit._system.paths import unfinished
from connfit.datasets import checksums, download, fetch
from connfit.datasets.download import NotReachedError, Watch, download_file
from connfit.datasets.partial import Partial, forget
from connfit.datasets.registry import DataFile
from connfit.errors import ConnfitError, DataError, NotAvailableError

CONTENT = np.random.default_rng(0).bytes(50_000)
OTHER = np.random.default_rng(1).bytes(50_000)


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    with running() as one:
        yield one


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, small pieces, no proxy."""
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    monkeypatch.setattr(download, "_CHUNK", 1000)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Said:
    """A watch that keeps what it is told, and interrupts after so many bytes."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[int, int | None]] = []
        self.interrupt_at = interrupt_at
        self.watch = Watch(advance=self.advance, say=self.lines.append)

    def advance(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))
        if self.interrupt_at is not None and done >= self.interrupt_at:
            raise KeyboardInterrupt


def registered(url: str | None, content: bytes | None = CONTENT, *, size: int | None = None) -> DataFile:
    checksum = None if content is None else hashlib.sha256(content).hexdigest()
    return DataFile("sub/a.bin", len(content) if content is not None else size, checksum, url)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.rglob("*") if one.is_file())


def test_a_whole_download(server: FileServer, tmp_path: Path) -> None:
    url, said = server.serve("a", Served(CONTENT)), Said()
    target = tmp_path / "sub" / "a.bin"
    assert download_file(registered(url), target, watch=said.watch) == target
    assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert said.progress[-1] == (len(CONTENT), len(CONTENT)) and said.lines == []


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


def test_a_server_that_lies_about_the_length(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT, announce=60_000, ranges=False)
    with pytest.raises(NotAvailableError, match=r"50,000 bytes are kept in .*, 10,000 of 60,000 bytes are missing"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert "a.bin" not in names(tmp_path)
    served.announce = 30_000
    (tmp_path / "short").mkdir()
    with pytest.raises(DataError, match="30,000 bytes instead of 50,000"):
        download_file(registered(server.serve("a", served)), tmp_path / "short" / "a.bin")
    assert "a.bin" not in names(tmp_path)


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


def test_transient_answers_are_tried_again(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT, statuses=[500, 429]), Said()
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ["HTTP 500" in said.lines[0], "HTTP 429 (Too Many Requests)" in said.lines[1]] == [True, True]
    served.statuses = [503] * 10
    with pytest.raises(NotAvailableError, match=r"HTTP 503"):
        download_file(registered(server.serve("a", served)), tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"] and len(served.statuses) == 10 - download.TRIES


def test_final_answers_are_not_tried_again(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=r"sub/a\.bin could not be downloaded from .*/nothing: HTTP 404"):
        download_file(registered(server.address("nothing")), tmp_path / "a.bin")
    served = Served(CONTENT, statuses=[403, 403])
    with pytest.raises(NotAvailableError, match=r"HTTP 403 \(Forbidden\)"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert len(served.requests) == 1 and names(tmp_path) == []


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(NotReachedError, match="Connection refused"):
        download_file(registered("http://127.0.0.1:9/a"), tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_a_changed_file_is_put_aside_and_explained(server: FileServer, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with pytest.raises(DataError) as caught:
        download_file(registered(server.serve("a", Served(OTHER))), target)
    text = str(caught.value)
    for part in (
        hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(OTHER).hexdigest(), "Codex", "without a new version number",
        f"kept as {target}.changed", "read it by path",
    ):  # fmt: skip
        assert part in text
    assert names(tmp_path) == ["a.bin.changed"] and (tmp_path / "a.bin.changed").read_bytes() == OTHER


def test_without_a_checksum_the_first_download_is_recorded(server: FileServer, tmp_path: Path) -> None:
    served, said, target = Served(CONTENT), Said(), tmp_path / "a.bin"
    file = registered(server.serve("a", served), None, size=len(CONTENT))
    download_file(file, target, watch=said.watch)
    assert hashlib.sha256(CONTENT).hexdigest() in said.lines[0] and "50,000 bytes" in said.lines[0]
    assert names(tmp_path) == ["a.bin", "a.bin.sha256"]
    assert subprocess.run(["sha256sum", "--check", "--status", "a.bin.sha256"], cwd=tmp_path).returncode == 0
    checksums.verify(target, file)
    target.unlink()
    download_file(file, target)
    target.unlink()
    served.content = OTHER
    with pytest.raises(DataError, match=r"recorded at the first download in .*a\.bin\.sha256"):
        download_file(file, target)
    target.write_bytes(OTHER)
    with pytest.raises(DataError, match="recorded at the first download"):
        checksums.verify(target, file)
    (tmp_path / "a.bin.sha256").write_text("nonsense")
    with pytest.raises(DataError, match="is not a record of a download"):
        checksums.verify(target, file)


@pytest.mark.parametrize("content", [CONTENT, OTHER])
def test_a_file_system_without_links(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refused)
    file, target = registered(server.serve("a", Served(content))), tmp_path / "a.bin"
    if content == CONTENT:
        assert download_file(file, target).read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    else:
        with pytest.raises(DataError, match="kept as"):
            download_file(file, target)
        assert names(tmp_path) == ["a.bin.changed"] and (tmp_path / "a.bin.changed").read_bytes() == OTHER


def test_a_damaged_part_never_gets_the_name(server: FileServer, tmp_path: Path) -> None:
    served = Served(CONTENT)
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    (tmp_path / "a.bin.part").write_bytes(b"?" + CONTENT[1:7_000])
    download_file(file, target)
    assert target.read_bytes() == CONTENT and served.requests == ["", "bytes=7000-", ""]


def test_an_md5_counts_where_there_is_no_sha256(server: FileServer, tmp_path: Path) -> None:
    url, md5 = server.serve("a", Served(OTHER)), hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(DataError, match=rf"{md5} \(md5\)"):
        download_file(DataFile("a.bin", len(CONTENT), None, url, md5=md5), tmp_path / "a.bin")
    server.serve("a", Served(CONTENT))
    download_file(DataFile("a.bin", len(CONTENT), None, url, md5=md5), tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin", "a.bin.changed"]


@pytest.mark.parametrize("how", ["chunked", "bare"])
def test_without_a_length(server: FileServer, tmp_path: Path, how: str) -> None:
    served = Served(CONTENT, **{how: True}, breaks=[20_000])
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and served.requests == ["", "bytes=20000-"]
    with pytest.raises(NotAvailableError, match="neither the server nor the registry says how long"):
        download_file(registered(server.serve("a", Served(CONTENT, **{how: True})), None), tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"]


def test_more_than_announced_is_not_kept(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT, breaks=[20_000], surplus=b"more"), Said()
    with pytest.raises(NotAvailableError, match="HTTP 404"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=_then(said, served, 404))
    assert "sent more than the 50,000 bytes that it announced; starting again" in said.lines[-1]
    assert names(tmp_path) == []


def _then(said: Said, served: Served, status: int) -> Watch:
    """The watch of `said`, after whose line about a surplus the server answers with a status."""

    def say(line: str) -> None:
        said.lines.append(line)
        if "sent more" in line:
            served.statuses.append(status)

    return Watch(say=say)


def test_gzip_stays_gzip_and_other_files_are_not_packed(server: FileServer, tmp_path: Path) -> None:
    packed = Served(CONTENT, headers={"Content-Encoding": "gzip"})
    file = registered(server.serve("a", packed))
    with pytest.raises(NotAvailableError, match=r"the server compresses it \(gzip\)"):
        download_file(file, tmp_path / "a.bin")
    gz = DataFile("a.csv.gz", file.bytes, file.sha256, file.url)
    assert download_file(gz, tmp_path / "a.csv.gz").read_bytes() == CONTENT, "as it is stored, not unpacked"


def test_no_room(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("a", Served(CONTENT))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(NotAvailableError, match=r"needs 50,000 bytes more in .*, where 1,000 are free"):
        download_file(registered(url), tmp_path / "a.bin")
    assert names(tmp_path) == []
    monkeypatch.undo()

    def full(self: Partial, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Partial, "append", full)
    with pytest.raises(NotAvailableError, match=r"could not be written .No space left on device"):
        download_file(registered(url), tmp_path / "a.bin")


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_one_process_at_a_time(server: FileServer, tmp_path: Path) -> None:
    url, target = server.serve("a", Served(CONTENT)), tmp_path / "a.bin"
    with Partial.opened(target), pytest.raises(NotAvailableError, match="being written by another process"):
        download_file(registered(url), target)
    assert names(tmp_path) == []
    target.write_bytes(CONTENT)
    assert download_file(registered(server.address("nothing")), target) == target, "another process was faster"


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


@pytest.mark.parametrize("total", [0, 7, 50_000])
@pytest.mark.parametrize("etag", ['"one"', '"two"'])
def test_a_note_without_its_part_says_nothing(server: FileServer, tmp_path: Path, total: int, etag: str) -> None:
    served, said = Served(CONTENT), Said()
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    note = tmp_path / "a.bin.part.json"
    note.write_text(json.dumps({"url": file.url, "etag": etag, "total": total}))
    download_file(file, target, watch=said.watch)
    assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert served.requests == [""] and said.lines == []
    note.write_text("{}")
    forget(target)
    assert names(tmp_path) == ["a.bin"], "beside a whole file"
    target.unlink()
    note.write_text(json.dumps({"url": file.url, "etag": etag, "total": total}))
    served.statuses = [404]
    with pytest.raises(NotAvailableError, match="HTTP 404"):
        download_file(file, target)
    assert names(tmp_path) == [], "after a download of which nothing came"


def test_a_part_without_its_note_is_dropped(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT), Said()
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:7_000])
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert served.requests == [""] and "belongs to an unknown version; starting again" in said.lines[0]


@pytest.mark.parametrize("figures", ["9" * 5000, "\u00b2", "\u0663"])
def test_a_record_with_odd_figures_is_named(tmp_path: Path, figures: str) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(CONTENT)
    checksums.record(target, target, None)
    record = checksums.record_of(target)
    record.write_text(record.read_text().replace("50000", figures), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.bin\.sha256: is not a record of a download"):
        checksums.verify(target, DataFile("a.bin", None, None, None))


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


NONSENSE = ("", "-1", "x", "1e9", "\u00b2", "9" * 5000, "0", "5, 7", "5,5", " 7 ", "nan")


@pytest.mark.parametrize("header", ["Content-Length", "Content-Range", "ETag", "Last-Modified", "Content-Encoding"])
@pytest.mark.parametrize("value", NONSENSE)
def test_a_header_that_is_nonsense_costs_a_line_at_most(
    server: FileServer, tmp_path: Path, header: str, value: str
) -> None:
    served = Served(CONTENT, headers={header: value}, breaks=[20_000], bare=header == "Content-Length")
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    try:
        download_file(file, target)
        assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    except ConnfitError as error:
        assert "a.bin" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("value", [*NONSENSE, "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2015", "Wed, 21 Oct 99999"])
def test_a_wait_that_is_nonsense_is_no_wait(server: FileServer, tmp_path: Path, value: str) -> None:
    served = Served(CONTENT, statuses=[503], retry_after=value)
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("value", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_long_wait_is_said_and_the_part_is_kept(server: FileServer, tmp_path: Path, value: str) -> None:
    served = Served(CONTENT, breaks=[20_000])
    file, target = registered(server.serve("a", served)), tmp_path / "a.bin"
    with pytest.raises(KeyboardInterrupt):
        download_file(file, target, watch=Said(interrupt_at=7_000).watch)
    served.statuses, served.retry_after = [503], value
    with pytest.raises(NotAvailableError, match=r"asks to wait [0-9,]+ s\). 7,000 bytes are kept"):
        download_file(file, target)


def test_no_more_than_the_registered_size_is_taken(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT * 4000, chunked=True), Said()
    with pytest.raises(DataError, match=r"more than 50,000 bytes came.*nothing of it was kept"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert names(tmp_path) == [] and max(done for done, _ in said.progress) <= 50_000


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (None, "HTTP 302"), ("file:///etc/passwd", "No connection adapters"), ("/a", "[Ee]xceeded 10 redirects"),
        ("http://[", ""), ("http://" + "a" * 300 + ".x/", ""), ("\u00ff\u00fe", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_redirect_to_nowhere_is_final(server: FileServer, tmp_path: Path, location: str | None, said: str) -> None:
    served = Served(CONTENT, statuses=[302] * 20, location=location)
    with pytest.raises(NotAvailableError, match=rf"a\.bin could not be downloaded from .*{said}"):
        download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert names(tmp_path) == []


def test_nobody_leads_from_https_to_http() -> None:
    import requests

    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://example.org/a", "http://example.org/a"
    with pytest.raises(requests.exceptions.InvalidURL, match="from https to http"):
        download._session().get_redirect_target(answer)


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


def test_certificates_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with pytest.raises(NotAvailableError, match=r"absent\.pem"):
        download_file(registered("https://127.0.0.1:9/a"), tmp_path / "a.bin")
