"""What is known of a named dataset, and the table of all of them.

A dataset is one module of this folder, or of another package behind an entry point of the group `connfit.datasets`,
that registers a `Dataset` in `DATASETS`: facts, files, and the functions that make its connectome and its recordings.
Configurations, the commands `connfit data` and the functions of `connfit.datasets.loading` know it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connfit._registry import Entry, Registry
from connfit.errors import one_of

if TYPE_CHECKING:
    from connfit._typing import JSON
    from connfit.connectome import Connectome
    from connfit.recordings import Recording


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


@dataclass(frozen=True, kw_only=True)
class Dataset(Entry):
    """A named dataset; its label is its title.

    Parameters
    ----------
    organism, licence, citation, doi, source
        In words. `source`: where the originals come from.
    sizes
        Neurons, connections, frames and so on, as published.
    connectome
        Makes its connectome; the parameters of this function are its options (`variant`, `min_synapses`, ...). None for
        a dataset without one.
    recording
        Makes the recording of a name, as `recording(name)`; further parameters are options. None for a dataset without
        recordings.
    recordings
        Names of its recordings, without the dataset's name.
    recordings_of
        Dataset whose recordings are fitted to this connectome, if it has none of its own.
    variants
        Names of its connectomes, the default first.
    files
        All files. Empty: the dataset is generated.
    folder
        Folder of its files under `$CONNFIT_DATA` and in the cache. Datasets that share files share a folder. Default:
        its name.
    preprocess
        Preprocessing steps that suit its recordings, see `connfit.recordings.preprocess.preprocess`.
    fit
        Options of a fit that suit it, as `section.option` to value; chosen on the validation parts.
    """

    organism: str
    licence: str
    citation: str
    source: str
    sizes: Mapping[str, int | float | str]
    doi: tuple[str, ...] = ()
    connectome: Callable[..., Connectome] | None = None
    recording: Callable[..., Recording] | None = None
    recordings: tuple[str, ...] = ()
    recordings_of: str | None = None
    variants: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    folder: str = ""
    preprocess: tuple[Mapping[str, JSON], ...] = ()
    fit: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folder:
            object.__setattr__(self, "folder", self.name)

    def file(self, path: str) -> DataFile:
        """Return the file `path` of this dataset."""
        one_of(f"file of dataset {self.name}", path, [file.path for file in self.files])
        return next(file for file in self.files if file.path == path)

    def notes(self) -> dict[str, JSON]:
        """Return what the notes of its connectomes say of their source."""
        return {"dataset": self.name, "licence": self.licence, "citation": self.citation}


DATASETS: Registry[Dataset] = Registry("dataset", Dataset, room="connfit.datasets", group="connfit.datasets")
"""Datasets by name."""
