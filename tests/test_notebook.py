"""The path of a notebook: fit, tables, predictions, evaluation, comparison, saving, and the command line on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import FRAME_RATE, FRAMES, NEURONS, OPTIONS, UNITS, raw_movies, regional_connectome, teacher, write_files
from typer.testing import CliRunner

import connfit as cf
from connfit import cli
from connfit import config as configuration
from connfit._io import plain
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, DataError
from connfit.evaluation.intervals import paired_difference
from connfit.evaluation.squared_errors import prediction_errors
from connfit.recordings import Recording
from connfit.training import runs
from connfit.training.fit import Progress

pytestmark = pytest.mark.usefixtures("dots")


@pytest.fixture(scope="module")
def fit() -> cf.Fit:
    return cf.fit(teacher()[0], raw_movies(), **OPTIONS)


@pytest.fixture(scope="module")
def saved(fit: cf.Fit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A saved fit whose folder was moved."""
    folder = tmp_path_factory.mktemp("saved")
    yield fit.save(folder / "first").rename(folder / "run")


def assert_same_fit(one: cf.Fit, other: cf.Fit) -> None:
    for params, others in ((one.params, other.params), (one.initial_params, other.initial_params)):
        assert set(params) == set(others)
        for key, value in params.items():
            np.testing.assert_array_equal(value, others[key])

    def without_clock(history: tuple) -> list[dict]:
        return [{key: row[key] for key in row if key not in ("seconds", "ms_per_step")} for row in history]

    assert without_clock(one.history) == without_clock(other.history)
    assert (one.best_epoch, one.rates) == (other.best_epoch, other.rates)
    movie = one.cohort.recordings[0]
    np.testing.assert_array_equal(one.forecaster().one_step(movie), other.forecaster().one_step(movie))


def test_one_call_makes_the_fit_that_the_command_line_makes_from_files(fit: cf.Fit, tmp_path: Path) -> None:
    write_files(tmp_path)
    config = configuration.override(
        configuration.read(tmp_path / "own.toml"), ["train.epochs=3", "train.free_run_epochs=0"]
    )
    theirs = runs.start(config, tmp_path / "run")
    assert fit.trained and fit.performance["peak_rss_bytes"] > 50e6
    assert fit.cohort.recordings[0].steps == theirs.cohort.recordings[0].steps != ()
    assert fit.job is not None and theirs.job is not None
    assert fit.job.config.train == theirs.job.config.train and fit.job.config.model == theirs.job.config.model
    assert_same_fit(fit, theirs)
    assert_same_fit(cf.load_fit(tmp_path / "run"), theirs)


def test_recordings_keep_the_parts_and_steps_that_they_have() -> None:
    brain, _ = teacher()
    one = raw_movies()[0]
    cut = one.split(train=0.5, validation=0.3)
    done = cf.preprocess(cut, [{"step": "scale", "method": "std", "margin": 3.0}])
    job = cf.prepare_fit(brain, done, **{**OPTIONS, "train": 0.7})
    assert job.cohort.recordings[0].parts == cut.parts and job.cohort.recordings[0].steps == done.steps
    np.testing.assert_array_equal(job.cohort.recordings[0].values, done.values)
    # Raw recordings of a named dataset get its steps, all others a scaling; what is asked for wins.
    worm = replace(one, name="worm/2022-07-26-38")
    wanted = [step["step"] for step in DATASETS["worm"].preprocess]
    for recording, options, steps in (
        (worm, {}, wanted), (one, {}, ["scale"]), (replace(one, name="worm/none"), {}, ["scale"]),
        (worm, {"preprocess": []}, []), (done, {"preprocess": [{"step": "smooth", "tau_s": 1.0}]}, ["scale", "smooth"]),
    ):  # fmt: skip
        job = cf.prepare_fit(brain, recording, **OPTIONS, **options)
        assert [step["step"] for step in job.cohort.recordings[0].steps] == steps
    held_out = cf.prepare_fit(brain, raw_movies()[:1], held_out=raw_movies()[1:], **OPTIONS).cohort.held_out
    assert [recording.name for recording in held_out] == ["movie2"] and held_out[0].steps


def test_auto_options_are_found_by_the_recipe_of_the_command_line(tmp_path: Path) -> None:
    brain, _ = teacher()
    job = cf.prepare_fit(brain, raw_movies(), **{**OPTIONS, "state_forcing": "auto"})
    assert len(job.recipe.candidates) == 5 and set(job.recipe.chosen) == {"state_forcing"}
    write_files(tmp_path)
    config = configuration.override(configuration.read(tmp_path / "own.toml"), ["model.state_forcing=auto"])
    assert runs.prepare(config).recipe == job.recipe


