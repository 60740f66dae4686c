"""Parts that a default empties, recordings that add nothing, and a fit that does not depend on later frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import FRAME_RATE, UNITS, student, teacher, write_files

from connfit import config as configuration
from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.evaluation.evaluate_run import evaluate_run
from connfit.recordings import Parts, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.preprocess.step_record import long_gaps
from connfit.training import runs
from connfit.training.fed_back_units import fed_back_units
from connfit.training.fit import train
from connfit.training.fitted import Fit
from connfit.training.learners import WindowedLearner
from connfit.training.problem import prepare
from connfit.training.validation import members_left_out


def fit_of(recordings: list[Recording], **options: object) -> Fit:
    """A fit from a start that any training improves."""
    one = student()
    start = {**one.params, "bias": one.params["bias"] + 0.3}
    usual = {"epochs": 2, "learning_rate": 0.01, "warmup_frames": 5, "select_on": "one_step"}
    config = TrainConfig(**{**usual, **options})  # type: ignore[arg-type]
    return train(one.model, start, Cohort.from_recordings(recordings), WindowedLearner(8), config)


def cut(movie: Recording, frames: int, *, name: str | None = None, validation: float = 0.2) -> Recording:
    """The first frames of a movie, with parts of their own."""
    short = replace(movie, values=movie.values[:frames], mask=movie.mask[:frames], parts=None)
    return replace(short, name=name or movie.name).split(train=0.6, validation=validation)


def test_short_recordings_with_the_default_warm_up_are_an_error() -> None:
    """30 frames, of which 18 train: the default warm-up of 20 frames leaves nothing."""
    movies = [cut(movie, 30) for movie in teacher()[1]]
    with pytest.raises(ConfigError) as caught:
        fit_of(movies, warmup_frames=TrainConfig().warmup_frames)
    said = str(caught.value)
    assert "train.warmup_frames = 20 leaves nothing to train on" in said
    assert "'movie 1'" in said and "18 frames" in said and "Set train.warmup_frames to 4 or less" in said
    assert fit_of(movies, warmup_frames=4).history[0]["train_loss"] > 0


@pytest.mark.parametrize(("warmup", "scored"), [(18, 0), (17, 0), (16, 1)])
def test_the_last_warm_up_that_leaves_a_frame(warmup: int, scored: int) -> None:
    movies = [cut(movie, 30) for movie in teacher()[1]]
    assert Cohort.from_recordings(movies).scored("train", warmup_frames=warmup) == [scored * UNITS] * 2
    if scored:
        assert len(fit_of(movies, warmup_frames=warmup).history) == 2
    else:
        with pytest.raises(ConfigError, match="leaves nothing to train on"):
            fit_of(movies, warmup_frames=warmup)


def test_a_run_of_short_recordings_leaves_no_folder(tmp_path: Path) -> None:
    config = configuration.read(write_files(tmp_path))
    config = configuration.override(config, ["train.warmup_frames=130"])
    with pytest.raises(ConfigError, match=r"train\.warmup_frames = 130"):
        runs.start(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_short_member_of_a_cohort_is_named_and_not_counted(tmp_path: Path) -> None:
    path = write_files(tmp_path)
    movie = teacher()[1][1]
    np.savez(tmp_path / "movie2.npz", values=movie.values[:30], units=np.array(movie.units), frame_rate=FRAME_RATE)
    config = configuration.override(configuration.read(path), ["train.warmup_frames=20", "train.epochs=1"])
    job = prepare(config)
    assert job.observations()["train"] == (120 - 1 - 20) * UNITS
    said = [one for one in job.cautions() if "contributes nothing to the loss" in one]
    assert len(said) == 1 and said[0].startswith("movie2: ") and "18 training frames" in said[0]
    out = tmp_path / "out"
    fitted = runs.start(configuration.override(config, ["train.free_run_epochs=0", 'evaluate.baselines=["mean"]']), out)
    record = json.loads((out / "record.json").read_text())
    assert said[0] in record["cautions"]
    assert record["observations"]["train"] == (120 - 1 - 20) * UNITS
    assert record["observed"]["train"] == (120 + 18) * UNITS
    metrics = evaluate_run(fitted, out)
    assert metrics.observations == record["observations"]
    assert metrics.recordings["movie2"].observations["train"] == 0
    assert metrics.observed["train"] == (120 + 18) * UNITS
    # What is counted is what the evaluation scores one frame ahead.
    for part in ("validation", "test"):
        assert metrics.observations[part] == metrics.parts[part].one_step.scored


def test_observations_are_the_values_in_the_loss() -> None:
    """Entries of the windows with a weight, missing ones left out."""
    rng = np.random.default_rng(3)
    movies = [replace(movie, mask=rng.random(movie.mask.shape) < 0.8) for movie in teacher()[1]]
    cohort = Cohort.from_recordings(movies)
    blocks = [one.require_parts().train for one in movies]
    windows = cohort.windows(8, blocks, [0, 1], np.ones((UNITS, 2)), warmup_frames=7)
    assert sum(cohort.scored("train", warmup_frames=7)) == sum(int((one.weights > 0).sum()) for one in windows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0.02}, "leaves the validation part without a frame"),
        ({"validation": 0.1, "gap": 2}, "gap = 2 leaves the validation part without a frame"),
    ],
)
def test_a_validation_part_that_rounds_to_nothing_is_an_error(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Parts.of(20, train=0.6, **options)


def test_a_validation_part_in_which_nothing_is_scored_is_an_error() -> None:
    movies = []
    for movie in teacher()[1]:
        mask = movie.mask.copy()
        mask[movie.require_parts()["validation"]] = False
        movies.append(replace(movie, mask=mask))
    with pytest.raises(
        ConfigError, match=r"data\.validation leaves nothing to compare epochs by.*'movie 1'.*40 frames"
    ):
        fit_of(movies)
    # What to do is not 'one_step', in which nothing is scored either.
    with pytest.raises(ConfigError, match=r"data\.validation leaves nothing to compare epochs by"):
        fit_of(movies, select_on="horizon")
    for movie in movies:
        movie.mask[movie.require_parts().validation[1] - 2 : movie.require_parts().validation[1]] = True
    with pytest.raises(ConfigError, match=r"select_on = 'horizon' finds no unit .* 1 frame later"):
        fit_of(movies, select_on="horizon")


def test_members_too_short_for_the_horizons_and_tests_without_values_are_named() -> None:
    long, other = teacher()[1]
    short = cut(other, 40)
    mask = long.mask.copy()
    mask[long.require_parts()["test"]] = False
    cohort = Cohort.from_recordings([replace(long, mask=mask), short])
    said = members_left_out(cohort, TrainConfig(select_on="horizon", warmup_frames=5))
    assert len(said) == 2
    assert said[0].startswith("movie 1: nothing is scored in its 40 test frames")
    assert said[1].startswith("movie 2: its 8 validation frames are too few for 10 frames ahead")
    # Such a member does not stop the others from being compared by their horizons.
    assert np.isfinite(fit_of([long, short], epochs=1, select_on="horizon").history[0]["selection"])


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_units_that_a_part_does_not_score_are_named(part: str) -> None:
    """One unit is missing in a part: the rest is scored, and the user is told which one is not."""
    movie = teacher()[1][0]
    mask = movie.mask.copy()
    block = movie.require_parts()[part]
    mask[block.start + (6 if part == "train" else 0) : block.stop, 2] = False
    mask[block.start : block.stop : 2, 1] &= part == "train"  # never in two frames in a row
    said = members_left_out(Cohort.from_recordings([replace(movie, mask=mask)]), TrainConfig(warmup_frames=5))
    names = movie.units[2] if part == "train" else f"{movie.units[1]}, {movie.units[2]}"
    assert len(said) == 1 and f"not scored in the {part} part" in said[0] and said[0].endswith(f": {names}")
    assert members_left_out(Cohort.from_recordings([movie]), TrainConfig(warmup_frames=5)) == []


def test_a_fit_does_not_depend_on_the_test_part() -> None:
    """Values and mask of the test part changed: not one bit of the parameters or of the history may be another."""
    rng = np.random.default_rng(0)
    options = {"epochs": 2, "free_run_epochs": 1, "free_run_frames": 4, "forced_frames": 4}
    before = fit_of(list(teacher()[1]), **options)

    def changed(movie: Recording, *, missing: float) -> Recording:
        values, mask = movie.values.copy(), movie.mask.copy()
        part = movie.require_parts()["test"]
        mask[part] = rng.random(mask[part].shape) >= missing
        values[part] = np.where(mask[part], 50 * rng.normal(size=mask[part].shape), np.nan)
        return replace(movie, values=values, mask=mask)

    assert before.trained
    for missing in (0.0, 0.3, 1.0):
        after = fit_of([changed(movie, missing=missing) for movie in teacher()[1]], **options)
        for key, value in before.params.items():
            np.testing.assert_array_equal(value, after.params[key], err_msg=f"{key}, {missing:.0%} missing")
        for one, other in zip(before.history, after.history, strict=True):
            assert {k: one[k] for k in ("train_loss", "selection")} == {
                k: other[k] for k in ("train_loss", "selection")
            }


def test_which_units_are_fed_back_is_decided_by_training_frames_alone() -> None:
    """Units of the model's own prediction enter sums apart, which rounds differently: in long fits that is seen."""
    movies = [replace(one, mask=one.mask.copy()) for one in teacher()[1]]
    movies[0].mask[10, 1] = False  # in the training part

    def listed() -> list[list[int]]:
        units = fed_back_units(Cohort.from_recordings(movies), 1)
        assert units is not None
        return [np.asarray(units([member])).tolist() for member in range(len(movies))]

    before = listed()
    assert 1 in before[0]
    for one in movies:
        one.mask[one.require_parts().validation[0] :, ::2] = False
    assert listed() == before


def test_gaps_of_preprocessing_end_with_their_part() -> None:
    """Two missing frames at the end of validation are no long gap because the test part goes on without values."""
    movie = teacher()[1][0]
    mask = movie.mask.copy()
    stop = movie.require_parts().validation[1]
    mask[stop - 2 :] = False
    gaps = long_gaps(replace(movie, mask=mask), 5)
    assert not gaps[:stop].any() and gaps[stop:].all()
