"""SONATA files of an export: read by libsonata where it is installed, and by h5py."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from odd_names import UNITS
from test_export_numpy import brain, moved, raw_movies

from connfit.export.export_run import export_run
from connfit.export.exported_run import ExportedRun
from connfit.export.formats.sonata_network import ELECTRICAL, write_sonata
from connfit.training.runs import load_fit


def test_weights_and_parameters_are_those_of_the_fit(odd_run: Path, tmp_path: Path) -> None:
    export_run(odd_run, ["sonata"], tmp_path)
    fit, folder = load_fit(odd_run), tmp_path / "sonata"
    with h5py.File(folder / "edges.h5") as file:
        edges = file["edges/neurons_to_neurons"]
        assert edges["source_node_id"].attrs["node_population"] == "neurons"  # type: ignore[index]
        found = np.zeros((fit.model.neurons, fit.model.neurons))
        at = np.array(edges["target_node_id"]), np.array(edges["source_node_id"])  # type: ignore[index]
        found[at] = edges["0/syn_weight"]  # type: ignore[index]
    expected = fit.weights_table()["weight_fitted"].to_numpy()
    np.testing.assert_array_equal(found[fit.connectome.posts, fit.connectome.indices], expected)
    assert np.count_nonzero(found) == np.count_nonzero(expected)
    with h5py.File(folder / "nodes.h5") as file:
        names = [name.decode() for name in file["nodes/neurons/0/neuron_id"][: len(UNITS)]]  # type: ignore[index]
        assert names == list(UNITS)
        np.testing.assert_array_equal(file["nodes/neurons/0/bias_fitted"], fit.params["bias"])
    config = json.loads((folder / "circuit_config.json").read_text())["networks"]
    named = [
        path.replace("$BASE", str(folder)) for each in (*config["nodes"], *config["edges"]) for path in each.values()
    ]
    assert all(Path(path).is_file() for path in named)
    types = pd.read_csv(folder / "node_types.csv", sep=" ", keep_default_na=False)
    assert set(types["model_type"]) == {"virtual"}


@pytest.mark.skipif(find_spec("libsonata") is None, reason="needs libsonata")
def test_libsonata_reads_them_and_finds_edges_by_node(tmp_path: Path) -> None:
    import libsonata  # pyright: ignore[reportMissingImports]

    fit, run = moved(brain(6), raw_movies()), ExportedRun(tmp_path)
    vars(run)["fit"] = fit
    write_sonata(run, tmp_path)
    nodes = libsonata.NodeStorage(str(tmp_path / "nodes.h5")).open_population("neurons")
    assert nodes.size == fit.model.neurons
    np.testing.assert_array_equal(nodes.get_attribute("bias_fitted", nodes.select_all()), fit.params["bias"])
    edges = libsonata.EdgeStorage(str(tmp_path / "edges.h5")).open_population("neurons_to_neurons")
    assert edges.size == fit.model.connections
    posts, pres = fit.connectome.posts, fit.connectome.indices
    weights = fit.weights_table()["weight_fitted"].to_numpy()
    for node in (0, 7, 39):
        for select, of in ((edges.afferent_edges([node]), posts), (edges.efferent_edges([node]), pres)):
            got = np.sort(edges.get_attribute("syn_weight", select))
            np.testing.assert_array_equal(got, np.sort(weights[of == node]))
    with h5py.File(tmp_path / "edges.h5") as file:
        kinds = np.array(file["edges/neurons_to_neurons/edge_type_id"])
    assert (kinds == ELECTRICAL).sum() == fit.connectome.electrical.sum() > 0
