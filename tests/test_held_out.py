"""Animals that are held out of a fit: nothing is learned from them, and they are scored like the others."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pictures import only_dots
from rich.console import Console
from small import FRAMES, UNITS, write_files

from connfit import config as configuration
from connfit._io import as_result, plain, write_json
from connfit.config import Config, DataConfig, EvaluateConfig
from connfit.datasets.loading import held_out_from_config, recordings_from_config
from connfit.errors import ConfigError, DataError
from connfit.evaluation.baselines.mean import Mean
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.evaluate import evaluate_all, pooled_scores
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.evaluation.evaluated import Evaluation, NullScores
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.held_out import HELD_OUT, HeldOut, mean_connectivity
from connfit.evaluation.metrics import functional_connectivity
from connfit.evaluation.part_scores import BaselineScores, OneStep, PartScores
from connfit.evaluation.residual_noise import OTHERS_RESIDUALS, residuals_of_others, training_residuals
from connfit.evaluation.scores import score
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort
from connfit.report import print_table, write_report
from connfit.report.sections.comparison import comparison
from connfit.report.sections.held_out_section import held_out_limits
from connfit.training import runs
from connfit.training.fitted import Fit

CONFIG = EvaluateConfig(free_run_warmup=30, horizon_starts=20, horizons=(1, 5), var_lags=(1,), free_run_runs=4)


def animal(name: str, seed: int, units: str = "abcdef", frames: int = 500) -> Recording:
    """An animal of a species: the same autoregression in all, of which `units` are seen."""
    mix = np.random.default_rng(99).normal(size=(6, 6))
    rng = np.random.default_rng(seed)
    x = np.zeros((frames, 6))
    for t in range(1, frames):
        x[t] = 0.8 * x[t - 1] + mix @ rng.normal(size=6)
    columns = ["abcdef".index(unit) for unit in units]
    return Recording(name, x[:, columns], tuple(units), 1.5).split(train=0.6, validation=0.15)


def with_values(recording: Recording, block: slice, seed: int = 0) -> Recording:
    """Other values in a block of frames."""
    values = recording.values.copy()
    values[block] = np.random.default_rng(seed).normal(size=values[block].shape)
    return replace(recording, values=values)


TRAINING = (animal("one", 1), animal("two", 2))


def test_a_cohort_takes_nothing_from_held_out_recordings() -> None:
    first, second = animal("one", 1, "abc"), animal("two", 2, "bcd")
    other = animal("other", 3, "fdab")
    cohort, without = Cohort.from_recordings([first, second], held_out=[other]), Cohort.from_recordings([first, second])
    assert cohort.units == without.units == ("a", "b", "c", "d")
    assert [one.name for one in cohort.recordings] == ["one", "two"]
    assert cohort.held_out[0].units == ("d", "a", "b")
    assert cohort.left_out == {"other": ("f",)}
    np.testing.assert_array_equal(cohort.mean_activity(), without.mean_activity())
    np.testing.assert_array_equal(cohort.change_variance(), without.change_variance())
    assert cohort.observations("train") == without.observations("train")


def test_a_held_out_recording_must_suit_the_others() -> None:
    first = animal("one", 1, "abc")
    with pytest.raises(DataError, match=r"'far' has none of the units that are fitted \(a, b, c\), but d, e"):
        Cohort.from_recordings([first], held_out=[animal("far", 2, "de")])
    with pytest.raises(DataError, match="different names, got one, one"):
        Cohort.from_recordings([first], held_out=[animal("one", 2, "abc")])
    with pytest.raises(DataError, match=r"'fast' has 3 frames/s, 'one' 1\.5"):
        Cohort.from_recordings([first], held_out=[replace(animal("fast", 2, "abc"), frame_rate=3.0)])


def test_a_pooled_autoregression_of_one_animal_is_its_own() -> None:
    own, pooled = VarRidge.fit(TRAINING[0], CONFIG), VarRidge.pooled([TRAINING[0]], TRAINING[0].units, CONFIG)
    np.testing.assert_allclose(pooled.coefficients, own.coefficients)
    assert pooled.parameters == own.parameters
    # Choosing units copies the values in another order of memory, and sums with it.
    tuned = pytest.approx(own.chosen["tuning_mse"], rel=1e-12)
    assert pooled.chosen == {**own.chosen, "units_fitted": 6, "tuning_mse": tuned}


def test_a_pooled_autoregression_learns_from_all_animals() -> None:
    unseen = animal("unseen", 7)
    few = [replace(one, mask=one.mask & (np.arange(500) > 240)[:, None]) for one in TRAINING]
    errors = [
        score(VarRidge.pooled(animals, unseen.units, CONFIG), unseen, CONFIG)["test"].one_step.mse
        for animals in ([few[0]], [few[1]], few)
    ]
    assert errors[2] < min(errors[:2])


def test_units_that_not_all_animals_have_are_predicted_not_to_change() -> None:
    unseen = animal("unseen", 7, "eadb")
    animals = [animal("one", 1, "abcd"), animal("two", 2, "dab")]
    model = VarRidge.pooled(animals, unseen.units, CONFIG)
    assert model.chosen["units_fitted"] == 3
    prediction = model.one_step(unseen)
    np.testing.assert_allclose(prediction[1:, 0], unseen.values[:-1, 0])
    alone = VarRidge.pooled(animals, "adb", CONFIG).one_step(unseen.select_units("adb"))
    np.testing.assert_allclose(prediction[:, 1:], alone)
    with pytest.raises(DataError, match="no unit is recorded in all"):
        VarRidge.pooled(animals, "ef", CONFIG)


def test_a_pooled_mean_is_over_the_animals_that_have_the_unit() -> None:
    first, second = animal("one", 1, "ab"), animal("two", 2, "b")
    means = Mean.pooled([first, second], ["b", "a", "z"]).means
    (x, _), (y, _) = first.part("train"), second.part("train")
    np.testing.assert_allclose(means, [np.concatenate([x[:, 1], y[:, 0]]).mean(), x[:, 0].mean(), np.nan])


def test_noise_is_whole_frames_of_other_animals() -> None:
    predicted = {one.name: Persistence().one_step(one) for one in TRAINING}
    pooled = residuals_of_others(predicted, TRAINING, TRAINING[0].units, 0)
    expected = [training_residuals(predicted[one.name], one) for one in TRAINING]
    np.testing.assert_array_equal(pooled.frames, np.concatenate(expected))
    assert (pooled.source, pooled.training_frames) == (OTHERS_RESIDUALS, 600)


def test_noise_of_a_unit_that_an_animal_lacks_comes_from_another_animal() -> None:
    first, second = animal("one", 1, "ab"), animal("two", 2, "bc")
    predicted = {one.name: Persistence().one_step(one) for one in (first, second)}
    pooled = residuals_of_others(predicted, [first, second], ["c", "b", "a"], 0).frames
    own, other = (training_residuals(predicted[one.name], one) for one in (first, second))
    assert pooled.shape == (len(own) + len(other), 3)
    np.testing.assert_array_equal(pooled[: len(own), [2, 1]], own)
    assert np.isin(pooled[: len(own), 0], other[:, 1]).all()
    np.testing.assert_array_equal(pooled[len(own) :, [1, 0]], other)
    assert np.isin(pooled[len(own) :, 2], own[:, 0]).all()
    nobody = residuals_of_others(predicted, [first, second], ["a", "z"], 0)
    assert len(nobody.frames) == 0


def test_scores_of_held_out_animals() -> None:
    unseen = (animal("unseen", 7), animal("other", 8, "fab"))
    pooled = cache(lambda units: VarRidge.pooled(TRAINING, units, CONFIG))
    model = pooled(TRAINING[0].units)

    class Model:
        """The pooled autoregression, asked for any of its units."""

        name = "model"

        def one_step(self, recording: Recording) -> np.ndarray:
            return pooled(recording.units).one_step(recording)

        def horizon(self, recording: Recording, starts: np.ndarray, steps: int) -> np.ndarray:
            return pooled(recording.units).horizon(recording, starts, steps)

        def free_run(
            self, recording: Recording, start: int, frames: int, warmup: int, noise: np.ndarray | None = None
        ) -> np.ndarray:
            return pooled(recording.units).free_run(recording, start, frames, warmup, noise)

    metrics, forecasts = evaluate_all(Model(), Persistence(), None, TRAINING, CONFIG, held_out=unseen)
    section = metrics.held_out
    assert section.trained_on == ("one", "two") and section.scored_part == "test"
    assert list(section.recordings) == list(forecasts.held_out) == ["unseen", "other"]
    detail = section.recordings["unseen"]
    expected = score(model, unseen[0], CONFIG)["test"]
    got = detail.parts[HELD_OUT]
    assert got.one_step == expected.one_step
    assert got.horizon_skill == expected.horizon_skill
    assert got.free_run_deterministic == expected.free_run_deterministic
    assert got.free_run.noise == OTHERS_RESIDUALS
    assert got.free_run.noise_frames == 2 * (300 - 30)
    # The model is the pooled baseline: they see the same noise.
    assert detail.baselines["var_ridge"].part(HELD_OUT) == got
    assert detail.baselines["var_ridge_own"].part(HELD_OUT).free_run.noise == "training residuals"
    assert set(section.baselines) == {*CONFIG.baselines, "var_ridge_own"}
    assert section.observations == {HELD_OUT: 125 * (6 + 3)}
    mse = [one.parts[HELD_OUT].one_step.mse for one in section.recordings.values()]
    assert section.parts[HELD_OUT].one_step.mse == pytest.approx(np.mean(mse))
    test = functional_connectivity(*unseen[0].part("test"))[np.triu_indices(6, 1)]
    mean = np.mean([functional_connectivity(*one.part("train")) for one in TRAINING], axis=0)[np.triu_indices(6, 1)]
    assert detail.data.fc_corr_training_animals_vs_test == pytest.approx(np.corrcoef(mean, test)[0, 1])
    assert section.at_initialisation[HELD_OUT].one_step.skill_vs_persistence == 0
    without, _ = evaluate_all(Model(), Persistence(), None, TRAINING, CONFIG)
    assert plain(replace(metrics, held_out=None)) == plain(without)


def test_nothing_is_learned_from_a_held_out_animal() -> None:
    """Its first frames change what has seen it and nothing else; no prediction changes with frames after it."""
    unseen = animal("unseen", 7)
    model = VarRidge.pooled(TRAINING, unseen.units, CONFIG)

    def section(one: Recording) -> tuple[HeldOut, Forecasts]:
        metrics, forecasts = evaluate_all(model, None, None, TRAINING, CONFIG, held_out=[one])
        return metrics.held_out, forecasts

    before, forecast = section(unseen)
    # Frames that neither the warm-up of the test part nor the lags reach.
    early, _ = section(with_values(unseen, slice(0, 300)))
    for name in CONFIG.baselines:
        assert before.baselines[name] == early.baselines[name], name
    assert before.parts == early.parts
    assert before.baselines["var_ridge_own"] != early.baselines["var_ridge_own"]
    _, changed = section(with_values(unseen, slice(400, 500)))
    ours, theirs = (one.held_out["unseen"].parts[HELD_OUT] for one in (forecast, changed))
    np.testing.assert_array_equal(ours.free_run, theirs.free_run)
    np.testing.assert_array_equal(ours.one_step[:25], theirs.one_step[:25])


def test_a_baseline_of_the_users_own_says_why_it_is_not_there() -> None:
    metrics, _ = evaluate_all(
        Persistence(), None, {"mine": lambda *_: Persistence()}, TRAINING, CONFIG, held_out=[animal("unseen", 7)]
    )
    assert "'mine'" in metrics.held_out.baselines["mine"].reason
    assert "there is no mine" in held_out_limits(metrics)[-1]


def test_mean_connectivity_is_over_the_animals_that_have_the_pair() -> None:
    first, second = animal("one", 1, "abc"), animal("two", 2, "bcd")
    mean = mean_connectivity([first, second], "adcb")
    own, other = (functional_connectivity(*one.part("train")) for one in (first, second))
    assert np.isnan(mean[0, 1]) and np.isnan(mean[1, 0])
    assert mean[0, 2] == own[0, 2] and mean[1, 3] == other[2, 0]
    assert mean[2, 3] == pytest.approx((own[2, 1] + other[1, 0]) / 2)


def test_forecasts_of_held_out_animals_survive_the_disk(tmp_path: Path) -> None:
    _, forecasts = evaluate_all(Persistence(), None, [], TRAINING, CONFIG, held_out=[animal("unseen", 7)])
    forecasts.save(tmp_path / "forecasts.npz")
    again = Forecasts.load(tmp_path / "forecasts.npz")
    assert (list(again.recordings), list(again.held_out)) == (["one", "two"], ["unseen"])
    before, after = (one.held_out["unseen"].parts[HELD_OUT] for one in (forecasts, again))
    np.testing.assert_allclose(after.free_run, before.free_run, rtol=1e-6)
    assert (after.start, after.free_run_noise) == (375, OTHERS_RESIDUALS)


def demo(**options) -> DataConfig:
    return DataConfig(dataset="demo", **options)


def test_all_recordings_are_those_that_are_not_held_out() -> None:
    config = demo(recordings=("all",), held_out=("4", "demo/2"))
    assert [one.name for one in recordings_from_config(config)] == ["demo/1", "demo/3"]
    held_out = held_out_from_config(config)
    assert [one.name for one in held_out] == ["demo/4", "demo/2"]
    assert held_out[0].parts == recordings_from_config(config)[0].parts
    assert held_out_from_config(demo(recordings=("all",))) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recordings": ("1", "2"), "held_out": ("demo/2",)}, "'demo/2'.*cannot be both trained on and held out"),
        ({"held_out": ("1",)}, "the first, which is the default"),
        ({"recordings": ("all",), "held_out": ("1", "2", "3", "4")}, "nothing is left to train on"),
        ({"recordings": ("1",), "held_out": ("all",)}, "leaves nothing to train on"),
        ({"recordings": ("1",), "held_out": ("2", "2")}, "named twice|names a recording twice"),
        ({"recordings": ("1",), "held_out": ("5",)}, "demo/5.*must be one of"),
    ],
)
def test_mistakes_in_what_is_held_out_are_named(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recordings_from_config(demo(**options))
        held_out_from_config(demo(**options))


def own(folder: Path, *assignments: str) -> Config:
    return configuration.override(configuration.read(folder / "own.toml"), assignments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of two recordings, and a run that holds out the second."""
    folder = tmp_path_factory.mktemp("held_out")
    write_files(folder, whole_evaluation=True)
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> tuple[Path, Fit, Evaluation]:
    """A run that holds out the second recording, evaluated."""
    out = folder / "run"
    fitted = runs.start(own(folder, 'data.held_out=["movie2"]', "train.epochs=2"), out)
    untrained = pooled_scores(fitted.initial_forecaster(), fitted.cohort.recordings, own(folder).evaluate)
    nulls = {"degree_preserving": NullScores(**untrained, what="the same degrees, partners drawn at random")}
    return out, fitted, evaluate_run(fitted, out, nulls=nulls)


