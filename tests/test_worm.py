"""The real worm: numbers that its source states, and small files of its layout that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from connfit.config import DataConfig
from connfit.connectome.matching import match_units
from connfit.datasets.loading import (
    connectome_from_config,
    list_datasets,
    load_connectome,
    load_recording,
    load_recordings,
    recordings_from_config,
)
from connfit.datasets.worm import worm_connectome
from connfit.errors import ConfigError, DataError

UIDS = ("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38", "2022-08-02-38")


@pytest.fixture
def real(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONNFIT_DATA", str(data_dir))
    return data_dir / "worm"


@pytest.mark.parametrize(
    ("variant", "neurons", "rows", "synapses", "junction_rows", "loops"),
    [
        ("white1986_whole", 300, 2266, 6509, 1132, 6),
        ("witvliet2020_7", 181, 1944, 6587, 528, None),
        ("witvliet2020_8", 180, 1933, 7099, 600, None),
    ],
)
def test_connectomes_have_the_published_sizes(
    real: Path, variant: str, neurons: int, rows: int, synapses: int, junction_rows: int, loops: int | None
) -> None:
    brain = load_connectome("worm", variant=variant)
    summary = brain.summary()
    assert (brain.n, brain.m, summary.synapses) == (neurons, rows, synapses)
    assert brain.notes["electrical_rows_dropped"] == junction_rows
    both = load_connectome(f"worm/{variant}", electrical="include")
    assert both.m == rows + junction_rows and int(both.electrical.sum()) == junction_rows
    if loops is not None:
        assert (
            both.summary().self_connections == loops
            and both.summary().electrical_connections == (junction_rows + loops) // 2
        )


def test_what_is_left_out_is_counted(real: Path) -> None:
    notes = load_connectome("worm").notes
    assert notes["neurons_without_connections_removed"] == ["CANL", "CANR"]
    assert len(notes["non_neuron_cells_removed"]) == 19
    assert notes["non_neuron_chemical_rows_removed"] == 2405 - 2266
    assert notes["non_neuron_electrical_rows_removed"] == 1144 - 1132
    assert notes["neurons_connected_to_non_neurons_only"] == ["VC6"]


def test_signs_follow_the_table_and_the_policy(real: Path) -> None:
    brain = load_connectome("worm")
    source = brain.neurons["sign_in_source"].to_numpy()
    known = source != 0
    np.testing.assert_array_equal(brain.signs[known], source[known])
    assert (brain.signs[~known] == 1).all()
    assert brain.notes["unknown_transmitter_neurons"] == (~known).sum() == 32
    silent = load_connectome("worm", unknown_transmitter="drop")
    assert silent.notes["unknown_transmitter_rows_dropped"] == brain.m - silent.m > 0
    assert known[silent.indices].all() and not known[brain.indices].all()
    with pytest.raises(DataError, match="says nothing about the transmitter of 32 of 300"):
        load_connectome("worm", unknown_transmitter="error")


def test_neuron_table(real: Path) -> None:
    table = load_connectome("worm").neurons.set_index("id")
    assert table.loc["AVAL", ["type", "side", "transmitter"]].tolist() == ["AVA", "L", "acetylcholine"]
    assert set(table["side"]) == {"L", "R", ""}


@pytest.mark.parametrize(
    ("uid", "traces", "named"), list(zip(UIDS, (146, 141, 145, 135, 139), (99, 87, 100, 87, 105), strict=True))
)
def test_recordings_match_the_connectome(real: Path, uid: str, traces: int, named: int) -> None:
    recording = load_recording(f"worm/{uid}")
    assert recording.values.shape == (800, traces) and recording.mask.all()
    assert recording.frame_rate == pytest.approx(1.6623, abs=2e-4)
    assert recording.notes["median_interval_s"] == pytest.approx(0.6, abs=1e-3)
    match = match_units(recording.units, load_connectome("worm"))
    assert len(match.matched) == named
    assert list(match.unmatched) == recording.notes["unlabelled"] and len(match.unmatched) == traces - named


def test_zscore_is_an_affine_function_of_dff(real: Path) -> None:
    dff = load_recording("worm/2022-07-26-38").values.astype(float)
    scored = load_recording("worm/2022-07-26-38", values="zscore").values
    np.testing.assert_allclose((dff - dff.mean(0)) / dff.std(0, ddof=1), scored, atol=1e-4)


def test_choices_of_recordings(real: Path) -> None:
    everything = load_recordings("worm", "all")
    assert [one.name for one in everything] == [f"worm/{uid}" for uid in UIDS]
    units = [set(one.notes["unlabelled"]) for one in everything]
    assert not units[0] & units[1]
    for names in (["2022-07-27-31", "worm/2022-07-26-31"],):
        assert [one.name for one in load_recordings("worm", names)] == ["worm/2022-07-27-31", "worm/2022-07-26-31"]
    with pytest.raises(ConfigError, match="twice"):
        load_recordings("worm", ["2022-07-27-31", "worm/2022-07-27-31"])
    with pytest.raises(ConfigError, match=r"worm/2022-07-26-39.*did you mean 'worm/2022-07-26-3[18]'"):
        load_recording("worm/2022-07-26-39")
    with pytest.raises(ConfigError, match="2022-08-02-31"):
        load_recording("worm/2022-08-02-31")


def test_configurations(real: Path) -> None:
    assert connectome_from_config(DataConfig(dataset="worm")).notes["unknown_transmitter_policy"] == "excitatory"
    config = DataConfig(
        dataset="worm", unknown_transmitter="inhibitory", variant="witvliet2020_8", electrical="include"
    )
    brain = connectome_from_config(config)
    assert brain.name == "worm/witvliet2020_8" and brain.electrical.any()
    assert brain.notes["unknown_transmitter_policy"] == "inhibitory"
    first = recordings_from_config(DataConfig(dataset="worm"))
    assert [one.name for one in first] == [f"worm/{UIDS[0]}"]
    assert [step["step"] for step in first[0].steps] == ["high_pass", "scale"]
    assert first[0].parts is not None and first[0].parts.train == (0, 480)
    raw = recordings_from_config(DataConfig(dataset="worm", recordings=(UIDS[1],), preprocess=(), train=0.5, gap=3))
    assert raw[0].steps == () and raw[0].parts.train == (0, 400) and raw[0].parts.validation[0] == 403
    assert len(recordings_from_config(DataConfig(dataset="worm", recordings=("all",)))) == 5


def test_unknown_names_and_options_need_no_files() -> None:
    assert {"worm", "demo"} <= set(list_datasets())
    with pytest.raises(ConfigError, match=r"dataset is 'wurm'.*did you mean 'worm'"):
        load_connectome("wurm")
    with pytest.raises(ConfigError, match=r"variant is 'white1986'.*did you mean 'white1986_whole'"):
        load_connectome("worm/white1986")
    with pytest.raises(ConfigError, match=r"no option 'electric'.*did you mean 'electrical'"):
        load_connectome("worm", electric="include")
    with pytest.raises(ConfigError, match=r"no option 'value'.*did you mean 'values'"):
        load_recording("worm/2022-07-26-38", value="dff")
    with pytest.raises(ConfigError, match="no option 'uid'"):
        load_recording("worm/2022-07-26-38", uid="x")
    with pytest.raises(ConfigError, match=r"data\.dataset is not set"):
        connectome_from_config(DataConfig())


def small(folder: Path) -> tuple[Path, Path]:
    """The files' layout with three neurons and one muscle."""
    neurons, connections = folder / "neurons.csv", folder / "connections.csv"
    pd.DataFrame(
        {"name": ["AVAL", "AVAR", "CANL"], "neuron_class": ["AVA", "AVA", "CAN"], "side": ["L", "R", "unpaired"],
         "neurotransmitter": ["acetylcholine", "gaba", "unknown"], "sign": [1, -1, 0]}
    ).to_csv(neurons, index=False)  # fmt: skip
    pd.DataFrame(
        [
            ("a", "AVAL", "AVAR", "chemical", 3),
            ("a", "AVAR", "AVAL", "electrical", 2),
            ("a", "AVAL", "AVAR", "electrical", 2),
            ("a", "AVAR", "muscle", "chemical", 5),
            ("b", "CANL", "AVAL", "chemical", 1),
        ],
        columns=["dataset", "pre", "post", "type", "synapses"],
    ).to_csv(connections, index=False)  # fmt: skip
    return neurons, connections


