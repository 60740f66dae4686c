"""Scores of a forecaster on the parts of recordings, for `metrics.json`.

Everything that is not defined is None, with the reason beside it; nothing in the result is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from connfit._io import plain
from connfit.config import EvaluateConfig
from connfit.evaluation.activity_dynamics import Dynamics, dynamics
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.calibration import MIN_ERRORS, OWN, Predictive, calibration_scores, training_spread
from connfit.evaluation.connectivity import compared_connectivity
from connfit.evaluation.divergence import diverged
from connfit.evaluation.forecasts import Forecaster, PartForecast, RecordingForecast
from connfit.evaluation.free_run import LONGEST_RUN, NO_NOISE, free_runs, no_free_runs
from connfit.evaluation.metrics import (
    covered,
    fc_corr,
    mse,
    quartiles,
    skill,
    unit_skill,
    with_measures,
)
from connfit.evaluation.part_scores import Chosen, DataScores, Horizons, OneStep, PartScores, UnitSkill
from connfit.evaluation.predictions import horizon_starts, one_step_fault, predictions
from connfit.evaluation.residual_noise import MIN_RESIDUALS, RESIDUALS, Residuals, residuals_of
from connfit.evaluation.scratch import Scratch, part_of
from connfit.evaluation.squared_errors import PredictionErrors, UnitErrors, pooled_errors, unit_errors
from connfit.evaluation.unit_scores import median_unit_scores, skill_over_simple
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.frame_blocks import Stored


def score(
    forecaster: Forecaster,
    recording: Recording,
    config: EvaluateConfig | None = None,
    *,
    ahead_of: Sequence[str] = PART_NAMES,
) -> dict[str, PartScores]:
    """Score one forecaster on all parts of one recording.

    Parameters
    ----------
    forecaster
        Predicts the units of `recording`.
    recording
        With parts. Entries that were not observed are never scored.
    config
        Horizons, number of start frames, free-run warm-up, noise and number of runs.
    ahead_of
        Parts of which horizons and free runs are scored; they are most of the work.
    """
    return score_and_forecast(forecaster, recording, config, ahead_of=ahead_of).scores


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one forecaster on one recording.

    Parameters
    ----------
    scores
        By part.
    forecast
        The predictions that they were computed from.
    one_step
        [T, unit] prediction of every frame of the recording from the frames before it.
    errors
        By part that was run ahead: squared errors of every frame, from which skill can be recomputed on a
        resample of them.
    units
        By part that was run ahead and by horizon: the same unit by unit.
    """

    scores: dict[str, PartScores]
    forecast: RecordingForecast
    one_step: Stored
    errors: Mapping[str, PredictionErrors]
    units: Mapping[str, Mapping[int, UnitErrors]]


def score_and_forecast(
    forecaster: Forecaster,
    recording: Recording,
    config: EvaluateConfig | None = None,
    *,
    parts: Sequence[str] = PART_NAMES,
    ahead_of: Sequence[str] = PART_NAMES,
    residuals: Residuals | None = None,
    store: Scratch | None = None,
    persistence: Stored | None = None,
) -> Scored:
    """Score one forecaster on parts of one recording, and keep the predictions.

    Parameters
    ----------
    parts
        Those that are scored.
    residuals
        What the noise of free runs is drawn from; default: the errors on the recording's own training part.
    store
        Makes the arrays of predictions; default: in memory.
    persistence
        One-step predictions of `Persistence`, if they are there.
    """
    config, store = config or EvaluateConfig(), store or Scratch()
    blocks = recording.require_parts()
    ahead_of = [part for part in parts if part in ahead_of]
    one_step, ahead = predictions(forecaster, recording, ahead_of, config, store)
    not_run = f"only the {' and the '.join(ahead_of)} part is run ahead"
    reference = Persistence()
    last_value = predictions(reference, recording, (), config, store)[0] if persistence is None else persistence
    std, distribution = _spread(forecaster, one_step, recording, residuals, config)
    if config.free_run_noise == "none":
        residuals = None
    elif residuals is None:
        residuals = residuals_of(one_step, recording, config.free_run_warmup)
    scores: dict[str, PartScores] = {}
    forecasts: dict[str, PartForecast] = {}
    units: dict[str, Mapping[int, UnitErrors]] = {}
    errors: dict[str, PredictionErrors] = {}
    for part in parts:
        block = blocks[part]
        values, mask = recording.part(part)
        predicted, last = part_of(one_step, block), part_of(last_value, block)
        each, why = unit_errors(one_step, ahead.get(part, not_run), recording, part, config, last_value)
        if part in ahead_of:
            free, quiet = free_runs(forecaster, recording, part, residuals, config, store)
            units[part], errors[part] = each, pooled_errors(each, why, recording.name, part)
        else:
            free, quiet = no_free_runs(recording, part, residuals, config, not_run, store)
        skills, horizon = _horizon_scores(ahead.get(part, not_run), reference, recording, part, config)
        scores[part] = PartScores(
            frames=len(values),
            observed=int(mask.sum()),
            one_step=_one_step_scores(values, mask, predicted, last, one_step_fault(one_step, recording, block)),
            calibration=calibration_scores(values, mask, predicted, std[block], distribution),
            horizon_skill=skills,
            horizon=horizon,
            horizon_median_unit=median_unit_scores(each, why, config),
            free_run=free.scores,
            free_run_deterministic=None if free is quiet else quiet.scores,
        )
        forecasts[part] = PartForecast(
            start=block.start,
            values=values,
            mask=mask,
            one_step=predicted,
            free_run=free.run,
            free_run_connectivity=free.connectivity,
            free_run_deterministic=None if free is quiet else quiet.run,
            free_run_noise=free.scores.noise or NO_NOISE,
            runs=free.scores.runs or 1,
            free_run_offset=len(values) - free.scores.frames,
            warmup_frames=free.scores.warmup_frames or 0,
        )
    forecast = RecordingForecast(recording.units, recording.frame_rate, recording.value_units, forecasts)
    return Scored(scores, forecast, one_step, errors, units)


