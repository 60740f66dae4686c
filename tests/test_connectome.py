"""Connectome: building, validation, subset, summary, save and load."""

from __future__ import annotations

import mmap
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.connectome import Connectome, from_pairs
from connfit.errors import ConfigError, DataError

BIG = 720575940596125868


def neuron_table(n: int, **columns: object) -> pd.DataFrame:
    table = {"id": np.arange(n, dtype=np.int64) + BIG, "type": "", "region": "", "transmitter": "", "side": ""}
    return pd.DataFrame({**table, **columns}, index=range(n))


def build(pre, post, counts, n: int, signs=None, electrical=None, **columns: object) -> Connectome:
    signs = np.ones(n, int) if signs is None else signs
    return from_pairs("test", pre, post, counts, signs, neuron_table(n, **columns), electrical=electrical)


@st.composite
def brains(draw: st.DrawFn) -> tuple[Connectome, tuple[np.ndarray, np.ndarray, np.ndarray], np.random.Generator]:
    """A connectome, the chemical rows it was built from, and a generator for permutations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, rows = draw(st.integers(1, 12)), draw(st.integers(0, 60))
    pre, post, counts = rng.integers(0, n, rows), rng.integers(0, n, rows), rng.integers(1, 9, rows)
    gaps = sp.coo_array(np.triu(rng.integers(0, 3, (n, n)) * (rng.random((n, n)) < 0.1)))
    diagonal = gaps.coords[0] == gaps.coords[1]
    g_pre = np.concatenate([gaps.coords[0], gaps.coords[1][~diagonal]])
    g_post = np.concatenate([gaps.coords[1], gaps.coords[0][~diagonal]])
    g_counts = np.concatenate([gaps.data, gaps.data[~diagonal]])
    real = g_counts > 0
    brain = build(
        np.concatenate([pre, g_pre[real]]),
        np.concatenate([post, g_post[real]]),
        np.concatenate([counts, g_counts[real]]),
        n,
        signs=rng.choice([-1, 1], n),
        electrical=np.arange(rows + real.sum()) >= rows,
        type=[f"t{k % 3}" for k in range(n)],
    )
    return brain, (pre, post, counts), rng


def same(a: Connectome, b: Connectome) -> bool:
    arrays = all(
        np.array_equal(getattr(a, key), getattr(b, key))
        for key in ("indptr", "indices", "counts", "signs", "electrical")
    )
    return arrays and a.neurons.equals(b.neurons) and a.name == b.name


@given(brains())
def test_parallel_rows_are_summed_as_scipy_sums_them(made) -> None:
    brain, (pre, post, counts), _ = made
    expected = sp.coo_array((counts, (post, pre)), shape=(brain.n, brain.n)).toarray() * brain.signs
    chemical = sp.csr_array(
        (brain.counts * brain.connection_signs * ~brain.electrical, brain.indices, brain.indptr),
        shape=(brain.n, brain.n),
    ).toarray()
    np.testing.assert_array_equal(chemical, expected)


@given(brains())
def test_order_of_rows_does_not_matter(made) -> None:
    brain, (pre, post, counts), rng = made
    plain = build(pre, post, counts, brain.n)
    order = rng.permutation(len(pre))
    assert same(plain, build(pre[order], post[order], counts[order], brain.n))


@given(brains())
def test_subset_is_the_submatrix_in_the_asked_order(made) -> None:
    brain, _, rng = made
    keep = rng.permutation(brain.n)[: rng.integers(0, brain.n + 1)]
    part = brain.subset(keep)
    np.testing.assert_array_equal(part.matrix().toarray(), brain.matrix().toarray()[np.ix_(keep, keep)])
    np.testing.assert_array_equal(part.ids, brain.ids[keep])
    np.testing.assert_array_equal(part.signs, brain.signs[keep])
    mask = np.isin(np.arange(brain.n), keep)
    np.testing.assert_array_equal(brain.subset(mask).ids, brain.ids[np.sort(keep)])


@settings(max_examples=25, deadline=None)
@given(brains())
def test_save_and_load_return_the_same_brain(tmp_path_factory, made) -> None:
    brain, _, _ = made
    path = tmp_path_factory.mktemp("brain") / "brain.h5"
    brain.save(path)
    again = Connectome.load(path)
    assert same(brain, again)
    assert again.neurons["id"].dtype == np.int64 and again.ids[0] == BIG


def test_save_keeps_text_ids_odd_columns_numbers_and_notes(tmp_path: Path) -> None:
    brain = build([0], [1], [3], 2, **{"µ/size": [1.5, np.nan], "flag": [True, False], "a": ["x", None], "k": [1, 2]})
    brain = Connectome(
        "named", brain.indptr, brain.indices, brain.counts, brain.signs, brain.neurons.assign(id=["ADAL", "ADAR"]),
        notes={"rows": np.int64(3), "table": {"gaba": np.int8(-1)}, "list": np.arange(2), "long": "x" * 200_000},
    )  # fmt: skip
    brain.save(tmp_path / "b.h5")
    again = Connectome.load(tmp_path / "b.h5")
    assert list(again.neurons.columns) == list(brain.neurons.columns)
    assert again.ids.tolist() == ["ADAL", "ADAR"]
    assert again.neurons["a"].tolist() == ["x", ""]
    assert again.neurons["µ/size"].tolist()[0] == 1.5 and np.isnan(again.neurons["µ/size"].tolist()[1])
    assert again.neurons["k"].tolist() == [1, 2] and again.neurons["flag"].tolist() == [True, False]
    assert again.notes == {"rows": 3, "table": {"gaba": -1}, "list": [0, 1], "long": "x" * 200_000}
    assert [one.name for one in tmp_path.iterdir()] == ["b.h5"]


def mapped(array: object) -> bool:
    """Whether the memory of an array is a file's."""
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return isinstance(array, mmap.mmap)


