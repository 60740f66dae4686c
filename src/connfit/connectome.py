"""The wiring: who connects to whom, with how many synapses and which sign.

Connections are stored as compressed rows by postsynaptic neuron, so that a neuron's inputs, their
strengths, traces and gradients lie side by side.
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

from connfit.errors import ConfigError, DataError, first_ten

FORMAT_VERSION = 1
TABLE_COLUMNS = ("id", "type", "region", "transmitter", "side")


@dataclass(frozen=True, eq=False)
class Connectome:
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

    def __post_init__(self) -> None:
        for name, dtype in (("indptr", np.int32), ("indices", np.int32), ("counts", np.int32), ("signs", np.int8)):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
                raise DataError(
                    f"connectome {self.name!r}: {name} must be a one-dimensional array of integers, got "
                    f"{array.dtype} {array.shape}"
                )
            if array.size and (array.max() > np.iinfo(dtype).max or array.min() < np.iinfo(dtype).min):
                raise DataError(f"connectome {self.name!r}: {name} does not fit into {np.dtype(dtype).name}")
            object.__setattr__(self, name, _frozen(array.astype(dtype, copy=False)))
        if self.electrical is None:
            object.__setattr__(self, "electrical", _frozen(np.zeros(len(self.indices), bool)))
        else:
            object.__setattr__(self, "electrical", _frozen(np.asarray(self.electrical, bool)))
        self._validate()

    def _validate(self) -> None:
        def fail(problem: str) -> None:
            raise DataError(f"connectome {self.name!r}: {problem}")

        n, m = len(self.signs), len(self.indices)
        if len(self.indptr) != n + 1 or len(self.neurons) != n:
            fail(f"indptr has {len(self.indptr)} entries and the neuron table {len(self.neurons)} rows for {n} signs")
        if self.indptr[0] != 0 or self.indptr[-1] != m or np.any(np.diff(self.indptr) < 0):
            fail(f"indptr must rise from 0 to the number of connections {m}")
        if len(self.counts) != m or len(self.electrical) != m:
            fail(f"{len(self.counts)} counts and {len(self.electrical)} electrical flags for {m} connections")
        if m and (self.indices.min() < 0 or self.indices.max() >= n):
            fail(f"a presynaptic index lies outside 0..{n - 1}")
        if m and self.counts.min() < 1:
            fail(
                f"synapse counts must be at least 1, connection {int(np.argmin(self.counts))} has "
                f"{int(self.counts.min())}"
            )
        if not np.all(np.abs(self.signs) == 1):
            fail("signs must be +1 or -1")
        missing = [column for column in TABLE_COLUMNS if column not in self.neurons.columns]
        if missing:
            fail(f"the neuron table lacks the columns {', '.join(missing)}")
        ids = self.neurons["id"]
        if ids.dtype.kind == "f":
            fail("neuron ids are floating point numbers; ids above 2^53 would be changed. Read them as int64 or text")
        if ids.duplicated().any():
            fail(f"neuron ids repeat: {first_ten(dict.fromkeys(ids[ids.duplicated().to_numpy()].tolist()))}")
        if m > 1:
            key = self.indices.astype(np.int64) + np.where(self.electrical, n, 0)
            row_start = np.zeros(m, bool)
            row_start[self.indptr[:-1][np.diff(self.indptr) > 0]] = True
            if np.any((np.diff(key) <= 0) & ~row_start[1:]):
                fail(
                    "connections of a neuron must be sorted by presynaptic index without repeats, "
                    "chemical before electrical"
                )
        if self.electrical.any():
            gaps = sp.csr_array((self.counts * self.electrical, self.indices, self.indptr), shape=(n, n))
            if (gaps != gaps.T).nnz:
                fail("electrical connections must be present in both directions with equal counts")

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
        """Positions of the neurons `ids`.

        Raises
        ------
        DataError
            If ids are unknown; the first ten are listed.
        """
        ids = list(ids)
        if any(isinstance(one, float | np.floating) for one in ids):
            raise DataError(
                "ids were given as floating point numbers, which cannot hold ids above 2^53",
                fix="Give them as integers or text",
            )
        index = pd.Index(self.neurons["id"]).get_indexer(pd.Index(ids)) if ids else np.zeros(0, np.int64)
        if (index < 0).any():
            unknown = [one for one, at in zip(ids, index, strict=True) if at < 0]
            raise DataError(f"connectome {self.name!r} has no neurons {first_ten(unknown)}")
        return index

    def matrix(self, strengths: Float[np.ndarray, "M"] | None = None) -> sp.csr_array:
        """Signed [post, pre] matrix with the given magnitudes (default: synapse counts)."""
        magnitudes = self.counts if strengths is None else np.asarray(strengths)
        signed = (magnitudes * self.connection_signs).astype(np.float64)
        return sp.csr_array((signed, self.indices, self.indptr), shape=(self.n, self.n))

    def subset(self, keep: Bool[np.ndarray, "N"] | Sequence[int], *, name: str | None = None) -> Connectome:
        """The sub-brain of the neurons `keep` (a boolean mask, or indices whose order becomes the new order)."""
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
        )

    def summary(self) -> dict[str, Any]:
        """Counts that identify the connectome: neurons, connections, synapses, signs, degrees, reciprocity."""
        chemical = ~self.electrical
        posts = self.posts
        key = posts.astype(np.int64) * self.n + self.indices
        off_diagonal = chemical & (posts != self.indices)
        reverse = self.indices.astype(np.int64) * self.n + posts
        mutual = np.isin(reverse[off_diagonal], key[off_diagonal]).sum()
        in_degree = np.diff(self.indptr)
        out_degree = np.bincount(self.indices, minlength=self.n)
        return {
            "name": self.name,
            "neurons": self.n,
            "connections": int(chemical.sum()),
            "synapses": int(self.counts[chemical].sum()),
            # Between two neurons a gap junction is stored twice, within one neuron once.
            "electrical_connections": int(self.electrical.sum() + (self.electrical & (posts == self.indices)).sum())
            // 2,
            "self_connections": int((posts == self.indices).sum()),
            "excitatory_neurons": int((self.signs > 0).sum()),
            "inhibitory_neurons": int((self.signs < 0).sum()),
            "reciprocity": float(mutual / max(1, off_diagonal.sum())),
            "median_in_degree": float(np.median(in_degree)) if self.n else 0.0,
            "median_out_degree": float(np.median(out_degree)) if self.n else 0.0,
            "neurons_without_input": int((in_degree == 0).sum()),
            "regions": sorted(set(self.neurons["region"]) - {""}),
        }

    def save(self, path: str | Path) -> None:
        """Write one HDF5 file whose arrays `load` maps into memory without reading them."""
        path = Path(path)
        temporary = path.with_name(path.name + ".part")
        with h5py.File(temporary, "w") as file:
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
                    text = np.array(
                        ["" if gone else str(one) for one, gone in zip(values, missing, strict=True)], object
                    )
                    data = table.create_dataset(str(k), data=text, dtype=h5py.string_dtype())
                data.attrs["column"] = str(column)
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Connectome:
        """Open a file written by `save`; large arrays are mapped into memory, not copied.

        Raises
        ------
        DataError
            If the file is not a connectome of a version that this release reads.
        """
        path = Path(path)
        if not path.exists():
            raise DataError("no such file", path=path)
        try:
            with h5py.File(path, "r") as file:
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
                for key in sorted(file["neurons"], key=int):  # type: ignore[arg-type]
                    data = _stored(file, f"neurons/{key}")
                    text = h5py.check_string_dtype(data.dtype) is not None
                    columns[data.attrs["column"]] = pd.Series(data.asstr()[:], dtype="str") if text else data[:]
                neurons = pd.DataFrame(columns)
                name, notes = str(file.attrs["name"]), json.loads(str(_stored(file, "notes").asstr()[()]))
        except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"damaged or truncated connectome file ({error})", path=path, fix="Build or copy it again"
            ) from error
        electrical = arrays.pop("electrical").view(bool)
        brain = cls(name=name, neurons=neurons, electrical=electrical, notes=notes, **arrays)
        # Validation has read every page; those that are needed again come back by themselves.
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
        return brain


def _frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def _plain(value: Any) -> Any:
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
    return data


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
