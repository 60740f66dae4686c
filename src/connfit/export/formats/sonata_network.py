"""SONATA network files: nodes, edges with fitted weights, tables of their types; no equations.

References
----------
Dai et al. 2020, The SONATA data format for efficient description of large-scale network models, PLOS Comput Biol.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np

from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat

POPULATION = "neurons"
CHEMICAL, ELECTRICAL = 0, 1
"""Types of edges."""

MAGIC, VERSION = 0x0A7A, (0, 1)
"""What SONATA files begin with."""


def write_sonata(run: ExportedRun, folder: Path) -> None:
    """Write `nodes.h5`, `edges.h5`, their types as CSV, `circuit_config.json` and a README."""
    neurons, fit = run.fit.neurons_table(), run.fit
    types = list(dict.fromkeys(neurons["type"].astype(str)))
    with h5py.File(folder / "nodes.h5", "w") as file:
        _mark(file)
        nodes = file.create_group(f"nodes/{POPULATION}")
        nodes["node_id"] = np.arange(len(neurons), dtype=np.uint64)
        nodes["node_type_id"] = np.array([types.index(each) for each in neurons["type"].astype(str)], np.int64)
        nodes["node_group_id"] = np.zeros(len(neurons), np.uint32)
        nodes["node_group_index"] = np.arange(len(neurons), dtype=np.uint64)
        group = nodes.create_group("0")
        for column in neurons:
            values = neurons[column].to_numpy()
            if values.dtype.kind not in "fiub":
                values = np.array(values.astype(str), dtype=h5py.string_dtype())
            # `id` is what SONATA calls the number of a row.
            group["neuron_id" if column == "id" else str(column)] = values
    _write_edges(folder / "edges.h5", run)
    node_types = [("node_type_id", "model_type", "type_name"), *((k, "virtual", name) for k, name in enumerate(types))]
    _write_types(folder / "node_types.csv", node_types)
    edge_types = [("edge_type_id", "kind"), (CHEMICAL, "chemical"), (ELECTRICAL, "electrical")]
    _write_types(folder / "edge_types.csv", edge_types)
    config = {
        "manifest": {"$BASE": "."},
        "networks": {
            "nodes": [{"nodes_file": "$BASE/nodes.h5", "node_types_file": "$BASE/node_types.csv"}],
            "edges": [{"edges_file": "$BASE/edges.h5", "edge_types_file": "$BASE/edge_types.csv"}],
        },
    }
    (folder / "circuit_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    values = fit.cohort.recordings[0].value_units
    units = [f"- `{name}`: {unit or 'no unit'}" for name, unit in neurons.attrs["units"].items()]
    text = ["# Network of a run, as SONATA", "", *run.origin(), "", *_ABOUT, f"Weights are in {values} per {values}.",
            "Parameters of nodes have the units:", "", *units, ""]  # fmt: skip
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")


EXPORTS.register(ExportFormat(name="sonata", label="SONATA network files", place=6, write=write_sonata))

_ABOUT = (
    "Nodes carry the neuron table (`neuron_id` is the id of the source) and parameters before and after the fit; edges",
    "`syn_weight` (signed, fitted), `weight_start`, `synapses` and their type, chemical or electrical. SONATA has no",
    "word for a rate neuron, so that nodes are `virtual`: the equations are in the format numpy.",
)


def _write_edges(path: Path, run: ExportedRun) -> None:
    table, connectome = run.fit.weights_table(), run.fit.connectome
    source, target = connectome.indices.astype(np.uint64), connectome.posts.astype(np.uint64)
    with h5py.File(path, "w") as file:
        _mark(file)
        edges = file.create_group(f"edges/{POPULATION}_to_{POPULATION}")
        for name, of in (("source_node_id", source), ("target_node_id", target)):
            edges[name] = of
            edges[name].attrs["node_population"] = POPULATION
        edges["edge_type_id"] = np.where(connectome.electrical, ELECTRICAL, CHEMICAL).astype(np.int64)
        edges["edge_group_id"] = np.zeros(len(table), np.uint32)
        edges["edge_group_index"] = np.arange(len(table), dtype=np.uint64)
        group = edges.create_group("0")
        columns = {"syn_weight": "weight_fitted", "weight_start": "weight_start", "synapses": "synapses"}
        for name, column in columns.items():
            group[name] = table[column].to_numpy()
        for name, of in (("source_to_target", source), ("target_to_source", target)):
            _index(edges.create_group(f"indices/{name}"), of, len(connectome.ids))


def _index(group: h5py.Group, of: np.ndarray, nodes: int) -> None:
    """Ranges of edges of each node, by which readers find them."""
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.r_[True, (np.diff(of[order]) != 0) | (np.diff(order) != 1)]) if len(of) else order
    ends = np.r_[starts[1:], len(order)] if len(of) else starts
    ranges = np.stack([order[starts], order[ends - 1] + 1], axis=1) if len(of) else np.zeros((0, 2))
    counts = np.bincount(of[order[starts]].astype(np.int64), minlength=nodes)
    stops = np.cumsum(counts)
    group["node_id_to_ranges"] = np.stack([stops - counts, stops], axis=1).astype(np.uint64)
    group["range_to_edge_id"] = ranges.astype(np.uint64)


def _write_types(path: Path, rows: list[tuple[object, ...]]) -> None:
    """SONATA's tables are separated by blanks."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=" ", lineterminator="\n").writerows(rows)


def _mark(file: h5py.File) -> None:
    file.attrs["magic"] = np.uint32(MAGIC)
    file.attrs["version"] = np.array(VERSION, np.uint32)
