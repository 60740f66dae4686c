"""Draw connections that follow given ones: the same kinds of neurons, degrees, places and reciprocity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from connfit.errors import ConfigError

NO_PARTNER = -1
"""Drawn from an empty pool."""

Draw: TypeAlias = "Callable[[int], tuple[Int[np.ndarray, 'K'], Int[np.ndarray, 'K'], Bool[np.ndarray, 'K']]]"
"""Number K -> presynaptic neurons, postsynaptic neurons, whether such connections tend to have a reverse."""

_ROUNDS = 1000
_BATCH = 4_000_000


@dataclass(frozen=True)
class Pools:
    """Groups of neurons to draw from, each neuron in proportion to its weight within its pool.

    Parameters
    ----------
    neurons
        Members, pool after pool.
    cumulated
        Weights cumulated over `neurons`, in the same order, after a leading 0.
    starts
        `neurons[starts[p]:starts[p + 1]]` are the members of pool p.
    """

    neurons: Int[np.ndarray, "K"]
    cumulated: Float[np.ndarray, "K+1"]
    starts: Int[np.ndarray, "Q+1"]

    @classmethod
    def of(cls, pool: Int[np.ndarray, "N"], weights: Float[np.ndarray, "N"], pools: int) -> Pools:
        """Make pools from the pool of each neuron; neurons with weight 0 are never drawn."""
        members = np.flatnonzero(weights > 0)
        members = members[np.argsort(pool[members], kind="stable")]
        starts = np.searchsorted(pool[members], np.arange(pools + 1))
        return cls(members.astype(np.int32), np.concatenate([[0.0], np.cumsum(weights[members])]), starts)

    def draw(self, pool: Int[np.ndarray, "K"], rng: np.random.Generator) -> Int[np.ndarray, "K"]:
        """Draw one neuron from each of the given pools, `NO_PARTNER` where a pool is empty."""
        low, high = self.cumulated[self.starts[pool]], self.cumulated[self.starts[pool + 1]]
        at = np.searchsorted(self.cumulated, low + rng.random(len(pool)) * (high - low), side="right") - 1
        # Rounding may carry a draw past the last member of its pool.
        at = np.clip(at, self.starts[pool], np.maximum(self.starts[pool + 1] - 1, 0))
        drawn = self.neurons[np.minimum(at, len(self.neurons) - 1)] if len(self.neurons) else np.zeros_like(at)
        return np.where(high > low, drawn, NO_PARTNER).astype(np.int32)


def kinds(levels: Sequence[Int[np.ndarray, "N"]], smallest: int) -> Int[np.ndarray, "N"]:
    """Find the kind of each neuron at the finest level where the kind has enough members.

    Parameters
    ----------
    levels
        Codes of the N neurons, the finest level first; the last is used whatever its size.
    smallest
        Members that a kind must have.

    Returns
    -------
    [N] codes 0, 1, ... without gaps.
    """
    chosen = np.full(len(levels[0]), -1, np.int64)
    offset = 0
    for k, codes in enumerate(levels):
        enough = np.bincount(codes)[codes] >= smallest
        here = (chosen < 0) & (enough | (k == len(levels) - 1))
        chosen[here] = codes[here] + offset
        offset += int(codes.max(initial=0)) + 1
    return np.unique(chosen, return_inverse=True)[1]


def codes_of(neurons: pd.DataFrame, columns: Sequence[str]) -> Int[np.ndarray, "N"]:
    """Number the combinations of the given columns: [N], one for each neuron."""
    return neurons.groupby(list(columns), sort=True).ngroup().to_numpy(np.int64)


def contains(sorted_keys: Int[np.ndarray, "K"], keys: Int[np.ndarray, "L"]) -> Bool[np.ndarray, "L"]:
    """Find which of `keys` are among `sorted_keys`; fast where `keys` are nearly sorted."""
    if not len(sorted_keys):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return sorted_keys[at] == keys


def reversed_keys(keys: Int[np.ndarray, "K"], n: int) -> Int[np.ndarray, "K"]:
    """Turn keys pre * n + post into post * n + pre."""
    pre, post = np.divmod(keys, n)
    return post * n + pre


def fill(
    draw: Draw,
    quota: int,
    fixed: Int[np.ndarray, "F"],
    n: int,
    reciprocity: float,
    rng: np.random.Generator,
    start: Int[np.ndarray, "K"] | None = None,
) -> Int[np.ndarray, "quota"]:
    """Draw distinct connections between different neurons until there are `quota` of them.

    Chance alone gives some connections a reverse. What is missing to the wanted reciprocity is made up by reverses
    of drawn ones, of those first whose like tend to have one.

    Parameters
    ----------
    draw
        Where connections come from.
    quota
        Number of connections to make.
    fixed
        Sorted keys pre * n + post of the connections that exist.
    n
        Number of neurons.
    reciprocity
        Wanted fraction of the new connections whose reverse exists among the fixed and the new ones. It is exceeded
        where chance alone does.
    rng
        Source of randomness.
    start
        Keys of connections to begin with, distinct and not in `fixed`; they count towards the quota.

    Returns
    -------
    [quota] sorted keys of the new connections.

    Raises
    ------
    ConfigError
        If there is no room for so many connections.
    """
    # The lowest bit says whether such connections tend to have a reverse; it travels with the key through sorting.
    new = np.sort((start if start is not None else np.zeros(0, np.int64)) * 2)[:quota]
    mutual = _mutual(new >> 1, np.zeros(0, np.int64), fixed, n)
    yielded = 1.0
    for _ in range(_ROUNDS):
        room = quota - len(new)
        if not room:
            return new >> 1
        wanted = min(room, max(0, round((reciprocity * quota - mutual) / 2)))
        if wanted < room:
            tries = min(_BATCH, int((room - wanted) / max(yielded, 0.02) * 1.02) + 64)
            pre, post, tends = draw(tries)
            valid = (pre != post) & (pre >= 0) & (post >= 0)
            packed = np.sort((pre[valid].astype(np.int64) * n + post[valid]) * 2 + tends[valid])
            packed = packed[np.diff(packed >> 1, prepend=-1) > 0]
            packed = packed[~contains(fixed, packed >> 1) & ~contains(new >> 1, packed >> 1)]
            yielded = len(packed) / tries
            packed = _some(packed, room - wanted, rng)
        else:
            packed = _reverses(new, fixed, room, n, rng)
        mutual += _mutual(packed >> 1, new >> 1, fixed, n)
        new = np.sort(np.concatenate([new, packed]), kind="stable")
    raise ConfigError(f"there is room for {len(new)} of {quota} connections between {n} neurons")


def _mutual(added: Int[np.ndarray, "K"], new: Int[np.ndarray, "L"], fixed: Int[np.ndarray, "F"], n: int) -> int:
    """How many more of the new connections have a reverse once `added` join them."""
    back = np.sort(reversed_keys(added, n))
    return int(contains(fixed, back).sum() + 2 * contains(new, back).sum() + contains(added, back).sum())


def _reverses(
    new: Int[np.ndarray, "K"], fixed: Int[np.ndarray, "F"], number: int, n: int, rng: np.random.Generator
) -> Int[np.ndarray, "R"]:
    """Packed reverses of some of the packed connections `new` that have none, of those that tend to have one first."""
    back = np.sort(reversed_keys(new >> 1, n) * 2 + (new & 1))
    back = back[~contains(fixed, back >> 1) & ~contains(new >> 1, back >> 1)]
    first = _some(back[(back & 1) == 1], number, rng)
    rest = _some(back[(back & 1) == 0], number - len(first), rng)
    return np.sort(np.concatenate([first, rest]))


def _some(values: Int[np.ndarray, "K"], number: int, rng: np.random.Generator) -> Int[np.ndarray, "R"]:
    """At most `number` of the sorted values, chosen at random, in order."""
    surplus = len(values) - number
    if surplus <= 0:
        return values
    kept = np.ones(len(values), bool)
    kept[rng.choice(len(values), surplus, replace=False, shuffle=False)] = False
    return values[kept]


def decreasing_counts(pairs: int, total: int, largest: int) -> Int[np.ndarray, "largest"]:
    """Compute how many of `pairs` have 1, 2, ... synapses: a truncated geometric law with a given total.

    Parameters
    ----------
    pairs
        Number of connections.
    total
        Sum of their synapses; the law decreases if it is below `pairs` (1 + `largest`) / 2.
    largest
        Most synapses of a connection.

    Returns
    -------
    [largest] numbers of connections with 1 to `largest` synapses, whose sum is `pairs` and whose synapses sum
    to `total`.

    Raises
    ------
    ConfigError
        If no such law exists.
    """
    if not pairs <= total <= pairs * largest:
        raise ConfigError(f"{pairs} connections of 1 to {largest} synapses cannot have {total} synapses")
    from scipy.optimize import brentq

    k = np.arange(1, largest + 1)

    def law(slope: float) -> Float[np.ndarray, "largest"]:
        weights = np.exp(-slope * (k - (1 if slope > 0 else largest)))
        return weights / weights.sum()

    mean = total / max(pairs, 1)
    inside = 1 + 1e-9 < mean < largest - 1e-9
    slope = float(brentq(lambda x: float(law(x) @ k) - mean, -60, 60)) if inside else 60.0 * (mean < largest)  # type: ignore[arg-type]
    numbers = np.floor(law(slope) * pairs).astype(np.int64)
    numbers[0] += pairs - numbers.sum()
    # What rounding left over: moving a connection up or down by one synapse changes the total by one.
    while left := total - int(numbers @ k):
        step = 1 if left > 0 else -1
        movable = np.flatnonzero(numbers[:-1] if step > 0 else numbers[1:]) + (0 if step > 0 else 1)
        at = movable[np.argmax(numbers[movable])]
        moved = min(abs(left), max(1, int(numbers[at]) // 2))
        numbers[at] -= moved
        numbers[at + step] += moved
    return numbers
