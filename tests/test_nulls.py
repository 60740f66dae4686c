"""Each null keeps exactly what it says, and nothing of what it says that it destroys."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, permutations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_connectome

from connfit._registry import LAST
from connfit.connectome import Connectome, from_pairs
from connfit.connectome.nulls import NULLS, make_null
from connfit.connectome.nulls.erdos_renyi import erdos_renyi
from connfit.connectome.nulls.no_recurrence import no_recurrence
from connfit.connectome.nulls.rewire_degrees import rewire_degrees
from connfit.connectome.nulls.rewire_within_regions import rewire_within_regions
from connfit.connectome.nulls.shuffle_counts import shuffle_counts
from connfit.connectome.nulls.shuffle_signs import shuffle_signs
from connfit.connectome.nulls.swaps import rewired
from connfit.connectome.regions import RegionSynapses
from connfit.errors import ConfigError, DataError
from connfit.models import RateModel, Readout, init_params
from connfit.training.learners import WindowArrays, WindowedLearner

NEURONS, INPUTS = 300, 10


@lru_cache(maxsize=1)
def brain() -> Connectome:
    """Uneven degrees, gap junctions, self-connections, three regions and neurons without any."""
    rng = np.random.default_rng(3)
    draft = random_connectome(rng, NEURONS, INPUTS, electrical=40)
    hubs = (rng.integers(NEURONS, size=600), rng.integers(20, size=600))
    chemical = ~draft.electrical
    pre = np.r_[draft.indices[chemical], hubs[1], draft.indices[draft.electrical]]
    post = np.r_[draft.posts[chemical], hubs[0], draft.posts[draft.electrical]]
    counts = np.r_[draft.counts[chemical], rng.integers(1, 60, 600), draft.counts[draft.electrical]]
    gap = np.arange(len(pre)) >= len(pre) - draft.electrical.sum()
    table = draft.neurons.assign(region=[("A", "B", "C", "")[k % 4] for k in range(NEURONS)])
    return from_pairs("brain", pre, post, counts, draft.signs, table, electrical=gap, notes={"source": "a test"})


def chemical(connectome: Connectome) -> pd.DataFrame:
    """pre, post and count of every chemical connection."""
    kept = ~connectome.electrical
    return pd.DataFrame(
        {"pre": connectome.indices[kept], "post": connectome.posts[kept], "count": connectome.counts[kept]}
    )


def pairs(connectome: Connectome) -> set[tuple[int, int]]:
    edges = chemical(connectome)
    return set(zip(edges["pre"].tolist(), edges["post"].tolist(), strict=True))


def loops(connectome: Connectome) -> set[tuple[int, int]]:
    return {(pre, post) for pre, post in pairs(connectome) if pre == post}


def gap_junctions(connectome: Connectome) -> set[tuple[int, int, int]]:
    gap = connectome.electrical
    return set(
        zip(
            connectome.indices[gap].tolist(),
            connectome.posts[gap].tolist(),
            connectome.counts[gap].tolist(),
            strict=True,
        )
    )


def output_counts(connectome: Connectome) -> list[list[int]]:
    """Synapse counts of each neuron's outputs, sorted."""
    by_neuron: list[list[int]] = [[] for _ in range(connectome.n)]
    for pre, count in chemical(connectome)[["pre", "count"]].to_numpy().tolist():
        by_neuron[pre].append(count)
    return [sorted(counts) for counts in by_neuron]


def degrees(connectome: Connectome) -> tuple[list[int], list[int]]:
    edges = chemical(connectome)
    n = connectome.n
    return np.bincount(edges["pre"], minlength=n).tolist(), np.bincount(edges["post"], minlength=n).tolist()


def region_degrees(connectome: Connectome) -> Counter:
    """Connections by (neuron, region of the other end), both ways."""
    region = connectome.neurons["region"].to_numpy()
    found: Counter = Counter()
    for pre, post in pairs(connectome):
        found["out", pre, region[post]] += 1
        found["in", post, region[pre]] += 1
    return found


def same_regions(one: RegionSynapses, other: RegionSynapses) -> bool:
    return one.names == other.names and all(
        (getattr(one, key) != getattr(other, key)).nnz == 0 for key in ("outputs", "inputs")
    )


