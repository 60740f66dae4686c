"""All scores of a fit: model, untrained model and baselines on every recording, and on animals that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from connfit._system.heap import return_freed_pieces
from connfit._system.stages import stage
from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.against_strongest import PartErrors, against_strongest
from connfit.evaluation.baselines import BaselineFactory, chosen_baselines, with_their_inputs
from connfit.evaluation.baselines.persistence import Persistence
from connfit.evaluation.ceiling import noise_of, pool_ceilings, recording_ceilings, shares_of
from connfit.evaluation.evaluated import Evaluation, OneRecording
from connfit.evaluation.explained import WIRING, StackErrors, explained, stack_errors, with_candidate
from connfit.evaluation.fc_ceiling import between_animals
from connfit.evaluation.forecasts import Forecaster, Forecasts, RecordingForecast
from connfit.evaluation.held_out import INITIAL, MODEL, evaluate_held_out
from connfit.evaluation.left_out_unit import left_out_scores, pool_left_out
from connfit.evaluation.part_scores import BaselineScores, PartScores
from connfit.evaluation.pooling import pool, pool_each
from connfit.evaluation.predictions import predictions
from connfit.evaluation.run_ahead import parts_run_ahead
from connfit.evaluation.scores import Scored, chosen_by, data_against_itself, score, score_and_forecast
from connfit.evaluation.scratch import Scratch, scratch
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.frame_blocks import Stored


def evaluate_all(
    model: Forecaster,
    initial: Forecaster | None,
    baselines: Sequence[str] | Mapping[str, BaselineFactory] | None,
    recordings: Sequence[Recording],
    config: EvaluateConfig | None = None,
    *,
    held_out: Sequence[Recording] = (),
    save_to: Path | None = None,
) -> tuple[Evaluation, Forecasts]:
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
    save_to
        File for the forecasts, beside which large arrays are kept meanwhile; default: all of it is held in memory.

    Returns
    -------
    evaluation
        Without the facts of a run, such as its dataset.
    forecasts
        The model's predictions, for the figures.
    """
    config = config or EvaluateConfig()
    if not recordings:
        raise DataError("there is no recording to evaluate")
    if len({recording.name for recording in (*recordings, *held_out)}) != len(recordings) + len(held_out):
        raise DataError("recordings to evaluate share a name", fix="Give each its own")
    named = with_their_inputs(config.baselines, recordings) if baselines is None else baselines
    factories = chosen_baselines(named, config)
    with scratch(None if save_to is None else save_to.parent, in_memory=save_to is None) as store:
        with stage("comparisons"):
            evaluation, forecasts = _evaluated(model, initial, factories, recordings, config, held_out, store)
        if save_to is None:
            return evaluation, forecasts
        with stage("writing forecasts"):
            forecasts.save(save_to)
    return evaluation, Forecasts.load(save_to)


