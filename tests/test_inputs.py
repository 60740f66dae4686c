"""External inputs: how they are read, brought to frames, scaled and given to models, and never too early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small

from connfit.analysis.perturbation import Experiment, run_experiment
from connfit.config import Config, DataConfig, InputsConfig, from_dict
from connfit.datasets.given_data import GivenData, saved_recordings
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines import BASELINES, with_their_inputs
from connfit.evaluation.baselines.with_inputs import beside_units
from connfit.evaluation.study.rows import row_config, study_rows
from connfit.models import Readout, init_params
from connfit.models.cells import CELLS
from connfit.models.connectome_model import ModelConditions
from connfit.models.forecaster import ModelForecaster
from connfit.models.input_map import input_map
from connfit.models.maps import DenseMap, GainMap, SparseMap
from connfit.recordings import Inputs, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.preprocess import to_substeps
from connfit.recordings.readers import read_recording
from connfit.recordings.readers.epoch_table import read_epochs
from connfit.recordings.readers.input_table import read_input_table
from connfit.recordings.stretches import BETWEEN, as_blocks, crop, select_epochs
from connfit.training.fit_brain import prepare_fit
from connfit.training.runs import load_fit

FRAMES = 60


def movie(frames: int = FRAMES, name: str = "movie", missing: tuple[int, ...] = ()) -> Recording:
    rng = np.random.default_rng(3)
    values = np.stack([np.arange(frames) % 7, rng.normal(size=frames)], axis=1).astype(float)
    mask = np.ones(values.shape, bool)
    mask[list(missing), 1] = False
    inputs = Inputs(np.where(mask, values, np.nan), ("light", "touch"), ("mW", ""), mask)
    made = Recording(name, 1 + rng.random((frames, 3)), ("n0", "n1", "n2"), 2.0, inputs=inputs)
    return made.split(train=0.6, validation=0.2)


def used(recording: Recording, **options: object) -> Inputs:
    inputs = Cohort.from_recordings([recording], inputs=InputsConfig(**options)).recordings[0].inputs  # type: ignore[arg-type]
    assert inputs is not None
    return inputs


def test_scale_is_that_of_training_frames_and_missing_is_the_mean() -> None:
    made = movie(missing=(2, 50))
    train = slice(0, 36)
    inputs = used(made)
    z, known = inputs.standardised, made.inputs.mask[train]  # type: ignore[union-attr]
    for channel in range(2):
        there = z[train][known[:, channel], channel]
        assert there.mean() == pytest.approx(0, abs=1e-12)
        assert there.std() == pytest.approx(1)
    assert z[2, 1] == z[50, 1] == 0
    # What comes after the training part changes nothing of it.
    assert made.inputs is not None
    later = made.inputs.values.copy()
    later[36:] += 100
    again = used(replace(made, inputs=replace(made.inputs, values=later)))
    np.testing.assert_array_equal(again.standardised[train], z[train])


def test_a_frame_sees_inputs_before_it_and_of_itself_only_if_they_are_exogenous() -> None:
    inputs = used(movie(), lags=(1, 3))
    z = inputs.standardised
    assert inputs.used.features == ("light (t-1)", "light (t-3)", "touch (t-1)", "touch (t-3)")
    found = inputs.explaining(np.array([1, 10]))
    np.testing.assert_allclose(found[1], [z[9, 0], z[7, 0], z[9, 1], z[7, 1]], rtol=1e-6)
    assert found[0, 1] == found[0, 3] == 0  # before the recording
    own = used(movie(), exogenous=True)
    assert own.used.lags == (0, 1)
    np.testing.assert_allclose(own.explaining(np.array([10]))[0], [z[10, 0], z[9, 0], z[10, 1], z[9, 1]], rtol=1e-6)
    with pytest.raises(ConfigError, match=r"inputs\.lags = 0 .*exogenous = true"):
        InputsConfig(lags=(0,))


def test_a_forecast_knows_the_future_of_exogenous_inputs_alone() -> None:
    inputs = used(movie(), lags=(1, 2))
    z, rho = inputs.standardised, inputs.used.persistence
    found = inputs.expected(np.array([20]), 3)[0]
    np.testing.assert_allclose(found[0], [z[20, 0], z[19, 0], z[20, 1], z[19, 1]], rtol=1e-5)
    np.testing.assert_allclose(found[2, 0], z[20, 0] * rho[0] ** 2, rtol=1e-5)
    np.testing.assert_allclose(found[2, 1], z[20, 0] * rho[0], rtol=1e-5)
    known = used(movie(), exogenous=True, lags=(0,))
    np.testing.assert_allclose(known.expected(np.array([20]), 3)[0, :, 0], z[21:24, 0], rtol=1e-5)
    free = used(movie(), free_run="none")
    assert not free.in_free_runs(30, 5).any() and inputs.in_free_runs(30, 5).any()


def test_windows_hold_the_features_of_the_frames_that_they_predict() -> None:
    cohort = Cohort.from_recordings([movie(), replace(movie(40, "other"), parts=movie(40).parts)], substeps=2)
    blocks = [recording.require_parts().train for recording in cohort.recordings]
    windows = list(cohort.windows(8, blocks, [0, 1], np.ones((3, 2))))
    external = np.concatenate([window.external for window in windows])  # type: ignore[misc]
    inputs = cohort.recordings[0].inputs
    assert inputs is not None
    for step in (0, 1, 9, 20):
        np.testing.assert_allclose(external[step, :, 0], inputs.explaining(np.array([1 + step // 2]))[0])


def test_what_lacks_an_input_or_has_a_constant_one_is_refused_by_name() -> None:
    bare = replace(movie(name="bare"), inputs=None)
    with pytest.raises(DataError, match="recording 'bare' lacks the inputs light, touch; it has none"):
        Cohort.from_recordings([movie(), bare])
    with pytest.raises(DataError, match="lacks the inputs heat"):
        Cohort.from_recordings([movie()], inputs=InputsConfig(channels=("heat",)))
    still = movie()
    assert still.inputs is not None
    values = still.inputs.values.copy()
    values[:36, 0] = 2.0
    with pytest.raises(DataError, match="input 'light' does not vary over the training frames"):
        Cohort.from_recordings([replace(still, inputs=replace(still.inputs, values=values))])
    without = Cohort.from_recordings([movie(), bare], inputs=InputsConfig(channels=()))
    assert without.inputs is None and without.recordings[0].inputs is None
    for wrong, message in (
        (np.ones((3, 1)), "2 channels"), (np.full((FRAMES, 2), np.nan), "not finite"), (np.ones((5, 2)), "5 frames"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            replace(movie(), inputs=Inputs(wrong, ("light", "touch")))


def test_columns_of_a_recording_can_be_inputs(tmp_path: Path) -> None:
    table = pd.DataFrame({"time_s": np.arange(30) / 2, "n0": np.random.default_rng(0).random(30), "light": 1.0})
    table.loc[:9, "light"] = 0.0
    table.to_csv(tmp_path / "r.csv", index=False)
    found = read_recording(tmp_path / "r.csv", inputs=["light"])
    assert found.units == ("n0",) and found.inputs is not None and found.inputs.channels == ("light",)
    np.testing.assert_array_equal(found.inputs.values[:, 0], table["light"])
    with pytest.raises(ConfigError, match=r"r\.csv: the input 'ligth' is no column; did you mean 'light'"):
        read_recording(tmp_path / "r.csv", inputs=["ligth"])
    table.loc[4, "light"] = np.nan
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(DataError, match=r"r\.csv: 1 values of inputs are missing .* row 5, channel 'light'"):
        read_recording(tmp_path / "r.csv", inputs=["light"])
    masked = read_recording(tmp_path / "r.csv", inputs=["light"], missing="mask").inputs
    assert masked is not None and not masked.mask[4, 0] and masked.mask.sum() == 29


def test_a_table_of_inputs_is_brought_to_frames_without_looking_ahead(tmp_path: Path) -> None:
    made, path = replace(movie(10), inputs=None, parts=None), tmp_path / "i.csv"
    times = np.arange(-1.0, 6, 0.1)
    pd.DataFrame({"time_s": times, "ramp": times}).to_csv(path, index=False)
    last = read_input_table(path, made, resample="last").inputs
    mean = read_input_table(path, made).inputs
    assert last is not None and mean is not None
    np.testing.assert_allclose(last.values[:, 0], np.arange(10) / 2, atol=1e-6)
    # Frame k: the mean of what came after frame k - 1, 0.1 to 0.5 s later.
    np.testing.assert_allclose(mean.values[1:, 0], np.arange(1, 10) / 2 - 0.2, atol=1e-6)
    with pytest.raises(DataError, match=r"i\.csv: its rows, from -1 s to 2 s, cover 6 of 10 frames"):
        pd.DataFrame({"time_s": times[:31], "ramp": times[:31]}).to_csv(path, index=False)
        read_input_table(path, made)
    part = read_input_table(path, made, missing="mask").inputs
    assert part is not None and part.mask[:, 0].tolist() == [True] * 6 + [False] * 4
    pd.DataFrame({"ramp": np.arange(9)}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"9 rows for the 10 frames .* no column of times"):
        read_input_table(path, made)
    pd.DataFrame({"time_s": [0, 2, 1.0], "ramp": 1}).to_csv(path, index=False)
    with pytest.raises(DataError, match="time of row 3 is not later"):
        read_input_table(path, made)


def test_inputs_go_where_they_are_named(tmp_path: Path) -> None:
    brain, movies = small.teacher()
    brain = replace(brain, neurons=brain.neurons.assign(type=["ASEL"] * 2 + ["AVA"] * 38))
    readout = Readout.by_name(brain, movies[0].units)

    def rows(targets: object, **options: bool) -> object:
        return input_map(brain, readout, ("a", "b"), 2, targets, **options)  # type: ignore[arg-type]

    assert rows("all") == DenseMap(40, 4)
    some = rows({"a": "sensory", "b": ("n7", "type=AV*")})
    assert isinstance(some, SparseMap) and some.strengths_shape == (2 * 2 + 38 * 2,)
    assert isinstance(rows("recorded"), SparseMap)
    shared = rows("recorded", shared=True)
    assert isinstance(shared, GainMap) and shared.strengths_shape == (4,)
    for targets, message in (
        ("photoreceptors", "means no neuron"), ("n70", "is no neuron of .*did you mean 'n7'"),
        ("typ=x", "no column 'typ'; did you mean 'type'"), ({"a": "all"}, "no neurons for the channel 'b'"),
        ({"a": "all", "c": "all"}, "names 'c'"), ((), "names no neuron"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            rows(targets)


def driven() -> tuple[ModelForecaster, Recording]:
    """A model of the small brain with inputs of some weight, and a recording with inputs."""
    brain, movies = small.teacher()
    rng = np.random.default_rng(0)
    recordings = [
        replace(one, inputs=Inputs(rng.normal(size=(one.frames, 2)), ("light", "touch"))) for one in movies[:1]
    ]
    cohort = Cohort.from_recordings(recordings)
    readout = Readout.by_name(brain, cohort.units)
    conditions = ModelConditions(
        connectome=brain, readout=readout, step_s=cohort.step_s, inputs=input_map(brain, readout, ("light", "touch"), 1)
    )
    model = CELLS["rate"].build(conditions)
    params = init_params(model, brain, readout, mean_activity=cohort.mean_activity())
    assert not np.asarray(params["inputs"]).any()
    params = {**params, "inputs": 0.3 + np.zeros((40, 2), np.float32)}
    return ModelForecaster(model, params, cohort), cohort.recordings[0]


def test_no_forecast_depends_on_inputs_that_come_after_its_start() -> None:
    forecaster, recording = driven()
    assert recording.inputs is not None
    at = 60
    changed = recording.inputs.values.copy()
    changed[at:] += 5.0
    other = replace(recording, inputs=replace(recording.inputs, values=changed))
    one, two = forecaster.one_step(recording), forecaster.one_step(other)
    np.testing.assert_array_equal(one[1 : at + 1], two[1 : at + 1])
    assert np.abs(one[at + 1] - two[at + 1]).max() > 0.01
    starts = np.array([30, at - 1])
    np.testing.assert_array_equal(*(forecaster.horizon(each, starts, 5) for each in (recording, other)))
    with pytest.raises(DataError, match="lacks the inputs light, touch"):
        forecaster.one_step(replace(recording, inputs=None))


@pytest.mark.parametrize("name", ["arx", "varx_ridge", "varx_around_ar", "reduced_rank_x"])
def test_a_baseline_with_inputs_finds_them_and_looks_at_none_that_come_later(name: str) -> None:
    rng = np.random.default_rng(1)
    light = rng.normal(size=(400, 1))
    values = np.zeros((400, 4))
    for t in range(1, 400):
        values[t] = 0.5 * values[t - 1] + np.array([1.0, -1.0, 0.5, 0.0]) * light[t - 1] + 0.3 * rng.normal(size=4)
    made = Recording("made", values, tuple("abcd"), 2.0, inputs=Inputs(light, ("light",))).split()
    recording = Cohort.from_recordings([made]).recordings[0]
    model = BASELINES[name](recording, Config(data=DataConfig()).evaluate)
    bare = BASELINES[BASELINES[name].with_inputs_of](recording, Config(data=DataConfig()).evaluate)
    test = slice(300, 400)
    error = [np.mean((each.one_step(recording)[test] - values[test]) ** 2) for each in (model, bare)]
    assert error[0] < 0.12 < 0.4 < error[1]  # the noise has 0.09
    assert recording.inputs is not None
    later = light.copy()
    later[350:] += 3
    other = replace(recording, inputs=replace(recording.inputs, values=later))
    np.testing.assert_array_equal(model.one_step(recording)[10:351], model.one_step(other)[10:351])
    starts = np.array([320, 349])
    np.testing.assert_array_equal(model.horizon(recording, starts, 4), model.horizon(other, starts, 4))
    runs = model.free_run(recording, 300, 60, 50), model.free_run(other, 300, 60, 50)
    np.testing.assert_array_equal(runs[0][:51], runs[1][:51])
    assert np.abs(runs[0][51] - runs[1][51]).max() > 0.5
    assert np.asarray(model.free_run(recording, 300, 60, 50, np.zeros((2, 60, 4)))).shape == (2, 60, 4)


def test_exogenous_inputs_of_the_same_frame_reach_baselines() -> None:
    recording = Cohort.from_recordings([movie()], inputs=InputsConfig(exogenous=True)).recordings[0]
    assert recording.inputs is not None
    wide = beside_units(recording)
    np.testing.assert_allclose(wide.values[:-1, 3:], recording.inputs.standardised[1:])
    assert not wide.mask[-1, 3:].any()
    assert with_their_inputs(("ar", "mean"), [recording]) == ("ar", "arx", "mean")
    assert with_their_inputs(("ar",), [replace(recording, inputs=None)]) == ("ar",)


def test_a_study_has_a_row_without_inputs() -> None:
    config = Config(data=DataConfig(dataset="worm"), inputs=InputsConfig(channels=("light",)))
    rows = {row.name: row for row in study_rows(config, tuple(BASELINES))}
    bare = row_config(rows["no_inputs"], config, 1)
    assert bare.inputs.channels == () and "inputs" not in (bare.model.learn or ())
    assert "arx" in rows
    assert "inputs" in (row_config(rows["frozen_time_constants"], config, 1).model.learn or ())
    without = study_rows(Config(data=DataConfig(dataset="worm")), tuple(BASELINES))
    assert not {"no_inputs", "arx", "varx_ridge"} & {row.name for row in without}
    frozen = next(row for row in without if row.name == "frozen_time_constants")
    assert "inputs" not in (row_config(frozen, Config(data=DataConfig(dataset="worm")), 1).model.learn or ())


def test_options_of_inputs_are_checked_where_they_are_defined() -> None:
    for section, message in (
        ({"channels": ["a", "a"]}, "names a value twice"), ({"lags": []}, "length >= 1"),
        ({"channels": ["a"], "targets": {"b": "all"}}, "names b: it must name each of inputs.channels, which are a"),
        ({"channels": ["a", "b"], "targets": {"b": "all"}}, "names b: it must name .* a, b"),
        ({"lag": [1]}, "did you mean 'lags'"), ({"free_run": "all"}, "must be one of 'recorded', 'none'"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            from_dict({"data": {}, "inputs": section})
    with pytest.raises(ConfigError, match="both set"):
        DataConfig(crop_s=(0, 1), crop_frames=(0, 1))


def test_a_fit_starts_with_weights_of_inputs_that_explain_what_is_left() -> None:
    brain, movies = small.teacher()
    rng = np.random.default_rng(2)
    light = rng.normal(size=(movies[0].frames, 1))
    gain = np.linspace(-0.3, 0.3, len(movies[0].units))
    values = movies[0].values.copy()
    values[1:] += 1 + gain * light[:-1]
    values[0] += 1
    raw = replace(movies[0], values=values, parts=None, inputs=Inputs(light, ("light",)))
    options = {"drive_start": "persistence", "state_forcing": 1.0, "time_constant_frames": 0.5, "weights": "counts"}
    job = prepare_fit(brain, raw, **options)
    weights = np.asarray(job.params["inputs"])
    assert "inputs" in job.trained and job.parameter_counts()["inputs"] == 40
    assert np.corrcoef(weights[: len(gain), 0], gain)[0, 1] > 0.95
    assert not weights[len(gain) :].any()
    assert job.config.inputs.channels == ("light",) and job.config.inputs.lags == (1,)
    assert not np.asarray(prepare_fit(brain, raw, **options, start="zero").params["inputs"]).any()
    assert "inputs" not in prepare_fit(brain, raw, **options, channels=()).params


def test_inputs_follow_every_change_of_frames_and_are_kept(tmp_path: Path) -> None:
    made = movie()
    assert made.inputs is not None
    fine = to_substeps(made, 2).inputs
    assert fine is not None
    np.testing.assert_array_equal(fine.values[1::2], made.inputs.values)
    np.testing.assert_array_equal(fine.values[2::2], made.inputs.values[:-1])
    part = crop(replace(made, parts=None), frames=(10, 30))
    assert part.frames == 20 and part.inputs is not None
    np.testing.assert_array_equal(part.inputs.values, made.inputs.values[10:30])
    seconds = crop(replace(made, parts=None), seconds=(5.0, 15.0))
    np.testing.assert_array_equal(seconds.values, part.values)
    for wrong in ({"frames": (10, 70)}, {"seconds": (-1.0, 3.0)}, {"seconds": (1.1, 1.2)}):
        with pytest.raises(ConfigError, match="crop_"):
            crop(replace(made, parts=None), **wrong)  # type: ignore[arg-type]
    brain = small.teacher()[0]
    GivenData(brain, (made,)).save(tmp_path)
    (back,) = saved_recordings(DataConfig(saved=str(tmp_path)), held_out=False)
    assert back.inputs is not None and back.inputs.channels == made.inputs.channels
    np.testing.assert_array_equal(back.inputs.values, made.inputs.values)


def test_epochs_are_blocks_with_a_start_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    pd.DataFrame({"name": ["on", "off", "on"], "start_s": [2, 10, 20], "stop_s": [8, 12, 29]}).to_csv(path, index=False)
    whole = read_epochs(path, replace(movie(), parts=None))
    assert whole.epochs == {"on": ((4, 16), (40, 58)), "off": ((20, 24),)}
    trials = select_epochs(whole, ["on"])
    assert trials.blocks == ((0, 12), (12 + BETWEEN, 30 + BETWEEN))
    np.testing.assert_array_equal(trials.values[12 + BETWEEN :], whole.values[40:58])
    assert not trials.mask[12 : 12 + BETWEEN].any()
    assert trials.inputs is not None and not trials.inputs.mask[12 : 12 + BETWEEN].any()
    with pytest.raises(ConfigError, match=r"names 'onn'.*did you mean 'on'"):
        select_epochs(whole, ["onn"])
    with pytest.raises(DataError, match="overlaps"):
        as_blocks(whole, [(0, 10), (5, 20)])
    pd.DataFrame({"name": ["on"], "start_s": [5], "stop_s": [5]}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"e\.csv: row 1: the epoch 'on'"):
        read_epochs(path, movie())


def trials() -> tuple[Cohort, Recording]:
    movies = small.teacher()[1]
    cut = as_blocks(replace(movies[0], parts=None), [(0, 40), (50, 90), (100, 140), (150, 190)])
    recording = cut.split(train=0.5, validation=0.25)
    return Cohort.from_recordings([recording]), recording


def test_parts_are_whole_trials_and_nothing_crosses_their_borders() -> None:
    cohort, recording = trials()
    starts = [first for first, _ in recording.blocks]
    parts = recording.require_parts()
    assert parts.validation[0] in starts and parts.test[0] in starts
    stretches = cohort.training_stretches()
    assert [block for _, block in stretches] == [block for block in recording.blocks if block[1] <= parts.train[1]]
    for member, block in stretches:
        (first, *_) = cohort.windows(8, [block], [member], np.ones((8, 1)))
        np.testing.assert_allclose(first.inputs[0, :, 0], recording.values[block[0]], rtol=1e-6)
        np.testing.assert_allclose(first.targets[0, :, 0], recording.values[block[0] + 1], rtol=1e-6)
    brain = small.teacher()[0]
    readout = Readout.by_name(brain, cohort.units)
    model = CELLS["rate"].build(ModelConditions(connectome=brain, readout=readout, step_s=cohort.step_s))
    forecaster = ModelForecaster(model, init_params(model, brain, readout), cohort)
    changed = recording.values.copy()
    changed[:40] = changed[:40][::-1]
    other = replace(recording, values=changed)
    second = slice(40 + BETWEEN, 80 + BETWEEN)
    one, two = (forecaster.one_step(each) for each in (recording, other))
    np.testing.assert_array_equal(one[second], two[second])
    inside = np.concatenate([np.arange(first + 1, stop) for first, stop in recording.blocks])
    assert np.isfinite(one[inside]).all() and np.isnan(np.delete(one, inside, axis=0)).all()
    assert np.abs(one[1:40] - two[1:40]).max() > 0.01
    at = np.array([second.start, second.start + 3])
    np.testing.assert_array_equal(*(forecaster.horizon(each, at, 3) for each in (recording, other)))
    with pytest.raises(ConfigError, match="parts are whole blocks"):
        as_blocks(replace(recording, parts=None, blocks=()), [(0, 40)]).split(train=0.5, validation=0.25)


def test_a_fit_with_inputs_is_saved_loaded_and_driven(tmp_path: Path) -> None:
    brain, movies = small.teacher()
    light = np.random.default_rng(2).normal(3, 2, size=(movies[0].frames, 1))
    raw = replace(movies[0], parts=None, inputs=Inputs(light, ("light",)))
    options = {"drive_start": "persistence", "state_forcing": 1.0, "time_constant_frames": 0.5, "weights": "counts"}
    fit = prepare_fit(brain, raw, **options, epochs=0, start="zero", lags=(1, 2)).fit()
    fit = replace(fit, params={**fit.params, "inputs": 0.1 + np.zeros((40, 2), np.float32)})
    fit.save(tmp_path / "run")
    back = load_fit(tmp_path / "run")
    assert back.cohort.inputs is not None and back.cohort.inputs.lags == (1, 2)
    recording = back.cohort.recordings[0]
    np.testing.assert_array_equal(back.forecaster().one_step(recording)[1:], fit.forecaster().one_step(recording)[1:])
    done, _ = run_experiment(tmp_path / "run", Experiment(inputs=("light=5",), seconds=10))
    assert done.inputs == {"light": 5.0} and done.sets == ()
    # One standard deviation above the mean at both lags: neurons get about 0.2 more.
    assert done.changed_neurons[0].change > 0.1
    for text, message in (("light", "must be CHANNEL=value"), ("ligth=1", "did you mean 'light'")):
        with pytest.raises(ConfigError, match=message):
            run_experiment(tmp_path / "run", Experiment(inputs=(text,)))


@pytest.mark.slow
def test_a_teacher_with_a_stimulus_is_recovered() -> None:
    brain = small.teacher()[0]
    rng = np.random.default_rng(4)
    names = tuple(brain.neurons["id"])
    readout = Readout.by_name(brain, names)
    conditions = ModelConditions(
        connectome=brain, readout=readout, step_s=0.5, drive="none", inputs=input_map(brain, readout, ("light",), 1)
    )
    model = CELLS["rate"].build(conditions)
    params = init_params(model, brain, readout, spectral_radius=0.6, time_constant_s=0.8)
    true = rng.normal(0, 0.3, 40) * (rng.random(40) < 0.5)
    plain = small.Plain.of(brain, readout, model, {**params, "bias": np.full(40, 1.0)})
    light = np.repeat(rng.normal(size=300), 2)
    rates, seen = np.full(40, 1.0), []
    for value in np.concatenate([np.zeros(50), light]):
        seen.append(np.maximum(rates + 0.05 * rng.normal(size=40), 0))
        x = plain.w @ rates + plain.bias + true * value
        rates = plain.alpha * rates + (1 - plain.alpha) * np.maximum(x, 0)
    recording = Recording(
        "teacher", np.array(seen[50:]), names, 2.0, kind="rate", inputs=Inputs(light[:, None], ("light",))
    )
    options = {
        "drive": "none", "preprocess": (), "epochs": 40, "time_constant_frames": 1.0, "state_forcing": 1.0,
        "drive_start": "persistence", "weights": "counts", "patience": None,
    }  # fmt: skip
    fit = prepare_fit(brain, recording, **options).fit()
    bare = prepare_fit(brain, recording, **options, channels=()).fit()
    found = np.asarray(fit.params["inputs"])[:, 0]
    assert np.corrcoef(found, true)[0, 1] > 0.95
    skill = [max(row["validation_skill"] for row in one.history) for one in (fit, bare)]
    assert skill[0] > skill[1] + 0.1
