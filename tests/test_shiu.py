"""The tables of Shiu et al.: consistent with themselves, joined with FlyWire's tables where these are here."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fly_files import FlyBrain, fly_brain, write_codex, write_shiu

from connfit.connectome import Connectome
from connfit.datasets import shiu
from connfit.datasets.loading import load_connectome
from connfit.datasets.shiu import shiu_connectome
from connfit.errors import ConfigError, DataError, NotAvailableError


@pytest.fixture(scope="module")
def brain() -> FlyBrain:
    return fly_brain(neurons=200, rows=2000)


@pytest.fixture
def files(brain: FlyBrain, tmp_path: Path) -> dict[str, Path]:
    return write_shiu(brain, tmp_path)


@pytest.fixture
def tables(brain: FlyBrain, tmp_path: Path) -> dict[str, Path]:
    paths = write_codex(brain, tmp_path)
    return {"neurons": paths["neurons"], "classification": paths["classification"]}


def test_signs_are_those_of_the_file(brain: FlyBrain, files: dict[str, Path]) -> None:
    read = shiu_connectome(**files, order="source")
    np.testing.assert_array_equal(read.signs, brain.signs)
    assert read.notes["sign_rule"] == "published" and read.regions is None
    assert (read.neurons["region"] == "").all() and "not here" in read.notes["neuron_tables"]


def test_joined_with_the_tables_of_flywire(
    brain: FlyBrain, files: dict[str, Path], tables: dict[str, Path], tmp_path: Path
) -> None:
    classes = pd.read_csv(tables["neurons"], keep_default_na=False)
    classes.iloc[3:].to_csv(tables["neurons"], index=False)
    bare, read = shiu_connectome(**files, order="source"), shiu_connectome(**files, **tables, order="source")
    np.testing.assert_array_equal(read.matrix().toarray(), bare.matrix().toarray())
    assert read.notes["neurons_not_in_the_neuron_tables"] == 3
    assert (read.neurons["region"][:3] == "").all() and (read.neurons["region"][3:] != "").all()
    np.testing.assert_array_equal(read.neurons["transmitter"][3:], brain.neurons["nt_type"][3:])
    assert read.regions is not None
    # All outputs of a neuron at its one output label, all inputs at its input label.
    for counts, label, totals in (
        (read.regions.outputs, "group_output", np.abs(read.matrix().toarray()).sum(0)),
        (read.regions.inputs, "group_input", np.abs(read.matrix().toarray()).sum(1)),
    ):
        expected = np.zeros((len(read.regions.names), read.n))
        for k, name in enumerate(read.neurons[label]):
            if name:
                expected[read.regions.names.index(name), k] = totals[k]
        np.testing.assert_array_equal(counts.toarray(), expected)


def test_a_rule_by_transmitter_needs_transmitters(
    brain: FlyBrain, files: dict[str, Path], tables: dict[str, Path]
) -> None:
    read = shiu_connectome(**files, **tables, sign_rule="fly-paper", order="source")
    inhibitory = brain.neurons["nt_type"].isin(["GABA", "GLUT", "OCT", "SER"])
    np.testing.assert_array_equal(read.signs, np.where(inhibitory, -1, 1))
    changed = read.notes["neurons_whose_sign_differs_from_the_published"]
    assert changed == brain.neurons["nt_type"].isin(["OCT", "SER"]).sum()
    silent = shiu_connectome(**files, **tables, sign_rule="fly-paper", unknown_transmitter="drop")
    assert silent.notes["unknown_transmitter_connections_dropped"] == read.m - silent.m > 0
    with pytest.raises(ConfigError, match="'fly-paper' needs transmitters"):
        shiu_connectome(**files, sign_rule="fly-paper")
    with pytest.raises(ConfigError, match="unknown_transmitter is for"):
        shiu_connectome(**files, unknown_transmitter="drop")


def test_neurons_without_connections_stay(brain: FlyBrain, tmp_path: Path) -> None:
    lonely = FlyBrain(brain.neurons, brain.rows[(brain.rows["pre"] > 9) & (brain.rows["post"] > 9)])
    read = shiu_connectome(**write_shiu(lonely, tmp_path), order="source")
    assert read.n == len(brain.ids) and read.notes["neurons_without_outputs_taken_as_excitatory"] >= 10
    assert (read.signs[:10] == 1).all()


def test_a_compressed_completeness_table(brain: FlyBrain, files: dict[str, Path]) -> None:
    packed = files["completeness"].with_name("completeness.csv.gz")
    packed.write_bytes(gzip.compress(files["completeness"].read_bytes()))
    one, other = (shiu_connectome(files["connectivity"], path) for path in (packed, files["completeness"]))
    np.testing.assert_array_equal(one.ids, other.ids)


def test_thresholds_and_loops(brain: FlyBrain, files: dict[str, Path]) -> None:
    pairs = brain.pairs()
    read = shiu_connectome(**files, min_synapses=4, self_connections="drop")
    kept = (pairs["count"] >= 4) & (pairs["pre"] != pairs["post"])
    assert read.m == kept.sum() and read.counts.min() == 4
    loops, weak = read.notes["self_connections_dropped"], read.notes["weak_connections_dropped"]
    assert loops == (pairs["pre"] == pairs["post"]).sum() and loops + weak == len(pairs) - read.m


def change(row: int, **values: object) -> Callable[[pd.DataFrame], None]:
    def apply(table: pd.DataFrame) -> None:
        for column, value in values.items():
            table.loc[row - 1, column] = value

    return apply


SIGN, PRODUCT = "Excitatory", "Excitatory x Connectivity"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Presynaptic_Index": 200}, "row 5: Presynaptic_Index = 200 is not a row of .* 200 neurons"),
        ({"Postsynaptic_Index": -1}, "row 5: Postsynaptic_Index = -1 is not a row of"),
        ({"Postsynaptic_ID": 3}, "row 5: Postsynaptic_ID = 3 is not the neuron in row Postsynaptic_Index"),
        ({"Connectivity": 0, PRODUCT: 0}, "row 5: Connectivity = 0 is below 1"),
        ({"Connectivity": -2}, "row 5: Connectivity = -2 is below 1"),
        ({SIGN: 0, PRODUCT: 0}, r"row 5: Excitatory = 0 is not \+1 or -1"),
        ({PRODUCT: 10**6}, "row 5: Excitatory x Connectivity = 1000000 is not Excitatory times Connectivity"),
    ],
)
def test_rows_that_contradict_themselves(files: dict[str, Path], values: dict[str, object], message: str) -> None:
    spoil(files["connectivity"], change(5, **values))
    with pytest.raises(DataError, match=message) as caught:
        shiu_connectome(**files)
    assert "connectivity.parquet" in str(caught.value)


def test_a_neuron_with_two_signs_and_a_repeated_pair(files: dict[str, Path]) -> None:
    whole = pq.read_table(files["connectivity"]).to_pandas()
    first = whole.iloc[0]
    flipped = pd.concat([whole, whole.iloc[[0]]], ignore_index=True)
    flipped.loc[len(whole), [SIGN, PRODUCT]] = [-first[SIGN], -first[PRODUCT]]
    write(files["connectivity"], flipped)
    with pytest.raises(DataError, match=r"row \d+: Excitatory = -?1 is not the sign of this neuron"):
        shiu_connectome(**files)
    write(files["connectivity"], pd.concat([whole, whole.iloc[[0]]], ignore_index=True))
    pair = f"{first['Presynaptic_ID']} -> {first['Postsynaptic_ID']}"
    with pytest.raises(DataError, match=f"rows 1, {len(whole) + 1} are the same pair {pair}"):
        shiu_connectome(**files)


def test_columns_files_and_types(files: dict[str, Path]) -> None:
    whole = pq.read_table(files["connectivity"]).to_pandas()
    write(files["connectivity"], whole.rename(columns={PRODUCT: "Excitatory_x_Connectivity"}))
    with pytest.raises(DataError, match=r"no column 'Excitatory x Connectivity'.*Did you mean"):
        shiu_connectome(**files)
    write(files["connectivity"], whole.assign(Presynaptic_ID=whole["Presynaptic_ID"].astype(float)))
    with pytest.raises(DataError, match=r"'Presynaptic_ID' holds double.*int64"):
        shiu_connectome(**files)
    write(files["connectivity"], whole)
    raw = files["connectivity"].read_bytes()
    files["connectivity"].write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        shiu_connectome(**files)
    with pytest.raises(DataError, match="no such file"):
        shiu_connectome(files["connectivity"].with_name("other.parquet"), files["completeness"])
    files["completeness"].write_text(",Completed\n5,True\n6,True\n5,True\n")
    with pytest.raises(DataError, match="neuron ids repeat: 5"):
        shiu_connectome(**files)
    files["completeness"].write_text(",Complete\n5,True\n")
    with pytest.raises(DataError, match="no column 'Completed'"):
        shiu_connectome(**files)


def test_the_named_dataset_joins_only_what_is_here(
    files: dict[str, Path], tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    here: dict[str, Path] = {
        "Connectivity_783.parquet": files["connectivity"],
        "Completeness_783.csv": files["completeness"],
    }

    def locate(name: str, wanted: list[str], *, download: bool = True) -> dict[str, Path]:
        if not set(wanted) <= set(here):
            assert not download, "FlyWire's tables are not worth a download here"
            raise NotAvailableError(name)
        return {one: here[one] for one in wanted}

    monkeypatch.setattr(shiu, "locate", locate)
    assert load_connectome("shiu-783").regions is None
    here["neurons.csv.gz"], here["classification.csv.gz"] = tables["neurons"], tables["classification"]
    read: Connectome = load_connectome("shiu-783")
    # The cached file without the tables is not used once they are here.
    assert read.regions is not None and read.name == "shiu-783"


def spoil(path: Path, apply: Callable[[pd.DataFrame], None]) -> None:
    table = pq.read_table(path).to_pandas()
    apply(table)
    write(path, table)


def write(path: Path, table: pd.DataFrame) -> None:
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=700)
