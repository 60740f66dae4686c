"""What choices of a fit rest on where recordings are long, and windows that are cut block by block."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import student, write_files

from connfit.config import TrainConfig, override, read
from connfit.evaluation.baselines.persistence import Persistence
from connfit.recordings import Parts, Recording, frame_blocks
from connfit.recordings.cohort import Cohort
from connfit.recordings.preprocess import scale
from connfit.recordings.readers.frames import settle_missing
from connfit.training import fit as fitting
from connfit.training import long_recordings, problem
from connfit.training.learners import WindowedLearner
from connfit.training.learning_rates import parameter_sizes
from connfit.training.long_recordings import Finite, bounds, compared, tried
from connfit.training.trainer import Trainer

UNITS = ("a", "b", "c")


def cohort(frames: int = 200, blocks: tuple[tuple[int, int], ...] = ()) -> Cohort:
    values = np.random.default_rng(0).normal(size=(frames, 3)).cumsum(axis=0).astype(np.float32)
    parts = Parts((0, 120), (125, 160), (165, frames))
    return Cohort.from_recordings([Recording("movie", values, UNITS, 2.0, parts=parts, blocks=blocks)])


def with_gap(whole: Cohort, frames: slice, unit: int) -> Cohort:
    (recording,) = whole.recordings
    mask = recording.mask.copy()
    mask[frames, unit] = False
    return replace(whole, recordings=(replace(recording, mask=mask),))


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_recordings, "MOST_TRIED", 40)
    monkeypatch.setattr(long_recordings, "FEWEST_TRIED", 1)
    monkeypatch.setattr(long_recordings, "MOST_COMPARED", 20)


def test_fewer_frames_of_many_units_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_recordings, "MOST_VALUES", 3 * 50)
    for fewest, frames in ((10, 50), (60, 60)):
        monkeypatch.setattr(long_recordings, "FEWEST_TRIED", fewest)
        assert tried(cohort()).recordings[0].require_parts().length("train") == frames


def test_recordings_of_usual_length_are_used_whole() -> None:
    whole = cohort()
    assert compared(whole) is whole and tried(whole) is whole and bounds(whole) is None


@pytest.mark.usefixtures("bounded")
def test_the_last_training_frames_and_the_first_validation_frames_are_tried() -> None:
    whole = cohort()
    (before,), (short,) = whole.recordings, tried(whole).recordings
    parts = short.require_parts()
    assert [parts.length(part) for part in ("train", "validation", "test")] == [40, 20, 0]
    np.testing.assert_array_equal(short.part("train")[0], before.values[80:120])
    np.testing.assert_array_equal(short.part("validation")[0], before.values[125:145])
    assert short.frames == 65 and np.shares_memory(short.values, before.values)
    (seen,) = compared(whole).recordings
    assert seen.require_parts() == Parts((0, 120), (125, 145), (165, 200)) and seen.values is before.values
    said = bounds(whole)
    assert said is not None and "last 40 training frames" in said and "first 20 validation frames" in said


@pytest.mark.usefixtures("bounded")
def test_blocks_are_cut_with_the_frames() -> None:
    (short,) = tried(cohort(blocks=((0, 60), (60, 90), (90, 125), (125, 200)))).recordings
    assert short.blocks == ((0, 10), (10, 45), (45, 65))


@pytest.mark.usefixtures("bounded")
def test_more_frames_are_taken_where_a_unit_would_not_count() -> None:
    silent = with_gap(cohort(), slice(60, 120), 1)
    assert tried(silent).recordings[0].require_parts().length("train") == 80
    assert tried(with_gap(cohort(), slice(0, 119), 1)).recordings[0].require_parts().length("train") == 120
    assert tried(cohort(), warmup_frames=60).recordings[0].require_parts().length("train") == 80
    late = with_gap(cohort(), slice(125, 150), 2)
    assert compared(late).recordings[0] is late.recordings[0]
    never = with_gap(cohort(), slice(125, 160), 2)
    assert compared(never).recordings[0].require_parts().length("validation") == 20


def test_windows_are_the_same_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = with_gap(with_gap(cohort(), slice(17, 44), 0), slice(0, 9), 2)
    for substeps in (1, 3):
        one = replace(whole, substeps=substeps)
        weights = np.random.default_rng(1).random((3, 1))
        for block in ((0, 120), (165, 200)):
            monkeypatch.setattr(frame_blocks, "BLOCK_VALUES", 2**18)
            expected = list(one.windows(8, [block], [0], weights, warmup_frames=3))
            # Five windows, of which the values beyond the training range must be carried into the next.
            monkeypatch.setattr(frame_blocks, "BLOCK_VALUES", 5 * 8 * 3)
            found = list(one.windows(8, [block], [0], weights, warmup_frames=3))
            assert len(found) == len(expected) == -(-substeps * (block[1] - max(block[0], 1)) // 8)
            for window, other in zip(found, expected, strict=True):
                for here, there in zip(window[:4], other[:4], strict=True):
                    np.testing.assert_array_equal(here, there)


def test_what_lay_beyond_the_range_is_carried_over_a_gap() -> None:
    """The test part starts in a gap: the last value of the unit, beyond what training showed, is in every target."""
    values = np.tile(np.float32([[1.0], [2.0]]), (50, 1))
    values[70] = 5.0
    mask = np.ones((100, 1), bool)
    mask[71:90] = False
    recording = Recording("movie", values, ("a",), 2.0, mask=mask, parts=Parts((0, 60), (60, 75), (75, 100)))
    one = Cohort.from_recordings([recording])
    window = next(one.windows(20, [(75, 100)], [0], np.ones((1, 1))))
    np.testing.assert_array_equal(window.weights[:, 0, 0], mask[75:95, 0])
    # Training showed 1 to 2, so that 3 is beyond until the next value is there.
    assert window.targets[15, 0, 0] == values[90, 0] - 3.0
    assert window.targets[16, 0, 0] == values[91, 0]


def test_starts_and_rates_are_tried_on_few_frames_and_epochs_compared_on_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_recordings, "MOST_TRIED", 50)
    monkeypatch.setattr(long_recordings, "FEWEST_TRIED", 1)
    monkeypatch.setattr(long_recordings, "MOST_COMPARED", 20)
    lengths: dict[str, set[int]] = {"candidates": set(), "trials": set(), "epochs": set(), "compared": set()}
    model_of, epoch_of, validated = problem.untrained_model, Trainer.epoch, fitting.Trainer.validate

    def untrained(options: Any, seed: int, connectome: Any, trained: Cohort, *others: Any) -> Any:
        lengths["candidates"].add(trained.recordings[0].require_parts().length("train"))
        return model_of(options, seed, connectome, trained, *others)

    def epoch(self: Trainer, state: Any) -> Any:
        kind = "epochs" if state.rates.trials else "trials"
        lengths[kind].add(self.cohort.recordings[0].require_parts().length("train"))
        return epoch_of(self, state)

    def validation(self: Trainer, params: Any) -> Any:
        assert self.comparison is not None
        lengths["compared"].add(self.comparison.cohort.recordings[0].require_parts().length("validation"))
        return validated(self, params)

    monkeypatch.setattr(problem, "untrained_model", untrained)
    monkeypatch.setattr(Trainer, "epoch", epoch)
    monkeypatch.setattr(Trainer, "validate", validation)
    config = override(read(write_files(tmp_path)), [
        "train.epochs=1", "train.free_run_epochs=0", "train.learning_rate=auto", "model.drive_start=persistence",
        "model.state_forcing=auto",
    ])  # fmt: skip
    job = problem.prepare(config)
    whole = job.cohort.recordings[0].require_parts()
    assert whole.length("train") > 50 and whole.length("validation") > 20
    # The start that was chosen is then made from all of them.
    assert lengths["candidates"] == {50, whole.length("train")}
    job.fit()
    assert lengths["trials"] == {50} and lengths["epochs"] == {whole.length("train")} and lengths["compared"] == {20}


def test_a_trial_that_diverges_on_other_frames_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_recordings, "MOST_TRIED", 60)
    monkeypatch.setattr(long_recordings, "FEWEST_TRIED", 1)
    one, whole = student(), student().cohort.recordings[0].require_parts().length("train")
    poor = {**one.params, "bias": one.params["bias"] + 0.3}
    config = TrainConfig(epochs=1, free_run_epochs=0, learning_rate="auto", warmup_frames=5, select_on="one_step")

    def history(finite: bool) -> tuple[dict, ...]:
        monkeypatch.setattr(
            Trainer, "stays_finite",
            lambda self, _: finite or self.cohort.recordings[0].require_parts().length("train") < whole,
        )  # fmt: skip
        return fitting.train(one.model, poor, one.cohort, WindowedLearner(8), config).history

    assert any(row["phase"].startswith("trial") for row in history(finite=True))
    assert not any(row["phase"].startswith("trial") for row in history(finite=False))


def test_predictions_that_stop_being_finite_are_noticed_without_being_kept() -> None:
    watched = Finite((4, 2))
    watched[1:3] = np.ones((2, 2))
    assert watched.all
    watched[3:4] = [[1.0, np.inf]]
    watched[0:1] = np.ones((1, 2))
    assert not watched.all
    with pytest.raises(TypeError, match="not kept"):
        watched[0]


def held_at_most(work: Callable[[], object]) -> int:
    """Bytes of arrays that are held at once while something is done, beside those from before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def long_movie() -> Recording:
    values = np.random.default_rng(0).normal(size=(150_000, 20)).astype(np.float32)
    parts = Parts((0, 90_000), (90_000, 112_500), (112_500, 150_000))
    return Recording("long", values, tuple(f"u{k}" for k in range(20)), 2.0, parts=parts)


