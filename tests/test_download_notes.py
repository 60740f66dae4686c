"""What lies beside a download: notes and parts without each other, and records of checksums."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from downloads import CONTENT, Said, names, registered
from file_server import FileServer, Served

from connfit.datasets import checksums
from connfit.datasets.download import download_file
from connfit.datasets.partial import forget
from connfit.datasets.registry import DataFile
from connfit.errors import DataError, NotAvailableError

pytestmark = pytest.mark.usefixtures("quick_downloads")


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
