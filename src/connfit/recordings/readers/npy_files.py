"""Single arrays in NPY files, and tables of settings that NumPy pickled into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import DAMAGE, require_file
from connfit._system.npz_members import read_array, stated_header, whole_header
from connfit._system.pickle_machine import Refused
from connfit._system.pickled_values import read_pickled_values
from connfit.errors import DataError, unreadable

_AGAIN = "Copy or download it again"


def read_npy(path: Path) -> np.ndarray:
    """Read an array of numbers; memory is taken only if the file has as many bytes.

    Raises
    ------
    DataError
        If the file is absent or damaged, or holds no numbers.
    """
    path = require_file(path)
    try:
        with path.open("rb") as file:
            header = whole_header(file, path.name, path.stat().st_size)
            if header.dtype.kind not in "fiub":
                raise DataError(f"it holds {header.dtype}", path=path, fix="It must hold numbers")
            return read_array(file, header)
    except DAMAGE as error:
        raise unreadable(error, "truncated, damaged or not an NPY file of numbers", path=path, fix=_AGAIN) from error


def read_npy_table(path: Path, *, fix: str) -> dict[str, Any]:
    """Read a table of settings that `numpy.save` pickled; nothing that the pickle names is imported or run.

    Parameters
    ----------
    fix
        What to do if the table cannot be read.

    Returns
    -------
    dict
        See `connfit._system.pickled_values.read_pickled_values`.

    Raises
    ------
    DataError
        If the file is absent or damaged, or holds something else.
    """
    path = require_file(path, fix=fix)
    try:
        with path.open("rb") as file:
            header = stated_header(file, path.name)
            if header.shape != () or header.dtype != np.dtype(object):
                raise ValueError(f"it holds {header.dtype} of shape {header.shape} and no table")
            return read_pickled_values(file.read())
    except Refused as error:
        problem = f"the pickle holds {error}, which a table of settings does not need; nothing in it was run"
        raise DataError(problem, path=path, fix=fix) from None
    # Damaged instructions surface as AttributeError and LookupError, too.
    except (*DAMAGE, AttributeError, LookupError) as error:
        raise unreadable(error, "truncated, damaged or no pickled table", path=path, fix=fix) from error
