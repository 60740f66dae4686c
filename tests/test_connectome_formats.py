"""Formats of connectomes: each is written by its own library, and read to the same brain."""

from __future__ import annotations

from pathlib import Path

import h5py
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from connfit.config import DataConfig, TableConnectome
from connfit.connectome.formats import read_connectome
from connfit.connectome.formats.in_memory import connectome_from_graph, connectome_from_matrix
from connfit.connectome.table_files import ARROW, PARQUET, TABLES
from connfit.datasets.loading import connectome_from_config
from connfit.errors import ConfigError, ConnfitError, DataError

NAMES = ("AVAL", "AVAR", "RIM L", "ünit")
WORDS = [name.replace(" ", "") for name in NAMES]
EXCITE = {"unknown_transmitter": "excitatory"}


def random_matrix(seed: int = 0, n: int = 4, signed: bool = False) -> np.ndarray:
    """[post, pre], a third of it 0."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((n, n)) < 0.67, rng.uniform(0.09, 1.0, (n, n)), 0)
    return values * rng.choice([-1, 1], (n, n)) if signed else values


def labelled(matrix: np.ndarray, names=NAMES) -> pd.DataFrame:
    return pd.DataFrame(matrix, index=list(names), columns=list(names))


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from(["pre", "post"]),
    st.sampled_from("csv tsv npy txt mat".split()),
)
def test_a_matrix_is_read_as_it_was_written(tmp_path_factory, seed: int, signed: bool, rows: str, ending: str) -> None:
    folder = tmp_path_factory.mktemp("matrix")
    matrix = random_matrix(seed, signed=signed)
    stored = matrix if rows == "post" else matrix.T
    path, options = folder / f"weights.{ending}", {"rows": rows}
    if ending in ("csv", "tsv"):
        labelled(stored, WORDS).to_csv(path, sep="\t" if ending == "tsv" else ",")
    elif ending == "mat":
        scipy.io.savemat(path, {"W": stored, "names": np.array(WORDS, object), "fs": 1.0})
        options["names"] = "names"
    else:
        np.save(path, stored) if ending == "npy" else np.savetxt(path, stored)
        (folder / "labels.txt").write_text("".join(f"{name} 1.0 2.0\n" for name in WORDS), encoding="utf-8")
        options["labels"] = "labels.txt"
    signs = {} if (matrix < 0).any() else EXCITE
    brain = read_connectome(path, format="matrix", options=options, **signs)
    assert brain.ids.tolist() == WORDS and brain.weighted
    # float32 holds seven digits.
    np.testing.assert_allclose(brain.matrix().toarray(), matrix, rtol=1e-6)


def test_which_way_round_a_matrix_is_must_be_said_unless_it_is_symmetric(tmp_path: Path) -> None:
    labelled(random_matrix()).to_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"not symmetric.*options.rows = 'pre'"):
        read_connectome(tmp_path / "a.csv", format="matrix", **EXCITE)
    both = random_matrix() + random_matrix().T
    labelled(both).to_csv(tmp_path / "b.csv")
    brain = read_connectome(tmp_path / "b.csv", format="matrix", **EXCITE)
    np.testing.assert_allclose(brain.matrix().toarray(), both, rtol=1e-6)
    assert brain.notes["symmetric"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.rename(index={"AVAR": "x"}), "row 2 is 'x', column 2 is 'AVAR'"),
        (lambda frame: frame.iloc[:3], "3 rows, 4 columns"),
        (
            lambda frame: frame.astype(object).replace(frame.iloc[1, 2], "high"),
            "row 2: RIM L = 'high' is no finite number",
        ),
        (lambda frame: frame.mask(frame == frame.iloc[1, 2]), "row 2: RIM L is empty"),
        (lambda frame: frame.mask(frame == frame.iloc[1, 2], np.inf), "row 2: RIM L = 'inf' is no finite number"),
        (lambda frame: frame.set_axis([1, 2, 3, 4]).set_axis([1, 2, 3, 4], axis=1).rename_axis("0"), "no names"),
    ],
)
def test_a_wrong_matrix_is_named(tmp_path: Path, change, message: str) -> None:
    change(labelled(np.arange(16).reshape(4, 4) + 0.5)).to_csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match=message):
        read_connectome(tmp_path / "a.csv", format="matrix", options={"rows": "pre"}, **EXCITE)


def test_matrices_without_names_that_are_not_square_or_several(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", random_matrix())
    with pytest.raises(DataError, match="the 4 rows have no names"):
        read_connectome(tmp_path / "a.npy", options={"rows": "pre"}, **EXCITE)
    np.save(tmp_path / "b.npy", random_matrix()[:3])
    with pytest.raises(DataError, match=r"shape \(3, 4\)"):
        read_connectome(tmp_path / "b.npy", options={"rows": "pre"}, **EXCITE)
    scipy.io.savemat(tmp_path / "c.mat", {"A": np.eye(2), "B": np.eye(2)})
    with pytest.raises(DataError, match=r"2 variables are square.*options.values"):
        read_connectome(tmp_path / "c.mat", **EXCITE)
    with pytest.raises(ConfigError, match="options"):
        read_connectome(tmp_path / "a.npy", options={"row": "pre"}, **EXCITE)
    # A header that claims more than the file has takes no memory.
    (tmp_path / "d.npy").write_bytes((tmp_path / "a.npy").read_bytes().replace(b"(4, 4)", b"(90000, 90000)", 1))
    with pytest.raises(DataError, match=r"d\.npy"):
        read_connectome(tmp_path / "d.npy", options={"rows": "pre"}, **EXCITE)


def test_the_rows_of_a_neuron_table_name_a_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", random_matrix())
    pd.DataFrame({"id": NAMES, "region": ["x", "x", "y", "y"], "transmitter": "ACh"}).to_csv(tmp_path / "n.csv")
    brain = read_connectome(tmp_path / "a.npy", tmp_path / "n.csv", options={"rows": "post"}, sign_rule="shiu")
    assert brain.neurons["region"].tolist() == ["x", "x", "y", "y"]
    np.testing.assert_allclose(brain.matrix().toarray(), random_matrix(), rtol=1e-6)


def test_graphs_of_networkx(tmp_path: Path) -> None:
    graph = nx.DiGraph()
    graph.add_node("a", cell_type="KC", nt="gaba")
    graph.add_node("b", cell_type="MBON", nt="ach")
    graph.add_edge("a", "b", weight=0.5)
    graph.add_edge("b", "b", weight=2.0)
    nx.write_graphml(graph, tmp_path / "g.graphml")
    columns = {"type": "cell_type", "transmitter": "nt"}
    brain = read_connectome(tmp_path / "g.graphml", columns=columns, sign_rule="shiu")
    assert brain.weighted and brain.neurons["type"].tolist() == ["KC", "MBON"]
    assert brain.matrix().toarray().tolist() == [[0, 0], [-0.5, 2.0]]
    nx.write_graphml(graph.to_undirected(), tmp_path / "u.graphml")
    with pytest.raises(DataError, match="no direction"):
        read_connectome(tmp_path / "u.graphml", columns=columns, sign_rule="shiu")
    both = read_connectome(tmp_path / "u.graphml", columns=columns, sign_rule="shiu", options={"undirected": True})
    assert both.matrix().toarray()[0, 1] == 0.5
    counted = nx.DiGraph([("a", "b")])
    counted["a"]["b"]["synapses"] = 7
    nx.write_graphml(counted, tmp_path / "c.graphml")
    brain = read_connectome(tmp_path / "c.graphml", **EXCITE)
    assert not brain.weighted and brain.counts.tolist() == [7]


def test_damaged_graphml_is_named(tmp_path: Path) -> None:
    nx.write_graphml(nx.gnp_random_graph(9, 0.4, seed=1, directed=True), tmp_path / "g.graphml")
    content = (tmp_path / "g.graphml").read_bytes()
    path = tmp_path / "h.graphml"
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(12))
        + b"]><graphml>&m;</graphml>"
    )
    for wrong in (b"", content[:200], content[:-40], content.replace(b"<edge", b"<egde"), b"\x89PNG", bomb):
        path.write_bytes(wrong)
        with pytest.raises(ConnfitError, match=r"h\.graphml"):
            read_connectome(path, **EXCITE)


def test_edge_lists_with_and_without_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.edgelist"
    nx.write_weighted_edgelist(nx.DiGraph([("a", "b", {"weight": 3}), ("b", "c", {"weight": 1})]), path)
    brain = read_connectome(path, **EXCITE)
    assert not brain.weighted and brain.counts.tolist() == [3, 1] and brain.ids.tolist() == ["a", "b", "c"]
    path.write_text("# pre post\na b -0.5\nb a 1.5 # strong\n", encoding="utf-8")
    assert read_connectome(path).matrix().toarray().tolist() == [[0, 1.5], [-0.5, 0]]
    path.write_text("a b\na b\nb a\n", encoding="utf-8")
    assert read_connectome(path, **EXCITE).counts.tolist() == [1, 2]
    for wrong, message in (
        ("a b\nb a 1\n", "line 2 has 3 words"),
        ("a\n", "line 1 has 1 words"),
        ("\n#x\n", "no edges"),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_connectome(path, **EXCITE)


@pytest.mark.parametrize("format", ["neuprint", "cave", "fafbseg", "codex"])
def test_exports_of_databases_need_no_names_of_columns(tmp_path: Path, format: str) -> None:
    edges, neurons = {
        "neuprint": (
            # As fetch_adjacencies returns it: a row for each region.
            {"bodyId_pre": [10, 10, 20], "bodyId_post": [20, 20, 10], "roi": ["a", "b", "a"], "weight": [3, 4, 5]},
            {"bodyId": [10, 20], "type": ["KC", "MBON"], "predictedNt": ["gaba", "acetylcholine"]},
        ),
        "cave": (
            {"id": range(12), "pre_pt_root_id": [10] * 7 + [20] * 5, "post_pt_root_id": [20] * 7 + [10] * 5, "size": 9},
            {"pt_root_id": [10, 20], "cell_type": ["KC", "MBON"], "top_nt": ["gaba", "acetylcholine"]},
        ),
        "fafbseg": (
            {"pre": [10, 20], "post": [20, 10], "weight": [7, 5]},
            {"root_id": [10, 20], "cell_type": ["KC", "MBON"], "top_nt": ["gaba", "acetylcholine"]},
        ),
        "codex": (
            {"pre_root_id": [10, 10, 20], "post_root_id": [20, 20, 10], "syn_count": [3, 4, 5]},
            {"root_id": [10, 20], "primary_type": ["KC", "MBON"], "nt_type": ["GABA", "ACH"]},
        ),
    }[format]  # fmt: skip
    pd.DataFrame(edges).to_csv(tmp_path / "e.csv", index=False)
    pd.DataFrame(neurons).to_feather(tmp_path / "n.feather")
    own = TableConnectome(edges=str(tmp_path / "e.csv"), neurons=str(tmp_path / "n.feather"), format=format)
    brain = connectome_from_config(DataConfig(connectome=own, sign_rule="shiu"))
    assert brain.matrix().toarray().tolist() == [[0, 5], [-7, 0]]
    assert brain.neurons["type"].tolist() == ["KC", "MBON"]
    pd.DataFrame(edges).rename(columns={next(iter(edges)): "wrong", "pre_pt_root_id": "odd"}).to_csv(tmp_path / "e.csv")
    with pytest.raises(DataError, match="there is no column"):
        connectome_from_config(DataConfig(connectome=own, sign_rule="shiu"))


def sonata(
    folder: Path, *, weights: list[float] | None = None, counts: list[int] | None = None, one_group: bool = False
) -> Path:
    """Two groups of edges, as SONATA allows."""
    with h5py.File(folder / "edges.h5", "w") as file:
        edges = file.create_group("edges/brain_to_brain")
        for key, ids in (("source_node_id", [0, 1, 2, 2]), ("target_node_id", [1, 2, 0, 1])):
            edges.create_dataset(key, data=np.array(ids, np.uint64)).attrs["node_population"] = "brain"
        edges["edge_type_id"] = np.zeros(4, np.int64)
        edges["edge_group_id"] = np.array([0, 1, 0, 1]) * (not one_group)
        edges["edge_group_index"] = np.arange(4) if one_group else np.array([1, 0, 0, 1])
        for name, values in (("syn_weight", weights), ("nsyns", counts)):
            if values is not None and one_group:
                edges[f"0/{name}"] = np.array(values)
            elif values is not None:
                edges[f"0/{name}"] = np.array([values[2], values[0]])
                edges[f"1/{name}"] = np.array([values[1], values[3]])
        for group in "0" if one_group else "01":
            edges.require_group(group)
    with h5py.File(folder / "nodes.h5", "w") as file:
        nodes = file.create_group("nodes/brain")
        nodes["node_type_id"] = np.zeros(3, np.int64)
        nodes["node_group_id"] = np.zeros(3, np.int64)
        nodes["node_group_index"] = np.array([2, 0, 1])
        nodes["0/region"] = np.array(["b", "c", "a"], h5py.string_dtype())
    return folder / "edges.h5"


def test_sonata_files(tmp_path: Path) -> None:
    path = sonata(tmp_path, weights=[0.5, -1.5, 2.0, 0.25])
    brain = read_connectome(path, tmp_path / "nodes.h5", format="sonata")
    expected = np.zeros((3, 3))
    expected[1, 0], expected[2, 1], expected[0, 2], expected[1, 2] = 0.5, -1.5, 2.0, 0.25
    assert brain.matrix().toarray().tolist() == expected.tolist()
    assert brain.neurons["region"].tolist() == ["a", "b", "c"]
    path = sonata(tmp_path, counts=[4, 1, 2, 3])
    brain = read_connectome(path, format="sonata", **EXCITE)
    assert not brain.weighted and brain.counts.sum() == 10
    with pytest.raises(DataError, match="no attribute 'syn_weight'"):
        read_connectome(path, format="sonata", options={"size": "syn_weight"}, **EXCITE)


def test_sonata_is_read_as_by_its_own_library(tmp_path: Path) -> None:
    libsonata = pytest.importorskip("libsonata")
    path = sonata(tmp_path, weights=[0.5, -1.5, 2.0, 0.25], one_group=True)
    edges = libsonata.EdgeStorage(str(path)).open_population("brain_to_brain")
    every = libsonata.Selection([(0, edges.size)])
    expected = np.zeros((3, 3))
    for of in every.flatten():
        edge = libsonata.Selection([int(of)])
        expected[int(edges.target_nodes(edge)[0]), int(edges.source_nodes(edge)[0])] = edges.get_attribute(
            "syn_weight", edge
        )[0]
    assert read_connectome(path, format="sonata").matrix().toarray().tolist() == expected.tolist()


def test_damaged_sonata_is_named(tmp_path: Path) -> None:
    path = sonata(tmp_path, weights=[1.0] * 4)
    with h5py.File(path, "a") as file:
        file["edges/brain_to_brain/edge_group_index"][0] = 7
    with pytest.raises(DataError, match="edge_group_index goes beyond"):
        read_connectome(path, format="sonata", **EXCITE)
    with pytest.raises(DataError, match="no group 'edges'"):
        read_connectome(tmp_path / "nodes.h5", format="sonata", **EXCITE)
    for key, wrong, message in (
        ("edge_group_id", np.zeros((2, 2)), r"shape \(2, 2\)"),
        ("edge_group_id", np.zeros(3), "3 and 4 values"),
        ("source_node_id", np.zeros(3, int), "3 sources and 4 targets"),
    ):
        with h5py.File(sonata(tmp_path, weights=[1.0] * 4), "a") as file:
            attributes = dict(file[f"edges/brain_to_brain/{key}"].attrs)
            del file[f"edges/brain_to_brain/{key}"]
            file[f"edges/brain_to_brain/{key}"] = wrong
            file[f"edges/brain_to_brain/{key}"].attrs.update(attributes)
        with pytest.raises(DataError, match=message):
            read_connectome(path, format="sonata", **EXCITE)
    sonata(tmp_path, weights=[1.0] * 4)
    with h5py.File(path, "a") as file:
        del file["edges/brain_to_brain/target_node_id"].attrs["node_population"]
    with pytest.raises(DataError, match="two populations"):
        read_connectome(path, format="sonata", **EXCITE)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"edges\.h5"):
        read_connectome(path, format="sonata", **EXCITE)


def test_files_of_unknown_formats_and_options_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="format = one of tables"):
        read_connectome(tmp_path / "a.xyz")
    with pytest.raises(ConfigError, match="matrx"):
        read_connectome(tmp_path / "a.xyz", format="matrx")


@pytest.mark.parametrize("ending", TABLES)
def test_tables_of_every_ending_are_known_without_a_format(tmp_path: Path, ending: str) -> None:
    edges = pd.DataFrame({"pre": ["a", "b"], "post": ["b", "a"], "synapses": [2, 3]})
    path = tmp_path / f"edges{ending}"
    if ending in PARQUET:
        edges.to_parquet(path)
    elif ending in ARROW:
        edges.to_feather(path)
    else:
        edges.to_csv(path, index=False, sep="\t" if ".tsv" in ending else ",")
    assert read_connectome(path, **EXCITE).matrix().toarray().tolist() == [[0, 3], [2, 0]]


def test_matrices_and_graphs_in_memory() -> None:
    matrix = random_matrix(2)
    frame = connectome_from_matrix("frame", labelled(matrix), rows="post", **EXCITE)
    sparse = connectome_from_matrix("sparse", sp.csr_array(matrix.T), NAMES, rows="pre", **EXCITE)
    table = pd.DataFrame({"id": NAMES, "region": list("aabb")})
    tabled = connectome_from_matrix("tabled", matrix, rows="post", neurons=table, **EXCITE)
    for brain in (frame, sparse, tabled):
        assert brain.ids.tolist() == list(NAMES)
        np.testing.assert_allclose(brain.matrix().toarray(), matrix, rtol=1e-6)
    assert tabled.neurons["region"].tolist() == list("aabb")
    graph = nx.from_numpy_array(matrix.T, create_using=nx.DiGraph)
    brain = connectome_from_graph("graph", graph, **EXCITE)
    np.testing.assert_allclose(brain.matrix().toarray(), matrix, rtol=1e-6)
    for wrong, message in ((np.eye(3)[:2], r"\(2, 3\)"), (np.eye(2), "no names"), (np.eye(2) * 1j, "complex")):
        with pytest.raises(DataError, match=message):
            connectome_from_matrix("wrong", wrong, rows="pre", **EXCITE)
