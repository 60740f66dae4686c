"""The registry of named datasets: lookup order, checksums, and downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connfit.data.registry import DATASETS, DataFile, Dataset, info, locate, search_folders, status
from connfit.errors import ConfigError, DataError, NotAvailableError

CONTENT = b"neuron,sign\n" * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves /good whole, /short half of what it announces, /other with other bytes; anything else is absent."""

    requests: list[str]

    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        body = {"/good": CONTENT, "/short": CONTENT, "/other": CONTENT[::-1]}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/short" else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """$CONNFIT_DATA and the cache, both empty."""
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path / "data" / "test", tmp_path / "cache" / "connfit" / "test"


def table(url: str | None, *, sha256: str | None = None) -> dict[str, Dataset]:
    file = DataFile("sub/a.csv", len(CONTENT), sha256 or hashlib.sha256(CONTENT).hexdigest(), url)
    return {
        "test": Dataset(
            name="test", title="t", organism="o", licence="CC0", citation="c", doi=(), source="the originals",
            sizes={"neurons": 3}, files=(file,), recordings=("r",),
        )
    }  # fmt: skip


def address(server: http.server.ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


def put(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "sub" / "a.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_lookup_order(folders: tuple[Path, Path], server) -> None:
    registry = table(address(server, "good"))
    assert status("test", registry=registry).state == "absent"
    downloaded = locate("test", registry=registry)["sub/a.csv"]
    assert downloaded == folders[1] / "sub" / "a.csv" and downloaded.read_bytes() == CONTENT
    assert server.requests == ["/good"]
    assert locate("test", registry=registry)["sub/a.csv"] == downloaded and server.requests == ["/good"]
    own = put(folders[0])
    assert locate("test", registry=registry)["sub/a.csv"] == own
    here = status("test", registry=registry)
    assert here.state == "here" and here.found["sub/a.csv"] == own and here.missing == ()


def test_wrong_checksum_of_a_download_keeps_nothing(folders: tuple[Path, Path], server) -> None:
    with pytest.raises(DataError, match=r"a\.csv.*wrong checksum.*Nothing was kept"):
        locate("test", registry=table(address(server, "other")))
    assert [one for one in folders[1].rglob("*") if one.is_file()] == []


def test_truncated_transfer_keeps_nothing(folders: tuple[Path, Path], server) -> None:
    with pytest.raises((NotAvailableError, DataError), match=r"could not be downloaded|wrong checksum") as caught:
        locate("test", registry=table(address(server, "short")))
    assert "short" in str(caught.value)
    assert [one for one in folders[1].rglob("*") if one.is_file()] == []


def test_absent_addresses_and_servers(folders: tuple[Path, Path], server) -> None:
    with pytest.raises(NotAvailableError, match=r"test.*sub/a\.csv could not be downloaded.*404"):
        locate("test", registry=table(address(server, "nothing")))
    with pytest.raises(NotAvailableError, match=r"put the file at .*a\.csv"):
        locate("test", registry=table("http://127.0.0.1:9/good"))
    with pytest.raises(NotAvailableError, match="downloading was not allowed"):
        locate("test", registry=table(address(server, "good")), download=False)
    assert server.requests == ["/nothing"]


def test_files_without_an_address_say_where_to_put_them(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotAvailableError) as caught:
        locate("test", registry=table(None))
    assert str(folders[0] / "sub" / "a.csv") in str(caught.value)
    assert "CONNFIT_DATA" in str(caught.value) and "the originals" in str(caught.value)
    assert not status("test", registry=table(None)).downloadable
    monkeypatch.delenv("CONNFIT_DATA")
    with pytest.raises(NotAvailableError) as caught:
        locate("test", registry=table(None))
    assert str(folders[1] / "sub" / "a.csv") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(CONTENT[:-5], "truncated"), (CONTENT + b"x", "another version"), (CONTENT[::-1], "checksum"), (b"", "truncated")],
)
def test_changed_files_are_refused_by_name(folders: tuple[Path, Path], content: bytes, message: str) -> None:
    path = put(folders[0])
    locate("test", registry=table(None))
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        locate("test", registry=table(None))
    assert str(path) in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"dataset is 'wrm'.*did you mean 'worm'"):
        locate("wrm")
    with pytest.raises(ConfigError, match="file of dataset worm"):
        locate("worm", ["neuron.csv"])


@pytest.mark.parametrize("name", list(DATASETS))
def test_entries_are_complete(name: str, folders: tuple[Path, Path]) -> None:
    facts = info(name)
    for key in ("title", "organism", "licence", "citation", "sizes", "source"):
        assert facts[key], key
    assert facts["status"] in ("absent", "generated") and facts["searched"] == [
        str(one) for one in search_folders(name)
    ]
    files = DATASETS[name].files
    assert len({one.path for one in files}) == len(files)
    assert all(len(one.sha256) == 64 and one.bytes > 0 for one in files)
    assert facts["bytes"] == sum(one.bytes for one in files)


def test_worm_files_have_the_registered_checksums(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNFIT_DATA", str(data_dir))
    assert status("worm").state == "here"
    assert set(locate("worm")) == {one.path for one in DATASETS["worm"].files}


def test_importing_does_no_work(tmp_path: Path) -> None:
    """No folder is made, nothing is imported that reads data, plots or downloads."""
    code = (
        "import sys, connfit.data, connfit.preprocess, connfit.matching; "
        "print([m for m in ('pooch', 'pynwb', 'oasis', 'requests', 'matplotlib') if m in sys.modules])"
    )
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "[]" and list(tmp_path.iterdir()) == []
