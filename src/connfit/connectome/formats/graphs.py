"""Connectomes as graphs: GraphML files, and lists of edges in text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from connfit._io import DAMAGE, require_file
from connfit._registry import Options
from connfit._system.unpacked import check_unpacked, open_unpacked
from connfit.connectome.columns import NamedTable
from connfit.connectome.formats.connectome_format import FORMATS, ConnectomeFormat, NoOptions, WiringTables
from connfit.connectome.memory_tables import table_of_frame
from connfit.errors import DataError, NotAvailableError, unreadable

if TYPE_CHECKING:
    import networkx

WEIGHT, COUNT = ("weight",), ("synapses", "syn_count", "n_syn", "count")
"""Attributes of edges that say how large they are; the first that is there counts."""


class GraphOptions(Options, frozen=True):
    """Of graphs.

    Parameters
    ----------
    undirected
        Whether edges without a direction become connections in both. Without it such a graph is an error.
    """

    undirected: bool = False


def read_graphml(edges: Path, neurons: Path | None, options: GraphOptions) -> WiringTables:
    """Read a GraphML file; attributes of nodes become columns of the neuron table, those of edges are columns, too.

    Raises
    ------
    NotAvailableError
        If networkx is not installed.
    DataError
        If the file cannot be used.
    """
    path = require_file(edges)
    try:
        import networkx as nx
    except ImportError as error:
        raise NotAvailableError(f"{path}: reading GraphML needs networkx: pip install 'connfit[graph]'") from error
    check_unpacked(path)
    try:
        with open_unpacked(path) as file:
            graph = nx.read_graphml(file)
    # Damaged files make networkx and the parser of XML raise exceptions of many unrelated types.
    except (*DAMAGE, nx.NetworkXError, SyntaxError, LookupError, AttributeError) as error:
        raise unreadable(error, "truncated, damaged or no GraphML", path=path, fix="Write it again") from error
    return tables_of_graph(graph, path, neurons=neurons, undirected=options.undirected)


def tables_of_graph(
    graph: networkx.Graph[Any], path: Path | str = "graph", *, neurons: Path | None = None, undirected: bool = False
) -> WiringTables:
    """Return the tables of a graph of networkx.

    Parameters
    ----------
    path
        The file, or a word for a graph in memory, for messages.
    neurons
        A neuron table in place of the nodes' attributes.
    undirected
        As in `GraphOptions`.

    Raises
    ------
    DataError
        If the graph has no edges, or edges without a direction that nobody expects.
    """
    if not graph.number_of_edges():
        raise DataError("the graph has no edges", path=path, fix="Check that this is the connectome")
    if not graph.is_directed():
        if not undirected:
            raise DataError(
                "the edges have no direction",
                path=path,
                fix="Set options.undirected = true to take each as a connection in both directions",
            )
        graph = graph.to_directed()
    rows = [{**facts, "pre": str(pre), "post": str(post)} for pre, post, facts in graph.edges(data=True)]
    # Pre and post are the ends, whatever an attribute of that name says.
    edges = pd.DataFrame(rows).convert_dtypes(dtype_backend="pyarrow")
    columns = {"pre": "pre", "post": "post", "id": "id"}
    size = next((name for name in (*COUNT, *WEIGHT) if name in edges.columns), None)
    if size is not None:
        whole = pd.api.types.is_integer_dtype(edges[size].dtype)
        counts = size in COUNT or (whole and bool(np.all(edges[size].to_numpy() > 0)))
        columns["count" if counts else "weight"] = size
    if "sign" in edges.columns:
        columns["sign"] = "sign"
    nodes: NamedTable | Path | None = neurons
    if neurons is None:
        frame = pd.DataFrame([{**facts, "id": str(node)} for node, facts in graph.nodes(data=True)])
        nodes = NamedTable(
            table_of_frame(frame.convert_dtypes(dtype_backend="pyarrow"), "nodes"), f"{path} (its nodes)"
        )
    return WiringTables(
        NamedTable(table_of_frame(edges, "edges"), str(path)),
        nodes,
        columns,
        {"directed": not undirected, **({} if size is None else {"size_from": size})},
    )


def read_edge_list(edges: Path, neurons: Path | None, options: Options) -> WiringTables:
    """Read lines `pre post` or `pre post size` with blanks between; what follows a # is left out.

    Whole sizes are numbers of synapses, others weights; without a size each line is one synapse.

    Raises
    ------
    DataError
        If lines differ in form; names the first that does.
    """
    path = require_file(edges)
    found: list[list[str]] = []
    try:
        with open_unpacked(path) as file:
            for number, line in enumerate(file, 1):
                words = line.decode("utf-8").partition("#")[0].split()
                if not words:
                    continue
                if len(words) not in (2, 3) or (found and len(words) != len(found[0])):
                    form = " ".join(("pre", "post", "size")[: len(found[0])]) if found else "pre post [size]"
                    raise DataError(
                        f"line {number} has {len(words)} words", path=path, fix=f"Each must have the form {form!r}"
                    )
                found.append(words)
    except (*DAMAGE, UnicodeDecodeError) as error:
        raise unreadable(error, "no text in UTF-8", path=path, fix="Write lines 'pre post [size]'") from error
    if not found:
        raise DataError("there are no edges", path=path, fix="Write lines 'pre post [size]'")
    columns = {"pre": "pre", "post": "post", "id": "id"}
    frame = pd.DataFrame(np.array(found, object), columns=["pre", "post", "size"][: len(found[0])])
    if "size" in frame:
        columns["count" if frame["size"].str.fullmatch(r"[1-9][0-9]*").all() else "weight"] = "size"
    return WiringTables(NamedTable(table_of_frame(frame, "edges"), str(path)), neurons, columns)


FORMATS.register(
    ConnectomeFormat(
        name="graphml",
        label="GraphML",
        place=30,
        suffixes=(".graphml", ".graphml.gz"),
        read=read_graphml,
        options=GraphOptions,
    )
)
FORMATS.register(
    ConnectomeFormat(
        name="edge-list",
        label="edge list in text",
        place=31,
        suffixes=(".edgelist", ".edges", ".edgelist.gz"),
        read=read_edge_list,
        options=NoOptions,
    )
)
