"""An observation model in a configuration: fits, files, forecasts, reports, studies."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recording_files import write_nwb
from small import teacher, write_files

import connfit as cf
from connfit import config as configuration
from connfit.errors import ConfigError
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.observation_found import Found, ObservationFound
from connfit.evaluation.study.rows import row_config, study_rows
from connfit.report.sections.observation_section import observation_blocks
from connfit.training import problem, runs

QUICK = (
    "train.epochs=2", "train.free_run_epochs=0", "evaluate.left_out_units=0", "model.drive_start=persistence",
    "model.weights=counts", "model.state_forcing=0.8", "model.time_constant_frames=0.5", "train.learning_rate=0.05",
)  # fmt: skip
SEEN = (
    "model.observation.indicator=order-2", "model.observation.decay_s=1.5", "model.observation.rise_s=0.3",
    "model.observation.gain=unit", "model.observation.noise=student-t", "model.observation.drift_gain=0.05",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("observed")
    write_files(folder)
    return folder


def config(folder: Path, *changes: str) -> configuration.Config:
    return configuration.override(configuration.read(folder / "own.toml"), [*QUICK, *changes])


@pytest.mark.usefixtures("dots")
def test_it_is_fitted_opened_again_and_reported(folder: Path) -> None:
    out = folder / "run"
    fitted = runs.start(config(folder, *SEEN), out)
    learned = {"indicator_rise", "indicator_decay", "innovation_gains", "noise_scale"}
    assert learned <= set(fitted.changed)
    counts = json.loads((out / "record.json").read_text())["parameters"]
    units = fitted.model.units
    assert counts["indicator_decay"] == counts["indicator_rise"] == 1
    assert counts["innovation_gains"] == 4 * units and counts["noise_scale"] == units
    assert fitted.neurons_table()["indicator_decay_start_s"].to_numpy() == pytest.approx(1.5)
    again = runs.load_fit(out)
    forecaster, recording = again.forecaster(), again.cohort.recordings[0]
    one, ahead = forecaster.one_step_and_horizon(recording, np.array([20, 41]), 3)
    np.testing.assert_array_equal(one, fitted.forecaster().one_step(recording))
    np.testing.assert_allclose(ahead[:, 0], one[[21, 42]], rtol=1e-4, atol=1e-5)
    noise = 0.1 * np.random.default_rng(0).normal(size=(2, 6, len(recording.units)))
    driven = forecaster.free_run(recording, 60, 6, 10, noise)
    assert np.isfinite(driven).all() and np.abs(driven[0] - driven[1]).max() > 1e-3
    found = cf.evaluate_run(again, out).observation
    assert found is not None and found.indicator == "order-2"
    assert set(found.gains) == {"rate", "rise", "indicator", "baseline"}
    assert found.gains["baseline"].start == pytest.approx(0.05)
    assert found.time_constants_s["indicator_decay"].start == pytest.approx(1.5)
    assert set(found.learned) == learned
    page = (cf.write_report(out)).read_text(encoding="utf-8")
    assert "How recordings see neurons" in page and "gain of the baseline" in page


def test_gains_that_are_shared_follow_from_state_forcing_and_stay(folder: Path) -> None:
    job = problem.prepare(config(folder, "model.observation.indicator=GCaMP6s", "model.observation.learn=false"))
    assert not {"innovation_gains", "indicator_decay", "indicator_rise"} & set(job.trained)
    beta = np.exp(-job.model.step_s / 0.7934822)
    np.testing.assert_allclose(job.params["innovation_gains"][-1], 0.8, rtol=1e-5)
    np.testing.assert_allclose(job.params["innovation_gains"][0], 0.8 / (1 - beta), rtol=1e-5)
    assert job.model.neuron.states == ("rate", "indicator"), "a rise of 0.07 s is over within a step of 0.5 s"


@pytest.mark.slow
def test_stimulus_and_trials_of_nwb_files_reach_the_report(folder: Path) -> None:
    """Fitted trial by trial with the stimulus as input, behind an indicator: scores, baselines, the page."""
    import pynwb

    path = folder / "movie.nwb"
    movie = teacher()[1][0]
    times = np.arange(movie.frames) / movie.frame_rate
    write_nwb(path, movie.values, movie.units, times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "r+") as io:
            file = io.read()
            light = np.random.default_rng(0).normal(size=movie.frames)
            file.add_stimulus(pynwb.TimeSeries(name="light", data=light, unit="mW", timestamps=times))
            for start in range(0, 100, 20):
                file.add_trial(start_time=float(start), stop_time=start + 19.0)
            io.write(file)
    given = config(
        folder, f'data.recording_files.files=["{path}"]', 'data.recording_files.options={"unit_column": "label"}',
        'data.recording_files.inputs=["light"]', 'data.epochs=["trials"]', "train.warmup_frames=3",
        "evaluate.horizons=[1,5]", "model.observation.indicator=order-1", "model.observation.decay_s=0.5",
    )  # fmt: skip
    out = folder / "nwb"
    fitted = runs.start(given, out)
    assert fitted.cohort.recordings[0].blocks and fitted.cohort.inputs is not None
    found = cf.evaluate_run(fitted, out)
    test = found.parts["test"]
    assert test.one_step.skill_vs_persistence is not None and test.horizon_skill[5] is not None
    assert {"ar", "arx", "varx"} & set(found.baselines) >= {"arx"}
    assert found.baselines["arx"].part("test").one_step.skill_vs_persistence is not None
    page = cf.write_report(out).read_text(encoding="utf-8")
    assert "light" in page and "indicator decay (s)" in page and "ARX" in page
    assert "the prediction stops being finite" not in page


def test_a_known_indicator_is_in_the_report_beside_its_preset() -> None:
    seconds = Found(0.793, (0.793, 0.793, 0.793))
    preset = {"indicator_rise": 0.066, "indicator_decay": 0.793}
    found = ObservationFound("GCaMP6s", "Chen et al. 2013", preset, {"indicator_decay": seconds})
    rows = re.findall(r"<tr>(.*?)</tr>", "".join(observation_blocks(Evaluation(observation=found))), re.DOTALL)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]
    assert cells[1][:4] == ["indicator rise (s)", "over within a step, left out", "0.0660", "–"]
    assert cells[2][:4] == ["indicator decay (s)", "known, as given", "0.793", "0.793"]
    other = replace(found, learned=("indicator_decay",))
    assert "known, as given" not in "".join(observation_blocks(Evaluation(observation=other)))


def test_rows_of_a_study_without_observation_or_forcing_have_none(folder: Path) -> None:
    base = problem.prepare(config(folder, *SEEN)).config
    rows = {row.name: row for row in study_rows(base, ())}
    plain = row_config(rows["no_observation"], base, 0).model
    assert plain.observation == configuration.ObservationConfig() and not {"noise_scale"} & set(plain.learn or ())
    unforced = row_config(rows["no_state_forcing"], base, 0)
    assert not problem.prepare(unforced).model.own_gains and "innovation_gains" not in (unforced.model.learn or ())


def test_what_does_not_fit_together_is_refused_by_name(folder: Path) -> None:
    for changes, message in (
        (["model.observation.indicator=GCaMP6"], "model.observation.indicator is 'GCaMP6'.*GCaMP6s"),
        (["model.observation.indicator=order-1"], "needs model.observation.decay_s"),
        (["model.observation.decay_s=1"], "has no decay"),
        (["model.observation.gain=unit", "learner.carry=history"], "does not know"),
        (["model.observation.bounds=[2,3]"], "model.observation.bounds"),
        (["model.observation.noise=cauchy"], "model.observation.noise"),
    ):
        with pytest.raises(ConfigError, match=message):
            problem.prepare(config(folder, *changes)).fit()
