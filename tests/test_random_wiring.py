"""Random connectomes of any size, and passes over connections that hold some of them at a time."""

from __future__ import annotations

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import connfit as cf
from connfit.connectome import anatomy, random_wiring, row_blocks
from connfit.connectome.anatomy import presynapses_by_region
from connfit.connectome.connectome_file import write_by_rows
from connfit.errors import ConfigError, DataError
from connfit.models.init import persistence_drive as drives
from connfit.models.init import starting_weights
from connfit.models.init.starting_weights import initial_magnitudes
from connfit.models.readout import Readout


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "brain.h5"
    return cf.Connectome.load(cf.write_random_connectome(path, 2_000, 90_000, regions=7))


def test_a_random_connectome_has_the_sizes_that_are_asked_for(brain):
    # Loading has found that rows are sorted and hold no neuron twice.
    degree = np.diff(brain.indptr)
    assert (brain.n, brain.m) == (2_000, 90_000) == (brain.n, degree.sum())
    assert 0.8 < np.log(degree[degree > 0]).std() < 1.1
    assert 0.28 < np.mean(brain.signs < 0) < 0.39
    assert 3.2 < brain.counts.mean() < 3.5
    assert brain.neurons["region"].value_counts().between(285, 286).all()
    assert list(dict.fromkeys(brain.neurons["region"])) == [f"R{k}" for k in range(1, 8)]


def test_presynaptic_neurons_are_drawn_evenly(brain):
    """Each column of a row is as likely as any other, so that outputs are sums of independent draws."""
    outputs = np.bincount(brain.indices, minlength=brain.n)
    share = np.diff(brain.indptr) / brain.n
    mean, variance = share.sum(), (share * (1 - share)).sum()
    assert stats.kstest((outputs - mean) / np.sqrt(variance), "norm").pvalue > 1e-3
    assert abs(outputs[[0, -1]] - mean).max() < 5 * np.sqrt(variance)


def test_the_seed_decides(brain, tmp_path):
    same = cf.Connectome.load(cf.write_random_connectome(tmp_path / "a.h5", 2_000, 90_000, regions=0))
    other = cf.Connectome.load(cf.write_random_connectome(tmp_path / "b.h5", 2_000, 90_000, seed=1))
    assert np.array_equal(same.indices, brain.indices) and np.array_equal(same.counts, brain.counts)
    assert set(same.neurons["region"]) == {""}
    assert not np.array_equal(other.indices, brain.indices)


def test_connections_are_never_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(random_wiring, "_AT_ONCE", 1 << 14)
    path = tmp_path / "large.h5"
    cf.write_random_connectome(path, 1_000, 10_000)  # what is imported late
    tracemalloc.start()
    try:
        cf.write_random_connectome(path, 5_000, 1_500_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 13_000_000
    assert peak < 5_000_000


@pytest.mark.parametrize(("neurons", "connections"), [(10, 51), (0, 0), (10, -1), (70_000, 2**31)])
def test_what_cannot_be_drawn_is_an_error(neurons, connections, tmp_path):
    with pytest.raises(ConfigError, match=str(connections)):
        cf.write_random_connectome(tmp_path / "none.h5", neurons, connections)
    assert not list(tmp_path.iterdir())


def test_half_of_all_pairs_can_be_drawn(tmp_path):
    full = cf.Connectome.load(cf.write_random_connectome(tmp_path / "full.h5", 10, 50))
    assert np.diff(full.indptr).tolist() == [5] * 10


@pytest.mark.parametrize("given_rows", [1, 3])
def test_rows_must_be_as_many_as_indptr_says(given_rows, tmp_path):
    table = pd.DataFrame({"id": [1, 2], "type": "", "region": "", "transmitter": "", "side": ""})
    rows = [(np.array([0, 1]), np.array([1, 1]))] * given_rows
    with pytest.raises(DataError, match="indptr says 4"):
        write_by_rows(tmp_path / "brain.h5", "two", np.array([0, 2, 4]), rows, np.array([1, 1]), table)
    assert not list(tmp_path.iterdir())


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 12))
def test_blocks_hold_every_row_once(degrees, most):
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    rows, connections = zip(*row_blocks.row_blocks(indptr, most), strict=True)
    assert np.concatenate([np.arange(len(degrees))[part] for part in rows]).tolist() == list(range(len(degrees)))
    for part, block in zip(rows, connections, strict=True):
        assert (block.start, block.stop) == (indptr[part.start], indptr[part.stop])
        assert block.stop - block.start <= most or part.stop - part.start == 1


