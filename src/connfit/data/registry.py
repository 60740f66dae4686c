"""Named datasets: what they are, under which licence, and where their files are.

A file is looked for in `$CONNFIT_DATA/<dataset>/`, then in the user's cache, and is then downloaded
where it has a public address. It is used only if its checksum is right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from connfit.errors import DataError, NotAvailableError, one_of

ENVIRONMENT_VARIABLE = "CONNFIT_DATA"


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset.

    Parameters
    ----------
    path
        Path inside the dataset's folder.
    bytes, sha256
        Size and checksum.
    url
        Public address, or None if the file has to be put in place by hand.
    """

    path: str
    bytes: int
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Facts about a named dataset.

    Parameters
    ----------
    name, title, organism, licence, citation, doi, source
        In words. `source`: where the originals come from.
    sizes
        Neurons, connections, frames and so on, as published.
    files
        All files, as paths inside the dataset's folder. Empty: the dataset is generated.
    recordings
        Names of its recordings, without the dataset's name.
    variants
        Names of its connectomes, the default first.
    preprocess
        Preprocessing steps that suit its recordings, see `connfit.preprocess.apply_steps`.
    fit
        Options of a fit that suit it, as `section.option` to value; chosen on the validation parts.
    """

    name: str
    title: str
    organism: str
    licence: str
    citation: str
    doi: tuple[str, ...]
    source: str
    sizes: Mapping[str, int | float | str]
    files: tuple[DataFile, ...] = ()
    recordings: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    preprocess: tuple[Mapping[str, Any], ...] = field(default=())
    fit: Mapping[str, Any] = field(default_factory=dict)

    def file(self, path: str) -> DataFile:
        """The file `path` of this dataset."""
        one_of(f"file of dataset {self.name}", path, [one.path for one in self.files])
        return next(one for one in self.files if one.path == path)


@dataclass(frozen=True)
class DatasetStatus:
    """Whether a dataset is here.

    Parameters
    ----------
    name
        The dataset.
    state
        `"here"`, `"partial"`, `"absent"`, or `"generated"` for one without files.
    found, missing
        Files that are here with their paths, and those that are not.
    downloadable
        Whether all missing files have a public address.
    """

    name: str
    state: Literal["here", "partial", "absent", "generated"]
    found: Mapping[str, Path]
    missing: tuple[str, ...]
    downloadable: bool


_WORM = Dataset(
    name="worm",
    title="C. elegans: three connectomes and whole-brain calcium recordings with neuron names",
    organism="Caenorhabditis elegans",
    licence="none stated; published with Dag et al. 2023. Transmitters: MIT (openworm/ConnectomeToolbox)",
    citation=(
        "Recordings: Dag et al. 2023, Cell. Connectomes: White et al. 1986, Phil Trans R Soc B (white1986_whole); "
        "Witvliet et al. 2021, Nature (witvliet2020_7, witvliet2020_8). Transmitters: Wang et al. 2024, eLife"
    ),
    doi=("10.1016/j.cell.2023.04.023", "10.1098/rstb.1986.0056", "10.1038/s41586-021-03778-8", "10.7554/eLife.95402"),
    source=(
        "originals: https://github.com/flavell-lab/NSM_5HTR_analysis (commit 47bc3704), nemanode.org, "
        "https://github.com/openworm/ConnectomeToolbox; the tables and HDF5 files used here are "
        "conversions without a public address"
    ),
    sizes=MappingProxyType(
        {
            "neurons": 300,
            "chemical connections": 2266,
            "chemical synapses": 6509,
            "gap junction pairs": 569,
            "recordings": 5,
            "frames": 800,
            "frame rate (Hz)": 1.66,
            "traces": "135-146",
        }
    ),
    files=(
        DataFile("neurons.csv", 13776, "80bdb6a7da19df807754694b2e68b2a9949b3471945f2fa5cbfdee810f82b63a"),
        DataFile("connections.csv.gz", 36193, "76ff72423b8029cfea529268e34b0993a6a4cef1e73d864a870a378aa108fe47"),
        DataFile(
            "recordings/2022-07-26-31.h5", 876094, "6abd662c07039919d1d1e188d58ae28022bb52e1bd9b5fb20f7d996caf3735c9"
        ),
        DataFile(
            "recordings/2022-07-26-38.h5", 852582, "a5261dc87d0e21d1f4a4cb77b2bd42a990da56a7fcec62c76ca493fedbe777b2"
        ),
        DataFile(
            "recordings/2022-07-27-31.h5", 871410, "66dd151c928201a0eb3b84a37d19b4f93edf72455468d371948983dca493ce45"
        ),
        DataFile(
            "recordings/2022-07-27-38.h5", 804577, "b493c6a2db4a8766050d3dcbaa147fbcc95c141e045a73a3a8db9d1eaa630554"
        ),
        DataFile(
            "recordings/2022-08-02-38.h5", 840096, "25c5f8a9c7be00e9e314861391af77c3da39f2172692f5f7f0fb656ecae9b441"
        ),
    ),
    recordings=("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38", "2022-08-02-38"),
    variants=("white1986_whole", "witvliet2020_7", "witvliet2020_8"),
    preprocess=(
        MappingProxyType({"step": "high_pass", "cutoff_hz": 0.01}),
        MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),
    ),
    fit=MappingProxyType(
        {
            "train.learning_rate": 3e-4,
            "train.rate_scale": {"drive": 0.1},
            "train.epochs": 300,
            "train.free_run_epochs": 40,
            "train.patience": 40,
            "train.select_on": "horizon",
        }
    ),
)

_DEMO = Dataset(
    name="demo",
    title="SURROGATE: a generated brain with a hidden teacher, for demonstrations and tests",
    organism="none (generated)",
    licence="Apache-2.0",
    citation="connfit",
    doi=(),
    source="generated from a seed; no measured data",
    sizes=MappingProxyType({"neurons": 2000, "regions": 20, "recordings": 4, "frames": 600, "frame rate (Hz)": 1.2}),
    recordings=("1", "2", "3", "4"),
    fit=MappingProxyType(
        {
            "train.learning_rate": 0.01,
            "train.epochs": 200,
            "train.free_run_epochs": 20,
            "train.patience": None,
            "train.select_on": "horizon",
        }
    ),
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({one.name: one for one in (_WORM, _DEMO)})


def get_dataset(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> Dataset:
    """The dataset `name`, or a ConfigError that lists all names."""
    return registry[one_of("dataset", name, registry)]


def search_folders(name: str) -> tuple[Path, ...]:
    """Folders in which files of the dataset `name` are looked for, in this order."""
    import pooch

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    folders = [Path(named).expanduser() / name] if named else []
    return (*folders, Path(pooch.os_cache("connfit")) / name)


def status(name: str, *, registry: Mapping[str, Dataset] = DATASETS) -> DatasetStatus:
    """Which files of a dataset are here. Reads no file and opens no connection.

    Raises
    ------
    ConfigError
        If there is no such dataset.
    """
    dataset = get_dataset(name, registry=registry)
    found = {one.path: path for one in dataset.files if (path := _find(name, one)) is not None}
    missing = tuple(one.path for one in dataset.files if one.path not in found)
    state: Literal["here", "partial", "absent", "generated"]
    state = "generated" if not dataset.files else "here" if not missing else "partial" if found else "absent"
    return DatasetStatus(name, state, MappingProxyType(found), missing, all(dataset.file(one).url for one in missing))


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
        "bytes": sum(one.bytes for one in dataset.files),
        "status": here.state,
        "found": {path: str(where) for path, where in here.found.items()},
        "missing": list(here.missing),
        "downloadable": here.downloadable,
        "searched": [str(folder) for folder in search_folders(name)],
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
        Paths inside the dataset. Default: all.
    download
        Whether absent files may be downloaded into the cache.
    registry
        Table of datasets.

    Returns
    -------
    dict[str, Path]
        Path inside the dataset -> path on this machine.

    Raises
    ------
    NotAvailableError
        If a file is absent and cannot be downloaded: says which file to put where.
    DataError
        If a file's checksum is wrong.
    """
    dataset = get_dataset(name, registry=registry)
    wanted = [dataset.file(path) for path in files] if files is not None else list(dataset.files)
    found = {one.path: path for one in wanted if (path := _find(name, one)) is not None}
    absent = [one for one in wanted if one.path not in found]
    by_hand = [one for one in absent if one.url is None or not download]
    if by_hand:
        folders = search_folders(name)
        if all(one.url is None for one in by_hand):
            why = f"they have no public address ({dataset.source})"
        else:
            why = "downloading was not allowed"
        raise NotAvailableError(
            f"dataset {name!r}: {len(by_hand)} files are not here and {why}. Put them here, or set "
            f"{ENVIRONMENT_VARIABLE} to the folder that holds {name}/: "
            + ", ".join(str(folders[0] / one.path) for one in by_hand)
        )
    for one in wanted:
        if one.path in found:
            _verify(found[one.path], one)
    for one in absent:
        found[one.path] = _download(name, one)
    return {one.path: found[one.path] for one in wanted}


