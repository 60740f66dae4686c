"""The wiring of the whole-brain model of Shiu et al. 2024: signed connections of FlyWire, one row per pair."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.connectome.streaming import csv_blocks, first_line, integers, parquet_blocks, refuse, refuse_pair, require
from connfit.datasets import fly_facts as fly
from connfit.datasets.cache import cached
from connfit.datasets.fetch import locate
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes, regions_by_label
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import ConfigError, DataError, NotAvailableError, first_ten, one_of
from connfit.recordings.keyword_options import takes_options_of

if TYPE_CHECKING:
    from connfit._typing import JSON

_PRE, _POST, _COUNT, _SIGN = "Presynaptic_Index", "Postsynaptic_Index", "Connectivity", "Excitatory"
_PRE_ID, _POST_ID, _PRODUCT = "Presynaptic_ID", "Postsynaptic_ID", "Excitatory x Connectivity"
COLUMNS = (_PRE_ID, _POST_ID, _PRE, _POST, _COUNT, _SIGN, _PRODUCT)


def shiu_connectome(
    connectivity: Path,
    completeness: Path,
    neurons: Path | None = None,
    classification: Path | None = None,
    name: str = "shiu",
    notes: Mapping[str, JSON] | None = None,
    *,
    min_synapses: int = 1,
    sign_rule: SignRule = "published",
    unknown_transmitter: str | None = None,
    self_connections: str = "keep",
    order: str = "local",
) -> Connectome:
    """Read tables of this layout.

    Parameters
    ----------
    connectivity
        Parquet with the seven columns of `COLUMNS`, one row per ordered pair, read in blocks.
    completeness
        CSV, compressed or not: the first column holds the neuron ids, whose row numbers are the indices.
    neurons, classification
        FlyWire's tables, both or none, see `connfit.datasets.fly_neurons.read_fly_neurons`.
    name, notes, min_synapses, self_connections
        As of `connfit.datasets.flywire.codex_connectome`.
    sign_rule
        `"published"`: the signs of the file. Or a rule by transmitter, see `connfit.connectome.signs.sign_table`, which
        needs FlyWire's neuron tables.
    unknown_transmitter
        Only for a rule by transmitter (default there: `"excitatory"`), see `connfit.connectome.signs.assign_signs`.
    order
        `"local"` or `"source"`, see `connfit.connectome.order.ordered`. Without FlyWire's neuron tables there is
        nothing to sort by, and both are the same.

    Raises
    ------
    DataError
        If a column is missing or a row contradicts the completeness table, another row or itself: it is named.
    ConfigError
        If a rule by transmitter is asked for without FlyWire's tables, or a policy for unknown transmitters without
        such a rule.
    """
    published = isinstance(sign_rule, str) and sign_rule == "published"
    one_of("self_connections", self_connections, ("keep", "drop"))
    if published and unknown_transmitter is not None:
        raise ConfigError("unknown_transmitter is for a sign_rule by transmitter; the published signs need none")
    if not published and (neurons is None or classification is None):
        raise ConfigError(
            f"sign_rule = {sign_rule!r} needs transmitters, which are in FlyWire's {fly.NEURONS} and "
            f"{fly.CLASSIFICATION}; they are not here. Fetch them, or keep sign_rule = 'published'"
        )
    ids, completed = read_completeness(completeness)
    listed, tables = _neuron_table(ids, neurons, classification)
    table, position = ordered(listed, order)

    rows, signs = _read_rows(connectivity, completeness, ids, position)
    if (twice := rows.repeated()) is not None:
        pair = np.argsort(position)[list(twice[:2])]
        refuse_pair(parquet_blocks(connectivity, (_PRE, _POST)), pair, ids[pair], connectivity)
    sign_notes: dict[str, JSON] = {
        "sign_rule": "published",
        "sign_table": "column Excitatory of the file: GABA and glutamate -1, all others +1",
        "neurons_without_outputs_taken_as_excitatory": int(np.sum(signs == 0)),
    }
    values, silent = np.where(signs == 0, 1, signs), None
    if not published:
        by_rule = assign_signs(table["transmitter"].to_list(), sign_rule, unknown=unknown_transmitter or "excitatory")
        differ = int(np.sum((signs != 0) & (signs != by_rule.values)))
        sign_notes = {**by_rule.notes(), "neurons_whose_sign_differs_from_the_published": differ}
        values, silent = by_rule.values, by_rule.dropped
    wiring = rows.wiring(min_synapses=min_synapses, self_connections=self_connections, silent=silent, all_neurons=True)
    regions = regions_by_label(table, wiring.indptr, wiring.indices, wiring.counts) if tables else None
    return wiring.connectome(
        name,
        values,
        table,
        regions,
        {
            **(notes or {}),
            **sign_notes,
            **(tables or {"neuron_tables": "not here: region, side, transmitter and class are empty"}),
            "order": order,
            "edge_rows": len(rows),
            "neurons_not_completed": int(np.sum(~completed)),
        },
    )


def _read_rows(
    connectivity: Path, completeness: Path, ids: Int[np.ndarray, "N"], position: Int[np.ndarray, "N"]
) -> tuple[PackedRows, Int[np.ndarray, "N"]]:
    """Rows in the order of storage, and the sign of each neuron there (0: it makes no connection)."""
    rows, signs = PackedRows(len(ids)), np.zeros(len(ids), np.int8)
    for row, block in parquet_blocks(connectivity, COLUMNS):
        column = {key: integers(block.column(key), key, row, connectivity) for key in COLUMNS}

        def wrong(
            bad: np.ndarray, key: str, problem: str, row: int = row, column: dict[str, np.ndarray] = column
        ) -> None:
            refuse(bad, column[key], key, row, connectivity, problem, "Use the tables as they were published")

        for index, id_column in ((_PRE, _PRE_ID), (_POST, _POST_ID)):
            at = column[index]
            wrong((at < 0) | (at >= len(ids)), index, f"is not a row of {completeness}, which has {len(ids)} neurons")
            wrong(ids[at] != column[id_column], id_column, f"is not the neuron in row {index} of {completeness}")
        counts, sign = column[_COUNT], column[_SIGN]
        wrong(counts < 1, _COUNT, "is below 1")
        wrong(counts > rows.most_synapses, _COUNT, f"is above {rows.most_synapses}")
        wrong(np.abs(sign) != 1, _SIGN, "is not +1 or -1")
        wrong(sign * counts != column[_PRODUCT], _PRODUCT, f"is not {_SIGN} times {_COUNT}")
        pre, post = position[column[_PRE]], position[column[_POST]]
        wrong((signs[pre] != 0) & (signs[pre] != sign), _SIGN, "is not the sign of this neuron in rows before")
        signs[pre] = sign
        wrong(signs[pre] != sign, _SIGN, "is not the sign of this neuron in other rows")
        rows.add(pre, post, counts)
    if not len(rows):
        raise DataError("the table has no rows", path=connectivity, fix="Download or copy it again")
    return rows, signs


def read_completeness(path: Path) -> tuple[Int[np.ndarray, "N"], np.ndarray]:
    """Read ids in the order of their indices, and whether each neuron is said to be complete."""
    header = first_line(path)
    require(["Completed"], header, path)
    ids, completed = [np.zeros(0, np.int64)], [np.zeros(0, bool)]
    for row, block in csv_blocks(path, {header[0]: pa.int64(), "Completed": pa.string()}, show=False):
        ids.append(integers(block.column(0), "the neuron id", row, path))
        completed.append(np.asarray(block.column(1).to_pylist(), object) == "True")
    both = np.concatenate(ids)
    repeated = both[pd.Series(both).duplicated().to_numpy()]
    if len(repeated) or not len(both):
        problem = f"neuron ids repeat: {first_ten(repeated.tolist())}" if len(both) else "the table has no rows"
        raise DataError(problem, path=path, fix="Use the table as it was published")
    return both, np.concatenate(completed)


def _neuron_table(
    ids: Int[np.ndarray, "N"], neurons: Path | None, classification: Path | None
) -> tuple[pd.DataFrame, dict[str, JSON] | None]:
    """Neurons in the order of the indices, with FlyWire's columns where its tables are given; notes on these."""
    if neurons is None or classification is None:
        empty = pd.Series([""] * len(ids), dtype="str")
        return pd.DataFrame({"id": ids, "type": empty, "region": empty, "transmitter": empty, "side": empty}), None
    known = read_fly_neurons(neurons, classification)
    at = pd.Index(known["id"]).get_indexer(pd.Index(ids))
    blank = pd.DataFrame({key: [""] for key in known.columns[1:]}, dtype="str").assign(id=-1)[list(known.columns)]
    table = pd.concat([known, blank], ignore_index=True).iloc[at].reset_index(drop=True).assign(id=ids)
    notes = {
        "neuron_tables": f"{neurons.name} and {classification.name} of FlyWire",
        "neurons_not_in_the_neuron_tables": int(np.sum(at < 0)),
        "regions": "approximate: synapses counted at the input and output labels of their neurons",
        **region_notes(table),
    }
    return table, notes


