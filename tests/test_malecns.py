"""The male CNS: bodies that are no neurons are left out and counted, columns have several spellings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.feather as feather
import pytest
from fly_files import FlyBrain, fly_brain, write_malecns

from connfit.datasets import malecns
from connfit.datasets.malecns import load_malecns, malecns_connectome
from connfit.errors import DataError


@pytest.fixture(scope="module")
def brain() -> FlyBrain:
    return fly_brain(neurons=200, rows=2000)


@pytest.fixture
def files(brain: FlyBrain, tmp_path: Path) -> dict[str, Path]:
    return write_malecns(brain, tmp_path)


def edit(path: Path, **changes: object) -> pd.DataFrame:
    table = feather.read_table(path).to_pandas().assign(**changes)
    feather.write_feather(table, path, chunksize=500)
    return table


def test_what_is_left_out_is_counted(brain: FlyBrain, files: dict[str, Path]) -> None:
    read = malecns_connectome(**files, sign_rule="shiu", order="source")
    listed = feather.read_table(files["weights"]).to_pandas()
    notes = read.notes
    assert notes["bodies_without_superclass_removed"] == 300
    assert notes["edge_rows"] == len(listed)
    assert notes["rows_with_a_segment_that_is_no_neuron_removed"] == len(listed) - read.m > 0
    assert notes["synapses_with_a_segment_that_is_no_neuron_removed"] == listed["weight"].sum() - read.counts.sum()
    assert notes["unknown_transmitters"] == {"unclear": (brain.neurons["nt_type"] == "").sum()}
    assert read.regions is None and set(read.neurons["side"]) == {"L", "R"}
    assert read.neurons["type"][3] == "T3" and set(read.neurons["super_class"]) == {"optic", "central"}


def test_thresholds_and_policies(brain: FlyBrain, files: dict[str, Path]) -> None:
    pairs = brain.pairs()
    read = malecns_connectome(**files, min_synapses=3, unknown_transmitter="drop")
    unknown = (brain.neurons["nt_type"] == "").to_numpy()[pairs["pre"]]
    assert read.m == ((pairs["count"] >= 3).to_numpy() & ~unknown).sum()
    assert read.notes["unknown_transmitter_connections_dropped"] == unknown.sum()
    no_loops = malecns_connectome(**files, self_connections="drop")
    assert no_loops.m == (pairs["pre"] != pairs["post"]).sum()


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("annotations", "bodyId", "body"),
        ("annotations", "bodyId", "bodyid"),
        ("annotations", "superclass", "super_class"),
        ("annotations", "somaSide", "side"),
        ("transmitters", "body", "bodyId"),
        ("transmitters", "consensus_nt", "predicted_nt"),
        ("transmitters", "consensus_nt", "nt"),
    ],
)
def test_spellings_of_columns(files: dict[str, Path], table: str, old: str, new: str) -> None:
    expected = malecns_connectome(**files)
    renamed = feather.read_table(files[table]).to_pandas().rename(columns={old: new})
    feather.write_feather(renamed, files[table])
    read = malecns_connectome(**files)
    np.testing.assert_array_equal(read.signs, expected.signs)
    pd.testing.assert_frame_equal(read.neurons, expected.neurons)
    assert new in read.notes["columns_used"].values() or table == "transmitters"


@pytest.mark.parametrize(
    ("table", "old", "message"),
    [
        ("annotations", "bodyId", r"no column of body ids.*the columns are 'X', 'type'"),
        ("annotations", "superclass", r"no column of superclasses.*'bodyId', 'type', 'X'"),
        ("transmitters", "consensus_nt", r"no column of predicted transmitters.*the columns are 'body', 'X'"),
        ("weights", "weight", r"no column 'weight'.*The columns are 'body_pre', 'body_post', 'X'"),
    ],
)
def test_missing_columns_list_those_found(files: dict[str, Path], table: str, old: str, message: str) -> None:
    renamed = feather.read_table(files[table]).to_pandas().rename(columns={old: "X"})
    feather.write_feather(renamed, files[table])
    with pytest.raises(DataError, match=message) as caught:
        malecns_connectome(**files)
    assert files[table].name in str(caught.value)


def test_wrong_rows_are_named(brain: FlyBrain, files: dict[str, Path]) -> None:
    whole = feather.read_table(files["weights"]).to_pandas()
    for value, problem in ((0, "is below 1"), (-4, "is below 1"), (2**40, "is above")):
        broken = whole.copy()
        broken.loc[1600, "weight"] = value
        feather.write_feather(broken, files["weights"], chunksize=500)
        with pytest.raises(DataError, match=f"row 1601: weight = {value} {problem}"):
            malecns_connectome(**files)
    neuronal = whole[whole["body_pre"].isin(brain.ids) & whole["body_post"].isin(brain.ids)].index[7]
    feather.write_feather(pd.concat([whole, whole.loc[[neuronal]]]), files["weights"], chunksize=500)
    with pytest.raises(DataError, match=f"rows {neuronal + 1}, {len(whole) + 1} are the same pair"):
        malecns_connectome(**files)
    feather.write_feather(whole.assign(weight=whole["weight"] + 0.5), files["weights"])
    with pytest.raises(DataError, match="'weight' holds double"):
        malecns_connectome(**files)


def test_bodies_and_versions(files: dict[str, Path]) -> None:
    whole = feather.read_table(files["annotations"]).to_pandas()
    feather.write_feather(pd.concat([whole, whole.iloc[[2]]]), files["annotations"])
    with pytest.raises(DataError, match=f"ids repeat in column 'bodyId': {whole['bodyId'][2]}"):
        malecns_connectome(**files)
    feather.write_feather(whole.assign(bodyId=whole["bodyId"] + 10**12), files["annotations"])
    with pytest.raises(DataError, match=r"none of its \d+ rows connects"):
        malecns_connectome(**files)
    feather.write_feather(whole.assign(superclass=""), files["annotations"])
    with pytest.raises(DataError, match="no body has a value in column 'superclass'"):
        malecns_connectome(**files)


def test_truncated_weights(files: dict[str, Path]) -> None:
    raw = files["weights"].read_bytes()
    for keep in (10, len(raw) // 2, len(raw) - 3):
        files["weights"].write_bytes(raw[:keep])
        with pytest.raises(DataError, match="truncated or damaged"):
            malecns_connectome(**files)


def test_bodies_without_a_prediction(files: dict[str, Path]) -> None:
    predicted = feather.read_table(files["transmitters"]).to_pandas()
    feather.write_feather(predicted.iloc[20:], files["transmitters"])
    assert malecns_connectome(**files).notes["neurons_without_row_in_the_transmitter_table"] == 20


def test_by_name(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNFIT_CACHE", str(tmp_path / "cache"))
    names = {malecns._WEIGHTS: "weights", malecns._ANNOTATIONS: "annotations", malecns._TRANSMITTERS: "transmitters"}
    monkeypatch.setattr(malecns, "locate", lambda name, wanted: {one: files[names[one]] for one in wanted})
    read = load_malecns(min_synapses=2)
    assert read.name == "malecns-1.0" and read.counts.min() == 2
