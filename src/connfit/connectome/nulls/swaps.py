"""Random wiring with given degrees: a Markov chain of edge swaps, many of them at once.

A swap turns the connections a → b and c → d into a → d and c → b (Maslov & Sneppen 2002), which leaves the
number of inputs and of outputs of every neuron as it is. One round pairs connections at random and
tries to swap every pair. A pair is left alone if any of its four connections (the two that it has, the two
that it would have) is a self-connection or occurs anywhere else: among all connections, or among what the
other pairs would have. None of these four changes when the pair swaps, so that the pairs which swap
in a round are exactly those which the same round would swap back: the chain is symmetric, and what it
converges to is the uniform distribution over all the wirings that it can reach, without any repair.

It reaches all of them but for special cases (a directed ring of three neurons cannot be turned around by swaps
of two connections, Rao et al. 1996), and it has forgotten its start after about ten swaps per
connection (Milo et al. 2003): the share of the original connections that are still there is then the same
half way as at the end, and about what chance would leave.

References
----------
Maslov & Sneppen 2002, Science 296:910, doi 10.1126/science.1065103. Milo, Kashtan, Itzkovitz, Newman &
Alon 2003, arXiv cond-mat/0312028. Rao, Jana & Bandyopadhyay 1996, Sankhyā A 58:225.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

SWAPS = 10
"""Mean number of swaps per connection."""

TRIES = 100
"""Mean number of times that a connection is tried, at most: dense wiring leaves few swaps that are possible."""

STAY = 1 / 8
"""Share of the possible swaps that are left out, for a chain of two connections that always swaps never settles."""

_TABLE_BITS = 24


@dataclass(frozen=True, eq=False)
class Rewired:
    """Connections after a chain of swaps.

    Attributes
    ----------
    post
        [M] postsynaptic neuron of each connection; the presynaptic ones stay.
    half_way
        The same after half of the rounds.
    swaps
        Mean number of swaps that a connection took part in.
    rounds
        Rounds that were run.
    """

    post: Int[np.ndarray, "M"]
    half_way: Int[np.ndarray, "M"]
    swaps: float
    rounds: int


def rewired(
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    neurons: int,
    rng: np.random.Generator,
    *,
    group: Int[np.ndarray, "M"] | None = None,
    swaps: float = SWAPS,
    tries: float = TRIES,
) -> Rewired:
    """Swap the postsynaptic ends of connections at random.

    Parameters
    ----------
    pre, post
        [M] ends of the connections, below `neurons`; no pair repeats and no neuron connects to itself.
    rng
        Where randomness comes from.
    group
        [M] only connections of the same group swap; None: any two do.
    swaps
        Mean number of swaps that connections are to take part in.
    tries
        Mean number of times that a connection is tried, at most.

    Returns
    -------
    Rewired
        Time and memory: per round one sort of 2 M keys of 8 bytes.
    """
    m = len(pre)
    post = np.array(post, np.int32)
    # With more pairs at once than this, in dense wiring they would mostly be in each other's way.
    pairs = min(m // 2, max(1, neurons * (neurons - 1) // 8))
    order = np.arange(m, dtype=np.int32)

    def swap_round() -> int:
        rng.shuffle(order)
        first, second = _pairs(order[: 2 * pairs], group, rng)
        possible = _possible(pre, post, neurons, first, second)
        possible &= rng.random(len(first), np.float32) >= STAY
        first, second = first[possible], second[possible]
        post[first], post[second] = post[second], post[first]
        return len(first)

    # To stop at a swap would favour wirings that many swaps lead to: the swaps of the first half tell how many
    # rounds are needed, and the second half has as many, whatever happens in it.
    swapped = rounds = 0
    while pairs and 4 * swapped < swaps * m and 4 * rounds * pairs < tries * m:
        swapped, rounds = swapped + swap_round(), rounds + 1
    half_way = post.copy()
    swapped += sum(swap_round() for _ in range(rounds))
    return Rewired(post, half_way, 2 * swapped / max(1, m), 2 * rounds)


def _pairs(
    order: Int[np.ndarray, "2h"], group: Int[np.ndarray, "M"] | None, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "p"], Int[np.ndarray, "p"]]:
    """Disjoint pairs of randomly ordered connections, of the same group."""
    if group is None:
        half = len(order) // 2
        return order[:half], order[half:]
    order = order[np.argsort(group[order], kind="stable")]
    # Neighbours from a random start, so that a group of two is paired wherever it lies.
    order = order[rng.integers(2) :]
    first, second = order[: len(order) // 2 * 2 : 2], order[1::2]
    same = group[first] == group[second]
    return first[same], second[same]


def _possible(
    pre: Int[np.ndarray, "M"],
    post: Int[np.ndarray, "M"],
    neurons: int,
    first: Int[np.ndarray, "p"],
    second: Int[np.ndarray, "p"],
) -> Bool[np.ndarray, "p"]:
    """Which pairs can swap: none of their four connections loops or occurs twice in the round."""
    m, p = len(pre), len(first)
    keys = np.empty(m + 2 * p, np.int64)
    np.multiply(post, neurons, out=keys[:m], dtype=np.int64)
    keys[:m] += pre
    for part, source, target in ((keys[m : m + p], first, second), (keys[m + p :], second, first)):
        np.multiply(post[target], neurons, out=part, dtype=np.int64)
        part += pre[source]
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    several = _among(keys, repeated)
    possible = (pre[first] != post[second]) & (pre[second] != post[first])
    possible &= ~(several[m : m + p] | several[m + p :])
    return possible & ~(several[first] | several[second])


def _among(keys: Int[np.ndarray, "k"], few: Int[np.ndarray, "f"]) -> Bool[np.ndarray, "k"]:
    """Which keys are among a few, which are sorted."""
    found = np.zeros(len(keys), bool)
    if not len(few):
        return found
    # A table of the lowest bits leaves few keys to search for, and is read much faster than searching.
    table = np.zeros(1 << min(_TABLE_BITS, len(keys).bit_length()), bool)
    mask = len(table) - 1
    table[few & mask] = True
    suspects = np.flatnonzero(table[keys & mask])
    at = np.minimum(np.searchsorted(few, keys[suspects]), len(few) - 1)
    found[suspects] = few[at] == keys[suspects]
    return found


def still_there(pre: np.ndarray, post: np.ndarray, new_pre: np.ndarray, new_post: np.ndarray, neurons: int) -> int:
    """Count the connections of one wiring that are in the other."""
    old = post.astype(np.int64) * neurons + pre
    new = new_post.astype(np.int64) * neurons + new_pre
    return len(np.intersect1d(old, new, assume_unique=True))


def expected_share(
    out_class: Int[np.ndarray, "M"], in_class: Int[np.ndarray, "M"], group: Int[np.ndarray, "M"] | None
) -> float:
    """Estimate the share of the connections that random wiring with the same degrees has in common with this one.

    Σ k_out k_in / (m + k_out k_in) over connections, divided by M, with m the connections of the group. It comes out
    too low, by up to a third, where hubs are connected to most of the neurons that they could be.

    Parameters
    ----------
    out_class, in_class
        [M] numbers, equal for connections of one group that share the presynaptic (postsynaptic) neuron.
    group
        [M] group of each connection; None: one.
    """
    if not len(out_class):
        return 0.0
    products = np.bincount(out_class).astype(np.float64)[out_class]
    products *= np.bincount(in_class)[in_class]
    size = len(out_class) if group is None else np.bincount(group)[group]
    return float((products / (size + products)).mean())
