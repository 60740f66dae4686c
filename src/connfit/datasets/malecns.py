"""The central nervous system of an adult male fly: neurons, predicted transmitters and connections between bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.columns import NamedTable
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.connectome.streaming import IdPositions, feather_blocks, integers, refuse, refuse_pair
from connfit.connectome.table_files import read_table
from connfit.datasets import fly_facts as fly
from connfit.datasets.cache import cached
from connfit.datasets.fetch import locate
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import DataError, one_of
from connfit.recordings.keyword_options import takes_options_of

if TYPE_CHECKING:
    from connfit._typing import JSON

NAME = "malecns-1.0"
WEIGHT_COLUMNS = ("body_pre", "body_post", "weight")

_ANNOTATIONS = "body-annotations-male-cns-v1.0-minconf-0.5.feather"
_TRANSMITTERS = "body-neurotransmitters-male-cns-v1.0.feather"
_WEIGHTS = "connectome-weights-male-cns-v1.0-minconf-0.5.feather"

# The layout of the two tables of bodies is documented only in part: spellings of each column, the best first.
_BODY = ("bodyId", "body", "bodyid", "body_id")
_SUPERCLASS = ("superclass", "super_class", "superClass")
_TRANSMITTER = ("consensus_nt", "consensusNt", "predicted_nt", "predictedNt", "celltype_predicted_nt", "nt", "top_nt")
_OPTIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "type": ("type", "cell_type", "cellType"),
        "side": ("somaSide", "soma_side", "side"),
        "class": ("class", "class_"),
        "sub_class": ("subclass", "sub_class", "subClass"),
    }
)


def malecns_connectome(
    weights: Path,
    annotations: Path,
    transmitters: Path,
    name: str = NAME,
    notes: Mapping[str, JSON] | None = None,
    *,
    min_synapses: int = 1,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    order: str = "local",
) -> Connectome:
    """Read tables of this layout: all bodies with a superclass and the connections among them.

    Parameters
    ----------
    weights
        Feather with `body_pre`, `body_post`, `weight`: one row per ordered pair of segments, read in blocks.
    annotations
        Feather, one row per body: its id, `superclass` (empty for what is no neuron) and, where there, type, side,
        class and subclass.
    transmitters
        Feather, one row per body: its id and its predicted transmitter. Bodies that it lacks have none.
    name, notes, min_synapses, sign_rule, unknown_transmitter, self_connections, order
        As of `connfit.datasets.flywire.codex_connectome`.

    Returns
    -------
    Connectome
        Without regions: the table of connections has none. `notes` counts the bodies and rows left out.

    Raises
    ------
    DataError
        If a column is missing (those found are listed), ids repeat, no body has a superclass, a weight is below 1, or
        a pair is there twice: the row is named.
    """
    one_of("self_connections", self_connections, ("keep", "drop"))
    everything, counted = _bodies(annotations, transmitters)
    table, position = ordered(everything, order)
    signs = assign_signs(table["transmitter"].to_list(), sign_rule, unknown=unknown_transmitter)

    rows, all_rows, all_synapses, kept_synapses = PackedRows(len(table)), 0, 0, 0
    positions = IdPositions(everything["id"].to_numpy(), position)
    for row, pre, post, counts, (listed, synapses) in _weight_rows(weights, positions, rows.most_synapses):
        all_rows, all_synapses = row + listed - 1, all_synapses + synapses
        kept_synapses += int(counts.sum())
        rows.add(pre, post, counts)
    if not len(rows):
        raise DataError(
            f"none of its {all_rows} rows connects two bodies with a superclass in {annotations}",
            path=weights,
            fix="Use tables of the same version",
        )
    if (twice := rows.repeated()) is not None:
        pair = table["id"].to_numpy()[list(twice[:2])]
        refuse_pair(feather_blocks(weights, WEIGHT_COLUMNS), pair, pair, weights)
    wiring = rows.wiring(
        min_synapses=min_synapses, self_connections=self_connections, silent=signs.dropped, all_neurons=True
    )
    return wiring.connectome(
        name,
        signs.values,
        table,
        None,
        {
            **(notes or {}),
            **signs.notes(),
            **counted,
            "order": order,
            "edge_rows": all_rows,
            "rows_with_a_segment_that_is_no_neuron_removed": all_rows - len(rows),
            "synapses_with_a_segment_that_is_no_neuron_removed": int(all_synapses - kept_synapses),
        },
    )


def _weight_rows(
    weights: Path, positions: IdPositions, most: int
) -> Iterator[tuple[int, Int[np.ndarray, "R"], Int[np.ndarray, "R"], Int[np.ndarray, "R"], tuple[int, int]]]:
    """Blocks of rows between neurons: number of the first row, pre, post, synapses; (rows, synapses) of the block."""
    for row, block in feather_blocks(weights, WEIGHT_COLUMNS):
        pre, post, counts = (integers(block.column(key), key, row, weights) for key in WEIGHT_COLUMNS)
        refuse(counts < 1, counts, "weight", row, weights, "is below 1", "Correct or delete the row")
        refuse(counts > most, counts, "weight", row, weights, f"is above {most}", "Correct the row")
        at_pre = positions(pre)
        # Most rows have a segment that is no neuron; the second id is looked up only where the first is one.
        kept = np.flatnonzero(at_pre >= 0)
        at_post = positions(post[kept])
        neuronal = at_post >= 0
        kept = kept[neuronal]
        yield row, at_pre[kept], at_post[neuronal], counts[kept], (block.num_rows, int(counts.sum()))


def _bodies(annotations: Path, transmitters: Path) -> tuple[pd.DataFrame, dict[str, JSON]]:
    """Neuron table of the bodies with a superclass, in the order of the annotations, and what was left out."""
    table = read_table(annotations, "annotations")
    body, superclass = _column(table, _BODY, "body ids"), _column(table, _SUPERCLASS, "superclasses")
    ids, classes = (
        table.unique_ids(body, whole=True, fix="Keep one row per body"),
        np.array(table.text(superclass), object),
    )
    neuronal = np.flatnonzero(classes != "")
    if not len(neuronal):
        raise DataError(f"no body has a value in column {superclass!r}", path=annotations, fix="Check the table")
    found = {key: next((name for name in names if name in table.columns), None) for key, names in _OPTIONAL.items()}
    columns = {
        key: np.array(table.text(name), object)[neuronal] if name else np.full(len(neuronal), "", object)
        for key, name in found.items()
    }
    predicted = read_table(transmitters, "transmitters")
    body_of_prediction = _column(predicted, _BODY, "body ids")
    transmitter = _column(predicted, _TRANSMITTER, "predicted transmitters")
    at = pd.Index(_ids(predicted, body_of_prediction)).get_indexer(pd.Index(ids[neuronal]))
    words = np.append(np.array(predicted.text(transmitter), object), "")
    frame = {
        "type": columns.pop("type"),
        "region": np.full(len(neuronal), "", object),
        "transmitter": words[at],
        "side": columns.pop("side"),
        "super_class": classes[neuronal],
        **columns,
    }
    neurons = pd.DataFrame({"id": ids[neuronal], **{k: pd.Series(v, dtype="str") for k, v in frame.items()}})
    return neurons, {
        "regions": "none: the table of connections has no regions",
        "bodies_without_superclass_removed": int(len(ids) - len(neuronal)),
        "neurons_without_row_in_the_transmitter_table": int(np.sum(at < 0)),
        "columns_used": {"id": body, "super_class": superclass, "transmitter": transmitter, **found},
    }


def _ids(table: NamedTable, column: str) -> Int[np.ndarray, "N"]:
    return table.unique_ids(column, whole=True, fix="Keep one row per body")


def _column(table: NamedTable, names: Sequence[str], what: str) -> str:
    """The first of `names` that the table has."""
    for name in names:
        if name in table.columns:
            table.require([name])
            return name
    raise DataError(
        f"there is no column of {what} ({', '.join(names)}); the columns are "
        f"{', '.join(map(repr, table.columns[:60]))}",
        path=table.path,
        fix="Rename the right column to the first of these names",
    )


@takes_options_of(malecns_connectome)
def load_malecns(**options: Any) -> Connectome:
    """Read the male CNS, version 1.0 (doi:10.1016/j.cell.2026.08.015); options are those of `malecns_connectome`.

    Raises
    ------
    NotAvailableError
        If the files are not here and cannot be downloaded.
    """
    facts = DATASETS[NAME]
    roles = {"weights": _WEIGHTS, "annotations": _ANNOTATIONS, "transmitters": _TRANSMITTERS}
    paths = locate(NAME, list(roles.values()))
    files = {role: paths[file] for role, file in roles.items()}
    return cached(NAME, malecns_connectome, files, options, notes=facts.notes())


def _file(path: str, size: int, sha256: str | None, *, md5: str | None = None, optional: bool = False) -> DataFile:
    address = "https://storage.googleapis.com/flyem-male-cns/v1.0/connectome-data/flat-connectome"
    return DataFile(path, size, sha256, f"{address}/{path}", md5=md5, optional=optional)


DATASETS.register(
    Dataset(
        name=NAME,
        label="Connectome of the central nervous system of an adult male fly, version 1.0",
        place=10,
        organism=fly.ORGANISM,
        licence="CC-BY-4.0",
        citation="Male CNS connectome 1.0, Cell 2026",
        doi=("10.1016/j.cell.2026.08.015",),
        source="https://male-cns.janelia.org/",
        sizes=MappingProxyType({"neurons": 166700, "rows of the connection table, all segments": 151856684}),
        connectome=load_malecns,
        recordings_of="turner-2021",
        files=(
            _file(_ANNOTATIONS, 14483314, "2177e246113e4cfbf1e7772ec37c6da1955ff22e8063d0b1f833101f99a9a3b2"),
            _file(_TRANSMITTERS, 43282834, "95c9289220663abeb3409f3ad9e5a7f8a53f8093f5139d15502cd08da8879621"),
            _file(_WEIGHTS, 1051241946, "e35da783d1c686b2b58b3b87cd6a403ae43bfcfba8bff28e08ef752c1a56afc1"),
            _file(
                "tbar-neurotransmitters-male-cns-v1.0.feather", 2651680218,
                "bade84c9eab431dd537ff644aaf3d203d639a819c739ecedb338e7d109064f4d", optional=True,
            ),
            _file(
                "syn-partners-male-cns-v1.0-minconf-0.5.feather", 6777179098, None,
                md5="58efcf712f8c4d4de5f2ad51e97def76", optional=True,
            ),
            _file(
                "syn-points-male-cns-v1.0-minconf-0.5.feather", 13061489098, None,
                md5="c69d08758de07582035cc8843574493a", optional=True,
            ),
        ),
        fit=fly.FLY_FIT,
    )
)  # fmt: skip
