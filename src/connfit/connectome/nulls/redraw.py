"""A null connectome from the parts of the original that stay and those that were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from connfit.connectome import Connectome
from connfit.connectome.anatomy import presynapses_by_region
from connfit.connectome.regions import RegionSynapses


class Chemical(NamedTuple):
    """Chemical connections in any order: both ends and size of each, negative for inhibition where signs are mixed."""

    pre: Int[np.ndarray, "M"]
    post: Int[np.ndarray, "M"]
    counts: Int[np.ndarray, "M"] | Float[np.ndarray, "M"]


def chemical_of(connectome: Connectome) -> Chemical:
    """Return the chemical connections, in the connectome's order."""
    counts = connectome.counts if connectome.mixed_signs is None else connectome.counts * connectome.mixed_signs
    if not connectome.electrical.any():
        return Chemical(connectome.indices, connectome.posts, counts)
    chemical = ~connectome.electrical
    return Chemical(connectome.indices[chemical], connectome.posts[chemical], counts[chemical])


def with_chemical(connectome: Connectome, drawn: Chemical) -> Connectome:
    """Return the same neurons and gap junctions with other chemical connections (no pair twice).

    Where signs are mixed, a connection takes its sign along with its size.
    """
    n = connectome.n
    gaps = np.flatnonzero(connectome.electrical)
    if len(gaps):
        pre = np.concatenate([drawn.pre, connectome.indices[gaps]])
        post = np.concatenate([drawn.post, connectome.posts[gaps]])
        counts = np.concatenate([drawn.counts, connectome.counts[gaps]])
    else:
        pre, post, counts = drawn
    key = post.astype(np.int64) * (2 * n) + pre
    key[len(drawn.pre) :] += n
    order = np.argsort(key)
    del key
    return replace(
        connectome,
        indptr=np.concatenate([[0], np.cumsum(np.bincount(post, minlength=n))]),
        indices=pre[order],
        counts=counts[order] if connectome.mixed_signs is None else np.abs(counts[order]),
        mixed_signs=None if connectome.mixed_signs is None else np.sign(counts[order]).astype(np.int8),
        electrical=order >= len(drawn.pre),
    )


def as_null(original: Connectome, null: Connectome, name: str, said: Mapping[str, Any]) -> Connectome:
    """Name a null connectome, note what it is, and give it the original's synapses by region.

    Parameters
    ----------
    name
        Name of the null.
    said
        What it preserves and destroys, its seed and what was measured.
    """
    said = {"name": name, **said}
    if "null" in original.notes:
        said["of"] = original.notes["null"]
    return replace(
        null, name=f"{original.name}-{name}", notes={**original.notes, "null": said}, regions=_regions(original)
    )


def _regions(connectome: Connectome) -> RegionSynapses | None:
    """Synapses by region as the original has them, or as follow from its wiring; None without any region.

    Where a source does not count synapses by region, they follow from the connections. Those of the null would
    give another read-out; then a difference between the two could come from either.
    """
    if connectome.regions is not None:
        return connectome.regions
    region = connectome.neurons["region"].fillna("").astype(str).to_numpy()
    if not (region != "").any():
        return None
    names, outputs = presynapses_by_region(connectome)
    row_of = {name: k for k, name in enumerate(names)}
    chemical = chemical_of(connectome)
    received = np.bincount(chemical.post, weights=np.abs(chemical.counts), minlength=connectome.n)
    received = received if connectome.weighted else received.astype(np.int64)
    known = np.flatnonzero((region != "") & (received > 0))
    rows = np.array([row_of[region[k]] for k in known], np.int64)
    inputs = sp.coo_array((received[known], (rows, known)), shape=outputs.shape)
    return RegionSynapses(names, outputs, sp.csr_array(inputs))
