"""The larva's connectome: its layout, and the numbers of the real one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import connfit as cf
from connfit.datasets.larva import LARVA, larva_connectome
from connfit.errors import ConfigError, DataError


def small(folder: Path) -> tuple[Path, Path]:
    neurons = pd.DataFrame(
        {
            "id": [29, 37365, 38147],
            "merge_class": ["KC-4claw", "sens-photoRh6", "unk"],
            "hemisphere": ["R", "L", "C"],
            "pair_id": [-1, 5, -1],
            "selected_lcc": [1, 1, 0],
        }
    )
    edges = pd.DataFrame({"pre": [29, 37365, 38147, 29], "post": [37365, 29, 29, 38147], "synapses": [3, 2, 9, 1]})
    neurons.to_csv(folder / "neurons.csv.gz", index=False)
    edges.to_csv(folder / "connections.csv.gz", index=False)
    return folder / "neurons.csv.gz", folder / "connections.csv.gz"


def test_variants_and_what_they_leave_out(tmp_path: Path) -> None:
    selected = larva_connectome(*small(tmp_path), "selected")
    assert selected.matrix().toarray().tolist() == [[0, 2], [3, 0]]
    assert selected.neurons["type"].tolist() == ["KC-4claw", "sens-photoRh6"]
    assert selected.notes["rows_of_neurons_not_selected_removed"] == 2
    assert selected.notes["sign_rule"] == "none: there are no transmitters"
    everything = larva_connectome(*small(tmp_path), "all", unknown_transmitter="inhibitory")
    assert everything.n == 3 and everything.matrix().toarray()[0, 2] == -9


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    neurons, connections = small(tmp_path)
    pd.read_csv(neurons).drop(columns="selected_lcc").to_csv(neurons, index=False)
    with pytest.raises(DataError, match="no column 'selected_lcc'"):
        larva_connectome(neurons, connections, "selected")
    with pytest.raises(ConfigError, match="variant"):
        cf.load_connectome("larva", variant="half")


@pytest.mark.parametrize("variant", ["selected", "all"])
def test_the_real_one_has_the_registered_numbers(data_dir: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    if not (data_dir / "larva").is_dir():
        pytest.skip("larva is not here")
    monkeypatch.setenv("CONNFIT_DATA", str(data_dir))
    found = cf.load_connectome("larva", variant=variant).summary()
    after = "" if variant == "selected" else ", all"
    assert found.neurons == LARVA.sizes[f"neurons{after}"]
    assert found.connections == LARVA.sizes[f"chemical connections{after}"]
    if variant == "all":
        # Counts of the file's own description.
        assert found.synapses == 376091 and found.self_connections == 577
    else:
        assert found.synapses == LARVA.sizes["chemical synapses"] and found.self_connections == 537
