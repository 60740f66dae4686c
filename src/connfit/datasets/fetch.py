"""`connfit data fetch`: every absent file of a dataset, downloaded, and every present one verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from connfit.datasets.checksums import known, record, verify
from connfit.datasets.dataset import DataFile, Dataset
from connfit.datasets.download import NotReachedError, Watch, download_file
from connfit.datasets.registry import DATASETS, get_dataset, put_by_hand, search_folders, where_is
from connfit.errors import ConfigError, ConnfitError


@dataclass(frozen=True)
class Fetched:
    """What became of one file.

    Parameters
    ----------
    path
        Path inside the dataset.
    state
        `"downloaded"`, `"here"` (it was, and its checksum is right), `"optional"` (left out) or `"failed"`.
    where
        The file on this machine, if it is here and right.
    bytes
        Its size, or the registered one if it is not here; None if neither is known.
    error
        Why it failed; files that failed for the same reason have it once.
    """

    path: str
    state: Literal["downloaded", "here", "optional", "failed"]
    where: Path | None
    bytes: int | None
    error: ConnfitError | None = None


def fetch(
    name: str,
    files: Sequence[str] = (),
    *,
    to: Path | None = None,
    everything: bool = False,
    watch: Watch | None = None,
    registry: Mapping[str, Dataset] = DATASETS,
) -> tuple[Fetched, ...]:
    """Download the absent files of a dataset and verify those that are here.

    One file's failure does not keep others from being downloaded, except when no server can be reached.

    Parameters
    ----------
    name
        The dataset.
    files
        Paths inside the dataset. Default: all that are not optional.
    to
        A folder like `$CONNFIT_DATA`, into whose folder of the dataset files go. Default: the cache.
    everything
        Whether optional files are meant, too.
    watch
        Who is told about downloads.
    registry
        Table of datasets.

    Returns
    -------
    tuple[Fetched, ...]
        One per file, in the dataset's order. Absent files without a public address have failed.

    Raises
    ------
    ConfigError
        If there is no such dataset or file, or the dataset is generated.
    """
    dataset, watch = get_dataset(name, registry=registry), watch or Watch()
    if not dataset.files:
        raise ConfigError(f"dataset {name!r} has no files to download: it is {dataset.source}")
    named = [dataset.file(path) for path in files]
    folders = search_folders(name, registry=registry)
    if to is not None:
        folders = (to.expanduser() / (dataset.folder or name), *folders)
    target = folders[0] if to is not None else folders[-1]
    done: dict[str, Fetched] = {}

    def fail(failed: Sequence[DataFile], error: ConnfitError) -> None:
        for file in failed:
            done[file.path] = Fetched(file.path, "failed", None, file.bytes, error if file is failed[0] else None)

    absent: list[DataFile] = []
    for file in named or dataset.files:
        if file.optional and not (named or everything):
            done[file.path] = Fetched(file.path, "optional", None, file.bytes)
        elif (place := where_is(file, folders)) is None:
            absent.append(file)
        else:
            try:
                _confirm(file, *place, watch)
                done[file.path] = Fetched(file.path, "here", place[0], place[0].stat().st_size)
            except ConnfitError as error:
                fail([file], error)
    by_hand, rest = ([file for file in absent if (file.url is None) is alone] for alone in (True, False))
    if by_hand:
        fail(by_hand, put_by_hand(dataset, by_hand, folders, f"there is no public address ({dataset.source})"))
    while rest:
        file = rest[0]
        try:
            path = download_file(file, target / file.path, watch=watch)
            done[file.path] = Fetched(file.path, "downloaded", path, path.stat().st_size)
        except NotReachedError as error:
            fail(rest, put_by_hand(dataset, rest, folders, f"no server answers: {error}"))
            break
        except ConnfitError as error:
            fail([file], error)
        rest = rest[1:]
    return tuple(done[file.path] for file in dataset.files if file.path in done)


def _confirm(file: DataFile, path: Path, form: DataFile, watch: Watch) -> None:
    """Verify a file that is here; one without any checksum gets a record of what it is now, where that can be kept."""
    verify(path, form)
    if known(path, form).checksum is None:
        try:
            watch.say(f"{file.path}: no checksum is published; recorded sha256 {record(path, path, form.url)}")
        except OSError as error:
            watch.say(f"{file.path}: no checksum is published, and none could be recorded ({error})")
