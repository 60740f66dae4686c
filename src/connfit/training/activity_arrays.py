"""Activity with named axes: time in seconds, units by name."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from connfit.recordings import PART_NAMES, Recording


def activity_array(
    values: Float[np.ndarray, "*runs t P"], recording: Recording, *, name: str, start: int = 0
) -> xr.DataArray:
    """Name the axes of activity of a recording's units.

    Parameters
    ----------
    values
        [time, unit] or [run, time, unit], in the recording's own units.
    start
        Frame of the recording that the first row is of; rows may go on after its end.

    Returns
    -------
    DataArray
        With the coordinates `time` (s from the start of the recording), `frame`, `part` (empty between parts and after
        the end) and `unit`.
    """
    frames = np.arange(start, start + values.shape[-2])
    part = np.full(len(frames), "", dtype="<U10")
    if recording.parts is not None:
        for which in PART_NAMES:
            block = recording.parts[which]
            part[(frames >= block.start) & (frames < block.stop)] = which
    return xr.DataArray(
        values,
        dims=(*(["run"] if values.ndim == 3 else []), "time", "unit"),
        coords={
            "time": ("time", frames / recording.frame_rate, {"units": "s"}),
            "frame": ("time", frames),
            "part": ("time", part),
            "unit": list(recording.units),
        },
        name=name,
        attrs={"units": recording.value_units, "recording": recording.name, "kind": recording.kind},
    )
