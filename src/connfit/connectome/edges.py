"""Rows of an edge table gathered block by block in one integer each, and the sorted wiring that they make.

A row is one 64-bit integer: postsynaptic neuron, presynaptic neuron, region, synapses, from the high bits to the low.
Fifteen million rows are then 120 MB, and sorting them in place is all it takes to sum pairs, find repeated rows and
write compressed rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Int

from connfit.connectome import Connectome
from connfit.connectome.regions import RegionSynapses
from connfit.errors import ConfigError, DataError, one_of

if TYPE_CHECKING:
    from connfit._typing import JSON

_BITS = 63
_LEAST_COUNT_BITS = 16
_CHUNK = 1 << 22
"""Rows that are unpacked at once, so that what is unpacked stays small beside what is packed."""


@dataclass(frozen=True, eq=False)
class Wiring:
    """Connections in the form of `connfit.connectome.Connectome`, and what was left out of them.

    Parameters
    ----------
    neurons
        [N'] places, among all N, of the neurons that have a row; ascending.
    indptr, indices, counts
        Connections among these N'.
    regions
        Their synapses by region; None where rows name none.
    notes
        By which options they were chosen, and what was left out.
    """

    neurons: Int[np.ndarray, "N_kept"]
    indptr: Int[np.ndarray, "N_kept+1"]
    indices: Int[np.ndarray, "M"]
    counts: Int[np.ndarray, "M"]
    regions: RegionSynapses | None
    notes: Mapping[str, int | str]

    def connectome(
        self,
        name: str,
        signs: Int[np.ndarray, "N_kept"],
        neurons: pd.DataFrame,
        regions: RegionSynapses | None,
        notes: Mapping[str, JSON],
    ) -> Connectome:
        """Build the connectome of these connections; notes are followed by those on the connections."""
        return Connectome(
            name, self.indptr, self.indices, self.counts, signs, neurons, regions=regions, notes={**notes, **self.notes}
        )


class PackedRows:
    """Rows (pre, post, region, synapses) of an edge table, one integer each.

    Parameters
    ----------
    neurons
        Number of neurons N.
    regions
        Names of the regions; none where rows have no region.

    Raises
    ------
    DataError
        If so many neurons and regions do not fit into one integer.
    """

    def __init__(self, neurons: int, regions: tuple[str, ...] = ()) -> None:
        self.neurons, self.regions = neurons, regions
        self._neuron_bits = max(1, (neurons - 1).bit_length())
        # One more than there are regions: 0 is a synapse in none.
        self._region_bits = len(regions).bit_length()
        self._count_bits = min(31, _BITS - 2 * self._neuron_bits - self._region_bits)
        if self._count_bits < _LEAST_COUNT_BITS:
            raise DataError(f"{neurons} neurons with {len(regions)} regions are more than this reader can hold")
        self._keys, self._used, self._sorted = np.empty(1 << 16, np.int64), 0, False

    def __len__(self) -> int:
        return self._used

    @property
    def most_synapses(self) -> int:
        """The largest number of synapses that a row can have."""
        return (1 << self._count_bits) - 1

    def add(
        self,
        pre: Int[np.ndarray, "R"],
        post: Int[np.ndarray, "R"],
        counts: Int[np.ndarray, "R"],
        region: Int[np.ndarray, "R"] | None = None,
    ) -> None:
        """Append rows.

        Parameters
        ----------
        pre, post
            [R] neurons, in 0..N-1.
        counts
            [R] synapses, in 1..most_synapses.
        region
            [R] place of the region in `regions`, -1 for none.
        """
        end = self._used + len(pre)
        if end > len(self._keys):
            # Grown in place where the system can; no other array refers to it.
            self._keys.resize(max(end, len(self._keys) + len(self._keys) // 2), refcheck=False)
        keys = self._keys[self._used : end]
        keys[:] = post
        keys <<= self._neuron_bits
        keys |= np.asarray(pre, np.int64)
        keys <<= self._region_bits
        if region is not None:
            keys |= np.asarray(region, np.int64) + 1
        keys <<= self._count_bits
        keys |= np.asarray(counts, np.int64)
        self._used, self._sorted = end, False

    def repeated(self) -> tuple[int, int, int] | None:
        """Return (pre, post, region) of the first row that is there twice; None if there is none."""
        keys = self._ordered()
        for start in range(0, len(keys), _CHUNK):
            rows = keys[start : start + _CHUNK + 1] >> self._count_bits
            twice = np.flatnonzero(rows[1:] == rows[:-1])
            if len(twice):
                row = int(rows[twice[0]])
                region, pair = row & ((1 << self._region_bits) - 1), row >> self._region_bits
                return pair & ((1 << self._neuron_bits) - 1), pair >> self._neuron_bits, region - 1
        return None

    def wiring(
        self,
        *,
        min_synapses: int = 1,
        self_connections: str = "keep",
        silent: Bool[np.ndarray, "N"] | None = None,
        all_neurons: bool = False,
    ) -> Wiring:
        """Build the connections: rows of a pair summed, sorted by postsynaptic and then presynaptic neuron.

        Parameters
        ----------
        min_synapses
            Pairs with fewer synapses over all their rows are left out.
        self_connections
            `"keep"` or `"drop"`.
        silent
            [N] neurons whose outputs are left out.
        all_neurons
            Whether neurons without any row stay.

        Returns
        -------
        Wiring
            Regions count the synapses of the connections that are left.

        Raises
        ------
        ConfigError
            If an option has no such value.
        """
        one_of("self_connections", self_connections, ("keep", "drop"))
        if min_synapses < 1:
            raise ConfigError(f"min_synapses = {min_synapses} must be at least 1")
        keys = self._ordered()
        first = self._first_rows(keys)
        pair = keys[first] >> (self._region_bits + self._count_bits)
        pre = (pair & ((1 << self._neuron_bits) - 1)).astype(np.int32)
        post = (pair >> self._neuron_bits).astype(np.int32)
        del pair
        row_counts = (keys & self.most_synapses).astype(np.int32)
        counts = np.add.reduceat(row_counts, first, dtype=np.int64) if len(first) else row_counts

        present = np.ones(self.neurons, bool)
        if not all_neurons:
            present = np.bincount(pre, minlength=self.neurons) + np.bincount(post, minlength=self.neurons) > 0
        notes: dict[str, int | str] = {"self_connections": self_connections, "min_synapses": min_synapses}
        if not all_neurons:
            notes["neurons_without_connections_removed"] = int(self.neurons - present.sum())
        keep = np.ones(len(pre), bool)
        reasons = {
            "self_connections": (pre == post) if self_connections == "drop" else None,
            "unknown_transmitter_connections": None if silent is None or not silent.any() else silent[pre],
            "weak_connections": counts < min_synapses if min_synapses > 1 else None,
        }
        for name, bad in reasons.items():
            if bad is not None:
                bad = bad & keep
                notes[f"{name}_dropped"] = int(bad.sum())
                notes[f"synapses_of_{name}_dropped"] = int(counts[bad].sum())
                keep &= ~bad
        regions = None
        if self.regions:
            regions, nowhere = self._by_region(keys, first, keep, present)
            notes["synapses_without_region"] = nowhere
        new = np.cumsum(present, dtype=np.int32) - 1
        if not keep.all():
            pre, post, counts = pre[keep], post[keep], counts[keep]
        return Wiring(
            neurons=np.flatnonzero(present),
            indptr=np.concatenate([[0], np.cumsum(np.bincount(post, minlength=self.neurons)[present])]),
            indices=new[pre],
            counts=counts,
            regions=regions,
            notes=notes,
        )

    def _ordered(self) -> Int[np.ndarray, "R"]:
        keys = self._keys[: self._used]
        if not self._sorted:
            keys.sort()
            self._sorted = True
        return keys

    def _first_rows(self, keys: Int[np.ndarray, "R"]) -> Int[np.ndarray, "M"]:
        """[M] the first of the rows of each pair."""
        new = np.ones(len(keys), bool)
        for start in range(1, len(keys), _CHUNK):
            pair = keys[start - 1 : start + _CHUNK] >> (self._region_bits + self._count_bits)
            new[start : start + _CHUNK] = pair[1:] != pair[:-1]
        return np.flatnonzero(new)

    def _by_region(
        self,
        keys: Int[np.ndarray, "R"],
        first: Int[np.ndarray, "M"],
        keep: Bool[np.ndarray, "M"],
        present: Bool[np.ndarray, "N"],
    ) -> tuple[RegionSynapses, int]:
        """Synapses by region of the rows whose pair is kept, and how many of them are in no region."""
        kept_rows = np.repeat(keep, np.diff(first, append=len(keys)))
        lowest, places = (1 << self._neuron_bits) - 1, len(self.regions) + 1
        # [neuron, region]: rows are sorted by postsynaptic neuron, so that those of a chunk lie near each other.
        totals = np.zeros((2, self.neurons * places), np.int64)
        for start in range(0, len(keys), _CHUNK):
            key = keys[start : start + _CHUNK][kept_rows[start : start + _CHUNK]]
            if not len(key):
                continue
            counts = (key & self.most_synapses).astype(np.float64)
            key >>= self._count_bits
            region = key & ((1 << self._region_bits) - 1)
            key >>= self._region_bits
            for ends, total in zip((key & lowest, key >> self._neuron_bits), totals, strict=True):
                at = ends * places + region
                base = int(at.min())
                # Sums of whole numbers below 2^53 are exact as floating point numbers.
                found = np.bincount(at - base, weights=counts)
                part = total[base : base + len(found)]
                np.add(part, found, out=part, casting="unsafe")
        made, received = (total.reshape(self.neurons, places)[present] for total in totals)
        del totals
        nowhere = int(made[:, 0].sum())
        used = 1 + np.flatnonzero(made[:, 1:].any(0))
        outputs, inputs = (sp.csr_array(sp.csr_array(total)[:, used].T) for total in (made, received))
        return RegionSynapses(tuple(self.regions[k - 1] for k in used), outputs, inputs), nowhere
