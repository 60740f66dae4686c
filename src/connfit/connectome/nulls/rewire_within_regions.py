"""A null connectome that is rewired within each pair of regions."""

from __future__ import annotations

import numpy as np

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import Chemical, as_null, chemical_of, with_chemical
from connfit.connectome.nulls.swap_ends import NO_SWAP, swap_ends
from connfit.connectome.nulls.swaps import SWAPS, TRIES, expected_share
from connfit.errors import DataError


def rewire_within_regions(
    connectome: Connectome, *, seed: int = 0, swaps: float = SWAPS, tries: float = TRIES
) -> Connectome:
    """Rewire as `rewire_degrees` does, with swaps only among connections from the same region to the same region.

    Preserves, besides what `rewire_degrees` does, the number of connections from each region to each, and each
    neuron's numbers of outputs to and inputs from every region. Destroys who connects to whom within
    that. Neurons without a region count as one more region; the notes tell how many there are.

    Parameters
    ----------
    seed, swaps, tries
        As in `rewire_degrees`.

    Raises
    ------
    DataError
        If no neuron has a region.
    """
    text = connectome.neurons["region"].fillna("").astype(str).to_numpy()
    names, region = np.unique(text, return_inverse=True)
    if not (names != "").any():
        raise DataError(
            f"connectome {connectome.name!r} has no regions: the column 'region' of its neuron table is empty",
            fix="Use rewire_degrees, or name the column of the neuron table that holds regions when you read it",
        )
    pre, post, counts = chemical_of(connectome)
    free = pre != post
    # 16 bits, where they are enough, are sorted several times faster.
    kind = np.int16 if len(names) ** 2 <= np.iinfo(np.int16).max else np.int32
    group = (region[post] * len(names) + region[pre]).astype(kind)[free]
    said = {
        "preserves": "in-degree, out-degree and sign of each neuron, by region of the other end; connections from "
        "region to region; synapse counts of outputs; self-connections, gap junctions, synapses by region",
        "destroys": "who connects to whom within a pair of regions; synapse counts of inputs",
        "neurons_without_region": int((text == "").sum()),
    }
    out_class = region[post[free]].astype(np.int64) * connectome.n + pre[free]
    in_class = region[pre[free]].astype(np.int64) * connectome.n + post[free]
    expected = expected_share(out_class, in_class, group)
    del out_class, in_class
    drawn, measured = swap_ends(connectome, Chemical(pre, post, counts), free, group, seed, swaps, tries)
    said |= {**measured, "kept_share_expected": expected}
    return as_null(connectome, with_chemical(connectome, drawn), "rewire_within_regions", said)


NULLS.register(
    Null(
        name="rewire_within_regions",
        label="rewire within regions",
        place=6,
        make=rewire_within_regions,
        keeps="the same within each pair of regions",
        changes="who is connected to whom within a pair of regions",
        why_same=lambda real, weights: NO_SWAP,
    )
)
