"""The surrogate's wiring: on a small made-up real part, and on the real fly's tables where they are here."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.connectome import from_pairs
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.datasets.synthetic.fly.fly_draw import Pools, decreasing_counts, fill, kinds
from connfit.datasets.synthetic.fly.fly_generate import Totals
from connfit.datasets.synthetic.fly.fly_parts import SUB_BRAIN_ORDER, sub_brain
from connfit.datasets.synthetic.fly.fly_statistics import (
    WiringStatistics,
    neuropil_pairs,
    statistics_table,
    wiring_statistics,
)
from connfit.datasets.synthetic.fly.fly_wiring import FlyWiring, make_fly_wiring, wiring_from_real
from connfit.errors import ConfigError, DataError

GROUPS = ("EB", "PB", "NO", "BU", "GA", "FB", "EB.FB", "SMP", "SMP.SLP", "SLP", "ME", "ME.LO", "LO")
TOTALS = Totals(pairs=45_000, strong_pairs=11_000, synapses=182_000, threshold=5)
PER_GROUP = 90


def small_table() -> pd.DataFrame:
    """90 neurons per group and side, a few without a side, and a few without neuropil."""
    rows = [(group, side, "intrinsic") for group in GROUPS for side in ("left", "right") for _ in range(PER_GROUP)]
    rows += [("EB", "center", "intrinsic"), ("SMP", "center", "intrinsic"), ("FB", "", "intrinsic")] * 2
    rows += [("NO_CONS", side, "sensory") for side in ("left", "right", "") for _ in range(4)]
    table = pd.DataFrame(rows, columns=["group", "side", "flow"])
    labels = table["group"].str.split(".")
    unpaired = {name for name in FLYWIRE_NEUROPILS if "_" not in name}
    suffix = {"left": "_L", "right": "_R"}

    def named(label: str, side: str) -> str:
        return label if label in unpaired else label + suffix[side] if side in suffix and label != "NO_CONS" else ""

    rng = np.random.default_rng(5)
    table["id"] = rng.permutation(len(table)) + 2**60
    table["transmitter"] = rng.choice(["ACH", "GABA", "GLUT", ""], len(table), p=[0.6, 0.2, 0.15, 0.05])
    table["group_input"] = [named(a[0], s) for a, s in zip(labels, table["side"], strict=True)]
    table["group_output"] = [named(a[-1], s) for a, s in zip(labels, table["side"], strict=True)]
    table["region"] = table["group_output"]
    table["super_class"] = np.where(labels.str[0].isin(["ME", "LO"]), "optic", "central")
    for column in ("type", "class", "sub_class", "hemilineage"):
        table[column] = ""
    return table


def small_real(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connections within a hemisphere: local, with heavy-tailed degrees and a fraction of about 0.15 both ways."""
    rng = np.random.default_rng(6)
    n = len(table)
    sided = table["side"].isin(["left", "right"]).to_numpy() & (table["group"] != "NO_CONS").to_numpy()
    propensity = rng.lognormal(0, 0.8, n) * sided
    popularity = rng.lognormal(0, 0.8, n) * sided
    output, target = table["group_output"].to_numpy(), table["group_input"].to_numpy()
    side = table["side"].to_numpy()
    near = np.where(output[:, None] == target[None], 1.0, 0.02) * (side[:, None] == side[None])
    expected = propensity[:, None] * popularity[None] * near
    chosen = rng.random((n, n)) < np.minimum(0.5, expected * 8500 / expected.sum())
    np.fill_diagonal(chosen, False)
    chosen |= np.triu(chosen).T & (rng.random((n, n)) < 0.08)
    loop = np.flatnonzero(sided)[:3]
    chosen[loop, loop] = True
    pre, post = np.nonzero(chosen)
    return pre, post, 5 + rng.geometric(0.15, len(pre)) - 1


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return small_table()


