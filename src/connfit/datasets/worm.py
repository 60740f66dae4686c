"""The worm: connectomes and recordings of *C. elegans*, neuron by neuron."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable, read_table
from connfit.connectome.signs import SignRule
from connfit.connectome.tables import connectome_from_tables, electrical_rows
from connfit.datasets.registry import get_dataset, locate
from connfit.errors import DataError, one_of
from connfit.recordings import Recording
from connfit.recordings.readers.hdf5 import read_hdf5_recording

_EDGE_COLUMNS = ("dataset", "pre", "post", "type", "synapses")


def load_worm_connectome(
    *,
    variant: str | None = None,
    sign_rule: SignRule = "worm",
    unknown_transmitter: str = "excitatory",
    electrical: str = "drop",
    self_connections: str = "keep",
    min_synapses: int = 1,
) -> Connectome:
    """The connectome of one of three data sets of adult hermaphrodites.

    Parameters
    ----------
    variant
        `"white1986_whole"` (default: whole animal, a composite of several), `"witvliet2020_7"` or
        `"witvliet2020_8"` (nerve ring of one animal).
    sign_rule
        Default `"worm"`, a modelling convention: acetylcholine and glutamate +1, GABA -1. The true sign
        depends on the postsynaptic receptor.
    unknown_transmitter
        For the neurons whose transmitter the rule does not cover (of 302: dopamine 8, serotonin 2,
        octopamine 2, uptake only 6, not known 16). Default `"excitatory"`; the notes count them.
    electrical, self_connections, min_synapses
        See `connfit.connectome.tables.connectome_from_tables`.

    Returns
    -------
    Connectome
        Only neurons, and only those with a connection in the variant (to whatever cell). `notes` counts
        the rows and names the cells that were left out.

    Raises
    ------
    NotAvailableError
        If the files are not here.
    """
    variant = one_of("variant", variant or get_dataset("worm").variants[0], get_dataset("worm").variants)
    paths = locate("worm", ["neurons.csv", "connections.csv.gz"])
    return worm_connectome(
        paths["neurons.csv"],
        paths["connections.csv.gz"],
        variant=variant,
        sign_rule=sign_rule,
        unknown_transmitter=unknown_transmitter,
        electrical=electrical,
        self_connections=self_connections,
        min_synapses=min_synapses,
    )


def worm_connectome(
    neurons: Path,
    connections: Path,
    *,
    variant: str,
    sign_rule: SignRule,
    unknown_transmitter: str,
    electrical: str,
    self_connections: str = "keep",
    min_synapses: int = 1,
) -> Connectome:
    """As `load_worm_connectome`, from files of this layout anywhere.

    Parameters
    ----------
    neurons
        CSV with `name,neuron_class,side,neurotransmitter` and more.
    connections
        CSV with `dataset,pre,post,type,synapses`.
    """
    edges = read_table(connections, "connections", columns=_EDGE_COLUMNS)
    table = read_table(neurons, "neurons")
    table.require(["name", "neuron_class", "side", "neurotransmitter"])
    names = set(table.text("name"))
    # Checked on the whole file, so that messages name its rows.
    edges.counts("synapses")
    electrical_rows(edges, "type")

    dataset, pre, post, kind = (np.array(edges.text(column), object) for column in _EDGE_COLUMNS[:-1])
    chosen = dataset == variant
    if not chosen.any():
        raise DataError(
            f"there are no rows of {variant!r}; the datasets are {', '.join(sorted(set(dataset)))}",
            path=connections,
            fix="Choose one of them as variant",
        )
    neuronal = np.array([a in names and b in names for a, b in zip(pre, post, strict=True)], bool)
    kept, others = chosen & neuronal, chosen & ~neuronal
    cells = {*pre[chosen], *post[chosen]}
    partnered = {*pre[kept], *post[kept]}
    present = np.array([name in cells for name in table.text("name")], bool)
    # The source writes the side of a neuron without a partner as a word; here an unpaired neuron has no side.
    side = pa.array(["" if one == "unpaired" else one for one in table.text("side")])
    columns = table.data.set_column(table.columns.index("side"), "side", side)
    columns = columns.rename_columns(["sign_in_source" if one == "sign" else one for one in columns.column_names])
    return connectome_from_tables(
        f"worm/{variant}",
        NamedTable(edges.data.filter(pa.array(kept)), edges.path),
        NamedTable(columns.filter(pa.array(present)), table.path),
        id="name",
        type="neuron_class",
        side="side",
        transmitter="neurotransmitter",
        connection_type="type",
        sign_rule=sign_rule,
        unknown_transmitter=unknown_transmitter,
        electrical=electrical,
        self_connections=self_connections,
        min_synapses=min_synapses,
        notes={
            "dataset": "worm",
            "variant": variant,
            "organism": get_dataset("worm").organism,
            "licence": get_dataset("worm").licence,
            "citation": get_dataset("worm").citation,
            "non_neuron_cells_removed": sorted(cells - names),
            "non_neuron_chemical_rows_removed": int(np.sum(others & (kind == "chemical"))),
            "non_neuron_electrical_rows_removed": int(np.sum(others & (kind == "electrical"))),
            "neurons_without_connections_removed": [
                name for name, there in zip(table.text("name"), present, strict=True) if not there
            ],
            "neurons_connected_to_non_neurons_only": sorted((cells & names) - partnered),
        },
    )


def load_worm_recording(uid: str, *, values: str = "dff", missing: str = "error") -> Recording:
    """One animal's recording, with units named like the neurons of the connectome.

    The source's F0 is a percentile over the whole recording; a scaling with constants from the training part
    takes it out again, for it only stretches and shifts each trace.

    Parameters
    ----------
    uid
        For example `"2022-07-26-38"`.
    values, missing
        See `connfit.recordings.readers.hdf5.read_hdf5_recording`.

    Raises
    ------
    NotAvailableError
        If the file is not here.
    """
    dataset = get_dataset("worm")
    one_of("recording", uid, dataset.recordings)
    file = f"recordings/{uid}.h5"
    recording = read_hdf5_recording(locate("worm", [file])[file], name=f"worm/{uid}", values=values, missing=missing)
    return replace(recording, notes={**recording.notes, "sha256": dataset.file(file).sha256})
