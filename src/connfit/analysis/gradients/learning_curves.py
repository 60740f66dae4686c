"""Which rule learns best: fits with each, after equal numbers of steps and after equal time, scored on the test part.

Rules need different learning rates: those that move the parameters after every step smaller ones, those that move them
once per pass larger ones. So every rule is fitted with several, by the same procedure, and what it ends with is chosen
on the validation part, over epochs and over learning rates. The test part is looked at once, when all is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from connfit.analysis.gradients.gradient_results import (
    Contest,
    Curve,
    LearningCurves,
    RulesCompared,
    RuleScores,
    SkillDifference,
)
from connfit.analysis.gradients.learning_trials import FACTORS, FURTHER, Bench, Contender, Trial, best_of
from connfit.errors import ConfigError, DataError
from connfit.evaluation.intervals import Interval, paired_difference
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.recordings.cohort import Cohort

MEASURES = ("train_loss", "validation_loss", "validation_skill")


def learning_curves(
    bench: Bench,
    contenders: Sequence[Contender],
    reference: str,
    *,
    on_progress: Callable[[str], None] | None = None,
    on_plan: Callable[[str], None] | None = None,
) -> LearningCurves:
    """Fit with each contender from the same start, with the same order of data, and score the fits on the test part.

    After equal steps: every contender has as many teacher-forced passes as the configuration has epochs. After equal
    time: the contender with the fastest passes sets the time, the others are fitted again, with as many passes as they
    have time for, to the nearest one, so that each comes to the end of its schedule. Seconds are those of training,
    compilation and validation left out.

    Parameters
    ----------
    reference
        Label of the contender that all are compared with.
    on_plan
        Called with the number of fits and the time that they will take, before they begin.

    Raises
    ------
    ConfigError
        If there are no validation frames to choose by, or a validation part too short for `select_on`.
    """
    check_can_choose(bench.cohort)
    say, epochs = on_progress or (lambda _: None), bench.config.epochs
    if on_plan is not None:
        on_plan(plan(len(contenders), epochs, _tried(bench, contenders, say)))
    steps = {contender.label: bench.search(contender, epochs, say) for contender in contenders}
    pace = {label: _seconds_per_epoch(bench, trials) for label, trials in steps.items()}
    ended = [label for label, trials in steps.items() if np.isfinite(best_of(trials).value)]
    known = [seconds for label in ended if (seconds := pace[label]) is not None]
    budget = epochs * min(known, default=float("nan"))
    timed: dict[str, list[Trial]] = {}
    for contender in contenders:
        label, seconds, fitting = contender.label, pace[contender.label], epochs
        if label in ended and seconds is not None:
            fitting = min(epochs, round(budget / seconds))
        timed[label] = steps[label] if fitting == epochs else bench.search(contender, fitting, say) if fitting else []
    curves = LearningCurves(
        reference=reference, epochs=epochs, steps_per_epoch=bench.steps, seed=bench.seed,
        select_on=bench.config.select_on,
        curves=tuple(_curve(bench, each, steps[each.label], pace[each.label]) for each in contenders),
    )  # fmt: skip
    if not known:
        return curves
    untrained = bench.errors(bench.params)
    at_steps, at_seconds = (_compared(contenders, reference, trials, untrained) for trials in (steps, timed))
    return replace(
        curves,
        equal_steps=replace(at_steps, steps=epochs * bench.steps),
        equal_seconds=replace(at_seconds, seconds=budget),
    )


def check_can_choose(cohort: Cohort) -> None:
    """Raise an error before any fit if nothing could be chosen.

    Raises
    ------
    ConfigError
        If there are no validation frames.
    """
    if not cohort.observations("validation"):
        raise ConfigError(
            "learning curves choose learning rates on the validation part, and there is none: set data.validation"
        )


def plan(contenders: int, epochs: int, seconds: Mapping[str, float]) -> str:
    """Describe what the fits will take, in a sentence.

    Parameters
    ----------
    seconds
        Of one epoch of each contender, validation included.
    """
    least = len(FACTORS) * epochs * sum(seconds.values())
    # Equal time: slower contenders are fitted again, each for no longer than the fastest.
    most = (len(FACTORS) + FURTHER) * epochs * (sum(seconds.values()) + len(seconds) * min(seconds.values()))
    fits = f"{contenders * len(FACTORS)} to {2 * contenders * (len(FACTORS) + FURTHER)} fits"
    return (
        f"learning curves: {contenders} pairs of rule and optimiser, each with {len(FACTORS)} to "
        f"{len(FACTORS) + FURTHER} learning rates and up to {epochs} epochs, for equal steps and for equal time: "
        f"{fits}, about {_duration(least)} to {_duration(most)}"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _tried(bench: Bench, contenders: Sequence[Contender], say: Callable[[str], None]) -> dict[str, float]:
    """Seconds that a fit of one epoch takes with each, its validation included; the one before it compiles."""
    found = {}
    for contender in contenders:
        say(f"{contender.label}: how long does it take")
        bench.trial(contender, 1.0, 1)
        began = time.perf_counter()
        bench.trial(contender, 1.0, 1)
        found[contender.label] = time.perf_counter() - began
    return found


def _seconds_per_epoch(bench: Bench, trials: Sequence[Trial]) -> float | None:
    """Of training alone, in the fastest epoch: the rest is other work on the machine. None: no epoch was timed."""
    milliseconds = _milliseconds(trials)
    return 1e-3 * min(milliseconds) * bench.steps if milliseconds else None


def _milliseconds(trials: Sequence[Trial]) -> list[float]:
    """Per step, of each epoch that was timed."""
    return [row["ms_per_step"] for trial in trials for row in trial.history if row["ms_per_step"] is not None]


def _curve(bench: Bench, contender: Contender, trials: Sequence[Trial], seconds: float | None) -> Curve:
    """The fit for equal steps with the chosen learning rate, epoch by epoch, and all learning rates."""
    best, timed = best_of(trials), _milliseconds(trials)
    curve = Curve(
        contender.rule, contender.label, contender.learner.window, contender.optimiser, contender.credit, seconds,
        float(np.median(timed) / min(timed)) if timed else None,
        tuple(trial.tried for trial in sorted(trials, key=lambda trial: trial.factor)),
        best.diverged or None,
    )  # fmt: skip
    if best.diverged:
        return curve
    passed = np.arange(1, len(best.history) + 1)
    return replace(
        curve,
        learning_rate=best.learning_rate,
        steps=tuple((passed * bench.steps).tolist()),
        seconds=None if seconds is None else tuple((passed * seconds).tolist()),
        **{key: tuple(row[key] for row in best.history) for key in MEASURES},
    )


def _compared(
    contenders: Sequence[Contender],
    reference: str,
    trials: Mapping[str, Sequence[Trial]],
    untrained: tuple[PredictionErrors, ...],
) -> RulesCompared:
    """What each contender ends with, on validation and on test, and its difference to the reference."""
    rules: dict[str, RuleScores] = {}
    errors: dict[str, tuple[PredictionErrors, ...]] = {}
    for label in (contender.label for contender in contenders):
        if not trials[label]:
            # Not one epoch in the time: what it has is the start.
            errors[label] = untrained
            rules[label] = RuleScores(epochs=0, trained=False, test=_skills(untrained))
            continue
        best = best_of(trials[label])
        if best.errors is None or best.epoch is None:
            rules[label] = RuleScores(epochs=best.epochs, diverged=best.diverged)
            continue
        errors[label] = best.errors
        trained, rates = best.epoch >= 0, [trial.learning_rate for trial in trials[label]]
        rules[label] = RuleScores(
            epochs=best.epochs, trained=trained, chosen_epoch=best.epoch, learning_rate=best.learning_rate,
            rate_at_edge=trained and best.learning_rate in (min(rates), max(rates)), validation_selection=best.value,
            test=_skills(best.errors), **({key: best.history[best.epoch][key] for key in MEASURES} if trained else {}),
        )  # fmt: skip
    for label, own in errors.items():
        if label != reference and reference in errors:
            rules[label] = replace(rules[label], difference=_differences(own, errors[reference]))
    return RulesCompared(rules=rules, credit=_with_and_without(contenders, rules, errors))


def _with_and_without(
    contenders: Sequence[Contender],
    rules: Mapping[str, RuleScores],
    errors: Mapping[str, tuple[PredictionErrors, ...]],
) -> Contest | None:
    """The best contender with and the best without credit through time, chosen on validation, and their difference."""
    chosen: list[str] = []
    for credit in (True, False):
        known = {
            contender.label: value
            for contender in contenders
            if contender.credit is credit and (value := rules[contender.label].validation_selection) is not None
        }
        if not known:
            return None
        chosen.append(max(known, key=lambda label: known[label]))
    return Contest(chosen[0], chosen[1], _differences(errors[chosen[0]], errors[chosen[1]]))


def _skills(errors: Sequence[PredictionErrors]) -> dict[int, float | None]:
    """By horizon: skill over persistence, mean over recordings."""
    horizons = sorted({h for each in errors for h in (*each.horizons, *each.reasons)})
    skills = {h: [each.skill(h) for each in errors] for h in horizons}
    return {h: None if None in values else float(np.mean(np.array(values))) for h, values in skills.items()}


def _differences(
    ours: tuple[PredictionErrors, ...], theirs: tuple[PredictionErrors, ...]
) -> dict[int, SkillDifference]:
    """By horizon: skill of one minus that of another with its 95 % interval over blocks of time."""
    found = {}
    for h in sorted(set.intersection(*(set(each.horizons) for each in (*ours, *theirs)))):
        try:
            interval = paired_difference([ours], [theirs], h)
        except DataError as error:
            interval = Interval(None, None, None, 0.95, 0, 0, (1, 1), str(error))
        found[h] = SkillDifference.of(interval)
    return found
