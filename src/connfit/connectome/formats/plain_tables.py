"""Connectomes as an edge table and a neuron table, with columns that a user names, or as databases export them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from connfit._io import require_file
from connfit._registry import Options
from connfit.connectome.formats.connectome_format import FORMATS, ConnectomeFormat, WiringTables
from connfit.connectome.table_files import TABLES, TEXT, read_table
from connfit.connectome.text_files import first_line


class TableOptions(Options, frozen=True):
    """Of tables.

    Parameters
    ----------
    row_is_synapse
        Whether each row is one synapse, so that there is no column of counts.
    """

    row_is_synapse: bool = False


def read_plain(edges: Path, neurons: Path | None, options: TableOptions) -> WiringTables:
    """Read tables whose columns have connfit's names unless a user says otherwise."""
    columns = {"pre": "pre", "post": "post", "id": "id"}
    if not options.row_is_synapse:
        columns["count"] = "synapses"
    return WiringTables(edges, neurons, columns)


FORMATS.register(
    ConnectomeFormat(
        name="tables",
        label="edge table and neuron table",
        place=0,
        suffixes=TABLES,
        read=read_plain,
        options=TableOptions,
    )
)

Spellings = Mapping[str, tuple[str, ...]]

EXPORTS: Mapping[str, tuple[str, Spellings]] = {
    # neuprint-python: fetch_adjacencies, and the traced-*.csv files of hemibrain; 'roi' rows of a pair are summed.
    "neuprint": (
        "neuPrint exports",
        {
            "pre": ("bodyId_pre",),
            "post": ("bodyId_post",),
            "count": ("weight",),
            "id": ("bodyId",),
            "type": ("type",),
            "transmitter": ("consensusNt", "predictedNt", "celltypePredictedNt"),
            "side": ("somaSide",),
        },
    ),
    # CAVEclient: synapse_query has a row for each synapse.
    "cave": (
        "CAVE exports",
        {
            "pre": ("pre_pt_root_id", "pre_root_id"),
            "post": ("post_pt_root_id", "post_root_id"),
            "count": ("syn_count", "n_syn", "weight"),
            "id": ("pt_root_id", "root_id"),
            "type": ("cell_type", "cell_type_manual"),
            "region": ("brain_area",),
            "transmitter": ("top_nt", "nt_type"),
            "side": ("side",),
        },
    ),
    # fafbseg.flywire.get_connectivity, and the annotations of Schlegel et al. 2024.
    "fafbseg": (
        "fafbseg exports",
        {
            "pre": ("pre",),
            "post": ("post",),
            "count": ("weight",),
            "id": ("root_id", "root_783", "root_630"),
            "type": ("cell_type", "hemibrain_type"),
            "transmitter": ("top_nt", "nt_type"),
            "side": ("side",),
        },
    ),
    # Codex: Connections, and Neurons or Classification.
    "codex": (
        "FlyWire Codex exports",
        {
            "pre": ("pre_root_id", "pre_root_id_720575940"),
            "post": ("post_root_id", "post_root_id_720575940"),
            "count": ("syn_count",),
            "id": ("root_id",),
            "type": ("primary_type", "cell_type", "hemibrain_type"),
            "transmitter": ("nt_type",),
            "side": ("side",),
        },
    ),
}
"""Tables as databases export them: names of columns, the first that is there counts."""


def read_export(spellings: Spellings, edges: Path, neurons: Path | None, options: Options) -> WiringTables:
    """Read tables with the names of columns that a database gives them."""
    of_edges = ("pre", "post", "count")
    columns = _found(edges, {key: spellings[key] for key in of_edges})
    if neurons is not None:
        columns |= _found(neurons, {key: names for key, names in spellings.items() if key not in of_edges})
    # Where these are absent, the message names what is there.
    columns = {"pre": spellings["pre"][0], "post": spellings["post"][0], "id": spellings["id"][0], **columns}
    notes = {} if "count" in columns else {"row_is_synapse": True}
    return WiringTables(edges, neurons, columns, notes)


def column_names(path: Path) -> list[str]:
    """Return the titles of a table without reading the whole of a text file."""
    path = require_file(path)
    if path.name.lower().endswith(TEXT):
        separator = "\t" if ".tsv" in path.name.lower() else ","
        return next(csv.reader([first_line(path).decode("utf-8-sig")], delimiter=separator))
    return read_table(path, "edges").columns


def _found(path: Path, spellings: Spellings) -> dict[str, str]:
    titles = column_names(path)
    there = {key: next((name for name in names if name in titles), None) for key, names in spellings.items()}
    return {key: name for key, name in there.items() if name is not None}


for _name, (_label, _spellings) in EXPORTS.items():
    FORMATS.register(ConnectomeFormat(name=_name, label=_label, place=10, read=partial(read_export, _spellings)))