def test_a_saved_fit_opens_again_and_its_folder_can_be_moved(fit: cf.Fit, saved: Path, tmp_path: Path) -> None:
    loaded = cf.load_fit(saved)
    assert_same_fit(loaded, fit)
    assert loaded.performance == fit.performance and loaded.history == fit.history
    assert repr(loaded) == repr(fit)
    pd.testing.assert_frame_equal(loaded.weights_table(), fit.weights_table())
    assert_same_fit(cf.resume(saved), fit)  # it has finished: nothing is run
    with pytest.raises(ConfigError, match="holds a run already"):
        fit.save(saved)
    # What was loaded can be saved elsewhere, with its data.
    again = cf.load_fit(loaded.save(tmp_path / "again"))
    assert_same_fit(again, fit)
    for option in ("data.train=0.7", "data.min_synapses=2"):
        with pytest.raises(ConfigError, match=f"{option.split('=')[0]} = .* does not apply to data.saved"):
            runs.prepare(configuration.override(configuration.read(saved / "config.json"), [option]))
    archive = saved / "data" / "recordings.npz"
    content = archive.read_bytes()
    archive.write_bytes(content[:-20])
    with pytest.raises(DataError, match=r"recordings.npz: damaged"):
        cf.load_fit(saved)
    archive.write_bytes(content)


def test_the_command_line_evaluates_reports_and_repeats_a_saved_fit(fit: cf.Fit, saved: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli.app, ["evaluate", str(saved)])
    assert ran.exit_code == 0, ran.output
    metrics = json.loads((saved / "metrics.json").read_text())
    scored = cf.evaluate(fit)
    assert metrics["parts"]["test"]["one_step"] == plain(scored.parts["test"].one_step)
    assert scored.forecasts is not None and len(scored.forecasts.recordings) == len(scored.recordings)
    assert (saved / "report.html").exists()
    assert metrics["training"]["best_epoch"] == fit.best_epoch and metrics["performance"] == fit.performance
    repeated = runs.start(configuration.read(saved / "config.json"), tmp_path / "again")
    assert_same_fit(repeated, fit)
    assert repeated.job is not None and fit.job is not None
    assert repeated.job.fingerprint() == fit.job.fingerprint()
    table = scored.table()
    assert list(table.index) == ["model", "untrained", "mean", "persistence", "ar"] and list(table.columns) == [1, 2]
    assert table.loc["model", 1] == metrics["parts"]["test"]["one_step"]["skill_vs_persistence"]
    assert table.loc["ar", 2] == metrics["baselines"]["ar"]["test"]["horizon_skill"]["2"]
    assert repr(scored).startswith("<Evaluation, skill over persistence one frame ahead (test part): model 0.")


def test_a_run_that_is_written_while_it_goes_on_is_that_of_save(fit: cf.Fit, tmp_path: Path) -> None:
    seen: list[Progress] = []
    options = {**OPTIONS, "null": "shuffle_signs"}
    there = cf.fit(teacher()[0], raw_movies(), out=tmp_path / "null", on_progress=seen.append, **options)
    assert seen and {now.epochs for now in seen} == {3}
    assert (tmp_path / "null" / "checkpoints" / "latest.npz").exists()
    assert not np.array_equal(there.connectome.signs, teacher()[0].signs)
    # The saved connectome is the one that was given: shuffled once more in the same way, not twice.
    loaded = cf.load_fit(tmp_path / "null")
    np.testing.assert_array_equal(loaded.connectome.signs, there.connectome.signs)
    assert_same_fit(loaded, there)
    with pytest.raises(ConfigError, match="holds a run already"):
        cf.fit(teacher()[0], raw_movies(), out=tmp_path / "null", **OPTIONS)


