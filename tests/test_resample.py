"""Means over longer frames: exact, without a look ahead, within parts and blocks, of inputs, times and epochs too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connfit.errors import ConfigError, DataError
from connfit.evaluation.noise_floor import coloured_by
from connfit.recordings import Inputs, Recording
from connfit.recordings.cohort import Cohort
from connfit.recordings.preprocess import preprocess, resample, to_substeps
from connfit.recordings.stretches import BETWEEN, as_blocks


def movie(frames: int = 100, rate: float = 10.0, seed: int = 0, name: str = "r") -> Recording:
    rng = np.random.default_rng(seed)
    return Recording(name, rng.normal(size=(frames, 3)), ("a", "b", "c"), rate, times=5 + np.arange(frames) / rate)


def test_a_whole_ratio_is_a_mean_of_blocks() -> None:
    got = resample(movie(103), rate_hz=2.0)
    np.testing.assert_allclose(got.values, movie(103).values[:100].reshape(20, 5, 3).mean(axis=1), rtol=1e-12)
    assert got.frame_rate == 2.0 and got.steps[-1]["left_out_frames"] == 3 and not coloured_by(got.steps)
    np.testing.assert_allclose(got.times, 5 + np.arange(20) / 2)


@given(st.floats(1.02, 30), st.integers(60, 200))
@example(29.0, 60)
@settings(max_examples=30, deadline=None)
def test_any_ratio_is_the_integral_over_each_frame(ratio: float, frames: int) -> None:
    recording = movie(frames)
    got = resample(recording, rate_hz=10.0 / ratio)
    held = 10.0 / got.frame_rate
    # The integral of a staircase, at any place, by interpolation of its sums: another way than weights.
    sums = np.concatenate([np.zeros((1, 3)), np.cumsum(recording.values, axis=0)])
    edges = held * np.arange(got.frames + 1)
    for unit in range(3):
        integral = np.interp(edges, np.arange(frames + 1), sums[:, unit])
        np.testing.assert_allclose(got.values[:, unit], np.diff(integral) / held, atol=1e-9)
    whole = abs(held - round(held)) < 1e-9  # 10 / (10 / 29) is 28.999999999999996
    assert got.frames == int(frames / held + 1e-9) and bool(coloured_by(got.steps)) == (not whole)


def test_faster_signals_are_not_folded_into_slower_ones() -> None:
    seconds = np.arange(3000) / 30
    fast = np.sin(2 * np.pi * 3.1 * seconds)
    slow = np.sin(2 * np.pi * 0.1 * seconds)
    recording = Recording("r", np.column_stack([fast, slow]), ("fast", "slow"), 30.0)
    got = resample(recording, rate_hz=3.0)
    # Every tenth frame alone would show a slow wave of full height.
    assert np.ptp(recording.values[::10, 0]) > 1.9 and np.ptp(got.values[:, 0]) < 0.1
    np.testing.assert_allclose(got.values[:, 1], np.sin(2 * np.pi * 0.1 * (np.arange(300) / 3 + 0.15)), atol=0.01)


@pytest.mark.parametrize("rate", [2.0, 3.3])
def test_no_frame_shows_what_comes_later_and_training_none_of_the_test(rate: float) -> None:
    recording = movie(200).split(train=0.5, validation=0.2)
    got = resample(recording, rate_hz=rate)
    held = recording.frame_rate / got.frame_rate
    for frame in (17, recording.parts.train[1] - 1, 150):
        changed = recording.values.copy()
        changed[frame + 1 :] += 9
        other = resample(replace(recording, values=changed), rate_hz=rate)
        whole = int((frame + 1) / held + 1e-9)
        np.testing.assert_array_equal(other.values[:whole], got.values[:whole])
    changed = recording.values.copy()
    changed[recording.parts.train[1] :] = 0
    other = resample(replace(recording, values=changed), rate_hz=rate)
    np.testing.assert_array_equal(other.part("train")[0], got.part("train")[0])
    assert got.parts.train[0] == 0 and got.parts.test[1] == got.frames
    assert sum(got.parts.length(part) for part in ("train", "validation", "test")) == got.frames


def test_missing_values_take_no_part_and_half_a_frame_is_enough() -> None:
    recording = movie(20)
    mask = np.ones((20, 3), bool)
    mask[:5, 0] = mask[5:8, 1] = mask[5:7, 2] = False
    got = resample(replace(recording, values=np.where(mask, recording.values, 1e9), mask=mask), rate_hz=2.0)
    assert not got.mask[0, 0] and not got.mask[1, 1] and got.mask[1, 2] and np.isnan(got.values[0, 0])
    assert got.values[1, 2] == pytest.approx(recording.values[7:10, 2].mean())


def test_blocks_keep_apart_and_inputs_and_epochs_follow() -> None:
    recording = replace(movie(100), inputs=Inputs(np.arange(100.0)[:, None], ("light",)), epochs={"on": ((12, 33),)})
    whole = resample(recording, rate_hz=2.0)
    np.testing.assert_allclose(whole.inputs.values[:, 0], 2 + 5 * np.arange(20))
    assert whole.epochs == {"on": ((3, 6),)}
    blocks = as_blocks(recording, [(0, 42), (50, 100)]).split(train=0.5, validation=0)
    got = resample(blocks, rate_hz=2.0)
    assert got.blocks == ((0, 8), (8 + BETWEEN, 18 + BETWEEN)) and got.parts.train == (0, 8 + BETWEEN)
    assert got.parts.test == (8 + BETWEEN, got.frames) and not got.mask[8 : 8 + BETWEEN].any()
    np.testing.assert_allclose(got.values[:8], recording.values[:40].reshape(8, 5, 3).mean(axis=1))
    np.testing.assert_allclose(got.values[-10:], recording.values[50:].reshape(10, 5, 3).mean(axis=1))
    assert got.steps[-1]["left_out_frames"] == 2


def test_sessions_of_two_rates_are_fitted_together() -> None:
    slow, fast = (movie(120, 3.0, name="slow"), movie(1200, 30.0, 1, "fast"))
    cut = [each.split() for each in (slow, fast)]
    with pytest.raises(DataError, match=r'preprocess: \{ step = "resample", rate_hz = 3\.0 \}'):
        Cohort.from_recordings(cut)
    steps = [{"step": "resample", "rate_hz": 3.0}, {"step": "scale"}]
    cohort = Cohort.from_recordings([preprocess(each, steps) for each in cut])
    assert [each.frames for each in cohort.recordings] == [120, 120] and cohort.frame_rate == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("recording", "rate", "message"),
    [
        (movie(), 11.0, "above the 10 Hz"), (movie(), 0.0, "rate_hz"), (movie(), True, "rate_hz"),
        (movie(), 0.05, "without frames"), (movie().split(train=0.05, validation=0), 2.0, "leaves a part"),
        (to_substeps(movie().split(), 2), 2.0, "must be the last step"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(recording: Recording, rate: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resample(recording, rate_hz=rate)
