"""Time constants of recorded neurons from their own units' past: known ones come back, and such a start errs less."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_connectome
from small import regional_connectome

from connfit.errors import ConfigError
from connfit.models.forecaster import ModelForecaster
from connfit.models.init.centred_frames import CentredFrames
from connfit.models.init.own_time_constants import own_time_constants
from connfit.recordings import Recording
from connfit.training.fit_brain import prepare_fit
from connfit.training.problem import Job
from connfit.training.validation import validate

STEP_S, BOUNDS_S = 0.5, (0.1, 25.0)
TAU_S = np.array([0.2, 0.5, 1.0, 3.0])


def simulated(forcing: float, frames: int = 20_000, seed: int = 0) -> np.ndarray:
    """Units that follow the equation of the module, with noise in each frame and a pole of 0.97."""
    rng, decay = np.random.default_rng(seed), np.exp(-STEP_S / TAU_S)
    gain = np.maximum(0.97 - decay * (1 - forcing), decay * forcing)
    r, u, kept = np.zeros(4), np.zeros(4), np.zeros((frames, 4))
    for t in range(frames):
        r = decay * (1 - forcing) * r + gain * u
        kept[t] = u = r + rng.normal(0, 0.1, 4)
    return 3 + kept


def centred(values: np.ndarray) -> list[CentredFrames]:
    return [CentredFrames.of(values, np.ones(values.shape[1]))]


@pytest.mark.parametrize("forcing", [0.0, 0.5, 1.5])
def test_known_time_constants_come_back(forcing: float) -> None:
    found = own_time_constants(centred(simulated(forcing)), forcing, STEP_S, BOUNDS_S)
    # Of 20,000 frames the decay has a standard error of about 0.01; neighbours of the grid lie 26 % apart.
    decay, true = np.exp(-STEP_S / found), np.exp(-STEP_S / TAU_S)
    assert np.abs((decay - true) * (1 - forcing)).max() < 0.06, (found, TAU_S)


def test_gaps_change_little_and_unobserved_units_have_the_smallest() -> None:
    values = simulated(0.5)
    whole = own_time_constants(centred(values), 0.5, STEP_S, BOUNDS_S)
    values[2_000:6_000, 1] = np.nan
    values[:, 2] = np.nan
    found = own_time_constants(centred(values), 0.5, STEP_S, BOUNDS_S)
    assert found[2] == BOUNDS_S[0]
    assert (found[[0, 3]] == whole[[0, 3]]).all() and abs(np.log(found[1] / whole[1])) < 0.5


def started(time_constant_frames: float | str, recording: Recording, **options: object) -> Job:
    """An untrained model of six neurons, four of which are recorded."""
    brain = random_connectome(np.random.default_rng(1), 6, 2)
    begun = {
        "drive_start": "regression", "state_forcing": 0, "weights": "counts", "own_shrinkage": 0, "drive_ridge": 0,
        "preprocess": (), "time_constant_frames": time_constant_frames,
    }  # fmt: skip
    return prepare_fit(brain, recording, **{**begun, **options})


RECORDING = Recording("r", simulated(0.0, 2_000), ("n0", "n1", "n2", "n3"), 1 / STEP_S)


def test_a_start_from_own_pasts_errs_less_than_from_any_single_time_constant() -> None:
    def value(job: Job) -> float:
        weights = np.nan_to_num(1 / job.cohort.change_variance())
        return validate(ModelForecaster(job.model, job.params, job.cohort), weights, horizons=False).value

    single = [value(started(float(tau / STEP_S), RECORDING)) for tau in TAU_S]
    own = started("unit", RECORDING)
    assert value(own) > max(single) + 0.005, (value(own), single)
    low, high = (0.2 * STEP_S, 50 * STEP_S)  # bounds of the configuration
    found = own_time_constants([CentredFrames.of(*own.cohort.training_frames()[0])], 0.0, STEP_S, (low, high))
    np.testing.assert_allclose(np.exp(own.params["log_time_constants"][:4]), found, rtol=1e-6)
    hidden = np.exp(np.asarray(own.params["log_time_constants"][4:])) / STEP_S
    assert ((hidden >= 0.5) & (hidden <= 10)).all()


def test_start_as_persistence_has_them_too() -> None:
    job = started("unit", RECORDING, drive_start="persistence")
    assert np.ptp(np.asarray(job.params["log_time_constants"][:4])) > 0.5


def test_where_units_are_no_single_neurons_it_is_an_error() -> None:
    brain, recording = regional_connectome(), Recording("r", simulated(0.5, 200), ("A", "B", "C", "D"), 1 / STEP_S)
    with pytest.raises(ConfigError, match=r"model\.time_constant_frames = 'unit' needs units that are single neurons"):
        prepare_fit(brain, recording, preprocess=(), time_constant_frames="unit", drive_start="persistence",
                    state_forcing=0.5, weights="counts", own_shrinkage=0, drive_ridge=0)  # fmt: skip
