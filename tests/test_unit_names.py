"""Units by cell type, and by a table that renames them: from files to what a model reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import raw_movies, teacher, write_files

from connfit import config as configuration
from connfit.config import Config
from connfit.connectome.matching import find_column
from connfit.datasets.loading import own_recordings
from connfit.errors import ConfigError, DataError
from connfit.recordings import Recording
from connfit.recordings.plausibility import CAUTIONS
from connfit.recordings.unit_table import name_by_table, read_unit_table
from connfit.training.problem import prepare


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    """The files of a user whose neurons have types T0, T1, ..., and whose units are cells of these types."""
    path = write_files(tmp_path)
    neurons = pd.read_csv(tmp_path / "neurons.csv")
    neurons.assign(type=[f"T{k // 2}" for k in range(len(neurons))]).to_csv(tmp_path / "neurons.csv", index=False)
    units = raw_movies()[0].units
    pd.DataFrame({"unit": units, "type": [f"T{k}" for k in range(len(units))]}).to_csv(
        tmp_path / "units.csv", index=False
    )
    return path


def renamed(path: Path, *more: str) -> Config:
    table = f"data.recording_files.unit_table={path.parent / 'units.csv'}"
    return configuration.override(configuration.read(path), [table, *more])


@pytest.mark.parametrize("readout", ["auto", "types"])
def test_units_named_by_type_read_the_mean_of_its_neurons(typed: Path, readout: str) -> None:
    job = prepare(renamed(typed, f"model.readout={readout}", "model.drive_start=persistence", "model.weights=counts",
                          "model.state_forcing=0", "model.time_constant_frames=1"))  # fmt: skip
    assert job.config.model.readout == "types" and job.cohort.units[:3] == ("T0", "T1", "T2")
    types = job.connectome.neurons["type"].to_numpy()
    for row, unit in enumerate(job.cohort.units):
        expected = (types == unit) / (types == unit).sum()
        np.testing.assert_allclose(job.readout.matrix[[row]].toarray()[0], expected)


def test_ids_come_before_regions_and_regions_before_types() -> None:
    brain, _ = teacher()
    table = brain.neurons.assign(type=brain.neurons["region"])
    assert find_column(["A", "B"], brain, name="r") == "region"
    from dataclasses import replace

    assert find_column(["A", "B"], replace(brain, neurons=table), name="r") == "region"
    assert find_column(["n0", "A"], replace(brain, neurons=table), name="r") == "id"
    with pytest.raises(DataError, match="a neuron id, a region or a type"):
        find_column(["x"], brain, name="r")


def test_a_table_of_the_configuration_renames_every_recording(typed: Path) -> None:
    for recording in own_recordings(renamed(typed).data):
        assert recording.units[0] == "T0" and recording.notes["renamed_units"] == len(recording.units)


def test_several_units_of_a_name_are_an_error_or_their_mean() -> None:
    values = np.arange(12.0).reshape(4, 3)
    mask = np.ones((4, 3), bool)
    mask[1, 0] = mask[2, :2] = False
    recording = Recording("r", np.where(mask, values, np.nan), ("a", "b", "c"), 1.0, mask=mask)
    names = {"a": "T", "b": "T", "z": "U"}
    with pytest.raises(DataError, match=r"several units have one name: T \(a, b\)"):
        name_by_table(recording, names)
    got = name_by_table(recording, names, repeated="mean", path="units.csv")
    assert got.units == ("T", "c") and got.notes["units_without_new_name"] == ["c"]
    np.testing.assert_allclose(got.values[:, 0], [0.5, 4, np.nan, 9.5])
    np.testing.assert_array_equal(got.mask, [[True, True], [True, True], [False, True], [True, True]])
    np.testing.assert_array_equal(got.values[:, 1], values[:, 2])
    assert "units.csv names units that are not there: z" in got.notes[CAUTIONS]


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ({"unit": ["a", "a"], "type": ["x", "y"]}, None, "ids repeat"),
        ({"unit": ["a"], "type": ["x"], "region": ["y"]}, None, "which column has the names"),
        ({"unit": ["a"]}, None, "which column has the names"),
        ({"unit": ["a"], "type": ["x"]}, "kind", "there is no column 'kind'"),
        ({"units": ["a"], "type": ["x"]}, "type", "there is no column 'unit'"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, rows: dict, column: str | None, message: str) -> None:
    pd.DataFrame(rows).to_csv(tmp_path / "units.csv", index=False)
    with pytest.raises((DataError, ConfigError), match=message):
        read_unit_table(tmp_path / "units.csv", column)


def test_a_column_without_a_table_is_a_mistake(typed: Path) -> None:
    with pytest.raises(ConfigError, match="set that too"):
        own_recordings(configuration.override(configuration.read(typed), ["data.recording_files.unit_names=x"]).data)
