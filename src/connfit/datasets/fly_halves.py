"""The two halves of the adult fly brain: real connections of FlyWire snapshot 783 within each hemisphere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable, read_table
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.datasets.cache import cached
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes, regions_by_label
from connfit.datasets.registry import get_dataset, locate
from connfit.errors import DataError, first_ten

NAME = "fly-783-halves"
_EDGE_COLUMNS = ("pre", "post", "syn_count", "half")
_FILES = ("neurons.csv.gz", "classification.csv.gz", "connections_within_hemisphere.parquet")


def load_fly_halves(
    *,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    min_synapses: int = 5,
    order: str = "local",
) -> Connectome:
    """Connections of at least 5 synapses whose neurons lie in the same hemisphere: 85.5 % of all such pairs.

    Parameters
    ----------
    sign_rule, unknown_transmitter
        See `connfit.connectome.signs.assign_signs`. Of 133,436 neurons 14,364 have no predicted transmitter.
    self_connections
        `"keep"` or `"drop"`.
    min_synapses
        Pairs with fewer synapses are left out; the file itself has none below 5.
    order
        `"local"` or `"source"`, see `connfit.connectome.order.ordered`.

    Returns
    -------
    Connectome
        133,436 neurons and 2,309,630 connections. `regions` places all output synapses of a neuron at its output
        label and all its input synapses at its input label: an approximation, for the file has no neuropils.

    Raises
    ------
    NotAvailableError
        If the files are not here.

    References
    ----------
    Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y; Schlegel et al. 2024, doi:10.1038/s41586-024-07686-5.
    """
    paths = locate(NAME, list(_FILES))
    options = {
        "sign_rule": sign_rule,
        "unknown_transmitter": unknown_transmitter,
        "self_connections": self_connections,
        "min_synapses": min_synapses,
        "order": order,
    }
    neurons, classification, connections = (paths[one] for one in _FILES)
    return cached(NAME, paths, options, lambda: halves_connectome(neurons, classification, connections, **options))


def halves_connectome(
    neurons: Path,
    classification: Path,
    connections: Path,
    *,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    min_synapses: int = 1,
    order: str = "local",
) -> Connectome:
    """As `load_fly_halves`, from files of this layout anywhere.

    Parameters
    ----------
    neurons, classification
        See `connfit.datasets.fly_neurons.read_fly_neurons`.
    connections
        Parquet with `pre`, `post`, `syn_count`, `half`, one row per pair.

    Raises
    ------
    DataError
        If a table cannot be used, a pair is there twice, an id is unknown, or a neuron is in both halves.
    """
    edges = read_table(connections, "connections", columns=_EDGE_COLUMNS)
    everything = read_fly_neurons(neurons, classification)
    known = everything["id"].to_numpy()
    pre, post = (_rows(edges, column, known, neurons) for column in ("pre", "post"))
    counts = edges.counts("syn_count")
    half = _half_of(edges, pre, post, known)
    in_file = np.flatnonzero(half != "")
    elsewhere = int(np.sum(half[in_file] != everything["side"].to_numpy(object)[in_file]))

    table, position = ordered(everything.iloc[in_file].assign(half=half[in_file]).reset_index(drop=True), order)
    at = np.full(len(known), -1, np.int64)
    at[in_file] = position
    signs = assign_signs(table["transmitter"].to_list(), sign_rule, unknown=unknown_transmitter)
    rows = PackedRows(len(table))
    rows.add(at[pre], at[post], counts)
    if (twice := rows.repeated()) is not None:
        a, b = (table["id"].iloc[k] for k in twice[:2])
        found = np.flatnonzero((known[pre] == a) & (known[post] == b)) + 1
        raise DataError(
            f"rows {first_ten(found)} are the same pair {a} -> {b}", path=connections, fix="Keep one row per pair"
        )
    wiring = rows.wiring(
        min_synapses=min_synapses, self_connections=self_connections, silent=signs.dropped, all_neurons=True
    )
    facts = get_dataset(NAME)
    return Connectome(
        name=NAME,
        indptr=wiring.indptr,
        indices=wiring.indices,
        counts=wiring.counts,
        signs=signs.values,
        neurons=table,
        regions=regions_by_label(table, wiring.indptr, wiring.indices, wiring.counts),
        notes={
            "dataset": NAME,
            "licence": facts.licence,
            "citation": facts.citation,
            "source": facts.source,
            "absent": "pairs across the midline, pairs below 5 synapses",
            "regions": (
                "approximate: all output synapses of a neuron at its output label, all its input synapses at its "
                "input label, in the hemisphere of its side"
            ),
            **signs.notes(),
            **region_notes(table),
            "order": order,
            "self_connections": self_connections,
            "min_synapses": min_synapses,
            "edge_rows": edges.rows,
            "neurons_of_the_tables_without_connections_removed": int(len(known) - len(in_file)),
            # The half is that of the edge file; side and region keep to the classification.
            "neurons_whose_half_is_not_their_side": elsewhere,
            **{key: value for key, value in wiring.left_out.items() if not key.startswith("neurons_")},
        },
    )


def _rows(edges: NamedTable, column: str, known: Int[np.ndarray, "N"], neurons: Path) -> Int[np.ndarray, "M"]:
    ids = edges.ids(column)
    at = pd.Index(known).get_indexer(pd.Index(ids))
    if (at < 0).any():
        row = int(np.argmax(at < 0))
        raise DataError(
            f"row {row + 1}: {column} = {ids[row]} is not in the neuron table {neurons} "
            f"({int((at < 0).sum())} such rows)",
            path=edges.path,
            fix="Use tables of the same snapshot",
        )
    return np.asarray(at, np.int64)


def _half_of(
    edges: NamedTable, pre: Int[np.ndarray, "M"], post: Int[np.ndarray, "M"], known: Int[np.ndarray, "N"]
) -> np.ndarray:
    """[N] half in which the edge file has each neuron, empty for those that it does not have."""
    values = edges.data["half"].dictionary_encode().combine_chunks()
    names, codes = values.dictionary.to_pylist(), values.indices.to_numpy(zero_copy_only=False)
    half = np.full(len(known), -1, np.int64)
    half[pre] = codes
    half[post] = codes
    split = (half[pre] != codes) | (half[post] != codes)
    if split.any():
        row = int(np.argmax(split))
        raise DataError(
            f"row {row + 1}: {known[pre[row]]} -> {known[post[row]]} is said to lie in the {names[codes[row]]} half, "
            "but one of them has pairs in the other",
            path=edges.path,
            fix="Both neurons of a pair must lie in the same half",
        )
    return np.append(np.array(names, object), "")[half]
