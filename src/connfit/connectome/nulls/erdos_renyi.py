"""A null connectome that connects random pairs of neurons."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.nulls import NULLS, Null
from connfit.connectome.nulls.redraw import Chemical, as_null, chemical_of, with_chemical
from connfit.connectome.nulls.swaps import still_there


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


def _why_same(real: Connectome, weights: str) -> str | None:
    chemical = ~real.electrical
    loops = int((real.indices == real.posts)[chemical].sum())
    full = int(chemical.sum()) - loops == real.n * (real.n - 1)
    return "every neuron is connected to every other" if full else None


NULLS.register(
    Null(
        name="erdos_renyi",
        label="Erdős–Rényi graph",
        place=7,
        make=erdos_renyi,
        keeps="number of connections, counts, signs",
        changes="degrees and who is connected to whom",
        why_same=_why_same,
    )
)
