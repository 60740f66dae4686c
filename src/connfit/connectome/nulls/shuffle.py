"""Null connectomes whose wiring is the original's: signs or synapse counts change places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.nulls.redraw import as_null
from connfit.errors import one_of

WITHIN = ("all", "inputs", "outputs")


def shuffle_signs(connectome: Connectome, *, seed: int = 0) -> Connectome:
    """Permute the signs over the neurons.

    Preserves every connection and its synapse count, the number of excitatory and of inhibitory neurons, and that a
    neuron has one sign. Destroys which neurons excite and which inhibit (and with it the share of excitatory
    connections and synapses). The table's column `transmitter` stays and no longer says the sign. Gap junctions
    have no sign and stay.

    Parameters
    ----------
    seed
        Seed of the permutation.

    Returns
    -------
    Connectome
        Synapses by region, and with them an anatomical read-out, are the original's, as for every null.
    """
    signs = np.random.default_rng(seed).permutation(connectome.signs)
    said = {
        "seed": seed,
        "preserves": "connections, synapse counts, number of neurons of each sign, one sign per neuron, "
        "gap junctions, synapses by region",
        "destroys": "which neurons are excitatory or inhibitory",
        "neurons_with_their_sign": int((signs == connectome.signs).sum()),
    }
    return as_null(connectome, replace(connectome, signs=signs), "shuffle_signs", said)


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
        "preserves": f"connections, signs, distribution of synapse counts{kept}, gap junctions, synapses by region",
        "destroys": "which connections have many synapses",
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
