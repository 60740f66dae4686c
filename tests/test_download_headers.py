"""What a server says of a file that is not true, is nonsense or is missing: lengths, waits, headers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from downloads import CONTENT, Said, names, registered
from file_server import FileServer, Served

from connfit.datasets import download
from connfit.datasets.download import Watch, download_file
from connfit.datasets.registry import DataFile
from connfit.errors import ConnfitError, DataError, NotAvailableError

pytestmark = pytest.mark.usefixtures("quick_downloads")


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


def test_transient_answers_are_tried_again(server: FileServer, tmp_path: Path) -> None:
    served, said = Served(CONTENT, statuses=[500, 429]), Said()
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin", watch=said.watch)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ["HTTP 500" in said.lines[0], "HTTP 429 (Too Many Requests)" in said.lines[1]] == [True, True]
    served.statuses = [503] * 10
    with pytest.raises(NotAvailableError, match=r"HTTP 503"):
        download_file(registered(server.serve("a", served)), tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"] and len(served.statuses) == 10 - download.TRIES


@pytest.mark.parametrize("how", ["chunked", "bare"])
def test_without_a_length(server: FileServer, tmp_path: Path, how: str) -> None:
    served = Served(CONTENT, **{how: True}, breaks=[20_000])
    download_file(registered(server.serve("a", served)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and served.requests == ["", "bytes=20000-"]
    with pytest.raises(NotAvailableError, match="neither the server nor the registry says how long"):
        download_file(registered(server.serve("a", Served(CONTENT, **{how: True})), None), tmp_path / "b.bin")
    assert names(tmp_path) == ["a.bin"]


def test_a_file_whose_size_nobody_says_is_bounded(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(CONTENT, chunked=True)
    file = DataFile("a.bin", None, hashlib.sha256(CONTENT).hexdigest(), server.serve("a", served))
    monkeypatch.setattr(download, "MOST_OF_UNKNOWN", 10_000)
    with pytest.raises(NotAvailableError, match=r"more than 10,000 bytes came: raise CONNFIT_MAX_BYTES.*are kept in"):
        download_file(file, tmp_path / "a.bin")
    assert 0 < (tmp_path / "a.bin.part").stat().st_size <= 10_000
    monkeypatch.setenv("CONNFIT_MAX_BYTES", "50000")
    download_file(file, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT and served.requests[-1].startswith("bytes=")


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


NONSENSE = ("", "-1", "x", "1e9", "\u00b2", "9" * 5000, "0", "5, 7", "5,5", "nan")


@pytest.mark.parametrize("header", ["Content-Length", "Content-Range", "ETag", "Last-Modified", "Content-Encoding"])
@pytest.mark.parametrize("value", [*NONSENSE, " 7 "])
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