def _spread(
    forecaster: Forecaster,
    one_step: Stored,
    recording: Recording,
    residuals: Residuals | None,
    config: EvaluateConfig,
) -> tuple[Float[np.ndarray, "T P"], str]:
    """Standard deviation of every one-step prediction, and where it comes from."""
    if isinstance(forecaster, Predictive):
        return np.asarray(forecaster.predictive_std(recording)), OWN
    if residuals is None:
        spread, source = training_spread(one_step, recording, config.free_run_warmup), RESIDUALS
    elif len(residuals.frames) >= MIN_RESIDUALS:
        known = np.isfinite(residuals.frames)
        count = known.sum(axis=0)
        mean = np.where(known, residuals.frames, 0.0).sum(axis=0) / np.maximum(count, 1)
        square = np.where(known, residuals.frames - mean, 0.0) ** 2
        spread = np.sqrt(square.sum(axis=0) / np.maximum(count, 1))
        spread, source = np.where(count >= MIN_ERRORS, spread, np.nan), residuals.source
    else:
        spread, source = np.full(len(recording.units), np.nan), residuals.source
    return np.broadcast_to(spread, recording.values.shape), source


def _one_step_scores(
    values: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
    prediction: Stored,
    reference: Stored,
    fault: str | None,
) -> OneStep:
    fault = fault if len(values) else "the part has no frames"
    if fault:
        nothing = UnitSkill(excluded=values.shape[1], above_both=0)
        return OneStep(per_unit_skill=nothing, reasons=dict.fromkeys(("mse", "skill_vs_persistence", "fc_corr"), fault))
    # The first frames of a recording have no past; skill and MSE are of the same entries everywhere else.
    scored = covered(values, mask, prediction, reference)
    per_unit = unit_skill(values, prediction, reference, scored)
    units = UnitSkill(
        **vars(quartiles(per_unit)),
        above_persistence=int(np.sum(per_unit[np.isfinite(per_unit)] > 0)),
        above_both=int(np.sum(skill_over_simple(values, prediction, reference, scored) > 0)),
    )
    return with_measures(
        OneStep(per_unit_skill=units, scored=int(scored.sum())),
        mse=mse(values, prediction, scored),
        skill_vs_persistence=skill(values, prediction, reference, scored),
        fc_corr=fc_corr(compared_connectivity(values, scored), compared_connectivity(prediction, scored)),
    )


def _horizon_scores(
    prediction: Float[np.ndarray, "S steps P"] | str,
    reference: Forecaster,
    recording: Recording,
    part: str,
    config: EvaluateConfig,
) -> tuple[dict[int, float | None], Horizons]:
    starts, too_long = horizon_starts(recording, part, config)
    skills: dict[int, float | None] = dict.fromkeys(config.horizons)
    if isinstance(prediction, str):
        return skills, Horizons(reasons={str(h): prediction for h in skills})
    reasons = {str(h): reason for h, reason in too_long.items()}
    fitting = [h for h in config.horizons if h not in too_long]
    held = reference.horizon(recording, starts, 1)[:, 0]
    for h in fitting:
        if diverged(np.swapaxes(prediction[:, :h], 0, 1)):
            reasons[str(h)] = f"the prediction stops being finite within {h} steps"
            continue
        measured = skill(recording.values[starts + h], prediction[:, h - 1], held, recording.mask[starts + h])
        skills[h] = measured.value
        if measured.reason:
            reasons[str(h)] = measured.reason
    return skills, Horizons(len(starts), reasons=reasons)


def data_against_itself(recording: Recording) -> DataScores:
    """Score the training part as a copy for the test part: the bars that a static copy reaches."""
    train, test = (compared_connectivity(*recording.part(part)) for part in ("train", "test"))
    return with_measures(
        DataScores(dynamics_train_vs_test=_dynamics_of_a_copy(recording)), fc_corr_train_vs_test=fc_corr(train, test)
    )


def _dynamics_of_a_copy(recording: Recording) -> Dynamics:
    (early, before), (values, mask) = recording.part("train"), recording.part("test")
    frames = min(len(early), len(values), LONGEST_RUN)
    run, given = early[len(early) - frames :], before[len(before) - frames :]
    return dynamics(values[:frames], mask[:frames] & given, run[None])


def chosen_by(baseline: Forecaster) -> Chosen | None:
    """Return what the tuning of a baseline chose; None of one that chooses nothing, or does not say."""
    return cast("Chosen | None", plain(getattr(baseline, "chosen", None)))
