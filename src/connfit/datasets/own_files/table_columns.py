"""Which column of an edge table and a neuron table plays which role, by names and by what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from connfit.connectome.cell_words import is_missing
from connfit.connectome.columns import NamedTable
from connfit.connectome.edge_sizes import NEGATIVE, POSITIVE
from connfit.connectome.table_files import read_table
from connfit.connectome.tables import electrical_rows
from connfit.datasets.own_files.sorting import Table
from connfit.datasets.own_files.usual_names import EDGE_COLUMNS, NEURON_COLUMNS, columns_by_name
from connfit.errors import ConfigError, DataError, did_you_mean

_ENDS = 50
"""Ids of the edge table by which the ids of the neuron table are found."""


@dataclass(frozen=True)
class TableColumns:
    """Columns by role, and how each was found.

    Parameters
    ----------
    columns
        Title by role.
    why
        By role, how it was found: `"given"`, `"by its name"`, ..., and what else it could be.
    """

    columns: Mapping[str, str]
    why: Mapping[str, str]


def edge_columns(table: Table, given: Mapping[str, str]) -> TableColumns:
    """Find `pre`, `post`, `count` and `connection_type`; those that are not there are left out.

    Raises
    ------
    ConfigError
        If a column that was given is not there.
    """
    found = _by_name(table, EDGE_COLUMNS, given)
    found = _sizes(found, table, given)
    kind = found.columns.get("connection_type")
    if kind is not None and "connection_type" not in given:
        words = pa.table({kind: pa.array(table.peek.cells(kind), pa.string())})
        try:
            electrical_rows(NamedTable(words, str(table.path)), kind)
        except DataError:  # It says something else, as a class of synapses.
            return TableColumns(*({k: v for k, v in each.items() if k != "connection_type"} for each in _both(found)))
    return found


def neuron_columns(table: Table, given: Mapping[str, str], edges: Table | None, pre: str | None) -> TableColumns:
    """Find `id`, `type`, `region`, `transmitter` and `side`; ids are those that the edge table has.

    Raises
    ------
    ConfigError
        If a column that was given is not there.
    DataError
        If the table cannot be read.
    """
    found = _by_name(table, NEURON_COLUMNS, given)
    if "id" in given or edges is None or pre is None:
        return found
    wanted = {cell for cell in edges.peek.cells(pre)[:_ENDS] if cell}
    first = columns_by_name(table.peek.header, {"id": NEURON_COLUMNS["id"]}, {}).get("id", ())
    listed = read_table(table.path, "neurons")
    titles = {title.strip(): title for title in listed.columns}
    for title in dict.fromkeys([*first, *table.peek.header]):
        if title in titles and wanted <= set(map(str.strip, listed.words(titles[title]).to_pylist())):
            why = "by its name" if title in first[:1] else "it holds the ids of the edge table"
            others = {role: column for role, column in found.columns.items() if column != title and role != "id"}
            return TableColumns({"id": title, **others}, {**found.why, "id": why})
    return found


def _sizes(found: TableColumns, table: Table, given: Mapping[str, str]) -> TableColumns:
    """Either counts or weights: what is no whole number, or below 1, is a weight."""
    columns, why = dict(found.columns), dict(found.why)
    counts = columns.get("count")
    if counts is not None and "count" not in given:
        cells = [cell for cell in table.peek.cells(counts) if not is_missing(cell)]
        if "weight" in given or not all(_is_count(cell) for cell in cells):
            del columns["count"], why["count"]
            columns.setdefault("weight", counts)
            why.setdefault("weight", "by its name, for it holds more than whole numbers above 0")
    if "count" in columns and "weight" not in given:
        columns.pop("weight", None)
        why.pop("weight", None)
    sign = columns.get("sign")
    if (
        sign is not None
        and "sign" not in given
        and not set(map(str.lower, table.peek.cells(sign))) <= {*POSITIVE, *NEGATIVE}
    ):
        del columns["sign"], why["sign"]
    return TableColumns(columns, why)


def _is_count(cell: str) -> bool:
    try:
        return float(cell) >= 1 and float(cell).is_integer()
    except ValueError:
        return False


def _by_name(table: Table, usual: Mapping[str, tuple[str, ...]], given: Mapping[str, str]) -> TableColumns:
    header = table.peek.header
    for role, title in given.items():
        if role in usual and title not in header:
            near = did_you_mean(title, header)
            raise ConfigError(f"{table.path}: the column {title!r} for {role} is not there{near}")
    columns: dict[str, str] = {}
    why: dict[str, str] = {}
    for role, fits in columns_by_name(header, usual, given).items():
        free = [title for title in fits if title not in columns.values()]
        if not free:
            continue
        columns[role] = free[0]
        others = f"; could also be {', '.join(map(repr, free[1:4]))}" if len(free) > 1 else ""
        why[role] = "given" if role in given else f"by its name{others}"
    return TableColumns(columns, why)


def _both(found: TableColumns) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return found.columns, found.why
