"""Generate the connections of the fly that the file of real ones lacks.

Each generated connection follows a real one, its template: both of its neurons are replaced by others of the same
kind (neuropils, class, side), drawn in proportion to their numbers of real connections. So degrees, neuropils,
cell classes and signs of the generated part are those of the real part.

Strong connections (at the threshold or above) are complete in the file for all pairs within a hemisphere. Those
that are missing belong to neurons that the file lacks, or cross the midline. The former copy a donor, a real neuron of
the same kind. The latter take a real connection as template and put the target into the other hemisphere: in midline
neuropils a partner of the other side is as likely as one of the same side, the paired ones of the central
brain make up the rest, and none cross between optic lobes. Weak connections then take any strong one, real or
generated, as template.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from connfit.datasets.synthetic.fly.fly_draw import (
    Pools,
    codes_of,
    contains,
    decreasing_counts,
    fill,
    kinds,
    reversed_keys,
)
from connfit.datasets.synthetic.fly.fly_places import MIDLINE, OPTIC, label_codes, side_codes
from connfit.errors import ConfigError

SMALLEST_KIND = 40
"""A kind of neuron with fewer members is widened: from neuropils, super-class and class to neuropils, then to one."""

_SIDES = 3
_NO_SIDE = 2
_NOWHERE, _PAIRED, _MIDLINE, _OPTIC = range(4)


@dataclass(frozen=True)
class Totals:
    """Published totals of the whole brain (FlyWire, snapshot 783).

    Parameters
    ----------
    pairs
        Connected pairs. Shiu et al. 2024, doi:10.1038/s41586-024-07763-9.
    strong_pairs
        Pairs with `threshold` synapses or more. Lin et al. 2024, doi:10.1038/s41586-024-07968-y.
    synapses
        Synapses of all pairs. Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y.
    threshold
        Synapses that make a connection strong.
    """

    pairs: int = 15_091_983
    strong_pairs: int = 2_701_601
    synapses: int = 54_500_000
    threshold: int = 5


@dataclass(frozen=True, eq=False)
class Pairs:
    """Connections as sorted keys pre * N + post of the whole brain's N neurons.

    Parameters
    ----------
    keys
        Sorted keys.
    counts
        Synapses of each connection.
    """

    keys: Int[np.ndarray, "K"]
    counts: Int[np.ndarray, "K"]


@dataclass(frozen=True, eq=False)
class Kinds:
    """What makes N neurons alike, and which real neurons stand for those that have no real connections.

    Parameters
    ----------
    output, input
        [N] kind of each neuron as the origin and as the target of a connection.
    side
        [N] 0 left, 1 right, 2 none.
    place_output, place_input
        [N] where outputs and inputs lie: nowhere, paired, midline or optic neuropil (0 to 3).
    donor
        [N] neuron that stands for each neuron, itself if it has real connections.
    known
        [N] whether a neuron has real connections.
    silent
        [N] whether a neuron has none and no neuropil either; it gets weak connections only.
    """

    output: Int[np.ndarray, "N"]
    input: Int[np.ndarray, "N"]
    side: Int[np.ndarray, "N"]
    place_output: Int[np.ndarray, "N"]
    place_input: Int[np.ndarray, "N"]
    donor: Int[np.ndarray, "N"]
    known: Bool[np.ndarray, "N"]
    silent: Bool[np.ndarray, "N"]


def kinds_of(neurons: pd.DataFrame, real: Pairs, rng: np.random.Generator) -> Kinds:
    """Find kinds and donors of all neurons.

    Parameters
    ----------
    neurons
        Table with the columns `group` (`input.output` without hemisphere), `super_class`, `class`, `side`.
    real
        The real connections.
    rng
        Draws donors, and sides for silent neurons without one.
    """
    n = len(neurons)
    pre, post = np.divmod(real.keys, n)
    known = np.zeros(n, bool)
    known[pre] = known[post] = True
    first, last = label_codes(neurons)
    place_output, place_input = _places(last), _places(first)
    silent = ~known & (place_output == _NOWHERE) & (place_input == _NOWHERE)
    table = neurons.assign(_first=first, _last=last, _all=0)
    donor = np.arange(n)
    stands_in = (known & (place_output != _NOWHERE) & (place_input != _NOWHERE)).astype(float)
    by_neuropil = (["group", "super_class"], ["_last", "super_class"])
    for columns in (*by_neuropil, ["super_class", "class"], ["super_class"], ["_all"]):
        waiting = ~known & (donor == np.arange(n))
        # The label of a silent neuron says that it has no neuropil, not where it lies.
        waiting = np.flatnonzero(waiting & ~silent if columns in by_neuropil else waiting)
        codes = codes_of(table, columns)
        pools = Pools.of(codes, stands_in, int(codes.max(initial=0)) + 1)
        found = pools.draw(codes[waiting], rng)
        donor[waiting[found >= 0]] = found[found >= 0]
    # A silent neuron has no kind of its own, so it is taken for one of its donor's kind.
    stands = np.where(silent, donor, np.arange(n))
    alike = table.iloc[stands].reset_index(drop=True)
    fine = [codes_of(alike, ["group", "super_class", "class"]), codes_of(alike, ["group"])]
    side = side_codes(neurons).astype(np.int64)
    side = np.where(side >= 0, side, np.where(silent, rng.integers(2, size=n), _NO_SIDE))
    return Kinds(
        output=kinds([*fine, codes_of(alike, ["_last"])], SMALLEST_KIND),
        input=kinds([*fine, codes_of(alike, ["_first"])], SMALLEST_KIND),
        side=side,
        place_output=place_output,
        place_input=place_input,
        donor=donor,
        known=known,
        silent=silent,
    )


def missing_strong(real: Pairs, kinds: Kinds, totals: Totals, rng: np.random.Generator) -> tuple[Pairs, dict[str, int]]:
    """Generate the strong connections that the whole brain lacks.

    Parameters
    ----------
    real
        Connections of `totals.threshold` synapses or more.
    kinds
        Kinds of the neurons.
    totals
        What the whole brain has.
    rng
        Source of randomness.

    Returns
    -------
    made
        The generated connections. As large a fraction of them has a reverse as of the real ones; their
        synapses are drawn from those of the real ones.
    numbers
        How many follow from which rule.

    Raises
    ------
    ConfigError
        If there are more real connections than the total, or nowhere to put the missing ones.
    """
    n = len(kinds.side)
    quota = totals.strong_pairs - len(real.keys)
    if quota < 0:
        raise ConfigError(f"there are {len(real.keys)} real connections, the total is {totals.strong_pairs}")
    pre, post = np.divmod(real.keys, n)
    tends = contains(real.keys, reversed_keys(real.keys, n))
    eligible = ~kinds.silent
    outputs = np.bincount(pre, minlength=n)[kinds.donor] + 1.0
    inputs = np.bincount(post, minlength=n)[kinds.donor] + 1.0
    out_pools = _pools(kinds.output, kinds.side, outputs * eligible)
    in_pools = _pools(kinds.input, kinds.side, inputs * eligible)

    absent = np.unique(_like_donors(real, kinds, ~kinds.known & ~kinds.silent, out_pools, in_pools, rng)[1])
    if len(absent) > quota:
        absent = np.sort(rng.choice(absent, quota, replace=False))
    midline, central = _crossing_templates(kinds, pre, post)
    crossing = quota - len(absent)
    from_midline = min(len(midline), crossing) if len(central) else crossing
    if crossing and not (len(midline) or len(central)):
        raise ConfigError("no real connection can be mirrored across the midline")

    def draw(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        in_midline = rng.random(number) * crossing < from_midline
        template = np.empty(number, np.int64)
        for chosen, templates in ((in_midline, midline), (~in_midline, central)):
            template[chosen] = templates[rng.integers(max(1, len(templates)), size=int(chosen.sum()))]
        origin, other = pre[template], post[template]
        return (
            out_pools.draw(kinds.output[origin] * _SIDES + kinds.side[origin], rng),
            in_pools.draw(kinds.input[other] * _SIDES + _opposite(kinds.side[origin]), rng),
            tends[template],
        )

    keys = fill(draw, quota, real.keys, n, reciprocity_of(real.keys, n), rng, start=absent)
    counts = rng.choice(real.counts, quota) if quota else np.zeros(0, np.int32)
    numbers = {
        "of_neurons_without_real_connections": len(absent),
        "across_the_midline": crossing,
        "across_the_midline_in_midline_neuropils": from_midline,
        "templates_in_midline_neuropils": len(midline),
        "templates_in_paired_neuropils": len(central),
    }
    return Pairs(keys, counts.astype(np.int32)), numbers


def missing_weak(
    strong: Pairs,
    kinds: Kinds,
    totals: Totals,
    self_connections: float,
    keep: Bool[np.ndarray, "N"],
    rng: np.random.Generator,
) -> Pairs:
    """Generate the connections below the threshold between the neurons `keep`.

    Parameters
    ----------
    strong
        All strong connections of the whole brain.
    kinds
        Kinds of the neurons.
    totals
        What the whole brain has. A sub-brain gets weak connections and synapses in proportion to its strong
        connections, which is what the whole brain's templates put there.
    self_connections
        Fraction of connections from a neuron to itself.
    keep
        [N] neurons of the sub-brain.
    rng
        Source of randomness.

    Raises
    ------
    ConfigError
        If the totals leave less than one or more than `threshold` - 1 synapses per weak connection.
    """
    n = len(keep)
    pre, post = np.divmod(strong.keys, n)
    outputs, inputs = np.bincount(pre, minlength=n) + 1.0, np.bincount(post, minlength=n) + 1.0
    inside = keep[pre] & keep[post]
    fixed, pre, post = strong.keys[inside], pre[inside].astype(np.int32), post[inside].astype(np.int32)
    share = len(fixed) / max(1, len(strong.keys))
    quota = round((totals.pairs - totals.strong_pairs) * share)
    synapses = round((totals.synapses - int(strong.counts.sum(dtype=np.int64))) * share)
    tends = contains(fixed, reversed_keys(fixed, n))
    out_pools, in_pools = (
        _pools(kinds.output, kinds.side, outputs * keep),
        _pools(kinds.input, kinds.side, inputs * keep),
    )
    out_pool = (kinds.output * _SIDES + kinds.side).astype(np.int32)
    in_pool = (kinds.input * _SIDES + kinds.side).astype(np.int32)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        template = rng.integers(max(1, len(fixed)), size=number)
        return (
            out_pools.draw(out_pool[pre[template]], rng),
            in_pools.draw(in_pool[post[template]], rng),
            tends[template],
        )

    loops = _loops(fixed, (outputs + inputs) * keep, round(quota * self_connections), rng)
    whose, likely = _like_donors(strong, kinds, kinds.silent & keep, out_pools, in_pools, rng)
    shuffled = rng.permutation(len(whose))
    # One connection each, so that chance leaves no neuron without any.
    first = likely[shuffled[np.unique(whose[shuffled], return_index=True)[1]]]
    start = np.union1d(loops, first)
    keys = fill(draw, quota, fixed, n, reciprocity_of(fixed, n), rng, start=start)
    numbers = decreasing_counts(quota, synapses, totals.threshold - 1)
    counts = np.repeat(np.arange(1, totals.threshold, dtype=np.int8), numbers)
    rng.shuffle(counts)
    return Pairs(keys, counts)


def reciprocity_of(keys: Int[np.ndarray, "K"], n: int) -> float:
    """Compute the fraction of connections between different neurons whose reverse exists."""
    pre, post = np.divmod(keys, n)
    between = pre != post
    return float(contains(keys, (post * n + pre)[between]).mean()) if between.any() else 0.0


def _places(labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    of_label = np.select([OPTIC, MIDLINE], [_OPTIC, _MIDLINE], _PAIRED)
    return np.append(of_label, _NOWHERE)[labels]


def _pools(kind: Int[np.ndarray, "N"], side: Int[np.ndarray, "N"], weights: Float[np.ndarray, "N"]) -> Pools:
    return Pools.of(kind * _SIDES + side, weights, (int(kind.max(initial=0)) + 1) * _SIDES)


def _opposite(side: Int[np.ndarray, "K"]) -> Int[np.ndarray, "K"]:
    return np.where(side == _NO_SIDE, _NO_SIDE, 1 - side)


def _crossing_templates(
    kinds: Kinds, pre: Int[np.ndarray, "M"], post: Int[np.ndarray, "M"]
) -> tuple[Int[np.ndarray, "A"], Int[np.ndarray, "B"]]:
    """Real connections within midline neuropils, and others that may cross: all but those within optic lobes."""
    origin, target = kinds.place_output[pre], kinds.place_input[post]
    placed = (origin != _NOWHERE) & (target != _NOWHERE)
    midline = (origin == _MIDLINE) & (target == _MIDLINE)
    optic = (origin == _OPTIC) & (target == _OPTIC)
    return np.flatnonzero(midline), np.flatnonzero(placed & ~midline & ~optic)


def _like_donors(
    pairs: Pairs,
    kinds: Kinds,
    wanted: Bool[np.ndarray, "N"],
    out_pools: Pools,
    in_pools: Pools,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "K"]]:
    """Connections of the wanted neurons to partners of the kinds that their donors have: whose they are, and keys."""
    n = len(kinds.side)
    pre, post = np.divmod(pairs.keys, n)
    members = np.flatnonzero(wanted)
    donors = kinds.donor[members]
    owners, keys = [], []
    for end, other, kind, pools in ((pre, post, kinds.input, in_pools), (post, pre, kinds.output, out_pools)):
        order = np.argsort(end, kind="stable")
        starts = np.searchsorted(end[order], np.arange(n + 1))
        lengths = starts[donors + 1] - starts[donors]
        whose = np.repeat(members, lengths)
        within = np.arange(len(whose)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        template = other[order[np.repeat(starts[donors], lengths) + within]]
        # A neuron without a side connects to both.
        side = np.where(kinds.side[whose] == _NO_SIDE, rng.integers(2, size=len(whose)), kinds.side[whose])
        partner = pools.draw(kind[template] * _SIDES + side, rng).astype(np.int64)
        valid = (partner >= 0) & (partner != whose)
        whose, partner = whose[valid], partner[valid]
        owners.append(whose)
        keys.append(whose * n + partner if end is pre else partner * n + whose)
    return np.concatenate(owners), np.concatenate(keys)


def _loops(
    fixed: Int[np.ndarray, "F"], weights: Float[np.ndarray, "N"], number: int, rng: np.random.Generator
) -> Int[np.ndarray, "L"]:
    """Keys of new self-connections, of neurons drawn in proportion to `weights`."""
    n = len(weights)
    own = np.arange(n, dtype=np.int64) * (n + 1)
    free = weights * ~contains(fixed, own)
    number = min(number, int((free > 0).sum()))
    if not number:
        return np.zeros(0, np.int64)
    return np.sort(own[rng.choice(n, number, replace=False, p=free / free.sum())])