def test_progress_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    short = {**OPTIONS, "epochs": 1}
    cf.fit(teacher()[0], raw_movies()[0], **short)
    assert capsys.readouterr() == ("", "")
    cf.fit(teacher()[0], raw_movies()[0], progress=True, **short)
    shown = capsys.readouterr().err
    assert f"{NEURONS} neurons" in shown and "teacher-forced epoch 1/1" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epoch": 3}, "option of connfit.fit is 'epoch'.*did you mean 'epochs'"),
        ({"epochs": -1}, "train.epochs = -1"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"drive": "thick"}, "model.drive = 'thick': must be one of 'dense'"),
        ({"min_synapses": 5}, "data.min_synapses = 5 is an option of reading data"),
        ({"config": configuration.Config(data=configuration.DataConfig(dataset="demo"))}, "data.dataset = 'demo'"),
    ],
)
def test_wrong_options_are_named(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cf.prepare_fit(teacher()[0], raw_movies(), **options)


def test_data_that_do_not_go_together_are_named() -> None:
    with pytest.raises(DataError, match="there is no recording to fit"):
        cf.fit(teacher()[0], [])
    strange = replace(raw_movies()[0], units=tuple(f"x{k}" for k in range(UNITS)))
    with pytest.raises(DataError, match="no unit of recording 'movie1' is a neuron id, a region or a type"):
        cf.fit(teacher()[0], strange)


def hand_made() -> cf.Fit:
    """Three neurons, b -> a, a -> c, c -> a and a gap junction between a and b, with parameters set by hand."""
    from connfit.connectome.connectome import from_pairs

    table = pd.DataFrame(
        {"id": ["a", "b", "c"], "type": ["T", "", "U"], "region": ["R", "S", "S"], "transmitter": "", "side": ""}
    )
    brain = from_pairs(
        "hand made", np.array([1, 2, 0, 0, 1]), np.array([0, 0, 2, 1, 0]), np.array([4, 1, 3, 2, 2]),
        np.array([1, -1, 1]), table, electrical=np.array([False, False, False, True, True]),
    )  # fmt: skip
    values = np.random.default_rng(1).random((80, 2))
    recording = Recording("r", values, ("a", "c"), 2.0, value_units="ΔF/F").split(train=0.6, validation=0.2)
    fit = cf.fit(brain, recording, **{**OPTIONS, "epochs": 0, "preprocess": []})
    # The order of the connectome: inputs of a (chemical from b and c, electrical from b), of b (from a), of c (from a).
    before, after = np.array([1.0, 2, 3, 3, 5]), np.array([0.5, 2, 4, 4, 0])
    start = {**fit.initial_params, "weights": before, "log_time_constants": np.log([1.0, 2, 4]), "bias": np.zeros(3)}
    params = {**start, "weights": after, "log_time_constants": np.log([1.0, 3, 4]), "bias": np.array([0.0, 0.1, -0.2])}
    return replace(fit, initial_params=start, params=params)


def test_tables_have_the_values_that_are_put_in_by_hand() -> None:
    fit = hand_made()
    expected = pd.DataFrame(
        {
            "pre_id": ["b", "c", "b", "a", "a"],
            "post_id": ["a", "a", "a", "b", "c"],
            "pre_type": ["", "U", "", "T", "T"],
            "post_type": ["T", "T", "T", "", "U"],
            "kind": ["chemical", "chemical", "electrical", "electrical", "chemical"],
            "synapses": [4, 1, 2, 2, 3],
            "sign": [-1, 1, 1, 1, 1],
            "weight_start": [-1.0, 2, 3, 3, 5],
            "weight_fitted": [-0.5, 2, 4, 4, 0],
        }
    )
    pd.testing.assert_frame_equal(fit.weights_table(), expected, check_dtype=False, check_categorical=False)
    neurons = fit.neurons_table()
    assert neurons.attrs["units"] == {
        "time_constant_start_s": "s", "time_constant_fitted_s": "s", "bias_start": "ΔF/F", "bias_fitted": "ΔF/F",
    }  # fmt: skip
    expected = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "type": ["T", "", "U"],
            "region": ["R", "S", "S"],
            "recorded": [True, False, True],
            "time_constant_start_s": [1.0, 2, 4],
            "time_constant_fitted_s": [1.0, 3, 4],
            "bias_start": [0.0, 0, 0],
            "bias_fitted": [0.0, 0.1, -0.2],
        }
    )
    pd.testing.assert_frame_equal(neurons, expected, check_dtype=False, rtol=1e-6)


def test_a_model_that_was_put_together_by_hand_says_what_it_does_not_know(fit: cf.Fit) -> None:
    by_hand = replace(fit, job=None)
    assert by_hand.predict().shape == (FRAMES, UNITS)
    for action in (by_hand.weights_table, by_hand.neurons_table, lambda: by_hand.save("nowhere")):
        with pytest.raises(ConfigError, match=r"trained with connfit.train.*connfit.fit\(connectome, recordings\)"):
            action()


def test_activity_has_named_axes(fit: cf.Fit) -> None:
    movie = fit.recording("movie2")
    predicted = fit.predict("movie2")
    assert predicted.dims == ("time", "unit") and list(predicted["unit"].values) == list(movie.units)
    np.testing.assert_array_equal(predicted, fit.forecaster().one_step(movie))
    np.testing.assert_allclose(predicted["time"], np.arange(FRAMES) / FRAME_RATE)
    assert predicted["time"].attrs["units"] == "s" and predicted.attrs["units"] == movie.value_units
    assert (predicted["part"].values == ["train"] * 120 + ["validation"] * 40 + ["test"] * 40).all()
    free = fit.simulate("movie2", frames=50, warmup=20)
    assert free.sizes == {"time": 50, "unit": UNITS} and float(free["time"][0]) == 160 / FRAME_RATE
    np.testing.assert_array_equal(free, fit.forecaster().free_run(movie, 160, 50, 20))
    assert (free["part"].values == ["test"] * 40 + [""] * 10).all()
    noise = np.random.default_rng(0).normal(size=(3, 5, UNITS)).astype(np.float32)
    assert fit.simulate(start=100, frames=5, noise=noise).dims == ("run", "time", "unit")
    with pytest.raises(ConfigError, match="recording is 'movie3'"):
        fit.predict("movie3")
    with pytest.raises(ConfigError, match="frames = 0"):
        fit.simulate(frames=0)
    other = replace(movie, steps=(*movie.steps, {"step": "smooth"}))
    with pytest.raises(ConfigError, match=r"'movie2' went through the steps .*'smooth'.*give the name"):
        fit.predict(other)


