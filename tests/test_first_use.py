"""Files without a published checksum: what is recorded at their first use is said each time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import warnings
from pathlib import Path

import pytest
from downloads import CONTENT, OTHER, Said, names, registered
from file_server import FileServer, Served
from small import OPTIONS, raw_movies, regional_connectome

from connfit import config
from connfit.connectome import Connectome
from connfit.datasets import checksums
from connfit.datasets.download import download_file
from connfit.datasets.fetch import fetch, locate
from connfit.datasets.loading import UNPUBLISHED, load_connectome, load_recording
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import DataError, DataWarning
from connfit.recordings import Recording
from connfit.training import runs

pytestmark = pytest.mark.usefixtures("quick_downloads")


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


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with a file of each kind, in the folder that is returned."""

    def connectome() -> Connectome:
        locate("toy", ["without.bin", "with.bin"])
        return regional_connectome()

    def recording(uid: str) -> Recording:
        locate("toy", ["movie.bin"])
        return raw_movies()[0]

    files = (
        DataFile("without.bin", None, None), DataFile("with.bin", len(OTHER), hashlib.sha256(OTHER).hexdigest()),
        DataFile("movie.bin", None, None),
    )  # fmt: skip
    dataset = Dataset(
        name="toy", label="toy", organism="none", licence="CC0", citation="nobody", source="made up", sizes={},
        connectome=connectome, recording=recording, recordings=("1",), files=files,
    )  # fmt: skip
    monkeypatch.setitem(DATASETS._entries, "toy", dataset)
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path))
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "toy"
    folder.mkdir()
    for name, content in (("without.bin", CONTENT), ("with.bin", OTHER), ("movie.bin", CONTENT[:99])):
        (folder / name).write_bytes(content)
    return folder


def test_each_use_of_a_file_without_a_published_checksum_says_so(toy: Path) -> None:
    said, checksum = Said(), hashlib.sha256(CONTENT).hexdigest()
    for sentence in (f"recorded sha256 {checksum}", f"the sha256 of its first use, {checksum}", "of its first use"):
        with pytest.warns(DataWarning, match=rf"without\.bin: no checksum is published; .*{sentence}") as caught:
            brain = load_connectome("toy")
        assert len(caught) == 1 and sentence in brain.notes[UNPUBLISHED]["toy/without.bin"]
        assert list(brain.notes[UNPUBLISHED]) == ["toy/without.bin"]
    fetch("toy", watch=said.watch)
    assert [line.partition(":")[0] for line in said.lines] == ["without.bin", "movie.bin"]
    (toy / "without.bin").write_bytes(OTHER)
    with pytest.raises(DataError, match="recorded at the first download"):
        load_connectome("toy")


def test_a_first_use_that_cannot_be_recorded_says_so(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(checksums, "write_bytes", refused)
    with pytest.warns(DataWarning, match=r"sha256 [0-9a-f]{64} could not be recorded \(Read-only file system\)"):
        load_recording("toy/1")


def test_the_record_of_a_run_has_it(toy: Path, tmp_path: Path) -> None:
    sections = {
        "model": ("drive_start", "state_forcing", "time_constant_frames", "weights", "own_shrinkage", "drive_ridge"),
        "train": ("batch", "learning_rate", "warmup_frames", "forced_frames", "free_run_frames"),
    }  # fmt: skip
    values = {name: {option: OPTIONS[option] for option in options} for name, options in sections.items()}
    values["train"]["epochs"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        runs.start(config.from_dict({**values, "data": {"dataset": "toy"}}), tmp_path / "run")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert list(record["connectome"]["notes"][UNPUBLISHED]) == ["toy/without.bin"]
    assert list(record["recordings"]["movie1"]["notes"][UNPUBLISHED]) == ["toy/movie.bin"]