def test_a_long_recording_is_scaled_and_cut_into_windows_without_a_second_copy(long_movie: Recording) -> None:
    size = long_movie.values.nbytes
    # The scaled values and their mask; a block of 2 MB is there several times.
    assert held_at_most(lambda: scale(long_movie)) < 3 * size
    cohort = Cohort.from_recordings([long_movie])
    weights = np.ones((20, 1))
    blocks = [long_movie.require_parts().train]
    assert held_at_most(lambda: list(islice(cohort.windows(16, blocks, [0], weights), 30))) < 1.5 * size
    assert held_at_most(lambda: replace(long_movie, name="other")) < 0.5 * size
    values, mask, count = settle_missing(long_movie.values, long_movie.units, Path("a.npz"), missing="error")
    assert values is long_movie.values and mask.all() and not count
    read = partial(settle_missing, long_movie.values, long_movie.units, Path("a.npz"), missing="error")
    assert held_at_most(read) < 1.2 * size
    assert held_at_most(cohort.mean_activity) < size
    starts = np.linspace(112_500, 149_000, 128).astype(int)
    assert held_at_most(lambda: Persistence().horizon(long_movie, starts, 1)) < 0.1 * size
    gap = replace(long_movie, mask=np.arange(150_000)[:, None] != starts[3] + np.zeros(20, int))
    assert held_at_most(lambda: Persistence().horizon(gap, starts, 1)) < 2 * size
    held = Persistence().horizon(gap, starts, 2)
    np.testing.assert_array_equal(held, Persistence().one_step_and_horizon(gap, starts, 2)[1])
    np.testing.assert_array_equal(held[3, 1], long_movie.values[starts[3] - 1])


def test_constants_and_fingerprints_are_the_same_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = ["model.drive_start=persistence", "model.state_forcing=1", "model.time_constant_frames=1",
             "model.weights=counts", "model.own_shrinkage=0", "model.drive_ridge=0"]  # fmt: skip
    config = override(read(write_files(tmp_path)), fixed)
    before = problem.prepare(config)
    sizes = parameter_sizes(before.model, before.params, before.cohort)
    monkeypatch.setattr(frame_blocks, "BLOCK_VALUES", 500)
    after = problem.prepare(config)
    assert after.fingerprint() == before.fingerprint() and after.cautions() == before.cautions()
    assert parameter_sizes(after.model, before.params, after.cohort) == pytest.approx(sizes, rel=1e-6)
    for here, there in zip(after.cohort.recordings, before.cohort.recordings, strict=True):
        assert here.steps == there.steps
        np.testing.assert_array_equal(here.values, there.values)
