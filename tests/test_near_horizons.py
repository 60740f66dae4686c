"""Selection by near horizons: forecasts h frames ahead count 1/h, on all frames of the validation part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from msgspec.structs import replace as replace_options
from small import student, write_files

from connfit import config as configuration
from connfit.models.forecaster import ModelForecaster
from connfit.recordings.cohort import Cohort
from connfit.training.problem import prepare
from connfit.training.validation import SELECTION_HORIZONS, selection_measure, validate

Selection = Literal["one_step", "near", "horizon"]


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


@pytest.mark.parametrize("select_on", ["one_step", "near", "horizon"])
def test_starts_are_compared_by_what_epochs_are_compared_by(select_on: Selection, tmp_path: Path) -> None:
    config = configuration.read(write_files(tmp_path))
    train = replace_options(config.train, select_on=select_on)
    job = prepare(
        replace_options(config, train=train, model=replace_options(config.model, time_constant_frames="auto"))
    )
    weights = np.nan_to_num(1 / job.cohort.change_variance())
    forecaster = ModelForecaster(job.model, job.params, job.cohort)
    found = validate(forecaster, weights, horizons=select_on != "one_step", near=select_on == "near")
    assert max(one.value or 0 for one in job.recipe.candidates) == pytest.approx(found.value, abs=1e-6)
    assert job.recipe.measure == selection_measure(horizons=select_on != "one_step", near=select_on == "near")