@takes_options_of(shiu_connectome)
def load_shiu(dataset: str, tables: str, **options: Any) -> Connectome:
    """Read all connections of a snapshot, without a threshold; options are those of `shiu_connectome`.

    Parameters
    ----------
    dataset
        `"shiu-783"` (138,639 neurons) or `"shiu-630"` (127,400).
    tables
        Dataset with FlyWire's neuron tables of this snapshot.

    Returns
    -------
    Connectome
        Region, side, transmitter and class of the neurons come from FlyWire's neuron tables if these are here (they
        are not downloaded for it), and so do synapses by region, approximately: see
        `connfit.datasets.fly_neurons.regions_by_label`. `notes["neuron_tables"]` says which it was.

    Raises
    ------
    NotAvailableError
        If the files are not here and cannot be downloaded.

    References
    ----------
    Shiu et al. 2024, doi:10.1038/s41586-024-07763-9.
    """
    facts = DATASETS[dataset]
    connectivity, completeness = locate(dataset, [file.path for file in facts.files]).values()
    files: dict[str, Path | None] = {"connectivity": connectivity, "completeness": completeness}
    try:
        found = locate(tables, [fly.NEURONS, fly.CLASSIFICATION], download=False)
        files |= {"neurons": found[fly.NEURONS], "classification": found[fly.CLASSIFICATION]}
    except NotAvailableError:
        files |= dict.fromkeys(("neurons", "classification"))
    return cached(dataset, shiu_connectome, files, options, name=dataset, notes=facts.notes())


