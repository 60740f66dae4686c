"""Files of datasets: where they are on this machine, and downloads of those that are absent.

A file is looked for in the dataset's folder under `$CONNFIT_DATA`, then in the cache (`$CONNFIT_CACHE`, or the user's
cache folder), and is then downloaded into the cache where it has a public address. It is used only if its checksum is
right.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from connfit._system import environment
from connfit._system.paths import user_path
from connfit.datasets.checksums import first_use, verify
from connfit.datasets.download import PAUSE_S, NotReachedError, Watch, download_file
from connfit.datasets.download_progress import shown
from connfit.datasets.partial import BeingWrittenError, forget
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import ConfigError, ConnfitError, DataWarning, NotAvailableError

DATA_VARIABLE, CACHE_VARIABLE = environment.DATA, environment.CACHE

_FIRST_USES: ContextVar[dict[str, str] | None] = ContextVar("_FIRST_USES", default=None)


@dataclass(frozen=True)
class DatasetStatus:
    """Whether a dataset is here.

    Parameters
    ----------
    name
        The dataset.
    state
        `"here"`, `"partial"`, `"absent"`, or `"generated"` for one without files. Optional files do not count.
    found, missing
        Files that are here with their paths, and those that are not.
    downloadable
        Whether all missing files have a public address; None if nothing is missing.
    optional
        Files that are not here and that connfit does not need.
    """

    name: str
    state: Literal["here", "partial", "absent", "generated"]
    found: Mapping[str, Path]
    missing: tuple[str, ...]
    downloadable: bool | None
    optional: tuple[str, ...] = ()


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
    first_use
        Of a file without a published checksum: against what it was checked instead.
    """

    path: str
    state: Literal["downloaded", "here", "optional", "failed"]
    where: Path | None
    bytes: int | None
    error: ConnfitError | None = None
    first_use: str | None = None


@contextmanager
def first_uses() -> Iterator[Mapping[str, str]]:
    """Collect which files are located that have no published checksum, and against what they were checked instead."""
    found: dict[str, str] = {}
    outer = _FIRST_USES.set(found)
    try:
        yield found
    finally:
        _FIRST_USES.reset(outer)


def find_dataset(dataset: str | Dataset) -> Dataset:
    """Return the dataset of a name, or raise a ConfigError that lists all names; a dataset is returned as it is."""
    return DATASETS[dataset] if isinstance(dataset, str) else dataset


def cache_root() -> Path:
    """Return the folder of what can be downloaded or made again: `$CONNFIT_CACHE`, or `connfit` in the user's cache.

    Raises
    ------
    ConfigError
        If a variable names a file, or none says where the user's cache is.
    NotAvailableError
        If the variable is not set and the user has no home.
    """
    import platformdirs

    named = environment.folder(CACHE_VARIABLE)
    if named is not None:
        return named
    try:
        found = Path(platformdirs.user_cache_dir("connfit"))
    except RuntimeError as error:
        raise NotAvailableError(
            f"this user has no home in which a cache could be: set {CACHE_VARIABLE} to a folder"
        ) from error
    if not found.is_absolute():
        raise ConfigError(f"the user's cache folder is not known here (HOME, XDG_CACHE_HOME): set {CACHE_VARIABLE}")
    return found


def search_folders(dataset: str | Dataset) -> tuple[Path, ...]:
    """List the folders in which files of a dataset are looked for, in this order; the last is that of downloads."""
    folder, named = find_dataset(dataset).folder, environment.folder(DATA_VARIABLE)
    return (*([named / folder] if named else []), cache_root() / folder)


