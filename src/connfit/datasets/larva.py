"""The larva: the connectome of the brain of a first-instar *Drosophila* larva, neuron by neuron."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable
from connfit.connectome.signs import SignRule
from connfit.connectome.table_files import read_table
from connfit.connectome.tables import connectome_from_tables
from connfit.datasets.fetch import locate
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import one_of
from connfit.recordings.keyword_options import takes_options_of

NEURONS, CONNECTIONS = "neurons.csv.gz", "connections.csv.gz"
SELECTED = "selected"
_MEMBER = "selected_lcc"


def larva_connectome(
    neurons: Path,
    connections: Path,
    variant: str,
    *,
    sign_rule: SignRule | None = None,
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    min_synapses: int = 1,
) -> Connectome:
    """Read tables of this layout.

    Parameters
    ----------
    neurons
        CSV with `id,merge_class,hemisphere,selected_lcc` and more.
    connections
        CSV with `pre,post,synapses`, the four types of contact summed.
    variant
        `"selected"`: the neurons of the source's largest connected component of selected ones; `"all"`: every neuron
        of the table, incomplete and partially differentiated ones included.
    sign_rule, unknown_transmitter
        The source has no transmitters. Default: all neurons excite, which nothing supports; the notes say so.
    self_connections, min_synapses
        See `connfit.connectome.tables.connectome_from_tables`.

    Returns
    -------
    Connectome
        Types are classes with subclasses (`merge_class`), sides hemispheres; there are no regions.
    """
    edges = read_table(connections, "connections", columns=("pre", "post", "synapses"))
    table = read_table(neurons, "neurons")
    table.require(["id", "merge_class", "hemisphere", _MEMBER])
    removed: dict[str, int] = {}
    if variant == SELECTED:
        member = np.array(table.text(_MEMBER), object) == "1"
        ids = table.unique_ids("id")
        inside = [np.isin(edges.ids(column), ids[member]) for column in ("pre", "post")]
        kept = inside[0] & inside[1]
        removed = {
            "neurons_not_selected_removed": int((~member).sum()),
            "rows_of_neurons_not_selected_removed": int((~kept).sum()),
        }
        edges = NamedTable(edges.data.filter(pa.array(kept)), edges.path)
        table = NamedTable(table.data.filter(pa.array(member)), table.path)
    return connectome_from_tables(
        f"larva/{variant}",
        edges,
        table,
        type="merge_class",
        side="hemisphere",
        sign_rule=sign_rule,
        unknown_transmitter=unknown_transmitter,
        self_connections=self_connections,
        min_synapses=min_synapses,
        notes={
            **LARVA.notes(),
            "variant": variant,
            "organism": LARVA.organism,
            "signs": "the source has no transmitters: signs are an assumption (unknown_transmitter)",
            **removed,
        },
    )


@takes_options_of(larva_connectome)
def load_larva_connectome(variant: str | None = None, **options: Any) -> Connectome:
    """Read the connectome; options are those of `larva_connectome`.

    Parameters
    ----------
    variant
        `"selected"` (default) or `"all"`.

    Raises
    ------
    NotAvailableError
        If the files are not here.
    """
    variant = one_of("variant", variant or LARVA.variants[0], LARVA.variants)
    paths = locate(LARVA, [NEURONS, CONNECTIONS])
    return larva_connectome(paths[NEURONS], paths[CONNECTIONS], variant, **options)


LARVA = DATASETS.register(
    Dataset(
        name="larva",
        label="Drosophila larva: the synaptic connectome of one brain, without transmitters",
        place=2,
        organism="Drosophila melanogaster, first-instar larva",
        licence="MIT (neurodata/bilateral-connectome)",
        citation=(
            "Winding, Pedigo et al. 2023, Science (reconstruction); Pedigo et al. 2023, eLife (the tables used here)"
        ),
        doi=("10.1126/science.add9330", "10.7554/eLife.83739"),
        source=(
            "originals: https://github.com/neurodata/bilateral-connectome (commit 2f56a811), data/elife/G_edgelist.txt "
            "and meta_data.csv; the tables used here are conversions without a public address"
        ),
        sizes=MappingProxyType(
            {
                "neurons": 2952,
                "chemical connections": 110677,
                "chemical synapses": 352611,
                "neurons, all": 3591,
                "chemical connections, all": 119010,
            }
        ),
        connectome=load_larva_connectome,
        variants=(SELECTED, "all"),
        files=(
            DataFile(NEURONS, 122160, "e76d270820d0f3884e72171bd45a608510de43ab6a2fda00e75e5324495c8424"),
            DataFile(CONNECTIONS, 566051, "fb9ba49fce15404c87821423457659b17e6f564e633cf8571079bb489314d9c3"),
        ),
    )
)
