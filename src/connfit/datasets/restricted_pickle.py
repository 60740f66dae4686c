"""Tables from pickled pandas DataFrames, read without running anything that a pickle names.

A pickle is a program: unpickling it the usual way calls whatever it asks for. Here every name that a DataFrame of
numbers needs stands for an inert record of what was stored, every other name is an error, and the table is put
together from the records (`pickle_machine`). So the file's pandas need not resemble the one that is installed, and a
pickle from the internet can do no more than be wrong: neither run anything nor take much memory or time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connfit._system.pickle_machine import Refused, run_pickle
from connfit._system.pickled_arrays import Call, PickledArray, PickledType, array_names
from connfit.errors import DataError

_LONGEST = 1 << 20
"""Most rows and most columns: far more than such a table has, and few enough to be listed in memory."""


class _Stored:
    """An object of pandas: the arguments it was made with and its state."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Frame(_Stored):
    """A DataFrame."""


class _Manager(_Stored):
    """The blocks of values of a DataFrame and its axes."""


class _Block(_Stored):
    """Columns that share a type: values [column, row], and which columns they are."""


class _Slice(_Stored):
    """A range of columns."""

    def numpy(self, length: int) -> np.ndarray:
        if len(self.arguments) != 3 or any(part is not None and type(part) is not int for part in self.arguments):
            raise Refused("a range of columns that is not made of whole numbers")
        return np.array(range(length)[slice(*self.arguments)], np.intp)


class _Word:
    """A class that is only ever an argument; it cannot be called or changed by a pickle."""

    __slots__ = ()


_ANY_INDEX, _RANGE_INDEX = _Word(), _Word()


class _Index(_Stored):
    """Labels of rows or columns."""

    def pandas(self) -> pd.Index:
        if len(self.arguments) != 2 or not isinstance(self.arguments[1], dict):
            raise Refused("an index of an unknown layout")
        kind, stored = self.arguments
        name = stored.get("name")
        if name is not None and type(name) not in (str, int):
            raise Refused("an index whose name is neither text nor a number")
        if kind is _RANGE_INDEX:
            edges = [stored.get("start", 0), stored.get("stop"), stored.get("step", 1)]
            if any(type(edge) is not int for edge in edges):
                raise Refused("an evenly spaced index that is not made of whole numbers")
            return pd.RangeIndex(*edges, name=name)
        if kind is not _ANY_INDEX or not isinstance(stored.get("data"), PickledArray):
            raise Refused("an index of an unknown layout")
        labels = stored["data"].numpy()
        if labels.ndim != 1:
            raise Refused("an index with more than one level")
        return pd.Index(labels, name=name)


def _allowed() -> dict[tuple[str, str], Any]:
    """What each permitted name stands for: pandas 0.20 to 3, NumPy 1 and 2, protocols 2 to 5."""
    table: dict[tuple[str, str], Any] = {
        ("pandas", "DataFrame"): _Frame,
        ("pandas.core.frame", "DataFrame"): _Frame,
        ("pandas.core.internals", "BlockManager"): _Manager,
        ("pandas.core.internals.managers", "BlockManager"): _Manager,
        ("pandas._libs.internals", "BlockManager"): _Manager,
        ("pandas._libs.internals", "_unpickle_block"): Call(_Block),
        ("pandas.core.internals.blocks", "new_block"): Call(_Block),
        ("pandas", "Index"): _ANY_INDEX,
        ("pandas", "RangeIndex"): _RANGE_INDEX,
        ("builtins", "slice"): Call(_Slice),
        ("__builtin__", "slice"): Call(_Slice),
    }
    for package in ("pandas.core.indexes", "pandas.indexes"):
        table[f"{package}.base", "_new_Index"] = Call(_Index)
        table[f"{package}.base", "Index"] = _ANY_INDEX
        table[f"{package}.range", "RangeIndex"] = _RANGE_INDEX
        for kind in ("Int64Index", "UInt64Index", "Float64Index"):
            table[f"{package}.numeric", kind] = _ANY_INDEX
    return table | array_names()


_ALLOWED = _allowed()


