"""Names of units from a table: those of a recording become ids, types or regions of a connectome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from connfit._io import require_file
from connfit.connectome.table_files import read_table
from connfit.errors import ConfigError, DataError, first_ten, one_of
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.recording import Recording

UNIT = "unit"
REPEATED = ("error", "mean")


def read_unit_table(path: str | Path, column: str | None = None) -> dict[str, str]:
    """Read which unit has which name.

    Parameters
    ----------
    path
        CSV, Parquet or Feather file with the column `unit` and one for the names.
    column
        The latter. Default: the only other column.

    Raises
    ------
    DataError
        If the table cannot be used, or names a unit twice.
    ConfigError
        If it is not clear which column is meant.
    """
    path = require_file(path)
    table = read_table(path, "unit")
    others = [title for title in table.columns if title != UNIT]
    if column is None and len(others) != 1:
        raise ConfigError(f"{path}: which column has the names of units: name one of {first_ten(others)} as unit_names")
    units = [str(unit) for unit in table.unique_ids(UNIT, fix="Keep one row per unit")]
    return dict(zip(units, table.text(column or others[0]), strict=True))


def name_by_table(
    recording: Recording, names: Mapping[str, str], *, repeated: str = "error", path: str | Path = "unit table"
) -> Recording:
    """Give units other names; one that the table lacks, or has no name for, keeps its own.

    Parameters
    ----------
    names
        New name by unit; empty where there is none.
    repeated
        Several units of one name, as cells of a type: an `"error"`, or their `"mean"` over those that were observed in
        a frame becomes the unit.
    path
        Of the table, for messages.

    Raises
    ------
    DataError
        If units get the same name and that is an error.
    """
    one_of("repeated_units", repeated, REPEATED)
    new = [names.get(unit) or unit for unit in recording.units]
    members: dict[str, list[int]] = {}
    for position, name in enumerate(new):
        members.setdefault(name, []).append(position)
    several = {name: [recording.units[k] for k in at] for name, at in members.items() if len(at) > 1}
    if several and repeated == "error":
        listed = first_ten(f"{name} ({first_ten(units)})" for name, units in several.items())
        raise DataError(
            f"recording {recording.name!r}: several units have one name: {listed}", path=path,
            fix="Name each once, or fit their mean with repeated_units = 'mean'",
        )  # fmt: skip
    unknown = sorted(set(names) - set(recording.units))
    cautions = [f"{Path(path).name} names units that are not there: {first_ten(unknown)}"] if unknown else []
    kept = [unit for unit in recording.units if not names.get(unit)]
    notes = {**recording.notes, "renamed_units": len(new) - len(kept), "units_without_new_name": kept}
    if several:
        notes["averaged_units"] = several
    values, mask = recording.values, recording.mask
    if several:
        mask = np.column_stack([recording.mask[:, at].any(axis=1) for at in members.values()])
        values = np.column_stack([_mean(recording, at) for at in members.values()]).astype(recording.values.dtype)
    return replace(recording, values=values, mask=mask, units=tuple(members), notes=with_cautions(notes, cautions))


def _mean(recording: Recording, at: list[int]) -> np.ndarray:
    """[T] mean of some units over those that were observed; NaN where none was."""
    seen = recording.mask[:, at]
    total = np.where(seen, recording.values[:, at], 0).sum(axis=1, dtype=np.float64)
    return np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)
