"""Whole-brain recordings in HDF5 whose traces carry neuron names: one file per animal."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from connfit._system.hdf5_guard import check_written, opened
from connfit.errors import DataError, one_of, unreadable
from connfit.recordings import Recording
from connfit.recordings.readers.frames import RATE_KEYS, require_file, unread
from connfit.recordings.readers.named_traces import (
    ARRAYS,
    ATTRIBUTES,
    OTHER_ATTRIBUTES,
    VALUES,
    NamedTraces,
    cleaned,
    other_seconds,
    recording_of_traces,
)
from connfit.recordings.readers.reader import READERS, Reader

_DESCRIPTIONS = (
    "units", "unit", "description", "long_name", "comments", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST",
    "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates",
)  # fmt: skip
"""Attributes of a dataset that change no value."""


def read_hdf5_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str = "dff",
    frame_rate: float | None = None,
    missing: str = "error",
    time_unit: str | None = None,
) -> Recording:
    """Read one recording.

    Parameters
    ----------
    path
        HDF5 file with `time_s` [time] (seconds; not needed where a rate is stated), `dff` and/or `zscore` [time, trace]
        and `neuron` [trace] (name of the neuron, empty where not known); optionally `neuron_class`, `confidence`
        [trace] and the attributes `uid`, `organism`, `strain`, `source`, `sampling_rate_hz`.
    name
        Name of the recording. Default: the attribute `uid`, else the file's name.
    values
        `"dff"` (F/F0 - 1) or `"zscore"`.
    frame_rate
        Frames per second (Hz) that the frame times must agree with; needed where the file states neither.
    missing
        `"error"` or `"mask"`: what to do with values that are not finite.
    time_unit
        Unit of the times, `"s"`, `"ms"`, `"us"` or `"min"`. Default: seconds.

    Returns
    -------
    Recording
        Every trace of the file. One without a name keeps a placeholder such as `unlabelled-017@<name>`;
        `notes["unlabelled"]` lists them. `frame_rate` is 1 / mean frame interval; the notes hold the
        median, shortest and longest interval, for frames are not exactly equally spaced.

    Raises
    ------
    DataError
        If the file is truncated, or is not of this layout.
    """
    path = require_file(path)
    one_of("values", values, VALUES)
    try:
        with opened(path) as file:
            absent = [key for key in (values, "neuron") if not isinstance(file.get(key), h5py.Dataset)]
            if absent:
                other = "; read what CaImAn saved with format = 'caiman'" if "estimates" in file else ""
                raise DataError(
                    f"lacks the datasets {', '.join(absent)}; it holds {', '.join(file) or 'nothing'}",
                    path=path,
                    fix=f"Write neuron, dff or zscore, and time_s or a frame rate{other}",
                )
            traces = _array(file, values, path)
            times = _array(file, "time_s", path) if "time_s" in file else None
            labels = _labels(file, "neuron", path)
            classes = _labels(file, "neuron_class", path) if "neuron_class" in file else None
            attributes = {key: _plain(file.attrs[key]) for key in ATTRIBUTES if key in file.attrs}
            rates = {key: _plain(at[()]) for key in RATE_KEYS if isinstance(at := file.get(key), h5py.Dataset)}
            cautions = unread(file, (*VALUES, *ARRAYS, *RATE_KEYS), "datasets")
            cautions += unread(file.attrs, (*ATTRIBUTES, *OTHER_ATTRIBUTES), "attributes")
            for key in (values, *(["time_s"] if times is not None else [])):
                cautions += unread(file[key].attrs, _DESCRIPTIONS, f"attributes of {key}")
            if times is not None:
                words = {key: _plain(each) for key, each in file["time_s"].attrs.items()}
                cautions += other_seconds(words, path, time_unit)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        problem, fix = "truncated, damaged or not an HDF5 file", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    found = NamedTraces(
        values=values,
        traces=traces,
        times=times,
        labels=labels,
        classes=classes,
        attributes=attributes,
        rates=rates,
        cautions=tuple(cautions),
    )
    kind, value_units = VALUES[values]
    return recording_of_traces(
        found,
        path,
        name=name,
        kind=kind,
        value_units=value_units,
        frame_rate=frame_rate,
        missing=missing,
        time_unit=time_unit,
    )


READERS.register(Reader(name="hdf5", label="HDF5", suffixes=(".h5", ".hdf5"), read=read_hdf5_recording))


def _dataset(file: h5py.File, key: str, path: Path) -> h5py.Dataset:
    found = file[key]
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{key} is a group", path=path, fix="It must be a dataset")
    return check_written(found, path)


def _array(file: h5py.File, key: str, path: Path) -> np.ndarray:
    dataset = _dataset(file, key, path)
    if dataset.dtype.kind not in "fiu":
        raise DataError(f"{key} holds {dataset.dtype}", path=path, fix="It must hold numbers")
    return np.asarray(dataset[()])


def _labels(file: h5py.File, key: str, path: Path) -> list[str]:
    dataset = _dataset(file, key, path)
    if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1:
        raise DataError(
            f"{key} holds {dataset.dtype} of shape {dataset.shape}",
            path=path,
            fix="It must be a list of text, one entry per trace",
        )
    return cleaned([str(label) for label in dataset.asstr()[()]])


def _plain(value: object) -> object:
    """An attribute as a plain Python value, so that it can be written to JSON."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        return _plain(value.item())
    return str(value) if isinstance(value, np.ndarray) else value
