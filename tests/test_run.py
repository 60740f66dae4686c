"""A run directory: what is in it, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import FRAMES, NEURONS, UNITS, teacher, write_files

from connfit import config as configuration
from connfit._io import read_arrays, write_arrays
from connfit.config import Config
from connfit.connectome import Connectome
from connfit.errors import ConfigError, DataError, DivergedError
from connfit.training import checkpoints, runs
from connfit.training.fitted import Fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own files."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Iterator[tuple[Path, Fit]]:
    """A finished run."""
    out = folder / "finished"
    yield out, runs.start(own(folder), out, command="connfit fit own.toml")


def own(folder: Path, *assignments: str) -> Config:
    return configuration.override(configuration.read(folder / "own.toml"), assignments)


def test_the_directory_holds_all_that_reads_and_repeats_a_run(finished: tuple[Path, Fit]) -> None:
    out, _ = finished
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        "config.json", "record.json", "connectome.h5", "history.csv", "parameters_initial.npz", "parameters.npz",
        "checkpoints/latest.npz",
    }  # fmt: skip
    record = json.loads((out / "record.json").read_text())
    assert record["command"] == "connfit fit own.toml" and record["seed"] == 3
    assert set(record["versions"]) == {"connfit", "jax", "jaxlib", "numpy", "scipy", "optax", "python"}
    brain, movies = teacher()
    assert record["parameters"] == {
        "weights": brain.m, "time_constants": NEURONS, "bias": NEURONS, "drive": NEURONS * UNITS,
    }  # fmt: skip
    assert record["observations"] == {
        "train": 2 * UNITS * (120 - 1 - 5), "validation": 2 * UNITS * 40, "test": 2 * UNITS * (FRAMES - 160)
    }  # fmt: skip
    assert record["observed"] == {**record["observations"], "train": 2 * UNITS * 120}
    assert record["recordings"]["movie1"]["matched"] == list(movies[0].units)
    assert record["recordings"]["movie2"]["neurons_without_unit"] == NEURONS - UNITS
    stored = Connectome.load(out / "connectome.h5")
    for name in ("indptr", "indices", "counts", "signs"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(brain, name))


def test_parameters_on_disk_are_those_of_the_fit(finished: tuple[Path, Fit]) -> None:
    out, fitted = finished
    for name, params in (("parameters", fitted.params), ("parameters_initial", fitted.initial_params)):
        arrays, meta = read_arrays(out / f"{name}.npz")
        assert set(arrays) == {*params, "time_constants"}
        for key, value in params.items():
            np.testing.assert_array_equal(arrays[key], value)
        np.testing.assert_allclose(arrays["time_constants"], np.exp(params["log_time_constants"]), rtol=1e-6)
    arrays, meta = read_arrays(out / "parameters.npz")
    assert {"ms_per_step", "first_step_s", "steps", "peak_rss_bytes"} == set(meta["performance"])
    assert meta["performance"]["peak_rss_bytes"] > 50e6
    loaded = runs.load_fit(out)
    assert loaded.history == fitted.history and loaded.performance == fitted.performance
    for key, value in fitted.params.items():
        np.testing.assert_array_equal(loaded.params[key], value)
    movie = fitted.cohort.recordings[0]
    np.testing.assert_array_equal(loaded.forecaster().one_step(movie), fitted.forecaster().one_step(movie))
    np.testing.assert_array_equal(
        loaded.initial_forecaster().one_step(movie), fitted.initial_forecaster().one_step(movie)
    )


def test_the_history_is_a_table_with_one_row_per_epoch(finished: tuple[Path, Fit]) -> None:
    out, fitted = finished
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["teacher-forced"] * 4 + ["free-running"] * 2
    for row, expected in zip(rows, fitted.history, strict=True):
        assert list(row) == list(expected)
        assert float(row["train_loss"]) == expected["train_loss"]
        assert float(row["validation_skill"]) == expected["validation_skill"]


def test_the_configuration_is_resolved_and_repeats_the_run(folder: Path, finished: tuple[Path, Fit]) -> None:
    out, fitted = finished
    resolved = configuration.read(out / "config.json")
    assert resolved.model.readout == "names"
    assert resolved.model.learn == ("weights", "time_constants", "bias", "drive")
    assert resolved.data.preprocess == ({"step": "scale", "method": "std", "margin": 2.0},)  # that of own files
    assert runs.prepare(resolved).config == resolved, "resolving twice changes something"
    again = runs.start(resolved, folder / "again")
    for key, value in fitted.params.items():
        np.testing.assert_array_equal(again.params[key], value)


def test_presets_are_resolved_to_their_dials(folder: Path) -> None:
    job = runs.prepare(own(folder, "learner.preset=bptt", "data.substeps=2"))
    resolved = job.config.learner
    assert (resolved.preset, resolved.credit, resolved.carry) == (None, "network", "none")
    assert resolved.window >= (120 - 1) * 2, "one window must hold the whole training part"
    rtrl = runs.prepare(own(folder, "learner.preset=d-rtrl")).config.learner
    assert (rtrl.window, rtrl.credit, rtrl.carry) == (8, "neuron", "trace")


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["model.drive=none", 'model.learn=["bias"]'], {"bias": NEURONS}),
        (["model.drive=anatomical"], {"weights": 195, "time_constants": NEURONS, "bias": NEURONS, "drive": UNITS}),
        (
            ["model.learned_readout=true", 'model.learn=["weights", "readout"]'],
            {"weights": 195, "readout": UNITS * NEURONS},
        ),
        (
            ["model.drive=none", "model.strengths=fixed"],
            {"time_constants": NEURONS, "bias": NEURONS},
        ),
        (
            ["model.drive=none", "model.strengths=gain_per_neuron"],
            {"gains": NEURONS, "time_constants": NEURONS, "bias": NEURONS},
        ),
        (
            ["model.strengths=gain_per_type_pair", "data.connectome.type=region", 'model.learn=["gains"]'],
            {"gains": 25},  # each of five regions has a connection to each
        ),
        (["model.strengths=gain_per_neuron", 'model.learn=["drive"]'], {"drive": NEURONS * UNITS}),
    ],
)
def test_parameters_are_counted_by_group(folder: Path, assignments: list[str], expected: dict) -> None:
    counts = runs.prepare(own(folder, *assignments)).parameter_counts()
    assert {key: value for key, value in counts.items() if value} == expected
    assert {"weights", "time_constants", "bias", "drive"} <= set(counts)


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (['model.learn=["weights"]', "model.strengths=fixed"], "no group 'weights' with model.strengths = 'fixed'"),
        (
            ['model.learn=["weights"]', "model.strengths=gain_per_neuron"],
            "there are gains, time_constants, bias, drive",
        ),
        (['model.learn=["gains"]'], "no group 'gains'"),
        (['model.learn=["bias", "drive"]', "model.drive=none"], "no group 'drive'.* model.drive = 'none'"),
        (["model.strengths=gain_per_neuron", "train.l1_weights=0.1"], "penalties on weights, which are not trained"),
        (["model.strengths=gain_per_type_pair"], "no neuron of connectome .* has one"),
    ],
)
def test_groups_that_do_not_exist_stop_a_run_before_it_starts(
    folder: Path, tmp_path: Path, assignments: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        runs.start(own(folder, *assignments), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_with_gains_keeps_gains_weights_and_what_each_gain_is(folder: Path, tmp_path: Path) -> None:
    config = own(
        folder, "model.strengths=gain_per_type_pair", "data.connectome.type=region", "model.weight_spread=0.4",
        "train.free_run_epochs=0",
    )  # fmt: skip
    fitted = runs.start(config, tmp_path / "out")
    gains = pd.read_csv(tmp_path / "out" / "gains.csv")
    assert list(gains) == ["kind", "post", "pre", "connections", "synapses", "start", "fitted"]
    initial, _ = read_arrays(tmp_path / "out" / "parameters_initial.npz")
    final, meta = read_arrays(tmp_path / "out" / "parameters.npz")
    np.testing.assert_allclose(gains["start"], initial["gains"], rtol=1e-6)
    np.testing.assert_allclose(gains["fitted"], final["gains"], rtol=1e-6)
    assert np.abs(final["gains"] - initial["gains"]).min() > 0
    brain = Connectome.load(tmp_path / "out" / "connectome.h5")
    of_pair = {(post, pre): values for post, pre, *values in gains[["post", "pre", "start", "fitted"]].to_numpy()}
    regions = brain.neurons["region"].to_numpy()
    ratios = np.array(
        [of_pair[pair] for pair in zip(regions[brain.posts], regions[brain.indices], strict=True)], float
    ).T
    for arrays, ratio in ((initial, ratios[0]), (final, ratios[1])):
        scale = arrays["weights"] / (ratio * brain.counts)
        np.testing.assert_allclose(scale, scale[0], rtol=1e-5)  # synapse counts times the gain, and one scale
    loaded = runs.load_fit(tmp_path / "out")
    assert set(loaded.params) == set(fitted.params)
    np.testing.assert_array_equal(loaded.params["gains"], fitted.params["gains"])
    movie = fitted.cohort.recordings[0]
    np.testing.assert_array_equal(loaded.forecaster().one_step(movie), fitted.forecaster().one_step(movie))
    write_arrays(tmp_path / "out" / "parameters.npz", {**final, "weights": 2 * final["weights"]}, meta)
    with pytest.raises(DataError, match="magnitudes that its gains multiply are not those"):
        runs.load_fit(tmp_path / "out")


def test_neurons_without_a_type_are_counted(folder: Path) -> None:
    (folder / "some").mkdir()
    write_files(folder / "some")
    table = pd.read_csv(folder / "some" / "neurons.csv")
    table.assign(type=["T1"] * 30 + [None] * 10).to_csv(folder / "some" / "neurons.csv", index=False)
    job = runs.prepare(own(folder / "some", "model.strengths=gain_per_type_pair", "data.connectome.type=type"))
    assert "10 of 40 neurons have no type" in "; ".join(job.cautions())
    assert job.parameter_counts()["gains"] == 4


def test_units_that_are_regions_are_read_by_anatomy(folder: Path, tmp_path: Path) -> None:
    write_files(tmp_path)
    _, movies = teacher()
    np.savez(tmp_path / "regions.npz", values=movies[0].values[:, :3], units=np.array(["B", "A", "D"]), frame_rate=2.0)
    only = ('data.recording_files.files=["' + str(tmp_path / "regions.npz") + '"]', "model.readout=auto")
    job = runs.prepare(own(tmp_path, *only))
    assert job.config.model.readout == "anatomical" and job.matches["regions"].column == "region"
    assert job.readout.unit_names == ("B", "A", "D")
    np.savez(tmp_path / "regions.npz", values=movies[0].values[:, :3], units=np.array(["x", "y", "z"]), frame_rate=2.0)
    with pytest.raises(DataError, match=r"no unit of recording 'regions' is a neuron id, a region or a type .*x, y, z"):
        runs.prepare(own(tmp_path, *only))


def test_units_without_a_neuron_are_reported_or_an_error(tmp_path: Path) -> None:
    write_files(tmp_path)
    _, movies = teacher()
    units = np.array([*movies[0].units[:-1], "stranger"])
    np.savez(tmp_path / "movie1.npz", values=movies[0].values, units=units, frame_rate=2.0)
    job = runs.prepare(own(tmp_path))
    assert job.matches["movie1"].unmatched == ("stranger",)
    assert job.cohort.recordings[0].units == movies[0].units[:-1]
    with pytest.raises(DataError, match="stranger"):
        runs.prepare(own(tmp_path, "data.unmatched_units=error"))


def test_every_part_of_the_data_counts_in_the_fingerprint(folder: Path) -> None:
    job = runs.prepare(own(folder))
    brain, cohort = job.connectome, job.cohort
    first, second = cohort.recordings

    def changed(array: np.ndarray, value: object) -> np.ndarray:
        array = array.copy()
        array[-1] = value
        return array

    region = brain.neurons.assign(region=changed(brain.neurons["region"].to_numpy(), "Z"))
    name = brain.neurons.assign(id=changed(brain.neurons["id"].to_numpy(), "Z"))
    mask = first.mask.copy()
    mask[3, 2] = False
    zero = replace(first, values=np.where(mask, first.values, 0))
    variants = {
        "counts": replace(job, connectome=replace(brain, counts=changed(brain.counts, 77))),
        "signs": replace(job, connectome=replace(brain, signs=changed(brain.signs, -brain.signs[-1]))),
        "region": replace(job, connectome=replace(brain, neurons=region)),
        "id": replace(job, connectome=replace(brain, neurons=name)),
        "order": replace(job, cohort=replace(cohort, recordings=(second, first))),
    }
    for what, movie in {
        "value": replace(first, values=changed(first.values, 0.5)),
        "zero": zero,
        "mask": replace(zero, mask=mask),
        "unit": replace(first, units=("x", *first.units[1:])),
        "rate": replace(first, frame_rate=2.001),
        "name": replace(first, name="other"),
    }.items():
        variants[what] = replace(job, cohort=replace(cohort, recordings=(movie, second)))
    fingerprints = {"as it is": job.fingerprint(), **{what: one.fingerprint() for what, one in variants.items()}}
    assert len(set(fingerprints.values())) == len(fingerprints), fingerprints
    # What lies under the mask is not data.
    hidden = [replace(first, values=np.where(mask, first.values, value), mask=mask) for value in (1.0, np.nan)]
    one, other = (replace(job, cohort=replace(cohort, recordings=(movie, second))) for movie in hidden)
    assert one.fingerprint() == other.fingerprint()
    assert runs.prepare(own(folder)).fingerprint() == job.fingerprint()


def test_a_folder_that_holds_a_run_or_is_a_file_is_refused(folder: Path, finished: tuple[Path, Fit]) -> None:
    before = (finished[0] / "parameters.npz").read_bytes()
    with pytest.raises(ConfigError, match="holds a run already: resume it, or give another folder"):
        runs.start(own(folder), finished[0])
    assert (finished[0] / "parameters.npz").read_bytes() == before
    with pytest.raises(ConfigError, match="is a file: give a folder"):
        runs.start(own(folder), folder / "own.toml")


def test_wrong_data_leave_no_folder_behind(folder: Path) -> None:
    with pytest.raises(ConfigError, match="outside the bounds"):
        runs.start(own(folder, "model.time_constant_frames=1000"), folder / "nothing")
    assert not (folder / "nothing").exists()


def test_a_fit_that_diverges_names_the_last_good_checkpoint(folder: Path) -> None:
    out = folder / "diverged"
    with pytest.raises(DivergedError, match=r"not finite in window .*; there is no checkpoint before it"):
        runs.start(own(folder, "train.learning_rate=1e30"), out)
    config = own(folder)
    runs.start(config, folder / "good")
    (out / "checkpoints" / "latest.npz").write_bytes((folder / "good" / "checkpoints" / "latest.npz").read_bytes())
    state = checkpoints.read_state(out / "checkpoints" / "latest.npz")
    assert state.rates is not None
    rates = replace(state.rates, learning_rate=1e30)
    checkpoints.write_state(
        out / "checkpoints" / "latest.npz", replace(state, finished=False, epoch=0, phase=0, rates=rates), "adam"
    )
    with pytest.raises(DivergedError, match=r"the last good checkpoint is .*diverged/checkpoints/latest.npz"):
        runs.resume(out)


def test_what_is_no_finished_run_is_named(folder: Path, tmp_path: Path) -> None:
    for action in (runs.resume, runs.load_fit):
        with pytest.raises(DataError, match=r"no run here. Give the folder that `connfit fit --out` wrote"):
            action(tmp_path)
    runs.start(own(folder), tmp_path / "half")
    (tmp_path / "half" / "parameters.npz").unlink()
    with pytest.raises(DataError, match=r"the fit has not finished. Go on with `connfit resume "):
        runs.load_fit(tmp_path / "half")
    (tmp_path / "half" / "record.json").write_text("{")
    with pytest.raises(DataError, match=r"record.json: not valid JSON"):
        runs.resume(tmp_path / "half")


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    write_files(tmp_path)
    runs.start(own(tmp_path), tmp_path / "run")
    edges = pd.read_csv(tmp_path / "edges.csv")
    edges.loc[5, "synapses"] += 1
    edges.to_csv(tmp_path / "edges.csv", index=False)
    for action in (runs.resume, runs.load_fit):
        with pytest.raises(DataError, match=r"are not those that this run was made from. Restore the files"):
            action(tmp_path / "run")
    (tmp_path / "edges.csv").unlink()
    with pytest.raises(DataError, match=r"edges\.csv"):
        runs.resume(tmp_path / "run")
