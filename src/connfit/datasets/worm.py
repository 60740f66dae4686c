"""The worm: connectomes and recordings of *C. elegans*, neuron by neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable
from connfit.connectome.signs import SignRule
from connfit.connectome.table_files import read_table
from connfit.connectome.tables import connectome_from_tables, electrical_rows
from connfit.datasets.fetch import locate
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import DataError, one_of
from connfit.recordings import Recording
from connfit.recordings.keyword_options import takes_options_of
from connfit.recordings.readers.hdf5 import read_hdf5_recording
from connfit.recordings.readers.input_table import read_input_table

NEURONS, CONNECTIONS = "neurons.csv", "connections.csv.gz"
RESPONSES = "signal_propagation.csv.gz"
"""Measured responses to the stimulation of 69 neurons (Randi et al. 2023), see docs/measured.md."""
_EDGE_COLUMNS = ("dataset", "pre", "post", "type", "synapses")


def worm_connectome(
    neurons: Path,
    connections: Path,
    variant: str,
    *,
    sign_rule: SignRule = "worm",
    unknown_transmitter: str = "excitatory",
    electrical: str = "drop",
    self_connections: str = "keep",
    min_synapses: int = 1,
) -> Connectome:
    """Read tables of this layout.

    Parameters
    ----------
    neurons
        CSV with `name,neuron_class,side,neurotransmitter` and more.
    connections
        CSV with `dataset,pre,post,type,synapses`.
    variant
        Rows of which `dataset`.
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
    side = pa.array(["" if word == "unpaired" else word for word in table.text("side")])
    columns = table.data.set_column(table.columns.index("side"), "side", side)
    columns = columns.rename_columns(["sign_in_source" if name == "sign" else name for name in columns.column_names])
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
            **WORM.notes(),
            "variant": variant,
            "organism": WORM.organism,
            "non_neuron_cells_removed": sorted(cells - names),
            "non_neuron_chemical_rows_removed": int(np.sum(others & (kind == "chemical"))),
            "non_neuron_electrical_rows_removed": int(np.sum(others & (kind == "electrical"))),
            "neurons_without_connections_removed": [
                name for name, there in zip(table.text("name"), present, strict=True) if not there
            ],
            "neurons_connected_to_non_neurons_only": sorted((cells & names) - partnered),
        },
    )


@takes_options_of(worm_connectome)
def load_worm_connectome(variant: str | None = None, **options: Any) -> Connectome:
    """Read the connectome of one of three data sets of adult hermaphrodites; options are those of `worm_connectome`.

    Parameters
    ----------
    variant
        `"white1986_whole"` (default: whole animal, a composite of several), `"witvliet2020_7"` or
        `"witvliet2020_8"` (nerve ring of one animal).

    Raises
    ------
    NotAvailableError
        If the files are not here.
    """
    variant = one_of("variant", variant or WORM.variants[0], WORM.variants)
    paths = locate(WORM, [NEURONS, CONNECTIONS])
    return worm_connectome(paths[NEURONS], paths[CONNECTIONS], variant, **options)


def load_worm_recording(
    uid: str, *, values: str = "dff", missing: str = "error", inputs: Sequence[str] = ()
) -> Recording:
    """Read one animal's recording, with units named like the neurons of the connectome.

    The source's F0 is a percentile over the whole recording; a scaling with constants from the training part
    takes it out again, for it only stretches and shifts each trace.

    Parameters
    ----------
    uid
        For example `"2022-07-26-38"`.
    values, missing
        See `connfit.recordings.readers.hdf5.read_hdf5_recording`.
    inputs
        What the animal did, as `"velocity"`: columns of its table of behaviour, which has a row for each frame.

    Raises
    ------
    NotAvailableError
        If the file is not here.
    """
    one_of("recording", uid, WORM.recordings)
    file = f"recordings/{uid}.h5"
    recording = read_hdf5_recording(locate(WORM, [file])[file], name=f"worm/{uid}", values=values, missing=missing)
    recording = replace(recording, notes={**recording.notes, "sha256": WORM.file(file).sha256})
    if not inputs:
        return recording
    behaviour = f"behaviour/{uid}.csv"
    return read_input_table(
        locate(WORM, [behaviour])[behaviour], recording, channels=inputs, resample="last", missing="mask"
    )


