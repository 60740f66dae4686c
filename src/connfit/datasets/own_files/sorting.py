"""What each file and folder is: a configuration, wiring, a recording, or nothing that is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from connfit._system.paths import user_path
from connfit.connectome.formats.connectome_format import find_format
from connfit.connectome.table_files import TEXT
from connfit.datasets.own_files.connectome_files import WORDS, TableKind, kind_of_table, wiring_of_file
from connfit.datasets.own_files.matrix_files import matrix_size
from connfit.datasets.own_files.table_peek import NOTHING, Peek, is_table, peek
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, ConnfitError, DataError
from connfit.recordings.readers import READERS, find_reader

DEEPEST, MOST_FILES = 5, 5000
"""How deep folders are looked into, and how many files and folders are looked at."""

_NOT_READ = {
    "epochs": "epochs; name it as epoch_files",
    "units": "a table that names units; name it with the option unit_table",
    "responses": "measured responses, for connfit perturb-score",
}
_CONFIGURATIONS = (".toml", ".json")
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")


@dataclass(frozen=True)
class Table:
    """A table of wiring, what its first rows hold, and its format; of other formats nothing is known of rows."""

    path: Path
    peek: Peek
    format: str = "tables"


@dataclass(frozen=True)
class SortedFiles:
    """Files and folders by what they are.

    Parameters
    ----------
    dataset
        Name of a dataset whose connectome is meant.
    edges, neurons
        Tables that could be the edge table, and the neuron table.
    recordings
        Files and folders of recordings, in the order in which they were named or are sorted.
    texts
        Text files of words, which may name the rows of a matrix.
    named
        Recordings and texts that were named themselves, and not only a folder around them.
    left_out
        Files that are none of these, and why; those of a folder of which nothing is known are only counted.
    other_files
        How many of a folder are of no format that is known.
    """

    dataset: str | None = None
    edges: tuple[Table, ...] = ()
    neurons: tuple[Table, ...] = ()
    recordings: tuple[Path, ...] = ()
    texts: tuple[Path, ...] = ()
    named: frozenset[Path] = frozenset()
    left_out: tuple[tuple[Path, str], ...] = ()
    other_files: int = 0


def configuration_of(paths: Sequence[str | Path]) -> Path | None:
    """Return the configuration that paths name; None where they name data.

    Raises
    ------
    ConfigError
        If it is named beside others.
    """
    found = [path for path in map(user_path, paths) if path.suffix.lower() in _CONFIGURATIONS and not path.is_dir()]
    if found and len(paths) > 1:
        raise ConfigError(f"{found[0]}: a configuration names its data itself: name it alone")
    return found[0] if found else None


def sort_files(
    paths: Sequence[str | Path],
    *,
    edges: str | None = None,
    neurons: str | None = None,
    format: str | None = None,
    leave_out: Sequence[str] = (),
) -> SortedFiles:
    """Say what files and folders are; folders of no format are looked into.

    Parameters
    ----------
    paths
        Files, folders, and names of datasets.
    edges, neurons
        Tables that the user said are these; they need not be among the paths.
    format
        Of all recordings that are named themselves, whatever their names.
    leave_out
        Files and folders that are not looked at.

    Raises
    ------
    ConnfitError
        If a path that was named itself is not there or of no known format, or there is nothing at all.
    """
    found = SortedFiles()
    said = {user_path(path).resolve(): kind for path, kind in ((edges, "edges"), (neurons, "neurons")) if path}
    out = {user_path(path).resolve() for path in leave_out}
    for path in out:
        if not path.exists():
            raise DataError("to be left out, but it is not there", path=path, fix="Check the path")
    for path, kind in said.items():
        found = _with_table(found, _named_table(path), "edges" if kind == "edges" else "neurons")
    # A MAT-file may hold wiring beside a recording.
    both = {path for path in said if path.name.lower().endswith(".mat") and matrix_size(path) is None}
    wiring_only = {*said} - both
    for given in paths:
        path = user_path(given)
        if not path.exists() and str(given) in DATASETS:
            if found.dataset is not None:
                raise ConfigError(f"two datasets are named, {found.dataset} and {given}: keep one")
            found = replace(found, dataset=str(given))
        elif not path.exists():
            raise DataError("no such file or folder, and no dataset of this name", path=path, fix="Check the path")
        elif path.resolve() in wiring_only or path.resolve() in out:
            continue
        elif path.is_dir() and not _is_recording_folder(path):
            found = _of_folder(found, path, {*wiring_only, *out})
        else:
            found = _of_file(found, path, format)
            found = replace(found, named=found.named | {path})
    # With the two tables named, others that look like them are none.
    rest = [(table.path, "another table is named as this one") for table in _unsaid(found, said, edges, neurons)]
    kept = {path for path, _ in rest}
    found = replace(
        found,
        edges=tuple(table for table in found.edges if table.path not in kept),
        neurons=tuple(table for table in found.neurons if table.path not in kept),
        recordings=tuple(dict.fromkeys(found.recordings)),
        left_out=(*found.left_out, *rest),
    )
    if not (found.edges or found.neurons or found.recordings or found.dataset):
        listed = "; ".join(f"{path}: {why}" for path, why in found.left_out[:3])
        raise DataError(
            f"no table and no recording was found{f' ({listed})' if listed else ''}",
            path=", ".join(map(str, paths)) or None,
            fix=f"Name files, or folders with some: tables, and recordings of {', '.join(READERS)}",
        )
    return found


def _unsaid(found: SortedFiles, said: dict[Path, str], edges: str | None, neurons: str | None) -> list[Table]:
    others = [table for table in found.edges if edges and table.path not in said]
    return others + [table for table in found.neurons if neurons and table.path not in said]


def _is_recording_folder(path: Path) -> bool:
    return any((path / mark).exists() for reader in READERS.values() for mark in reader.marks) and not any(
        (path / mark).is_dir() for reader in READERS.values() for mark in reader.marks
    )


def _of_folder(found: SortedFiles, folder: Path, known: Set[Path]) -> SortedFiles:
    """What is in a folder and in those in it; a file that cannot be read is left out, and said."""
    for path in _walk(folder):
        if path.resolve() in known or any(around in known for around in path.resolve().parents):
            continue
        if path.name == "combined" and path.is_dir() and (path.parent / "plane0").exists():
            found = replace(found, left_out=(*found.left_out, (path, "the planes beside it again, combined")))
            continue
        try:
            found = _of_file(found, path, None)
        except ConnfitError as error:
            if _known(path):
                found = replace(found, left_out=(*found.left_out, (path, str(error).removeprefix(f"{path}: "))))
            else:
                found = replace(found, other_files=found.other_files + 1)
    return found


def _known(path: Path) -> bool:
    return (
        is_table(path)
        or path.suffix.lower() in _SPREADSHEETS
        or any(path.name.lower().endswith(reader.suffixes) for reader in READERS.values())
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Files, and folders that are recordings, in the order of their names; nothing hidden, and no run of connfit."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        here, depth = waiting.pop()
        try:
            inside = sorted(here.iterdir())
        except OSError as error:
            raise DataError(f"cannot be looked into ({error.strerror})", path=here) from error
        further = []
        for path in inside:
            seen += 1
            if seen > MOST_FILES:
                raise DataError(
                    f"it holds more than {MOST_FILES:,} files", path=folder, fix="Name the files themselves"
                )
            if path.name.startswith("."):
                continue
            if not path.is_dir():
                yield path
            elif _is_recording_folder(path):
                yield path
            elif depth < DEEPEST and not path.is_symlink() and not (path / "record.json").exists():
                further.append((path, depth + 1))
        waiting += reversed(further)


def _of_file(found: SortedFiles, path: Path, format: str | None) -> SortedFiles:
    if format is None and not path.is_dir() and is_table(path):
        table, kind = _table(path)
        if kind == "recording":
            find_reader(path)
        return _with_table(found, table, kind)
    if format is None and not path.is_dir() and (wiring := wiring_of_file(path)) is not None:
        half, its_format = wiring
        return _with_table(found, Table(path, NOTHING, its_format), half)
    if format is None and path.suffix.lower() in _SPREADSHEETS:
        raise DataError("spreadsheets are not read", path=path, fix="Save the sheet as CSV in UTF-8")
    if format is None:
        find_reader(path)
    return replace(found, recordings=(*found.recordings, path))


def _named_table(path: Path) -> Table:
    """A file of which the user said what it is."""
    if not path.exists():
        raise DataError("no such file", path=path, fix="Check the path")
    if is_table(path):
        table, kind = _table(path)
        return replace(table, format="matrix") if kind == "matrix" else table
    wiring = wiring_of_file(path)
    return Table(path, NOTHING, find_format(path).name if wiring is None else wiring[1])


def _table(path: Path) -> tuple[Table, TableKind]:
    """A table and what it holds; of numbers without titles nothing is known of columns."""
    if path.name.lower().endswith(TEXT) and matrix_size(path) is not None:
        return Table(path, NOTHING), "matrix"
    table = Table(path, peek(path))
    kind = kind_of_table(table.peek)
    return table, "words" if kind == "recording" and path.name.lower().endswith(WORDS) else kind


def _with_table(found: SortedFiles, table: Table, kind: TableKind) -> SortedFiles:
    if kind == "matrix":
        return replace(found, edges=(*found.edges, replace(table, format="matrix")))
    if kind == "edges":
        return replace(found, edges=(*found.edges, table))
    if kind == "neurons":
        return replace(found, neurons=(*found.neurons, table))
    if kind == "recording":
        return replace(found, recordings=(*found.recordings, table.path))
    if kind == "words":
        return replace(found, texts=(*found.texts, table.path))
    return replace(found, left_out=(*found.left_out, (table.path, f"not read: this is {_NOT_READ[kind]}")))


def common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder that holds all paths."""
    return Path(os.path.commonpath([path.resolve() if path.is_dir() else path.resolve().parent for path in paths]))
