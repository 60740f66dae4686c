"""Kinds of files of netCDF, tables that name units, and whatever `connfit check` is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from fuzz import Kind

from connfit.datasets.own_files import Answers, check_data, config_text
from connfit.recordings import Recording
from connfit.recordings.readers import read_recording
from connfit.recordings.unit_table import name_by_table, read_unit_table


def own_file_kinds(folder: Path) -> Mapping[str, Kind]:
    """Every kind by name, its good files made in a folder."""
    rng = np.random.default_rng(0)
    names = ["AVAL", "AVAR", "é x"]
    array = xr.DataArray(
        rng.normal(size=(30, 3)), dims=("time", "unit"), coords={"time": np.arange(30) / 2, "unit": names}, name="dff"
    )
    array.to_netcdf(folder / "four.nc", engine="h5netcdf")
    array.to_netcdf(folder / "three.nc", engine="scipy")
    recording = Recording("r", array.to_numpy(), tuple(names), 2.0)

    def checked(path: Path) -> None:
        answers = Answers(sign_rule="shiu", unknown_transmitter="excitatory", frame_rate=2.0)
        config_text(check_data([path], answers), path.parent)

    def renamed(path: Path) -> None:
        name_by_table(recording, read_unit_table(path), repeated="mean", path=path)

    edges = pd.DataFrame({"source": [1, 2, 3], "target": [2, 3, 1], "weight": [1, 5, 2]})
    neurons = pd.DataFrame({"root_id": [1, 2, 3], "type": ["a", "b", "c"], "nt": ["ACH", "GABA", ""]})
    square = pd.DataFrame(np.arange(9.0).reshape(3, 3), names, names)
    edges.to_parquet(folder / "edges.parquet")
    edges.to_feather(folder / "edges.feather")
    np.save(folder / "square.npy", np.eye(4) + 1)
    tables = tuple(table.to_csv(index=False).encode() for table in (edges, neurons))

    def read(path: Path) -> None:
        read_recording(path, missing="mask")

    return {
        "recording.nc": Kind(".nc", tuple((folder / f"{name}.nc").read_bytes() for name in ("four", "three")), read),
        "units.csv": Kind(".csv", (b"unit,type\nAVAL,A\nAVAR,A\n\xc3\xa9 x,B\n",), renamed),
        "check.csv": Kind(".csv", (*tables, square.to_csv().encode()), checked),
        "check.parquet": Kind(".parquet", ((folder / "edges.parquet").read_bytes(),), checked),
        "check.feather": Kind(".feather", ((folder / "edges.feather").read_bytes(),), checked),
        "check.npy": Kind(".npy", ((folder / "square.npy").read_bytes(),), checked),
        "check.nc": Kind(".nc", ((folder / "four.nc").read_bytes(),), checked),
    }