def test_a_fit_is_the_same_whatever_is_held_out(folder: Path, finished: tuple[Path, Fit, Evaluation]) -> None:
    alone = own(folder, "train.epochs=2", f'data.recording_files.files=["{folder}/movie1.npz"]')
    expected = runs.prepare(alone).fit()
    for key, value in expected.params.items():
        np.testing.assert_array_equal(finished[1].params[key], value)


def test_the_record_says_what_was_held_out(folder: Path, finished: tuple[Path, Fit, Evaluation]) -> None:
    out, _, _ = finished
    record = json.loads((out / "record.json").read_text())
    assert list(record["recordings"]) == ["movie1"] and list(record["held_out"]) == ["movie2"]
    assert record["held_out"]["movie2"]["left_out"] == []
    assert record["observed"]["train"] == UNITS * 120
    assert configuration.read(out / "config.json").data.held_out == ("movie2",)
    loaded = runs.load_fit(out)
    assert [one.name for one in loaded.cohort.held_out] == ["movie2"]
    movie = folder / "movie2.npz"
    kept = movie.read_bytes()
    with np.load(movie) as file:
        arrays = dict(file)
    try:
        np.savez(movie, **{**arrays, "values": arrays["values"] + 1})
        with pytest.raises(DataError, match="not those that this run was made from"):
            runs.load_fit(out)
    finally:
        movie.write_bytes(kept)


