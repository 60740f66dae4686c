"""Predictions and free runs of a model against its equations, step by step in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small import FRAMES, UNITS, Student, student, teacher

from connfit.errors import ConfigError
from connfit.evaluation.forecasts import Forecaster, SharingForecaster
from connfit.models.forecaster import ModelForecaster
from connfit.models.frame_loop import CHUNK
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort

CLOSE = {"rtol": 2e-4, "atol": 2e-5}  # float32 against float64 over a few hundred steps of a contracting network


def forecaster(one: Student) -> ModelForecaster:
    return ModelForecaster(one.model, one.params, one.cohort)


def observed(movie: Recording) -> np.ndarray:
    return np.where(movie.mask, movie.values, np.nan).astype(np.float64)


def training_range(movie: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Least, of those that rates can have, and greatest training value of each unit."""
    shown = observed(movie)[: movie.require_parts().train[1]]
    return np.maximum(np.nanmin(shown, axis=0), 0), np.nanmax(shown, axis=0)


def lies_beyond(movie: Recording) -> np.ndarray:
    """[T, P]: what the last observed value at or before a frame lies beyond the range of training, in a plain loop."""
    (low, high), seen = training_range(movie), observed(movie)
    last, out = np.zeros(seen.shape[1]), []
    for frame in seen:
        last = np.where(np.isnan(frame), last, frame - np.clip(frame, low, high))
        out.append(last)
    return np.array(out)


def stepwise(
    one: Student, movie: Recording, stop: int, *, recorded_until: int, start: int = 1, settled: bool = False
) -> np.ndarray:
    """[stop, P]: predictions of frames `start` to `stop - 1`, on recorded frames up to `recorded_until`, then alone.

    A value that is missing, or of a unit that the recording lacks, is replaced by the model's own. One that lies
    beyond the range of the training part is given as the edge of that range, and the rest is added to all predictions
    until the next recorded value. With
    `settled` the first frame has been there for CHUNK steps before, otherwise all is silent.
    """
    plain, substeps = one.plain(), one.cohort.substeps
    columns = [one.cohort.units.index(unit) for unit in movie.units]
    inside, beyond = np.clip(observed(movie), *training_range(movie)), lies_beyond(movie)
    rates = np.zeros(one.model.neurons)
    out = np.full((stop, len(columns)), np.nan)
    given = np.full(one.model.units, np.nan)
    given[columns] = inside[0]
    for _ in range(CHUNK if settled else 0):
        rates = plain.step(rates, np.where(np.isnan(given), plain.c @ rates, given))
    for frame in range(start, stop):
        given = np.full(one.model.units, np.nan)
        if frame - 1 <= recorded_until:
            given[columns] = inside[frame - 1]
        for _ in range(substeps):
            rates = plain.step(rates, np.where(np.isnan(given), plain.c @ rates, given))
        out[frame] = (plain.c @ rates)[columns] + beyond[min(frame - 1, recorded_until)]
    return out


@pytest.fixture(scope="module", params=[1, 3], ids=["frames", "substeps"])
def one(request: pytest.FixtureRequest) -> Student:
    return student(substeps=request.param)


@pytest.fixture(scope="module")
def gappy() -> Recording:
    """A recording of five of the eight units, in another order, with missing values."""
    movie = teacher()[1][0].select_units(["n6", "n1", "n4", "n0", "n3"])
    mask = np.random.default_rng(0).random(movie.values.shape) > 0.2
    return replace(movie, values=np.where(mask, movie.values, np.nan), mask=mask)


def test_it_is_a_forecaster(one: Student) -> None:
    assert isinstance(forecaster(one), Forecaster)
    assert forecaster(one).name == "connfit"


def test_one_step_ahead(one: Student, gappy: Recording) -> None:
    assert FRAMES * one.cohort.substeps > 2 * CHUNK
    for movie in (one.cohort.recordings[0], gappy):
        got = forecaster(one).one_step(movie)
        expected = stepwise(one, movie, FRAMES, recorded_until=FRAMES, settled=True)
        assert np.isnan(got[0]).all() and np.isfinite(got[1:]).all()
        np.testing.assert_allclose(got, expected, **CLOSE)


