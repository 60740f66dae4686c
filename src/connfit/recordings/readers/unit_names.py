"""Names of units where a file numbers them and does not name them: by a table, or by their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connfit._io import require_file
from connfit._system.paths import user_path
from connfit.connectome.table_files import read_table
from connfit.errors import DataError, first_ten


def unlabelled_name(column: int, recording: str) -> str:
    """Name a trace without a name; holds the name of the recording, so that no two animals share it."""
    return f"unlabelled-{column:03d}@{recording}"


@dataclass(frozen=True)
class UnitNames:
    """Names of the units that are read.

    Parameters
    ----------
    names
        One for each unit.
    unlabelled
        Placeholders among them, of units that the table does not name.
    cautions
        What the table names and the recording lacks.
    """

    names: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def name_units(
    numbers: Sequence[int], count: int, unit_table: str | None, folder: Path, *, prefix: str, recording: str
) -> UnitNames:
    """Name units by their numbers.

    Parameters
    ----------
    numbers
        Number of each unit that is read, from 0.
    count
        How many units the file has, read or not.
    unit_table
        CSV (or Parquet, Feather) file with the columns `roi` (number) and `unit` (name, empty where there is none);
        its path counts from `folder`. None: units are called by prefix and number, as `roi-17`.
    recording
        Its name, in the placeholders of units that the table does not name.

    Raises
    ------
    DataError
        If the table cannot be used, or numbers a unit that the file does not have.
    """
    if unit_table is None:
        return UnitNames(tuple(f"{prefix}-{number}" for number in numbers))
    path = require_file(folder / user_path(unit_table), fix=f"unit_table counts from {folder}")
    table = read_table(path, "unit", columns=("roi", "unit"))
    listed = table.unique_ids("roi", whole=True, fix="Keep one row per number").tolist()
    named = dict(zip(listed, table.text("unit"), strict=True))
    beyond = [number for number in named if not 0 <= number < count]
    if beyond:
        raise DataError(
            f"column 'roi' holds {first_ten(beyond)}, but the recording has {count} (numbers 0 to {count - 1})",
            path=path,
            fix="Count from 0, in the order of the file",
        )
    names = {number: named.get(number) or unlabelled_name(number, recording) for number in numbers}
    lacking = [f"{number} ({unit})" for number, unit in named.items() if unit and number not in names]
    cautions = (f"{path.name} names units that are left out: {first_ten(lacking)}",) if lacking else ()
    unlabelled = tuple(unit for number, unit in names.items() if not named.get(number))
    return UnitNames(tuple(names.values()), unlabelled, cautions)
