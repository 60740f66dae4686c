"""Square matrices of a user: which files hold one, how many rows it has, and what could name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from connfit._io import DAMAGE
from connfit._system.npz_members import whole_header
from connfit.connectome.cell_words import FLOAT, INTEGER, is_missing
from connfit.connectome.formats.matrix import first_words, separator_of
from connfit.connectome.mat_files import MatFile, is_numbers, opened_mat
from connfit.connectome.text_files import lines
from connfit.errors import ConnfitError

_FEWEST = 3
_ROWS = 200
"""Rows whose words are looked at; of others only their number counts."""


def matrix_size(path: Path) -> int | None:
    """Return the number of rows of a square matrix of three or more; None of a file that holds none.

    Parameters
    ----------
    path
        `.npy`; `.mat`, in which all matrices have to be square and of one size; else text, with a row in each line.
    """
    try:
        if path.name.lower().endswith(".npy"):
            return _of_npy(path)
        if path.name.lower().endswith(".mat"):
            return _of_mat(path)
        return _of_text(path)
    except (*DAMAGE, ConnfitError):
        return None  # Whoever reads it says what is wrong.


def _of_npy(path: Path) -> int | None:
    with path.open("rb") as file:
        header = whole_header(file, path.name, path.stat().st_size)
    fits = len(header.shape) == 2 and header.shape[0] == header.shape[1] and header.dtype.kind in "fiu"
    return header.shape[0] if fits and header.shape[0] >= _FEWEST else None


def _of_mat(path: Path) -> int | None:
    with opened_mat(path) as file:
        shapes = {file.variables[name].shape for name in _matrices(file)}
    if len(shapes) != 1 or len(size := {*next(iter(shapes))}) != 1:
        return None
    return max(size) if max(size) >= _FEWEST else None


def _matrices(file: MatFile) -> list[str]:
    return [
        name
        for name, variable in file.variables.items()
        if is_numbers(variable) and len(variable.shape) == 2 and min(variable.shape) > 1
    ]


def _of_text(path: Path) -> int | None:
    separator = separator_of(path)
    size = rows = 0
    for line in lines(path):
        words = line.partition("#")[0].strip().split(separator)
        if words in ([], [""]):
            continue
        size = size or len(words)
        if len(words) != size or size < _FEWEST or rows == size:
            return None
        if rows < _ROWS and not all(FLOAT.fullmatch(word.strip()) or INTEGER.fullmatch(word.strip()) for word in words):
            return None
        rows += 1
    return size if rows == size >= _FEWEST else None


def names_in_texts(texts: Sequence[Path], size: int) -> dict[tuple[str, ...], Path]:
    """Return the text files whose lines begin with so many different names, by these names; the first of equal ones."""
    found: dict[tuple[str, ...], Path] = {}
    for path in texts:
        try:
            names = tuple(first_words(path))
        except ConnfitError:
            continue
        if len(names) == size == len({*names}) and not any(FLOAT.fullmatch(name) or is_missing(name) for name in names):
            found.setdefault(names, path)
    return found


def names_in_mat(path: Path, size: int) -> tuple[str, ...]:
    """Return the variables of a MAT-file that hold so many words."""
    with opened_mat(path) as file:
        return tuple(
            name
            for name, variable in file.variables.items()
            if (variable.kind == "cell" and sorted(variable.shape) == [1, size])
            or (variable.kind == "char" and len(variable.shape) == 2 and variable.shape[0] == size)
        )
