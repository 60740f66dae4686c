"""Named datasets: what each says of itself, lookup order, checksums, and downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from contracts import check_dataset
from file_server import FileServer, Served, running

from connfit.datasets import download
from connfit.datasets.fetch import fetch, locate, search_folders, status
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import ConfigError, DataError, DataWarning, NotAvailableError
from connfit.recordings.keyword_options import option_names

CONTENT = b"neuron,sign\n" * 5000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves /good; /short, half of what it announces; /other with other bytes; anything else is absent."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    with running() as one:
        one.serve("good", Served(CONTENT))
        one.serve("short", Served(CONTENT, breaks=[len(CONTENT) // 2, *[0] * 9]))
        one.serve("other", Served(CONTENT[::-1]))
        yield one


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The dataset's folders under $CONNFIT_DATA and in the cache, both empty."""
    monkeypatch.delenv("CONNFIT_CACHE", raising=False)
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: tmp_path / "cache" / name)
    return tmp_path / "data" / "test", tmp_path / "cache" / "connfit" / "test"


def table(url: str | None, *, sha256: str | None = None, **changes: object) -> Dataset:
    file = DataFile("sub/a.csv", len(CONTENT), sha256 or hashlib.sha256(CONTENT).hexdigest(), url)
    one = Dataset(
        name="test", label="t", organism="o", licence="CC0", citation="c", source="the originals",
        sizes={"neurons": 3}, files=(file,), recordings=("r",),
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


def put(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "sub" / "a.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.rglob("*") if one.is_file())


def test_lookup_order(folders: tuple[Path, Path], server: FileServer, capfd: pytest.CaptureFixture[str]) -> None:
    dataset, served = table(server.address("good")), server.files["/good"]
    assert status(dataset).state == "absent" and status(dataset).downloadable
    downloaded = locate(dataset)["sub/a.csv"]
    assert downloaded == folders[1] / "sub" / "a.csv" and downloaded.read_bytes() == CONTENT
    assert len(served.requests) == 1 and "downloading a.csv (60,000 bytes) from http" in capfd.readouterr().err
    assert locate(dataset)["sub/a.csv"] == downloaded and len(served.requests) == 1
    own = put(folders[0])
    assert locate(dataset)["sub/a.csv"] == own
    here = status(dataset)
    assert here.state == "here" and here.found["sub/a.csv"] == own and here.missing == ()
    assert here.downloadable is None, "there is nothing to download"


def test_the_cache_can_be_elsewhere(
    folders: tuple[Path, Path], server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "big"))
    found = locate(table(server.address("good"), folder="shared"))["sub/a.csv"]
    assert found == tmp_path / "big" / "shared" / "sub" / "a.csv"


def test_wrong_checksum_of_a_download_is_never_used(folders: tuple[Path, Path], server: FileServer) -> None:
    with pytest.raises(DataError, match=r"a\.csv.*wrong checksum.*kept as .*a\.csv\.changed"):
        locate(table(server.address("other")))
    assert names(folders[1]) == ["a.csv.changed"]


def test_truncated_transfer_is_never_used(folders: tuple[Path, Path], server: FileServer) -> None:
    with pytest.raises(NotAvailableError, match=r"could not be downloaded.*/short.*30,000 of 60,000 bytes are missing"):
        locate(table(server.address("short")))
    assert names(folders[1]) == ["a.csv.part", "a.csv.part.json"]


def test_absent_addresses_and_servers(folders: tuple[Path, Path], server: FileServer) -> None:
    with pytest.raises(NotAvailableError, match=r"sub/a\.csv could not be downloaded.*404"):
        locate(table(server.address("nothing")))
    with pytest.raises(NotAvailableError, match="downloading was not allowed"):
        locate(table(server.address("good")), download=False)
    assert server.files["/good"].requests == []


def test_offline_says_which_file_goes_where(folders: tuple[Path, Path], server: FileServer) -> None:
    dataset = table("http://127.0.0.1:9/good")
    with pytest.raises(NotAvailableError) as caught:
        locate(dataset)
    (fetched,) = fetch(dataset)
    for text in (str(caught.value), str(fetched.error)):
        for part in (
            "no server answers", str(folders[0]), str(folders[1]), "sub/a.csv", "60,000 bytes",
            hashlib.sha256(CONTENT).hexdigest(), "http://127.0.0.1:9/good",
        ):  # fmt: skip
            assert part in text


def test_files_without_an_address_say_where_to_put_them(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotAvailableError) as caught:
        locate(table(None))
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[1:3] == [str(one) for one in folders] and lines[-1].startswith("sub/a.csv: 60,000 bytes, sha256 ")
    assert "CONNFIT_DATA" in str(caught.value) and "the originals" in str(caught.value)
    assert status(table(None)).downloadable is False
    monkeypatch.delenv("CONNFIT_DATA")
    with pytest.raises(NotAvailableError) as caught:
        locate(table(None))
    assert str(folders[1]) in str(caught.value) and str(folders[0]) not in str(caught.value)


def test_the_same_table_in_another_form(folders: tuple[Path, Path]) -> None:
    packed = DataFile("sub/a.csv.gz", 4, hashlib.sha256(b"pack").hexdigest())
    file = replace(table(None).files[0], also_at=(packed,))
    dataset = table(None, files=(file,))
    path = put(folders[0]).rename(folders[0] / "sub" / "a.csv.gz")
    with pytest.raises(DataError, match=r"a\.csv\.gz: 60,000 bytes instead of 4"):
        locate(dataset)
    path.write_bytes(b"pack")
    assert locate(dataset) == {"sub/a.csv": path}
    assert locate(dataset) == status(dataset).found
    plain = put(folders[1])
    assert locate(dataset) == {"sub/a.csv": plain}, "the file itself comes before another form"


def test_optional_files_are_left_out_and_named(folders: tuple[Path, Path], server: FileServer) -> None:
    needed = table(server.address("good")).files[0]
    dataset = table(None, files=(needed, replace(needed, path="extra.csv", optional=True)))
    assert list(locate(dataset)) == ["sub/a.csv"]
    here = status(dataset)
    assert (here.state, here.missing, here.optional) == ("here", (), ("extra.csv",))
    assert [one.state for one in fetch(dataset)] == ["here", "optional"]
    assert [one.state for one in fetch(dataset, ["extra.csv"])] == ["downloaded"]
    (folders[1] / "extra.csv").unlink()
    assert [one.state for one in fetch(dataset, everything=True)] == ["here", "downloaded"]


def test_one_failure_does_not_keep_others_away(folders: tuple[Path, Path], server: FileServer, tmp_path: Path) -> None:
    good = table(server.address("good")).files[0]
    files = (
        replace(good, path="gone", url=server.address("nothing")), good, replace(good, path="by-hand-1", url=None),
        replace(good, path="by-hand-2", url=None), replace(good, path="damaged"),
    )  # fmt: skip
    (tmp_path / "to" / "test").mkdir(parents=True)
    (tmp_path / "to" / "test" / "damaged").write_bytes(CONTENT[:-1])
    done = {one.path: one for one in fetch(table(None, files=files), to=tmp_path / "to")}
    assert [one.state for one in done.values()] == ["failed", "downloaded", "failed", "failed", "failed"]
    assert done["sub/a.csv"].where == tmp_path / "to" / "test" / "sub" / "a.csv"
    assert "404" in str(done["gone"].error) and "truncated" in str(done["damaged"].error)
    assert "2 files are not here" in str(done["by-hand-1"].error) and done["by-hand-2"].error is None
    assert (tmp_path / "to" / "test" / "damaged").stat().st_size == len(CONTENT) - 1, "left as it was"


def test_files_put_in_place_without_a_checksum_are_recorded(folders: tuple[Path, Path]) -> None:
    file = replace(table(None).files[0], sha256=None)
    dataset, path = table(None, files=(file,)), put(folders[0])
    with pytest.warns(DataWarning, match=r"a\.csv: no checksum is published"):
        assert locate(dataset) == {"sub/a.csv": path}
    assert [one.state for one in fetch(dataset)] == ["here"]
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(DataError, match="recorded at the first download"):
        locate(dataset)


def test_generated_datasets_have_nothing_to_fetch() -> None:
    with pytest.raises(ConfigError, match="'demo' has no files to download: it is generated"):
        fetch("demo")


@pytest.mark.parametrize(
    ("content", "message"),
    [(CONTENT[:-5], "truncated"), (CONTENT + b"x", "another version"), (CONTENT[::-1], "checksum"), (b"", "truncated")],
)
def test_changed_files_are_refused_by_name(folders: tuple[Path, Path], content: bytes, message: str) -> None:
    path = put(folders[0])
    locate(table(None))
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        locate(table(None))
    assert str(path) in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"dataset is 'wrm'.*did you mean 'worm'"):
        locate("wrm")
    with pytest.raises(ConfigError, match="file of dataset worm"):
        locate("worm", ["neuron.csv"])


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_dataset_says_what_it_is_and_how_it_is_loaded(name: str, folders: tuple[Path, Path]) -> None:
    check_dataset(name)
    dataset = DATASETS[name]
    assert status(dataset).state == ("absent" if dataset.files else "generated")
    assert search_folders(name)[0].parent == folders[0].parent
    if "surrogate" in name or name == "demo":
        assert dataset.label.startswith("SURROGATE")


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if dataset.connectome and dataset.files])
def test_options_of_a_reader_are_options_of_the_dataset(name: str) -> None:
    load = DATASETS[name].connectome
    assert load is not None
    options = option_names(load, skip=0)
    assert {"min_synapses", "sign_rule", "unknown_transmitter", "self_connections"} <= set(options)
    assert not {"name", "notes", "neurons", "dataset"} & set(options), "what a dataset decides itself"


