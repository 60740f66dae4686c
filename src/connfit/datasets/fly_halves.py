"""The two halves of the adult fly brain: real connections of FlyWire snapshot 783 within each hemisphere."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.connectome.table_files import read_table
from connfit.datasets import fly_facts as fly
from connfit.datasets.cache import cached
from connfit.datasets.fetch import locate
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes, regions_by_label
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import DataError, first_ten
from connfit.recordings.keyword_options import takes_options_of

NAME = "fly-783-halves"
_EDGE_COLUMNS = ("pre", "post", "syn_count", "half")
CONNECTIONS = "connections_within_hemisphere.parquet"


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
    """Read tables of this layout: connections whose neurons lie in the same hemisphere.

    Parameters
    ----------
    neurons, classification
        See `connfit.datasets.fly_neurons.read_fly_neurons`.
    connections
        Parquet with `pre`, `post`, `syn_count`, `half`, one row per pair.
    sign_rule, unknown_transmitter, self_connections, min_synapses, order
        As of `connfit.datasets.flywire.codex_connectome`.

    Returns
    -------
    Connectome
        `regions` places all output synapses of a neuron at its output label and all its input synapses at its input
        label: an approximation, for the file has no neuropils.

    Raises
    ------
    DataError
        If a table cannot be used, a pair is there twice, an id is unknown, or a neuron is in both halves.
    """
    edges = read_table(connections, "connections", columns=_EDGE_COLUMNS)
    everything = read_fly_neurons(neurons, classification)
    known = everything["id"].to_numpy()
    pre, post = (rows_of(edges, column, known, neurons) for column in ("pre", "post"))
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
    facts = DATASETS[NAME]
    return wiring.connectome(
        NAME,
        signs.values,
        table,
        regions_by_label(table, wiring.indptr, wiring.indices, wiring.counts),
        {
            **facts.notes(),
            "source": facts.source,
            "absent": "pairs across the midline, pairs below 5 synapses",
            "regions": (
                "approximate: all output synapses of a neuron at its output label, all its input synapses at its "
                "input label, in the hemisphere of its side"
            ),
            **signs.notes(),
            **region_notes(table),
            "order": order,
            "edge_rows": edges.rows,
            "neurons_of_the_tables_without_connections_removed": int(len(known) - len(in_file)),
            # The half is that of the edge file; side and region keep to the classification.
            "neurons_whose_half_is_not_their_side": elsewhere,
        },
    )


def rows_of(edges: NamedTable, column: str, known: Int[np.ndarray, "N"], neurons: Path) -> Int[np.ndarray, "M"]:
    """Look up the rows, among the known ids, of a column of an edge table; `neurons` is their table, for messages."""
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
    values = edges.words("half").dictionary_encode().combine_chunks()
    names, codes = values.dictionary.to_pylist(), values.indices.to_numpy(zero_copy_only=False)
    if "" in names:
        row = int(np.argmax(codes == names.index("")))
        raise DataError(
            f"row {row + 1}: its half is empty", path=edges.path, fix="Write left or right, or delete the row"
        )
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


@takes_options_of(halves_connectome)
def load_fly_halves(min_synapses: int = 5, **options: Any) -> Connectome:
    """Read the connections of at least 5 synapses within a hemisphere: 85.5 % of all such pairs.

    Options are those of `halves_connectome`; the file has no pairs of fewer synapses. Of the 133,436 neurons (2,309,630
    connections), 14,364 have no predicted transmitter.

    Raises
    ------
    NotAvailableError
        If the files are not here.

    References
    ----------
    Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y; Schlegel et al. 2024, doi:10.1038/s41586-024-07686-5.
    """
    roles = {"neurons": fly.NEURONS, "classification": fly.CLASSIFICATION, "connections": CONNECTIONS}
    paths = locate(NAME, list(roles.values()))
    files = {role: paths[file] for role, file in roles.items()}
    return cached(NAME, halves_connectome, files, {"min_synapses": min_synapses, **options})


DATASETS.register(
    Dataset(
        name=NAME,
        label="Adult fly brain (FlyWire 783): the connections of at least 5 synapses within a hemisphere",
        place=3,
        organism=fly.ORGANISM,
        licence="CC-BY-4.0",
        citation=f"{fly.FLYWIRE_CITATION}. Image volume: Zheng et al. 2018, Cell",
        doi=(fly.DORKENWALD, fly.SCHLEGEL, fly.ECKSTEIN, fly.ZHENG),
        source=(
            "originals: FlyWire Codex, snapshot 783; the connections were summed over neuropils and restricted to a "
            "hemisphere in https://github.com/eudald-seeslab/connectome (commit 006b5ffe), a conversion without a "
            "public address"
        ),
        sizes=MappingProxyType({"neurons": 133436, "connections": 2309630, "synapses": 28363450}),
        connectome=load_fly_halves,
        recordings_of="fly-surrogate",
        files=(
            *fly.TABLES_783,
            DataFile(CONNECTIONS, 8554294, "e8a5239a1a7c363109251b8db4136bb1020ce51d6c4a7f09df597555cbff27ae"),
        ),
        folder="flywire",
        fit=fly.FLY_FIT_UNTYPED,
    )
)
