"""The wiring: who connects to whom, with how many synapses and which sign.

Connections are stored as compressed rows by postsynaptic neuron, so that a neuron's inputs, their
weights, traces and gradients lie side by side.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from connfit._display import Displayed
from connfit._io import require_file
from connfit.connectome.connectome_file import COPY_AGAIN, read_parts, write_connectome
from connfit.connectome.connectome_summary import ConnectomeSummary
from connfit.connectome.regions import RegionSynapses
from connfit.connectome.validate import TABLE_COLUMNS, check_connectome, check_mixed_signs
from connfit.errors import ConfigError, DataError, first_ten

__all__ = ["TABLE_COLUMNS", "Connectome", "ConnectomeSummary", "from_pairs"]


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
        [M], size of each connection: number of synapses (for electrical connections: of gap junctions), at least 1; or,
        as floating point numbers above 0, what the source measured of it in place of synapses.
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
    mixed_signs
        [M], +1 or -1: sign of each connection, where the source gives signs to connections and some neuron makes both;
        +1 for electrical ones. None: `signs` are those of all connections. What agrees with `signs` throughout becomes
        None.

    Raises
    ------
    DataError
        If the arrays contradict each other.
    """

    name: str
    indptr: Int[np.ndarray, "N+1"]
    indices: Int[np.ndarray, "M"]
    counts: Int[np.ndarray, "M"] | Float[np.ndarray, "M"]
    signs: Int[np.ndarray, "N"]
    neurons: pd.DataFrame
    electrical: Bool[np.ndarray, "M"] = None  # type: ignore[assignment]  # filled in below
    notes: Mapping[str, Any] = field(default_factory=dict)
    regions: RegionSynapses | None = None
    mixed_signs: Int[np.ndarray, "M"] | None = None

    def __post_init__(self) -> None:
        integers = {
            "indptr": np.int32,
            "indices": np.int32,
            "counts": np.int32,
            "signs": np.int8,
            "mixed_signs": np.int8,
        }
        if self.mixed_signs is None:
            del integers["mixed_signs"]
        counts = np.asarray(self.counts)
        if counts.ndim == 1 and counts.dtype.kind == "f":
            del integers["counts"]
            object.__setattr__(self, "counts", _frozen(counts.astype(np.float32, copy=False)))
        for name, dtype in integers.items():
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
        if self.mixed_signs is not None:
            check_mixed_signs(self.name, self.mixed_signs, self.electrical)
            if np.array_equal(self.mixed_signs, _signs_of_neurons(self.electrical, self.signs, self.indices)):
                object.__setattr__(self, "mixed_signs", None)
        if self.regions is not None and self.regions.neurons != len(self.signs):
            raise DataError(
                f"connectome {self.name!r}: synapses by region are of {self.regions.neurons} neurons, there are "
                f"{len(self.signs)}"
            )

    def _display(self) -> tuple[str, Mapping[str, str]]:
        facts = {
            "neurons": f"{self.n:,} ({np.mean(self.signs > 0) if self.n else 0:.0%} excitatory)",
            "connections": f"{self.m:,}",
        }
        if not self.weighted:
            facts["synapses"] = f"{int(self.counts[~self.electrical].sum(dtype=np.int64)):,}"
        else:
            facts["weights"] = f"{self.counts.min(initial=np.inf):.3g} to {self.counts.max(initial=0):.3g}"
        if self.mixed_signs is not None:
            facts["signs"] = f"of connections, {np.mean(self.connection_signs > 0):.0%} excitatory"
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
    def weighted(self) -> bool:
        """Whether `counts` are real-valued weights of the source and no numbers of synapses."""
        return self.counts.dtype.kind == "f"

    @property
    def size_word(self) -> str:
        """What `counts` are, for messages and labels: `"synapse count"`, or `"source weight"`."""
        return "source weight" if self.weighted else "synapse count"

    @property
    def size_column(self) -> str:
        """Title of `counts` in tables: `"synapses"`, or `"source_weight"`."""
        return "source_weight" if self.weighted else "synapses"

    @property
    def connection_signs(self) -> Int[np.ndarray, "M"]:
        """[M] sign of each connection: the presynaptic neuron's unless they are mixed, +1 for electrical ones."""
        if self.mixed_signs is not None:
            return self.mixed_signs
        return _signs_of_neurons(self.electrical, self.signs, self.indices)

    @property
    def flipped(self) -> Bool[np.ndarray, "M"] | None:
        """[M] chemical connections whose sign is not that of their neuron; None where there are none."""
        if self.mixed_signs is None:
            return None
        return self.mixed_signs != _signs_of_neurons(self.electrical, self.signs, self.indices)

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
                mixed_signs=None if self.mixed_signs is None else self.mixed_signs[inside],
            ),
            notes={**self.notes, "subset_of": self.name, "subset_neurons": len(keep)},
            regions=None if self.regions is None else self.regions.of_neurons(keep),
        )

    def summary(self) -> ConnectomeSummary:
        """Count what identifies the connectome: neurons, connections, synapses, signs, degrees, reciprocity."""
        return ConnectomeSummary.of(self)

    def save(self, path: str | Path) -> None:
        """Write one HDF5 file whose arrays `load` maps into memory without reading them."""
        write_connectome(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Connectome:
        """Open a file written by `save`; large arrays are mapped into memory, not copied.

        Raises
        ------
        DataError
            If the file is not a connectome of a version that this release reads.
        """
        path = require_file(path)
        parts, pages = read_parts(path)
        try:
            stored = {"notes": dict(parts["notes"]), "electrical": parts["electrical"].view(bool)}
            brain = cls(**{**parts, **stored})
        except (ValueError, TypeError, DataError) as error:
            raise DataError(f"its parts contradict each other ({error})", path=path, fix=COPY_AGAIN) from error
        object.__setattr__(brain, "_pages", pages)
        # Validation has read every page.
        brain.release_pages()
        return brain

    def release_pages(self) -> None:
        """Release the memory of arrays that `load` mapped; they are read again when needed."""
        pages: mmap.mmap | None = getattr(self, "_pages", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def _signs_of_neurons(
    electrical: Bool[np.ndarray, "M"], signs: Int[np.ndarray, "N"], indices: Int[np.ndarray, "M"]
) -> Int[np.ndarray, "M"]:
    return np.where(electrical, np.int8(1), signs[indices])


def _frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to; the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def from_pairs(
    name: str,
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    counts: Int[np.ndarray, "M"],
    signs: Int[np.ndarray, "N"],
    neurons: pd.DataFrame,
    *,
    electrical: Bool[np.ndarray, "M"] | None = None,
    mixed_signs: Int[np.ndarray, "M"] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Connectome:
    """Build a Connectome from neuron positions in any order; parallel connections are summed.

    Parameters
    ----------
    pre, post
        [M'] positions of the presynaptic and postsynaptic neuron in `neurons`.
    counts
        [M'] synapses of each row, or weights.
    signs, neurons, electrical, notes
        As in Connectome.
    mixed_signs
        [M'] sign of each row, where neurons make both; rows of a pair must have the same.
    """
    n = len(signs)
    pre, post = np.asarray(pre, np.int64), np.asarray(post, np.int64)
    if len(pre) and (min(pre.min(), post.min()) < 0 or max(pre.max(), post.max()) >= n):
        raise DataError(f"connectome {name!r}: a connection names a neuron outside 0..{n - 1}")
    electrical = np.zeros(len(pre), bool) if electrical is None else np.asarray(electrical, bool)
    counts = np.asarray(counts)
    if len(counts) and counts.dtype.kind not in "iuf":
        raise DataError(f"connectome {name!r}: counts must be numbers, got {counts.dtype}")
    sizes = counts.astype(np.float64 if counts.dtype.kind == "f" else np.int64)
    # Rows 2i and 2i + 1 are the chemical and the electrical inputs of neuron i.
    at = (post * 2 + electrical, pre)
    rows = sp.coo_array((sizes, at), shape=(2 * n, n)).tocsr()
    rows.sum_duplicates()
    signs_of_rows = None
    if mixed_signs is not None:
        signed = sp.coo_array((sizes * np.asarray(mixed_signs), at), shape=(2 * n, n)).tocsr()
        signed.sum_duplicates()
        both = ~np.isclose(np.abs(signed.data), rows.data, rtol=1e-9)
        if both.any():
            k = int(np.flatnonzero(both)[0])
            ends = neurons["id"].iloc[[int(rows.indices[k]), int(np.searchsorted(rows.indptr, k, "right") - 1) // 2]]
            raise DataError(
                f"connectome {name!r}: rows from {ends.iloc[0]} to {ends.iloc[1]} have both signs ({int(both.sum())} "
                "such pairs)",
                fix="A connection has one sign: sum the rows of a pair first, or leave some out",
            )
        signs_of_rows = np.sign(signed.data).astype(np.int8)
    return Connectome(
        name=name,
        indptr=rows.indptr[::2],
        indices=rows.indices,
        counts=rows.data,
        signs=np.asarray(signs),
        neurons=neurons,
        electrical=np.repeat(np.arange(2 * n) % 2 == 1, np.diff(rows.indptr)),
        mixed_signs=signs_of_rows,
        notes=notes or {},
    )
