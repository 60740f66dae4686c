"""A null connectome whose neurons exchange their signs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import as_null


def shuffle_signs(connectome: Connectome, *, seed: int = 0) -> Connectome:
    """Permute the signs over the neurons.

    Preserves every connection and its synapse count, the number of excitatory and of inhibitory neurons, and that a
    neuron has one sign. Destroys which neurons excite and which inhibit (and with it the share of excitatory
    connections and synapses). The table's column `transmitter` stays and no longer says the sign. Gap junctions
    have no sign and stay. Where neurons make connections of both signs, chemical connections exchange theirs.

    Parameters
    ----------
    seed
        Seed of the permutation.

    Returns
    -------
    Connectome
        Synapses by region, and with them an anatomical read-out, are the original's, as for every null.
    """
    if connectome.mixed_signs is not None:
        return _shuffle_mixed(connectome, connectome.mixed_signs, seed)
    signs = np.random.default_rng(seed).permutation(connectome.signs)
    said = {
        "seed": seed,
        "preserves": "connections, synapse counts, number of neurons of each sign, one sign per neuron, "
        "gap junctions, synapses by region",
        "destroys": "which neurons are excitatory or inhibitory",
        "neurons_with_their_sign": int((signs == connectome.signs).sum()),
    }
    return as_null(connectome, replace(connectome, signs=signs), "shuffle_signs", said)


def _shuffle_mixed(connectome: Connectome, mixed_signs: Int[np.ndarray, "M"], seed: int) -> Connectome:
    chemical, signs = ~connectome.electrical, mixed_signs.copy()
    signs[chemical] = np.random.default_rng(seed).permutation(mixed_signs[chemical])
    said = {
        "seed": seed,
        "preserves": "connections, their sizes, number of connections of each sign, gap junctions, synapses by region",
        "destroys": "which connections are excitatory or inhibitory, and what signs a neuron's connections share",
        "connections_with_their_sign": int((signs == mixed_signs)[chemical].sum()),
    }
    return as_null(connectome, replace(connectome, mixed_signs=signs), "shuffle_signs", said)


def _why_same(real: Connectome, ignoring_counts: str | None) -> str | None:
    alike = len(np.unique(real.connection_signs[~real.electrical])) < 2
    return "all signs are equal" if alike else None


NULLS.register(
    Null(
        name="shuffle_signs",
        label="shuffle signs",
        place=1,
        make=shuffle_signs,
        keeps="wiring, counts, number of inhibitory neurons",
        changes="which neurons are inhibitory",
        why_same=_why_same,
    )
)
