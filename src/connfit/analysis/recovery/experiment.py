"""One condition: play the teacher, fit the student, compare what can be compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from connfit.analysis.recovery.design import Condition, Design
from connfit.analysis.recovery.neuron_regression import regress
from connfit.analysis.recovery.recovery_metrics import activity, agreement, skill_over_persistence
from connfit.analysis.recovery.recovery_results import (
    ActivityAgreement,
    Agreement,
    ConditionResult,
    ParameterAgreement,
    PredictedActivity,
)
from connfit.analysis.recovery.student import VALIDATION_FRAMES, Student, choose_recorded, make_student
from connfit.datasets.synthetic.known_teacher import KnownTeacher, TeacherSettings
from connfit.models.base import Params

TEST_FRAMES = 600
SETTLE_FRAMES = 50
"""First frames of the test that are run but not scored: unrecorded neurons start from a guess."""


def run_condition(condition: Condition, design: Design) -> ConditionResult:
    """Fit one student and measure what it recovered, before and after training, beside the teacher's own parameters.

    Everything is scored on `TEST_FRAMES` frames that are the same for all conditions of one teacher and noise, and that
    nothing was trained or chosen on. Activity is compared with the teacher's rates, not with their noisy measurement.
    """
    began = time.perf_counter()
    teacher = _teacher(design.neurons, design.cell, condition.teacher_strengths, condition.seed)
    longest = max(*design.frames, design.base_frames, condition.frames)
    rates = _rates(teacher, condition.process_noise, longest + VALIDATION_FRAMES + TEST_FRAMES)
    measured = teacher.measure(rates, condition.observation_noise)
    recorded = choose_recorded(teacher, condition.recorded)
    learned = slice(longest - condition.frames, longest + VALIDATION_FRAMES)
    test = slice(longest + VALIDATION_FRAMES, None)
    student = make_student(
        teacher, measured[learned], recorded, strengths=condition.strengths, state_forcing=condition.state_forcing
    )
    fitted = student.fit(design.training, seed=condition.seed)
    at_start, after = fitted.initial_params, fitted.params
    predictions = {
        "fitted": student.predict(after, measured[test]),
        "at_start": student.predict(at_start, measured[test]),
        "teacher": teacher.follow(measured[test], recorded, condition.state_forcing),
    }
    regression = None
    if condition.has_regression and design.cell == "rate":
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
        activity=_activity(teacher, recorded, rates[test], predictions),
        chosen_epoch=1 + int(np.argmax([row["validation_skill"] for row in fitted.history])),
        epochs=len(fitted.history),
        updates=round((fitted.performance["steps"] or 0) / design.training.window),
        seconds=time.perf_counter() - began,
    )


@lru_cache(maxsize=4)
def _teacher(neurons: int, cell: str, strengths: str, seed: int) -> KnownTeacher:
    return KnownTeacher.draw(TeacherSettings(neurons=neurons, strengths=strengths, cell=cell), seed)


@lru_cache(maxsize=1)
def _rates(teacher: KnownTeacher, process_noise: float, frames: int) -> Float[np.ndarray, "T N"]:
    return teacher.play(frames, process_noise=process_noise)


def _parameters(teacher: KnownTeacher, student: Student, params: Params) -> ParameterAgreement:
    weights = np.asarray(student.model.magnitudes(params), np.float64)
    time_constants = np.exp(np.asarray(params["log_time_constants"], np.float64))
    own = {one.name: np.asarray(one.value(params[one.key]), np.float64) for one in student.model.neuron.parameters}
    return _compare(teacher, student.recorded, weights, time_constants, np.asarray(params["bias"], np.float64), own)


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
    of_neurons = {"all": neurons, "recorded": neurons & recorded, "unrecorded": ~recorded}

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
