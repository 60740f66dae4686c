"""Baselines of long recordings, block by block, and of wide ones: the same numbers in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from small import first_fast
from test_gaps import blanked, gappy, process, recording

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation import left_out_ridge, scratch
from connfit.evaluation.baselines import (
    BASELINES,
    choosing,
    gap_moments,
    gru,
    linear_problem,
    own_moments,
    recurrent_training,
    system_moments,
)
from connfit.evaluation.baselines.gap_filter import GapFilter, OwnFilter, filtered_pasts
from connfit.evaluation.baselines.processes import LowRank, OwnProcess
from connfit.evaluation.baselines.unit_scaling import Scaling, Stretch, pooled_means
from connfit.evaluation.forecasts import SharingForecaster
from connfit.evaluation.left_out_path import OthersPath
from connfit.evaluation.left_out_ridge import OthersRidge
from connfit.recordings import Recording, frame_blocks

CONFIG = EvaluateConfig(var_lags=(1, 2), ar_orders=(1, 2, 4), latent_dimensions=(2,))
LINEAR = ["ar", "var_ridge", "var_around_ar", "reduced_rank"]
JOINT = ["var_ridge", "var_around_ar", "reduced_rank"]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the values in a block."""

    def cut(values: int) -> None:
        for module in (frame_blocks, gap_moments, own_moments):
            monkeypatch.setattr(module, "BLOCK_VALUES", values)
        monkeypatch.setattr(system_moments, "LONGEST", values // 4)

    return cut


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[scratch.Scratch]:
    """Arrays that are in a file however small they are."""
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    with scratch.scratch() as found:
        yield found


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gru, "HIDDEN", 8)
    monkeypatch.setattr(recurrent_training, "MAX_STEPS", 10)
    monkeypatch.setattr(recurrent_training, "TRIALS", 1)


