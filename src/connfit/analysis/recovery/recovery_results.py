"""What `recovery.json` holds: agreement of parameters and activity with the truth, by condition and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from connfit._io import optional
from connfit.analysis.recovery.design import Condition, Design, Setting
from connfit.datasets.synthetic.known_teacher import TeacherSettings


@dataclass(frozen=True)
class Agreement:
    """Estimates beside the truth.

    Parameters
    ----------
    n, left_out
        Pairs that are compared, and those that are not: an estimate of 0 has no logarithm.
    r2
        Coefficient of determination 1 - Σ(x - x̂)²/Σ(x - x̄)²: a wrong scale or offset counts as error, and it is
        negative where the mean of the truth would be the better estimate.
    r, rank
        Pearson's and Spearman's correlation.
    reason
        Why a number is None.
    """

    n: int = 0
    left_out: int = 0
    r2: float | None = None
    r: float | None = None
    rank: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ActivityAgreement:
    """Activity over test time beside the teacher's, as quartiles over neurons.

    Parameters
    ----------
    r, r2
        Lower quartile, median and upper quartile of each neuron's correlation and explained variance.
    undefined
        Neurons whose prediction does not vary, which have no correlation.
    skill_vs_persistence
        One step ahead; of recorded neurons only.
    """

    neurons: int = 0
    r: tuple[float, ...] | None = None
    r2: tuple[float, ...] | None = None
    undefined: int = 0
    reason: str | None = None
    skill_vs_persistence: float | None = optional()


@dataclass(frozen=True)
class ParameterAgreement:
    """Agreement of each group of parameters: of `all`, and apart for what is between, or of, `recorded` neurons and
    the rest (`unrecorded`).

    Parameters
    ----------
    own
        Of the cell's own parameters, by key; of time constants the logarithms.
    inputs
        Of the weights of external inputs; empty where the student knows of none.
    time_constants_ratio
        Median over all neurons of time constants over the true ones.
    """

    weights: Mapping[str, Agreement] = field(default_factory=dict)
    log_weights: Mapping[str, Agreement] = field(default_factory=dict)
    log_time_constants: Mapping[str, Agreement] = field(default_factory=dict)
    bias: Mapping[str, Agreement] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Agreement]] = optional(dict)
    inputs: Mapping[str, Agreement] = optional(dict)
    time_constants_ratio: float | None = optional()


@dataclass(frozen=True)
class IndicatorFound:
    """A time constant of an indicator in seconds: the teacher's, and the student's before and after training."""

    true_s: float
    start_s: float
    found_s: float


@dataclass(frozen=True)
class PredictedActivity:
    """Activity as predicted by the student as `fitted` and `at_start`, and by the `teacher`'s own parameters.

    Parameters
    ----------
    recorded
        One step ahead.
    unrecorded
        While the recorded neurons are given; `shuffled`: fitted, with the neurons' predictions exchanged at random.
    """

    recorded: Mapping[str, ActivityAgreement] = field(default_factory=dict)
    unrecorded: Mapping[str, ActivityAgreement] = field(default_factory=dict)


@dataclass(frozen=True)
class ConditionResult(Condition):
    """What one student of one teacher recovered.

    Parameters
    ----------
    neurons, sensory_neurons, recorded_neurons, connections
        Of the teacher; sensory neurons are not among the recorded ones.
    observations, parameters
        Observed numbers in the training part, and trained ones by group.
    recovered, at_start
        After training and before.
    regression
        What each neuron's own regression finds; None where the student is none (see `Setting.has_regression`).
    indicator
        Time constants of the indicator, by group; empty where the student has none.
    chosen_epoch, epochs, updates
        The epoch whose parameters were kept (from 1 on), and how many epochs and parameter updates there were.
    seconds
        That the condition took.
    """

    neurons: int = 0
    sensory_neurons: int = 0
    recorded_neurons: int = 0
    connections: int = 0
    observations: int = 0
    parameters: Mapping[str, int] = field(default_factory=dict)
    recovered: ParameterAgreement | None = None
    at_start: ParameterAgreement | None = None
    regression: ParameterAgreement | None = None
    activity: PredictedActivity | None = None
    indicator: Mapping[str, IndicatorFound] = optional(dict)
    chosen_epoch: int = 0
    epochs: int = 0
    updates: int = 0
    seconds: float = 0.0

    @property
    def condition(self) -> Condition:
        """The condition, with the seed of curves, which is 0."""
        return Condition(**{name: getattr(self, name) for name in Setting.__dataclass_fields__})


@dataclass(frozen=True)
class OverSeeds:
    """Mean, lowest and highest over teachers that have the number, and how many these are."""

    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    seeds: int = 0

    @classmethod
    def of(cls, values: Sequence[float | None]) -> OverSeeds | None:
        """Pool the values that exist; None if there is none."""
        there = [value for value in values if value is not None]
        return cls(float(np.mean(there)), min(there), max(there), len(there)) if there else None


def _from(path: str) -> Any:
    """Declare a number of a `Point` by its place in a `ConditionResult`; it is left out where no seed has it."""
    return field(default=None, metadata={"optional": True, "from": path.split(".")})


@dataclass(frozen=True)
class Point(Setting):
    """A condition over its seeds: each number stands in `conditions[]` where its field says, the median of quartiles.

    Parameters
    ----------
    seeds
        Teachers that were done.
    observations, parameters
        See `ConditionResult`; `parameters` is the sum over groups.
    own_r2
        R² of the cell's own parameters, by key.
    inputs_r2
        R² of the weights of external inputs.
    indicator_ratio
        Time constants of the indicator over the true ones, by group.
    """

    seeds: int = 0
    observations: int = 0
    parameters: int = 0
    weights_r2: OverSeeds | None = _from("recovered.weights.all.r2")
    weights_rank: OverSeeds | None = _from("recovered.weights.all.rank")
    weights_r2_between_recorded: OverSeeds | None = _from("recovered.weights.recorded.r2")
    weights_r2_at_start: OverSeeds | None = _from("at_start.weights.all.r2")
    weights_r2_regression: OverSeeds | None = _from("regression.weights.all.r2")
    log_weights_r2: OverSeeds | None = _from("recovered.log_weights.all.r2")
    time_constants_r2: OverSeeds | None = _from("recovered.log_time_constants.all.r2")
    time_constants_r2_recorded: OverSeeds | None = _from("recovered.log_time_constants.recorded.r2")
    time_constants_r2_unrecorded: OverSeeds | None = _from("recovered.log_time_constants.unrecorded.r2")
    time_constants_r2_regression: OverSeeds | None = _from("regression.log_time_constants.all.r2")
    bias_r2: OverSeeds | None = _from("recovered.bias.all.r2")
    bias_r2_regression: OverSeeds | None = _from("regression.bias.all.r2")
    recorded_r: OverSeeds | None = _from("activity.recorded.fitted.r")
    recorded_r_at_start: OverSeeds | None = _from("activity.recorded.at_start.r")
    recorded_r_teacher: OverSeeds | None = _from("activity.recorded.teacher.r")
    recorded_skill: OverSeeds | None = _from("activity.recorded.fitted.skill_vs_persistence")
    recorded_skill_teacher: OverSeeds | None = _from("activity.recorded.teacher.skill_vs_persistence")
    unrecorded_r: OverSeeds | None = _from("activity.unrecorded.fitted.r")
    unrecorded_r2: OverSeeds | None = _from("activity.unrecorded.fitted.r2")
    unrecorded_r_at_start: OverSeeds | None = _from("activity.unrecorded.at_start.r")
    unrecorded_r_shuffled: OverSeeds | None = _from("activity.unrecorded.shuffled.r")
    unrecorded_r_teacher: OverSeeds | None = _from("activity.unrecorded.teacher.r")
    time_constants_ratio: OverSeeds | None = _from("recovered.time_constants_ratio")
    inputs_r2: OverSeeds | None = _from("recovered.inputs.all.r2")
    own_r2: Mapping[str, OverSeeds | None] = field(default_factory=dict, hash=False, metadata={"optional": True})
    indicator_ratio: Mapping[str, OverSeeds | None] = field(
        default_factory=dict, hash=False, metadata={"optional": True}
    )

    @classmethod
    def of(cls, results: Sequence[ConditionResult]) -> Point:
        """Pool the results of one condition over its seeds."""
        first = results[0]
        numbers: dict[str, Any] = {
            declared.name: OverSeeds.of([_reached(result, declared.metadata["from"]) for result in results])
            for declared in fields(cls)
            if "from" in declared.metadata
        }
        settings = {name: getattr(first, name) for name in Setting.__dataclass_fields__}
        return cls(
            **settings, seeds=len(results), observations=first.observations, parameters=sum(first.parameters.values()),
            own_r2=_own(results), indicator_ratio=_indicator(results), **numbers,
        )  # fmt: skip

    @property
    def activity_alone(self) -> bool:
        """Whether recorded activity is as right as by the truth (within 0.03), with weights far from it (below 0.9)."""
        if self.recorded_r is None or self.recorded_r_teacher is None or self.weights_r2 is None:
            return False
        return self.recorded_r.mean > self.recorded_r_teacher.mean - 0.03 and self.weights_r2.mean < 0.9


def _own(results: Sequence[ConditionResult]) -> dict[str, OverSeeds | None]:
    found = [result.recovered.own for result in results if result.recovered is not None]
    return {key: OverSeeds.of([each[key]["all"].r2 for each in found]) for key in (found[0] if found else ())}


def _indicator(results: Sequence[ConditionResult]) -> dict[str, OverSeeds | None]:
    found = [result.indicator for result in results]
    return {name: OverSeeds.of([each[name].found_s / each[name].true_s for each in found]) for name in found[0]}


def _reached(value: Any, path: Sequence[str]) -> float | None:
    for step in path:
        if value is None:
            return None
        value = value.get(step) if isinstance(value, Mapping) else getattr(value, step)
    return value[1] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Recovery:
    """What students of teachers with known parameters recover.

    Parameters
    ----------
    connfit
        Version.
    surrogate, what
        Teachers are surrogates, in words.
    design, teacher
        What was varied, and how teachers are drawn.
    frames
        Numbers of frames of `validation` and `test`, and of those at the start of the test that are not scored.
    complete
        False while it runs, and if it was interrupted.
    conditions
        Every student, in the order in which they were fitted.
    curves
        By what is varied, a point per condition.
    """

    connfit: str = ""
    surrogate: bool = True
    what: str = ""
    design: Design = field(default_factory=Design)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    frame_rate_hz: float = 0.0
    frames: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False
    conditions: tuple[ConditionResult, ...] = ()
    curves: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def indicator(self) -> dict[str, float]:
        """True time constants of the indicator in seconds, by `rise` and `decay`; empty without one."""
        return {one.name.removeprefix("indicator_"): one.start for one in self.design.teacher().filters()}

    @property
    def known(self) -> dict[str, dict[str, int]]:
        """Which point of the curves `indicator` and `inputs` has a student that knows so much; of complete curves."""
        wanted = {name: self.design.curves().get(name, ()) for name in ("indicator", "inputs")}
        found = {name: [point.knows for point in self.curves.get(name, ())] for name in wanted}
        return {
            name: {knows: at for at, knows in enumerate(found[name])}
            for name, conditions in wanted.items()
            if conditions and found[name] == [condition.knows for condition in conditions]
        }

    @property
    def points(self) -> tuple[Point, ...]:
        """Points of all curves, each condition once, in the order of the curves."""
        return tuple(dict.fromkeys(point for points in self.curves.values() for point in points))

    @property
    def longest(self) -> int | None:
        """Which point of the curve over frames has most of them."""
        frames = [point.frames for point in self.curves.get("frames", ())]
        return frames.index(max(frames)) if frames else None

    @property
    def sparsest(self) -> int | None:
        """Which point of the curve over the recorded fraction has the smallest, where some neurons are not recorded."""
        shares = [point.recorded for point in self.curves.get("recorded", ())]
        return shares.index(min(shares)) if shares and min(shares) < 1 else None
