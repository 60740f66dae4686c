"""FlyWire, the whole brain of an adult female fly: connections per neuropil as FlyWire Codex exports them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from connfit.connectome import Connectome
from connfit.connectome.edges import PackedRows
from connfit.connectome.order import ordered
from connfit.connectome.signs import SignRule, assign_signs
from connfit.connectome.streaming import INTEGER, IdPositions, csv_blocks, first_line, integers, refuse, require
from connfit.datasets.cache import cached
from connfit.datasets.fly_neurons import read_fly_neurons, region_notes
from connfit.datasets.fly_regions import FLYWIRE_NEUROPILS
from connfit.datasets.registry import get_dataset, locate
from connfit.errors import DataError, NotAvailableError, first_ten, one_of

COLUMNS = ("pre_root_id", "post_root_id", "neuropil", "syn_count")
UNASSIGNED = ("UNASGD", "")
"""What the column of neuropils says of a synapse that lies in none."""

_HEADERLESS = (*COLUMNS, "nt_type")
_FILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
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


def load_flywire_783(
    variant: str | None = None,
    *,
    min_synapses: int = 1,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    order: str = "local",
) -> Connectome:
    """Snapshot 783 of FlyWire.

    Parameters
    ----------
    variant
        `"threshold5"` (default; pairs of at least 5 synapses, and the table with a published checksum),
        `"no_threshold"` (all pairs) or `"princeton"` (a newer detection of synapses; do not mix it with the others).
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
    return _load(
        "flywire-783",
        variant,
        {
            "min_synapses": min_synapses,
            "sign_rule": sign_rule,
            "unknown_transmitter": unknown_transmitter,
            "self_connections": self_connections,
            "order": order,
        },
    )


def load_flywire_630(
    variant: str | None = None,
    *,
    min_synapses: int = 1,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    order: str = "local",
) -> Connectome:
    """Snapshot 630 of FlyWire: variants `"threshold5"` (default) and `"no_threshold"`.

    Options as in `load_flywire_783`; doi:10.1038/s41586-024-07558-y.
    """
    return _load(
        "flywire-630",
        variant,
        {
            "min_synapses": min_synapses,
            "sign_rule": sign_rule,
            "unknown_transmitter": unknown_transmitter,
            "self_connections": self_connections,
            "order": order,
        },
    )


def codex_connectome(
    connections: Path,
    neurons: Path,
    classification: Path,
    *,
    name: str = "flywire",
    types: Path | None = None,
    min_synapses: int = 1,
    sign_rule: SignRule = "fly-paper",
    unknown_transmitter: str = "excitatory",
    self_connections: str = "keep",
    order: str = "local",
    notes: Mapping[str, Any] | None = None,
) -> Connectome:
    """A connectome from tables in the layout of FlyWire Codex, read in blocks.

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
    min_synapses, sign_rule, unknown_transmitter, self_connections, order
        See `load_flywire_783`.

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
    return Connectome(
        name=name,
        indptr=wiring.indptr,
        indices=wiring.indices,
        counts=wiring.counts,
        signs=present.values,
        neurons=kept,
        regions=wiring.regions,
        notes={
            **(notes or {}),
            **present.notes(),
            **region_notes(kept),
            "order": order,
            "self_connections": self_connections,
            "min_synapses": min_synapses,
            "edge_rows": len(rows),
            "header_row": header,
            **wiring.left_out,
        },
    )


def has_header(connections: Path) -> bool:
    """Whether a table of connections has a header row.

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
        and all(INTEGER.fullmatch(one) and len(one) == 18 for one in fields[:2])
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
    """Checked blocks of a table of connections: number of the first row, pre, post, place of the neuropil, synapses.

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


def _load(name: str, variant: str | None, options: Mapping[str, Any]) -> Connectome:
    facts = get_dataset(name)
    variant = one_of("variant", variant or facts.variants[0], _FILES[name])
    wanted = ["neurons.csv.gz", "classification.csv.gz", _FILES[name][variant]]
    paths = locate(name, wanted)
    neurons, classification, connections = (paths[one] for one in wanted)
    types = _cell_types(name)
    notes = {
        "dataset": name,
        "variant": variant,
        "licence": facts.licence,
        "citation": facts.citation,
        "cell_types": _TYPES if types else "not filled in: their table is not here",
    }
    return cached(
        f"{name}-{variant}",
        {**paths, _TYPES: types},
        options,
        lambda: codex_connectome(
            connections, neurons, classification, name=f"{name}/{variant}", types=types, notes=notes, **options
        ),
    )


def _cell_types(name: str) -> Path | None:
    """The table of cell types, if it is here."""
    if _TYPES not in [one.path for one in get_dataset(name).files]:
        return None
    try:
        return locate(name, [_TYPES], download=False)[_TYPES]
    except NotAvailableError:
        return None
