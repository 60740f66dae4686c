"""A small recording, and functions that write it in every format."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

FRAMES, RATE = 40, 2.0
UNITS = ("AVAL", "AVAR", "R, 1")
VALUES = np.random.default_rng(0).normal(size=(FRAMES, 3)).astype(np.float32)
TIMES = np.arange(FRAMES) / RATE


def write_csv(path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES) -> Path:
    frame = pd.DataFrame(values, columns=list(units))
    if times is not None:
        frame.insert(0, "time_s", times)
    frame.to_csv(path, index=False)
    return path


def write_arrow(
    path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES
) -> Path:
    columns = [] if times is None else [times]
    names = [*(["time_s"] if columns else []), *list(units)]
    table = pa.Table.from_arrays([pa.array(column) for column in [*columns, *np.transpose(values)]], names=names)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path)
    return path


def write_npz(path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES) -> Path:
    arrays = {"values": values, "units": np.array(units)}
    np.savez(path, **arrays, **({} if times is None else {"time_s": times}))
    return path


def write_hdf5(
    path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES
) -> Path:
    with h5py.File(path, "w") as file:
        file["dff"], file["zscore"] = values, values * 2
        if times is not None:
            file["time_s"] = times
        file.create_dataset("neuron", data=list(units), dtype=h5py.string_dtype())
        file.attrs["uid"] = "animal-1"
    return path


def write_mat(path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES) -> Path:
    names = np.empty((len(list(units)), 1), object)
    names[:, 0] = list(units)
    savemat(path, {"dff": values, "units": names, **({} if times is None else {"time_s": times})}, do_compression=True)
    return path


def write_zarr(
    path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES, **options: object
) -> Path:
    """As a folder, or as an archive where the name ends so; `options` are those of zarr.open_group."""
    zarr = pytest.importorskip("zarr")
    packed = path.suffix == ".zip"
    if packed:
        path.unlink(missing_ok=True)
    store = zarr.storage.ZipStore(path, mode="w") if packed else zarr.storage.LocalStore(path)
    with warnings.catch_warnings():
        # Text has a type of version 3 that is not yet of its standard.
        warnings.simplefilter("ignore")
        group = zarr.open_group(store, mode="w", **options)
        group.create_array("dff", data=values, chunks=(min(16, len(values)), values.shape[1]), fill_value=np.nan)
        group.create_array("neuron", data=np.array(list(units)))
        if times is not None:
            group.create_array("time_s", data=times)
        group.attrs["uid"] = "animal-1"
    store.close()
    return path


def write_nwb(
    path: Path, values: np.ndarray = VALUES, units: object = UNITS, times: np.ndarray | None = TIMES, more: bool = False
) -> Path:
    pynwb = pytest.importorskip("pynwb")
    from pynwb import ophys

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        file = pynwb.NWBFile(session_description="rest", identifier="animal-1", session_start_time=start)
        channel = ophys.OpticalChannel(name="green", description="x", emission_lambda=500.0)
        plane = file.create_imaging_plane(
            name="plane", optical_channel=channel, description="x", device=file.create_device("scope"),
            excitation_lambda=600.0, indicator="GCaMP", location="brain",
        )  # fmt: skip
        rois = ophys.PlaneSegmentation(name="rois", description="x", imaging_plane=plane)
        rois.add_column("label", "name of the neuron")
        # In reverse order, so that a reader that ignores the reference gets the names wrong.
        for unit in reversed(list(units)):
            rois.add_roi(pixel_mask=[(0, 0, 1.0)], label=str(unit))
        module = file.create_processing_module("ophys", "x")
        module.add(ophys.ImageSegmentation(plane_segmentations=[rois]))
        rows = rois.create_roi_table_region(region=list(range(len(list(units))))[::-1], description="x")
        when = {"rate": RATE} if times is None else {"timestamps": times}
        series = ophys.RoiResponseSeries(name="traces", data=values, rois=rows, unit="n.a.", **when)
        module.add(ophys.DfOverF(roi_response_series=series))
        if more:
            module.add(ophys.Fluorescence(roi_response_series=ophys.RoiResponseSeries(
                name="traces", data=values + 1, rois=rows, unit="counts", conversion=2.0, rate=RATE)))  # fmt: skip
            file.add_acquisition(pynwb.TimeSeries(name="position", data=values[:, :2], unit="m", rate=RATE))
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file)
    return path


WRITERS: dict[str, Callable[..., Path]] = {
    "r.csv": write_csv,
    "r.npz": write_npz,
    "r.h5": write_hdf5,
    "r.nwb": write_nwb,
    "r.parquet": write_arrow,
    "r.feather": write_arrow,
    "r.mat": write_mat,
    "r.zarr.zip": write_zarr,
}
OPTIONS: dict[str, dict] = {name: {} for name in WRITERS} | {"r.nwb": {"unit_column": "label"}}
