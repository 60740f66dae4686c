"""How wiring is recognised: the only place that tells an edge table, a neuron table and a matrix from a recording."""

from __future__ import annotations

from typing import Literal

from connfit.connectome.cell_words import is_missing
from connfit.datasets.own_files.table_peek import Peek
from connfit.datasets.own_files.usual_names import EDGE_COLUMNS, NEURON_COLUMNS, columns_by_name, normal

TableKind = Literal["edges", "neurons", "matrix", "recording", "epochs", "units", "responses"]

_EPOCHS = {"name", "starts", "stops"}
_UNITS = {"roi", "unit"}
_RESPONSES = {"stimulated", "silenced"}
_TELLING = ("type", "region", "transmitter", "side")
_ID_NAMES = frozenset(NEURON_COLUMNS["id"]) - {"name", "neuron", "cell", "node", "label"}
"""Names that an id has and a unit does not."""


def kind_of_table(table: Peek) -> TableKind:
    """Say what a table holds by its titles and first rows.

    Every table that is none of the others counts as a recording.
    """
    named = {normal(title) for title in table.header}
    if columns_by_name(table.header, EDGE_COLUMNS, {}).keys() >= {"pre", "post"}:
        return "edges"
    if named >= _EPOCHS:
        return "epochs"
    if named >= _UNITS and len(named) <= len(_UNITS) + 1:
        return "units"
    if named & _RESPONSES:
        return "responses"
    if _is_square(table):
        return "matrix"
    roles = columns_by_name(table.header, NEURON_COLUMNS, {})
    words = [title for title in table.header if not table.numbers(title)]
    if "id" in roles and (named & _ID_NAMES or any(role in roles for role in _TELLING)) and len(words) < 200:
        return "neurons"
    return "recording"


def _is_square(table: Peek) -> bool:
    """Whether rows have the names of the columns, as those of a matrix of connections do."""
    if len(table.header) < 4 or not table.columns[0]:
        return False
    names, rows = table.header[1:], table.columns[0]
    if any(is_missing(name) for name in rows):
        return False
    return rows[: len(names)] == names[: len(rows)] and len(set(rows)) == len(rows)