def status(dataset: str | Dataset) -> DatasetStatus:
    """Return which files of a dataset are here. Reads no file and opens no connection.

    Raises
    ------
    ConfigError
        If there is no such dataset.
    """
    dataset, folders = find_dataset(dataset), search_folders(dataset)
    found = {file.path: place[0] for file in dataset.files if (place := _where_is(file, folders)) is not None}
    absent = [file for file in dataset.files if file.path not in found]
    missing = [file for file in absent if not file.optional]
    return DatasetStatus(
        dataset.name,
        "generated" if not dataset.files else "here" if not missing else "partial" if found else "absent",
        MappingProxyType(found),
        tuple(file.path for file in missing),
        all(file.url for file in missing) if missing else None,
        tuple(file.path for file in absent if file.optional),
    )


def locate(dataset: str | Dataset, files: Sequence[str] | None = None, *, download: bool = True) -> dict[str, Path]:
    """Find a dataset's files, downloaded if need be, with the right checksums.

    Parameters
    ----------
    dataset
        The dataset, or its name.
    files
        Paths inside the dataset. Default: all that are not optional.
    download
        Whether absent files may be downloaded into the cache; a download shows its progress on stderr.

    Returns
    -------
    dict[str, Path]
        Path inside the dataset -> path on this machine, which has another name if the same table is here in another
        form, for example compressed.

    Raises
    ------
    NotAvailableError
        If a file is absent and cannot be downloaded: says which file to put where.
    DataError
        If a file's checksum is wrong.

    Warns
    -----
    DataWarning
        For each file without a published checksum, each time: it is checked against that of its first use.
    """
    dataset, folders = find_dataset(dataset), search_folders(dataset)
    wanted = _needed(dataset) if files is None else [dataset.file(path) for path in files]
    found: dict[str, Path] = {}
    with closing(_obtain(dataset, wanted, folders, folders[-1], shown, download=download)) as results:
        for result in results:
            if result.error is not None:
                raise result.error
            if result.where is not None:
                found[result.path] = result.where
            if result.first_use is not None:
                if (uses := _FIRST_USES.get()) is not None:
                    uses[f"{dataset.folder}/{result.path}"] = result.first_use
                if result.state == "here":  # A download says it itself.
                    warnings.warn(f"{result.where}: {result.first_use}", DataWarning, stacklevel=2)
    return {file.path: found[file.path] for file in wanted}


def fetch(
    dataset: str | Dataset,
    files: Sequence[str] = (),
    *,
    to: Path | None = None,
    everything: bool = False,
    watch: Watch | None = None,
) -> tuple[Fetched, ...]:
    """Download the absent files of a dataset and verify those that are here.

    One file's failure does not keep others from being downloaded, except when no server can be reached.

    Parameters
    ----------
    dataset
        The dataset, or its name.
    files
        Paths inside the dataset. Default: all that are not optional.
    to
        A folder like `$CONNFIT_DATA`, into whose folder of the dataset files go. Default: the cache.
    everything
        Whether optional files are meant, too.
    watch
        Who is told about downloads.

    Returns
    -------
    tuple[Fetched, ...]
        One per file, in the dataset's order. Absent files without a public address have failed.

    Raises
    ------
    ConfigError
        If there is no such dataset or file, the dataset is generated, or `to` is no folder.
    """
    dataset, watch = find_dataset(dataset), watch or Watch()
    if not dataset.files:
        raise ConfigError(f"dataset {dataset.name!r} has no files to download: it is {dataset.source}")
    wanted = [dataset.file(path) for path in files] or (dataset.files if everything else _needed(dataset))
    folders = search_folders(dataset)
    root = None if to is None else user_path(to)
    if root is not None and root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is no folder: give one into which the files of {dataset.name!r} go")
    target = folders[-1] if root is None else root / dataset.folder
    folders = folders if to is None else (target, *folders)
    results = _obtain(dataset, wanted, folders, target, lambda: nullcontext(watch))
    done = {result.path: result for result in results}
    for result in done.values():
        if result.first_use is not None and result.state == "here":
            watch.say(f"{result.path}: {result.first_use}")
    left_out = {file.path: Fetched(file.path, "optional", None, file.bytes) for file in dataset.files if not files}
    return tuple((left_out | done)[file.path] for file in dataset.files if file.path in left_out | done)