def test_large_arrays_are_mapped_and_nothing_can_be_written(tmp_path: Path) -> None:
    n = 6000
    brain = build(np.arange(n), np.roll(np.arange(n), 1), np.ones(n, int), n)
    brain.save(tmp_path / "b.h5")
    again = Connectome.load(tmp_path / "b.h5")
    for key in ("indptr", "indices", "counts", "electrical"):
        assert mapped(getattr(again, key)), key
    for one in (brain, again):
        for key in ("indptr", "indices", "counts", "signs", "electrical"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(one, key)[0] = 0


def test_the_callers_arrays_stay_writable() -> None:
    indices = np.array([0], np.int32)
    Connectome("x", np.array([0, 0, 1]), indices, np.array([1]), np.array([1, 1]), neuron_table(2))
    indices[0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indptr": [0, 2, 1]}, "indptr must rise"),
        ({"indptr": [0, 1]}, "indptr has 2 entries"),
        ({"indices": [0, 2]}, "outside 0..1"),
        ({"counts": [1, 0]}, "at least 1"),
        ({"counts": [1]}, "1 counts"),
        ({"indices": [1.0, 0.0]}, "one-dimensional array of integers"),
        ({"counts": [0.5, 0.0]}, "above 0, connection 1 has 0"),
        ({"counts": [np.nan, 1.0]}, "finite and above 0, connection 0"),
        ({"mixed_signs": [1, 0]}, r"signs of connections must be \+1 or -1"),
        ({"mixed_signs": [1]}, "1 signs for 2 connections"),
        ({"electrical": [True, True], "mixed_signs": [1, -1]}, "have no sign"),
        ({"counts": [1, 2**31]}, "do not fit into int32"),
        ({"signs": [1, 0]}, r"\+1 or -1"),
        ({"indices": [1, 0], "indptr": [0, 2, 2]}, "sorted by presynaptic"),
        ({"indices": [1, 1], "indptr": [0, 2, 2]}, "sorted by presynaptic"),
        ({"neurons": neuron_table(2).drop(columns="side")}, "lacks the columns side"),
        ({"neurons": neuron_table(2, id=[1.0, 2.0])}, "floating point"),
        ({"neurons": neuron_table(2, id=[7, 7])}, "ids repeat: 7"),
        ({"electrical": [True, False]}, "both directions"),
        ({"electrical": [True, True], "counts": [1, 2]}, "equal counts"),
    ],
)
def test_contradictions_are_named(change: dict, message: str) -> None:
    good = {"indptr": [0, 1, 2], "indices": [1, 0], "counts": [1, 1], "signs": [1, -1]}
    arrays = {key: np.array(value) if key != "neurons" else value for key, value in {**good, **change}.items()}
    with pytest.raises(DataError, match=message):
        Connectome("bad", **{"neurons": neuron_table(2), **arrays})


