"""Selection by near horizons: forecasts h frames ahead count 1/h, on all frames of the validation part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small import student

from connfit.config import TrainConfig
from connfit.models.forecaster import ModelForecaster
from connfit.recordings.cohort import Cohort
from connfit.training.validation import SELECTION_HORIZONS, selection_measure, validate


def test_the_value_is_the_mean_skill_with_weights_one_over_h() -> None:
    """Forecasts from every frame, scored by hand."""
    made = student()
    longer = [replace(movie, parts=None).split(train=0.5, validation=0.4) for movie in made.cohort.recordings]
    cohort = Cohort.from_recordings(longer)
    forecaster, weights = ModelForecaster(made.model, made.params, cohort), np.ones((len(cohort.units), 2))
    ahead, errors = np.array(SELECTION_HORIZONS), np.zeros((2, len(SELECTION_HORIZONS)))
    for recording in cohort.recordings:
        start, stop = recording.require_parts().validation
        starts = np.arange(start, stop - ahead[-1])
        assert len(starts) > 32  # more than the mean without weights looks at
        guess = forecaster.horizon(recording, starts, int(ahead[-1]))[:, ahead - 1]
        truth, now = recording.values[starts[:, None] + ahead], recording.values[starts][:, None]
        errors += [((each - truth) ** 2).sum(axis=(0, 2)) for each in (guess, now)]
    skill = 1 - errors[0] / errors[1]
    found = validate(forecaster, weights, horizons=True, near=True)
    # In single precision, from another number of frames before the part.
    assert found.value == pytest.approx((skill / ahead).sum() / (1 / ahead).sum(), abs=1e-4)
    assert found.value != pytest.approx(validate(forecaster, weights, horizons=True).value, abs=1e-3)
    assert found.skill == validate(forecaster, weights, horizons=False).skill


def test_it_is_what_recipes_and_epochs_say_they_compare_by() -> None:
    assert TrainConfig(select_on="near").select_on == "near"
    assert "weight 1/h" in selection_measure(horizons=True, near=True)
    assert "weight 1/h" not in selection_measure(horizons=True)
