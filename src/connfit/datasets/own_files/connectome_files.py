"""How wiring is recognised: the only place that tells an edge table, a neuron table and a matrix from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import h5py

from connfit._system.hdf5_guard import opened
from connfit.connectome.cell_words import is_missing
from connfit.connectome.formats import FORMATS
from connfit.connectome.formats.connectome_format import find_format
from connfit.datasets.own_files.matrix_files import matrix_size
from connfit.datasets.own_files.table_peek import Peek
from connfit.datasets.own_files.usual_names import EDGE_COLUMNS, NEURON_COLUMNS, columns_by_name, normal
from connfit.errors import ConnfitError
from connfit.recordings.readers import READERS

TableKind = Literal["edges", "neurons", "matrix", "recording", "epochs", "units", "responses", "words"]

_EPOCHS = {"name", "starts", "stops"}
_UNITS = {"roi", "unit"}
_RESPONSES = {"stimulated", "silenced"}
WORDS = (".txt", ".txt.gz")
"""Ends of text files that no reader of recordings takes."""
_TELLING = ("type", "region", "transmitter", "side")
_ID_NAMES = frozenset(NEURON_COLUMNS["id"]) - {"name", "neuron", "cell", "node", "label"}
"""Names that an id has and a unit does not."""


def wiring_of_file(path: Path) -> tuple[Literal["edges", "neurons"], str] | None:
    """Say whether a file that is no table holds wiring, which half of it, and in which format; None if it does not."""
    name = path.name.lower()
    if name.endswith((".h5", ".hdf5")):
        return _of_hdf5(path)
    if name.endswith((".npy", ".mat")):
        return ("edges", "matrix") if matrix_size(path) is not None else None
    read_otherwise = tuple(end for reader in READERS.values() for end in reader.suffixes)
    endings = tuple(end for known in FORMATS.values() for end in known.suffixes)
    if name.endswith(endings) and not name.endswith(read_otherwise):
        return "edges", find_format(path).name
    return None


def _of_hdf5(path: Path) -> tuple[Literal["edges", "neurons"], str] | None:
    """SONATA has groups `edges` and `nodes` at the top."""
    try:
        with opened(path) as file:
            if isinstance(file.get("edges"), h5py.Group):
                return "edges", "sonata"
            return ("neurons", "sonata") if isinstance(file.get("nodes"), h5py.Group) else None
    except (OSError, RuntimeError, KeyError, ConnfitError):
        return None  # Whoever reads it says what is wrong.


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