def test_a_prediction_knows_nothing_of_its_frame_or_later_ones(one: Student) -> None:
    movie = one.cohort.recordings[0]
    other = replace(movie, values=np.where(np.arange(FRAMES)[:, None] < 90, movie.values, 9).astype(np.float32))
    before, after = forecaster(one).one_step(movie), forecaster(one).one_step(other)
    np.testing.assert_array_equal(before[:91], after[:91])
    assert (before[91] != after[91]).any()
    starts = np.array([40, 89])
    np.testing.assert_array_equal(forecaster(one).horizon(movie, starts, 5), forecaster(one).horizon(other, starts, 5))
    np.testing.assert_array_equal(
        forecaster(one).free_run(movie, 90, 5, 50), forecaster(one).free_run(other, 90, 5, 50)
    )


def test_horizons_from_several_starts(one: Student, gappy: Recording) -> None:
    starts, steps = np.array([150, 3, 0, 77]), 6
    for movie in (one.cohort.recordings[0], gappy):
        got = forecaster(one).horizon(movie, starts, steps)
        assert got.shape == (4, steps, len(movie.units))
        for k, start in enumerate(starts):
            expected = stepwise(one, movie, start + 1 + steps, recorded_until=start, settled=True)[start + 1 :]
            np.testing.assert_allclose(got[k], expected, err_msg=str(start), **CLOSE)
    assert forecaster(one).horizon(one.cohort.recordings[0], np.array([], int), 4).shape == (0, 4, UNITS)


def test_the_first_horizon_is_the_one_step_prediction(one: Student) -> None:
    movie = one.cohort.recordings[1]
    starts = np.array([10, 120])
    got = forecaster(one).horizon(movie, starts, 2)[:, 0]
    np.testing.assert_allclose(got, forecaster(one).one_step(movie)[starts + 1], rtol=1e-5)


def test_a_free_run_goes_on_alone(one: Student, gappy: Recording) -> None:
    frames = 2 * CHUNK + 3
    for movie in (one.cohort.recordings[0], gappy):
        got = forecaster(one).free_run(movie, 60, frames, 30)
        expected = stepwise(one, movie, 60 + frames, recorded_until=59, start=30)[60:]
        np.testing.assert_allclose(got, expected, **CLOSE)


def test_a_free_run_may_begin_before_its_warm_up_is_full_and_end_after_the_recording(one: Student) -> None:
    movie = one.cohort.recordings[0]
    got = forecaster(one).free_run(movie, 5, 7, 250)
    np.testing.assert_allclose(got, stepwise(one, movie, 12, recorded_until=4)[5:], **CLOSE)
    assert forecaster(one).free_run(movie, FRAMES, 4, 10).shape == (4, UNITS)


def test_a_start_that_is_asked_for_twice_is_answered_twice(one: Student) -> None:
    movie = one.cohort.recordings[0]
    once = forecaster(one).horizon(movie, np.array([20, 50]), 3)
    np.testing.assert_array_equal(forecaster(one).horizon(movie, np.array([50, 20, 50]), 3), once[[1, 0, 1]])


def test_all_at_once_is_the_same_as_one_by_one(one: Student, gappy: Recording) -> None:
    model = forecaster(one)
    assert isinstance(model, SharingForecaster)
    # More starts than are run ahead side by side, so many in a chunk that they do not fit to the ones before.
    starts = np.concatenate([[0, 1, 7], np.arange(30, 30 + CHUNK), [FRAMES - 1]])
    for movie in (one.cohort.recordings[0], gappy):
        one_step, ahead = model.one_step_and_horizon(movie, starts, 3)
        np.testing.assert_allclose(one_step, model.one_step(movie), rtol=1e-5)
        for some in np.array_split(np.arange(len(starts)), 7):
            np.testing.assert_allclose(ahead[some], model.horizon(movie, starts[some], 3), rtol=1e-4, atol=1e-6)
        noise = 0.1 * np.random.default_rng(1).normal(size=(2, 9, len(movie.units)))
        driven, quiet = model.free_runs(movie, 60, 9, 30, noise)
        np.testing.assert_array_equal(driven, model.free_run(movie, 60, 9, 30, noise))
        np.testing.assert_array_equal(quiet, model.free_run(movie, 60, 9, 30))


