"""Connectomes with real-valued weights, and with neurons that make connections of both signs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_connectome

from connfit.connectome import Connectome, from_pairs
from connfit.connectome.anatomy import presynapses_by_region
from connfit.connectome.nulls import NULLS
from connfit.connectome.tables import connectome_from_tables
from connfit.errors import ConfigError, DataError
from connfit.models import RateModel, Readout
from connfit.models.init.own_response import signed_weights
from connfit.training.checkpoints import check_wiring
from connfit.training.parameter_tables import weights_table

NAMES = [f"r{k}" for k in range(4)]


def table(rows: list[tuple], size: str = "weight") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["pre", "post", size])


def weighted(rows: list[tuple], **options) -> Connectome:
    given = {"count": None, "weight": "weight", "unknown_transmitter": "excitatory", **options}
    return connectome_from_tables(
        "w", table(rows), pd.DataFrame({"id": NAMES, "region": ["a", "a", "b", "b"]}), **given
    )


def drawn(seed: int, *, real: bool = True, mixed: bool = True, electrical: int = 3) -> Connectome:
    rng = np.random.default_rng(seed)
    brain = random_connectome(rng, 9, 4, electrical=electrical, mixed=mixed)
    counts = brain.counts
    if real:
        counts = np.where(brain.electrical, counts, rng.lognormal(size=brain.m)).astype(np.float32)
    table = brain.neurons.assign(region=["a", "b", "c"] * 3)
    return replace(brain, counts=counts, neurons=table)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_files_and_subsets_keep_weights_and_signs(tmp_path_factory, seed: int, real: bool, mixed: bool) -> None:
    brain = drawn(seed, real=real, mixed=mixed)
    path = tmp_path_factory.mktemp("brains") / "a.h5"
    brain.save(path)
    again = Connectome.load(path)
    for key in ("indptr", "indices", "counts", "signs", "electrical", "connection_signs"):
        np.testing.assert_array_equal(getattr(again, key), getattr(brain, key), err_msg=key)
    assert again.weighted == real and (again.mixed_signs is None) == (brain.mixed_signs is None)
    keep = np.random.default_rng(seed).permutation(9)[:5]
    whole = brain.matrix().toarray()[np.ix_(keep, keep)]
    np.testing.assert_allclose(brain.subset(keep).matrix().toarray(), whole, rtol=1e-6)


def test_signs_that_agree_with_the_neurons_are_no_signs_of_connections() -> None:
    brain = drawn(0, mixed=False)
    assert replace(brain, mixed_signs=brain.connection_signs).mixed_signs is None
    assert brain.flipped is None
    other = brain.connection_signs.copy()
    first = int(np.flatnonzero(~brain.electrical)[0])
    other[first] *= -1
    flipped = replace(brain, mixed_signs=other).flipped
    assert flipped is not None and np.flatnonzero(flipped).tolist() == [first]


def test_a_file_that_older_releases_would_misread_says_that_it_is_newer(tmp_path: Path) -> None:
    versions = []
    for real, mixed in ((False, False), (True, False), (False, True)):
        drawn(1, real=real, mixed=mixed).save(tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5") as file:
            versions.append(int(file.attrs["connfit_connectome"]))
    assert versions == [2, 3, 3]


@pytest.mark.parametrize("name", list(NULLS))
def test_every_null_takes_the_sign_along_with_the_size(name: str) -> None:
    brain = drawn(3)
    null = NULLS[name].make(brain, seed=1)
    if name == "no_recurrence":
        assert null.m == 0
        return
    assert null.weighted
    chemical = ~brain.electrical
    sizes = brain.counts * brain.connection_signs
    others = null.counts * null.connection_signs
    together = name not in ("shuffle_signs", "shuffle_counts", "shuffle_input_counts", "shuffle_output_counts")
    if together:
        np.testing.assert_array_equal(np.sort(others[~null.electrical]), np.sort(sizes[chemical]))
    else:
        np.testing.assert_array_equal(np.sort(null.counts[~null.electrical]), np.sort(brain.counts[chemical]))
        assert (null.connection_signs[~null.electrical] < 0).sum() == (brain.connection_signs[chemical] < 0).sum()
    assert not np.array_equal(null.matrix().toarray(), brain.matrix().toarray())
    # Gap junctions stay as they are.
    both = [np.sort(each.counts[each.electrical]) for each in (brain, null)]
    np.testing.assert_array_equal(*both)


def test_weights_of_columns_are_those_of_the_matrix() -> None:
    brain = weighted([("r0", "r1", 0.09), ("r1", "r0", 1.0), ("r2", "r1", 0.5), ("r2", "r1", 0.25), ("r3", "r0", 0.0)])
    expected = np.zeros((4, 4))
    expected[1, 0], expected[0, 1], expected[1, 2] = 0.09, 1.0, 0.75
    np.testing.assert_allclose(brain.matrix().toarray(), expected, rtol=1e-6)
    assert brain.notes["zero_weight_rows_dropped"] == 1 and brain.m == 3
    found = brain.summary()
    assert found.synapses is None and found.total_weight == pytest.approx(1.84)
    assert "synapses" not in repr(brain)
    regions, presynapses = presynapses_by_region(brain)
    np.testing.assert_allclose(presynapses.toarray(), [[0.09, 1.0, 0.75, 0], [0, 0, 0, 0]], rtol=1e-6)
    assert regions == ("a", "b")


@pytest.mark.parametrize("form", ["negative weights", "words", "numbers"])
def test_signs_of_edges_by_weights_and_by_a_column(form: str) -> None:
    ends = [("r0", "r1"), ("r0", "r2"), ("r1", "r0"), ("r3", "r2")]
    values, signs = [0.5, 2.0, 1.0, 3.0], [1, -1, -1, 1]
    if form == "negative weights":
        brain = weighted([(*pair, v * s) for pair, v, s in zip(ends, values, signs, strict=True)])
    else:
        words = signs if form == "numbers" else [{1: "Excitatory", -1: "inh"}[s] for s in signs]
        edges = pd.DataFrame(ends, columns=["pre", "post"]).assign(weight=values, way=words)
        brain = connectome_from_tables("w", edges, pd.DataFrame({"id": NAMES}), count=None, weight="weight", sign="way")
    expected = np.zeros((4, 4))
    expected[1, 0], expected[2, 0], expected[0, 1], expected[2, 3] = 0.5, -2.0, -1.0, 3.0
    np.testing.assert_allclose(brain.matrix().toarray(), expected, rtol=1e-6)
    # A neuron's own sign is that of most of what it makes; r0 makes both.
    assert brain.signs.tolist() == [-1, -1, 1, 1] and brain.mixed_signs is not None
    assert brain.notes["sign_rule"] == "signs of the edges"


def test_neurons_are_those_of_the_edges_where_there_is_no_table() -> None:
    brain = connectome_from_tables(
        "e", table([("b", "a", 2), ("c", "b", 1)], "synapses"), None, sign_rule={}, unknown_transmitter="excitatory"
    )
    assert brain.ids.tolist() == ["b", "c", "a"]
    assert brain.matrix().toarray()[2, 0] == 2


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("r0", "r1", float("nan"))], {}, "row 1: weight is empty"),
        ([("r0", "r1", "x")], {}, "row 1: weight = 'x' is no finite number"),
        ([("r0", "r1", "0x10"), ("r1", "r0", "1")], {}, "row 1: weight = '0x10'"),
        ([("r0", "r1", "1,5")], {}, "decimal point"),
        ([("r0", "r1", 1.0), ("r0", "r1", -2.0)], {}, "rows from r0 to r1 have both signs"),
        ([("r0", "r1", 1.0)], {"count": "weight"}, "both set"),
        ([("r0", "r1", 1.0)], {"min_synapses": 3}, "min_synapses = 3 counts synapses"),
        ([("r0", "r1", -1.0)], {"sign_rule": "shiu"}, "the edges have signs of their own"),
        ([("r0", "r1", 1.0)], {"unknown_transmitter": "error"}, "no neuron has a transmitter"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(rows: list, options: dict, message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        weighted(rows, **options)


def test_signs_in_words_that_are_none_are_named() -> None:
    edges = table([("r0", "r1", 1.0)]).assign(way="maybe")
    with pytest.raises(DataError, match="row 1: way = 'maybe' is no sign"):
        connectome_from_tables("w", edges, pd.DataFrame({"id": NAMES}), count=None, weight="weight", sign="way")


@pytest.mark.parametrize("electrical", [0, 3])
def test_the_matrix_that_a_start_is_found_with_has_the_signs_of_connections(electrical: int) -> None:
    brain = drawn(5, electrical=electrical)
    readout = Readout(sp.csr_array(np.eye(2, brain.n)), ("u0", "u1"))
    model = RateModel.from_connectome(brain, readout, step_s=0.5)
    by_pre = np.linspace(0.5, 1.5, brain.n)
    found = signed_weights(model, brain.counts, by_pre).toarray()
    np.testing.assert_allclose(found, brain.matrix().toarray() * by_pre, rtol=1e-6)


def test_rows_of_both_signs_are_refused_in_python_too() -> None:
    neurons = drawn(0).neurons
    with pytest.raises(DataError, match="have both signs"):
        from_pairs("x", [0, 0], [1, 1], [1, 2], np.ones(9, int), neurons, mixed_signs=[1, -1])


def test_tables_speak_of_synapses_only_where_they_were_counted() -> None:
    for real, title in ((True, "source_weight"), (False, "synapses")):
        brain = drawn(5, real=real, electrical=0)
        readout = Readout(sp.csr_array(np.eye(2, brain.n)), ("u0", "u1"))
        model = RateModel.from_connectome(brain, readout, step_s=0.5)
        weights = {"weights": np.ones(brain.m, np.float32)}
        table = weights_table(brain, model, weights, weights)
        assert {"source_weight", "synapses"} & set(table.columns) == {title}
        np.testing.assert_array_equal(table[title], brain.counts)
        np.testing.assert_array_equal(table["weight_fitted"], brain.connection_signs)


def test_a_run_notices_that_signs_of_connections_are_others() -> None:
    brain = drawn(2)
    assert brain.mixed_signs is not None
    check_wiring(brain, replace(brain), Path("connectome.h5"))
    other = brain.mixed_signs.copy()
    other[int(np.flatnonzero(~brain.electrical)[0])] *= -1
    for changed in (other, None):
        with pytest.raises(DataError, match="not the connectome that was fitted"):
            check_wiring(replace(brain, mixed_signs=changed), brain, Path("connectome.h5"))
