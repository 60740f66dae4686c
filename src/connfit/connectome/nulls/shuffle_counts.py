"""Null connectomes whose connections exchange their synapse counts: all of them, or within a neuron."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import as_null
from connfit.errors import one_of

WITHIN = ("all", "inputs", "outputs")


def shuffle_counts(connectome: Connectome, *, within: str = "all", seed: int = 0) -> Connectome:
    """Permute the synapse counts over the chemical connections.

    Preserves every connection, every sign, and the distribution of synapse counts: over all connections, over those
    of each postsynaptic neuron (`within="inputs"`, so that its number of input synapses stays) or of each presynaptic
    one (`within="outputs"`). Destroys which connections are strong. Gap junctions and their counts stay.

    Parameters
    ----------
    within
        `"all"`, `"inputs"` or `"outputs"`.
    seed
        Seed of the permutation.

    Returns
    -------
    Connectome
        Synapses by region are the original's.
    """
    one_of("within", within, WITHIN)
    rng = np.random.default_rng(seed)
    where = np.flatnonzero(~connectome.electrical)
    counts = connectome.counts.copy()
    if within == "all":
        counts[where] = rng.permutation(counts[where])
    else:
        ends = (connectome.posts if within == "inputs" else connectome.indices)[where]
        counts[where[np.argsort(ends, kind="stable")]] = counts[where[_shuffled_by(ends, rng)]]
    kept = {"all": "", "inputs": " of each neuron's inputs", "outputs": " of each neuron's outputs"}[within]
    said = {
        "seed": seed,
        "within": within,
        "preserves": f"connections, signs, distribution of {connectome.size_word}s{kept}, gap junctions, "
        "synapses by region",
        "destroys": "which connections are strong",
        "connections_with_their_count": int((counts == connectome.counts)[where].sum()),
    }
    name = "shuffle_counts" if within == "all" else f"shuffle_{within[:-1]}_counts"
    return as_null(connectome, replace(connectome, counts=counts), name, said)


def _shuffled_by(ends: Int[np.ndarray, "M"], rng: np.random.Generator) -> Int[np.ndarray, "M"]:
    """Positions ordered by neuron, and at random within each neuron."""
    # 31 random bits below the neuron's number: ties are rare and fall in the order of the sort.
    key = ends.astype(np.int64) << 31
    key |= rng.integers(1 << 31, size=len(ends), dtype=np.int64)
    return np.argsort(key)


def _why_same(real: Connectome, ignoring_counts: str | None) -> str | None:
    if len(np.unique(real.counts[~real.electrical])) < 2:
        return "all synapse counts are equal"
    if ignoring_counts is not None:
        return f"weights do not start from counts (model.weights = {ignoring_counts})"
    return None


NULLS.register(
    Null(
        name="shuffle_counts",
        label="shuffle counts",
        place=2,
        make=shuffle_counts,
        keeps="wiring, signs, all synapse counts",
        changes="which connection has which count",
        why_same=_why_same,
    )
)

for _place, (_within, _end) in enumerate({"inputs": "input", "outputs": "output"}.items(), 3):
    NULLS.register(
        Null(
            name=f"shuffle_{_end}_counts",
            label=f"shuffle {_end} counts",
            place=_place,
            make=partial(shuffle_counts, within=_within),
            keeps=f"wiring, signs, the synapse counts of each neuron's {_within}",
            changes=f"which of a neuron's {_within} has which count",
            why_same=_why_same,
            in_studies=False,
        )
    )
