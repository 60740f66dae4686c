"""Tables in the layout of FlyWire Codex: read back exactly by all routes, and every wrong row is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fly_files import FlyBrain, fly_brain, rewrite, write_codex, write_malecns, write_shiu
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connfit.connectome import Connectome
from connfit.datasets.flywire import codex_connectome
from connfit.datasets.loading import load_connectome
from connfit.datasets.malecns import malecns_connectome
from connfit.datasets.registry import DATASETS
from connfit.datasets.shiu import shiu_connectome
from connfit.errors import ConfigError, ConnfitError, DataError, NotAvailableError

RULE = {"sign_rule": "shiu", "order": "source"}


@pytest.fixture(scope="module")
def brain() -> FlyBrain:
    return fly_brain()


@pytest.fixture(scope="module")
def few() -> FlyBrain:
    """A brain small enough to be written once for every mistake."""
    return fly_brain(neurons=100, rows=600)


@pytest.fixture(scope="module")
def codex(brain: FlyBrain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_codex(brain, tmp_path_factory.mktemp("codex"))


def same_wiring(read: Connectome, brain: FlyBrain, min_synapses: int = 1) -> None:
    pairs = brain.pairs(min_synapses)
    assert read.ids.dtype == np.int64 and read.ids.min() > 2**53
    np.testing.assert_array_equal(read.ids, brain.ids)
    np.testing.assert_array_equal(read.posts, pairs["post"])
    np.testing.assert_array_equal(read.indices, pairs["pre"])
    np.testing.assert_array_equal(read.counts, pairs["count"])
    np.testing.assert_array_equal(read.signs, brain.signs)


@pytest.mark.parametrize("min_synapses", [1, 5])
def test_all_formats_give_the_same_connectome(brain: FlyBrain, tmp_path: Path, min_synapses: int) -> None:
    options = {"min_synapses": min_synapses, "order": "source"}
    for header in (True, False):
        tables = write_codex(brain, tmp_path, header=header)
        read = codex_connectome(**tables, **options, sign_rule="shiu")
        same_wiring(read, brain, min_synapses)
        assert read.notes["header_row"] is header and read.notes["edge_rows"] == len(brain.rows)
    same_wiring(shiu_connectome(**write_shiu(brain, tmp_path), **options), brain, min_synapses)
    same_wiring(malecns_connectome(**write_malecns(brain, tmp_path), **options, sign_rule="shiu"), brain, min_synapses)


def test_the_threshold_is_of_the_pair_and_what_it_leaves_out_is_counted(
    brain: FlyBrain, codex: dict[str, Path]
) -> None:
    pairs = brain.pairs()
    read = codex_connectome(**codex, **RULE, min_synapses=5)
    weak = pairs["count"] < 5
    assert read.notes["weak_connections_dropped"] == weak.sum() > 0
    assert read.notes["synapses_of_weak_connections_dropped"] == pairs["count"][weak].sum()
    # Pairs whose every row is below the threshold but whose sum is not.
    strongest = brain.rows.groupby(["post", "pre"])["count"].max()
    assert ((strongest < 5).to_numpy() & ~weak.to_numpy()).any()


def test_regions_count_the_synapses_of_each_neuropil(brain: FlyBrain, codex: dict[str, Path]) -> None:
    read = codex_connectome(**codex, **RULE)
    assert read.regions is not None
    known = brain.rows[brain.rows["neuropil"] != "UNASGD"]
    assert list(read.regions.names) == sorted(known["neuropil"].unique())
    assert read.notes["synapses_without_region"] == brain.rows["count"].sum() - known["count"].sum() > 0
    for counts, end in ((read.regions.outputs, "pre"), (read.regions.inputs, "post")):
        expected = known.pivot_table(index="neuropil", columns=end, values="count", aggfunc="sum", fill_value=0)
        expected = expected.reindex(columns=range(read.n), fill_value=0)
        np.testing.assert_array_equal(counts.toarray(), expected.to_numpy())
    strong = codex_connectome(**codex, **RULE, min_synapses=5)
    assert strong.regions is not None
    assert strong.regions.outputs.sum() + strong.notes["synapses_without_region"] == strong.counts.sum()


def test_storage_order_changes_nothing_but_the_order(codex: dict[str, Path]) -> None:
    source = codex_connectome(**codex, **RULE)
    local = codex_connectome(**codex, sign_rule="shiu")
    assert not np.array_equal(source.ids, local.ids)
    position = local.index_of(source.ids)
    again = local.subset(position)
    np.testing.assert_array_equal(again.matrix().toarray(), source.matrix().toarray())
    assert again.regions is not None and source.regions is not None
    np.testing.assert_array_equal(again.regions.outputs.toarray(), source.regions.outputs.toarray())
    np.testing.assert_array_equal(local.neurons["source_row"].to_numpy()[position], np.arange(source.n))
    keys = local.neurons[["side", "region", "super_class"]].apply(tuple, axis=1).tolist()
    assert keys == sorted(keys)


def test_neurons_without_a_row_are_left_out_and_counted(brain: FlyBrain, tmp_path: Path) -> None:
    lonely = FlyBrain(brain.neurons, brain.rows[(brain.rows["pre"] > 9) & (brain.rows["post"] > 9)])
    read = codex_connectome(**write_codex(lonely, tmp_path), **RULE)
    assert read.n == len(brain.ids) - 10 and read.notes["neurons_without_connections_removed"] == 10
    np.testing.assert_array_equal(read.ids, brain.ids[10:])
    expected = lonely.pairs()
    np.testing.assert_array_equal(read.indices, expected["pre"] - 10)


def test_self_connections_and_silent_neurons(brain: FlyBrain, codex: dict[str, Path]) -> None:
    pairs = brain.pairs()
    loops = (pairs["pre"] == pairs["post"]).to_numpy()
    unknown = (brain.neurons["nt_type"] == "").to_numpy()[pairs["pre"]]
    read = codex_connectome(**codex, **RULE, self_connections="drop", unknown_transmitter="drop")
    assert read.m == len(pairs) - (loops | unknown).sum()
    assert read.notes["self_connections_dropped"] == loops.sum()
    assert read.notes["unknown_transmitter_connections_dropped"] == (unknown & ~loops).sum() > 0
    with pytest.raises(DataError, match="says nothing about the transmitter"):
        codex_connectome(**codex, unknown_transmitter="error")
    with pytest.raises(ConfigError, match="min_synapses = 0"):
        codex_connectome(**codex, min_synapses=0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_of_rows_and_their_split_into_neuropils_do_not_matter(tmp_path: Path, data: st.DataObject) -> None:
    small = fly_brain(neurons=12, rows=20)
    order = data.draw(st.permutations(range(len(small.rows))))
    rows = small.rows.iloc[order].reset_index(drop=True)
    split = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    divided = rows["count"].gt(1) & np.array(split) & (rows["neuropil"] != "EB")
    rest = rows[divided].assign(neuropil="EB", count=1)
    rest = rest.groupby(["pre", "post", "neuropil"], as_index=False)["count"].sum()
    rows.loc[divided, "count"] -= 1
    shuffled = FlyBrain(small.neurons, pd.concat([rows, rest], ignore_index=True))
    read = codex_connectome(**write_codex(shuffled, tmp_path), **RULE)
    same_wiring(read, small)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("connections", "neuropil", "region", "no column 'neuropil'.*The columns are 'pre_root_id'"),
        ("connections", "syn_count", "syn", "no column 'syn_count'.*Did you mean 'syn'"),
        ("neurons", "group", "groups", "no column 'group'"),
        ("classification", "super_class", "superclass", "no column 'super_class'"),
        ("neurons", ",AL,", ",ALX,", "'ALX' in column 'group' is not a neuropil"),
    ],
)
def test_wrong_tables_are_named(few: FlyBrain, tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    tables = write_codex(few, tmp_path)
    rewrite(tables[table], old, new)
    with pytest.raises(DataError, match=message) as caught:
        codex_connectome(**tables, **RULE)
    assert tables[table].name in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("neuropil", "LPO_R", r"row 7: neuropil 'LPO_R' is not known.*did you mean 'LO"),
        ("neuropil", "LOP", r"row 7: neuropil 'LOP' is not known"),
        ("syn_count", -3, "row 7: syn_count = -3 is below 1"),
        ("syn_count", 0, "row 7: syn_count = 0 is below 1"),
        ("syn_count", 2.5, "row 7: syn_count = '2.5' is not a whole number"),
        ("syn_count", "", "row 7: syn_count is empty"),
        ("syn_count", 2**40, f"row 7: syn_count = {2**40} is above"),
        ("pre_root_id", "7.2e+17", r"row 7: pre_root_id = '7.2e\+17' is not a whole number"),
        ("pre_root_id", "9" * 20, "row 7: pre_root_id = '9{20}' is not a whole number of 64 bits"),
        ("post_root_id", 17, "row 7: post_root_id = 17 is not in the neuron table .*neurons.csv.gz"),
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_wrong_rows_are_named(
    few: FlyBrain, tmp_path: Path, header: bool, column: str, value: object, message: str
) -> None:
    tables = write_codex(few, tmp_path)
    rows = pd.read_csv(tables["connections"], dtype=str, keep_default_na=False)
    rows.loc[6, column] = str(value)
    rows.to_csv(tables["connections"], index=False, header=header)
    with pytest.raises(DataError, match=message) as caught:
        codex_connectome(**tables, **RULE)
    assert "connections.csv.gz" in str(caught.value)


def test_a_repeated_row_is_named_with_the_first(few: FlyBrain, tmp_path: Path) -> None:
    rows = pd.concat([few.rows, few.rows.iloc[[4]].assign(count=99)], ignore_index=True)
    tables = write_codex(FlyBrain(few.neurons, rows), tmp_path)
    pre, post = few.ids[few.rows.loc[4, ["pre", "post"]].astype(int)]
    with pytest.raises(DataError, match=f"rows 5, {len(rows)} are the same: {pre} -> {post} in "):
        codex_connectome(**tables, **RULE)


def test_headerless_columns_in_another_order(few: FlyBrain, tmp_path: Path) -> None:
    tables = write_codex(few, tmp_path)
    rows = pd.read_csv(tables["connections"], dtype=str, keep_default_na=False)
    for columns in ([0, 1, 3, 2, 4], [2, 0, 1, 3, 4], [0, 1, 2, 3]):
        rows.iloc[:, columns].to_csv(tables["connections"], index=False, header=False)
        with pytest.raises(DataError, match=r"no header|no column 'pre_root_id'"):
            codex_connectome(**tables, **RULE)


def test_an_empty_neuropil_or_transmitter_is_accepted(few: FlyBrain, tmp_path: Path) -> None:
    blank = FlyBrain(few.neurons, few.rows.assign(neuropil=few.rows["neuropil"].replace("UNASGD", "")))
    read = codex_connectome(**write_codex(blank, tmp_path), **RULE)
    same_wiring(read, few)
    assert read.notes["synapses_without_region"] > 0


@pytest.mark.parametrize("keep", [20, 0.3, 0.999])
def test_a_truncated_file_is_never_read_as_a_shorter_one(few: FlyBrain, tmp_path: Path, keep: float) -> None:
    tables = write_codex(few, tmp_path)
    whole = tables["connections"].read_bytes()
    tables["connections"].write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(DataError, match="truncated or damaged"):
        codex_connectome(**tables, **RULE)
    tables["connections"].write_bytes(gzip.compress(b"pre_root_id,post_root_id,neuropil,syn_count,nt_type\n"))
    with pytest.raises(DataError, match=r"no rows|cannot be read"):
        codex_connectome(**tables, **RULE)


def test_tables_of_different_snapshots(few: FlyBrain, tmp_path: Path) -> None:
    tables = write_codex(few, tmp_path)
    classes = pd.read_csv(tables["classification"], keep_default_na=False)
    classes.iloc[5:].to_csv(tables["classification"], index=False)
    assert codex_connectome(**tables, **RULE).notes["neurons_without_classification"] == 5
    classes.iloc[50:].to_csv(tables["classification"], index=False)
    with pytest.raises(DataError, match=r"50 of the 100 neurons of .* are not in it"):
        codex_connectome(**tables, **RULE)


def test_cell_types_are_joined_by_id(brain: FlyBrain, codex: dict[str, Path], tmp_path: Path) -> None:
    types = tmp_path / "types.csv.gz"
    pd.DataFrame({"root_id": brain.ids[::-2], "primary_type": [f"T{k}" for k in range(500)]}).to_csv(types, index=False)
    table = codex_connectome(**codex, **RULE, types=types).neurons.set_index("id")["type"]
    assert table[brain.ids[-1]] == "T0" and table[brain.ids[-3]] == "T1" and (table == "").sum() == 500


def test_a_variant_that_does_not_exist_and_files_that_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNFIT_DATA", str(tmp_path))
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=r"variant is 'threshold'.*did you mean"):
        load_connectome("flywire-783", variant="threshold")
    monkeypatch.setattr("connfit.datasets.flywire.locate", _nothing_here)
    with pytest.raises(NotAvailableError):
        load_connectome("flywire-630/no_threshold")


def _nothing_here(dataset: object, files: object, **options: object) -> object:
    raise NotAvailableError(str(dataset))


def test_variants_are_those_of_the_registry() -> None:
    from connfit.datasets.flywire import _VARIANTS

    for name, variants in _VARIANTS.items():
        assert tuple(variants) == DATASETS[name].variants
        assert set(variants.values()) <= {file.path for file in DATASETS[name].files}


def test_errors_are_never_tracebacks(few: FlyBrain, tmp_path: Path) -> None:
    """Whatever bytes a file holds, the error is one of connfit's."""
    tables = write_codex(few, tmp_path)
    rng = np.random.default_rng(0)
    whole = bytearray(tables["connections"].read_bytes())
    for _ in range(10):
        broken = whole.copy()
        broken[int(rng.integers(20, len(whole) - 8))] ^= 0xFF
        tables["connections"].write_bytes(bytes(broken))
        with pytest.raises(ConnfitError):
            codex_connectome(**tables, **RULE)
