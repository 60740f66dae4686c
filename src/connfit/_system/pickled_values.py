"""Tables of settings in pickles: numbers, text, lists and arrays by name, read without running what a pickle names."""

from __future__ import annotations

from typing import Any

import numpy as np

from connfit._system.pickle_machine import Refused, run_pickle
from connfit._system.pickled_arrays import Call, Encoded, PickledArray, PickledType, array_names, quoted


class Inert:
    """A date or a path: that there was one, nothing of it."""

    def __init__(self, *arguments: Any) -> None:
        pass


class _AnyType(PickledType):
    """A NumPy type, of text as well; what it holds is read only where it is numbers."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if isinstance(code, str) and code[:1] in ("U", "S") and code[1:].isdecimal():
            self.code, self.order = code, "="
        else:
            super().__init__(code, *flags)


def _scalar(dtype: Any, content: Any = None) -> Any:
    """How NumPy writes one number, or one text."""
    if not isinstance(dtype, PickledType) or dtype.is_text:
        raise Refused("a value of an unknown type")
    content = content.text.encode("latin1") if isinstance(content, Encoded) else content
    if not isinstance(content, bytes):
        raise Refused(f"a value made of what is {quoted(content)}")
    kind = dtype.numpy()
    if not kind.itemsize or len(content) != kind.itemsize:
        raise Refused("a value without content")
    if kind.kind == "U":
        return Inert()  # which could hold numbers that are no characters
    return np.frombuffer(content, kind).item()


def _names() -> dict[tuple[str, str], Any]:
    table = array_names()
    table["numpy", "dtype"] = _AnyType
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray", "scalar"] = Call(_scalar)
    dates = [("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")]
    kinds = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
    paths = [(module, name) for module in ("pathlib", "pathlib._local") for name in kinds]
    return table | dict.fromkeys([*dates, *paths], Inert)


NAMES = _names()
"""What each permitted name stands for."""


def read_pickled_values(content: bytes) -> dict[str, Any]:
    """Read what `numpy.save` pickles of a table (a `dict` with text as keys). Nothing that it names is imported.

    Parameters
    ----------
    content
        The pickle, protocols 2 to 5.

    Returns
    -------
    dict
        Numbers, text, lists, tuples and tables as they are; arrays as `PickledArray`, dates and paths as `Inert`.

    Raises
    ------
    Refused
        If it names or does anything else.
    AttributeError, LookupError, TypeError, ValueError, OverflowError, MemoryError
        If it is damaged.
    """
    stored = run_pickle(content, NAMES)
    if isinstance(stored, PickledArray):
        listed = stored.content
        if stored.shape != () or not isinstance(listed, list) or len(listed) != 1:
            raise Refused("an array of objects, not one table")
        stored = listed[0]
    if type(stored) is not dict:
        raise Refused(f"an object of the kind {type(stored).__name__.lstrip('_')}, not a table")
    return stored
