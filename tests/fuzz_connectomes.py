"""Good files of connectomes in every format but those of named datasets, for `fuzz` to damage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import scipy.io
from fuzz import Kind
from test_connectome_formats import NAMES, WORDS, labelled, random_matrix, sonata

from connfit.connectome import Connectome
from connfit.connectome.formats import read_connectome


def connectome_kinds(folder: Path) -> Mapping[str, Kind]:
    """Matrices, graphs, lists and SONATA's files; the other files of each stay whole."""
    matrix = random_matrix(3, signed=True)
    labelled(matrix).to_csv(folder / "matrix.csv")
    np.savetxt(folder / "matrix.txt", matrix)
    np.save(folder / "matrix.npy", matrix)
    scipy.io.savemat(folder / "matrix.mat", {"W": matrix, "names": np.array(WORDS, object)})
    (folder / "names.txt").write_text("".join(f"{name} 1.0\n" for name in WORDS), encoding="utf-8")
    graph = nx.from_numpy_array(matrix, create_using=nx.DiGraph)
    nx.set_node_attributes(graph, dict(enumerate(NAMES)), "type")
    nx.write_graphml(graph, folder / "graph.graphml")
    (folder / "list.edgelist").write_text("# pre post\na b -0.5\nb a 1.5 # strong\nb c 2\n", encoding="utf-8")
    sonata(folder, weights=[0.5, -1.5, 2.0, 0.25])
    edges = pd.DataFrame({"pre": ["a", "b", "c"], "post": ["b", "c", "a"], "w": [0.5, 1e-3, 2.0], "s": ["+", "-", "1"]})
    edges.to_csv(folder / "signed.csv", index=False)
    signed = read_connectome(folder / "signed.csv", columns={"weight": "w", "sign": "s"})
    signed.save(folder / "signed.h5")
    read_nodes = {"neurons": folder / "nodes.h5"}
    of: dict[str, tuple[str, dict[str, Any]]] = {
        "matrix.csv": ("matrix", {"options": {"rows": "pre"}}),
        "matrix.txt": ("matrix", {"options": {"rows": "pre", "labels": str(folder / "names.txt")}}),
        "matrix.npy": ("matrix", {"options": {"rows": "pre", "labels": str(folder / "names.txt")}}),
        "matrix.mat": ("matrix", {"options": {"rows": "pre", "names": "names"}}),
        "graph.graphml": ("graphml", {}),
        "list.edgelist": ("edge-list", {}),
        "edges.h5": ("sonata", read_nodes),
        "signed.csv": ("tables", {"columns": {"weight": "w", "sign": "s"}}),
    }
    kinds = {}
    for name, (format, given) in of.items():

        def read(path: Path, format: str = format, given: Mapping[str, Any] = given) -> None:
            read_connectome(path, format=format, **given)

        kinds[f"connectome/{name}"] = _of(folder / name, read)

    def names(path: Path) -> None:
        read_connectome(folder / "matrix.npy", options={"rows": "pre", "labels": str(path)})

    def nodes(path: Path) -> None:
        read_connectome(folder / "edges.h5", path, format="sonata")

    kinds["connectome/names.txt"] = _of(folder / "names.txt", names)
    kinds["connectome/nodes.h5"] = _of(folder / "nodes.h5", nodes)
    kinds["connectome/signed.h5"] = _of(folder / "signed.h5", Connectome.load)
    return kinds


def _of(path: Path, read: Any) -> Kind:
    return Kind(path.suffix, (path.read_bytes(),), read)
