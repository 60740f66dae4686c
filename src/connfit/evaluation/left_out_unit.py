"""Leave-one-unit-out: how well each recorded unit is predicted from the others through the model.

The model is run over the recorded frames of all units but one, which it is never given: its own prediction stands in
for it. What it says of that unit then comes through its connections (and its background drive) from the others. The
unit's training frames were seen by the fit, as they were by the ridge regression and the small network on the others
that stand beside the model. Of an animal that was held out of the fit the model has seen nothing; the regression and
the network are fitted to that animal's own first frames all the same.

Scores are of single units, over the frames of a part: skill over the unit's training mean, 1 - MSE / MSE of that mean,
and the Pearson correlation over time, which forgives a wrong level and scale (0: the prediction does not
move). Medians over units have intervals over units or, of three animals or more, over animals with their units
(`left_out_intervals`). The ceiling is what noise that is white in time leaves to any prediction: skill 1 - σ² / MSE of
the mean, correlation √(1 - σ² / variance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from connfit._io import finite, optional
from connfit.config import EvaluateConfig
from connfit.errors import DataError
from connfit.evaluation.baselines.unit_scaling import Scaling
from connfit.evaluation.divergence import diverged
from connfit.evaluation.forecasts import Forecaster
from connfit.evaluation.free_run import LONGEST_RUN
from connfit.evaluation.left_out_intervals import OverUnits, over_units
from connfit.evaluation.left_out_mlp import OthersMlp
from connfit.evaluation.left_out_path import OthersPath
from connfit.evaluation.left_out_ridge import OthersRidge
from connfit.evaluation.metrics import Quartiles, quartiles, unit_correlations, unit_skill
from connfit.evaluation.part_scores import Chosen
from connfit.evaluation.pooling import Result
from connfit.evaluation.run_ahead import weights_of
from connfit.recordings import Recording

MODEL, UNTRAINED, RIDGE, MLP, CEILING = "model", "untrained", "ridge", "mlp", "ceiling"
PREDICTORS = (MODEL, UNTRAINED, RIDGE, MLP)

WORK = 2_000_000
"""Neurons times units up to which all units are left out in turn; of larger brains a sample."""

PRODUCTS = 2_000_000_000
"""Weights, of connections and drive, times units up to which they are: what is multiplied in every frame."""

MIN_SAMPLE = 16
MIN_PAIRS = 6
"""Units below which a paired test can reach no usual level: with 5 the least two-sided p is 0.0625."""

LEVEL = 0.05


@runtime_checkable
class LeavesOut(Protocol):
    """A forecaster that can predict a unit from all others without ever being given it."""

    def left_out(
        self, recording: Recording, units: Int[np.ndarray, "K"], start: int, stop: int, warmup: int
    ) -> Float[np.ndarray, "frames K"]:
        """Predict frames `start` to `stop - 1` of the units in these columns, each from the others' frames before."""
        ...