@pytest.mark.parametrize("name", NULLS)
def test_every_null_keeps_neurons_and_says_what_it_is(name: str) -> None:
    null = make_null(brain(), name, seed=4)
    said = null.notes["null"]
    entry = NULLS[name]
    assert entry.label and entry.keeps and entry.changes and entry.place < LAST
    assert null.name == f"brain-{name}" == f"brain-{said['name']}"
    assert said["seed"] == 4 and said["preserves"] and said["destroys"]
    assert null.notes["source"] == "a test"
    pd.testing.assert_frame_equal(null.neurons, brain().neurons)
    assert gap_junctions(null) == (set() if name == "no_recurrence" else gap_junctions(brain()))


@pytest.mark.parametrize("name", NULLS)
def test_equal_seeds_give_equal_nulls(name: str) -> None:
    one, same, other = (make_null(brain(), name, seed=seed) for seed in (1, 1, 2))
    keys = ("indptr", "indices", "counts", "signs", "electrical")
    assert all(np.array_equal(getattr(one, key), getattr(same, key)) for key in keys)
    assert all(np.array_equal(getattr(one, key), getattr(other, key)) for key in keys) != NULLS[name].seeded


@pytest.mark.parametrize("name", NULLS)
def test_nulls_survive_a_file(name: str, tmp_path) -> None:
    null = make_null(brain(), name)
    null.save(tmp_path / "null.h5")
    again = Connectome.load(tmp_path / "null.h5")
    assert again.notes["null"] == null.notes["null"]
    assert again.m == null.m and np.array_equal(again.indices, null.indices)


def test_shuffled_signs_belong_to_other_neurons() -> None:
    null = shuffle_signs(brain())
    assert np.array_equal(null.indices, brain().indices) and np.array_equal(null.counts, brain().counts)
    assert (null.signs > 0).sum() == (brain().signs > 0).sum()
    # A permutation leaves a neuron its sign with chance p² + q², about a half: 150 ± 9 of 300.
    assert abs(null.notes["null"]["neurons_with_their_sign"] - NEURONS / 2) < 45


@pytest.mark.parametrize("within", ["all", "inputs", "outputs"])
def test_shuffled_counts_are_those_of_other_connections(within: str) -> None:
    null = shuffle_counts(brain(), within=within)
    before, after = chemical(brain()), chemical(null)
    pd.testing.assert_frame_equal(before[["pre", "post"]], after[["pre", "post"]])
    assert sorted(before["count"]) == sorted(after["count"])
    for key, group in (("post", "inputs"), ("pre", "outputs")):
        per_neuron = [edges.groupby(key)["count"].apply(sorted) for edges in (before, after)]
        assert per_neuron[0].equals(per_neuron[1]) == (within == group)
    assert (before["count"] == after["count"]).mean() < 0.4
    with pytest.raises(ConfigError, match="within"):
        shuffle_counts(brain(), within="input")


@pytest.mark.parametrize("rewire", [rewire_degrees, rewire_within_regions])
def test_rewiring_keeps_degrees_signs_and_output_counts(rewire) -> None:
    null = rewire(brain())
    assert degrees(null) == degrees(brain())
    assert np.array_equal(null.signs, brain().signs)
    assert output_counts(null) == output_counts(brain())
    assert loops(null) == loops(brain()) != set()
    assert len(pairs(null)) == len(pairs(brain())) == len(chemical(null))
    said = null.notes["null"]
    assert said["self_connections_kept"] == len(loops(brain()))
    assert said["kept_connections"] == len(pairs(null) & pairs(brain())) - len(loops(brain()))
    assert said["swaps_per_connection"] >= 9


def test_rewiring_destroys_what_it_says() -> None:
    across, within = rewire_degrees(brain()), rewire_within_regions(brain())
    assert region_degrees(within) == region_degrees(brain()) != region_degrees(across)
    for null in (across, within):
        said = null.notes["null"]
        # Some 3,500 connections of which a few hundred are expected to be hit by chance: ± 6 %.
        assert said["kept_share"] == pytest.approx(said["kept_share_expected"], rel=0.35)
        assert said["kept_share"] == pytest.approx(said["kept_share_half_way"], rel=0.2)
        assert said["kept_share"] < 0.25
    inputs = [chemical(one).groupby("post")["count"].sum() for one in (brain(), across)]
    assert not inputs[0].equals(inputs[1])