def read_pickled_frame(content: bytes, path: str | Path) -> pd.DataFrame:
    """Read the table in a pickled DataFrame of numbers. Nothing that the pickle names is imported or called.

    Parameters
    ----------
    content
        The pickle, protocols 2 to 5, written by pandas 0.20 or newer.
    path
        Where it comes from, for messages.

    Returns
    -------
    pd.DataFrame
        Values and labels as written. Columns are numbers (bool, int, uint, float); labels of rows and columns are
        numbers or text. Attributes (`attrs`, flags) are not read.

    Raises
    ------
    DataError
        If the content is truncated or no pickle, or names anything that such a table does not need.
    """
    try:
        stored = run_pickle(content, _ALLOWED)
        if not isinstance(stored, _Frame) or not isinstance(stored.state, dict):
            raise Refused(f"an object of the kind {type(stored).__name__.lstrip('_')}, not a table")
        return _assemble(stored.state.get("_mgr", stored.state.get("_data")), len(content))
    except Refused as error:
        raise DataError(
            f"the pickle holds {error}, which a DataFrame of numbers does not need; nothing in it was run",
            path=path,
            fix="If the file is yours, write the values of the table in another format, for example CSV",
        ) from None
    # Damaged opcodes surface as any of these; a pickle's content never runs, so none comes from elsewhere.
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"truncated, damaged or not a pickled DataFrame ({error})", path=path, fix="Copy or download it again"
        ) from error


def _assemble(manager: Any, size: int) -> pd.DataFrame:
    """The table from its axes and blocks, whose values all have a place of their own in a pickle of this size."""
    if not isinstance(manager, _Manager):
        raise Refused("a table of an unknown layout")
    axes, blocks = _axes_and_blocks(manager)
    if len(axes) != 2 or not all(isinstance(axis, _Index) for axis in axes):
        raise Refused("a table without two axes")
    columns, rows = (axis.pandas() for axis in axes)
    if max(len(columns), len(rows)) > _LONGEST:
        raise Refused(f"{len(columns)} columns and {len(rows)} rows")
    pieces, places = [], []
    used = 0
    for values, place in blocks:
        if not isinstance(values, PickledArray) or (isinstance(values.dtype, PickledType) and values.dtype.is_text):
            raise Refused("columns that are not numbers")
        block = values.numpy()
        place = place.numpy(len(columns)) if isinstance(place, _Slice) else _positions(place, len(columns))
        used += block.nbytes
        if used > size or not len(place):
            raise Refused("a block without columns" if used <= size else "blocks that share their values")
        if block.shape != (len(place), len(rows)):
            raise Refused(f"values of shape {block.shape} for {len(place)} columns and {len(rows)} rows")
        pieces.append(pd.DataFrame(block.T.astype(block.dtype.newbyteorder("="), copy=False), columns=place))
        places.append(place)
    filled = np.sort(np.concatenate([np.empty(0, np.intp), *places]))
    if not np.array_equal(filled, np.arange(len(columns))):
        raise Refused("columns without values")
    table = pd.DataFrame(index=range(len(rows)))
    if pieces:
        table = pieces[0] if len(pieces) == 1 else pd.concat(pieces, axis=1)
        table = table.reindex(columns=range(len(columns)))
    table.columns, table.index = columns, rows
    return table


def _axes_and_blocks(manager: _Manager) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Axes (columns, rows) and (values, columns) of each block, from the layouts of pandas since 1.3 or before."""
    if manager.state is None and len(manager.arguments) == 2:
        blocks, axes = manager.arguments
        if isinstance(blocks, tuple) and isinstance(axes, list) and all(isinstance(block, _Block) for block in blocks):
            return axes, [_arguments(block) for block in blocks]
    elif isinstance(manager.state, tuple) and len(manager.state) >= 4 and isinstance(manager.state[3], dict):
        stored = manager.state[3].get("0.14.1")
        if isinstance(stored, dict) and isinstance(stored.get("axes"), list):
            return stored["axes"], [(block["values"], block["mgr_locs"]) for block in stored["blocks"]]
    raise Refused("a table of an unknown layout")


def _arguments(block: _Block) -> tuple[Any, Any]:
    if len(block.arguments) not in (2, 3):
        raise Refused("a block of an unknown layout")
    return block.arguments[0], block.arguments[1]


def _positions(place: Any, length: int) -> np.ndarray:
    """Columns of a block, stored as an array."""
    listed = place.numpy() if isinstance(place, PickledArray) else None
    if (
        listed is None
        or listed.ndim != 1
        or listed.dtype.kind not in "iu"
        or not np.all((listed >= 0) & (listed < length))
    ):
        raise Refused("a block without columns")
    return listed
