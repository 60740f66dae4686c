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
        Why it failed.
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
        One per file, in the dataset's order. Files without a public address that are absent have failed; the first of
        them has the error for all.

    Raises
    ------
    ConfigError
        If there is no such dataset or file, or the dataset is generated.
    """
    dataset = get_dataset(name, registry=registry)
    if not dataset.files:
        raise ConfigError(f"dataset {name!r} has no files to download: it is {dataset.source}")
    named = [dataset.file(one) for one in files]
    folders = search_folders(name, registry=registry)
    if to is not None:
        folders = (to.expanduser() / (dataset.folder or name), *folders)
    target = folders[0] if to is not None else folders[-1]
    wanted = named or [one for one in dataset.files if everything or not one.optional]
    done: dict[str, Fetched] = {
        one.path: Fetched(one.path, "optional", None, one.bytes)
        for one in dataset.files
        if not named and one not in wanted
    }
    absent: list[DataFile] = []
    for one in wanted:
        place = where_is(one, folders)
        if place is None:
            absent.append(one)
        else:
            done[one.path] = _present(one, *place, watch or Watch())
    by_hand = [one for one in absent if one.url is None]
    if by_hand:
        done |= _failed(
            by_hand, put_by_hand(dataset, by_hand, folders, f"there is no public address ({dataset.source})")
        )
    rest = [one for one in absent if one.url is not None]
    for position, one in enumerate(rest):
        try:
            path = download_file(one, target / one.path, watch=watch)
            done[one.path] = Fetched(one.path, "downloaded", path, path.stat().st_size)
        except NotReachedError as error:
            unreached = rest[position:]
            done |= _failed(unreached, put_by_hand(dataset, unreached, folders, f"no server answers: {error}"))
            break
        except ConnfitError as error:
            done |= _failed([one], error)
    return tuple(done[one.path] for one in dataset.files if one.path in done)


def _present(file: DataFile, path: Path, form: DataFile, watch: Watch) -> Fetched:
    """Verify a file that is here; one without any checksum gets a record of what it is now, where that can be kept."""
    try:
        verify(path, form)
        if not known(path, form).checksums:
            try:
                watch.say(f"{file.path}: no checksum is published; recorded sha256 {record(path, path, form.url)}")
            except OSError as error:
                watch.say(f"{file.path}: no checksum is published, and none could be recorded ({error})")
    except ConnfitError as error:
        return Fetched(file.path, "failed", None, file.bytes, error)
    return Fetched(file.path, "here", path, path.stat().st_size)


def _failed(files: Sequence[DataFile], error: ConnfitError) -> dict[str, Fetched]:
    """One error for several files, told with the first of them."""
    return {
        one.path: Fetched(one.path, "failed", None, one.bytes, error if position == 0 else None)
        for position, one in enumerate(files)
    }