def _register(
    snapshot: str, place: int, neurons: int, connections: int, files: tuple[DataFile, ...], folder: str
) -> None:
    title = f"signed whole-brain connections of the adult fly, FlyWire snapshot {snapshot}, no threshold"
    DATASETS.register(
        Dataset(
            name=f"shiu-{snapshot}",
            label=f"Shiu et al. 2024: {title}",
            place=place,
            organism=fly.ORGANISM,
            licence="MIT",
            citation="Shiu et al. 2024, Nature; wiring: Dorkenwald et al. 2024, Nature",
            doi=(fly.SHIU, fly.DORKENWALD),
            source="https://github.com/philshiu/Drosophila_brain_model",
            sizes=MappingProxyType({"neurons": neurons, "connections": connections}),
            connectome=partial(load_shiu, f"shiu-{snapshot}", f"flywire-{snapshot}"),
            recordings_of="turner-2021",
            files=files,
            folder=folder,
            fit=fly.FLY_FIT,
        )
    )


def _file(path: str, size: int, sha256: str, *also_at: DataFile) -> DataFile:
    address = "https://raw.githubusercontent.com/philshiu/Drosophila_brain_model/main"
    return DataFile(path, size, sha256, f"{address}/{path}", also_at=also_at)


_register(
    "783", 7, 138639, 15091983,
    (
        _file(
            "Connectivity_783.parquet", 100804642, "efeb23fb99098e9c390f6869969b2a121a2ee92c833cfc45ecb2c1d8e1af0347"
        ),
        _file(
            "Completeness_783.csv", 3327347, "bbb847a4cc2caaa7a16349722d220c087317b946d148d4d592d94d250617a311",
            DataFile(
                "Completeness_783.csv.gz", 483572, "3803af4875081fc64656fd8149154985b77d2987d59835fbb29bf0a213e0dbbe"
            ),
        ),
    ),
    "flywire",
)  # fmt: skip
_register(
    "630", 8, 127400, 14687178,
    (
        _file(
            "2023_03_23_connectivity_630_final.parquet", 86630944,
            "94db8c650533bc36ffa3223f2e62325d5648b8d6bd31c3a4e1c804628c7557b3",
        ),
        _file(
            "2023_03_23_completeness_630_final.csv", 3057611,
            "e6b71e17671a9bdb05f55e4bc6774640a1418cb7a05125e0fc994ad40f9bfdfb",
        ),
    ),
    "",
)  # fmt: skip
