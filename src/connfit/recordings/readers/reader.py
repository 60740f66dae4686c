"""What a reader of recordings is, and the table of all readers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connfit._registry import Entry, Registry
from connfit._system.paths import user_path
from connfit.errors import DataError, DataWarning
from connfit.recordings import Recording
from connfit.recordings.empty_units import read_settled
from connfit.recordings.keyword_options import checked_options, option_defaults, option_names
from connfit.recordings.plausibility import CAUTIONS, examined

_OF_ALL = ("empty_units",)
"""Options that every reader has, see `connfit.recordings.empty_units`."""


@dataclass(frozen=True, kw_only=True)
class Reader(Entry):
    """A registered file format of recordings.

    Parameters
    ----------
    name
        The format's, in configurations.
    label
        The same in tables.
    suffixes
        Ends of file names in lower case, with their dots; the longest that fits decides.
    marks
        Names of what is in a folder, any of them, by which a folder is of this format; none for formats of files.
    read
        Function of a path that returns a `Recording`. Its further parameters are the reader's options, among them
        `missing` (see `connfit.recordings.readers.frames.settle_missing`), and `time_unit` where a file has times (see
        `connfit.recordings.time_units`); it refuses wrong values and files.

    Raises
    ------
    ValueError
        If there is no suffix, or one is not of this form.
    """

    suffixes: tuple[str, ...]
    read: Callable[..., Recording]
    marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.suffixes or any(not end.startswith(".") or end != end.lower() for end in self.suffixes):
            raise ValueError(f"reader {self.name!r}: {self.suffixes} must be ends of file names such as '.csv'")

    @property
    def options(self) -> tuple[str, ...]:
        """Names of its options, with those of all readers."""
        return (*option_names(self.read), *_OF_ALL)

    def option_defaults(self) -> dict[str, object]:
        """Return its options with their defaults."""
        return {**option_defaults(self.read), **dict.fromkeys(_OF_ALL)}

    def __call__(self, path: str | Path, **options: Any) -> Recording:
        """Read a file, or raise a ConfigError for an option that there is not."""
        known = checked_options(self.read, options, f"reader {self.name}", further=_OF_ALL)
        empty_units = known.pop("empty_units", None)
        recording = read_settled(self.read, path, known, empty_units)
        if known.get("time_unit") is None:
            return recording
        return replace(recording, notes={**recording.notes, "time_unit": known["time_unit"]})


READERS: Registry[Reader] = Registry("format", Reader, room="connfit.recordings.readers", group="connfit.readers")
"""Readers by the name of their format."""


def find_reader(path: str | Path, format: str = "auto") -> Reader:
    """Return the reader of a format, or the one that a file's name says.

    Raises
    ------
    ConfigError
        If there is no such format.
    DataError
        If the name of the file, or what is in the folder, says none.
    """
    if format != "auto":
        return READERS.find(format)
    folder = user_path(path)
    if folder.is_dir():
        for reader in READERS.values():
            if any((folder / mark).exists() for mark in reader.marks):
                return reader
        known = ", ".join(reader.name for reader in READERS.values() if reader.marks)
        raise DataError("this is a folder of no known format", path=path, fix=f"Name a file, or a folder of {known}")
    file = folder.name.lower()
    fits = [(end, reader) for reader in READERS.values() for end in reader.suffixes if file.endswith(end)]
    if not fits:
        raise DataError(
            "the format is not known by this file name",
            path=path,
            fix=f"Name it with format = one of {', '.join(READERS)}",
        )
    return max(fits, key=lambda fit: len(fit[0]))[1]


def read_recording(path: str | Path, format: str = "auto", **options: Any) -> Recording:
    """Read a recording from a file; warn of what is implausible in it or was not read.

    Parameters
    ----------
    path
        The file, or the folder of a format that is one.
    format
        One of `READERS`, or `"auto"`: by the file name's ending, or by what is in the folder.
    **options
        Of the reader, for example `frame_rate` (Hz) or `missing`.

    Raises
    ------
    DataError
        If the file cannot be used.
    ConfigError
        If there is no such format, or its reader has no such option.
    """
    recording = examined(find_reader(path, format)(path, **options))
    for caution in recording.notes.get(CAUTIONS, ()):
        warnings.warn(f"{path}: {caution}", DataWarning, stacklevel=2)
    return recording


def stem(path: Path) -> str:
    """Name a recording after its file, without the ending."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]