def _evaluated(
    model: Forecaster,
    initial: Forecaster | None,
    factories: Mapping[str, BaselineFactory],
    recordings: Sequence[Recording],
    config: EvaluateConfig,
    held_out: Sequence[Recording],
    store: Scratch,
) -> tuple[Evaluation, Forecasts]:
    details: dict[str, OneRecording] = {}
    forecasts: dict[str, RecordingForecast] = {}
    predicted: dict[str, dict[str, Stored]] = {MODEL: {}, INITIAL: {}}
    models: dict[str, PartErrors] = {}
    others: dict[str, dict[str, PartErrors]] = {name: {} for name in factories}
    stacks: dict[str, StackErrors | str] = {}
    animals = between_animals(recordings)
    for recording in recordings:
        with stage("ceilings"):
            last, _ = predictions(Persistence(), recording, (), config, store)
            limit = recording_ceilings(recording, config, last)
        with stage("scores of the model"):
            ahead_of = parts_run_ahead(model, recording, config)
            ours = score_and_forecast(model, recording, config, ahead_of=ahead_of, store=store, persistence=last)
        forecasts[recording.name], predicted[MODEL][recording.name] = ours.forecast, ours.one_step
        models[recording.name] = PartErrors.of(ours)
        shares = {"model": shares_of(limit, ours.scores["test"], recording, ours.one_step, last)}
        before: Scored | None = None
        if initial is not None:
            with stage("scores of the untrained model"):
                before = score_and_forecast(
                    initial, recording, config, ahead_of=("test",), store=store, persistence=last
                )  # fmt: skip
            predicted[INITIAL][recording.name] = before.one_step
            shares[INITIAL] = shares_of(limit, before.scores["test"], recording, before.one_step, last)
        baseline_scores: dict[str, BaselineScores] = {}
        with store.more() as parts:
            best = with_candidate({}, WIRING, "model", ours, recording, parts)
            for name, factory in factories.items():
                with stage(f"baseline {name}"), store.more() as own:
                    baseline_scores[name], found = _baseline_scores(factory, recording, config, own, last)
                    if found is not None:
                        shares[name] = shares_of(limit, found.scores["test"], recording, found.one_step, last)
                        others[name][recording.name] = PartErrors.of(found)
                        knows = getattr(factory, "knows", "")
                        best = with_candidate(best, knows, name, found, recording, parts)
            with stage("what explains it"):
                stacks[recording.name] = stack_errors(recording, best, last)
        # What compiling left goes back before networks on the other units are compiled.
        return_freed_pieces()
        with stage("units left out"):
            left_out = left_out_scores(model, initial, recording, config, noise=noise_of(limit))
        here = {name: {recording.name: of[recording.name]} for name, of in others.items() if recording.name in of}
        details[recording.name] = OneRecording(
            units=len(recording.units),
            frame_rate=recording.frame_rate,
            observations={part: ours.scores[part].observed for part in PART_NAMES},
            parts=ours.scores,
            data=data_against_itself(recording),
            at_initialisation=None if before is None else before.scores,
            baselines=baseline_scores,
            against_strongest={
                "test": against_strongest(baseline_scores, {recording.name: models[recording.name]}, here)
            },
            ceiling=replace(limit, shares=shares, fc_between_animals=animals.get(recording.name)),
            left_out_unit=left_out,
            explained=explained({recording.name: stacks[recording.name]}),
        )
    every = list(details.values())
    baselines_pooled = pool_each([detail.baselines for detail in every])
    held_out_scores, unseen = None, {}
    if held_out:
        forecasters = {MODEL: model} if initial is None else {MODEL: model, INITIAL: initial}
        with stage("held-out animals"):
            held_out_scores, unseen = evaluate_held_out(
                forecasters, predicted, list(factories), recordings, held_out, config
            )
    evaluation = Evaluation(
        observations={part: sum(detail.observations[part] for detail in every) for part in PART_NAMES},
        parts=pool_each([detail.parts for detail in every]),
        data=pool([detail.data for detail in every]),
        at_initialisation=None if initial is None else pool_each([detail.at_initialisation or {} for detail in every]),
        baselines=baselines_pooled,
        against_strongest={"test": against_strongest(baselines_pooled, models, others)},
        ceiling=pool_ceilings({name: detail.ceiling for name, detail in details.items()}),
        left_out_unit=pool_left_out([detail.left_out_unit for detail in every]),
        explained=explained(stacks),
        recordings=details,
        held_out=held_out_scores,
    )
    return evaluation, Forecasts(forecasts, unseen)


def pooled_scores(
    forecaster: Forecaster,
    recordings: Sequence[Recording],
    config: EvaluateConfig | None = None,
) -> dict[str, PartScores]:
    """Score a model to compare with, as `at_initialisation`: one fitted to a null connectome, for example."""
    return pool_each([score(forecaster, recording, config, ahead_of=("test",)) for recording in recordings])


def _baseline_scores(
    factory: BaselineFactory, recording: Recording, config: EvaluateConfig, store: Scratch, persistence: Stored
) -> tuple[BaselineScores, Scored | None]:
    """Scores of a baseline and what they were computed from; without the latter, why it could not be fitted."""
    try:
        baseline = factory(recording, config)
    except DataError as error:
        return BaselineScores(reason=str(error)), None
    scored = score_and_forecast(baseline, recording, config, store=store, persistence=persistence)
    parameters = getattr(baseline, "parameters", None)
    return replace(BaselineScores(parameters=parameters, chosen=chosen_by(baseline)), **scored.scores), scored
