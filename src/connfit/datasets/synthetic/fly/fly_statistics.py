"""Statistics of the surrogate's wiring beside those of its real part and the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from connfit.connectome import Connectome
from connfit.datasets.synthetic.fly.fly_places import LABELS, MIDLINE, label_codes, side_codes

_SHIU = "Shiu et al. 2024, doi:10.1038/s41586-024-07763-9"
_LIN = "Lin et al. 2024, doi:10.1038/s41586-024-07968-y"
_DORKENWALD = "Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

LITERATURE: Mapping[str, tuple[float, str]] = {
    "neurons": (138_639, _SHIU),
    "pairs": (15_091_983, _SHIU),
    "pairs_strong": (2_701_601, _LIN),
    "synapses": (54_500_000, _DORKENWALD),
    "reciprocity_strong": (0.138, _LIN),
    "mean_degree_strong": (2_613_129 / 127_978, f"snapshot 630, {_LIN}"),
}
"""Published values of the whole brain and where from; `strong` means 5 synapses or more."""


@dataclass(frozen=True)
class StatisticsRow:
    """One quantity of the table of statistics.

    Parameters
    ----------
    quantity
        In words.
    real, generated, whole, literature
        Values as text; the literature's is of the whole brain, empty where none is known.
    source
        Where the literature's value is from.
    """

    quantity: str
    real: str
    generated: str
    whole: str
    literature: str
    source: str


@dataclass(frozen=True)
class PartStatistics:
    """Statistics of some of the connections; `strong` are those of `threshold` synapses or more.

    Parameters
    ----------
    neurons, pairs, pairs_strong, synapses
        Numbers; neurons are those with connections in the part, and so are degrees.
    reciprocity, reciprocity_strong, reverse_in_whole
        Fraction of connections between different neurons whose reverse is in the part, in its strong connections,
        anywhere.
    mean_degree, mean_degree_strong, out_degree, in_degree
        Means, and quantiles (`QUANTILES`) over neurons that have any.
    within_neuropil, across_midline, from_excitatory
        Fractions of connections.
    synapse_distribution
        Fractions of connections with 1, 2, ..., at least `threshold` synapses.
    self_connections
        Their number.
    """

    neurons: int
    pairs: int
    pairs_strong: int
    synapses: int
    reciprocity: float
    reciprocity_strong: float
    reverse_in_whole: float
    mean_degree: float
    mean_degree_strong: float
    out_degree: tuple[float, ...]
    in_degree: tuple[float, ...]
    within_neuropil: float
    across_midline: float
    from_excitatory: float
    synapse_distribution: tuple[float, ...]
    self_connections: int


@dataclass(frozen=True)
class Agreement:
    """Correlations of log(1 + connections) of the real and the generated part, over neurons and pairs of neuropils."""

    out_degree_correlation: float
    in_degree_correlation: float
    neuropil_pairs_correlation: float


@dataclass(frozen=True, kw_only=True)
class WiringStatistics:
    """Statistics of a surrogate's wiring.

    Parameters
    ----------
    scale, seed, sub_brain
        What the wiring was made from.
    threshold
        Synapses that make a connection strong.
    real, generated, whole, agreement
        Of the parts, and between the first two.
    """

    scale: float = 1.0
    seed: int = 0
    sub_brain: str = ""
    threshold: int
    real: PartStatistics
    generated: PartStatistics
    whole: PartStatistics
    agreement: Agreement


def wiring_statistics(connectome: Connectome, real: Bool[np.ndarray, "M"], *, threshold: int = 5) -> WiringStatistics:
    """Compute statistics of the real part, the generated part and the whole.

    Parameters
    ----------
    connectome
        Wiring whose neuron table has the columns `group` and `side`.
    real
        [M] which connections are real.
    threshold
        Synapses that make a connection strong.
    """
    facts = _facts(connectome)
    strong = connectome.counts >= threshold
    of_real, generated, whole = (
        _of_part(connectome, facts, part, strong, threshold) for part in (real, ~real, np.ones(connectome.m, bool))
    )
    return WiringStatistics(
        threshold=threshold,
        real=of_real,
        generated=generated,
        whole=whole,
        agreement=_agreement(connectome, facts, real),
    )


def statistics_table(statistics: WiringStatistics) -> list[StatisticsRow]:
    """Write the statistics of `wiring_statistics` as rows to print."""
    threshold = statistics.threshold
    named = (
        ("neurons with connections", "neurons"),
        ("connected pairs", "pairs"),
        (f"pairs with >= {threshold} synapses", "pairs_strong"),
        ("synapses", "synapses"),
        ("reciprocity", "reciprocity"),
        (f"reciprocity, >= {threshold} synapses", "reciprocity_strong"),
        ("reverse exists in the whole", "reverse_in_whole"),
        ("mean degree", "mean_degree"),
        (f"mean degree, >= {threshold} synapses", "mean_degree_strong"),
        ("out-degree " + _quantile_names(), "out_degree"),
        ("in-degree " + _quantile_names(), "in_degree"),
        ("pairs within one neuropil", "within_neuropil"),
        ("pairs across the midline", "across_midline"),
        ("pairs from excitatory neurons", "from_excitatory"),
        (f"pairs with 1, 2, ..., >= {threshold} synapses", "synapse_distribution"),
        ("self-connections", "self_connections"),
    )
    rows = []
    for words, key in named:
        published, source = LITERATURE.get(key, (None, ""))
        parts = (statistics.real, statistics.generated, statistics.whole)
        real, generated, whole = (_text(getattr(part, key)) for part in parts)
        literature = "" if published is None else _text(published)
        rows.append(StatisticsRow(words, real, generated, whole, literature, source))
    return rows


@dataclass(frozen=True, eq=False)
class _Facts:
    """Per connection: ends, where its reverse is (-1: nowhere), whether it crosses; per neuron: neuropil codes."""

    post: Int[np.ndarray, "M"]
    reverse: Int[np.ndarray, "M"]
    loop: Bool[np.ndarray, "M"]
    crosses: Bool[np.ndarray, "M"]
    output: Int[np.ndarray, "N"]
    input: Int[np.ndarray, "N"]
    paired: Bool[np.ndarray, "N"]


def _facts(connectome: Connectome) -> _Facts:
    n, pre, post = connectome.n, connectome.indices, connectome.posts
    keys = post.astype(np.int64) * n + pre
    back = pre.astype(np.int64) * n + post
    # Looked up in ascending order, which is many times faster than in the order of the rows.
    rows = sp.csr_array((np.arange(connectome.m, dtype=np.int32), pre, connectome.indptr), shape=(n, n))
    order = np.asarray(rows.tocsc().data, np.int32)
    back = back[order]
    at = np.minimum(np.searchsorted(keys, back), max(0, len(keys) - 1)).astype(np.int32)
    reverse = np.full(connectome.m, -1, np.int32)
    reverse[order] = np.where(keys[at] == back, at, np.int32(-1))
    side = side_codes(connectome.neurons)
    target, output = label_codes(connectome.neurons)
    return _Facts(
        post=post,
        reverse=reverse,
        loop=pre == post,
        crosses=(side[pre] >= 0) & (side[post] >= 0) & (side[pre] != side[post]),
        output=output,
        input=target,
        paired=(output >= 0) & ~MIDLINE[output],
    )


def _of_part(
    connectome: Connectome, facts: _Facts, part: Bool[np.ndarray, "M"], strong: Bool[np.ndarray, "M"], threshold: int
) -> PartStatistics:
    pairs = int(part.sum())
    pre, post, counts = connectome.indices[part], facts.post[part], connectome.counts[part]
    out_degree = np.bincount(pre, minlength=connectome.n)
    in_degree = np.bincount(post, minlength=connectome.n)
    neurons = int(((out_degree > 0) | (in_degree > 0)).sum())
    both = part & strong
    pre_strong, post_strong = connectome.indices[both], facts.post[both]
    neurons_strong = len(np.union1d(pre_strong, post_strong))
    within = (facts.output[pre] >= 0) & (facts.output[pre] == facts.input[post])
    within &= ~(facts.paired[pre] & facts.crosses[part])
    share = max(1, pairs)
    return PartStatistics(
        neurons=neurons,
        pairs=pairs,
        pairs_strong=int(both.sum()),
        synapses=int(counts.sum(dtype=np.int64)),
        reciprocity=_reciprocity(facts, part, part),
        reciprocity_strong=_reciprocity(facts, both, both),
        reverse_in_whole=_reciprocity(facts, part, None),
        mean_degree=pairs / max(1, neurons),
        mean_degree_strong=int(both.sum()) / max(1, neurons_strong),
        out_degree=_quantiles(out_degree),
        in_degree=_quantiles(in_degree),
        within_neuropil=float(within.sum()) / share,
        across_midline=float(facts.crosses[part].sum()) / share,
        from_excitatory=float((connectome.signs[pre] > 0).sum()) / share,
        synapse_distribution=tuple(
            (np.bincount(np.minimum(counts, threshold), minlength=threshold + 1)[1:] / share).tolist()
        ),
        self_connections=int(facts.loop[part].sum()),
    )


def _reciprocity(facts: _Facts, part: Bool[np.ndarray, "M"], among: Bool[np.ndarray, "M"] | None) -> float:
    """Fraction of the part's connections between different neurons whose reverse is in `among` (None: anywhere)."""
    reverse = facts.reverse[part & ~facts.loop]
    if not len(reverse):
        return 0.0
    found = reverse >= 0
    if among is not None:
        found &= among[reverse]
    return float(found.mean())


