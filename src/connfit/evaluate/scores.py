"""Scores of a forecaster on the parts of recordings, for `metrics.json`.

Everything that is not defined is None, with the reason beside it; nothing in the result is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluate.baselines import BaselineFactory, Persistence, baseline_factories
from connfit.evaluate.forecast import Forecaster, Forecasts, PartForecast, RecordingForecast, check_shape
from connfit.evaluate.free_run import deterministic, driven, training_residuals
from connfit.evaluate.metrics import (
    Measured,
    collect,
    diverged,
    fc_corr,
    functional_connectivity,
    mse,
    quartiles,
    skill,
    unit_skill,
)
from connfit.evaluate.pooling import pool
from connfit.recording import PART_NAMES, Recording

MIN_STARTS = 8
"""A horizon is scored only where this many start frames leave room for it."""


def score(forecaster: Forecaster, recording: Recording, config: EvaluateConfig | None = None) -> dict[str, Any]:
    """Score one forecaster on all parts of one recording.

    Parameters
    ----------
    forecaster
        Predicts the units of `recording`.
    recording
        With parts. Entries that were not observed are never scored.
    config
        Horizons, number of start frames, free-run warm-up, noise and number of runs.

    Returns
    -------
    dict
        By part: `one_step` (`mse`, `skill_vs_persistence`, `fc_corr`, `per_unit_skill` quartiles),
        `horizon_skill` (by horizon in frames, reference: persistence at the same horizon),
        `horizon` (`starts`, `reasons`), `free_run` (`fc_corr`, `median_unit_r`, `std_ratio`,
        `warmup_frames`, `frames`, `noise`; with noise also `runs` and `noise_frames`, the training
        frames that it is drawn from; without also `std_ratio_second_half`) and, if that has noise,
        `free_run_deterministic`. Where a number is None, `reasons` beside it says why.
    """
    return score_and_forecast(forecaster, recording, config)[0]


def score_and_forecast(
    forecaster: Forecaster, recording: Recording, config: EvaluateConfig | None = None
) -> tuple[dict[str, Any], RecordingForecast]:
    """The scores of `score`, and the predictions that they were computed from."""
    config = config or EvaluateConfig()
    parts = recording.require_parts()
    one_step = np.asarray(forecaster.one_step(recording))
    check_shape(forecaster, "one_step", one_step.shape, recording.values.shape)
    reference = Persistence()
    last_value = reference.one_step(recording)
    residuals = None
    if config.free_run_noise == "residuals":
        residuals = training_residuals(one_step, recording, config.free_run_warmup)
    scores: dict[str, Any] = {}
    forecasts: dict[str, PartForecast] = {}
    for part in PART_NAMES:
        block = parts[part]
        values, mask = recording.part(part)
        quiet = free = deterministic(forecaster, recording, part, config)
        if residuals is not None:
            free = driven(forecaster, recording, part, residuals, config)
        scores[part] = {
            "frames": len(values),
            "observed": int(mask.sum()),
            "one_step": _one_step_scores(values, mask, one_step[block], last_value[block]),
            **_horizon_scores(forecaster, reference, recording, part, config),
            "free_run": free.scores,
        }
        if free is not quiet:
            scores[part]["free_run_deterministic"] = quiet.scores
        forecasts[part] = PartForecast(
            start=block.start,
            values=values,
            mask=mask,
            one_step=one_step[block],
            free_run=free.run,
            free_run_connectivity=free.connectivity,
            free_run_deterministic=None if free is quiet else quiet.run,
            free_run_noise=free.scores["noise"],
            runs=free.scores.get("runs", 1),
            free_run_offset=len(values) - free.scores["frames"],
            warmup_frames=free.scores["warmup_frames"],
        )
    return scores, RecordingForecast(recording.units, recording.frame_rate, recording.value_units, forecasts)


def horizon_starts(
    recording: Recording, part: str, config: EvaluateConfig
) -> tuple[Int[np.ndarray, "S"], dict[int, str]]:
    """Start frames of the horizon scores in a part, the same for every forecaster.

    Returns
    -------
    starts
        [S] up to `config.horizon_starts` evenly spaced frames, so that the start and the longest
        horizon that fits lie in the part.
    too_long
        Horizons that do not fit, and why.
    """
    block = recording.require_parts()[part]
    length = block.stop - block.start
    fitting = [h for h in config.horizons if length - h >= MIN_STARTS]
    too_long = {
        h: f"the part has {length} frames, horizon {h} needs {h + MIN_STARTS}"
        for h in config.horizons
        if h not in fitting
    }
    if not fitting:
        return np.zeros(0, np.int64), too_long
    last = block.stop - 1 - max(fitting)
    count = min(config.horizon_starts, last - block.start + 1)
    return np.unique(np.round(np.linspace(block.start, last, count)).astype(np.int64)), too_long


def _one_step_scores(
    values: Float[np.ndarray, "t P"],
    mask: Bool[np.ndarray, "t P"],
    prediction: Float[np.ndarray, "t P"],
    reference: np.ndarray,
) -> dict[str, Any]:
    fault = "the part has no frames" if not len(values) else diverged(prediction)
    if fault:
        missing = Measured(None, 0, reason=fault)
        result = collect(mse=missing, skill_vs_persistence=missing, fc_corr=missing)
        return {
            **result,
            "per_unit_skill": {**quartiles(np.full(values.shape[1], np.nan)), "above_persistence": 0},
            "scored": 0,
        }
    # The first frames of a recording have no past; skill and MSE are of the same entries everywhere else.
    scored = mask & np.isfinite(prediction) & np.isfinite(reference)
    per_unit = unit_skill(values, prediction, reference, scored)
    return {
        **collect(
            mse=mse(values, prediction, scored),
            skill_vs_persistence=skill(values, prediction, reference, scored),
            fc_corr=fc_corr(functional_connectivity(values, scored), functional_connectivity(prediction, scored)),
        ),
        "per_unit_skill": {
            **quartiles(per_unit),
            "above_persistence": int(np.sum(per_unit[np.isfinite(per_unit)] > 0)),
        },
        "scored": int(scored.sum()),
    }


def _horizon_scores(
    forecaster: Forecaster, reference: Forecaster, recording: Recording, part: str, config: EvaluateConfig
) -> dict[str, Any]:
    starts, too_long = horizon_starts(recording, part, config)
    skills: dict[str, float | None] = {str(h): None for h in config.horizons}
    reasons = {str(h): reason for h, reason in too_long.items()}
    fitting = [h for h in config.horizons if h not in too_long]
    if fitting:
        steps = max(fitting)
        prediction = np.asarray(forecaster.horizon(recording, starts, steps))
        check_shape(forecaster, "horizon", prediction.shape, (len(starts), steps, len(recording.units)))
        held = reference.horizon(recording, starts, 1)[:, 0]
        for h in fitting:
            fault = diverged(np.swapaxes(prediction[:, :h], 0, 1))
            frames = starts + h
            measured = (
                Measured(None, 0, reason=f"the prediction stops being finite within {h} steps")
                if fault
                else skill(recording.values[frames], prediction[:, h - 1], held, recording.mask[frames])
            )
            skills[str(h)] = measured.value
            if measured.reason:
                reasons[str(h)] = measured.reason
    return {"horizon_skill": skills, "horizon": {"starts": len(starts), **({"reasons": reasons} if reasons else {})}}


def data_against_itself(recording: Recording) -> dict[str, Any]:
    """Agreement of the data's own functional connectivity on train and on test: the bar that a static copy reaches."""
    train, test = (functional_connectivity(*recording.part(part)) for part in ("train", "test"))
    return collect(fc_corr_train_vs_test=fc_corr(train, test))