def answers(model: SharingForecaster, one: Recording, room: scratch.Scratch | None = None) -> list[np.ndarray]:
    """One-step predictions, those ahead, and free runs with noise and without; in the room where that is given."""
    (frames, units), starts = one.values.shape, np.array([0, 1, one.frames // 2, one.frames - 9])
    noise = np.random.default_rng(0).normal(size=(3, 70, units))
    out = runs = None
    if room is not None:
        out, runs = room.array(frames, units), (room.array(3, 70, units), room.array(70, units))
        stored, noise = noise, room.array(3, 70, units)
        noise[:] = stored
    step, ahead = model.one_step_and_horizon(one, starts, 8, out)
    driven, quiet = model.free_runs(one, 40, 70, 13, noise, runs)
    if out is not None and runs is not None:
        assert step is out and driven is runs[0] and quiet is runs[1]
    return [np.asarray(each[:]) for each in (step, ahead, driven, quiet)]


@pytest.mark.parametrize("name", list(BASELINES))
def test_answers_are_the_same_in_blocks_in_a_file(
    name: str, small_networks: None, small_blocks: Callable[[int], None], room: scratch.Scratch
) -> None:
    one = blanked(recording(150, 4), "0.1")
    model = BASELINES[name](one, CONFIG)
    assert isinstance(model, SharingForecaster)
    whole = answers(model, one)
    # Networks run in single precision, several runs side by side add up in another order than one, and 70 steps that
    # feed on each other make more of that.
    networks = name in ("gru", "region_rnn")
    close = {"rtol": 1e-4, "atol": 1e-4} if networks else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(model.one_step(one), whole[0], **close)
    np.testing.assert_allclose(model.free_run(one, 40, 70, 13), whole[3], **close)
    small_blocks(28)
    for got, expected in zip(answers(model, one, room), whole, strict=True):
        np.testing.assert_allclose(got, expected, **(close if networks else {"rtol": 1e-9, "atol": 1e-9}))


@pytest.mark.parametrize("name", [*LINEAR, "lds"])
@pytest.mark.parametrize("kind", first_fast(["blocks", "0.0", "0.15"], 1))
def test_fits_are_the_same_in_blocks(name: str, kind: str, small_blocks: Callable[[int], None]) -> None:
    one = blanked(recording(160, 4), kind)
    whole = BASELINES[name](one, CONFIG)
    small_blocks(48)
    cut = BASELINES[name](one, CONFIG)
    assert cut.parameters == whole.parameters
    # Sums in another order, through some steps of expectation maximisation.
    np.testing.assert_allclose(cut.one_step(one), whole.one_step(one), rtol=1e-6, atol=1e-6)


def test_scales_and_pooled_means_are_the_same_in_blocks(small_blocks: Callable[[int], None]) -> None:
    one, other = blanked(recording(), "0.2"), replace(blanked(recording(seed=8), "0.2"), name="other")
    whole, means = Scaling.of(one.values, one.mask), pooled_means([one, other], one.units)
    small_blocks(100)
    cut = Scaling.of(one.values, one.mask)
    np.testing.assert_array_equal(cut.means, whole.means)
    np.testing.assert_array_equal(cut.stds, whole.stds)
    # Columns that are selected lie side by side in memory, and are summed pairwise.
    np.testing.assert_allclose(pooled_means([one, other], one.units), means, rtol=1e-12)


@pytest.mark.parametrize("own", [False, True])
def test_windows_that_slide_are_what_the_filter_knows_frame_by_frame(
    own: bool, small_blocks: Callable[[int], None]
) -> None:
    """Gaps begin and end inside blocks, and whole frames lie between them."""
    rng = np.random.default_rng(1)
    z, seen = rng.normal(size=(90, 3)), np.ones((90, 3), bool)
    seen[12:15, 1] = seen[31:33] = seen[60:75, 2] = False
    joint = process(rng)
    one = OwnProcess(0.4 * rng.normal(size=(2, 3)), np.zeros(3), np.ones(3)) if own else joint
    correlations = np.array([1.0, 0.7])[:, None] * np.ones((2, 3))
    filter_ = OwnFilter(one, correlations) if isinstance(one, OwnProcess) else GapFilter(one, correlations)
    expected = [filter_.past]
    for frame, there in zip(np.where(seen, z, 0.0), seen, strict=True):
        filter_.advance(frame, there)
        expected.append(filter_.past)
    small_blocks(3 * 20)
    blocks = list(filtered_pasts(one, correlations, Stretch.held(z, seen)))
    assert [first for first, _, _ in blocks] == [0, 20, 40, 60, 80]
    for first, rows, _ in blocks:
        np.testing.assert_array_equal(rows, expected[first : first + len(rows)])


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python and NumPy held at most."""
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BASELINES))
def test_memory_of_the_answers_does_not_grow_with_the_recording(
    name: str, small_networks: None, small_blocks: Callable[[int], None], room: scratch.Scratch
) -> None:
    small_blocks(1_000)
    short, long = recording(200, 16), recording(1_600, 16)
    model = BASELINES[name](short, CONFIG)
    found = []
    for one in (short, short, long):
        frames = one.frames - 100
        out, runs = room.array(*one.values.shape), (room.array(2, frames, 16), room.array(frames, 16))
        noise = room.array(2, frames, 16)
        noise[:] = 0.0

        def work(one: Recording = one, out=out, runs=runs, noise=noise, frames: int = frames) -> None:
            model.one_step_and_horizon(one, np.array([0, 150]), 5, out)
            model.free_runs(one, 100, frames, 50, noise, runs)

        found.append(peak(work))
    # One array of the long recording in double precision has 200 kB, its free runs 400.
    assert found[2] - found[1] < 70_000


@pytest.mark.parametrize("name", ["mean", "ar", *JOINT, "others"])
def test_memory_of_a_fit_does_not_grow_with_the_recording(
    name: str, monkeypatch: pytest.MonkeyPatch, small_blocks: Callable[[int], None]
) -> None:
    small_blocks(2_000)
    monkeypatch.setattr(choosing, "MOST_TUNING_FRAMES", 50)
    fit = OthersRidge.fit if name == "others" else BASELINES[name]
    short, long = recording(400, 16), recording(3_200, 16)
    found = [peak(lambda one=one: fit(one, CONFIG)) for one in (short, short, long)]
    assert found[2] - found[1] < 100_000


def test_memory_of_a_fit_with_gaps_does_not_grow_with_the_recording(small_blocks: Callable[[int], None]) -> None:
    small_blocks(300)
    one = process(np.random.default_rng(0))
    single = OwnProcess(0.3 * np.ones((2, 3)), np.zeros(3), np.ones(3))
    found = []
    for frames in (300, 300, 1_200):
        rng = np.random.default_rng(0)
        stretch = Stretch.held(rng.normal(size=(frames, 3)), gappy(rng, frames, 3))
        joint = peak(lambda stretch=stretch: gap_moments.expected_moments(one, [stretch], [2, 3]))
        found.append((joint, peak(lambda stretch=stretch: own_moments.own_moments(single, [stretch], [2, 3]))))
    # With the covariances of all frames they grow by megabytes.
    assert max(np.subtract(found[2], found[1])) < 100_000


def test_choices_are_made_on_no_more_frames_than_are_needed_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "MOST_TUNING_FRAMES", 29)
    one = recording(200, 3)
    for name in ("ar", "var_ridge"):
        assert BASELINES[name](one, CONFIG).chosen["tuned_on"] == "the last 29 frames of validation"
    monkeypatch.setattr(choosing, "MOST_TUNING_FRAMES", 30)
    assert BASELINES["ar"](one, CONFIG).chosen["tuned_on"] == "validation"


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("lost", [False, True])
def test_wide_recordings_are_fitted_from_the_side_of_their_frames(
    name: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same predictions, though neither a Gram matrix of all inputs nor coefficients are made."""
    one = recording(70, 30)
    if lost:
        seen = np.ones(one.values.shape, bool)
        seen[:, 7] = False
        one = replace(one, values=np.where(seen, one.values, np.nan), mask=seen)
    narrow = BASELINES[name](one, CONFIG)
    monkeypatch.setattr(linear_problem, "MOST_INPUTS", 0)
    wide = BASELINES[name](one, CONFIG)
    assert isinstance(wide.coefficients, LowRank)
    assert wide.parameters == narrow.parameters
    for key, value in narrow.chosen.items():
        assert wide.chosen[key] == (pytest.approx(value) if key == "tuning_mse" else value)
    np.testing.assert_allclose(wide.one_step(one), narrow.one_step(one), atol=1e-8)
    starts = np.array([10, 40])
    np.testing.assert_allclose(wide.horizon(one, starts, 5), narrow.horizon(one, starts, 5), atol=1e-8)


def test_the_others_of_wide_recordings_predict_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording(70, 30)
    narrow = OthersRidge.fit(one, CONFIG)
    monkeypatch.setattr(left_out_ridge, "MOST_INPUTS", 0)
    wide = OthersRidge.fit(one, CONFIG)
    assert isinstance(narrow, OthersRidge) and isinstance(wide, OthersPath)
    assert (wide.lags, wide.alpha) == (narrow.lags, narrow.alpha)
    np.testing.assert_allclose(wide.predict(one, 0, 70)[2:], narrow.predict(one, 0, 70)[2:], atol=1e-8)


def test_what_cannot_be_afforded_is_said_with_the_option_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_problem, "MOST_DECOMPOSED", 40)
    monkeypatch.setattr(left_out_ridge, "MOST_DECOMPOSED", 40)
    one = recording(300, 30)
    for fit in (BASELINES["var_ridge"], OthersRidge.fit):
        with pytest.raises(DataError, match=r"60 rows.*no lag above 1 in evaluate.var_lags"):
            fit(one, CONFIG)
        with pytest.raises(DataError, match=r"with gaps.*60 rows.*no lag above 1 in evaluate.var_lags"):
            fit(blanked(one, "0.1"), CONFIG)
        with pytest.raises(DataError, match="fewer units, or"):
            fit(recording(300, 50), CONFIG)
