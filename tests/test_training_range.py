"""What a recording lies beyond the range of its training part costs a prediction nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import student

from connfit.models.forecaster import ModelForecaster
from connfit.recordings import Recording
from connfit.recordings.training_range import TrainingRange


def _recording(values: np.ndarray, **more) -> Recording:
    units = tuple(f"u{k}" for k in range(values.shape[1]))
    return Recording("r", values, units, 1.0, **more).split(train=0.5, validation=0.2)


def test_range_is_that_of_the_observed_training_values_and_never_below_the_floor_of_rates():
    values = np.array([[-3.0, 1.0], [2.0, 5.0], [1.0, 9.0], [0.5, 4.0], [99.0, 99.0], [99, -99], [1, 1], [1, 1.0]])
    mask = np.ones(values.shape, bool)
    mask[2, 1] = False  # the 9 was not observed
    found = TrainingRange.of(_recording(values, mask=mask))
    assert np.array_equal(found.low, [0.0, 1.0])
    assert np.array_equal(found.high, [2.0, 5.0])


def test_a_unit_that_training_never_shows_has_the_range_of_rates():
    mask = np.ones((8, 1), bool)
    mask[:4] = False
    found = TrainingRange.of(_recording(np.ones((8, 1)), mask=mask))
    assert found.low[0] == 0
    assert np.isinf(found.high[0])


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=20))
def test_inside_and_beyond_add_up_to_what_was_recorded(values):
    recording = _recording(np.array(values)[:, None])
    within = TrainingRange.of(recording)
    beyond = within.beyond(recording.values, recording.mask)
    assert np.allclose(within.inside(recording.values) + beyond, recording.values, atol=1e-12)
    assert np.all((within.inside(recording.values) >= within.low) & (within.inside(recording.values) <= within.high))


def test_beyond_is_held_while_nothing_is_observed():
    values = np.array([1.0, 2, 1, 2, 1, 7, 0, 0, 1])[:, None]
    mask = np.ones(values.shape, bool)
    mask[6:8] = False
    recording = _recording(values, mask=mask)
    beyond = TrainingRange.of(recording).beyond(recording.values, recording.mask)
    assert np.array_equal(beyond[:, 0], [0, 0, 0, 0, 0, 5, 5, 5, 0])


@pytest.fixture(scope="module")
def fitted():
    made = student()
    return ModelForecaster(made.model, made.params, made.cohort), made.cohort.recordings[0]


@pytest.mark.parametrize("drift", [-20.0, 20.0])
def test_drift_beyond_the_training_range_costs_nothing(fitted, drift):
    """A unit that has drifted away and stays there is predicted to stay; the others as if it were at the edge."""
    forecaster, recording = fitted
    block = recording.require_parts()["test"]
    within = TrainingRange.of(recording)
    edge, far = recording.values.copy(), recording.values.copy()
    at = within.low[0] if drift < 0 else within.high[0]
    edge[block, 0], far[block, 0] = at, at + drift
    kept = forecaster.one_step(replace(recording, values=edge))
    drifted = forecaster.one_step(replace(recording, values=far))
    later = slice(block.start + 1, block.stop)
    assert np.allclose(drifted[later, 0], kept[later, 0] + drift, atol=1e-4)  # float32
    assert np.allclose(drifted[later, 1:], kept[later, 1:], atol=1e-4)
    starts = np.array([block.start + 2])
    ahead = forecaster.horizon(replace(recording, values=far), starts, 3)
    there = forecaster.horizon(replace(recording, values=edge), starts, 3)
    assert np.allclose(ahead[0, :, 0], there[0, :, 0] + drift, atol=1e-4)


def test_a_free_run_begins_from_the_offset_of_the_last_recorded_frame(fitted):
    """Two recordings whose last frame before the run differs in what lies beyond the range alone: so do their runs."""
    forecaster, recording = fitted
    start = recording.require_parts().test[0] + 2
    edge, far = recording.values.copy(), recording.values.copy()
    edge[start - 1, 0] = TrainingRange.of(recording).high[0]
    far[start - 1, 0] = edge[start - 1, 0] + 30
    there, away = (forecaster.free_run(replace(recording, values=one), start, 5, 10) for one in (edge, far))
    assert np.allclose(away[:, 0], there[:, 0] + 30, atol=1e-3)  # float32
    assert np.allclose(away[:, 1:], there[:, 1:], atol=1e-4)
    # Driven by noise, too, the first frame begins there.
    noise = np.zeros((1, 1, len(recording.units)), np.float32)
    there, away = (forecaster.free_run(replace(recording, values=one), start, 1, 10, noise) for one in (edge, far))
    assert np.allclose(away[0, 0, 0], there[0, 0, 0] + 30, atol=1e-3)


def test_values_of_a_frame_never_reach_earlier_predictions(fitted):
    forecaster, recording = fitted
    changed = recording.values.copy()
    at = recording.require_parts().test[0] + 3
    changed[at:] = -50.0
    before, after = forecaster.one_step(recording), forecaster.one_step(replace(recording, values=changed))
    assert np.array_equal(before[: at + 1], after[: at + 1], equal_nan=True)


def test_a_driven_free_run_carries_what_noise_takes_beyond_the_range(fitted):
    """One large disturbance stays as an offset for as long as the next frames lie beyond; without noise none does."""
    forecaster, recording = fitted
    start = recording.require_parts().test[0]
    noise = np.zeros((1, 4, len(recording.units)), np.float32)
    quiet = forecaster.free_run(recording, start, 4, 20, noise)
    assert np.allclose(quiet[0], forecaster.free_run(recording, start, 4, 20), atol=1e-3)  # runs may leave the range
    noise[0, 1, 0] = 100.0
    moved = forecaster.free_run(recording, start, 4, 20, noise)[0]
    high = TrainingRange.of(recording).high[0]
    assert moved[1, 0] == pytest.approx(quiet[0, 1, 0] + 100, rel=1e-5)
    assert moved[2, 0] - (moved[1, 0] - high) < high + 50  # the rest of the frame is a rate again, not 100 more
    assert moved[2, 0] > high