def _agreement(connectome: Connectome, facts: _Facts, real: Bool[np.ndarray, "M"]) -> Agreement:
    pre, post, n = connectome.indices, facts.post, connectome.n
    first, second = (neuropil_pairs(connectome, part & ~facts.crosses) for part in (real, ~real))
    # Only neuropils that have neurons count; among the others nothing can differ.
    used = np.ix_((first + second).any(axis=1), (first + second).any(axis=0))
    made, received = (
        _correlation(*(np.bincount(end[part], minlength=n) for part in (real, ~real))) for end in (pre, post)
    )
    return Agreement(made, received, _correlation(first[used], second[used]))


def neuropil_pairs(connectome: Connectome, part: Bool[np.ndarray, "M"]) -> Float[np.ndarray, "Q Q"]:
    """Count connections of a part by output neuropil of the origin (rows) and input neuropil of the target."""
    target, output = label_codes(connectome.neurons)
    row, column = output[connectome.indices[part]].astype(np.int64), target[connectome.posts[part]]
    placed = (row >= 0) & (column >= 0)
    size = len(LABELS)
    return np.bincount(row[placed] * size + column[placed], minlength=size * size).reshape(size, size).astype(float)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of log(1 + x), which the few largest do not rule; 0 where either does not vary."""
    logs = np.log1p(first.ravel()), np.log1p(second.ravel())
    varies = first.size and all(np.ptp(log) > 0 for log in logs)
    return float(np.corrcoef(*logs)[0, 1]) if varies else 0.0


def _quantiles(degree: Int[np.ndarray, "N"]) -> tuple[float, ...]:
    present = degree[degree > 0]
    return tuple(np.quantile(present, QUANTILES).tolist()) if len(present) else (0.0,) * len(QUANTILES)


def _quantile_names() -> str:
    return ", ".join("max" if quantile == 1 else f"{quantile:.0%}" for quantile in QUANTILES)


def _text(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(number) for number in value)
    if isinstance(value, float) and not float(value).is_integer():
        return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"
    return f"{int(value):,}"