def build(neurons: Path, connections: Path, variant: str = "a"):
    return worm_connectome(
        neurons, connections, variant=variant, sign_rule="worm", unknown_transmitter="excitatory", electrical="include"
    )


def test_small_files_by_hand(tmp_path: Path) -> None:
    brain = build(*small(tmp_path))
    np.testing.assert_array_equal(brain.matrix().toarray() - 0, [[0, 2], [3 + 2, 0]])
    assert brain.notes["non_neuron_cells_removed"] == ["muscle"] and brain.notes[
        "neurons_without_connections_removed"
    ] == ["CANL"]
    with pytest.raises(DataError, match="no rows of 'c'; the datasets are a, b"):
        build(*small(tmp_path), variant="c")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("connections.csv", "synapses", "count", "no column 'synapses'"),
        ("connections.csv", "chemical,3", "chemical,x", "row 1: synapses = x is not a number"),
        ("connections.csv", "chemical,3", "other,3", "says 'other'"),
        (
            "connections.csv",
            "electrical,2",
            "electrical,1",
            "AVAL - AVAR has 2 junctions in one direction and 1|AVAL - AVAR has 1",
        ),
        ("neurons.csv", "neuron_class", "class", "no column 'neuron_class'"),
        ("neurons.csv", "AVAR", "AVAL", "ids repeat"),
        ("neurons.csv", "AVAL,AVA", "AVAL", "cannot be read"),
    ],
)
def test_spoilt_files_are_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    neurons, connections = small(tmp_path)
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        build(neurons, connections)
    assert file in str(caught.value)