def _find(name: str, file: DataFile) -> Path | None:
    return next((path for folder in search_folders(name) if (path := folder / file.path).is_file()), None)


def _verify(path: Path, file: DataFile) -> None:
    size = path.stat().st_size
    if size != file.bytes:
        what = "truncated" if size < file.bytes else "another version or damaged"
        raise DataError(
            f"{size} bytes instead of {file.bytes}: the file is {what}",
            path=path,
            fix="Delete it and copy or download it again",
        )
    found = _sha256(path, size, path.stat().st_mtime_ns)
    if found != file.sha256:
        raise DataError(
            f"checksum {found[:16]}… instead of {file.sha256[:16]}… (sha256): the content differs from "
            "the registered version",
            path=path,
            fix=(
                "Delete it and copy or download it again; to use a changed file, read it by path instead of "
                "by the dataset's name"
            ),
        )


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Checksum of a file; size and time of change are part of the key, so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(name: str, file: DataFile) -> Path:
    import pooch
    import requests

    if file.url is None:
        raise NotAvailableError(f"dataset {name!r}: {file.path} has no public address")
    target = search_folders(name)[-1] / file.path
    try:
        # pooch writes to a temporary file and moves it only when the checksum is right.
        pooch.retrieve(
            file.url,
            known_hash=f"sha256:{file.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=60),  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise DataError(
            f"the download from {file.url} has the wrong checksum (expected sha256 {file.sha256[:16]}…)",
            path=target,
            fix="Nothing was kept. Try again; if it stays wrong, the file at that address was replaced",
        ) from error
    except (requests.RequestException, OSError) as error:
        raise NotAvailableError(
            f"dataset {name!r}: {file.path} could not be downloaded from {file.url} "
            f"({' '.join(str(error).split())[:200]}). "
            f"Nothing was kept; try again, or put the file at {target}"
        ) from error
    return target