def evaluate_all(
    model: Forecaster,
    initial: Forecaster | None,
    baselines: Sequence[str] | Mapping[str, BaselineFactory] | None,
    recordings: Sequence[Recording],
    config: EvaluateConfig | None = None,
) -> tuple[dict[str, Any], Forecasts]:
    """Score a fitted model, the same model before the fit, and baselines, on every recording.

    Parameters
    ----------
    model, initial
        Predict each of the recordings. `initial` None leaves out `at_initialisation`.
    baselines
        Names from `connfit.evaluate.baselines.BASELINES`, or a mapping of name to factory; None for
        those of `config`. Each is fitted to each recording by itself, on its training part.
    recordings
        With parts; names must differ.
    config
        See `score`.

    Returns
    -------
    metrics
        The keys `observations`, `parts`, `data`, `at_initialisation`, `baselines` and `recordings`
        of `metrics.json`. Numbers outside `recordings` are means over recordings (counts: sums).
    forecasts
        The model's predictions, for the figures.
    """
    config = config or EvaluateConfig()
    if not recordings:
        raise DataError("there is no recording to evaluate")
    if len({recording.name for recording in recordings}) != len(recordings):
        raise DataError("recordings to evaluate share a name", fix="Give each its own")
    factories = baseline_factories(config.baselines if baselines is None else baselines)
    details: dict[str, dict[str, Any]] = {}
    forecasts: dict[str, RecordingForecast] = {}
    for recording in recordings:
        scores, forecasts[recording.name] = score_and_forecast(model, recording, config)
        details[recording.name] = {
            "units": len(recording.units),
            "frame_rate": recording.frame_rate,
            "observations": {part: scores[part]["observed"] for part in PART_NAMES},
            "parts": scores,
            "data": data_against_itself(recording),
            "at_initialisation": None if initial is None else score(initial, recording, config),
            "baselines": {name: _baseline_scores(factory, recording, config) for name, factory in factories.items()},
        }
    every = list(details.values())
    metrics: dict[str, Any] = {
        "observations": {part: sum(one["observations"][part] for one in every) for part in PART_NAMES},
        "parts": pool([one["parts"] for one in every]),
        "data": pool([one["data"] for one in every]),
        "at_initialisation": None if initial is None else pool([one["at_initialisation"] for one in every]),
        "baselines": {name: pool([one["baselines"][name] for one in every]) for name in factories},
        "recordings": details,
    }
    return metrics, Forecasts(forecasts)


def _baseline_scores(factory: BaselineFactory, recording: Recording, config: EvaluateConfig) -> dict[str, Any]:
    try:
        baseline = factory(recording, config)
    except DataError as error:
        return {"reason": str(error)}
    result = score(baseline, recording, config)
    for fact in ("parameters", "chosen"):
        if hasattr(baseline, fact):
            result[fact] = getattr(baseline, fact)
    return result
