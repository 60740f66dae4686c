"""MATLAB's MAT-files of both kinds, opened alike: version 5 (v5 to v7.2) by SciPy, v7.3 by h5py."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from connfit._io import DAMAGE
from connfit._system.hdf5_guard import SIGNATURE, check_written, opened
from connfit._system.mat_variables import NUMBERS, MatVariable, mat_variables
from connfit.errors import DataError, unreadable

_LONGEST_NAME = 1 << 12
_AGAIN = "Copy or download it again, or save it anew: save('file.mat', 'dff', 'units', 'frame_rate', '-v7')"


class MatFile(Protocol):
    """An open MAT-file."""

    variables: dict[str, MatVariable]
    """By name, fields of structs as `s.a`."""

    def numbers(self, name: str) -> np.ndarray:
        """Read numbers, in the axes that MATLAB shows."""
        ...

    def words(self, name: str) -> list[str]:
        """Read a cell array of text, or the rows of a matrix of characters."""
        ...


@contextmanager
def opened_mat(path: Path) -> Iterator[MatFile]:
    """Open a MAT-file of either kind.

    Raises
    ------
    DataError
        If it is damaged, is none, or is of version 4; also while it is read.
    """
    with path.open("rb") as file:
        head = file.read(520)
    try:
        if head.startswith(SIGNATURE) or head[512:] == SIGNATURE:
            with opened(path) as stored:
                yield _Version73(stored, path)
        else:
            # Version 4 has no words at its beginning; they were MATLAB's, Octave's, or those of a library.
            if len(head) >= 128 and 0 in head[:4] and head[126:128] not in (b"IM", b"MI"):
                raise DataError("no MAT-file, or one of version 4, of before 1996", path=path, fix=_AGAIN)
            yield _Version5(path)
    except (*DAMAGE, struct.error, zlib.error, LookupError, AttributeError, NotImplementedError) as error:
        raise unreadable(error, "truncated, damaged or not a MAT-file", path=path, fix=_AGAIN) from error


def _by_name(listed: list[MatVariable], path: Path) -> dict[str, MatVariable]:
    found: dict[str, MatVariable] = {}
    for variable in listed:
        if variable.name in found:
            raise DataError(f"variable {variable.name!r} is there twice", path=path, fix=_AGAIN)
        found[variable.name] = variable
    return found


class _Version5:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.variables = _by_name(mat_variables(path), path)

    def numbers(self, name: str) -> np.ndarray:
        return np.asarray(self._read(name))

    def words(self, name: str) -> list[str]:
        stored = np.asarray(self._read(name))
        if stored.dtype.kind == "U":
            return [str(word) for word in stored.ravel()]
        words = []
        for cell in stored.ravel(order="F"):
            text = np.asarray(cell)
            if text.size and (text.dtype.kind != "U" or text.size != 1):
                raise _no_text(name, len(words), self._path)
            words.append(str(text.ravel()[0]) if text.size else "")
        return words

    def _read(self, name: str) -> Any:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        first, *inner = name.split(".")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = loadmat(self._path, variable_names=[first], appendmat=False)[first]
        except MatReadError as error:
            raise ValueError(str(error)) from error
        for each in inner:
            found = found[0, 0][each]
        return found


class _Version73:
    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self.variables = _by_name(list(self._listed(file, "", set())), path)

    def numbers(self, name: str) -> np.ndarray:
        dataset = self._dataset(name)
        if "MATLAB_empty" in dataset.attrs:
            return np.empty(self.variables[name].shape)
        # MATLAB writes its axes in reverse.
        return np.asarray(check_written(dataset, self._path)[()]).T

    def words(self, name: str) -> list[str]:
        dataset = self._dataset(name)
        if self.variables[name].kind == "char":
            return self._text(dataset)
        check_written(dataset, self._path)
        words = []
        for reference in np.asarray(dataset[()]).T.ravel(order="F"):
            cell = self._file[reference] if isinstance(reference, h5py.Reference) and reference else None
            if not isinstance(cell, h5py.Dataset) or _kind(cell) != "char":
                raise _no_text(name, len(words), self._path)
            text = self._text(cell)
            if len(text) > 1:
                raise _no_text(name, len(words), self._path)
            words += text or [""]
        return words

    def _dataset(self, name: str) -> h5py.Dataset:
        found = self._file[name.replace(".", "/")]
        if not isinstance(found, h5py.Dataset):
            raise DataError(f"{name} is a struct", path=self._path, fix="Name one of its fields")
        return found

    def _text(self, dataset: h5py.Dataset) -> list[str]:
        if "MATLAB_empty" in dataset.attrs:
            return []
        if dataset.dtype.kind not in "iu" or dataset.ndim != 2 or dataset.shape[0] > _LONGEST_NAME:
            raise DataError(f"{dataset.name} holds no text", path=self._path, fix="Write a cell array of text")
        letters = np.asarray(check_written(dataset, self._path)[()]).T.astype("<u2")
        return [row.tobytes().decode("utf-16-le", "replace") for row in letters]

    def _listed(self, group: h5py.Group, prefix: str, seen: set[int]) -> Iterator[MatVariable]:
        for name in map(str, group):
            found = None
            with contextlib.suppress(KeyError):  # of a link to nothing
                found = group[name]
            if isinstance(found, h5py.Dataset):
                yield MatVariable(prefix + name, _shape(found), _kind(found))
            elif isinstance(found, h5py.Group) and not name.startswith("#"):
                place = h5py.h5o.get_info(found.id).addr  # pyright: ignore[reportAttributeAccessIssue]
                if place not in seen:
                    seen.add(place)
                    yield from self._listed(found, f"{prefix}{name}.", seen)


def _kind(dataset: h5py.Dataset) -> str:
    stated = dataset.attrs.get("MATLAB_class", b"")
    kind = stated.decode("latin1") if isinstance(stated, bytes) else str(stated)
    if dataset.dtype.kind in "cV":
        return "complex"
    # h5py and others write datasets without MATLAB's attributes.
    return kind or ("double" if dataset.dtype.kind in "fiu" else str(dataset.dtype))


def _shape(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Shape as MATLAB shows it; of an empty array, what its file says of it is the value."""
    if "MATLAB_empty" in dataset.attrs and dataset.dtype.kind in "iu" and dataset.ndim == 1 and dataset.shape[0] <= 32:
        return tuple(int(size) for size in dataset[()])
    return (dataset.shape or ())[::-1]


def _no_text(name: str, at: int, path: Path) -> DataError:
    return DataError(
        f"{name} holds no text in cell {at + 1}", path=path, fix="Write a cell array of text, as cellstr(units) makes"
    )


def is_numbers(variable: MatVariable) -> bool:
    """Return whether a variable holds real numbers."""
    return variable.kind in NUMBERS