def test_the_model_predicts_an_animal_that_it_was_not_fitted_to(finished: tuple[Path, Fit, Evaluation]) -> None:
    _, fitted, metrics = finished
    scores = metrics.held_out.parts[HELD_OUT]
    assert scores.frames == FRAMES - 160
    prediction = fitted.forecaster().one_step(fitted.cohort.held_out[0])
    test = fitted.cohort.held_out[0].values[160:]
    assert scores.one_step.mse == pytest.approx(np.mean((prediction[160:] - test) ** 2), rel=1e-4)
    assert "held_out" not in metrics.parts and set(metrics.parts) == {"train", "validation", "test"}


def test_the_table_shows_held_out_animals_and_null_connectomes(finished: tuple[Path, Fit, Evaluation]) -> None:
    text = io.StringIO()
    print_table(finished[2], Console(file=text, width=80, color_system=None))
    shown = text.getvalue()
    assert all(len(line) <= 80 for line in shown.splitlines())
    for words in (
        "1 held-out animal, test part",
        "Own VAR",
        "does not compete",
        "null: degree",
        "of the other animals",
    ):
        assert words in " ".join(shown.split()), words
    assert "…" not in shown, "a column was cut"


def test_what_has_seen_the_animal_does_not_win() -> None:
    ours, better = (PartScores(one_step=OneStep(mse=mse)) for mse in (1.0, 0.5))
    scores = HeldOut(parts={HELD_OUT: ours}, baselines={"var_ridge_own": BaselineScores(held_out=better)})
    row = comparison(scores, HELD_OUT)[0]
    assert row.values == {"model": 1.0, "own VAR": 0.5}
    assert row.winners == ("model",)