def test_summary_counts_by_hand() -> None:
    # Chemical 0->1, 1->0, 0->2, 2->2; junctions 0-1 (2) and 2-2 (1).
    brain = build(
        [0, 1, 0, 2, 0, 1, 2], [1, 0, 2, 2, 1, 0, 2], [1, 2, 3, 4, 2, 2, 1], 4,
        signs=[1, -1, 1, 1], electrical=[False] * 4 + [True] * 3, region=["b", "a", "", ""],
    )  # fmt: skip
    summary = brain.summary()
    assert summary.neurons == 4 and summary.connections == 4 and summary.synapses == 10
    assert summary.electrical_connections == 2
    assert summary.excitatory_neurons == 3 and summary.inhibitory_neurons == 1
    assert summary.reciprocity == pytest.approx(2 / 3)
    assert summary.neurons_without_input == 1
    assert summary.regions == ("a", "b")
    assert brain.connection_signs[brain.electrical].min() == 1


def test_index_of_finds_big_ids_and_refuses_floats() -> None:
    brain = build([0], [1], [1], 5)
    np.testing.assert_array_equal(brain.index_of([BIG + 3, BIG]), [3, 0])
    assert len(brain.index_of([])) == 0
    with pytest.raises(DataError, match=f"no neurons {BIG + 9}"):
        brain.index_of([BIG, BIG + 9])
    with pytest.raises(DataError, match="floating point"):
        brain.index_of([float(BIG)])


@pytest.mark.parametrize(
    ("keep", "message"), [([0, 0], "twice"), ([5], "0..1"), ([-1], "0..1"), (np.array([True]), "mask has shape")]
)
def test_subset_refuses_nonsense(keep, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build([0], [1], [1], 2).subset(keep)


def test_empty_brains(tmp_path: Path) -> None:
    for n in (0, 1, 3):
        brain = build([], [], [], n)
        brain.save(tmp_path / f"{n}.h5")
        assert same(brain, Connectome.load(tmp_path / f"{n}.h5"))
        assert brain.summary().connections == 0 and brain.matrix().shape == (n, n)


def test_from_pairs_refuses_counts_that_are_no_numbers_and_positions_outside() -> None:
    with pytest.raises(DataError, match="counts must be numbers"):
        build([0, 1], [1, 0], ["1", "2"], 2)
    with pytest.raises(DataError, match=r"outside 0\.\.1"):
        build([0, 2], [1, 0], [1, 1], 2)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "brain.h5"
    n = 3000
    build(np.arange(n), np.roll(np.arange(n), 1), np.ones(n, int), n).save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in (0, 10, 1000, len(content) // 2, len(content) - 1, *rng.integers(0, len(content), 20)):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"brain\.h5"):
            Connectome.load(path)
    path.write_bytes(b"id,type\n1,a\n")
    with pytest.raises(DataError, match=r"brain\.h5"):
        Connectome.load(path)
    for key, wrong in (("electrical", np.array(["x"] * n, object)), ("electrical", np.ones((n, 2))), ("notes", "[]x")):
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            del file[key]
            file[key] = wrong
        with pytest.raises(DataError, match=r"brain\.h5"):
            Connectome.load(path)
    with pytest.raises(DataError, match="no such file"):
        Connectome.load(tmp_path / "absent.h5")


def test_other_hdf5_files_and_other_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not a connfit connectome"):
        Connectome.load(path)
    build([0], [1], [1], 2).save(path)
    with h5py.File(path, "a") as file:
        file.attrs["connfit_connectome"] = 99
    with pytest.raises(DataError, match="format 99"):
        Connectome.load(path)
    for key in ("indices", "neurons", "notes"):
        build([0], [1], [1], 2).save(path)
        with h5py.File(path, "a") as file:
            del file[key]
        with pytest.raises(DataError, match="damaged"):
            Connectome.load(path)