def sampled_units(units: int, neurons: int, most: int, weights: int = 0) -> Int[np.ndarray, "K"]:
    """Return columns that are left out in turn: all, or evenly spaced ones if there are more than can be afforded."""
    affordable = min(WORK // max(neurons, 1), PRODUCTS // max(weights, 1))
    count = min(units, most, max(MIN_SAMPLE, affordable))
    return np.unique(np.round(np.linspace(0, units - 1, count)).astype(int))


@dataclass(frozen=True)
class LeftOutScores:
    """Scores of units that are predicted from the others, over units: skill over the training mean, and correlation.

    Parameters
    ----------
    skill, r
        Quartiles over the units of all recordings.
    skill_interval, r_interval
        The medians again, with intervals over units and animals.
    """

    skill: Quartiles = field(default_factory=Quartiles)
    r: Quartiles = field(default_factory=Quartiles)
    skill_interval: OverUnits = field(default_factory=OverUnits)
    r_interval: OverUnits = field(default_factory=OverUnits)


@dataclass(frozen=True)
class UnitScores:
    """The same of each unit, None where it is not defined."""

    skill: tuple[float | None, ...] = ()
    r: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class LeftOutUnits(Result):
    """Units by name, with the scores of each forecaster that could predict them, and what noise leaves to any."""

    units: tuple[str, ...] = ()
    model: UnitScores | None = optional()
    untrained: UnitScores | None = optional()
    ridge: UnitScores | None = optional()
    mlp: UnitScores | None = optional()
    ceiling: UnitScores | None = optional()


@dataclass(frozen=True)
class LeftOutTest(Result):
    """The model compared with another forecaster unit by unit.

    Parameters
    ----------
    median
        Of the differences in skill.
    low, high
        Ends of its 95 % interval over units and, of three animals or more, animals.
    p_value
        Of a two-sided signed-rank test (Wilcoxon 1945, Biom. Bull. 1:80). Units of one animal are not independent, so
        that it is smaller than it should be.
    better, worse, units
        Units that the model predicts better, worse, and all.
    outcome
        `"better"`, `"worse"` or `"tie"` at the level 0.05; None without a test.
    """

    median: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    better: int = 0
    worse: int = 0
    units: int = 0
    outcome: str | None = None


@dataclass(frozen=True)
class LeftOut(Result):
    """Scores of units that are predicted from all others.

    Parameters
    ----------
    part
        The part that is scored.
    frames
        Of parts that are longer: the first ones, so many of each.
    units, of
        Units that were left out in turn, of how many.
    model, untrained, ridge, mlp
        By the model, the untrained one, and a ridge regression and a small network on the others.
    ceiling
        What noise leaves to any prediction.
    model_minus_untrained, model_minus_ridge, model_minus_mlp
        The model compared with the others.
    per_unit
        Single units, of one recording.
    chosen
        What the tuning of the ridge regression chose, of one recording.
    reason
        Why nothing was computed.
    """

    part: str | None = optional()
    frames: int | None = optional()
    units: int | None = optional()
    of: int | None = optional()
    model: LeftOutScores | None = optional()
    untrained: LeftOutScores | None = optional()
    ridge: LeftOutScores | None = optional()
    mlp: LeftOutScores | None = optional()
    ceiling: LeftOutScores | None = optional()
    model_minus_untrained: LeftOutTest | None = optional()
    model_minus_ridge: LeftOutTest | None = optional()
    model_minus_mlp: LeftOutTest | None = optional()
    per_unit: LeftOutUnits | None = optional()
    chosen: Chosen | None = optional()
    reason: str | None = optional()


def left_out_scores(
    model: Forecaster,
    initial: Forecaster | None,
    recording: Recording,
    config: EvaluateConfig | None = None,
    part: str = "test",
    *,
    noise: Sequence[float | None] | None = None,
) -> LeftOut:
    """Score every unit predicted from the others: by model, untrained model, ridge regression and a small network.

    Parameters
    ----------
    noise
        Variance of the noise of every unit, in squared units of the values, None where it is not known
        (`connfit.evaluation.ceiling.Ceiling.noise_variance`): for the ceiling.
    """
    config = config or EvaluateConfig()
    if config.left_out_units == 0:
        return LeftOut(reason="evaluate.left_out_units = 0: not asked for")
    if not isinstance(model, LeavesOut):
        return LeftOut(reason=f"{model.name!r} cannot be run without a unit")
    units = len(recording.units)
    if units < 2:
        return LeftOut(reason="one unit was recorded: there are no others to predict it from")
    block = recording.require_parts()[part]
    start, stop = max(block.start, 1), min(block.stop, max(block.start, 1) + LONGEST_RUN)
    if stop - start < 3:
        return LeftOut(reason=f"the {part} part has {stop - start} frames to predict, 3 are needed")
    brain = getattr(model, "model", None)
    neurons, weights = (1, 1) if brain is None else (brain.neurons, weights_of(brain))
    at = sampled_units(units, neurons, config.left_out_units, weights)
    values, mask = recording.values[start:stop][:, at], recording.mask[start:stop][:, at]
    means = Scaling.of(*recording.part("train")).means[at]
    reference = np.broadcast_to(means, values.shape)
    each: dict[str, UnitScores] = {}
    reasons: dict[str, str] = {}
    chosen = None
    for name, forecaster in ((MODEL, model), (UNTRAINED, initial)):
        if isinstance(forecaster, LeavesOut):
            predicted = forecaster.left_out(recording, at, start, stop, config.free_run_warmup)
            fault = diverged(predicted)
            if fault:
                reasons[name] = fault
            else:
                each[name] = _scores(values, predicted, reference, mask)
    ridge: OthersRidge | OthersPath | None = None
    try:
        ridge = OthersRidge.fit(recording, config)
        chosen = ridge.chosen
        each[RIDGE] = _scores(values, ridge.predict(recording, start, stop)[:, at], reference, mask)
    except DataError as error:
        reasons[RIDGE] = str(error)
    try:
        mlp = OthersMlp.fit(recording, at, min(config.var_lags) if ridge is None else ridge.lags, config)
        # Units without a network are not scored.
        predicted = np.full(values.shape, np.nan)
        predicted[:, np.isin(at, mlp.units)] = mlp.predict(recording, start, stop)
        each[MLP] = _scores(values, predicted, reference, mask)
        if len(mlp.units) < len(at):
            reasons[MLP] = f"of {len(mlp.units)} of {len(at)} units: more networks would take too long"
    except DataError as error:
        reasons[MLP] = str(error)
    if noise is not None:
        each[CEILING] = _ceiling(values, reference, mask, np.array(noise, float)[at])
    else:
        reasons[CEILING] = "the noise of units is not known"
    per_unit = LeftOutUnits(units=tuple(recording.units[k] for k in at), reasons=reasons, **each)
    return replace(summary([per_unit]), part=part, units=len(at), of=units, per_unit=per_unit, chosen=chosen,
                   frames=stop - start if stop < block.stop else None, reasons=reasons)  # fmt: skip


def summary(per_unit: Sequence[LeftOutUnits]) -> LeftOut:
    """Return quartiles over the units of all recordings, and paired comparisons of the model with the others."""
    found: dict[str, Any] = {}
    for name in (*PREDICTORS, CEILING):
        there = [scores for units in per_unit if (scores := _of(units, name))]
        if there:
            skill, r = [_numbers(scores.skill) for scores in there], [_numbers(scores.r) for scores in there]
            found[name] = LeftOutScores(
                quartiles(np.concatenate(skill)), quartiles(np.concatenate(r)),
                over_units(skill, most=1.0), over_units(r, most=1.0),
            )  # fmt: skip
    for name in PREDICTORS[1:]:
        pairs = [(_of(units, MODEL), _of(units, name)) for units in per_unit]
        both = [(_numbers(ours.skill), _numbers(theirs.skill)) for ours, theirs in pairs if ours and theirs]
        if both:
            interval = over_units([ours - theirs for ours, theirs in both])
            test = paired(*map(np.concatenate, zip(*both, strict=True)))
            found[f"model_minus_{name}"] = replace(test, low=interval.low, high=interval.high)
    return LeftOut(**found)


def _of(units: LeftOutUnits, name: str) -> UnitScores | None:
    return getattr(units, name)


def paired(ours: Float[np.ndarray, "K"], theirs: Float[np.ndarray, "K"]) -> LeftOutTest:
    """Compare two forecasters unit by unit: median difference and signed-rank test."""
    difference = (ours - theirs)[np.isfinite(ours) & np.isfinite(theirs)]
    found = LeftOutTest(
        median=float(np.median(difference)) if len(difference) else None,
        better=int((difference > 0).sum()),
        worse=int((difference < 0).sum()),
        units=len(difference),
    )
    differ = np.count_nonzero(difference)
    if differ < MIN_PAIRS:
        return replace(found, reasons={"p_value": f"{differ} units differ, {MIN_PAIRS} are needed for a test"})
    p = float(np.asarray(stats.wilcoxon(difference))[1])
    outcome = "tie" if p >= LEVEL else ("better" if np.median(difference) > 0 else "worse")
    return replace(found, p_value=p, outcome=outcome)


def pool_left_out(each: Sequence[LeftOut]) -> LeftOut:
    """Pool scores over the units of all recordings; single units stand with their recording."""
    scored = [(recording, recording.per_unit) for recording in each if recording.per_unit is not None]
    if not scored:
        return LeftOut(reason=each[0].reason if each else "there is no recording")
    reasons = {key: text for recording, _ in scored for key, text in recording.reasons.items()}
    lacking = [recording.reason for recording in each if recording.per_unit is None]
    if lacking:
        reasons["recordings"] = f"{len(lacking)} of {len(each)} recordings are left out: {lacking[0]}"
    return replace(
        summary([per_unit for _, per_unit in scored]),
        part=scored[0][0].part,
        units=sum(recording.units or 0 for recording, _ in scored),
        of=sum(recording.of or 0 for recording, _ in scored),
        frames=max((recording.frames for recording, _ in scored if recording.frames is not None), default=None),
        reasons=reasons,
    )


def _scores(values: np.ndarray, predicted: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> UnitScores:
    skill, r = unit_skill(values, predicted, reference, mask), unit_correlations(values, predicted, mask)
    # A prediction that does not move follows nothing: left undefined, it would raise the median of the others.
    still = np.isnan(r) & (np.ptp(predicted, axis=0) == 0) & (np.ptp(np.where(mask, values, reference), axis=0) > 0)
    r = np.where(still, 0.0, r)
    return UnitScores(tuple(finite(skill)), tuple(finite(r)))


def _ceiling(values: np.ndarray, reference: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> UnitScores:
    """What is left to a prediction that knows everything but the noise; at least 0."""
    seen = np.where(mask, values, np.nan)
    known = mask.any(axis=0) & np.isfinite(noise)
    square, variance = np.full(len(noise), np.nan), np.full(len(noise), np.nan)
    square[known] = np.nanmean((seen[:, known] - reference[:, known]) ** 2, axis=0)
    variance[known] = np.nanvar(seen[:, known], axis=0)
    skill = np.maximum(1 - noise / np.where(square > 0, square, np.nan), 0)
    r = np.sqrt(np.maximum(1 - noise / np.where(variance > 0, variance, np.nan), 0))
    return UnitScores(tuple(finite(skill)), tuple(finite(r)))


def _numbers(each: Sequence[float | None]) -> Float[np.ndarray, "K"]:
    return np.array(each, float)
