"""Fitted connection strengths: their distribution, and what they keep of the synapse counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.parameters.distribution import Distribution, distribution
from connfit.analysis.parameters.groups import default_columns, named_groups
from connfit.analysis.parameters.rank_correlation import ROWS, GroupCorrelations, RankCorrelation
from connfit.analysis.parameters.weight_comparison import WeightComparison, compare_weights, pearson
from connfit.analysis.plain import finite
from connfit.analysis.record import Result
from connfit.connectome import Connectome
from connfit.errors import ConfigError

BIN_RATIO = 1.25
"""Ratio between the edges of synapse-count bins, where these are wider than one count."""


@dataclass(frozen=True, eq=False)
class CountBins(Result):
    """Fitted weight against synapse count, averaged over all connections of about the same count.

    Averaging removes whatever single connections do: a correlation near 1 of these means goes together with a
    rank correlation near 0 of the connections themselves, which is why both are reported.

    Parameters
    ----------
    low, high
        [b] smallest and largest count of each bin.
    connections
        [b] connections in it.
    mean_count, mean_weight
        [b] their mean count and mean weight.
    """

    low: Int[np.ndarray, "b"]
    high: Int[np.ndarray, "b"]
    connections: Int[np.ndarray, "b"]
    mean_count: Float[np.ndarray, "b"]
    mean_weight: Float[np.ndarray, "b"]

    @property
    def correlation(self) -> float:
        """Pearson correlation of mean weight and mean count over the bins; NaN for fewer than three."""
        return pearson(self.mean_count, self.mean_weight)

    @property
    def log_correlation(self) -> float:
        """The same of their logarithms, for the bins whose mean weight is above 0."""
        there = self.mean_weight > 0
        return pearson(np.log(self.mean_count[there]), np.log(self.mean_weight[there]))

    def record(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "correlation": finite(self.correlation),
            "log_correlation": finite(self.log_correlation),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "connections": self.connections.tolist(),
            "mean_count": self.mean_count.tolist(),
            "mean_weight": self.mean_weight.tolist(),
        }


def by_count(counts: Int[np.ndarray, "M"], weights: Float[np.ndarray, "M"], *, minimum: int = 20) -> CountBins:
    """Mean weight per bin of synapse counts: one bin per count at first, then bins that widen by `BIN_RATIO`.

    Parameters
    ----------
    minimum
        A bin with fewer connections is joined with the bins above it, the last one with the one below.
    """
    counts = np.asarray(counts)
    if not len(counts):
        nothing, empty = np.zeros(0, np.int64), np.zeros(0)
        return CountBins(nothing, nothing, nothing, empty, empty)
    largest = int(counts.max())
    of_count = np.bincount(counts)
    weight_of_count = np.bincount(counts, weights, largest + 1)
    edges = [1]
    while edges[-1] <= largest:
        edges.append(max(edges[-1] + 1, round(edges[-1] * BIN_RATIO)))
    kept = [0 if of_count[0] else 1]
    for edge in edges[1:]:
        if of_count[kept[-1] : edge].sum() >= max(minimum, 1):
            kept.append(edge)
    if kept[-1] > largest or len(kept) > 1:
        # What is left above the last full bin is nothing, or too little for one of its own.
        kept.pop()
    bounds = np.array([*kept, largest + 1])
    numbers = np.add.reduceat(of_count, bounds[:-1])
    counted = np.add.reduceat(of_count * np.arange(largest + 1), bounds[:-1])
    weighed = np.add.reduceat(weight_of_count, bounds[:-1])
    return CountBins(bounds[:-1], bounds[1:] - 1, numbers, counted / numbers, weighed / numbers)


@dataclass(frozen=True, eq=False)
class WeightStatistics(Result):
    """What a fit did to the strengths of the chemical connections.

    Parameters
    ----------
    counts, before, after
        Distributions of synapse counts and of the magnitudes before (None if not given) and after the fit.
    bins
        Mean fitted weight by synapse count.
    rank_correlation, rank_correlation_before, rank_correlation_change
        Spearman's correlation with the synapse counts, connection by connection: of the fitted magnitudes, of
        those that the fit started from, and of the difference. A start proportional to counts has 1 itself.
    by_group
        The first of them within groups of connections.
    change
        How far the fitted weights are from their start (`compare_weights`); None without a start.
    electrical
        Gap junctions, which are left out: their counts are of another kind.
    """

    counts: Distribution
    before: Distribution | None
    after: Distribution
    bins: CountBins
    rank_correlation: float
    rank_correlation_before: float | None
    rank_correlation_change: float | None
    by_group: tuple[GroupCorrelations, ...]
    change: WeightComparison | None
    electrical: int

    def record(self, rows: int = ROWS) -> dict[str, Any]:
        """Everything as plain values, at most `rows` groups of each kind one by one."""
        return {
            "counts": self.counts.record(),
            "before": self.before.record() if self.before else None,
            "after": self.after.record(),
            "by_count": self.bins.record(),
            "rank_correlation_with_counts": {
                "after": finite(self.rank_correlation),
                "before": finite(self.rank_correlation_before),
                "change": finite(self.rank_correlation_change),
                "by_group": [one.record(rows) for one in self.by_group],
            },
            "change_from_start": self.change.record() if self.change else None,
            "electrical_left_out": self.electrical,
        }


def weight_statistics(
    connectome: Connectome,
    after: Float[np.ndarray, "M"],
    *,
    before: Float[np.ndarray, "M"] | None = None,
    columns: Sequence[str] | None = None,
    region_column: str = "region",
    minimum: int = 30,
) -> WeightStatistics:
    """Statistics of fitted magnitudes beside the synapse counts and the start of the fit.

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
    region_column
        Column that names the region of a neuron, for the pairs (presynaptic region → postsynaptic region).
    minimum
        Groups with fewer connections are counted but not listed.

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
    region, region_names = named_groups(table, region_column)
    # Not all at once: a sorted order of fifteen million connections takes 60 MB, ranks 120 MB.
    by_start = by_change = None
    if start is not None:
        by_start = RankCorrelation(start, counts).overall()
        by_change = RankCorrelation(after - start, counts).overall()
    ranks = RankCorrelation(after, counts)
    groups = []
    for column, (codes, names) in grouping.items():
        groups.append(ranks.by_group(codes[pre], names, grouped_by=f"presynaptic {column}", minimum=minimum))
    if region_names:
        pair, pair_names = _pairs(region[connectome.posts[chemical]], region[pre], region_names)
        groups.append(ranks.by_group(pair, pair_names, grouped_by="pair of regions", minimum=minimum))
    overall = ranks.overall()
    del ranks
    return WeightStatistics(
        distribution(counts),
        None if start is None else distribution(start),
        distribution(after),
        by_count(counts, np.abs(after)),
        overall,
        by_start,
        by_change,
        tuple(groups),
        None if start is None else compare_weights(start, after),
        int(connectome.electrical.sum()),
    )


def positive_magnitudes(connectome: Connectome, weights: Float[np.ndarray, "M"]) -> Float[np.ndarray, "m"]:
    """Magnitudes above 0 of the chemical connections, for fits of the tail of their distribution."""
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
    return pair, [f"{one} → {other}" for one in names for other in names]