def test_fits_are_compared_on_the_frames_and_units_that_they_share(fit: cf.Fit) -> None:
    brain, _ = teacher()
    fewer = [one.select_units(one.units[:-2]) for one in raw_movies()]
    other = cf.fit(brain, fewer, **{**OPTIONS, "drive": "none", "epochs": 1})
    table = cf.compare(fit, fit, other, names=["real", "itself", "no drive"], horizons=[1, 2])
    assert list(table.index) == [("itself", 1), ("itself", 2), ("no drive", 1), ("no drive", 2)]
    assert (table.loc["itself", "difference"] == 0).all() and not table.loc["itself", "excludes_zero"].any()
    row = table.loc[("no drive", 1)]
    assert row["low"] < row["difference"] < row["high"]
    assert row["skill_of_first"] - row["skill"] == pytest.approx(row["difference"])
    # Predictions of the first see all its units; only errors of the shared ones count.
    theirs = [prediction_errors(other.forecaster(), one) for one in other.cohort.recordings]
    assert row["skill"] == pytest.approx(np.mean([one.skill(1) for one in theirs]))
    whole = [prediction_errors(fit.forecaster(), one) for one in fit.cohort.recordings]
    own = cf.compare(fit, fit).iloc[0]
    assert own["skill"] == pytest.approx(np.mean([one.skill(1) for one in whole]))
    untrained = replace(fit, params=fit.initial_params)
    before = [prediction_errors(untrained.forecaster(), one) for one in fit.cohort.recordings]
    found, expected = cf.compare(fit, untrained).iloc[0], paired_difference([whole], [before], 1)
    assert tuple(found[["difference", "low", "high"]]) == (expected.value, expected.low, expected.high)
    for fits, names, error, words in (
        ([fit], None, ConfigError, "two fits or more"),
        ([fit, fit], ["one"], ConfigError, "1 names for 2 fits"),
        ([fit, cf.fit(brain, raw_movies()[:1], **{**OPTIONS, "epochs": 0})], None, DataError, "fits to the same"),
        (
            [fit, cf.fit(brain, raw_movies(), **{**OPTIONS, "epochs": 0, "train": 0.5})], None, DataError,
            "recording 'movie1' is not the same in fit 1 and fit 2",
        ),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            cf.compare(*fits, names=names)


def test_representations_are_a_line_and_a_table(fit: cf.Fit) -> None:
    brain = replace(regional_connectome(), name="<b>")
    synapses = f"{brain.counts.sum():,}"
    assert repr(brain) == (
        f"<Connectome '<b>': neurons 40 ({(brain.signs > 0).mean():.0%} excitatory), connections {brain.m}, "
        f"synapses {synapses}, regions 5>"
    )
    html = brain._repr_html_()
    assert "<caption>Connectome &#x27;&lt;b&gt;&#x27;</caption>" in html and f"<td>{synapses}</td>" in html
    movie = replace(teacher()[1][0], mask=np.arange(FRAMES)[:, None] > np.zeros(UNITS))
    assert repr(movie) == (
        "<Recording 'movie 1': frames 200 at 2 Hz (100 s), units 8, values dff (dimensionless), missing 0.50%, "
        "parts train 120, validation 40, test 40>"
    )
    assert repr(fit.cohort) == (
        "<Cohort: recordings movie1, movie2, units 8, frame rate 2 Hz, model steps per frame 1>"
    )
    assert repr(fit.model) == (
        f"<RateModel: neurons 40, connections {brain.m}, units 8, learned weights, time_constants, bias, drive, drive "
        "dense, nonlinearity relu, step 0.5 s, state forcing 0>"
    )
    assert repr(fit).startswith(f"<Fit of 'random': neurons 40, connections {brain.m}, units 8, recordings 2 at 2 Hz, ")
    assert "trained weights, time_constants, bias, drive, best epoch" in repr(fit)
    untrained = replace(fit, params=fit.initial_params, best_epoch=None)
    assert "trained no, parameters are those of the start, best before training>" in repr(untrained)
