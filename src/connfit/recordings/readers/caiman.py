"""Recordings in the HDF5 files that CaImAn saves: traces of components, those that were accepted, the frame rate."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from connfit._system.hdf5_guard import check_written, opened
from connfit.errors import ConfigError, DataError, one_of, unreadable
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import agreed_rate, check_units, require_file, require_rate, settle_missing
from connfit.recordings.readers.reader import READERS, Reader
from connfit.recordings.readers.unit_names import name_units

VALUES = {"F_dff": ("dff", "dimensionless"), "C": ("fluorescence", "counts"), "S": ("rate", "dimensionless")}
"""Kind and unit of the values, by the name of their dataset in `estimates`."""

SUFFIXES = (".caiman.hdf5", ".caiman.h5")


def read_caiman_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str = "F_dff",
    accepted_only: bool = True,
    frame_rate: float | None = None,
    unit_table: str | None = None,
    missing: str = "error",
) -> Recording:
    """Read the traces of components.

    Parameters
    ----------
    path
        What `CNMF.save` wrote: `estimates/F_dff`, `C` and `S` [component, frame], `estimates/idx_components`,
        `params/data/fr`.
    name
        Name of the recording. Default: the file's name without its ending.
    values
        `"F_dff"`: ΔF/F. `"C"`: denoised fluorescence. `"S"`: deconvolved activity.
    accepted_only
        Whether to leave out components that `idx_components` does not list; if not, it is not read.
    frame_rate
        Frames per second (Hz), checked against `fr`; needed where the file has none.
    unit_table
        CSV file with the columns `roi` (number of the component, from 0) and `unit`; its path counts from the folder
        of the file. A component without a name there gets a placeholder. Default: units are called `roi-17`.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.

    Returns
    -------
    Recording
        `notes` say how many components there are, and how many were left out.

    Raises
    ------
    DataError
        If the file is damaged, or lacks what is asked for.
    ConfigError
        If an option is out of range.
    """
    path = require_file(path)
    one_of("values", values, VALUES)
    if not isinstance(accepted_only, bool):
        raise ConfigError(f"accepted_only is {accepted_only!r}, but must be true or false")
    try:
        with opened(path) as file:
            there = [each for each in VALUES if _numbers(file, f"estimates/{each}", path) is not None]
            if values not in there:
                problem = f"it has no estimates/{values}; of {', '.join(VALUES)} it has {', '.join(there) or 'none'}"
                fix = "Compute it (estimates.detrend_df_f makes F_dff), or name another with the option values"
                raise DataError(problem, path=path, fix=fix)
            traces = _numbers(file, f"estimates/{values}", path)
            listed = _numbers(file, "estimates/idx_components", path) if accepted_only else None
            stated = _numbers(file, "params/data/fr", path)
            # Only what is used is read: the others may be as large.
            read = [None if each is None else np.asarray(each[()]) for each in (traces, listed, stated)]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        problem, fix = "truncated, damaged or not an HDF5 file", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    stored, accepted, rates = read
    if stored is None or stored.ndim != 2 or 0 in stored.shape:
        shape = None if stored is None else stored.shape
        raise DataError(f"estimates/{values} has shape {shape}", path=path, fix="It must be [component, frame]")
    count = len(stored)
    kept = _kept(accepted, count, path) if accepted_only else np.arange(count)
    rate = require_rate(frame_rate, path) if rates is None else agreed_rate(rates.tolist(), frame_rate, path)
    name = name or _name(path)
    named = name_units(kept.tolist(), count, unit_table, path.parent, prefix="roi", recording=name)
    units = check_units(named.names, len(kept), path)
    chosen = np.ascontiguousarray(stored[kept].T)
    chosen = chosen.astype(np.result_type(chosen.dtype, np.float32), copy=False)
    settled, mask, absent = settle_missing(chosen, units, path, missing=missing)
    kind, value_units = VALUES[values]
    notes: dict[str, object] = {
        "file": path.name, "values": values, "rois": count, "left_out_rois": count - len(kept),
        "missing_values": absent, "unlabelled": list(named.unlabelled),
    }  # fmt: skip
    return Recording(
        name=name,
        values=settled,
        units=units,
        frame_rate=rate,
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions(notes, named.cautions),
    )


READERS.register(Reader(name="caiman", label="CaImAn", suffixes=SUFFIXES, read=read_caiman_recording))


def _name(path: Path) -> str:
    end = next((end for end in SUFFIXES if path.name.lower().endswith(end)), path.suffix)
    return path.name[: len(path.name) - len(end)] or path.name


def _numbers(file: h5py.File, key: str, path: Path) -> h5py.Dataset | None:
    """A dataset of numbers; None where there is none, or CaImAn wrote that there is none, as text."""
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        return None
    return check_written(found, path)


def _kept(accepted: np.ndarray | None, count: int, path: Path) -> np.ndarray:
    """Numbers of the components that were accepted, rising."""
    fix = "Read all components with accepted_only = false"
    if accepted is None:
        problem = "it has no estimates/idx_components: components were not evaluated"
        raise DataError(problem, path=path, fix=f"Run estimates.evaluate_components. {fix}")
    kept = np.unique(accepted)
    if accepted.ndim != 1 or accepted.dtype.kind not in "iu" or len(kept) != len(accepted):
        problem = f"estimates/idx_components is {accepted.dtype} of shape {accepted.shape}, {len(kept)} different"
        raise DataError(problem, path=path, fix=f"It must list numbers of components, each once. {fix}")
    if not len(kept):
        raise DataError(f"none of {count} components was accepted", path=path, fix=fix)
    if kept[0] < 0 or kept[-1] >= count:
        problem = f"estimates/idx_components lists {kept[0]} to {kept[-1]}, but there are {count} components"
        raise DataError(problem, path=path, fix=fix)
    return kept.astype(np.intp)