def test_rewiring_within_regions_counts_neurons_without_one() -> None:
    assert rewire_within_regions(brain()).notes["null"]["neurons_without_region"] == NEURONS // 4
    with pytest.raises(DataError, match=r"no regions.*rewire_degrees"):
        rewire_within_regions(replace(brain(), neurons=brain().neurons.assign(region="")))


@pytest.mark.slow
def test_swaps_reach_every_wiring_equally_often() -> None:
    """Against all wirings with the same degrees, one by one; from one of those that few swaps lead to."""
    pre, post, n = np.array([0, 0, 1, 2, 3, 3]), np.array([1, 2, 3, 0, 0, 1]), 4

    def degrees_of(edges) -> list[list[int]]:
        return [np.bincount(ends, minlength=n).tolist() for ends in zip(*edges, strict=True)]

    wanted = degrees_of(zip(pre, post, strict=True))
    possible = [frozenset(edges) for edges in combinations(permutations(range(n), 2), 6) if degrees_of(edges) == wanted]
    rng, draws = np.random.default_rng(0), 240
    found = Counter(
        frozenset(zip(pre.tolist(), rewired(pre, post, n, rng).post.tolist(), strict=True)) for _ in range(draws)
    )
    assert set(found) == set(possible) and len(possible) == 6
    expected = draws / len(possible)
    # χ² with 5 degrees of freedom: above 20.5 once in a thousand; the seed is fixed.
    assert sum((found[one] - expected) ** 2 / expected for one in possible) < 20.5


def graph(draw: st.DrawFn) -> Connectome:
    n = draw(st.integers(1, 7))
    present = np.array(draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))).reshape(n, n)
    post, pre = np.nonzero(present)
    counts = np.arange(1, len(post) + 1)
    regions = draw(st.lists(st.sampled_from(["x", "y"]), min_size=n, max_size=n))
    table = pd.DataFrame({"id": np.arange(n), "type": "", "region": regions, "transmitter": "", "side": ""})
    signs = np.array(draw(st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n)))
    return from_pairs("graph", pre, post, counts, signs, table)


@settings(max_examples=60, deadline=None)
@given(st.composite(graph)(), st.integers(0, 5))
def test_any_small_wiring(wiring: Connectome, seed: int) -> None:
    """Empty, complete, with self-connections: every null ends and is valid (a Connectome checks itself)."""
    for name in NULLS:
        null = make_null(wiring, name, seed=seed)
        if name == "no_recurrence":
            assert null.m == 0
            continue
        assert null.m == wiring.m and sorted(null.counts) == sorted(wiring.counts)
        assert loops(null) == loops(wiring)
        if name.startswith("rewire"):
            assert degrees(null) == degrees(wiring) and output_counts(null) == output_counts(wiring)
        if name == "rewire_within_regions":
            assert region_degrees(null) == region_degrees(wiring)


def test_wiring_without_possible_swaps_says_so() -> None:
    n = 30
    post, pre = np.nonzero(~np.eye(n, dtype=bool))
    table = pd.DataFrame({"id": np.arange(n), "type": "", "region": "", "transmitter": "", "side": ""})
    complete = from_pairs("complete", pre, post, np.ones(len(pre), int), np.ones(n, int), table)
    said = rewire_degrees(complete).notes["null"]
    assert said["swaps_per_connection"] == 0 and said["kept_share"] == 1
    assert erdos_renyi(complete).notes["null"]["kept_share"] == 1


