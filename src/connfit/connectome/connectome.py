"""The wiring: who connects to whom, with how many synapses and which sign.

Connections are stored as compressed rows by postsynaptic neuron, so that a neuron's inputs, their
weights, traces and gradients lie side by side.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from connfit._display import Displayed
from connfit._io import replacing, require_file
from connfit._system.hdf5_guard import check_written, opened
from connfit._system.hdf5_writing import created
from connfit.connectome.connectome_summary import ConnectomeSummary
from connfit.connectome.regions import RegionSynapses
from connfit.connectome.validate import TABLE_COLUMNS, check_connectome
from connfit.errors import ConfigError, DataError, first_ten, unreadable

__all__ = ["FORMAT_VERSION", "TABLE_COLUMNS", "Connectome", "ConnectomeSummary", "from_pairs"]

FORMAT_VERSION = 2

_COPY = "Build or copy it again"
_DAMAGE = (
    OSError, KeyError, IndexError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError
)  # fmt: skip
"""What damaged files make h5py, NumPy and SciPy raise."""


@dataclass(frozen=True, eq=False, repr=False)
class Connectome(Displayed):
    """A frozen, validated wiring diagram of N neurons and M connections.

    Parameters
    ----------
    name
        Name of the dataset.
    indptr
        [N + 1], the inputs of neuron i are `indices[indptr[i]:indptr[i + 1]]`.
    indices
        [M], presynaptic neuron of each connection, strictly ascending within a row among the
        chemical connections and again among the electrical ones (chemical first).
    counts
        [M], number of synapses (for electrical connections: of gap junctions), at least 1.
    signs
        [N], +1 or -1: the sign of every chemical connection that the neuron makes.
    neurons
        N rows with the columns `id`, `type`, `region`, `transmitter`, `side` (text, empty where
        not known; `id` may be int64) and any others that the source has.
    electrical
        [M], True for gap junctions (default: none are): present in both directions with equal counts, without a sign
        (they always couple positively).
    notes
        Source, licence, sign rule, thresholds: whatever is needed to say where this came from.
    regions
        Synapses of each neuron by region, where the source has them; None where it does not.

    Raises
    ------
    DataError
        If the arrays contradict each other.
    """

    name: str
    indptr: Int[np.ndarray, "N+1"]
    indices: Int[np.ndarray, "M"]
    counts: Int[np.ndarray, "M"]
    signs: Int[np.ndarray, "N"]
    neurons: pd.DataFrame
    electrical: Bool[np.ndarray, "M"] = None  # type: ignore[assignment]  # filled in below
    notes: Mapping[str, Any] = field(default_factory=dict)
    regions: RegionSynapses | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("indptr", np.int32), ("indices", np.int32), ("counts", np.int32), ("signs", np.int8)):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
                raise DataError(
                    f"connectome {self.name!r}: {name} must be a one-dimensional array of integers, got "
                    f"{array.dtype} {array.shape}"
                )
            if array.size and (array.max() > np.iinfo(dtype).max or array.min() < np.iinfo(dtype).min):
                raise DataError(
                    f"connectome {self.name!r}: {name} from {array.min()} to {array.max()} do not fit into "
                    f"{np.dtype(dtype).name}"
                )
            object.__setattr__(self, name, _frozen(array.astype(dtype, copy=False)))
        electrical = np.zeros(len(self.indices), bool) if self.electrical is None else np.asarray(self.electrical, bool)
        object.__setattr__(self, "electrical", _frozen(electrical))
        check_connectome(self.name, self.indptr, self.indices, self.counts, self.signs, self.neurons, self.electrical)
        if self.regions is not None and self.regions.neurons != len(self.signs):
            raise DataError(
                f"connectome {self.name!r}: synapses by region are of {self.regions.neurons} neurons, there are "
                f"{len(self.signs)}"
            )

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {
            "neurons": f"{self.n:,} ({np.mean(self.signs > 0) if self.n else 0:.0%} excitatory)",
            "connections": f"{self.m:,}",
            "synapses": f"{int(self.counts[~self.electrical].sum(dtype=np.int64)):,}",
        }
        if self.electrical.any():
            facts["electrical connections"] = f"{int(self.electrical.sum()):,}"
        facts["regions"] = str(len(set(self.neurons["region"]) - {""}))
        if self.notes.get("surrogate"):
            facts["data"] = "SURROGATE"
        return f"Connectome {self.name!r}", facts

    @property
    def n(self) -> int:
        """Number of neurons N."""
        return len(self.signs)

    @property
    def m(self) -> int:
        """Number of connections M (a gap junction between two neurons counts twice)."""
        return len(self.indices)

    @property
    def ids(self) -> np.ndarray:
        """[N] neuron ids (int64 or text)."""
        return self.neurons["id"].to_numpy()

    @property
    def posts(self) -> Int[np.ndarray, "M"]:
        """[M] postsynaptic neuron of each connection."""
        return np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self.indptr))

    @property
    def connection_signs(self) -> Int[np.ndarray, "M"]:
        """[M] sign of each connection: the presynaptic neuron's, +1 for electrical ones."""
        return np.where(self.electrical, np.int8(1), self.signs[self.indices])

    def index_of(self, ids: Sequence[object]) -> Int[np.ndarray, "k"]:
        """Return the positions of the neurons `ids`.

        Raises
        ------
        DataError
            If ids are unknown; the first ten are listed.
        """
        ids = list(ids)
        if any(isinstance(given, float | np.floating) for given in ids):
            raise DataError(
                "ids were given as floating point numbers, which cannot hold ids above 2^53",
                fix="Give them as integers or text",
            )
        index = pd.Index(self.neurons["id"]).get_indexer(pd.Index(ids)) if ids else np.zeros(0, np.int64)
        if (index < 0).any():
            unknown = [given for given, at in zip(ids, index, strict=True) if at < 0]
            raise DataError(f"connectome {self.name!r} has no neurons {first_ten(unknown)}")
        return index

    def matrix(self, weights: Float[np.ndarray, "M"] | None = None) -> sp.csr_array:
        """Return the signed [post, pre] matrix with the given magnitudes (default: synapse counts)."""
        magnitudes = self.counts if weights is None else np.asarray(weights)
        signed = (magnitudes * self.connection_signs).astype(np.float64)
        return sp.csr_array((signed, self.indices, self.indptr), shape=(self.n, self.n))

    def subset(self, keep: Bool[np.ndarray, "N"] | Sequence[int], *, name: str | None = None) -> Connectome:
        """Return the sub-brain of the neurons `keep` (a boolean mask, or indices whose order becomes the new order)."""
        keep = np.asarray(keep)
        if keep.dtype == bool:
            if keep.shape != (self.n,):
                raise ConfigError(f"the mask has shape {keep.shape}, the connectome {self.n} neurons")
            keep = np.flatnonzero(keep)
        keep = keep.astype(np.int64)
        if len(keep) and (keep.min() < 0 or keep.max() >= self.n):
            raise ConfigError(f"subset indices must lie in 0..{self.n - 1}")
        if len(np.unique(keep)) != len(keep):
            raise ConfigError("a neuron is listed twice in the subset")
        position = np.full(self.n, -1, np.int64)
        position[keep] = np.arange(len(keep))
        post, pre = position[self.posts], position[self.indices]
        inside = (post >= 0) & (pre >= 0)
        return replace(
            from_pairs(
                name or self.name,
                pre[inside],
                post[inside],
                self.counts[inside],
                self.signs[keep],
                self.neurons.iloc[keep].reset_index(drop=True),
                electrical=self.electrical[inside],
            ),
            notes={**self.notes, "subset_of": self.name, "subset_neurons": len(keep)},
            regions=None if self.regions is None else self.regions.of_neurons(keep),
        )

    def summary(self) -> ConnectomeSummary:
        """Count what identifies the connectome: neurons, connections, synapses, signs, degrees, reciprocity."""
        return ConnectomeSummary.of(self)

    def save(self, path: str | Path) -> None:
        """Write one HDF5 file whose arrays `load` maps into memory without reading them."""
        path = Path(path)
        with replacing(path) as temporary, created(temporary) as file:
            file.attrs["connfit_connectome"] = FORMAT_VERSION
            file.attrs["name"] = self.name
            # A dataset, for HDF5 attributes end at 64 KiB.
            file.create_dataset("notes", data=json.dumps(dict(self.notes), default=_plain), dtype=h5py.string_dtype())
            for key in ("indptr", "indices", "counts", "signs"):
                file.create_dataset(key, data=getattr(self, key))
            file.create_dataset("electrical", data=self.electrical.astype(np.uint8))
            table = file.create_group("neurons")
            # Numbered, for a column name may hold a slash, which HDF5 would read as a path.
            for k, column in enumerate(self.neurons.columns):
                values = self.neurons[column]
                missing = values.isna().to_numpy()
                if values.dtype.kind in "iufb" and not missing.any():
                    data = table.create_dataset(str(k), data=values.to_numpy())
                elif values.dtype.kind == "f":
                    data = table.create_dataset(str(k), data=values.to_numpy(np.float64, na_value=np.nan))
                else:
                    text = values.astype(object).where(~missing, "").map(str)
                    codes, distinct = pd.factorize(np.asarray(text, object))
                    # Words are stored once, for a class or a side is that of thousands of neurons.
                    data = table.create_dataset(str(k), data=codes.astype(np.int32))
                    table.create_dataset(f"{k} words", data=distinct, dtype=h5py.string_dtype())
                data.attrs["column"] = str(column)
            if self.regions is not None:
                self.regions.write(file.create_group("regions"))

    @classmethod
    def load(cls, path: str | Path) -> Connectome:
        """Open a file written by `save`; large arrays are mapped into memory, not copied.

        Raises
        ------
        DataError
            If the file is not a connectome of a version that this release reads.
        """
        path = require_file(path)
        try:
            with opened(path) as file:
                version = file.attrs.get("connfit_connectome")
                if version is None:
                    raise DataError("not a connfit connectome", path=path, fix="Write it with Connectome.save")
                if version != FORMAT_VERSION:
                    raise DataError(
                        f"written in format {version}, this release reads format {FORMAT_VERSION}",
                        path=path,
                        fix="Build it again",
                    )
                with open(path, "rb") as raw:
                    pages = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
                arrays = {
                    key: _mapped(_stored(file, key), pages)
                    for key in ("indptr", "indices", "counts", "signs", "electrical")
                }
                columns = {}
                numbered = [key for key in file["neurons"] if key.isdigit()]  # pyright: ignore[reportGeneralTypeIssues]
                for key in sorted(numbered, key=int):
                    data = _stored(file, f"neurons/{key}")
                    columns[data.attrs["column"]] = _words(file, key, data[:])
                neurons = pd.DataFrame(columns)
                regions = _read_regions(file) if "regions" in file else None
                name, notes = str(file.attrs["name"]), json.loads(str(_stored(file, "notes").asstr()[()]))
        except _DAMAGE as error:
            raise unreadable(error, "damaged or truncated connectome file", path=path, fix=_COPY) from error
        try:
            electrical = arrays.pop("electrical").view(bool)
            brain = cls(name=name, neurons=neurons, electrical=electrical, notes=dict(notes), regions=regions, **arrays)
        except (ValueError, TypeError, DataError) as error:
            raise DataError(f"its parts contradict each other ({error})", path=path, fix=_COPY) from error
        object.__setattr__(brain, "_pages", pages)
        # Validation has read every page.
        brain.release_pages()
        return brain

    def release_pages(self) -> None:
        """Release the memory of arrays that `load` mapped; they are read again when needed."""
        pages: mmap.mmap | None = getattr(self, "_pages", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def _frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def _plain(value: object) -> object:
    """NumPy values in notes as plain ones; anything else as text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _stored(file: h5py.File, key: str) -> h5py.Dataset:
    data = file[key]
    if not isinstance(data, h5py.Dataset):
        raise KeyError(f"{key} is not a dataset")
    return check_written(data, Path(file.filename))


def _read_regions(file: h5py.File) -> RegionSynapses:
    names = tuple(str(name) for name in _stored(file, "regions/names").asstr()[:])
    shape = (len(names), len(_stored(file, "signs")))

    def counts(key: str) -> sp.csr_array:
        parts = [_stored(file, f"regions/{key}/{part}")[:] for part in ("data", "indices", "indptr")]
        matrix = sp.csr_array(tuple(parts), shape=shape)
        matrix.check_format(full_check=True)
        return matrix

    return RegionSynapses(names, counts("outputs"), counts("inputs"))


def _words(file: h5py.File, key: str, values: np.ndarray) -> np.ndarray | pd.Series:
    """The values of a column of the neuron table: as stored, or the words that they are codes of."""
    if f"{key} words" not in file["neurons"]:  # pyright: ignore[reportOperatorIssue]
        return values
    words = np.array(_stored(file, f"neurons/{key} words").asstr()[:], object)
    if len(values) and not 0 <= values.min() <= values.max() < len(words):
        raise ValueError(f"column {key} of the neuron table has words that are not there")
    return pd.Series(words[values] if len(words) else [], dtype="str")


def _mapped(dataset: h5py.Dataset, pages: mmap.mmap) -> np.ndarray:
    """A contiguous dataset in place in the mapped file; small or empty ones are read."""
    offset, size = dataset.id.get_offset(), int(np.prod(dataset.shape))
    if offset is None or size < 4096:
        return dataset[:]
    return np.frombuffer(pages, dataset.dtype, size, offset)


def from_pairs(
    name: str,
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    counts: Int[np.ndarray, "M"],
    signs: Int[np.ndarray, "N"],
    neurons: pd.DataFrame,
    *,
    electrical: Bool[np.ndarray, "M"] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Connectome:
    """Build a Connectome from neuron positions in any order; parallel connections are summed.

    Parameters
    ----------
    pre, post
        [M'] positions of the presynaptic and postsynaptic neuron in `neurons`.
    counts
        [M'] synapses of each row.
    signs, neurons, electrical, notes
        As in Connectome.
    """
    n = len(signs)
    pre, post = np.asarray(pre, np.int64), np.asarray(post, np.int64)
    if len(pre) and (min(pre.min(), post.min()) < 0 or max(pre.max(), post.max()) >= n):
        raise DataError(f"connectome {name!r}: a connection names a neuron outside 0..{n - 1}")
    electrical = np.zeros(len(pre), bool) if electrical is None else np.asarray(electrical, bool)
    counts = np.asarray(counts)
    if len(counts) and counts.dtype.kind not in "iu":
        raise DataError(f"connectome {name!r}: counts must be integers, got {counts.dtype}")
    # Rows 2i and 2i + 1 are the chemical and the electrical inputs of neuron i.
    rows = sp.coo_array((counts.astype(np.int64), (post * 2 + electrical, pre)), shape=(2 * n, n)).tocsr()
    rows.sum_duplicates()
    return Connectome(
        name=name,
        indptr=rows.indptr[::2],
        indices=rows.indices,
        counts=rows.data,
        signs=np.asarray(signs),
        neurons=neurons,
        electrical=np.repeat(np.arange(2 * n) % 2 == 1, np.diff(rows.indptr)),
        notes=notes or {},
    )
