"""Scores on animals that were held out of a fit.

Nothing is learned from such an animal. Its values are put on the scale of the model with constants of its
own first frames (its training part, on which nothing is trained), and it is scored on its test part, after
the frames before it as warm-up. What it is compared with is fitted to the other animals too: the same
baselines, pooled over their training parts, and noise drawn from their residuals. One baseline, called
`var_ridge_own`, has seen the animal: an autoregression fitted to its own training part. So have the regression and the
network that stand beside the model where each unit is predicted from the others (`left_out_unit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines import BASELINES
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.ceiling import Ceiling, noise_of, pool_ceilings, recording_ceilings, shares_of
from connfit.evaluation.connectivity import compared_connectivity, compared_units, connectivity_of
from connfit.evaluation.forecasts import Forecaster, RecordingForecast
from connfit.evaluation.left_out_unit import LeftOut, left_out_scores, pool_left_out
from connfit.evaluation.metrics import fc_corr, with_measures
from connfit.evaluation.part_scores import BaselineScores, DataScores, ModelScores, PartScores
from connfit.evaluation.pooling import mean, pool, pool_each
from connfit.evaluation.residual_noise import Residuals, residuals_of_others
from connfit.evaluation.scores import chosen_by, data_against_itself, score_and_forecast
from connfit.recordings import Recording
from connfit.recordings.frame_blocks import Stored

MODEL, INITIAL = "parts", "at_initialisation"
"""Where the scores of the fitted and of the untrained model stand in `metrics.json`."""

HELD_OUT = "held_out"
"""Name of the part that is scored: the test part of an animal that was held out."""

OWN = "var_ridge_own"
"""The autoregression that has seen the animal."""

OWN_LABEL = "own VAR"
"""The same in tables and figures."""

PredictedByName = Mapping[str, Stored]


@dataclass(frozen=True)
class HeldOutData(DataScores):
    """What static copies reach on the test part: of the animal's own training part, and of the other animals'.

    Parameters
    ----------
    fc_corr_training_animals_vs_test
        Correlation of the mean functional connectivity of the training animals with that of the test part.
    """

    fc_corr_training_animals_vs_test: float | None = mean()


@dataclass(frozen=True)
class HeldOutScores(ModelScores):
    """Scores on animals that were held out of a fit, on the one part `held_out`.

    Parameters
    ----------
    data
        The data against themselves.
    ceiling
        Scores as a share of the ceiling.
    left_out_unit
        Units predicted from all others.
    """

    data: HeldOutData = field(default_factory=HeldOutData)
    ceiling: Ceiling = field(default_factory=Ceiling)
    left_out_unit: LeftOut = field(default_factory=LeftOut)


@dataclass(frozen=True)
class HeldOutRecording(HeldOutScores):
    """Scores on one animal, with its number of units and its frame rate in Hz."""

    units: int = 0
    frame_rate: float | None = None


@dataclass(frozen=True)
class HeldOut(HeldOutScores):
    """Scores on all animals that were held out, means over them.

    Parameters
    ----------
    scored_part
        The part of the recordings that is scored.
    trained_on
        Recordings that the model was fitted to.
    recordings
        Each animal by itself.
    """

    scored_part: str = "test"
    trained_on: tuple[str, ...] = ()
    recordings: Mapping[str, HeldOutRecording] = field(default_factory=dict)


def evaluate_held_out(
    models: Mapping[str, Forecaster],
    predicted: Mapping[str, PredictedByName],
    baselines: Sequence[str],
    recordings: Sequence[Recording],
    held_out: Sequence[Recording],
    config: EvaluateConfig,
) -> tuple[HeldOut, dict[str, RecordingForecast]]:
    """Score models and baselines on the test part of every held-out recording.

    Parameters
    ----------
    models
        The fitted model as `MODEL` and, if there is one, the untrained one as `INITIAL`.
    predicted
        For each of them, its one-step predictions of the recordings that it was fitted to, by name:
        where the noise of free runs comes from.
    baselines
        Names; those without a version that is pooled over animals are reported as such.
    recordings
        Of the animals that the model was fitted to.
    held_out
        Of other animals, with units that the model has.

    Returns
    -------
    scores
        Of all animals.
    forecasts
        The fitted model's predictions, with the one part `held_out`.
    """
    details: dict[str, HeldOutRecording] = {}
    forecasts: dict[str, RecordingForecast] = {}
    fitted: dict[tuple[str, tuple[str, ...]], Forecaster | str] = {}
    for recording in held_out:
        scores: dict[str, dict[str, PartScores]] = {}
        for key, model in models.items():
            residuals = _residuals(predicted[key], recordings, recording, config)
            scores[key], forecast = _scored(model, recording, config, residuals)
            if key == MODEL:
                forecasts[recording.name] = forecast
        compared = _baselines(baselines, fitted, recording, recordings, config)
        limit = recording_ceilings(recording, config)
        reached = {"model" if key == MODEL else key: of[HELD_OUT] for key, of in scores.items()}
        reached |= {name: of.held_out for name, of in compared.items() if of.held_out is not None}
        shares = {name: shares_of(limit, of, recording, None) for name, of in reached.items()}
        details[recording.name] = HeldOutRecording(
            observations={HELD_OUT: scores[MODEL][HELD_OUT].observed},
            parts=scores[MODEL],
            at_initialisation=scores.get(INITIAL),
            baselines=compared,
            data=_connectivity_of_the_data(recording, recordings),
            ceiling=replace(limit, shares=shares),
            left_out_unit=left_out_scores(models[MODEL], models.get(INITIAL), recording, config, noise=noise_of(limit)),
            units=len(recording.units),
            frame_rate=recording.frame_rate,
        )
    every = list(details.values())
    before = [detail.at_initialisation for detail in every if detail.at_initialisation]
    pooled = HeldOut(
        observations={HELD_OUT: sum(detail.observations[HELD_OUT] for detail in every)},
        parts=pool_each([detail.parts for detail in every]),
        at_initialisation=pool_each(before) if before else None,
        baselines=pool_each([detail.baselines for detail in every]),
        data=pool([detail.data for detail in every]),
        ceiling=pool_ceilings({name: detail.ceiling for name, detail in details.items()}),
        left_out_unit=pool_left_out([detail.left_out_unit for detail in every]),
        trained_on=tuple(recording.name for recording in recordings),
        recordings=details,
    )
    return pooled, forecasts


def mean_connectivity(recordings: Sequence[Recording], units: Sequence[str]) -> Float[np.ndarray, "P P"]:
    """Return the FC of `units` on the training part, mean over the recordings that have the pair.

    NaN for pairs that no recording has.
    """
    return mean_of_connectivities([(recording.units, *recording.part("train")) for recording in recordings], units)


def mean_of_connectivities(
    recorded: Sequence[tuple[Sequence[str], Stored, Stored]], units: Sequence[str]
) -> Float[np.ndarray, "P P"]:
    """Return the mean FC of `units` over recordings, each of units of its own; NaN for pairs that none has.

    Parameters
    ----------
    recorded
        Units, values and mask of each.
    """
    total, count = np.zeros((len(units), len(units))), np.zeros((len(units), len(units)))
    for names, values, mask in recorded:
        position = {unit: k for k, unit in enumerate(names)}
        own = [k for k, unit in enumerate(units) if unit in position]
        columns = np.array([position[unit] for unit in units if unit in position], np.int64)
        aligned = np.full(total.shape, np.nan)
        aligned[np.ix_(own, own)] = connectivity_of(values, mask, columns)
        total += np.nan_to_num(aligned)
        count += np.isfinite(aligned)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _connectivity_of_the_data(recording: Recording, others: Sequence[Recording]) -> HeldOutData:
    test, own = compared_connectivity(*recording.part("test")), data_against_itself(recording)
    compared = [recording.units[k] for k in compared_units(len(recording.units))]
    copied = fc_corr(mean_connectivity(others, compared), test)
    found = with_measures(HeldOutData(**vars(own)), fc_corr_training_animals_vs_test=copied)
    return replace(found, reasons={**own.reasons, **found.reasons})


def _scored(
    forecaster: Forecaster, recording: Recording, config: EvaluateConfig, residuals: Residuals | None
) -> tuple[dict[str, PartScores], RecordingForecast]:
    """Scores and forecast of the test part, called `held_out`."""
    done = score_and_forecast(forecaster, recording, config, parts=("test",), residuals=residuals)
    forecast = RecordingForecast(
        recording.units, recording.frame_rate, recording.value_units, {HELD_OUT: done.forecast.parts["test"]}
    )
    return {HELD_OUT: done.scores["test"]}, forecast


def _residuals(
    one_step: PredictedByName, recordings: Sequence[Recording], recording: Recording, config: EvaluateConfig
) -> Residuals:
    return residuals_of_others(one_step, recordings, recording.units, config.free_run_warmup)


def _baselines(
    names: Sequence[str],
    fitted: dict[tuple[str, tuple[str, ...]], Forecaster | str],
    recording: Recording,
    recordings: Sequence[Recording],
    config: EvaluateConfig,
) -> dict[str, BaselineScores]:
    """Scores of the baselines; `fitted` remembers those of animals with the same units."""
    result: dict[str, BaselineScores] = {}
    for name in names:
        key = (name, recording.units)
        if key not in fitted:
            fitted[key] = _fitted(name, recording, recordings, config)
        baseline = fitted[key]
        if isinstance(baseline, str):
            result[name] = BaselineScores(reason=baseline)
            continue
        predicted = {other.name: _for_its_units(baseline, other, recording.units) for other in recordings}
        residuals = _residuals(predicted, recordings, recording, config)
        result[name] = _baseline(baseline, recording, config, residuals)
    if "var_ridge" in names:
        try:
            own = VarRidge.fit(recording, config)
            result[OWN] = _baseline(own, recording, config, None)
        except DataError as error:
            result[OWN] = BaselineScores(reason=str(error))
    return result


def _baseline(
    baseline: Forecaster, recording: Recording, config: EvaluateConfig, residuals: Residuals | None
) -> BaselineScores:
    scores = _scored(baseline, recording, config, residuals)[0]
    return BaselineScores(held_out=scores[HELD_OUT], chosen=chosen_by(baseline))


def _fitted(
    name: str, recording: Recording, recordings: Sequence[Recording], config: EvaluateConfig
) -> Forecaster | str:
    """The pooled baseline, or why there is none."""
    if name not in BASELINES:
        return f"there is no version of {name!r} that is fitted to other animals"
    baseline = BASELINES[name]
    if baseline.pooled is None:
        return baseline.not_pooled
    try:
        return baseline.pooled(recordings, recording.units, config)
    except DataError as error:
        return str(error)


def _for_its_units(baseline: Forecaster, recording: Recording, units: Sequence[str]) -> Float[np.ndarray, "T p"]:
    """One-step predictions, of a baseline of `units`, for a recording of others; NaN for those it does not know."""
    position = {unit: k for k, unit in enumerate(recording.units)}
    own = [k for k, unit in enumerate(units) if unit in position]
    columns = [position[units[k]] for k in own]
    values = np.full((recording.frames, len(units)), np.nan)
    mask = np.zeros(values.shape, bool)
    values[:, own], mask[:, own] = recording.values[:, columns], recording.mask[:, columns]
    padded = Recording(
        recording.name, values, tuple(units), recording.frame_rate, mask=mask, parts=recording.parts,
        inputs=recording.inputs,
    )  # fmt: skip
    predicted = np.full(recording.values.shape, np.nan)
    predicted[:, columns] = baseline.one_step(padded)[:, own]
    return predicted
