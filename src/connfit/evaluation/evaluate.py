"""All scores of a fit: model, untrained model and baselines on every recording, and on animals that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.against_strongest import PartErrors, against_strongest
from connfit.evaluation.baselines import BaselineFactory, chosen_baselines
from connfit.evaluation.ceiling import as_json, pool_ceilings, recording_ceilings, shares_of
from connfit.evaluation.fc_ceiling import between_animals
from connfit.evaluation.forecasts import Forecaster, Forecasts, RecordingForecast
from connfit.evaluation.held_out import INITIAL, MODEL, evaluate_held_out
from connfit.evaluation.left_out_unit import left_out_scores, pool_left_out
from connfit.evaluation.pooling import pool
from connfit.evaluation.scores import Scored, data_against_itself, score, score_and_forecast
from connfit.recordings import PART_NAMES, Recording


def evaluate_all(
    model: Forecaster,
    initial: Forecaster | None,
    baselines: Sequence[str] | Mapping[str, BaselineFactory] | None,
    recordings: Sequence[Recording],
    config: EvaluateConfig | None = None,
    *,
    held_out: Sequence[Recording] = (),
) -> tuple[dict[str, Any], Forecasts]:
    """Score a fitted model, the same model before the fit, and baselines, on every recording.

    Parameters
    ----------
    model, initial
        Predict each of the recordings. `initial` None leaves out `at_initialisation`. The untrained
        model is run ahead (horizons, free runs) on the test part alone.
    baselines
        Names from `connfit.evaluation.baselines.BASELINES`, or a mapping of name to factory; None for
        those of `config`. Each is fitted to each recording by itself, on its training part.
    recordings
        With parts; names must differ.
    config
        See `score`.
    held_out
        Recordings of animals that the model was not fitted to; see `connfit.evaluation.held_out`.

    Returns
    -------
    metrics
        The keys `observations`, `parts`, `data`, `at_initialisation`, `baselines`, `against_strongest`, `ceiling`,
        `left_out_unit` and `recordings` of `metrics.json`, and `held_out` if there are such recordings. Numbers
        outside `recordings` are means over recordings (counts: sums).
    forecasts
        The model's predictions, for the figures.
    """
    config = config or EvaluateConfig()
    if not recordings:
        raise DataError("there is no recording to evaluate")
    if len({recording.name for recording in (*recordings, *held_out)}) != len(recordings) + len(held_out):
        raise DataError("recordings to evaluate share a name", fix="Give each its own")
    factories = chosen_baselines(config.baselines if baselines is None else baselines, config)
    details: dict[str, dict[str, Any]] = {}
    ceilings: dict[str, dict[str, Any]] = {}
    forecasts: dict[str, RecordingForecast] = {}
    predicted: dict[str, dict[str, np.ndarray]] = {MODEL: {}, INITIAL: {}}
    models: dict[str, PartErrors] = {}
    others: dict[str, dict[str, PartErrors]] = {name: {} for name in factories}
    for recording in recordings:
        ours = score_and_forecast(model, recording, config)
        forecasts[recording.name], predicted[MODEL][recording.name] = ours.forecast, ours.one_step
        models[recording.name] = PartErrors.of(ours)
        before = None
        if initial is not None:
            before = score_and_forecast(initial, recording, config, ahead_of=("test",))
            predicted[INITIAL][recording.name] = before.one_step
        baseline_scores: dict[str, dict[str, Any]] = {}
        predicted_by: dict[str, np.ndarray] = {}
        for name, factory in factories.items():
            baseline_scores[name], scored = _baseline_scores(factory, recording, config)
            if scored is not None:
                others[name][recording.name] = PartErrors.of(scored)
                predicted_by[name] = scored.one_step
        limit = recording_ceilings(recording, config)
        ours_and_theirs = {
            "model": (ours.scores["test"], ours.one_step),
            "at_initialisation": None if before is None else (before.scores["test"], before.one_step),
            **{name: (baseline_scores[name]["test"], one_step) for name, one_step in predicted_by.items()},
        }
        ceilings[recording.name] = {
            **limit,
            "shares": {
                name: shares_of(limit, scored[0], recording, scored[1])
                for name, scored in ours_and_theirs.items()
                if scored is not None
            },
        }
        here = {name: {recording.name: of[recording.name]} for name, of in others.items() if recording.name in of}
        details[recording.name] = {
            "units": len(recording.units),
            "frame_rate": recording.frame_rate,
            "observations": {part: ours.scores[part]["observed"] for part in PART_NAMES},
            "parts": ours.scores,
            "data": data_against_itself(recording),
            "at_initialisation": None if before is None else before.scores,
            "baselines": baseline_scores,
            "against_strongest": {
                "test": against_strongest(baseline_scores, {recording.name: models[recording.name]}, here)
            },
            "ceiling": as_json(ceilings[recording.name], recording),
            "left_out_unit": left_out_scores(model, initial, recording, config),
        }
    for name, animals in between_animals(recordings).items():
        ceilings[name]["fc_between_animals"] = details[name]["ceiling"]["fc_between_animals"] = animals
    every = list(details.values())
    baselines_pooled = {name: pool([one["baselines"][name] for one in every]) for name in factories}
    metrics: dict[str, Any] = {
        "observations": {part: sum(one["observations"][part] for one in every) for part in PART_NAMES},
        "parts": pool([one["parts"] for one in every]),
        "data": pool([one["data"] for one in every]),
        "at_initialisation": None if initial is None else pool([one["at_initialisation"] for one in every]),
        "baselines": baselines_pooled,
        "against_strongest": {"test": against_strongest(baselines_pooled, models, others)},
        "ceiling": pool_ceilings(ceilings),
        "left_out_unit": pool_left_out([one["left_out_unit"] for one in every]),
        "recordings": details,
    }
    if not held_out:
        return metrics, Forecasts(forecasts)
    forecasters = {MODEL: model} if initial is None else {MODEL: model, INITIAL: initial}
    metrics["held_out"], unseen = evaluate_held_out(
        forecasters, predicted, list(factories), recordings, held_out, config
    )
    return metrics, Forecasts(forecasts, unseen)


def pooled_scores(
    forecaster: Forecaster,
    recordings: Sequence[Recording],
    config: EvaluateConfig | None = None,
) -> dict[str, Any]:
    """Scores of a model to compare with, as `at_initialisation`: one fitted to a null connectome, for example."""
    return pool([score(forecaster, recording, config, ahead_of=("test",)) for recording in recordings])


def _baseline_scores(
    factory: BaselineFactory, recording: Recording, config: EvaluateConfig
) -> tuple[dict[str, Any], Scored | None]:
    """Scores of a baseline and what they were computed from; without the latter, why it could not be fitted."""
    try:
        baseline = factory(recording, config)
    except DataError as error:
        return {"reason": str(error)}, None
    scored = score_and_forecast(baseline, recording, config)
    result = dict(scored.scores)
    for fact in ("parameters", "chosen"):
        if hasattr(baseline, fact):
            result[fact] = getattr(baseline, fact)
    return result, scored
