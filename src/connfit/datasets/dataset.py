"""What is known of a dataset and of a file of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connfit.errors import one_of


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset.

    Parameters
    ----------
    path
        Path inside the dataset's folder.
    bytes, sha256
        Size and checksum; None where nobody has published them. Without any checksum the first download is trusted
        and recorded, see `connfit.datasets.checksums`.
    url
        Public address, or None if the file has to be put in place by hand.
    md5
        Second checksum (hexadecimal), used where `sha256` is None.
    also_at
        The same table in another form, for example compressed, each with its own path, size and checksum. Looked for
        where `path` is not found; never downloaded.
    optional
        Whether connfit reads the dataset without it. Downloaded only if asked for by name, or with all.
    """

    path: str
    bytes: int | None
    sha256: str | None
    url: str | None = None
    md5: str | None = None
    also_at: tuple[DataFile, ...] = ()
    optional: bool = False


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
        Preprocessing steps that suit its recordings, see `connfit.recordings.preprocess.preprocess`.
    fit
        Options of a fit that suit it, as `section.option` to value; chosen on the validation parts.
    folder
        Its folder under `$CONNFIT_DATA` and in the cache. Datasets that share files share a folder. Default: its name.
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
    folder: str | None = None

    def file(self, path: str) -> DataFile:
        """The file `path` of this dataset."""
        one_of(f"file of dataset {self.name}", path, [one.path for one in self.files])
        return next(one for one in self.files if one.path == path)
