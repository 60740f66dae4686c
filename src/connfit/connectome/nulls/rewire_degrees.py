"""A null connectome with the degrees of every neuron and otherwise random connections."""

from __future__ import annotations

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import Chemical, as_null, chemical_of, with_chemical
from connfit.connectome.nulls.swap_ends import NO_SWAP, swap_ends
from connfit.connectome.nulls.swaps import SWAPS, TRIES, expected_share


def rewire_degrees(connectome: Connectome, *, seed: int = 0, swaps: float = SWAPS, tries: float = TRIES) -> Connectome:
    """Rewire the chemical connections at random, each neuron keeping its numbers of inputs and outputs.

    Preserves in- and out-degree and the sign of every neuron, the synapse counts of every neuron's outputs (a count
    travels with the presynaptic end), self-connections, gap junctions. Destroys who connects to whom:
    reciprocity, motifs, modules, regions, and the synapse counts of a neuron's inputs. Uniform over all such wirings
    without repeats and without further self-connections, by edge swaps (`connfit.connectome.nulls.swaps`).

    Parameters
    ----------
    seed
        Seed of the swaps.
    swaps, tries
        About so many swaps per connection, and at most so many tries where few swaps are possible (dense
        wiring); the notes tell how many there were and how many connections are the original's.

    Returns
    -------
    Connectome
        Synapses by region are the original's.
    """
    pre, post, counts = chemical_of(connectome)
    free = pre != post
    said = {
        "preserves": "in-degree, out-degree and sign of each neuron, synapse counts of its outputs, "
        "self-connections, gap junctions, synapses by region",
        "destroys": "who connects to whom: reciprocity, motifs, modules, regions; synapse counts of inputs",
    }
    expected = expected_share(pre[free], post[free], None)
    drawn, measured = swap_ends(connectome, Chemical(pre, post, counts), free, None, seed, swaps, tries)
    said |= {**measured, "kept_share_expected": expected}
    return as_null(connectome, with_chemical(connectome, drawn), "rewire_degrees", said)


NULLS.register(
    Null(
        name="rewire_degrees",
        label="rewire degrees",
        place=5,
        make=rewire_degrees,
        keeps="in-degree, out-degree, sign and counts of every neuron's outputs",
        changes="who is connected to whom",
        why_same=lambda real, weights: NO_SWAP,
    )
)