def test_the_report_has_a_section_for_them(
    tmp_path: Path, finished: tuple[Path, Fit, Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_dots(monkeypatch.setattr)
    out, _, metrics = finished
    shutil.copy(out / "forecasts.npz", tmp_path)
    write_json(tmp_path / "metrics.json", metrics)
    html = write_report(tmp_path).read_text()
    for words in ("Held-out animals", "Held out: movie2.", "own VAR", "null: degree preserving", "drawn at random"):
        assert words in html, words
    assert (tmp_path / "figures" / "functional_connectivity_held_out.png").exists()
    (tmp_path / "forecasts.npz").unlink()
    write_json(tmp_path / "metrics.json", replace(metrics, held_out=None, nulls={}))
    assert "Held-out animals</h2>" not in write_report(tmp_path).read_text()


def test_limits_of_what_holds_for_other_animals() -> None:
    def limits(skill: float, fc: float) -> list[str]:
        scores = {
            "parts": {HELD_OUT: {"one_step": {"skill_vs_persistence": skill}, "free_run": {"fc_corr": fc}}},
            "data": {"fc_corr_training_animals_vs_test": 0.6},
        }
        return held_out_limits(replace(here, held_out=as_result(scores, HeldOut)))

    here = Evaluation(parts={"test": PartScores(one_step=OneStep(skill_vs_persistence=0.3))})
    assert limits(0.29, 0.7) == []
    worse = " ".join(limits(-0.1, 0.5))
    for words in ("persistence is not beaten", "0.400 lower on held-out", "at 0.500, below the 0.600"):
        assert words in worse
    assert held_out_limits(here) == []
