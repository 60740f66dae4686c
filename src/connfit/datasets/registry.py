"""Named datasets: where their files are on this machine.

A file is looked for in the dataset's folder under `$CONNFIT_DATA`, then in the cache (`$CONNFIT_CACHE`, or the user's
cache folder), and is then downloaded into the cache where it has a public address. It is used only if its checksum is
right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from connfit.datasets.checksums import verify
from connfit.datasets.dataset import DataFile, Dataset
from connfit.datasets.named import DATASETS
from connfit.errors import NotAvailableError, one_of

__all__ = [
    "DATASETS", "DataFile", "Dataset", "DatasetStatus", "cache_root", "get_dataset", "info", "locate", "put_by_hand",
    "search_folders", "status", "where_is",
]  # fmt: skip

ENVIRONMENT_VARIABLE = "CONNFIT_DATA"
CACHE_VARIABLE = "CONNFIT_CACHE"


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


def get_dataset(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> Dataset:
    """The dataset `name`, or a ConfigError that lists all names."""
    return registry[one_of("dataset", name, registry)]


def cache_root() -> Path:
    """The folder for what can be downloaded or made again: `$CONNFIT_CACHE`, or `connfit` in the user's cache."""
    import pooch

    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path(pooch.os_cache("connfit"))


def search_folders(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> tuple[Path, ...]:
    """Folders in which files of the dataset `name` are looked for, in this order; the last is that of downloads."""
    folder = get_dataset(name, registry=registry).folder or name
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return (*([Path(named).expanduser() / folder] if named else []), cache_root() / folder)


def where_is(file: DataFile, folders: Sequence[Path]) -> tuple[Path, DataFile] | None:
    """The first place of a file in some folders, and the form that it has there; None if it is nowhere.

    Parameters
    ----------
    file
        The file, possibly with other forms of the same table.
    folders
        Where to look.
    """
    forms = (file, *file.also_at)
    return next(((path, form) for form in forms for folder in folders if (path := folder / form.path).is_file()), None)


def status(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> DatasetStatus:
    """Which files of a dataset are here. Reads no file and opens no connection.

    Raises
    ------
    ConfigError
        If there is no such dataset.
    """
    dataset, folders = get_dataset(name, registry=registry), search_folders(name, registry=registry)
    found = {one.path: place[0] for one in dataset.files if (place := where_is(one, folders)) is not None}
    absent = [one for one in dataset.files if one.path not in found]
    missing = [one for one in absent if not one.optional]
    state: Literal["here", "partial", "absent", "generated"]
    state = "generated" if not dataset.files else "here" if not missing else "partial" if found else "absent"
    return DatasetStatus(
        name,
        state,
        MappingProxyType(found),
        tuple(one.path for one in missing),
        all(one.url for one in missing) if missing else None,
        tuple(one.path for one in absent if one.optional),
    )


def info(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> dict[str, Any]:
    """All facts about a dataset, and whether it is here, as plain values.

    Raises
    ------
    ConfigError
        If there is no such dataset.
    """
    dataset, here = get_dataset(name, registry=registry), status(name, registry=registry)
    return {
        "name": dataset.name,
        "title": dataset.title,
        "organism": dataset.organism,
        "sizes": dict(dataset.sizes),
        "variants": list(dataset.variants),
        "recordings": [f"{name}/{one}" for one in dataset.recordings],
        "licence": dataset.licence,
        "citation": dataset.citation,
        "doi": list(dataset.doi),
        "source": dataset.source,
        "bytes": sum(one.bytes or 0 for one in dataset.files if not one.optional),
        "files": {
            one.path: f"{_size(one)}, {one.url or 'no public address'}{', optional' if one.optional else ''}"
            for one in dataset.files
        },
        "status": here.state,
        "found": {path: str(where) for path, where in here.found.items()},
        "missing": list(here.missing),
        "downloadable": here.downloadable,
        "searched": [str(folder) for folder in search_folders(name, registry=registry)],
    }


def locate(
    name: str, files: Sequence[str] | None = None, *, download: bool = True, registry: Mapping[str, Dataset] = DATASETS
) -> dict[str, Path]:
    """Paths of a dataset's files, downloaded if need be, with the right checksums.

    Parameters
    ----------
    name
        The dataset.
    files
        Paths inside the dataset. Default: all that are not optional.
    download
        Whether absent files may be downloaded into the cache; a download shows its progress on stderr.
    registry
        Table of datasets.

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
    """
    dataset, folders = get_dataset(name, registry=registry), search_folders(name, registry=registry)
    wanted = (
        [one for one in dataset.files if not one.optional] if files is None else [dataset.file(one) for one in files]
    )
    found: dict[str, Path] = {}
    for one in wanted:
        if (place := where_is(one, folders)) is not None:
            verify(*place)
            found[one.path] = place[0]
    absent = [one for one in wanted if one.path not in found]
    by_hand = [one for one in absent if one.url is None or not download]
    if by_hand:
        if all(one.url is None for one in by_hand):
            why = f"there is no public address ({dataset.source})"
        else:
            why = "downloading was not allowed"
        raise put_by_hand(dataset, by_hand, folders, why)
    if absent:
        from connfit.datasets.download import NotReachedError, download_file
        from connfit.datasets.download_progress import shown

        with shown() as watch:
            for position, one in enumerate(absent):
                try:
                    found[one.path] = download_file(one, folders[-1] / one.path, watch=watch)
                except NotReachedError as error:
                    raise put_by_hand(dataset, absent[position:], folders, f"no server answers: {error}") from error
    return {one.path: found[one.path] for one in wanted}


def put_by_hand(dataset: Dataset, files: Sequence[DataFile], folders: Sequence[Path], why: str) -> NotAvailableError:
    """The error that says which files to put where.

    Parameters
    ----------
    dataset
        The dataset.
    files
        Its absent files.
    folders
        Where they are looked for.
    why
        Why they are not here.
    """
    listed = [f"  {one.path}: {_size(one)}, {_checksum(one)}, {one.url or 'no public address'}" for one in files]
    those, them = ("1 file is", "it") if len(files) == 1 else (f"{len(files)} files are", "them")
    return NotAvailableError(
        "\n".join(
            [
                f"dataset {dataset.name!r}: {those} not here and {why}. Put {them} into one of these folders, or set "
                f"{ENVIRONMENT_VARIABLE} to a folder that holds {dataset.folder or dataset.name}/:",
                *(f"  {folder}" for folder in folders),
                "with these names:",
                *listed,
            ]
        )
    )


def _size(file: DataFile) -> str:
    return "size not known" if file.bytes is None else f"{file.bytes:,} bytes"


def _checksum(file: DataFile) -> str:
    if file.sha256 is not None:
        return f"sha256 {file.sha256}"
    return "no checksum published" if file.md5 is None else f"md5 {file.md5}"