def test_noise_is_seen_in_the_next_frame_and_not_before(one: Student, gappy: Recording) -> None:
    columns = [one.cohort.units.index(unit) for unit in gappy.units]
    frames, start = CHUNK + 3, 60
    noise = 0.1 * np.random.default_rng(1).normal(size=(2, frames, len(columns)))
    got = forecaster(one).free_run(gappy, start, frames, 30, noise)
    plain, (low, high) = one.plain(), training_range(gappy)
    inside = np.clip(observed(gappy), low, high)
    for run in range(2):
        rates, given = np.zeros(one.model.neurons), np.full(one.model.units, np.nan)
        beyond = lies_beyond(gappy)[start - 1]
        for frame in range(30, start + frames):
            if frame <= start:
                given[columns] = inside[frame - 1]
            for _ in range(one.cohort.substeps):
                rates = plain.step(rates, np.where(np.isnan(given), plain.c @ rates, given))
            if frame >= start:
                z = (plain.c @ rates)[columns] + beyond + noise[run, frame - start]
                np.testing.assert_allclose(got[run, frame - start], z, err_msg=str(frame), **CLOSE)
                given[columns] = np.clip(z, low, high)
                beyond = z - given[columns]
    with pytest.raises(ConfigError, match=r"noise of a free run has shape \(2, 3, 5\), but must have \(2, 4, 5\)"):
        forecaster(one).free_run(gappy, start, 4, 30, noise[:, :3])


@pytest.mark.parametrize("start", [0, FRAMES + 1])
def test_a_free_run_starts_within_the_recording(one: Student, start: int) -> None:
    with pytest.raises(ConfigError, match=f"must start at frame 1 to {FRAMES}, not {start}"):
        forecaster(one).free_run(one.cohort.recordings[0], start, 4, 10)


def test_horizons_start_within_the_recording(one: Student) -> None:
    for start in (-1, FRAMES):
        with pytest.raises(ConfigError, match=f"0..{FRAMES - 1}"):
            forecaster(one).horizon(one.cohort.recordings[0], np.array([3, start]), 2)


def test_a_unit_that_was_not_fitted_is_named(one: Student) -> None:
    movie = one.cohort.recordings[0]
    foreign = replace(movie, units=("n99", *movie.units[1:]))
    with pytest.raises(ConfigError, match="'movie 1' has the unit 'n99'"):
        forecaster(one).one_step(foreign)


def test_a_value_under_the_mask_is_never_used_even_if_it_is_there(gappy: Recording) -> None:
    one = student()
    absurd = replace(gappy, values=np.where(gappy.mask, gappy.values, 1e6))
    for method, arguments in (
        ("one_step", ()), ("horizon", (np.array([20, 60]), 4)), ("free_run", (70, 10, 30))
    ):  # fmt: skip
        got, expected = (getattr(forecaster(one), method)(movie, *arguments) for movie in (absurd, gappy))
        np.testing.assert_array_equal(got, expected, err_msg=method)


def test_recordings_that_share_no_unit_are_each_forecast_by_their_own_columns() -> None:
    one = student()
    first, second = one.cohort.recordings
    cohort = Cohort.from_recordings([first.select_units(first.units[:3]), second.select_units(first.units[3:])])
    assert cohort.units == one.cohort.units
    pooled = ModelForecaster(one.model, one.params, cohort)
    for movie in cohort.recordings:
        expected = stepwise(one, movie, 30, recorded_until=30, settled=True)
        np.testing.assert_allclose(pooled.one_step(movie)[:30], expected, **CLOSE)
