"""The recipe: starts found on validation frames, learning rates relative to what they move."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from rich.console import Console
from small import search_little, student, write_files

from connfit import config as configuration
from connfit._system.stages import listening, tell
from connfit.config import FALLBACK, ModelConfig
from connfit.datasets.registry import DATASETS
from connfit.errors import ConfigError, DataError
from connfit.models.forecaster import ModelForecaster
from connfit.report.questions.questions import best_epochs
from connfit.training import progress_display
from connfit.training import untrained_model as module
from connfit.training.learning_rates import RATES, find_rates, parameter_sizes
from connfit.training.problem import Job, prepare
from connfit.training.recipe import BEGIN, GRID, NAMES, Recipe, automatic, find_recipe
from connfit.training.runs import load_fit, load_job, start
from connfit.training.untrained_model import untrained_model, without_idle_drive
from connfit.training.validation import Validation, validate

FIXED = ("drive_start", "state_forcing", "time_constant_frames", "weights", "own_shrinkage", "drive_ridge")


def _auto(config: configuration.Config, **model) -> configuration.Config:
    """The configuration with every option of the start left to the recipe, but those given."""
    return msgspec.structs.replace(
        config, model=msgspec.structs.replace(config.model, **{**dict.fromkeys(FIXED, "auto"), **model})
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return configuration.read(write_files(tmp_path_factory.mktemp("own")))


@pytest.fixture(scope="module")
def job(own):
    return prepare(_auto(own))


def test_defaults_leave_the_start_to_the_recipe():
    assert set(automatic(ModelConfig())) == set(FALLBACK) == {*GRID, *NAMES} == set(FIXED)


def test_no_dataset_brings_options_of_the_model_or_rates():
    for dataset in DATASETS.values():
        tuned = [key for key in dataset.fit if key.startswith("model.") or "rate" in key.partition(".")[2].split("_")]
        assert set(tuned) <= {"model.type_column"}, dataset.name


def test_search_finds_the_best_of_a_separable_objective():
    best = {**BEGIN, "state_forcing": 1.5, "time_constant_frames": 2.0, "own_shrinkage": 0.5, "drive_ridge": 3000.0,
            "weights": "input_fraction", "drive_start": "regression"}  # fmt: skip

    def score(options: ModelConfig) -> Validation:
        wrong = sum(getattr(options, name) != value for name, value in best.items())
        return Validation(-float(wrong), 0.0)

    found = find_recipe(ModelConfig(), score)
    assert found.chosen == best
    assert len(found.candidates) < 60


def test_a_search_says_where_it_is():
    heard = []
    with listening(heard.append):
        found = find_recipe(ModelConfig(), lambda options: Validation(options.state_forcing, 0.0))
    assert len(heard) == len(found.candidates) > 10
    count, most = re.fullmatch(r"finding a start: (\d+) of at most (\d+)", heard[-1]).groups()
    assert int(count) == len(heard) <= int(most)


def test_a_long_preparation_writes_lines_where_nothing_can_be_redrawn(monkeypatch: pytest.MonkeyPatch):
    now, stream = [0.0], io.StringIO()
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: now[0])
    with progress_display.show_progress(Console(file=stream)):
        for second in range(0, 50, 5):
            now[0] = second
            tell(f"finding a start: {second}")
    assert stream.getvalue().split("\n") == ["finding a start: 20", "finding a start: 40", ""]


def test_what_the_user_says_is_kept():
    tried = []

    def score(options: ModelConfig) -> Validation:
        tried.append(options)
        return Validation(options.state_forcing, 0.0)

    found = find_recipe(ModelConfig(state_forcing=0.5, drive="anatomical"), score)
    assert "state_forcing" not in found.chosen
    assert {one.state_forcing for one in tried} == {0.5}
    assert {one.drive_ridge for one in tried} == {0.0}  # a ridge needs the dense drive


def test_what_is_not_possible_is_not_tried():
    tried = []

    def score(options: ModelConfig) -> Validation:
        tried.append(options)
        return Validation(0.0, 0.0)

    found = find_recipe(ModelConfig(), score, forcible=False, regressible=False)
    assert found.chosen["state_forcing"] == 0
    assert {one.drive_start for one in tried} == {"persistence"}


def test_a_candidate_that_fails_or_diverges_is_recorded_and_loses():
    def score(options: ModelConfig) -> Validation:
        if options.drive_start == "regression":
            raise DataError("too short")
        return Validation(float("-inf") if options.state_forcing else 0.1, 0.0)

    found = find_recipe(ModelConfig(), score)
    assert found.chosen["state_forcing"] == 0
    reasons = {one.reason for one in found.candidates}
    assert {"too short", "its predictions are not finite", None} == reasons


def test_no_start_at_all_says_why():
    def score(options: ModelConfig) -> Validation:
        raise DataError("units do not change")

    with pytest.raises(DataError, match="no start of the model could be made: units do not change"):
        find_recipe(ModelConfig(), score)


def test_chosen_start_is_the_best_on_validation_and_as_good_as_any_hand_made_one(own, job):
    """Every candidate, and starts that no stage tries together, scored anew by an independent path."""
    weights = np.nan_to_num(1 / job.cohort.change_variance())

    def value(made) -> float:
        return validate(ModelForecaster(made.model, made.params, made.cohort), weights, horizons=True).value

    best = max(one.value for one in job.recipe.candidates if one.value is not None)
    assert value(job) == pytest.approx(best, abs=1e-6)
    names = ("state_forcing", "own_shrinkage", "drive_ridge", "time_constant_frames")
    for values in ((1.0, 0.75, 300.0, 0.5), (0.5, 0.0, 0.0, 2.0)):
        hand = dict(zip(names, values, strict=True))
        made = prepare(_auto(own, drive_start="regression", weights="counts", **hand))
        assert value(made) < best + 0.01


def test_the_test_part_decides_nothing(own, job, tmp_path):
    """Other values in the test part: the same candidates with the same values."""
    folder = write_files(tmp_path).parent
    for path in folder.glob("*.npz"):
        arrays = dict(np.load(path))
        arrays["values"][160:] = 7.0
        np.savez(path, **arrays)
    other = prepare(_auto(configuration.read(folder / "own.toml")))
    assert other.recipe == job.recipe


def test_without_a_validation_part_the_last_fifth_of_training_decides(own, monkeypatch):
    search_little(monkeypatch)
    made = prepare(_auto(msgspec.structs.replace(own, data=msgspec.structs.replace(own.data, validation=0.0))))
    assert made.recipe.tuned_on == "the last fifth of train"
    assert made.recipe.chosen


def test_a_run_keeps_what_was_found_and_studies_find_it_anew(own, tmp_path, monkeypatch):
    search_little(monkeypatch)
    config = _auto(own)
    fitted = start(config, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["recipe"]["chosen"].keys() == set(FIXED)
    assert record["learning_rates"]["sizes"].keys() == fitted.params.keys()
    stored = configuration.read(tmp_path / "run" / "config.json")
    assert set(automatic(stored.model)) == set(FIXED)
    again = load_job(tmp_path / "run")
    assert again.recipe == msgspec.convert(record["recipe"], Recipe)
    for key, value in load_fit(tmp_path / "run").initial_params.items():
        assert np.array_equal(value, fitted.initial_params[key])


def test_a_run_of_a_version_without_recipe_opens_as_it_was(own, tmp_path):
    fitted = start(own, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    del record["recipe"], record["options"], record["neurons_fingerprint"]
    (tmp_path / "run" / "record.json").write_text(json.dumps(record))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["model"]["own_shrinkage"]
    config["model"]["drive_ridge"] = None
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    for key, value in load_fit(tmp_path / "run").params.items():
        assert np.array_equal(value, fitted.params[key])


def test_sizes_do_not_depend_on_the_unit_of_the_recording():
    """Ten times the values: rates that are relative move biases ten times as far, and weights as before."""
    made = student()
    large = replace(
        made.cohort, recordings=tuple(replace(one, values=10 * one.values) for one in made.cohort.recordings)
    )
    sizes, scaled = (parameter_sizes(made.model, made.params, one) for one in (made.cohort, large))
    assert scaled["bias"] == pytest.approx(10 * sizes["bias"], rel=1e-5)
    assert {key: scaled[key] for key in scaled if key != "bias"} == {k: sizes[k] for k in sizes if k != "bias"}


@pytest.mark.slow
def test_a_brain_without_connections_is_fitted_with_rates_of_its_own(own, tmp_path):
    """The null connectome without recurrence has no weights, whose size is then no number."""
    null = msgspec.structs.replace(own.data, null="no_recurrence")
    train = msgspec.structs.replace(own.train, learning_rate="auto", epochs=1, free_run_epochs=0)
    fitted = start(msgspec.structs.replace(_auto(own), data=null, train=train), tmp_path / "run")
    assert fitted.rates is not None and np.isfinite(list(fitted.rates.sizes.values())).all()
    assert load_fit(tmp_path / "run").rates == fitted.rates


def test_sizes_are_never_zero():
    made = student()
    zero = {key: jnp.zeros_like(value) for key, value in made.params.items()}
    assert all(size > 0 for size in parameter_sizes(made.model, zero, made.cohort).values())


def by(value):
    """Trials whose best value follows from their rate and factors."""
    return lambda tasks: [value(rate, scale) for rate, scale in tasks]


def test_lower_rates_beside_the_wiring_and_a_rate_in_between_are_searched():
    def train(rate, scale):
        return -abs(np.log10(rate / 2.5e-2)) - abs(np.log10(scale.get("drive", 1.0) / 0.03))

    found = find_rates(by(train), ("weights", "time_constants", "drive"), {}, {}, 3)
    assert found.learning_rate == pytest.approx(1e-2 * 10**0.5)
    assert found.rate_scale == {"drive": 0.03}
    assert len(found.trials) == 2 * len(RATES) + 2


def test_a_trial_that_diverges_loses():
    found = find_rates(by(lambda rate, _: float("-inf") if rate > 1e-2 else rate), ("weights",), {}, {}, 3)
    assert found.learning_rate == 1e-2
    assert None in {one.value for one in found.trials}


def test_factors_that_are_given_are_kept():
    found = find_rates(
        by(lambda rate, scale: rate * scale.get("drive", 1)), ("weights", "drive"), {"drive": 0.5}, {}, 1
    )
    assert found.rate_scale["drive"] == 0.5
    assert found.learning_rate > max(RATES)  # the highest that was tried, in between included


def test_unknown_option_of_the_start_is_an_error():
    with pytest.raises(ConfigError, match="state_forcing"):
        configuration.from_dict({"data": {}, "model": {"state_forcing": "otto"}})


def test_the_best_trial_of_rates_is_not_lost():
    """A fit is never worse on validation than the best short training that its rates were found from."""
    from connfit.config import TrainConfig
    from connfit.training.fit import train
    from connfit.training.learners import WindowedLearner
    from connfit.training.learning_rates import TRIAL

    made = student()
    fitted = train(
        made.model, made.params, made.cohort, WindowedLearner(8), TrainConfig(epochs=20, patience=1, warmup_frames=5)
    )
    assert fitted.rates is not None and fitted.rates.trial_epochs == 2
    best = max(trial.value for trial in fitted.rates.trials if trial.value is not None)
    weights = np.nan_to_num(1 / made.cohort.change_variance())
    reached = validate(fitted.forecaster(), weights, horizons=True).value
    untrained = validate(fitted.initial_forecaster(), weights, horizons=True).value
    assert reached >= max(best, untrained) - 1e-6
    rows = [row for row in fitted.history if row["phase"] == TRIAL]
    assert len(rows) == (2 if best > untrained else 0)
    assert [row["epoch"] for row in fitted.history] == list(range(len(fitted.history)))
    # Neither counts as an epoch of the schedule, nor as a phase of it.
    record = fitted.training_record()
    assert (record.trial_epochs, record.epochs) == (len(rows), len(fitted.history) - len(rows)) and record.epochs <= 20
    in_trial = replace(fitted, history=tuple({**row, "phase": TRIAL} for row in fitted.history[:2]), best_epoch=1)
    assert "best epoch 2 of the trial of learning rates" in repr(in_trial)
    assert in_trial.training_record().epochs == 0
    columns = {"phase": [TRIAL, "teacher-forced", "free-running"], "selection": [3.0, 1.0, 2.0]}
    assert best_epochs(columns) == {"teacher-forced": 1, "free-running": 2}


@pytest.mark.parametrize("begin", ["regression", "persistence"])
def test_a_candidate_of_many_units_is_run_without_a_drive_of_zeros(
    job: Job, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {"state_forcing": 1.0, "time_constant_frames": 1.0, "weights": "counts", "own_shrinkage": 0.25}
    options = msgspec.structs.replace(job.options, **fixed, drive_start=begin, drive_ridge=0.0)
    assert without_idle_drive(options, job.readout) is options
    monkeypatch.setattr(module, "MANY_UNITS", len(job.cohort.units) - 1)
    found = without_idle_drive(options, job.readout)
    assert found == msgspec.structs.replace(options, drive="anatomical")
    (dense, full), (sparse, few) = (
        untrained_model(one, 0, job.connectome, job.cohort, job.readout)[:2] for one in (options, found)
    )
    assert few["drive"].size < full["drive"].size
    movie = job.cohort.recordings[0]
    predicted, expected = (
        ModelForecaster(model, params, job.cohort).one_step(movie)[1:]
        for model, params in ((sparse, few), (dense, full))
    )
    # Sums over units in another order, in single precision.
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)
    ridge = msgspec.structs.replace(options, drive_start="regression", drive_ridge=300.0)
    assert without_idle_drive(ridge, job.readout) is ridge