_RECORDINGS = {
    "2022-07-26-31": (876094, "6abd662c07039919d1d1e188d58ae28022bb52e1bd9b5fb20f7d996caf3735c9"),
    "2022-07-26-38": (852582, "a5261dc87d0e21d1f4a4cb77b2bd42a990da56a7fcec62c76ca493fedbe777b2"),
    "2022-07-27-31": (871410, "66dd151c928201a0eb3b84a37d19b4f93edf72455468d371948983dca493ce45"),
    "2022-07-27-38": (804577, "b493c6a2db4a8766050d3dcbaa147fbcc95c141e045a73a3a8db9d1eaa630554"),
    "2022-08-02-38": (840096, "25c5f8a9c7be00e9e314861391af77c3da39f2172692f5f7f0fb656ecae9b441"),
}

_BEHAVIOUR = {
    "2022-07-26-31": (40213, "9229f64942530bd475f263c314fe638542fe619986cde184fc1b9e120b62c55d"),
    "2022-07-26-38": (40334, "0b3a9d155fb57dbe48445048f9bc8b0f79c6a0703e1ddf9954b45b0f2008ec58"),
    "2022-07-27-31": (39974, "8f4b74e3153351103d186c446c6f3bad3da86d5a102780d29ff74f98d6e9593b"),
    "2022-07-27-38": (40393, "f89a8c2439adcd332d34296144ed13d4009c2153ad62bc6f4acc1990f7666be3"),
    "2022-08-02-38": (40185, "d7cd8cf0249c7d0163584dbd1afeb644d64502cfee0db6ac1b077501836f9b5f"),
}

_RESPONSES = (132808, "1f5aa44956a585e2c76e3bcf3f5ace459153e4f5eabee62d643682728c9ac23f")

WORM = DATASETS.register(
    Dataset(
        name="worm",
        label="C. elegans: three connectomes and whole-brain calcium recordings with neuron names",
        place=1,
        organism="Caenorhabditis elegans",
        licence="none stated; published with Dag et al. 2023. Transmitters: MIT (openworm/ConnectomeToolbox)",
        citation=(
            "Recordings: Dag et al. 2023, Cell. Connectomes: White et al. 1986, Phil Trans R Soc B (white1986_whole); "
            "Witvliet et al. 2021, Nature (witvliet2020_7, witvliet2020_8). Transmitters: Wang et al. 2024, eLife. "
            "Measured responses: Randi et al. 2023, Nature"
        ),
        doi=(
            "10.1016/j.cell.2023.04.023", "10.1098/rstb.1986.0056", "10.1038/s41586-021-03778-8", "10.7554/eLife.95402",
            "10.1038/s41586-023-06683-4",
        ),
        source=(
            "originals: https://github.com/flavell-lab/NSM_5HTR_analysis (commit 47bc3704), nemanode.org, "
            "https://github.com/openworm/ConnectomeToolbox; the tables and HDF5 files used here are "
            "conversions without a public address"
        ),
        sizes=MappingProxyType(
            {
                "neurons": 300,
                "chemical connections": 2266,
                "chemical synapses": 6509,
                "gap junction pairs": 569,
                "recordings": 5,
                "frames": 800,
                "frame rate (Hz)": 1.66,
                "traces": "135-146",
            }
        ),
        connectome=load_worm_connectome,
        recording=load_worm_recording,
        recordings=tuple(_RECORDINGS),
        variants=("white1986_whole", "witvliet2020_7", "witvliet2020_8"),
        files=(
            DataFile(NEURONS, 13776, "80bdb6a7da19df807754694b2e68b2a9949b3471945f2fa5cbfdee810f82b63a"),
            DataFile(CONNECTIONS, 36193, "76ff72423b8029cfea529268e34b0993a6a4cef1e73d864a870a378aa108fe47"),
            *(DataFile(f"recordings/{uid}.h5", *known) for uid, known in _RECORDINGS.items()),
            DataFile(RESPONSES, *_RESPONSES, optional=True),
            *(DataFile(f"behaviour/{uid}.csv", *known, optional=True) for uid, known in _BEHAVIOUR.items()),
        ),
        preprocess=(
            MappingProxyType({"step": "high_pass", "cutoff_hz": 0.01}),
            MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),
        ),
    )
)  # fmt: skip
