"""What epochs of a fit are compared by: predictions of the validation part, one frame and several frames ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from connfit.cohort import Cohort
from connfit.errors import ConfigError
from connfit.recording import Recording
from connfit.simulate import ModelForecaster

SELECTION_HORIZONS = (1, 2, 5, 10)
SELECTION_STARTS = 32
SELECTION_FRAMES_BEFORE = 100  # of the recording, after a settled start: enough for all but the slowest neurons


class Validation(NamedTuple):
    """Skill over persistence one frame ahead, and the value by which epochs are compared (higher is better).

    The value is -inf where the prediction is not finite, so that such parameters are never the best.
    """

    value: float
    skill: float


def check_horizons_fit(cohort: Cohort) -> None:
    """A ConfigError if no validation part is as long as the longest horizon."""
    longest = max(stop - start for start, stop in (one.require_parts().validation for one in cohort.recordings))
    if longest <= SELECTION_HORIZONS[-1]:
        raise ConfigError(
            f"train.select_on = 'horizon' needs more than {SELECTION_HORIZONS[-1]} validation frames, the longest "
            f"validation part has {longest}; set it to 'one_step' or raise data.validation"
        )


@np.errstate(over="ignore", invalid="ignore")
def validate(forecaster: ModelForecaster, unit_weights: Float[np.ndarray, "P R"], *, horizons: bool) -> Validation:
    """Score a model on the validation parts of its cohort.

    Parameters
    ----------
    unit_weights
        Weight of a unit's squared error in each recording, as in the loss.
    horizons
        Compare by the mean skill over `SELECTION_HORIZONS` instead of that of one frame ahead.
    """
    cohort, ahead = forecaster.cohort, np.array(SELECTION_HORIZONS)
    one_step, later = np.zeros((2, 1)), np.zeros((2, len(ahead)))
    for member, recording in enumerate(cohort.recordings):
        start, stop = recording.require_parts().validation
        if start == stop:
            continue
        first = max(0, start - SELECTION_FRAMES_BEFORE)
        part = replace(recording, values=recording.values[first:stop], mask=recording.mask[first:stop], parts=None)
        start, stop = start - first, stop - first
        starts = np.unique(np.linspace(start, stop - 1 - ahead[-1], SELECTION_STARTS).astype(int))
        starts = starts[starts >= start] if horizons else starts[:0]
        next_frame, forecast = forecaster.one_step_and_horizon(part, starts, int(ahead[-1]))
        weights = unit_weights[cohort.columns[member], member]
        frames = np.arange(max(start, 1), stop)
        one_step += _squares(part, next_frame[frames, None], frames - 1, np.ones(1, int), weights)
        later += _squares(part, forecast[:, ahead - 1], starts, ahead, weights)
    skill = float(1 - one_step[0, 0] / one_step[1, 0])
    value = float(np.mean(1 - later[0] / later[1])) if horizons else skill
    return Validation(value if np.isfinite(value) else float("-inf"), skill)


def _squares(
    recording: Recording,
    forecast: Float[np.ndarray, "S H P"],
    starts: Int[np.ndarray, "S"],
    ahead: Int[np.ndarray, "H"],
    weights: Float[np.ndarray, "P"],
) -> Float[np.ndarray, "2 H"]:
    """Weighted squared errors of a forecast and of persistence, where start and target were observed."""
    at = starts[:, None] + ahead
    weighted = recording.mask[at] * recording.mask[starts][:, None] * weights
    truth, now = np.nan_to_num(recording.values[at]), np.nan_to_num(recording.values[starts])[:, None]
    return np.stack([(weighted * (predicted - truth) ** 2).sum(axis=(0, 2)) for predicted in (forecast, now)])
