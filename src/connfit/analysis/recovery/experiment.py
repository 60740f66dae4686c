"""One condition: play the teacher, fit the student, compare what can be compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from connfit.analysis.recovery.design import NO_INDICATOR, NO_INPUTS, RATES, Condition, Design
from connfit.analysis.recovery.neuron_regression import regress
from connfit.analysis.recovery.recovery_metrics import activity, agreement, skill_over_persistence
from connfit.analysis.recovery.recovery_results import (
    ActivityAgreement,
    Agreement,
    ConditionResult,
    IndicatorFound,
    ParameterAgreement,
    PredictedActivity,
)
from connfit.analysis.recovery.student import (
    VALIDATION_FRAMES,
    Student,
    choose_recorded,
    make_student,
    true_inputs,
    true_params,
)
from connfit.datasets.synthetic.known_teacher import KnownTeacher, TeacherSettings
from connfit.models.base import Params

TEST_FRAMES = 600
SETTLE_FRAMES = 50
"""First frames of the test that are run but not scored: unrecorded neurons start from a guess."""


def run_condition(condition: Condition, design: Design) -> ConditionResult:
    """Fit one student and measure what it recovered, before and after training, beside the teacher's own parameters.

    Everything is scored on `TEST_FRAMES` frames that are the same for all conditions of one teacher and noise, and that
    nothing was trained or chosen on. Activity is compared with the teacher's rates, or with what the indicator makes of
    them, not with a noisy measurement. What is predicted with the teacher's own parameters has as much state forcing,
    and knows as much of indicator and inputs, as the student.
    """
    began = time.perf_counter()
    teacher = _teacher(design.teacher(condition.teacher_strengths), condition.seed)
    longest = max(*design.frames, design.base_frames, condition.frames)
    length = longest + VALIDATION_FRAMES + TEST_FRAMES
    shown = _shown(teacher, condition.process_noise, length)
    seen = shown if condition.knows == RATES else teacher.indicated(shown)
    measured = teacher.measure(seen, condition.observation_noise)
    channels = None if teacher.inputs is None or condition.knows == NO_INPUTS else teacher.inputs.play(length)
    recorded = choose_recorded(teacher, condition.recorded)
    learned = slice(longest - condition.frames, longest + VALIDATION_FRAMES)
    test = slice(longest + VALIDATION_FRAMES, None)
    make = partial(
        make_student, teacher, measured[learned], recorded, state_forcing=condition.state_forcing,
        channels=None if channels is None else channels[learned],
        knows_indicator=condition.knows not in (RATES, NO_INDICATOR),
    )  # fmt: skip
    student = make(strengths=condition.strengths)
    fitted = student.fit(design.training, seed=condition.seed)
    at_start, after = fitted.initial_params, fitted.params
    given = measured[test], None if channels is None else channels[test]
    predictions = {"fitted": student.predict(after, *given), "at_start": student.predict(at_start, *given)}
    if design.has_indicator or design.has_inputs:
        knowing = make(strengths="known")
        predictions["teacher"] = knowing.predict(true_params(knowing, teacher), *given)
    else:
        predictions["teacher"] = teacher.follow(measured[test], recorded, condition.state_forcing)
    regression = None
    if design.has_regression(condition):
        regression = _compare(teacher, recorded, *regress(teacher, measured[learned][:-VALIDATION_FRAMES]))
    return ConditionResult(
        **vars(condition),
        neurons=teacher.connectome.n,
        sensory_neurons=int(teacher.sensory.sum()),
        recorded_neurons=int((recorded & ~teacher.sensory).sum()),
        connections=teacher.connectome.m,
        observations=student.observations,
        parameters=student.parameter_counts(),
        recovered=_parameters(teacher, student, after),
        at_start=_parameters(teacher, student, at_start),
        regression=regression,
        activity=_activity(teacher, recorded, seen[test], predictions),
        indicator=_indicator(teacher, student, after),
        chosen_epoch=1 + int(np.argmax([row["validation_skill"] for row in fitted.history])),
        epochs=len(fitted.history),
        updates=round((fitted.performance["steps"] or 0) / design.training.window),
        seconds=time.perf_counter() - began,
    )


@lru_cache(maxsize=4)
def _teacher(settings: TeacherSettings, seed: int) -> KnownTeacher:
    return KnownTeacher.draw(settings, seed)


@lru_cache(maxsize=1)
def _shown(teacher: KnownTeacher, process_noise: float, frames: int) -> Float[np.ndarray, "T N"]:
    return teacher.play(frames, process_noise=process_noise)


def _parameters(teacher: KnownTeacher, student: Student, params: Params) -> ParameterAgreement:
    weights = np.asarray(student.model.magnitudes(params), np.float64)
    time_constants = np.exp(np.asarray(params["log_time_constants"], np.float64))
    bias = np.asarray(params["bias"], np.float64)
    own = {one.name: np.asarray(one.value(params[one.key]), np.float64) for one in student.model.neuron.parameters}
    inputs = {}
    if (use := student.cohort.inputs) is not None:
        neurons = ~teacher.sensory
        truth, moved = true_inputs(teacher, use)
        bias = bias - moved
        found = np.zeros(truth.shape)
        found[neurons] = np.asarray(params["inputs"], np.float64).reshape(-1, truth.shape[1])
        inputs = {
            name: agreement(truth[which].ravel(), found[which].ravel())
            for name, which in _neurons_of(teacher, student.recorded).items()
        }
    return replace(_compare(teacher, student.recorded, weights, time_constants, bias, own), inputs=inputs)


def _indicator(teacher: KnownTeacher, student: Student, params: Params) -> dict[str, IndicatorFound]:
    """Time constants of an indicator that the student has, by group."""
    found = {}
    for one in teacher.settings.filters():
        key = f"log_{one.name}"
        if key in params:
            start, end = (float(np.exp(np.asarray(of[key], np.float64))[0]) for of in (student.params, params))
            found[one.name] = IndicatorFound(one.start, start, end)
    return found


def _neurons_of(teacher: KnownTeacher, recorded: Bool[np.ndarray, "N"]) -> dict[str, Bool[np.ndarray, "N"]]:
    neurons = ~teacher.sensory
    return {"all": neurons, "recorded": neurons & recorded, "unrecorded": ~recorded}


def _compare(
    teacher: KnownTeacher,
    recorded: Bool[np.ndarray, "N"],
    weights: Float[np.ndarray, "M"],
    time_constants: Float[np.ndarray, "N"],
    bias: Float[np.ndarray, "N"],
    own: Mapping[str, Float[np.ndarray, "N"]] = MappingProxyType({}),
) -> ParameterAgreement:
    brain, neurons = teacher.connectome, ~teacher.sensory
    seen = recorded[brain.posts] & recorded[brain.indices]
    connections = {"all": np.ones(brain.m, bool), "recorded": seen, "unrecorded": ~seen}
    of_neurons = _neurons_of(teacher, recorded)

    def of(truth: np.ndarray, found: np.ndarray, chosen: dict[str, np.ndarray], log: bool) -> dict[str, Agreement]:
        return {name: agreement(truth[which], found[which], log=log) for name, which in chosen.items()}

    return ParameterAgreement(
        of(teacher.weights, weights, connections, log=False),
        of(teacher.weights, weights, connections, log=True),
        of(teacher.time_constants, time_constants, of_neurons, log=True),
        of(teacher.bias, bias, of_neurons, log=False),
        {
            one.key: of(teacher.own[one.name], own[one.name], of_neurons, log=one.key != one.name)
            for one in teacher.neuron.parameters
            if one.name in own
        },
        time_constants_ratio=float(np.median(time_constants[neurons] / teacher.time_constants[neurons])),
    )


def _activity(
    teacher: KnownTeacher,
    recorded: Bool[np.ndarray, "N"],
    rates: Float[np.ndarray, "T N"],
    predictions: dict[str, Float[np.ndarray, "T-1 N"]],
) -> PredictedActivity:
    """Of recorded neurons one step ahead, of the others while those are given; a shuffled assignment as the floor."""
    seen, unseen = recorded & ~teacher.sensory, ~recorded
    scale = np.sqrt(np.mean(np.diff(rates, axis=0) ** 2, axis=0))
    truth = rates[SETTLE_FRAMES + 1 :]
    of_recorded: dict[str, ActivityAgreement] = {}
    of_others: dict[str, ActivityAgreement] = {}
    for name, predicted in predictions.items():
        settled = predicted[SETTLE_FRAMES:]
        skill = skill_over_persistence(rates[SETTLE_FRAMES:], settled, seen, scale)
        of_recorded[name] = replace(activity(truth, settled, seen), skill_vs_persistence=skill)
        of_others[name] = activity(truth, settled, unseen)
    # Which unrecorded neuron is which is forgotten: what is left is what all of them share.
    places = np.flatnonzero(unseen)
    shuffled = predictions["fitted"][SETTLE_FRAMES:].copy()
    shuffled[:, places] = shuffled[:, np.random.default_rng(teacher.seed).permutation(places)]
    of_others["shuffled"] = activity(truth, shuffled, unseen)
    return PredictedActivity(of_recorded, of_others)