def test_blocks_sum_to_what_all_connections_do(brain, monkeypatch):
    """Against sparse products and plain sums of all connections."""
    for module in (anatomy, starting_weights):
        monkeypatch.setattr(module, "row_blocks", lambda indptr: row_blocks.row_blocks(indptr, 1_000))
    regions, presynapses = presynapses_by_region(brain)
    of = (brain.neurons["region"].to_numpy()[None] == np.array(regions)[:, None]).astype(int)
    counts = sp.csr_array((brain.counts, brain.indices, brain.indptr), shape=(brain.n, brain.n))
    assert np.array_equal(presynapses.toarray(), of @ counts)
    total = np.asarray(counts.sum(axis=1))
    expected = (brain.counts / np.repeat(total, np.diff(brain.indptr))).astype(np.float32)
    assert np.array_equal(initial_magnitudes(brain, "input_fraction"), expected)


@pytest.mark.parametrize(("share", "stands_out"), [(1 / 3, False), (0.0, True)], ids=["signs", "all excite"])
def test_the_radius_of_a_large_brain_takes_a_bounded_number_of_products(share, stands_out, tmp_path, monkeypatch):
    """Against all eigenvalues; where none stands out, to the two per cent that are promised."""
    monkeypatch.setattr(random_wiring, "_INHIBITORY", share)
    wired = cf.Connectome.load(cf.write_random_connectome(tmp_path / "brain.h5", 700, 30_000))
    readout = Readout(sp.csr_array(np.eye(2, wired.n)), ("a", "b"))
    model = cf.RateModel.from_connectome(wired, readout, step_s=1.0)
    strengths = jnp.asarray(wired.counts, jnp.float32)
    signed = sp.csr_array((wired.counts * wired.signs[wired.indices], wired.indices, wired.indptr)).toarray()
    expected = np.abs(np.linalg.eigvals(signed)).max()
    products, apply = [], starting_weights.recurrent_input
    monkeypatch.setattr(starting_weights, "LARGE", 500)
    monkeypatch.setattr(starting_weights, "_radii", {})
    monkeypatch.setattr(starting_weights, "recurrent_input", lambda *given: products.append(1) or apply(*given))
    found = starting_weights.spectral_radius_of(model, strengths)
    assert found == pytest.approx(expected, rel=1e-3 if stands_out else 0.02)
    assert len(products) <= 200, len(products)  # as docs/larger_brains.md says
    # Where ARPACK gives up, the growth of a vector.
    monkeypatch.setattr(starting_weights, "_radii", {})

    def gives_up(*_, **__):
        raise spla.ArpackNoConvergence("no convergence", np.zeros(0), np.zeros(0))

    monkeypatch.setattr(starting_weights.spla, "eigs", gives_up)
    assert starting_weights.spectral_radius_of(model, strengths) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("anatomical", [False, True])
def test_a_drive_of_many_pairs_is_that_of_few(anatomical, monkeypatch):
    """Sums over pairs of units, and dense products of some neurons at a time, differ by rounding alone."""
    rng = np.random.default_rng(0)
    shares = sp.csr_array(sp.random_array((12, 900), density=0.6, rng=rng))
    readout = Readout(shares, tuple(f"unit {k}" for k in range(12)))
    allowed = sp.csr_array(sp.random_array((900, 12), density=0.7, rng=rng)) if anatomical else None
    found = []
    for most in (1 << 25, 0):
        monkeypatch.setattr(drives, "MOST_PAIRS", most)
        monkeypatch.setattr(drives, "AT_ONCE", 1_000)
        drives._anywhere.cache_clear()
        found.append(drives.persistence_drive(readout, allowed).toarray())
    assert np.abs(found[0] - found[1]).max() < 1e-12 * np.abs(found[0]).max()


def test_a_drive_is_found_once_and_never_shared(monkeypatch):
    readout = Readout(sp.csr_array(np.eye(3, 5)), ("a", "b", "c"))
    first = drives.persistence_drive(readout)
    monkeypatch.setattr(drives, "_solve_persistence", None)
    first.data[:] = 0
    assert drives.persistence_drive(readout).toarray().tolist() == np.eye(5, 3).tolist()
