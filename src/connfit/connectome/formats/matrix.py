"""Connectomes as a matrix of weights, one row and one column for each neuron or region."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from connfit._io import DAMAGE, require_file
from connfit._registry import Options
from connfit._system.npz_members import read_array, whole_header
from connfit._system.paths import user_path
from connfit._system.unpacked import open_unpacked
from connfit.connectome.cell_words import FLOAT, INTEGER
from connfit.connectome.columns import NamedTable
from connfit.connectome.edge_sizes import real_numbers
from connfit.connectome.formats.connectome_format import FORMATS, ConnectomeFormat, WiringTables
from connfit.connectome.mat_files import is_numbers, opened_mat
from connfit.connectome.memory_tables import table_of_frame
from connfit.connectome.table_files import read_table
from connfit.connectome.text_files import first_line, lines
from connfit.errors import DataError, UnclearError, first_ten, one_of, unreadable

_AGAIN = "Copy or write it again"


class MatrixOptions(Options, frozen=True):
    """Of matrices.

    Parameters
    ----------
    rows
        What rows are: `"pre"`, entry [i, j] is what i sends to j (Brain Connectivity Toolbox), or `"post"`, what i
        receives from j (TVB). Needed unless the matrix is symmetric.
    labels
        A text file with the names in order, the first word of each line; its path counts from the matrix. Default: the
        first row and column of a CSV file that has them, or the ids of the neuron table in their order.
    values, names
        Variables of a MAT-file with the matrix and with the names. Default: the only square matrix of numbers.
    """

    rows: Literal["pre", "post"] | None = None
    labels: str | None = None
    values: str | None = None
    names: str | None = None


def read_matrix(edges: Path, neurons: Path | None, options: MatrixOptions) -> WiringTables:
    """Read a square matrix; entries of 0 are no connections.

    Parameters
    ----------
    edges
        CSV or TSV with names in the first row and column; CSV, TSV or `.txt` of numbers alone; `.npy`; or `.mat`.

    Raises
    ------
    DataError
        If it is not square or holds what is no finite number; if it is not clear what rows are.
    UnclearError
        If it has no names, or a MAT-file has several such matrices.
    """
    require_file(edges)
    names: list[str] | None = None
    suffix = edges.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix == "npy":
        values = _npy(edges)
    elif suffix == "mat":
        values, names = _mat(edges, options)
    elif suffix in ("csv", "tsv") and not is_plain(edges):
        values, names = _labelled(edges)
    else:
        values = _text(edges)
    neuron_table = None if neurons is None else read_table(neurons, "neurons")
    if options.labels is not None:
        names = first_words(edges.parent / user_path(options.labels))
    values = square(values, edges)
    if names is None and neuron_table is not None:
        id_column = "id" if "id" in neuron_table.columns else neuron_table.columns[0]
        names = [str(name) for name in neuron_table.ids(id_column)]
    if names is None:
        words = "a text file with a name in each line" + (", or options.names, a variable" if suffix == "mat" else "")
        raise UnclearError(
            f"the {len(values)} rows have no names",
            option="labels",
            path=edges,
            fix=f"Give options.labels, {words}; or a neuron table in the same order",
        )
    return tables_of_matrix(values, names, edges, rows=options.rows, neurons=neuron_table)


def square(values: np.ndarray, path: Path | str) -> Float[np.ndarray, "N N"]:
    """Return a matrix as float64, or raise a DataError if it is none of real numbers, or not square."""
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.dtype.kind not in "fiub":
        problem = f"the matrix is {values.dtype} of shape {values.shape}"
        raise DataError(problem, path=path, fix="Give a square matrix of real numbers")
    return values.astype(np.float64, copy=False)


def tables_of_matrix(
    values: Float[np.ndarray, "N N"],
    names: list[str],
    path: Path | str,
    *,
    rows: str | None = None,
    neurons: NamedTable | None = None,
) -> WiringTables:
    """Return the tables of a matrix in memory.

    Parameters
    ----------
    names
        [N] of neurons or regions.
    path
        The file, or a word for a matrix in memory, for messages.
    rows, neurons
        As in `MatrixOptions` and `WiringTables`.

    Raises
    ------
    DataError
        See `read_matrix`.
    """
    if len(names) != len(values):
        raise DataError(f"there are {len(names)} names for {len(values)} rows", path=path, fix="Give one for each row")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        i, j = wrong[0]
        raise DataError(
            f"row {names[i]!r}, column {names[j]!r}: {values[i, j]} is no finite number ({len(wrong)} such entries)",
            path=path,
            fix="Write 0 where there is no connection",
        )
    symmetric = bool(np.allclose(values, values.T, rtol=1e-6, atol=0))
    if rows is None and not symmetric:
        raise DataError(
            "the matrix is not symmetric, and it is not said what its rows are",
            path=path,
            fix="Set options.rows = 'pre' if entry [i, j] is what i sends to j, or 'post' if it is what i receives "
            "from j",
        )
    one_of("rows", rows or "pre", ("pre", "post"))
    found = sp.coo_array(values if rows == "post" else values.T)
    label = np.asarray(names, object)
    post, pre = found.coords
    edges = pd.DataFrame({"pre": label[pre], "post": label[post], "weight": found.data.astype(np.float64)})
    columns = {"pre": "pre", "post": "post", "weight": "weight", "id": "id"}
    if neurons is None:
        neurons = NamedTable(table_of_frame(pd.DataFrame({"id": label}), "neurons"), f"{path} (its names)")
    return WiringTables(
        NamedTable(table_of_frame(edges, "edges"), str(path)),
        neurons,
        columns,
        {"rows": rows or "either: the matrix is symmetric", "entries": int(values.size), "symmetric": symmetric},
    )


def _npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            header = whole_header(file, path.name, path.stat().st_size)
            if header.dtype.kind not in "fiu":
                raise DataError(f"it holds {header.dtype}", path=path, fix="It must hold real numbers")
            return read_array(file, header).astype(np.float64)
    except DAMAGE as error:
        raise unreadable(error, "truncated, damaged or not an NPY file of numbers", path=path, fix=_AGAIN) from error


def _mat(path: Path, options: MatrixOptions) -> tuple[np.ndarray, list[str] | None]:
    with opened_mat(path) as file:
        numbers = [name for name, variable in file.variables.items() if is_numbers(variable)]
        square = [
            name for name in numbers if len({*file.variables[name].shape}) == 1 and max(file.variables[name].shape) > 1
        ]
        wanted = options.values
        if wanted is None:
            if len(square) != 1:
                raise UnclearError(
                    f"{len(square) or 'no'} variables are square matrices of numbers; there are "
                    f"{first_ten(f'{name} {file.variables[name].shape}' for name in file.variables)}",
                    option="values",
                    choices=square,
                    path=path,
                    fix="Name the matrix with options.values",
                )
            wanted = square[0]
        one_of(f"{path}: options.values", wanted, numbers)
        if options.names is not None:
            one_of(f"{path}: options.names", options.names, file.variables)
        names = None if options.names is None else file.words(options.names)
        return file.numbers(wanted).astype(np.float64), names


def separator_of(path: Path) -> str | None:
    """Return what lies between the numbers of a text file: a comma, a semicolon, or blanks and tabs (None)."""
    try:
        line = next((line for line in lines(path) if line.partition("#")[0].strip()), "")
    except (*DAMAGE, UnicodeDecodeError) as error:
        raise unreadable(error, "no matrix of numbers", path=path, fix=_AGAIN) from error
    return next((mark for mark in ",;" if mark in line), None)


def is_plain(path: Path) -> bool:
    """Return whether the first line of a text file holds numbers and no names."""
    words = first_line(path).decode("utf-8-sig").strip().split("\t" if ".tsv" in path.name.lower() else ",")
    return all(FLOAT.fullmatch(word.strip()) or INTEGER.fullmatch(word.strip()) for word in words)


def _labelled(path: Path) -> tuple[np.ndarray, list[str]]:
    table = read_table(path, "matrix", as_csv=True)
    header, first = table.columns, table.columns[0]
    names = table.text(first)
    titles = [title.strip() for title in header[1:]]
    if names != titles:
        at = next((k for k, pair in enumerate(zip(names, titles, strict=False)) if pair[0] != pair[1]), None)
        differ = (
            f"row {at + 1} is {names[at]!r}, column {at + 1} is {titles[at]!r}"
            if at is not None
            else (f"{len(names)} rows, {len(titles)} columns")
        )
        raise DataError(f"rows and columns have other names: {differ}", path=path, fix="Name them alike, in one order")
    return np.column_stack([real_numbers(table, title) for title in header[1:]]), names


def _text(path: Path) -> np.ndarray:
    try:
        with open_unpacked(path) as file:
            return np.loadtxt(file, ndmin=2, encoding="utf-8", comments="#", delimiter=separator_of(path))
    except (*DAMAGE, UnicodeDecodeError) as error:
        fix = "Write a square matrix of numbers, a row in each line, with commas or blanks between them"
        raise unreadable(error, "no matrix of numbers", path=path, fix=fix) from error


def first_words(path: Path) -> list[str]:
    """Return the first word of each line that is not empty, of a CSV file the first cell.

    Raises
    ------
    DataError
        If the file cannot be read, or is no text in UTF-8.
    """
    try:
        with open_unpacked(path) as file:
            rows = [line.decode("utf-8").strip() for line in file]
    except (*DAMAGE, UnicodeDecodeError) as error:
        raise unreadable(error, "cannot read the names", path=path, fix="Write one in each line, in UTF-8") from error
    return [row.split()[0] if path.suffix != ".csv" else row.split(",")[0] for row in rows if row]


FORMATS.register(
    ConnectomeFormat(
        name="matrix",
        label="matrix of weights (CSV, text, NPY, MATLAB)",
        place=20,
        suffixes=(".npy", ".mat"),
        read=read_matrix,
        options=MatrixOptions,
    )
)
