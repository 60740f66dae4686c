"""The reader of CaImAn's HDF5 files: values, accepted components, frame rate, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from connfit.errors import ConfigError, DataError, DataWarning
from connfit.recordings.readers import read_recording

FRAMES, COMPONENTS, RATE = 30, 5, 7.5
TRACES = np.random.default_rng(0).normal(size=(COMPONENTS, FRAMES))
ACCEPTED = np.array([3, 0, 2])


def write_caiman(path: Path, values: np.ndarray, times: np.ndarray) -> Path:
    """A file of accepted components only, and a table of their names."""
    save(path, F_dff=values.T, idx_components=np.arange(values.shape[1]), fr=1 / np.diff(times).mean())
    pd.DataFrame({"roi": [0, 1, 2], "unit": ["AVAL", "AVAR", "R, 1"]}).to_csv(path.parent / "names.csv", index=False)
    return path


def save(path: Path, fr: Any = RATE, **changes: Any) -> Path:
    """Write as `caiman.utils.utils.save_dict_to_hdf5` does, which writes text where there is nothing."""
    estimates = {
        "F_dff": TRACES,
        "C": TRACES + 10,
        "S": np.abs(TRACES),
        "idx_components": ACCEPTED,
        "bl": None,
    } | changes
    with h5py.File(path, "w") as file:
        for key, value in estimates.items():
            file[f"estimates/{key}"] = "NoneType" if value is None else value
        file["estimates/A/data"] = np.ones(4)
        file["params/data/fr"] = "NoneType" if fr is None else fr
        file["dims"] = np.array([6, 7])
    return path


def test_accepted_components_are_read(tmp_path: Path) -> None:
    got = read_recording(save(tmp_path / "larva.caiman.hdf5"))
    np.testing.assert_array_equal(got.values, TRACES[[0, 2, 3]].T)
    assert got.units == ("roi-0", "roi-2", "roi-3") and got.frame_rate == RATE
    assert got.kind == "dff" and got.name == "larva"
    assert (got.notes["rois"], got.notes["left_out_rois"]) == (5, 2)
    for values, kind, wanted in (("C", "fluorescence", TRACES + 10), ("S", "rate", np.abs(TRACES))):
        got = read_recording(tmp_path / "larva.caiman.hdf5", values=values, accepted_only=False)
        np.testing.assert_array_equal(got.values, wanted.T)
        assert got.kind == kind and len(got.units) == COMPONENTS and got.notes["left_out_rois"] == 0


def test_a_table_names_components(tmp_path: Path) -> None:
    pd.DataFrame({"roi": [3, 0, 1], "unit": ["a", "b", "c"]}).to_csv(tmp_path / "names.csv", index=False)
    with pytest.warns(DataWarning, match=r"names units that are left out: 1 \(c\)"):
        got = read_recording(save(tmp_path / "x.caiman.h5"), unit_table="names.csv")
    assert got.units == ("b", "unlabelled-002@x", "a") and got.notes["unlabelled"] == ["unlabelled-002@x"]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"F_dff": None}, {}, r"no estimates/F_dff; of F_dff, C, S it has C, S\. .*option values"),
        ({"F_dff": TRACES[0]}, {}, r"estimates/F_dff has shape \(30,\).*\[component, frame\]"),
        ({"idx_components": None}, {}, r"no estimates/idx_components.*accepted_only = false"),
        ({"idx_components": np.array([0, 5])}, {}, r"idx_components lists 0 to 5, but there are 5 components"),
        ({"idx_components": np.array([1, 1])}, {}, r"idx_components is int64 of shape \(2,\), 1 different"),
        ({"idx_components": np.array([0.5])}, {}, r"idx_components is float64"),
        ({"idx_components": np.zeros(0, int)}, {}, r"none of 5 components was accepted"),
        ({"fr": None}, {}, r"the frame rate is not known. Give frame_rate"),
        ({"fr": 0.0}, {}, r"frame_rate = 0\.0 is not a positive number"),
        ({}, {"frame_rate": 3}, r"the file says 7\.5 Hz, the option frame_rate = 3 Hz"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, changes: dict, options: dict, message: str) -> None:
    path = save(tmp_path / "x.caiman.h5", **changes)
    with pytest.raises(DataError, match=rf"x\.caiman\.h5: .*{message}"):
        read_recording(path, **options)


def test_options_and_other_names_of_files(tmp_path: Path) -> None:
    path = save(tmp_path / "results.hdf5", fr=None)
    with pytest.raises(DataError, match=r"results\.hdf5: lacks the datasets .*format = 'caiman'"):
        read_recording(path)
    got = read_recording(path, format="caiman", frame_rate=3)
    assert got.frame_rate == 3 and got.name == "results"
    for option in ({"values": "raw"}, {"accepted_only": 1}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            read_recording(path, format="caiman", **option)


def test_a_claimed_size_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.caiman.h5")
    with h5py.File(path, "r+") as file:
        del file["estimates/F_dff"]
        file.create_dataset("estimates/F_dff", (1 << 20, 1 << 20), np.float32, chunks=(64, 64))
    with pytest.raises(DataError, match=r"F_dff is \(1048576, 1048576\) in shape"):
        read_recording(path)