def test_dense_wiring_is_still_mixed() -> None:
    rng, n = np.random.default_rng(0), 40
    post, pre = np.nonzero((rng.random((n, n)) < 0.5) & ~np.eye(n, dtype=bool))
    table = pd.DataFrame({"id": np.arange(n), "type": "", "region": "", "transmitter": "", "side": ""})
    dense = from_pairs("dense", pre, post, np.ones(len(pre), int), np.ones(n, int), table)
    null = rewire_degrees(dense)
    assert degrees(null) == degrees(dense)
    # Of random wirings in which half of all pairs are connected, half of the connections are shared.
    assert null.notes["null"]["kept_share"] == pytest.approx(0.5, abs=0.08)
    assert null.notes["null"]["kept_share_half_way"] == pytest.approx(0.5, abs=0.08)
    assert null.notes["null"]["swaps_per_connection"] >= 5


def test_random_pairs_keep_only_numbers() -> None:
    null = erdos_renyi(brain())
    assert null.m == brain().m and loops(null) == loops(brain())
    assert sorted(null.counts) == sorted(brain().counts)
    out, _ = degrees(null)
    # Uneven outputs (20 neurons make a sixth of all connections) become those of chance, m/n ± its root.
    mean = np.mean(out)
    assert np.var(degrees(brain())[0]) > 4 * mean and np.var(out) < 1.5 * mean
    said = null.notes["null"]
    assert said["kept_connections"] == len(pairs(null) & pairs(brain())) - len(loops(brain()))
    assert said["kept_share"] == pytest.approx(said["kept_share_expected"], rel=0.35)


def test_the_read_out_stays() -> None:
    """By regions of the source where it counts them, else by those that follow from the original's wiring."""
    before = Readout.by_anatomy(brain(), ("A", "B", "C")).matrix
    for name in NULLS:
        null = make_null(brain(), name)
        assert null.regions is not None
        assert (Readout.by_anatomy(null, ("A", "B", "C")).matrix != before).nnz == 0
    received = np.bincount(chemical(brain())["post"], weights=chemical(brain())["count"], minlength=NEURONS)
    has_region = (brain().neurons["region"] != "").to_numpy()
    inputs = make_null(brain(), "erdos_renyi").regions.inputs
    np.testing.assert_array_equal(inputs.sum(axis=0), np.where(has_region, received, 0))
    own = RegionSynapses(("P",), sp.csr_array(np.ones((1, NEURONS), int)), sp.csr_array(np.ones((1, NEURONS), int)))
    assert same_regions(make_null(replace(brain(), regions=own), "rewire_degrees").regions, own)
    assert make_null(replace(brain(), neurons=brain().neurons.assign(region="")), "rewire_degrees").regions is None


def test_a_null_of_a_null_says_so() -> None:
    twice = shuffle_signs(rewire_degrees(brain(), seed=7), seed=8)
    assert twice.name == "brain-rewire_degrees-shuffle_signs"
    assert twice.notes["null"]["of"]["name"] == "rewire_degrees" and twice.notes["null"]["of"]["seed"] == 7


def test_unknown_null() -> None:
    with pytest.raises(ConfigError, match="did you mean 'rewire_degrees'"):
        make_null(brain(), "rewire_degree")


def test_a_model_without_recurrence_learns_the_rest() -> None:
    null = no_recurrence(brain())
    readout = Readout.by_anatomy(null, ("A", "B", "C"))
    model = RateModel.from_connectome(null, readout, step_s=0.5)
    params = init_params(model, null, readout)
    assert params["weights"].shape == (0,)
    rng = np.random.default_rng(0)
    shape = (4, 3, 1)
    inputs, targets = (jnp.asarray(rng.random(shape), jnp.float32) for _ in range(2))
    window = WindowArrays(inputs, jnp.ones(shape, bool), targets, jnp.ones(shape))
    for credit in ("neuron", "network"):
        learner = WindowedLearner(4, credit, "trace")
        result, memory = learner.step(model, params, learner.start(model, 1, model.groups), window, model.groups)
        assert result.gradient["weights"].shape == (0,) and memory.traces["weights"].shape == (1, 0, 1)
        assert float(jnp.abs(result.gradient["drive"]).sum()) > 0


def test_a_name_in_the_place_of_the_connectome_is_named() -> None:
    with pytest.raises(ConfigError, match="takes the connectome first and the name of the null second"):
        make_null("no_recurrence", brain())  # type: ignore[arg-type]