@pytest.fixture(scope="module")
def real(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return small_real(table)


@pytest.fixture(scope="module")
def wiring(table: pd.DataFrame, real: tuple[np.ndarray, np.ndarray, np.ndarray]) -> FlyWiring:
    return wiring_from_real(table, *real, TOTALS, seed=3)


def pairs_by_id(wiring: FlyWiring, chosen: np.ndarray) -> dict[tuple[int, int], int]:
    brain = wiring.connectome
    pre, post = brain.ids[brain.indices[chosen]], brain.ids[brain.posts[chosen]]
    return dict(zip(zip(pre.tolist(), post.tolist(), strict=True), brain.counts[chosen].tolist(), strict=True))


def test_totals_are_met_exactly(wiring: FlyWiring, real: tuple[np.ndarray, ...]) -> None:
    brain = wiring.connectome
    assert (brain.m, int((brain.counts >= 5).sum())) == (TOTALS.pairs, TOTALS.strong_pairs)
    assert int(brain.counts.sum()) == TOTALS.synapses
    # A Connectome refuses pairs that occur twice.
    assert int(wiring.real.sum()) == len(real[0]) == brain.notes["connections_real"]
    assert brain.notes["surrogate"] is True
    weak = np.bincount(brain.counts)[1:5]
    assert (np.diff(weak) < 0).all()


def test_real_connections_are_all_there_unchanged_and_flagged(
    wiring: FlyWiring, table: pd.DataFrame, real: tuple[np.ndarray, ...]
) -> None:
    ids = table["id"].to_numpy()
    wanted = dict(zip(zip(ids[real[0]].tolist(), ids[real[1]].tolist(), strict=True), real[2].tolist(), strict=True))
    assert pairs_by_id(wiring, wiring.real) == wanted
    assert not set(pairs_by_id(wiring, ~wiring.real)) & set(wanted)


def test_the_table_is_stored_in_local_order_and_keeps_its_rows(wiring: FlyWiring, table: pd.DataFrame) -> None:
    stored = wiring.connectome.neurons
    np.testing.assert_array_equal(stored["id"], table["id"].to_numpy()[stored["source_row"]])
    assert stored["side"].is_monotonic_increasing
    transmitters = stored["transmitter"].to_numpy()
    np.testing.assert_array_equal(wiring.connectome.signs > 0, np.isin(transmitters, ["ACH", ""]))


def test_missing_strong_connections_cross_or_belong_to_neurons_without_real_ones(
    wiring: FlyWiring, real: tuple[np.ndarray, ...]
) -> None:
    brain = wiring.connectome
    side = brain.neurons["side"].to_numpy()
    group = brain.neurons["group"].to_numpy()
    pre, post = brain.indices, brain.posts
    has_real = np.zeros(brain.n, bool)
    has_real[pre[wiring.real]] = has_real[post[wiring.real]] = True
    made = ~wiring.real & (brain.counts >= 5)
    between_known = made & has_real[pre] & has_real[post]
    assert (side[pre[between_known]] != side[post[between_known]]).all()
    optic = np.isin(group, ["ME", "ME.LO", "LO"])
    assert not (optic[pre] & optic[post] & between_known).any()
    assert (group[pre[made]] != "NO_CONS").all() and (group[post[made]] != "NO_CONS").all()
    sideless = (side == "center") | ((side == "") & (group != "NO_CONS"))
    assert all((made & ((pre == one) | (post == one))).any() for one in np.flatnonzero(sideless))
    # Every neuron has a connection, also those that get weak ones only.
    assert wiring.statistics.whole.neurons == brain.n
    assert brain.notes["neurons_with_weak_connections_only"] == 12


def test_reciprocity_degrees_places_and_signs_follow_the_real_part(wiring: FlyWiring) -> None:
    part = wiring.statistics
    target = part.real.reciprocity
    assert 0.1 < target < 0.25
    assert part.whole.reciprocity_strong == pytest.approx(target, abs=0.005)
    assert part.generated.reverse_in_whole == pytest.approx(target, abs=0.03)
    assert part.generated.from_excitatory == pytest.approx(part.real.from_excitatory, abs=0.06)
    assert part.real.across_midline == 0 < part.generated.across_midline < 0.5
    agreement = wiring.statistics.agreement
    assert agreement.out_degree_correlation > 0.65 and agreement.in_degree_correlation > 0.65
    assert agreement.neuropil_pairs_correlation > 0.9
    rate = part.real.self_connections / part.real.pairs
    made = TOTALS.pairs - TOTALS.strong_pairs
    assert part.generated.self_connections == round(rate * made) > 0


def test_a_flat_law_would_fail_the_agreement(wiring: FlyWiring) -> None:
    brain = wiring.connectome
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(brain.n**2, size=40_000))
    flat = from_pairs("flat", keys // brain.n, keys % brain.n, np.ones(len(keys), int), brain.signs, brain.neurons)
    one, other = neuropil_pairs(brain, wiring.real), neuropil_pairs(flat, np.ones(flat.m, bool))
    used = one + other > 0
    assert np.corrcoef(np.log1p(one[used]), np.log1p(other[used]))[0, 1] < 0.6


def test_same_seed_same_wiring(
    wiring: FlyWiring, table: pd.DataFrame, real: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    again, other = (wiring_from_real(table, *real, TOTALS, seed=seed) for seed in (3, 4))
    for key in ("indptr", "indices", "counts", "signs"):
        np.testing.assert_array_equal(getattr(again.connectome, key), getattr(wiring.connectome, key))
    np.testing.assert_array_equal(again.real, wiring.real)
    assert again.statistics == wiring.statistics
    assert set(pairs_by_id(other, ~other.real)) != set(pairs_by_id(wiring, ~wiring.real))
    shuffled = np.random.default_rng(0).permutation(len(real[0]))
    pre, post, counts = (one[shuffled] for one in real)
    permuted = wiring_from_real(table, pre, post, counts, TOTALS, seed=3)
    np.testing.assert_array_equal(permuted.connectome.indices, wiring.connectome.indices)


def test_synapses_lie_on_the_side_of_the_target(wiring: FlyWiring) -> None:
    brain, regions = wiring.connectome, wiring.connectome.regions
    assert regions is not None and regions.names == FLYWIRE_NEUROPILS
    side, group = brain.neurons["side"].to_numpy(), brain.neurons["group"].to_numpy()
    pre, post = brain.indices, brain.posts
    one = int(np.flatnonzero((group == "SMP.SLP") & (side == "left"))[0])
    for suffix, name in (("_L", "left"), ("_R", "right")):
        onto = brain.counts[(pre == one) & (side[post] == name)].sum()
        assert regions.outputs[[FLYWIRE_NEUROPILS.index("SLP" + suffix)], :][:, [one]].sum() == onto
    assert regions.inputs[[FLYWIRE_NEUROPILS.index("SMP_L")], :][:, [one]].sum() == brain.counts[post == one].sum()
    for key in ("outputs", "inputs"):
        placed = int(getattr(regions, key).sum())
        assert placed + brain.notes[f"synapses_without_region_{key}"] == TOTALS.synapses
    assert brain.notes["synapses_without_region_outputs"] > 0


def test_a_sub_brain_has_the_strong_connections_of_the_whole(
    wiring: FlyWiring, table: pd.DataFrame, real: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    part = wiring_from_real(table, *real, TOTALS, seed=3, scale=0.5)
    inside = set(part.connectome.ids.tolist())
    assert 0.3 * len(table) < len(inside) <= 0.5 * len(table)
    strong = pairs_by_id(wiring, wiring.connectome.counts >= 5)
    expected = {pair: count for pair, count in strong.items() if inside.issuperset(pair)}
    assert pairs_by_id(part, part.connectome.counts >= 5) == expected
    share = len(expected) / TOTALS.strong_pairs
    assert part.connectome.m - len(expected) == round(share * (TOTALS.pairs - TOTALS.strong_pairs))
    assert part.connectome.notes["sub_brain"] == part.statistics.sub_brain != "whole brain"


def test_sub_brains_are_nested_and_made_of_whole_neuropils(table: pd.DataFrame) -> None:
    assert sorted(SUB_BRAIN_ORDER) == sorted(FLYWIRE_NEUROPILS)
    before = np.zeros(len(table), bool)
    for scale in (0.4, 0.6, 0.8):
        name, mask = sub_brain(table, scale)
        assert before.sum() <= mask.sum() <= scale * len(table) and not (before & ~mask).any()
        taken = SUB_BRAIN_ORDER[: int(name.split()[0])]
        expected = table["group_input"].isin(taken) & table["group_output"].isin(taken)
        np.testing.assert_array_equal(mask, expected)
        before = mask
    assert sub_brain(table, 1)[1].all()
    with pytest.raises(ConfigError, match=r"at least 6; the smallest scale is 0\.\d+") as caught:
        sub_brain(table, 0.01)
    smallest = float(str(caught.value).rsplit(" ", 1)[1])
    assert sub_brain(table, smallest)[1].any()
    for wrong in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            sub_brain(table, wrong)


def test_wrong_input_is_named(table: pd.DataFrame, real: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ConfigError, match=r"real connections, the total is 10"):
        wiring_from_real(table, *real, Totals(100, 10, 300))
    with pytest.raises(ConfigError, match=r"synapses cannot have"):
        wiring_from_real(table, *real, Totals(45_000, 11_000, 900_000))
    with pytest.raises(ConfigError, match=r"seed = -1"):
        wiring_from_real(table, *real, TOTALS, seed=-1)
    pre, post, counts = (np.append(one, one[:2]) for one in real)
    with pytest.raises(DataError, match="2 real connections are listed twice"):
        wiring_from_real(table, pre, post, counts, TOTALS)
    pre, post, counts = real
    with pytest.raises(DataError, match=r"1 real connections have fewer than 5"):
        wiring_from_real(table, pre, post, np.append(counts[:-1], 4), TOTALS)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1), st.integers(1, 6))
def test_counts_have_the_wanted_number_and_total(pairs: int, share: float, largest: int) -> None:
    total = pairs + round(share * pairs * (largest - 1))
    numbers = decreasing_counts(pairs, total, largest)
    assert (numbers >= 0).all() and numbers.sum() == pairs and numbers @ np.arange(1, largest + 1) == total
    if pairs > 1000 and 0.05 < share < 0.4 and largest > 1:
        assert (np.diff(numbers) < 0).all()


def test_pools_draw_in_proportion_and_never_from_outside() -> None:
    pool = np.array([0, 2, 0, 2, 2])
    pools = Pools.of(pool, np.array([1.0, 3.0, 2.0, 0.0, 1.0]), 3)
    rng = np.random.default_rng(0)
    drawn = pools.draw(np.repeat([0, 1, 2], 8000), rng)
    assert set(drawn[:8000]) == {0, 2} and (drawn[8000:16000] == -1).all() and set(drawn[16000:]) == {1, 4}
    assert (drawn[:8000] == 2).mean() == pytest.approx(2 / 3, abs=0.03)
    assert (drawn[16000:] == 1).mean() == pytest.approx(3 / 4, abs=0.03)


def test_small_kinds_are_widened() -> None:
    fine, coarse = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    assert kinds([fine, coarse], 3).tolist() == [0, 0, 0, 1, 1, 1]
    assert kinds([fine, coarse], 2).tolist() == [0, 0, 0, 2, 1, 1]


@pytest.mark.parametrize("reciprocity", [0.0, 0.3])
def test_fill_meets_quota_and_reciprocity(reciprocity: float) -> None:
    n, rng = 400, np.random.default_rng(1)
    fixed = np.unique(rng.integers(n * n, size=500))

    def draw(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.integers(n, size=number), rng.integers(n, size=number), rng.random(number) < 0.5

    keys = fill(draw, 4000, fixed, n, reciprocity, rng)
    assert len(np.unique(keys)) == 4000 and not np.isin(keys, fixed).any() and (keys // n != keys % n).all()
    back = np.isin(keys % n * n + keys // n, np.concatenate([keys, fixed])).mean()
    chance = 4500 / n**2
    assert back == pytest.approx(max(reciprocity, chance), abs=0.02)


def test_fill_says_when_there_is_no_room() -> None:
    rng = np.random.default_rng(1)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rng.integers(4, size=number), rng.integers(4, size=number), np.zeros(number, bool)

    with pytest.raises(ConfigError, match="room for 12 of 13 connections between 4 neurons"):
        fill(draw, 13, np.zeros(0, np.int64), 4, 0.0, rng)


def test_statistics_by_hand() -> None:
    table = pd.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "type": "", "region": "", "transmitter": "",
            "side": ["left", "left", "right", "center"],
            "group": ["SMP", "SLP.SMP", "SMP", "EB"],
        }
    )  # fmt: skip
    #      1 -> 2 (5, real), 2 -> 1 (7, made), 1 -> 3 (1, made, crosses), 3 -> 3 (2, made), 4 -> 4 (6, real)
    pre, post, counts, signs = map(np.array, ([0, 1, 0, 2, 3], [1, 0, 2, 2, 3], [5, 7, 1, 2, 6], [1, -1, 1, 1]))
    brain = from_pairs("hand", pre, post, counts, signs, table)
    real = np.isin(brain.indices * 10 + brain.posts, [1, 33])
    statistics = wiring_statistics(brain, real)
    whole, part = statistics.whole, statistics.real
    assert (whole.neurons, whole.pairs, whole.pairs_strong, whole.synapses) == (4, 5, 3, 21)
    assert whole.reciprocity == pytest.approx(2 / 3) and whole.reciprocity_strong == 1
    assert part.reciprocity == 0 and part.reverse_in_whole == 1
    assert whole.across_midline == pytest.approx(1 / 5) and whole.self_connections == 2
    assert whole.within_neuropil == pytest.approx(3 / 5)  # 2 -> 1, 3 -> 3, 4 -> 4
    assert whole.from_excitatory == pytest.approx(4 / 5)
    assert whole.synapse_distribution == pytest.approx([0.2, 0.2, 0, 0, 0.6])
    rows = {row.quantity: row for row in statistics_table(statistics)}
    assert rows["connected pairs"].whole == "5" and rows["connected pairs"].literature == "15,091,983"
    assert "doi:10.1038/s41586-024-07968-y" in rows["reciprocity, >= 5 synapses"].source
    assert msgspec.json.decode(json.dumps(asdict(statistics)), type=WiringStatistics) == statistics


@pytest.fixture(scope="module")
def fly() -> FlyWiring:
    folder = os.environ.get("CONNFIT_DATA") or str(Path(__file__).parents[2] / "shared" / "data")
    if not (Path(folder) / "flywire" / "connections_within_hemisphere.parquet").exists():
        pytest.skip("needs the fly data: set CONNFIT_DATA to the folder that holds flywire/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONNFIT_DATA", folder)
        return make_fly_wiring(0.01, seed=0)


def test_the_fly_at_small_scale(fly: FlyWiring) -> None:
    brain, whole, real = fly.connectome, fly.statistics.whole, fly.statistics.real
    assert 1200 < brain.n <= 1386 and brain.name == "fly-surrogate"
    assert real.pairs_strong == real.pairs == int(fly.real.sum()) > 10_000
    assert brain.regions is not None and (np.asarray(brain.regions.outputs.sum(axis=1)) > 0).sum() >= 6
    ratio = (15_091_983 - 2_701_601) / 2_701_601
    assert whole.pairs / whole.pairs_strong - 1 == pytest.approx(ratio, rel=1e-3)
    assert whole.reciprocity_strong == pytest.approx(real.reciprocity, abs=0.03)
    assert fly.statistics.agreement.neuropil_pairs_correlation > 0.9
    numbers = brain.notes["missing_strong_connections"]
    missing = numbers["of_neurons_without_real_connections"] + numbers["across_the_midline"]
    assert missing == 2_701_601 - 2_309_630
    matrix = sp.csr_array((np.ones(brain.m), brain.indices, brain.indptr), shape=(brain.n, brain.n))
    labels = sp.csgraph.connected_components(matrix)[1]
    assert np.bincount(labels).max() > 0.98 * brain.n