def test_datasets_of_one_folder_agree_about_shared_files() -> None:
    seen: dict[tuple[str, str], DataFile] = {}
    for dataset in DATASETS.values():
        for file in dataset.files:
            assert seen.setdefault((dataset.folder or dataset.name, file.path), file) == file


def test_worm_files_have_the_registered_checksums(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNFIT_DATA", str(data_dir))
    assert status("worm").state == "here"
    every = [one.path for one in DATASETS["worm"].files]
    assert set(locate("worm", every)) == set(every)


@pytest.mark.parametrize(("name", "files"), [("fly-783-halves", None), ("shiu-783", ["Completeness_783.csv"])])
def test_fly_files_have_the_registered_checksums(
    name: str, files: list[str] | None, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (data_dir / "flywire").is_dir():
        pytest.skip("needs the fly's tables in $CONNFIT_DATA/flywire")
    monkeypatch.setenv("CONNFIT_DATA", str(data_dir))
    assert all(path.parent == data_dir / "flywire" for path in locate(name, files, download=False).values())


def test_importing_does_no_work(tmp_path: Path) -> None:
    """No folder is made, nothing is imported that reads data, plots or downloads."""
    code = (
        "import sys, connfit.datasets, connfit.recordings.preprocess, connfit.connectome.matching; "
        "print([m for m in ('platformdirs', 'pynwb', 'oasis', 'requests', 'matplotlib') if m in sys.modules])"
    )
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "[]" and list(tmp_path.iterdir()) == []
