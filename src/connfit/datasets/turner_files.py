"""The files of Turner, Mann & Clandinin 2021: the archive, a folder with its content, the table of region labels."""

from __future__ import annotations

import csv
import io
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from connfit._system.unpacked import open_unpacked
from connfit.connectome.cell_words import is_missing
from connfit.datasets.fetch import locate, search_folders
from connfit.errors import DataError, first_ten, unreadable

DATASET = "turner-2021"
ARCHIVE = "data_TurnerMannClandinin.tar.gz"
LABELS = "ito_68_atlas/Original_Index_panda_full.csv"

# As the authors' program listed them when it made the regional signals
# (job_outputs/get_region_responses.3003299.out of github.com/mhturner/SC-FC).
TURNER_RECORDINGS = (
    "2017-10-26_1", "2017-10-30_1", "2017-10-30_2", "2017-11-08_1", "2017-11-08_2", "2017-11-16_1", "2018-10-19_1",
    "2018-10-19_2", "2018-10-20_1", "2018-10-31_1", "2018-11-03_2", "2018-11-03_3", "2018-11-03_4", "2018-11-03_5",
    "2018-12-12_2", "2018-12-12_3", "2018-12-12_4", "2018-12-14_1", "2018-12-14_2", "2018-12-14_3",
)  # fmt: skip

# Leading folders are allowed, other files of the archive (4 GB of volumes) are passed over.
_RESPONSES = re.compile(r"(?:^|/)ito_responses/ito_([0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]+)\.pkl$")
_LABELS = re.compile(r"(?:^|/)" + re.escape(LABELS) + "$")
_LARGEST_MEMBER, _LARGEST_SUM = 1 << 24, 1 << 28
"""Bytes of one file and of all; the regional signals have about 1 MB."""

# A region that the label file calls by an older name.
CORRECTED_LABELS: Mapping[str, str] = {"IVLP_L": "WED_L"}


@dataclass(frozen=True)
class TurnerFiles:
    """Where the signals and the label table are: in memory from the archive, or files.

    Parameters
    ----------
    where
        The archive or the folder, for messages.
    responses
        Name of a recording -> the pickle, as its content or its path.
    labels
        The label table, as its content or its path.
    """

    where: Path
    responses: Mapping[str, bytes | Path]
    labels: bytes | Path


@dataclass(frozen=True)
class Labels:
    """The label table.

    Parameters
    ----------
    names
        Label number -> name of the region; empty where the table has none.
    corrected
        Old name -> name, of those that were corrected.
    """

    names: Mapping[int, str]
    corrected: Mapping[str, str] = field(default_factory=dict)


def find_turner_files() -> TurnerFiles:
    """Find the files: an extracted folder if there is one, otherwise the archive, downloaded if need be.

    A folder is recognised by `ito_responses/` and `ito_68_atlas/`, in the folder of the dataset or in `data/` there.

    Raises
    ------
    NotAvailableError
        If neither is here and the archive cannot be downloaded.
    DataError
        If the archive is damaged or incomplete.
    """
    for folder in search_folders(DATASET):
        for base in (folder / "data", folder):
            if (base / "ito_responses").is_dir():
                return _from_folder(base)
    path = locate(DATASET, [ARCHIVE])[ARCHIVE]
    return read_archive(path)


def read_archive(path: str | Path) -> TurnerFiles:
    """Extract the regional signals and the label table from the archive, in memory: nothing is written.

    Reading stops when all `TURNER_RECORDINGS` and the table were found.

    Raises
    ------
    DataError
        If the archive is truncated or damaged, or holds no signals or no label table.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", path=path, fix="Check the path")
    found = path.stat()
    return _read_archive(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1)
def _read_archive(path: Path, size: int, modified: int) -> TurnerFiles:
    """The files of an archive; size and time of change are part of the key, so that a changed one is read again."""
    responses: dict[str, bytes | Path] = {}
    labels: bytes | None = None
    read = 0
    try:
        with open_unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                # What was passed over is not remembered.
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
                name = _RESPONSES.search(member.name)
                if not (name or _LABELS.search(member.name)):
                    continue
                if not member.isreg() or member.sparse is not None:
                    raise DataError(f"{member.name} is no plain file", path=path, fix="Download it again")
                read += member.size
                if read > _LARGEST_SUM:
                    raise DataError(f"its signals have more than {_LARGEST_SUM:,} bytes", path=path)
                content = _content(archive, member, path)
                if name is None:
                    labels = content
                elif name[1] in responses:
                    raise DataError(f"it holds two signals of {name[1]}", path=path, fix="Download it again")
                else:
                    responses[name[1]] = content
                if labels is not None and responses.keys() >= set(TURNER_RECORDINGS):
                    break
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        problem, fix = "the archive is truncated or damaged", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    return _complete(path, responses, labels)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.size > _LARGEST_MEMBER:
        raise DataError(f"{member.name} has {member.size:,} bytes, no regional signal has so many", path=path)
    file = archive.extractfile(member)
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        raise DataError(f"{member.name} is cut off", path=path, fix="Copy or download the archive again")
    return content


def _from_folder(base: Path) -> TurnerFiles:
    responses: dict[str, bytes | Path] = {}
    for file in sorted((base / "ito_responses").iterdir()):
        name = _RESPONSES.search(file.as_posix())
        if name is not None:
            responses[name[1]] = file
    labels = base / LABELS
    return _complete(base, responses, labels if labels.is_file() else None)


def _complete(where: Path, responses: Mapping[str, bytes | Path], labels: bytes | Path | None) -> TurnerFiles:
    if not responses:
        raise DataError("there is no ito_responses/ito_<date>_<n>.pkl", path=where, fix="Copy or download it again")
    if labels is None:
        raise DataError(f"there is no {LABELS}", path=where, fix="Copy or download it again")
    return TurnerFiles(where, responses, labels)


def read_labels(source: bytes | str | Path, path: str | Path) -> Labels:
    """Read the label table: columns `name` and `num`; some numbers have no name.

    Parameters
    ----------
    source
        The CSV file, or its content.
    path
        Where it comes from, for messages.

    Raises
    ------
    DataError
        If a column is missing, a number is not whole, or a number or a name repeats.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"this is no table of text ({error})", path=path, fix="Copy or download it again") from error
    absent = [column for column in ("name", "num") if not rows or column not in rows[0]]
    if absent:
        raise DataError(
            f"there is no column {absent[0]!r}" if rows else "the table has no rows",
            path=path,
            fix="The table of labels has the columns name and num",
        )
    names: dict[int, str] = {}
    corrected: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        label = _whole(row["num"])
        if label is None or label in names:
            problem = "is not a whole number" if label is None else "is there twice"
            raise DataError(f"row {number}: num = {row['num']!r} {problem}", path=path)
        name = (row["name"] or "").strip()
        name = "" if is_missing(name) else name
        if name in CORRECTED_LABELS:
            corrected[name] = CORRECTED_LABELS[name]
        names[label] = corrected.get(name, name)
    listed = [name for name in names.values() if name]
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise DataError(f"names repeat: {first_ten(repeated)}", path=path)
    return Labels(names, corrected)


def _whole(text: str | None) -> int | None:
    found = re.fullmatch(r"\s*([0-9]{1,18})(?:\.0*)?\s*", text or "")
    return int(found[1]) if found else None
