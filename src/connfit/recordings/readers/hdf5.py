"""Whole-brain recordings in HDF5 whose traces carry neuron names: one file per animal."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from connfit._system.hdf5_guard import check_written, opened
from connfit.connectome.cell_words import is_missing
from connfit.errors import DataError, one_of, unreadable
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
from connfit.recordings.readers.reader import READERS, Reader
from connfit.recordings.readers.unit_names import unlabelled_name

# name of the dataset -> (kind, unit of the values)
VALUES = {"dff": ("dff", "dimensionless"), "zscore": ("zscore", "standard deviations")}

_ATTRIBUTES = ("uid", "organism", "strain", "source", *RATE_KEYS)
_OTHER_ATTRIBUTES = ("units", "n_labelled")
_DATASETS = (
    "time_s", "neuron", "neuron_class", "confidence", "frame", "f20", "label_raw", "registration_confidence",
)  # fmt: skip
"""Datasets of the layout, of which those from `confidence` on are not needed here."""

_DESCRIPTIONS = (
    "units", "unit", "description", "long_name", "comments", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST",
    "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates",
)  # fmt: skip
"""Attributes of a dataset that change no value."""

_SECONDS = ("s", "sec", "secs", "second", "seconds")


def read_hdf5_recording(
    path: str | Path,
    *,
    name: str | None = None,
    values: str = "dff",
    frame_rate: float | None = None,
    missing: str = "error",
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
            attributes = {key: _plain(file.attrs[key]) for key in _ATTRIBUTES if key in file.attrs}
            rates = {key: _plain(at[()]) for key in RATE_KEYS if isinstance(at := file.get(key), h5py.Dataset)}
            cautions = unread(file, (*VALUES, *_DATASETS, *RATE_KEYS), "datasets")
            cautions += unread(file.attrs, (*_ATTRIBUTES, *_OTHER_ATTRIBUTES), "attributes")
            for key in (values, *(["time_s"] if times is not None else [])):
                cautions += unread(file[key].attrs, _DESCRIPTIONS, f"attributes of {key}")
            if times is not None:
                _refuse_other_seconds(file["time_s"].attrs, path)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        problem, fix = "truncated, damaged or not an HDF5 file", "Copy or download it again"
        raise unreadable(error, problem, path=path, fix=fix) from error
    if traces.ndim != 2:
        raise DataError(f"{values} has shape {traces.shape}", path=path, fix="It must be [time, trace]")
    if times is not None and times.shape != (len(traces),):
        raise DataError(
            f"time_s has shape {times.shape}, {values} {len(traces)} frames",
            path=path,
            fix="Every frame needs its time; traces must be [time, trace]",
        )
    if len(labels) != traces.shape[1] or (classes is not None and len(classes) != len(labels)):
        raise DataError(
            f"{len(labels)} neuron names for {traces.shape[1]} traces",
            path=path,
            fix="neuron needs one entry per trace, empty where not known",
        )

    stated = stated_rate({**rates, **attributes}, frame_rate, path)
    intervals = None if times is None else frame_times(times, path, stated_rate=stated)
    rate = require_rate(stated, path) if intervals is None else intervals.frame_rate
    uid = str(attributes.get("uid", path.stem))
    name = name or uid
    units = [label or unlabelled_name(k, name) for k, label in enumerate(labels)]
    unlabelled = [unit for unit, label in zip(units, labels, strict=True) if not label]
    units = check_units(units, len(units), path)
    settled, mask, absent_values = settle_missing(traces, units, path, missing=missing)
    kind, value_units = VALUES[values]
    notes: dict[str, object] = {
        **attributes,
        "file": path.name,
        "values": values,
        **({} if intervals is None else intervals.notes()),
        "missing_values": absent_values,
        "unlabelled": unlabelled,
    }
    if classes is not None:
        notes["unlabelled_classes"] = {
            unit: known for unit, label, known in zip(units, labels, classes, strict=True) if known and not label
        }
    return Recording(
        name=name,
        values=settled,
        units=units,
        frame_rate=rate,
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions(notes, (*cautions, *(() if intervals is None else intervals.cautions))),
        times=None if times is None else times.astype(np.float64),
    )


READERS.register(Reader(name="hdf5", label="HDF5", suffixes=(".h5", ".hdf5"), read=read_hdf5_recording))


def _refuse_other_seconds(attributes: h5py.AttributeManager, path: Path) -> None:
    for key in ("units", "unit"):
        word = str(_plain(attributes.get(key, "s"))).strip()
        if word.lower() not in _SECONDS:
            raise DataError(f"the unit of time_s is {word!r}", path=path, fix="Write the times in seconds")


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
    labels = (str(label).strip() for label in dataset.asstr()[()])
    return ["" if is_missing(label) else label for label in labels]


def _plain(value: object) -> object:
    """An attribute as a plain Python value, so that it can be written to JSON."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
        return _plain(value.item())
    return str(value) if isinstance(value, np.ndarray) else value
