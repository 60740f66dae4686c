"""Connectomes from what is in memory: matrices and graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable
from connfit.connectome.formats.connectome_format import connectome_of
from connfit.connectome.formats.graphs import tables_of_graph
from connfit.connectome.formats.matrix import square, tables_of_matrix
from connfit.connectome.table_files import read_table
from connfit.errors import DataError

if TYPE_CHECKING:
    import networkx


def connectome_from_matrix(
    name: str,
    matrix: Float[np.ndarray, "N N"] | pd.DataFrame | sp.sparray | sp.spmatrix,
    names: Sequence[object] | None = None,
    *,
    rows: str | None = None,
    neurons: pd.DataFrame | None = None,
    columns: Mapping[str, str | None] | None = None,
    **choices: Any,
) -> Connectome:
    """Build a connectome from a matrix of weights; entries of 0 are no connections, negative ones are inhibitory.

    Parameters
    ----------
    name
        Of the connectome.
    matrix
        [N, N] real weights.
    names
        [N] of neurons or regions. Default: those of the rows of a DataFrame, else of the neuron table's column `id`.
    rows
        `"pre"`, entry [i, j] is what i sends to j; `"post"`, what i receives from j. Needed unless it is symmetric.
    neurons
        A neuron table. Default: the names alone.
    columns, choices
        As in `connfit.read_connectome`.

    Raises
    ------
    DataError
        If the matrix is not square, holds what is no finite number, or has no names.

    Examples
    --------
    >>> brain = connectome_from_matrix("two", np.array([[0, 0.5], [-0.2, 0]]), ["a", "b"], rows="pre")
    >>> brain.matrix().toarray().round(3).tolist()
    [[0.0, -0.2], [0.5, 0.0]]
    """
    if isinstance(matrix, pd.DataFrame):
        if list(matrix.index) != list(matrix.columns):
            raise DataError("rows and columns of the matrix have other names", fix="Name them alike, in one order")
        names = list(matrix.index) if names is None else names
    values = square(np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix), "matrix")  # pyright: ignore[reportAttributeAccessIssue]
    table: NamedTable | None = None if neurons is None else read_table(neurons, "neurons")
    if names is None:
        if table is None:
            raise DataError("the rows of the matrix have no names", fix="Give names, or a neuron table")
        names = list(table.ids("id"))
    tables = tables_of_matrix(values, [str(label) for label in names], "matrix", rows=rows, neurons=table)
    return connectome_of(tables, name, columns=columns, **choices)


def connectome_from_graph(
    name: str,
    graph: networkx.Graph[Any],
    *,
    undirected: bool = False,
    columns: Mapping[str, str | None] | None = None,
    **choices: Any,
) -> Connectome:
    """Build a connectome from a graph of networkx, whose attributes of nodes and edges are columns.

    Parameters
    ----------
    name
        Of the connectome.
    graph
        Edges go from presynaptic to postsynaptic neurons.
    undirected
        Whether edges without a direction become connections in both.
    columns, choices
        As in `connfit.read_connectome`.

    Raises
    ------
    DataError
        If the graph has no edges, or edges without a direction that nobody expects.
    """
    return connectome_of(tables_of_graph(graph, undirected=undirected), name, columns=columns, **choices)
