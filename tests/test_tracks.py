"""Recordings that a model follows side by side: what comes of each is what comes of it alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from small import OPTIONS, raw_movies, regional_connectome

import connfit as cf
from connfit.models import tracks
from connfit.models.forecaster import ModelForecaster
from connfit.models.frame_loop import CHUNK
from connfit.recordings import Recording
from connfit.recordings.inputs import Inputs
from connfit.training.trainer import Trainer
from connfit.training.validation import validate

STEPS = 4


def uneven() -> list[Recording]:
    """Recordings of other lengths, units and gaps; the last in three trials, one of them of two frames."""
    long, short, some = raw_movies()[0], raw_movies()[1].frames_only(slice(0, 70)), raw_movies()[0]
    holes = np.random.default_rng(0).random(short.values.shape) < 0.1
    trials = replace(raw_movies()[1], name="trials", blocks=((0, 70), (80, 82), (90, 160)))
    found = [
        long,
        replace(short, name="short", mask=~holes),
        replace(some.select_units(some.units[1:5]).frames_only(slice(20, 180)), name="some"),
        trials,
    ]
    rng = np.random.default_rng(4)
    return [replace(one, inputs=Inputs(rng.normal(size=(one.frames, 2)), ("light", "odour"))) for one in found]


@cache
def forecaster(cell: str = "rate-calcium", *, substeps: int = 1) -> ModelForecaster:
    """A model of the first two recordings that was moved at random, so that nothing of it is special."""
    job = cf.prepare_fit(
        regional_connectome(), [uneven()[0], raw_with_inputs()],
        **{**OPTIONS, "cell": cell, "state_forcing": 0.7 * (substeps == 1), "substeps": substeps, "lags": [1, 2]},
    )  # fmt: skip
    rng = np.random.default_rng(1)
    params = {key: value + 0.05 * rng.normal(size=value.shape).astype(np.float32) for key, value in job.params.items()}
    return ModelForecaster(job.model, job.model.project(params), job.cohort)


def raw_with_inputs() -> Recording:
    movie = raw_movies()[1]
    return replace(movie, inputs=Inputs(np.random.default_rng(5).normal(size=(movie.frames, 2)), ("light", "odour")))


def starts_of(recording: Recording, every: int) -> np.ndarray:
    """Frames that forecasts start from; in trials those that have frames after them."""
    at = np.arange(0, recording.frames - STEPS, every)
    inside = [(first, stop) for first, stop in recording.stretches(0, recording.frames)]
    return np.array([t for t in at if any(first <= t < stop for first, stop in inside)], int)


@pytest.mark.parametrize("every", [1, 7], ids=["more starts than places", "few starts"])
def test_recordings_side_by_side_are_as_each_alone(every: int) -> None:
    model, recordings = forecaster(), uneven()
    starts = [starts_of(recording, every) for recording in recordings]
    together = model.one_step_and_horizon_of(recordings, starts, STEPS)
    for recording, at, (one_step, ahead) in zip(recordings, starts, together, strict=True):
        alone, alone_ahead = model.one_step_and_horizon(recording, at, STEPS)
        # Sums of float32 in another order, as with any other number of runs side by side.
        np.testing.assert_allclose(one_step, alone, rtol=2e-5, atol=2e-6, err_msg=recording.name)
        np.testing.assert_allclose(ahead, alone_ahead, rtol=2e-5, atol=2e-6, err_msg=recording.name)
        first = [start for start, _ in recording.stretches(0, recording.frames)]
        assert np.isnan(np.asarray(one_step)[first]).all() and np.isfinite(np.asarray(one_step)[first[0] + 1]).all()


@pytest.mark.parametrize("substeps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_forecast_goes_on_as_the_recording_would_without_what_was_recorded(substeps: int) -> None:
    """A forecast is a prediction of a recording in which nothing was observed after the start."""
    model, movie = forecaster(substeps=substeps), uneven()[0]
    starts = np.array([0, 30, 31, 100])
    one_step, ahead = model.one_step_and_horizon_of([movie, movie], [starts[:2], starts[2:]], STEPS)[0]
    np.testing.assert_allclose(ahead[:, 0], np.asarray(one_step)[starts[:2] + 1], rtol=2e-5, atol=2e-6)
    mask = movie.mask.copy()
    mask[31:] = False
    unseen = replace(movie, mask=mask, values=np.where(mask, movie.values, np.nan), inputs=movie.inputs)
    # Inputs after the start are forecast, not given: those of the first frame after it alone are the same.
    np.testing.assert_allclose(model.one_step(unseen)[31], ahead[1, 0], rtol=2e-5, atol=2e-6)


def test_more_tracks_than_fit_go_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model, recordings = forecaster(), uneven()
    nothing = [np.zeros(0, int)] * len(recordings)
    whole = model.one_step_and_horizon_of(recordings, nothing, 0)
    monkeypatch.setattr(tracks, "MOST_RATES", 2 * model.model.neurons)
    widths = []
    follow = tracks._follow
    monkeypatch.setattr(tracks, "_follow", lambda of, some: (widths.append(len(some)), follow(of, some)))
    grouped = model.one_step_and_horizon_of(recordings, nothing, 0)
    assert widths == [2, 2, 2] and CHUNK > 2  # three recordings and three trials
    for (found, _), (expected, _) in zip(grouped, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_more_free_runs_than_fit_go_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model, one = forecaster(), uneven()[0]
    noise = 0.1 * np.random.default_rng(2).normal(size=(5, 30, len(one.units))).astype(np.float32)
    together, quiet = model.free_runs(one, 40, 30, 10, noise)
    monkeypatch.setattr(tracks, "MOST_RATES", 2 * model.model.neurons)
    grouped, alone = model.free_runs(one, 40, 30, 10, noise)
    assert np.ptp(together, axis=0).max() > 0.1
    np.testing.assert_allclose(grouped, together, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(alone, quiet)


def test_runs_of_large_brains_fill_lines_of_the_cache() -> None:
    assert [tracks.runs_at_once(neurons) for neurons in (1_000, 138_639, 300_000, 10**7)] == [4_192, 16, 13, 1]


def test_validation_is_that_of_recordings_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = forecaster()
    weights = np.ones((len(model.cohort.units), len(model.cohort.recordings)))
    together = validate(model, weights, horizons=True)
    monkeypatch.setattr("connfit.training.validation.MOST_PREDICTED", 1)
    alone = validate(model, weights, horizons=True)
    assert together.value == pytest.approx(alone.value, rel=1e-5) and together.skill == pytest.approx(
        alone.skill, rel=1e-5
    )


def test_a_model_that_overflows_late_in_training_is_seen() -> None:
    """In one recording of several, after the frames that validation looks at, and in no other."""
    model = forecaster()
    trainer = cast("Trainer", SimpleNamespace(model=model.model, cohort=model.cohort, on_devices=None))
    assert Trainer.stays_finite(trainer, model.params)
    assert not Trainer.stays_finite(trainer, {**model.params, "weights": 1e3 * model.params["weights"]})
    late = model.cohort.recordings[1]
    stop = late.require_parts().train[1]
    values = late.values.copy()
    values[stop - 3] = np.finfo(np.float32).max
    loud = replace(model.cohort, recordings=(model.cohort.recordings[0], replace(late, values=values)))
    driven = {**model.params, "drive": 1e3 * model.params["drive"]}
    other = cast("Trainer", SimpleNamespace(model=model.model, cohort=loud, on_devices=None))
    assert not Trainer.stays_finite(other, driven)
    assert Trainer.stays_finite(trainer, driven)
