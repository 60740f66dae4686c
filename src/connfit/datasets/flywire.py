"""FlyWire, the whole brain of an adult female fly: connections per neuropil as FlyWire Codex exports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.connectome.streaming import INTEGER, IdPositions, csv_blocks, first_line, integers, refuse, require
from connfit.datasets import fly_facts as fly
from connfit.datasets.cache import cached
from connfit.datasets.fetch import locate
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.datasets.registry import DATASETS, DataFile, Dataset
from connfit.errors import DataError, NotAvailableError, first_ten, one_of
from connfit.recordings.keyword_options import takes_options_of

if TYPE_CHECKING:
    from connfit._typing import JSON

COLUMNS = ("pre_root_id", "post_root_id", "neuropil", "syn_count")
UNASSIGNED = ("UNASGD", "")
"""What the column of neuropils says of a synapse that lies in none."""

_HEADERLESS = (*COLUMNS, "nt_type")
_VARIANTS = MappingProxyType(
    {
        "flywire-783": MappingProxyType(
            {
                "threshold5": "connections.csv.gz",
                "no_threshold": "connections_no_threshold.csv.gz",
                "princeton": "connections_princeton.csv.gz",
            }
        ),
        "flywire-630": MappingProxyType(
            {"threshold5": "connections.csv.gz", "no_threshold": "no_threshold_connections.csv.gz"}
        ),
    }
)
_TYPES = "consolidated_cell_types.csv.gz"


def codex_connectome(
    connections: Path,
    neurons: Path,
    classification: Path,
    types: Path | None = None,
    name: str = "flywire",
    notes: Mapping[str, JSON] | None = None,
    *,
    min_synapses: int = 1,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    order: str = "local",
) -> Connectome:
    """Read tables in the layout of FlyWire Codex, in blocks.

    Parameters
    ----------
    connections
        CSV, compressed or not, with `pre_root_id`, `post_root_id`, `neuropil` (with hemisphere, or `UNASGD`) and
        `syn_count`: one row per pair and neuropil. A file without a header has these columns in this order, and one
        more.
    neurons, classification, types
        See `connfit.datasets.fly_neurons.read_fly_neurons`.
    name, notes
        Of the connectome; notes are kept beside what is counted here.
    min_synapses
        Pairs with fewer synapses over all neuropils are left out.
    sign_rule, unknown_transmitter
        See `connfit.connectome.signs.assign_signs`. The transmitter is the neuron's, not that of the row.
    self_connections
        `"keep"` or `"drop"`.
    order
        `"local"` or `"source"`, see `connfit.connectome.order.ordered`.

    Returns
    -------
    Connectome
        Neurons with a row in `connections`; whatever was left out is counted in `notes`.

    Raises
    ------
    DataError
        If a column is missing, the file is truncated, or a row is wrong: a neuropil or an id that is not known, a
        count that is not a positive whole number, a pair that is there twice in one neuropil. The row is named.
    """
    one_of("self_connections", self_connections, ("keep", "drop"))
    table, position = ordered(read_fly_neurons(neurons, classification, types), order)
    signs = assign_signs(table["transmitter"].to_list(), sign_rule, unknown=unknown_transmitter)
    header = has_header(connections)
    source_ids = np.empty(len(table), np.int64)
    source_ids[table["source_row"].to_numpy()] = table["id"].to_numpy()
    rows = PackedRows(len(table), FLYWIRE_NEUROPILS)
    for first, pre, post, region, counts in codex_rows(connections, IdPositions(source_ids, position), neurons):
        most = rows.most_synapses
        refuse(counts > most, counts, "syn_count", first, connections, f"is above {most}", "Correct the row")
        rows.add(pre, post, counts, region)
    if not len(rows):
        raise DataError("the table has no rows", path=connections, fix="Download or copy it again")
    if (twice := rows.repeated()) is not None:
        _name_repeated(connections, table["id"].to_numpy(), twice)
    wiring = rows.wiring(min_synapses=min_synapses, self_connections=self_connections, silent=signs.dropped)
    kept = table.iloc[wiring.neurons].reset_index(drop=True)
    present = assign_signs(kept["transmitter"].to_list(), sign_rule, unknown=unknown_transmitter)
    return wiring.connectome(
        name,
        present.values,
        kept,
        wiring.regions,
        {
            **(notes or {}),
            **present.notes(),
            **region_notes(kept),
            "order": order,
            "edge_rows": len(rows),
            "header_row": header,
        },
    )


def has_header(connections: Path) -> bool:
    """Return whether a table of connections has a header row.

    Raises
    ------
    DataError
        If it has neither the header nor, without one, the columns in their order.
    """
    fields = first_line(connections)
    if not INTEGER.fullmatch(fields[0]):
        require(COLUMNS, fields, connections)
        return True
    in_order = (
        len(fields) == len(_HEADERLESS)
        and all(INTEGER.fullmatch(field) and len(field) == 18 for field in fields[:2])
        and not INTEGER.fullmatch(fields[2])
        and INTEGER.fullmatch(fields[3]) is not None
        and len(fields[3]) < 7
    )
    if not in_order:
        raise DataError(
            f"row 1 ({', '.join(fields[:6])}) is no header, and the columns are not in the order "
            f"{', '.join(_HEADERLESS)}",
            path=connections,
            fix="Without a header the first two columns must be ids of 18 digits and the fourth a number of synapses",
        )
    return False


def codex_rows(
    connections: Path, positions: IdPositions, neurons: Path
) -> Iterator[tuple[int, Int[np.ndarray, "R"], Int[np.ndarray, "R"], Int[np.ndarray, "R"], Int[np.ndarray, "R"]]]:
    """Read checked blocks of connections: number of the first row, pre, post, place of the neuropil, synapses.

    Parameters
    ----------
    connections
        See `codex_connectome`.
    positions
        Of the neuron ids.
    neurons
        File of the neuron table, for messages.

    Yields
    ------
    tuple
        The neuropil is a place in `FLYWIRE_NEUROPILS`, -1 where none is assigned.
    """
    kinds = (pa.int64(), pa.int64(), pa.dictionary(pa.int32(), pa.string()), pa.int64())
    types: dict[str, pa.DataType] = dict(zip(COLUMNS, kinds, strict=True))
    names = None if has_header(connections) else _HEADERLESS
    for row, block in csv_blocks(connections, types, names=names):
        at = []
        for column in COLUMNS[:2]:
            ids = integers(block.column(column), column, row, connections)
            found = positions(ids)
            problem = f"is not in the neuron table {neurons}"
            refuse(found < 0, ids, column, row, connections, problem, "Use tables of the same snapshot")
            at.append(found)
        counts = integers(block.column("syn_count"), "syn_count", row, connections)
        refuse(counts < 1, counts, "syn_count", row, connections, "is below 1", "Correct or delete the row")
        yield row, at[0], at[1], _places(block.column("neuropil"), row, connections), counts


def _places(column: pa.Array, row: int, path: Path) -> Int[np.ndarray, "R"]:
    known = {name: k for k, name in enumerate(FLYWIRE_NEUROPILS)} | dict.fromkeys(UNASSIGNED, -1)
    # Empty fields of a dictionary column are missing values.
    names = [*column.dictionary.to_pylist(), ""]  # type: ignore[attr-defined]
    codes = column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    places = np.array([known.get(name, -2) for name in names], np.int64)
    found = places[codes]
    if (found == -2).any():
        k = int(np.argmax(found == -2))
        wrong = names[codes[k]]
        near = get_close_matches(wrong, FLYWIRE_NEUROPILS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"row {row + k}: neuropil {wrong!r} is not known",
            path=path,
            fix=f"{hint}It must be one of the {len(FLYWIRE_NEUROPILS)} neuropils of FlyWire with hemisphere, or UNASGD",
        )
    return found


def _name_repeated(path: Path, ids: Int[np.ndarray, "N"], key: tuple[int, int, int]) -> None:
    """Raise a DataError with the rows of a pair that is there twice in one neuropil."""
    pre, post, region = key
    same = []
    for row, a, b, places, _ in codex_rows(path, IdPositions(ids, np.arange(len(ids))), path):
        same += (row + np.flatnonzero((a == pre) & (b == post) & (places == region))).tolist()
    where = FLYWIRE_NEUROPILS[region] if region >= 0 else "no neuropil"
    raise DataError(
        f"rows {first_ten(same)} are the same: {ids[pre]} -> {ids[post]} in {where}",
        path=path,
        fix="Keep one row per pair and neuropil",
    )


@takes_options_of(codex_connectome)
def load_flywire(dataset: str, variant: str | None = None, **options: Any) -> Connectome:
    """Read a snapshot of FlyWire; options are those of `codex_connectome`.

    Parameters
    ----------
    dataset
        `"flywire-783"` or `"flywire-630"`.
    variant
        `"threshold5"` (default; pairs of at least 5 synapses, and the table with a published checksum),
        `"no_threshold"` (all pairs) or, of snapshot 783, `"princeton"` (a newer detection of synapses; do not mix it
        with the others).

    Returns
    -------
    Connectome
        Of the neurons that have a connection in the file. `regions` counts its synapses by neuropil. Cell types are
        filled in if their table is here; it is not downloaded for them.

    Raises
    ------
    NotAvailableError
        If the files are not here and cannot be downloaded.

    References
    ----------
    Dorkenwald et al. 2024, doi:10.1038/s41586-024-07558-y; Schlegel et al. 2024, doi:10.1038/s41586-024-07686-5.
    """
    facts, variants = DATASETS[dataset], _VARIANTS[dataset]
    variant = one_of("variant", variant or facts.variants[0], variants)
    wanted = {"connections": variants[variant], "neurons": fly.NEURONS, "classification": fly.CLASSIFICATION}
    paths, types = locate(facts, list(wanted.values())), _cell_types(facts)
    return cached(
        f"{dataset}-{variant}",
        codex_connectome,
        {**{role: paths[file] for role, file in wanted.items()}, "types": types},
        options,
        name=f"{dataset}/{variant}",
        notes={
            **facts.notes(),
            "variant": variant,
            "cell_types": _TYPES if types else "not filled in: their table is not here",
        },
    )


def _cell_types(dataset: Dataset) -> Path | None:
    """Find the table of cell types, if it is here."""
    if _TYPES not in [file.path for file in dataset.files]:
        return None
    try:
        return locate(dataset, [_TYPES], download=False)[_TYPES]
    except NotAvailableError:
        return None


DATASETS.register(
    Dataset(
        name="flywire-783",
        label="FlyWire adult female fly brain, snapshot 783, Codex exports",
        place=6,
        organism=fly.ORGANISM,
        licence="CC-BY-4.0",
        citation=(
            f"{fly.FLYWIRE_CITATION}. Synapses: Buhmann et al. 2021, Nat Methods. Image volume: Zheng et al. 2018, Cell"
        ),
        doi=(fly.DORKENWALD, fly.SCHLEGEL, fly.ECKSTEIN, fly.BUHMANN, fly.ZHENG),
        source="https://codex.flywire.ai/",
        sizes=MappingProxyType({"neurons": 139255, "connections of at least 5 synapses": 2700513}),
        connectome=partial(load_flywire, "flywire-783"),
        recordings_of="turner-2021",
        variants=tuple(_VARIANTS["flywire-783"]),
        files=(
            *fly.TABLES_783,
            *(
                DataFile(path, size, sha256, f"{fly.CODEX}/783/{path}")
                for path, size, sha256 in (
                    (
                        "fw_and_hemibrain_types.csv.gz", 1043857,
                        "193f266279f20cfd816e3631a9225cf887d3424d337454a20f09d10916472bd0",
                    ),
                    (_TYPES, 901707, "8aba246d71dc40361677493629972ce3883048c3d02010adc42bda22962a1a2d"),
                    (
                        "connections.csv.gz", 50289304,
                        "d49dd692e59e153aa3c83f5257bfc0eff51247b86d7bb183386c6d1622c70fc9",
                    ),
                    (
                        "connections_princeton.csv.gz", 68456801,
                        "445f996bf6c4b1803b9ba186189138a3061ff8623aa94c0abcf38af30a5bd48b",
                    ),
                    ("connections_no_threshold.csv.gz", 212093967, None),
                )
            ),
        ),
        folder="flywire",
        fit=fly.FLY_FIT,
    )
)  # fmt: skip
DATASETS.register(
    Dataset(
        name="flywire-630",
        label="FlyWire adult female fly brain, snapshot 630, Codex exports",
        place=7,
        organism=fly.ORGANISM,
        licence="CC-BY-4.0",
        citation=f"{fly.FLYWIRE_CITATION}. Network statistics: Lin et al. 2024, Nature",
        doi=(fly.DORKENWALD, fly.SCHLEGEL, fly.LIN, fly.ECKSTEIN),
        source="https://codex.flywire.ai/",
        sizes=MappingProxyType({"connections of at least 5 synapses": 2613129}),
        connectome=partial(load_flywire, "flywire-630"),
        recordings_of="turner-2021",
        variants=tuple(_VARIANTS["flywire-630"]),
        files=tuple(
            DataFile(path, size, sha256, f"{fly.CODEX}/630/{path}")
            for path, size, sha256 in (
                (fly.NEURONS, 1572661, "a0be4670993d86cea0a4724ba24f874c9d867a24f4e248ff30dcf9b6565d81bb"),
                (fly.CLASSIFICATION, 1011550, "b2cf34ef76f5750e647334b56c73ae7f49c96f0fee3371e8a52d26c835a3b499"),
                ("connections.csv.gz", 26124953, "68144490b8585fb6b1bf5979d923a3b1081b435cd52b7f82daed1beb6b84781a"),
                ("no_threshold_connections.csv.gz", 116904594, None),
            )
        ),
        fit=fly.FLY_FIT,
    )
)
