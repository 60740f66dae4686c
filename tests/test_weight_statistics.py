"""Weight statistics against SciPy and against weights whose relation to the counts is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_connectome
from scipy import stats

from connfit._io import as_result, plain
from connfit.analysis.parameters.distribution import PROBABILITIES, Distribution, distribution
from connfit.analysis.parameters.rank_correlation import RankCorrelation
from connfit.analysis.parameters.weight_comparison import compare_weights
from connfit.analysis.parameters.weights import (
    CountBins,
    WeightStatistics,
    by_count,
    positive_magnitudes,
    weight_statistics,
)
from connfit.connectome import Connectome
from connfit.errors import ConfigError


def brain(*, electrical: int = 0) -> Connectome:
    """600 connections among 60 neurons of three types and two regions; some have neither."""
    made = random_connectome(np.random.default_rng(0), 60, 10, electrical=electrical)
    types = [("", "a", "b", "c")[k % 4] for k in range(60)]
    regions = [("L", "R", "")[k % 3] for k in range(60)]
    return replace(made, neurons=made.neurons.assign(type=types, region=regions))


@given(st.integers(2, 60), st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_rank_correlation_within_groups_is_scipys(size: int, distinct: int, groups: int, seed: int) -> None:
    """With many ties, since synapse counts and zero weights are full of them."""
    rng = np.random.default_rng(seed)
    # Negative values and both zeros, as changes of weights have them; counts below and above 16 bits.
    x = rng.choice([-1, 1], size) * rng.integers(distinct, size=size) / 4
    y = rng.integers(distinct + 1, size=size) + rng.choice([0, 70_000])
    codes = rng.integers(-1, groups, size=size)
    ranks = RankCorrelation(x.astype(np.float32), y)
    names = [f"g{k}" for k in range(groups)]
    found = ranks.by_group(codes, names, grouped_by="test", minimum=3)
    pairs = [(x, y, ranks.overall())]
    pairs += [
        (x[codes == names.index(group.name)], y[codes == names.index(group.name)], group.correlation)
        for group in found.largest
    ]
    for a, b, rho in pairs:
        if len(set(a)) < 2 or len(set(b)) < 2:
            assert rho is None or np.isnan(rho)
        else:
            assert rho == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    sizes = np.bincount(codes[codes >= 0], minlength=groups)
    assert {group.name for group in found.largest} == {f"g{k}" for k in np.flatnonzero(sizes >= 3)}
    assert [group.count for group in found.largest] == sorted(sizes[sizes >= 3], reverse=True)
    assert found.small_pairs == sizes[sizes < 3].sum() and found.unnamed_pairs == (codes < 0).sum()
    assert sum(group.count for group in found.largest) + found.small_pairs + found.unnamed_pairs == size
    assert found.defined == sum(group.correlation is not None for group in found.largest)


def test_a_log_normal_distribution() -> None:
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(-3, 1.83, 200_000)).astype(np.float32)
    found = distribution(np.concatenate([values, np.zeros(50_000, np.float32)]))
    assert (found.count, found.zeros) == (250_000, 50_000)
    assert found.log_mean == pytest.approx(-3, abs=0.02) and found.log_std == pytest.approx(1.83, rel=0.01)
    assert found.log_skew == pytest.approx(0, abs=0.03)
    # Quantiles on the logarithmic scale are σ times those of a normal distribution.
    inner = (PROBABILITIES > 0.005) & (PROBABILITIES < 0.995)
    expected = stats.norm.ppf(PROBABILITIES[inner]) * 1.83 / np.log(10)
    assert found.relative is not None and found.probabilities == tuple(PROBABILITIES)
    np.testing.assert_allclose(np.log10(found.relative)[inner], expected, atol=0.05)
    np.testing.assert_allclose(found.quantiles, np.quantile(values, PROBABILITIES), rtol=0.1)
    assert found.mean == pytest.approx(values.sum(dtype=np.float64) / 250_000, rel=1e-5)
    ordered = np.sort(values)[::-1].astype(np.float64)
    assert found.top_hundredth_share == pytest.approx(ordered[:2500].sum() / ordered.sum(), rel=1e-5)
    assert found.maximum == ordered[0]


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros(0), np.full(7, 0.1, np.float32)], ids=["zero", "none", "one"])
def test_distributions_without_a_shape(values: np.ndarray) -> None:
    found = distribution(values)
    assert found.log_skew is None
    assert found.log_std == (None if not values.any() else pytest.approx(0, abs=1e-6))
    assert as_result(plain(found), Distribution) == found


def test_means_of_bins_hide_what_single_connections_do() -> None:
    """Weights that follow the counts on average, with noise far larger than that: bins agree, connections do not."""
    rng = np.random.default_rng(2)
    counts = np.minimum(rng.zipf(2.2, 100_000), 500)
    weights = rng.exponential(0.2 + 0.02 * counts) * np.exp(rng.normal(0, 1.5, len(counts)))
    bins = by_count(counts, weights)
    assert sum(bins.connections) == len(counts) and min(bins.connections) >= 20
    assert bins.low[0] == 1 and bins.high[-1] == counts.max()
    assert bins.low[1:] == tuple(high + 1 for high in bins.high[:-1])
    for low, high, mean in zip(bins.low, bins.high, bins.mean_weight, strict=True):
        inside = (counts >= low) & (counts <= high)
        assert mean == pytest.approx(weights[inside].mean())
    assert bins.correlation is not None and bins.correlation > 0.7
    assert bins.log_correlation is not None and bins.log_correlation > 0.7
    assert RankCorrelation(weights, counts).overall() < 0.2


@pytest.mark.parametrize("counts", [[], [3], [1, 1, 1, 9], list(range(1, 50))])
def test_every_connection_is_in_a_bin(counts: list[int]) -> None:
    bins = by_count(np.array(counts, np.int32), np.ones(len(counts)), minimum=4)
    assert sum(bins.connections) == len(counts)
    assert set(bins.mean_weight) <= {1.0}
    assert as_result(plain(bins), CountBins) == bins


def test_statistics_of_a_fit() -> None:
    one = brain()
    rng = np.random.default_rng(3)
    before = (0.1 * one.counts).astype(np.float32)
    after = np.maximum(before + rng.normal(0, 0.3, one.m), 0).astype(np.float32)
    found = weight_statistics(one, after, before=before, minimum=10)
    ranks = found.rank_correlation_with_counts
    assert ranks.before == pytest.approx(1)
    assert ranks.after == pytest.approx(stats.spearmanr(after, one.counts).statistic)
    assert ranks.change == pytest.approx(stats.spearmanr(after - before, one.counts).statistic)
    assert found.after.zeros == (after == 0).sum() > 0 and found.before is not None and found.before.zeros == 0
    by_type, by_pair = ranks.by_group
    assert by_type.grouped_by == "presynaptic type" and {group.name for group in by_type.largest} == {"a", "b", "c"}
    kinds = one.neurons["type"].to_numpy()
    for group in by_type.largest:
        where = kinds[one.indices] == group.name
        assert group.count == where.sum()
        assert group.correlation == pytest.approx(stats.spearmanr(after[where], one.counts[where]).statistic)
    assert by_type.unnamed_pairs == (kinds[one.indices] == "").sum() > 0
    regions = one.neurons["region"].to_numpy()
    pairs = {group.name: group for group in by_pair.largest}
    assert set(pairs) == {"L → L", "L → R", "R → L", "R → R"}
    # An arrow from the presynaptic to the postsynaptic region.
    where = (regions[one.indices] == "L") & (regions[one.posts] == "R")
    assert pairs["L → R"].count == where.sum()
    assert pairs["L → R"].correlation == pytest.approx(stats.spearmanr(after[where], one.counts[where]).statistic)
    few = weight_statistics(one, after, before=before, minimum=10, rows=2).rank_correlation_with_counts.by_group[1]
    assert (len(few.largest), few.not_listed) == (2, 2)
    assert found.change_from_start is not None and found.change_from_start.zero_in_second == found.after.zeros
    assert as_result(plain(found), WeightStatistics) == found
    alone = weight_statistics(one, after, columns=["transmitter"])
    ranks = alone.rank_correlation_with_counts
    assert alone.change_from_start is None and ranks.before is None and not ranks.by_group[0].largest


def test_gap_junctions_are_left_out_and_counted() -> None:
    one = brain(electrical=9)
    after = np.where(one.electrical, 50, one.counts * 2).astype(np.float32)
    found = weight_statistics(one, after)
    assert found.electrical_left_out == one.electrical.sum() > 0
    assert found.rank_correlation_with_counts.after == pytest.approx(1)
    assert found.after.maximum is not None and found.after.maximum < 50
    after[np.flatnonzero(~one.electrical)[0]] = 0
    assert len(positive_magnitudes(one, after)) == (~one.electrical).sum() - 1


def test_fits_that_start_alike_agree_by_that_alone() -> None:
    rng = np.random.default_rng(4)
    start = np.exp(rng.normal(size=5000))
    first, second = (np.maximum(start + rng.normal(0, 0.1, 5000), 0) for _ in range(2))
    found = compare_weights(first, second, start=start)
    assert min(found.pearson or 0, found.spearman or 0) > 0.9 and (found.log_pearson or 0) > 0.8
    assert found.change_pearson is not None and abs(found.change_pearson) < 0.06
    assert found.change_spearman is not None and abs(found.change_spearman) < 0.06
    # What the data determine shows in the changes.
    common = start + rng.exponential(0.5, 5000)
    same = compare_weights(common, common * 1.001, start=(start, start))
    assert same.change_pearson is not None and same.change_pearson > 0.99
    assert found.zero_in_both + found.zero_in_first + found.zero_in_second == ((first == 0) | (second == 0)).sum()


def test_a_change_by_hand() -> None:
    found = compare_weights(np.array([1.0, 2, 0, 0, 4]), np.array([1.0, 3, 0, 1, 0]))
    assert (found.count, found.zero_in_both, found.zero_in_first, found.zero_in_second) == (5, 1, 1, 1)
    assert found.total_change == pytest.approx(6 / 7) and found.moved_by_over_1_percent == pytest.approx(3 / 5)
    assert found.relative_change_quantiles[2] == pytest.approx(0.5)
    assert found.pearson == pytest.approx(np.corrcoef([1, 2, 0, 0, 4], [1, 3, 0, 1, 0])[0, 1])
    nothing = compare_weights(np.ones(4), np.ones(4))
    assert nothing.pearson is None and nothing.moved_by_over_1_percent == 0


def test_mistakes_are_named() -> None:
    one = brain()
    good = np.ones(one.m)
    with pytest.raises(ConfigError, match=rf"after has shape \(5,\), but the connectome has {one.m} connections"):
        weight_statistics(one, good[:5])
    with pytest.raises(ConfigError, match="before is not finite at connection 7"):
        weight_statistics(one, good, before=np.where(np.arange(one.m) == 7, np.nan, good))
    with pytest.raises(ConfigError, match=r"no column 'klass'; it has id, type"):
        weight_statistics(one, good, columns=["klass"])
    with pytest.raises(ConfigError, match=r"shapes \(3,\) and \(4,\)"):
        compare_weights(np.ones(3), np.ones(4))
    with pytest.raises(ConfigError, match="entry 2 is not finite"):
        RankCorrelation(np.array([1, 2, np.nan]), np.arange(3))
    with pytest.raises(ConfigError, match="value 0 is not finite"):
        distribution(np.array([np.inf, 1.0]))


def test_real_weights_have_bins_of_one_ratio_that_leave_nothing_out() -> None:
    rng = np.random.default_rng(4)
    sizes = rng.lognormal(sigma=2, size=500).astype(np.float32)
    weights = 3 * sizes
    bins = by_count(sizes, weights, minimum=5)
    assert sum(bins.connections) == 500 and bins.low[0] == sizes.min() and bins.high[-1] == sizes.max()
    assert min(bins.connections) >= 5 and len(bins.low) > 10
    inside = [((sizes >= low) & (sizes <= high)).sum() for low, high in zip(bins.low, bins.high, strict=True)]
    assert tuple(inside) == bins.connections
    # float32 holds seven digits.
    np.testing.assert_allclose(bins.mean_weight, 3 * np.array(bins.mean_count), rtol=1e-6)
