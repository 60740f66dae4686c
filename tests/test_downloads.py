"""Downloads of the registered file, of another, from servers that refuse, and to disks without space."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from downloads import CONTENT, OTHER, Said, names, registered
from file_server import FileServer, Served

from connfit.datasets import download
from connfit.datasets.download import NotReachedError, download_file
from connfit.datasets.partial import Partial
from connfit.datasets.registry import DataFile
from connfit.errors import DataError, NotAvailableError

pytestmark = pytest.mark.usefixtures("quick_downloads")


def test_a_whole_download(server: FileServer, tmp_path: Path) -> None:
    url, said = server.serve("a", Served(CONTENT)), Said()
    target = tmp_path / "sub" / "a.bin"
    assert download_file(registered(url), target, watch=said.watch) == target
    assert target.read_bytes() == CONTENT and names(tmp_path) == ["a.bin"]
    assert said.progress[-1] == (len(CONTENT), len(CONTENT)) and said.lines == []


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


def test_an_md5_counts_where_there_is_no_sha256(server: FileServer, tmp_path: Path) -> None:
    url, md5 = server.serve("a", Served(OTHER)), hashlib.md5(CONTENT).hexdigest()
    with pytest.raises(DataError, match=rf"{md5} \(md5\)"):
        download_file(DataFile("a.bin", len(CONTENT), None, url, md5=md5), tmp_path / "a.bin")
    server.serve("a", Served(CONTENT))
    download_file(DataFile("a.bin", len(CONTENT), None, url, md5=md5), tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin", "a.bin.changed"]


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


def test_certificates_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with pytest.raises(NotAvailableError, match=r"absent\.pem"):
        download_file(registered("https://127.0.0.1:9/a"), tmp_path / "a.bin")
