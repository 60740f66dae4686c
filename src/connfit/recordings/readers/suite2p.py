"""Recordings in the plane folders that suite2p writes: `F.npy`, `Fneu.npy`, `iscell.npy` and `ops.npy`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from connfit._io import require_file
from connfit._system.paths import user_path
from connfit._system.pickle_machine import Refused
from connfit._system.pickled_arrays import PickledArray
from connfit.errors import ConfigError, DataError, UnclearError, first_ten, one_of
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import check_units, require_rate, settle_missing
from connfit.recordings.readers.npy_files import read_npy, read_npy_table
from connfit.recordings.readers.reader import READERS, Reader
from connfit.recordings.readers.unit_names import name_units

VALUES = {"F": ("fluorescence", "counts"), "spks": ("rate", "dimensionless")}
"""Kind and unit of the values, by the name of their file."""

_PLANE = re.compile(r"plane\d+|combined")
_RATE = "Give frame_rate (frames per second of this plane, Hz); then ops.npy is not read"


def read_suite2p_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str = "F",
    neuropil: float = 0.7,
    cells_only: bool = True,
    frame_rate: float | None = None,
    unit_table: str | None = None,
    missing: str = "error",
) -> Recording:
    """Read the traces of one plane.

    Parameters
    ----------
    path
        Plane folder, as `suite2p/plane0`, or the file of fluorescence in it. It holds `F.npy` and `Fneu.npy`
        [ROI, frame], `iscell.npy` [ROI, 2] and `ops.npy`. The last is a pickle, in which nothing is run.
    name
        Name of the recording. Default: that of the folder; for `mouse/suite2p/plane0` it is `mouse-plane0`.
    values
        `"F"`: fluorescence F - neuropil * Fneu. `"spks"`: what suite2p deconvolved from it.
    neuropil
        Share of the neuropil's fluorescence that is subtracted, 0 to 1. At 0, `Fneu.npy` is not read.
    cells_only
        Whether to leave out what column 0 of `iscell.npy` calls no cell; if not, that file is not read.
    frame_rate
        Frames per second (Hz). Default: `fs` of `ops.npy`, which is not read if this is given.
    unit_table
        CSV file with the columns `roi` and `unit`; its path counts from the folder. A ROI without a name there gets a
        placeholder. Default: units are called by the number of their ROI, as `roi-17`.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.

    Returns
    -------
    Recording
        `notes` say how many ROIs there are, how many were left out, and what was subtracted.

    Raises
    ------
    DataError
        If a file is absent, damaged or of another shape.
    ConfigError
        If an option is out of range.
    """
    one_of("values", values, VALUES)
    if isinstance(neuropil, bool) or not isinstance(neuropil, int | float) or not 0 <= neuropil <= 1:
        raise ConfigError(f"neuropil is {neuropil!r}, but must be a number from 0 to 1")
    if not isinstance(cells_only, bool):
        raise ConfigError(f"cells_only is {cells_only!r}, but must be true or false")
    path = user_path(path)
    folder = _plane_folder(path) if path.is_dir() else path.parent
    source = path if values == "F" and not path.is_dir() else folder / f"{values}.npy"
    traces = _traces(source)
    count = len(traces)
    kept = _cells(folder / "iscell.npy", count) if cells_only else np.arange(count)
    traces = traces[kept]
    notes: dict[str, object] = {"file": path.name, "values": values, "rois": count, "left_out_rois": count - len(kept)}
    if values == "F":
        notes["neuropil"] = float(neuropil)
        if neuropil:
            beside = _neuropil(folder / "Fneu.npy", (count, traces.shape[1]), source)
            traces = traces - np.asarray(neuropil, traces.dtype) * beside[kept]
    cautions: list[str] = []
    if frame_rate is None and not (folder / "ops.npy").exists():
        raise UnclearError("no such file", option="frame_rate", path=folder / "ops.npy", fix=_RATE)
    if frame_rate is None:
        rate, cautions = _of_ops(folder / "ops.npy", neuropil if values == "F" else None, traces.shape[1])
    else:
        rate = require_rate(frame_rate, source)
    name = name or _name(folder)
    named = name_units(kept.tolist(), count, unit_table, folder, prefix="roi", recording=name)
    units = check_units(named.names, len(kept), source)
    settled, mask, absent = settle_missing(np.ascontiguousarray(traces.T), units, source, missing=missing)
    kind, value_units = VALUES[values]
    notes |= {"missing_values": absent, "unlabelled": list(named.unlabelled)}
    return Recording(
        name=name,
        values=settled,
        units=units,
        frame_rate=rate,
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions(notes, (*named.cautions, *cautions)),
    )


READERS.register(
    Reader(
        name="suite2p",
        label="suite2p",
        suffixes=(".npy",),
        marks=("F.npy", "plane0", "combined"),
        read=read_suite2p_recording,
    )
)


def _plane_folder(folder: Path) -> Path:
    if (folder / "F.npy").exists():
        return folder
    planes = sorted(found.parent.name for found in folder.glob("*/F.npy"))
    fix = f"Name one of the planes in it: {first_ten(planes)}" if planes else "Name the plane folder, as suite2p/plane0"
    raise DataError("this folder has no F.npy", path=folder, fix=fix)


def _name(folder: Path) -> str:
    folder = folder.absolute()
    if _PLANE.fullmatch(folder.name) and folder.parent.name == "suite2p" and folder.parent.parent.name:
        return f"{folder.parent.parent.name}-{folder.name}"
    return folder.name or "suite2p"


def _traces(path: Path) -> Float[np.ndarray, "P T"]:
    traces = read_npy(path)
    if traces.ndim != 2 or 0 in traces.shape:
        problem = f"it has shape {traces.shape}"
        raise DataError(problem, path=path, fix="It must be [ROI, frame], at least one of each")
    return traces.astype(np.result_type(traces.dtype, np.float32), copy=False)


def _neuropil(path: Path, shape: tuple[int, int], like: Path) -> Float[np.ndarray, "P T"]:
    neuropil = _traces(require_file(path, fix="Put it beside F.npy, or read with neuropil = 0"))
    if neuropil.shape != shape:
        problem = f"it has shape {neuropil.shape}, {like.name} {shape}"
        raise DataError(problem, path=path, fix="Both must be [ROI, frame] of one run of suite2p")
    return neuropil


def _cells(path: Path, count: int) -> np.ndarray:
    """Numbers of the ROIs that are cells."""
    listed = read_npy(require_file(path, fix="Put it beside F.npy, or read all ROIs with cells_only = false"))
    flags = listed[:, 0] if listed.ndim == 2 and listed.shape[1] else listed
    if flags.shape != (count,):
        problem = f"it has shape {listed.shape} for {count} ROIs"
        raise DataError(problem, path=path, fix="It must be [ROI, 2], whose column 0 is 1 for a cell")
    if not np.isin(flags, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(flags, (0, 1)))[0])
        problem = f"ROI {row}: column 0 holds {flags[row]:g}"
        raise DataError(problem, path=path, fix="Write 1 for a cell and 0 for any other ROI")
    kept = np.flatnonzero(flags)
    if not len(kept):
        raise DataError(f"none of {count} ROIs is a cell", path=path, fix="Read all ROIs with cells_only = false")
    return kept


def _of_ops(path: Path, neuropil: float | None, frames: int) -> tuple[float, list[str]]:
    """Frame rate in Hz, and cautions on what else the settings say."""
    ops = read_npy_table(path, fix=_RATE)
    if "fs" not in ops:
        raise DataError("it has no frame rate 'fs'", path=path, fix=_RATE)
    rate = require_rate(ops["fs"], path)
    cautions, own = [], ops.get("neucoeff")
    if neuropil is not None and isinstance(own, int | float) and abs(own - neuropil) > 1e-6:
        cautions.append(f"suite2p was run with neucoeff = {own:g}; {neuropil:g} times the neuropil was subtracted here")
    bad = _bad_frames(ops.get("badframes"), path)
    if bad:
        cautions.append(f"ops.npy marks {bad} of {frames} frames as bad (badframes); they are used as they are")
    return rate, cautions


def _bad_frames(stored: Any, path: Path) -> int:
    if not isinstance(stored, PickledArray):
        return 0
    try:
        marked = stored.numpy()
    except (Refused, ValueError, TypeError) as error:
        raise DataError(f"badframes cannot be read ({error})", path=path, fix=_RATE) from None
    return int(np.count_nonzero(marked)) if marked.dtype.kind == "b" else 0
