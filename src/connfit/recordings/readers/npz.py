"""Recordings in archives of NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from connfit._io import read_npz
from connfit.errors import DataError, UnclearError
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import (
    RATE_KEYS,
    check_units,
    frame_times,
    require_file,
    require_rate,
    settle_missing,
    stated_rate,
    unread,
)
from connfit.recordings.readers.reader import READERS, Reader, stem
from connfit.recordings.time_units import in_seconds

_KEYS = ("values", "units", *RATE_KEYS, "time_s", "mask", "kind", "value_units", "name")
_HOW_TO_WRITE = "Write it with numpy.savez(path, values=..., units=..., frame_rate=...), unit names as an array of text"


def read_npz_recording(
    path: str | Path,
    *,
    name: str | None = None,
    frame_rate: float | None = None,
    kind: str | None = None,
    value_units: str | None = None,
    missing: str = "error",
    time_unit: str | None = None,
) -> Recording:
    """Read a NumPy archive.

    Parameters
    ----------
    path
        Holds `values` [time, unit], `units` [unit] (text), and `frame_rate` (or `sampling_rate_hz`, Hz) or
        `time_s` [time]; optionally `mask` [time, unit] (True where observed), `kind`, `value_units`, `name`.
    name, frame_rate, kind, value_units
        Used where the file does not say; a frame rate that contradicts the file's is an error.
    missing
        `"error"` or `"mask"`: what to do with values that the mask calls observed but that are not finite.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: seconds.

    Raises
    ------
    DataError
        If the file is not such an archive.
    """
    path = require_file(path)
    with path.open("rb") as file:
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise DataError("a single array, not an archive", path=path, fix=_HOW_TO_WRITE)
    arrays = read_npz(path, fix=_HOW_TO_WRITE)
    absent = [key for key in ("values", "units") if key not in arrays]
    if absent:
        raise DataError(
            f"the archive lacks {', '.join(absent)}; it holds {', '.join(arrays)}",
            path=path,
            fix="Write values, units and frame_rate",
        )
    values = arrays["values"]
    if values.dtype.kind not in "fiub" or values.ndim != 2:
        raise DataError(
            f"values are {values.dtype} of shape {values.shape}", path=path, fix="They must be numbers [time, unit]"
        )
    names = arrays["units"]
    if names.dtype.kind not in "Uiu" or names.ndim != 1:
        raise DataError(
            f"units are {names.dtype} of shape {names.shape}",
            path=path,
            fix="They must be a one-dimensional array of text",
        )
    if len(names) == len(values) != values.shape[1]:
        problem = f"{len(names)} unit names for {values.shape[1]} columns of values, and as many rows"
        raise DataError(problem, path=path, fix="values must be [time, unit]: transpose them")
    units = check_units(names.tolist(), values.shape[1], path)

    notes: dict[str, object] = {"file": path.name}
    rate = stated_rate(arrays, frame_rate, path)
    cautions = unread(arrays, _KEYS, "arrays")
    if "time_s" in arrays:
        if arrays["time_s"].shape != (len(values),) or arrays["time_s"].dtype.kind not in "fiu":
            raise DataError(
                f"time_s has shape {arrays['time_s'].shape} for {len(values)} frames",
                path=path,
                fix="One time in seconds per frame",
            )
        times = frame_times(in_seconds(arrays["time_s"], path, time_unit=time_unit), path, stated_rate=rate)
        notes.update(times.notes())
        cautions += times.cautions
        rate = rate or times.frame_rate
    if rate is None:
        raise UnclearError(
            "the frame rate is not known",
            option="frame_rate",
            path=path,
            fix="Add frame_rate (Hz) or time_s (seconds) to the archive, or give frame_rate",
        )
    mask = arrays.get("mask")
    if mask is not None and (mask.shape != values.shape or mask.dtype.kind != "b"):
        raise DataError(
            f"mask is {mask.dtype} of shape {mask.shape}, values have shape {values.shape}",
            path=path,
            fix="The mask must be boolean, True where a value was observed",
        )
    if mask is not None and not mask.all() and mask.mean() < 0.5 and np.isfinite(values[~mask]).all():
        share = f"{1 - mask.mean():.0%} of the values are masked, though they are there"
        cautions.append(f"{share}: the mask must be True where a value was observed")
    settled, observed, missing_values = settle_missing(values, units, path, missing=missing, mask=mask)
    return Recording(
        name=name or (str(arrays["name"]) if "name" in arrays else stem(path)),
        values=settled,
        units=units,
        frame_rate=require_rate(rate, path),
        kind=str(arrays.get("kind", kind or "dff")),
        value_units=str(arrays.get("value_units", value_units or "dimensionless")),
        mask=observed,
        notes=with_cautions({**notes, "missing_values": missing_values}, cautions),
    )


READERS.register(Reader(name="npz", label="NPZ", suffixes=(".npz",), read=read_npz_recording))
