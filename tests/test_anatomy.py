"""Presynapses by region against a dense computation, and what is left out of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.connectome import Connectome, from_pairs
from connfit.connectome.anatomy import presynapses_by_region
from connfit.errors import DataError


def brain(
    regions: list[str], pre: list[int], post: list[int], counts: list[int], electrical: list[bool] | None = None
) -> Connectome:
    n = len(regions)
    table = pd.DataFrame({"id": np.arange(n), "type": "", "region": regions, "transmitter": "", "side": ""})
    flags = None if electrical is None else np.array(electrical)
    return from_pairs(
        "test", np.array(pre, int), np.array(post, int), np.array(counts, int), np.ones(n, int), table, electrical=flags
    )


@st.composite
def brains(draw: st.DrawFn) -> Connectome:
    regions = draw(st.lists(st.sampled_from(["", "AL", "MB", "FB"]), min_size=1, max_size=12))
    neuron = st.integers(0, len(regions) - 1)
    rows = draw(st.lists(st.tuples(neuron, neuron, st.integers(1, 50)), max_size=60))
    pre, post, counts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return brain(regions, pre, post, counts)


@settings(max_examples=100, deadline=None)
@given(brains())
def test_equals_the_sum_over_a_dense_matrix(connectome: Connectome) -> None:
    region = connectome.neurons["region"].to_numpy(dtype=str)
    names = sorted(set(region) - {""})
    if not names:
        with pytest.raises(DataError, match="has no regions"):
            presynapses_by_region(connectome)
        return
    dense = np.zeros((connectome.n, connectome.n), int)
    dense[connectome.posts, connectome.indices] = connectome.counts
    expected = np.array([dense[region == name].sum(axis=0) for name in names])
    regions, presynapses = presynapses_by_region(connectome)
    assert regions == tuple(names)
    assert np.issubdtype(presynapses.dtype, np.integer)
    np.testing.assert_array_equal(presynapses.toarray(), expected)


def test_gap_junctions_are_not_presynapses() -> None:
    connectome = brain(["a", "b"], [0, 0, 1], [1, 1, 0], [3, 7, 7], [False, True, True])
    _, presynapses = presynapses_by_region(connectome)
    assert presynapses.toarray().tolist() == [[0, 0], [3, 0]]


def test_missing_regions_count_as_no_region() -> None:
    connectome = brain(["a", "a", "a"], [0, 0], [1, 2], [2, 5])
    connectome.neurons["region"] = ["a", "a", None]
    regions, presynapses = presynapses_by_region(connectome)
    assert regions == ("a",)
    assert presynapses.toarray().tolist() == [[2, 0, 0]]


def test_a_connectome_without_regions_is_an_error_that_names_the_column() -> None:
    with pytest.raises(DataError, match="column 'region'"):
        presynapses_by_region(brain(["", ""], [0], [1], [1]))
