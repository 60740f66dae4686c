"""Null connectomes that are wired otherwise: rewired with the same degrees, at random, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from connfit.connectome import Connectome
from connfit.connectome.nulls.redraw import Chemical, as_null, chemical_of, with_chemical
from connfit.connectome.nulls.swaps import SWAPS, TRIES, expected_share, rewired, still_there
from connfit.errors import DataError


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
    drawn, measured = _swapped(connectome, Chemical(pre, post, counts), free, None, seed, swaps, tries)
    said |= {**measured, "kept_share_expected": expected}
    return as_null(connectome, with_chemical(connectome, drawn), "rewire_degrees", said)


def rewire_within_regions(
    connectome: Connectome, *, seed: int = 0, swaps: float = SWAPS, tries: float = TRIES
) -> Connectome:
    """As `rewire_degrees`, with swaps only among connections from the same region to the same region.

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
    drawn, measured = _swapped(connectome, Chemical(pre, post, counts), free, group, seed, swaps, tries)
    said |= {**measured, "kept_share_expected": expected}
    return as_null(connectome, with_chemical(connectome, drawn), "rewire_within_regions", said)


def _swapped(
    connectome: Connectome,
    chemical: Chemical,
    free: Bool[np.ndarray, "M"],
    group: Int[np.ndarray, "F"] | None,
    seed: int,
    swaps: float,
    tries: float,
) -> tuple[Chemical, dict[str, Any]]:
    """The free connections with swapped ends, the others as they are; and what was measured."""
    n = connectome.n
    pre, before = chemical.pre[free], chemical.post[free]
    found = rewired(pre, before, n, np.random.default_rng(seed), group=group, swaps=swaps, tries=tries)
    post = np.array(chemical.post)
    post[free] = found.post
    kept, half_way = (still_there(pre, before, pre, after, n) for after in (found.post, found.half_way))
    measured = {
        "seed": seed,
        "swaps_per_connection": found.swaps,
        "rounds": found.rounds,
        "self_connections_kept": int((~free).sum()),
        "kept_connections": kept,
        "kept_share": kept / max(1, len(pre)),
        "kept_share_half_way": half_way / max(1, len(pre)),
    }
    return Chemical(chemical.pre, post, chemical.counts), measured


def erdos_renyi(connectome: Connectome, *, seed: int = 0) -> Connectome:
    """Connect as many pairs of neurons as there are chemical connections, every pair with the same chance.

    Preserves the number of connections, the distribution of synapse counts (permuted over the new connections), the
    sign of every neuron, self-connections (which stay), gap junctions. Destroys degrees, reciprocity, motifs,
    modules, regions, and with them the share of excitatory connections.

    Parameters
    ----------
    seed
        Seed of the draw.

    Returns
    -------
    Connectome
        Synapses by region are the original's.

    References
    ----------
    Erdős & Rényi 1959, Publ. Math. Debrecen 6:290: graphs with a fixed number of edges.
    """
    rng = np.random.default_rng(seed)
    n = connectome.n
    pre, post, counts = chemical_of(connectome)
    loops = pre == post
    m = int((~loops).sum())
    pairs = n * (n - 1)
    place = _distinct(pairs, m, rng)
    # Place p stands for postsynaptic neuron p // (n - 1) and the (p % (n - 1))-th of the others.
    new_post, new_pre = np.divmod(place, max(1, n - 1))
    new_pre += new_pre >= new_post
    new_pre, new_post = new_pre.astype(np.int32), new_post.astype(np.int32)
    kept = still_there(pre[~loops], post[~loops], new_pre, new_post, n)
    drawn = Chemical(
        np.concatenate([new_pre, pre[loops]]),
        np.concatenate([new_post, post[loops]]),
        np.concatenate([rng.permutation(counts[~loops]), counts[loops]]),
    )
    said = {
        "seed": seed,
        "preserves": "number of connections, distribution of synapse counts, sign of each neuron, self-connections, "
        "gap junctions, synapses by region",
        "destroys": "who connects to whom: degrees, reciprocity, motifs, modules, regions",
        "self_connections_kept": int(loops.sum()),
        "kept_connections": kept,
        "kept_share": kept / max(1, m),
        "kept_share_expected": m / max(1, pairs),
    }
    return as_null(connectome, with_chemical(connectome, drawn), "erdos_renyi", said)


def _distinct(among: int, many: int, rng: np.random.Generator) -> Int[np.ndarray, "k"]:
    """`many` different numbers below `among`, ascending, every set with the same chance."""
    if 2 * many > among:
        left_out = np.ones(among, bool)
        left_out[_distinct(among, among - many, rng)] = False
        return np.flatnonzero(left_out)
    drawn = np.zeros(0, np.int64)
    # Repeats are dropped and drawn again, as if they had been drawn one after the other.
    while len(drawn) < many:
        drawn = np.sort(np.concatenate([drawn, rng.integers(among, size=many - len(drawn))]))
        # Not np.unique, whose table of 64-bit numbers is ten times slower than sorting them.
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]
    return drawn


def no_recurrence(connectome: Connectome, *, seed: int = 0) -> Connectome:
    """Remove all connections.

    Preserves neurons, signs and synapses by region: read-out and drive are as before. Destroys all connections, gap
    junctions included: what a fit still explains, it explains without the wiring.

    Parameters
    ----------
    seed
        Taken for the sake of the other nulls; nothing is drawn.

    Returns
    -------
    Connectome
        Without connections (M = 0).
    """
    none = np.zeros(0, np.int32)
    empty = replace(
        connectome, indptr=np.zeros(connectome.n + 1, np.int32), indices=none, counts=none, electrical=none.astype(bool)
    )
    said = {
        "seed": seed,
        "preserves": "neurons, signs, synapses by region",
        "destroys": "all connections",
        "connections_removed": connectome.m,
    }
    return as_null(connectome, empty, "no_recurrence", said)