def _needed(dataset: Dataset) -> list[DataFile]:
    return [file for file in dataset.files if not file.optional]


def _where_is(file: DataFile, folders: Sequence[Path]) -> tuple[Path, DataFile] | None:
    """Find the first place of a file in some folders, and the form that it has there; None if it is nowhere."""
    forms = (file, *file.also_at)
    return next(((path, form) for form in forms for folder in folders if (path := folder / form.path).is_file()), None)


def _obtain(
    dataset: Dataset,
    wanted: Sequence[DataFile],
    folders: Sequence[Path],
    target: Path,
    watching: Callable[[], AbstractContextManager[Watch]],
    *,
    download: bool = True,
) -> Generator[Fetched, None, None]:
    """Verify the files that are here, refuse those that cannot be downloaded, and then download the others.

    Parameters
    ----------
    watching
        Shows downloads; entered only where there are some.
    """

    def failed(files: Sequence[DataFile], error: ConnfitError) -> Iterator[Fetched]:
        for file in files:
            yield Fetched(file.path, "failed", None, file.bytes, error if file is files[0] else None)

    absent: list[DataFile] = []
    for file in wanted:
        if (place := _where_is(file, folders)) is None:
            absent.append(file)
            continue
        path, form = place
        try:
            verify(path, form)
            forget(path)
            yield Fetched(file.path, "here", path, path.stat().st_size, first_use=first_use(path, form))
        except ConnfitError as error:
            yield from failed([file], error)
    by_hand = [file for file in absent if file.url is None or not download]
    if by_hand:
        nowhere = all(file.url is None for file in by_hand)
        why = f"there is no public address ({dataset.source})" if nowhere else "downloading was not allowed"
        yield from failed(by_hand, _put_by_hand(dataset, by_hand, folders, why))
    rest = [file for file in absent if file not in by_hand]
    if not rest:
        return
    with watching() as watch:
        for position, file in enumerate(rest):
            try:
                path = _downloaded(file, target / file.path, watch)
                yield Fetched(file.path, "downloaded", path, path.stat().st_size, first_use=first_use(path, file))
            except NotReachedError as error:
                unreached = _put_by_hand(dataset, rest[position:], folders, f"no server answers: {error}")
                yield from failed(rest[position:], unreached)
                return
            except ConnfitError as error:
                yield from failed([file], error)


def _downloaded(file: DataFile, target: Path, watch: Watch) -> Path:
    """Download a file, or wait for another process that does."""
    waits = False
    while True:
        try:
            return download_file(file, target, watch=watch)
        except BeingWrittenError as error:
            if not waits:
                watch.say(f"{file.path}: {error}")
            waits = True
            time.sleep(PAUSE_S)


def _put_by_hand(dataset: Dataset, files: Sequence[DataFile], folders: Sequence[Path], why: str) -> NotAvailableError:
    """Return the error that says which absent files to put where, and why they are not here."""
    those, them = ("1 file is", "it") if len(files) == 1 else (f"{len(files)} files are", "them")
    return NotAvailableError(
        "\n".join(
            [
                f"dataset {dataset.name!r}: {those} not here and {why}. Put {them} into one of these folders, or set "
                f"{DATA_VARIABLE} to a folder that holds {dataset.folder}/:",
                *(f"  {folder}" for folder in folders),
                "with these names:",
                *(
                    f"  {file.path}: {size_in_words(file.bytes)}, {_checksum(file)}, {file.url or 'no public address'}"
                    for file in files
                ),
            ]
        )
    )


def size_in_words(size: int | None) -> str:
    """Describe how large a file is."""
    return "size not known" if size is None else f"{size:,} bytes"


def _checksum(file: DataFile) -> str:
    if file.sha256 is not None:
        return f"sha256 {file.sha256}"
    return "no checksum published" if file.md5 is None else f"md5 {file.md5}"
