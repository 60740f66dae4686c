"""Units without any observed value in a file: the option `empty_units` of every reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from connfit.errors import UnitsError, first_ten, one_of
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.recording import Recording

EMPTY_UNITS = ("error", "drop")
"""Values of the option; without one it is as the option `missing` says."""


def empty_units_of(recording: Recording) -> list[str]:
    """Return the units without any observed value."""
    return [recording.units[k] for k in np.flatnonzero(~recording.mask.any(axis=0))]


def without_empty_units(recording: Recording) -> Recording:
    """Return a recording without units that were never observed, with a caution that names them.

    A recording in which nothing was observed stays as it is.
    """
    empty = empty_units_of(recording)
    if not empty or len(empty) == len(recording.units):
        return recording
    caution = f"{len(empty)} units without any observed value are left out: {first_ten(empty)}"
    out = set(empty)
    kept = recording.select_units([unit for unit in recording.units if unit not in out])
    return replace(kept, notes=with_cautions(kept.notes, [caution]))


def read_settled(
    read: Callable[..., Recording], path: str | Path, options: Mapping[str, object], empty_units: object
) -> Recording:
    """Read a file, and do with units without any observed value as the option says.

    Parameters
    ----------
    read
        A reader's function.
    options
        Its options.
    empty_units
        `"drop"`: they are left out, and said, also where `missing = "error"`, which is then about all others.
        `"error"`: they are an error, also where `missing = "mask"`. None: with `missing = "error"` they are an error;
        with `"mask"` they stay, and are left out, and said, before a fit.

    Raises
    ------
    UnitsError
        Names the units, and the option.
    """
    if empty_units is None:
        return read(path, **options)
    one_of("empty_units", str(empty_units), EMPTY_UNITS)
    try:
        recording = read(path, **options)
    except UnitsError as error:
        if empty_units == "error":
            raise
        recording = read(path, **{**options, "missing": "mask"})
        if set(error.units) - set(empty_units_of(recording)):
            raise
    if empty_units == "drop":
        return without_empty_units(recording)
    if empty := empty_units_of(recording):
        problem = f"units without any observed value: {first_ten(empty)} ({len(empty)} of {len(recording.units)})"
        fix = "Leave them out with empty_units = 'drop', or with the step 'select'"
        raise UnitsError(problem, units=empty, path=path, fix=fix)
    return recording
