"""Fitted weights: their distribution, and what they keep of the synapse counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.parameters.distribution import Distribution, distribution
from connfit.analysis.parameters.groups import default_columns, named_groups
from connfit.analysis.parameters.rank_correlation import ROWS, GroupCorrelations, RankCorrelation
from connfit.analysis.parameters.weight_comparison import WeightComparison, compare_weights, pearson
from connfit.analysis.result import Result
from connfit.connectome import Connectome
from connfit.errors import ConfigError

BIN_RATIO = 1.25
"""Ratio between the edges of synapse-count bins, where these are wider than one count."""


@dataclass(frozen=True)
class CountBins(Result):
    """Fitted weight against synapse count, averaged over all connections of about the same count.

    Averaging removes whatever single connections do: a correlation near 1 of these means goes together with a
    rank correlation near 0 of the connections themselves, which is why both are reported.

    Parameters
    ----------
    correlation, log_correlation
        Pearson correlation of mean weight and mean count over the bins, and of their logarithms for the bins whose
        mean weight is above 0; None for fewer than three.
    low, high
        Smallest and largest count of each bin.
    connections
        Connections in it.
    mean_count, mean_weight
        Their mean count and mean weight.
    """

    correlation: float | None = None
    log_correlation: float | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    connections: tuple[int, ...] = ()
    mean_count: tuple[float, ...] = ()
    mean_weight: tuple[float, ...] = ()


def by_count(
    counts: Int[np.ndarray, "M"] | Float[np.ndarray, "M"], weights: Float[np.ndarray, "M"], *, minimum: int = 20
) -> CountBins:
    """Average weights in bins of synapse counts: one bin per count at first, then bins that widen by `BIN_RATIO`.

    Real-valued sizes have bins that widen by `BIN_RATIO` from the smallest on.

    Parameters
    ----------
    minimum
        A bin with fewer connections is joined with the bins above it, the last one with the one below.
    """
    counts = np.asarray(counts)
    if not len(counts):
        return CountBins()
    whole = counts.dtype.kind != "f"
    edges = _edges(counts.min(), counts.max(), whole)
    sizes, times, weighed = counts, np.ones(len(counts), np.int64), weights
    if whole:
        # Of millions of connections few counts differ.
        sizes, times, weighed = np.arange(counts.max() + 1), np.bincount(counts), np.bincount(counts, weights)
    of = np.maximum(np.searchsorted(edges, sizes, side="right") - 1, 0)
    numbers = np.bincount(of, times, len(edges) - 1).astype(np.int64)
    starts = _joined(numbers, max(minimum, 1))
    bounds = edges[[*starts, len(edges) - 1]]
    counted, weighed = np.bincount(of, times * sizes, len(numbers)), np.bincount(of, weighed, len(numbers))
    numbers, counted, weighed = (np.add.reduceat(each, starts) for each in (numbers, counted, weighed))
    count, weight = counted / numbers, weighed / numbers
    there = weight > 0
    return CountBins(
        correlation=pearson(count, weight),
        log_correlation=pearson(np.log(count[there]), np.log(weight[there])),
        low=tuple(bounds[:-1].tolist()),
        # Between two counts there is no other.
        high=(*(bounds[1:-1] - whole).tolist(), counts.max().item()),
        connections=tuple(numbers),
        mean_count=tuple(count),
        mean_weight=tuple(weight),
    )


def _edges(smallest: float, largest: float, whole: bool) -> Float[np.ndarray, "e"]:
    """Edges of bins that widen by `BIN_RATIO`, from the smallest size to beyond the largest; whole ones for counts."""
    edges = [min(1, int(smallest)) if whole else float(smallest)]
    while edges[-1] <= largest:
        wider = edges[-1] * BIN_RATIO
        edges.append(max(edges[-1] + 1, round(wider)) if whole else wider)
    return np.array(edges)


def _joined(numbers: Int[np.ndarray, "e"], minimum: int) -> list[int]:
    """First of the bins that are joined so that each holds enough; what is left above is joined with the one below."""
    starts, held = [0], 0
    for position, more in enumerate(numbers):
        if held >= minimum:
            starts.append(position)
            held = 0
        held += int(more)
    if held < minimum and len(starts) > 1:
        starts.pop()
    return starts


@dataclass(frozen=True)
class CountCorrelations(Result):
    """Spearman's correlation of weights with synapse counts, connection by connection.

    Parameters
    ----------
    after, before, change
        Of the fitted magnitudes, of those that the fit started from, and of the difference; None without a start.
        A start proportional to counts has 1 itself.
    by_group
        The first of them within groups of connections.
    """

    after: float | None = None
    before: float | None = None
    change: float | None = None
    by_group: tuple[GroupCorrelations, ...] = ()


@dataclass(frozen=True)
class WeightStatistics(Result):
    """What a fit did to the weights of the chemical connections.

    Parameters
    ----------
    counts, before, after
        Distributions of synapse counts and of the magnitudes before (None if not given) and after the fit.
    by_count
        Mean fitted weight by synapse count.
    rank_correlation_with_counts
        Connection by connection.
    change_from_start
        How far the fitted weights are from their start (`compare_weights`); None without a start.
    electrical_left_out
        Gap junctions: their counts are of another kind.
    size_word
        What counts are: synapse counts, or weights of the source.
    """

    counts: Distribution = field(default_factory=Distribution)
    before: Distribution | None = None
    after: Distribution = field(default_factory=Distribution)
    by_count: CountBins = field(default_factory=CountBins)
    rank_correlation_with_counts: CountCorrelations = field(default_factory=CountCorrelations)
    change_from_start: WeightComparison | None = None
    electrical_left_out: int = 0
    size_word: str = "synapse count"


def weight_statistics(
    connectome: Connectome,
    after: Float[np.ndarray, "M"],
    *,
    before: Float[np.ndarray, "M"] | None = None,
    columns: Sequence[str] | None = None,
    minimum: int = 30,
    rows: int = ROWS,
) -> WeightStatistics:
    """Describe fitted magnitudes beside the synapse counts and the start of the fit.

    That a histogram of fitted weights resembles one of synapse counts says nothing about single connections, and
    neither do means over bins; the rank correlations do.

    Parameters
    ----------
    connectome
        The wiring that was fitted.
    after, before
        [M] magnitudes of all connections after and before the fit, in the model's units.
    columns
        Columns of the neuron table by which presynaptic neurons are grouped; default those of `CLASS_COLUMNS`
        that are there and name more than one.
    minimum
        Groups with fewer connections are counted but not listed.
    rows
        Groups of each kind that are listed, the largest.

    Raises
    ------
    ConfigError
        If a shape is wrong, a weight is not finite, or a column does not exist.
    """
    after = _of_connections(connectome, "after", after)
    chemical = _chemical(connectome)
    start = None if before is None else _of_connections(connectome, "before", before)[chemical]
    counts, after, pre = connectome.counts[chemical], after[chemical], connectome.indices[chemical]
    table = connectome.neurons
    grouping = {column: named_groups(table, column) for column in columns or default_columns(table)}
    region, region_names = named_groups(table, "region")
    # Not all at once: a sorted order of fifteen million connections takes 60 MB, ranks 120 MB.
    by_start = by_change = None
    if start is not None:
        by_start = RankCorrelation(start, counts).overall()
        by_change = RankCorrelation(after - start, counts).overall()
    ranks = RankCorrelation(after, counts)
    groups = [(codes[pre], names, f"presynaptic {column}") for column, (codes, names) in grouping.items()]
    if region_names:
        groups.append((*_pairs(region[connectome.posts[chemical]], region[pre], region_names), "pair of regions"))
    by_group = tuple(
        ranks.by_group(codes, names, grouped_by=what, minimum=minimum, rows=rows) for codes, names, what in groups
    )
    overall = ranks.overall()
    del ranks
    return WeightStatistics(
        counts=distribution(counts),
        before=None if start is None else distribution(start),
        after=distribution(after),
        by_count=by_count(counts, np.abs(after)),
        rank_correlation_with_counts=CountCorrelations(overall, by_start, by_change, by_group),
        change_from_start=None if start is None else compare_weights(start, after),
        electrical_left_out=int(connectome.electrical.sum()),
        size_word=connectome.size_word,
    )


def positive_magnitudes(connectome: Connectome, weights: Float[np.ndarray, "M"]) -> Float[np.ndarray, "m"]:
    """Return the magnitudes above 0 of the chemical connections, for fits of the tail of their distribution."""
    magnitudes = np.abs(_of_connections(connectome, "weights", weights)[_chemical(connectome)])
    return magnitudes[magnitudes > 0]


def _of_connections(connectome: Connectome, name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (connectome.m,):
        raise ConfigError(f"{name} has shape {values.shape}, but the connectome has {connectome.m} connections")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} is not finite at connection {int(np.flatnonzero(~np.isfinite(values))[0])}")
    return values


def _chemical(connectome: Connectome) -> slice | np.ndarray:
    return np.flatnonzero(~connectome.electrical) if connectome.electrical.any() else slice(None)


def _pairs(post: np.ndarray, pre: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    pair = np.where((post < 0) | (pre < 0), -1, pre * len(names) + post)
    return pair, [f"{first} → {second}" for first in names for second in names]
