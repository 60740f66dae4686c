"""Which rule learns best: fits with each, after equal numbers of steps and after equal time, scored on the test part.

Rules need different learning rates: those that move the parameters after every step smaller ones, those that move them
once per pass larger ones. So every rule is fitted with several, by the same procedure, and what it ends with is chosen
on the validation part, over epochs and over learning rates. The test part is looked at once, when all is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from connfit.analysis.gradients.learning_trials import FACTORS, FURTHER, Bench, Contender, Trial, best_of
from connfit.analysis.gradients.learning_verdict import Contest, verdict
from connfit.config import EvaluateConfig, TrainConfig
from connfit.errors import ConfigError, DataError
from connfit.evaluation.intervals import Interval, paired_difference
from connfit.evaluation.squared_errors import PredictionErrors
from connfit.models.base import Model, Params
from connfit.recordings.cohort import Cohort

MEASURES = ("train_loss", "validation_loss", "validation_skill")


def learning_curves(
    model: Model,
    params: Params,
    cohort: Cohort,
    contenders: Sequence[Contender],
    reference: str,
    config: TrainConfig,
    evaluate: EvaluateConfig | None = None,
    *,
    trained: tuple[str, ...] | None = None,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
    on_plan: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Fit with each contender from the same start, with the same order of data, and score the fits on the test part.

    After equal steps: every contender has `config.epochs` teacher-forced passes. After equal time: the contender with
    the fastest passes sets the time, the others are fitted again, with as many passes as they have time for, to the
    nearest one, so that each comes to the end of its schedule. Seconds are those of training, compilation and
    validation left out.

    Parameters
    ----------
    reference
        Label of the contender that all are compared with.
    config
        `epochs` of the teacher-forced phase are run; nothing stops them early, and nothing follows them. Its learning
        rate is the middle of those that are tried, see `FACTORS`.
    evaluate
        Horizons that are scored.
    on_plan
        Called with the number of fits and the time that they will take, before they begin.

    Returns
    -------
    dict
        See docs/runs.md.

    Raises
    ------
    ConfigError
        If there are no validation frames to choose by, or a validation part too short for `select_on`.
    """
    check_can_choose(cohort)
    say, epochs = on_progress or (lambda _: None), config.epochs
    bench = Bench(model, params, cohort, config, evaluate or EvaluateConfig(), trained, seed)
    if on_plan is not None:
        on_plan(plan(len(contenders), epochs, _tried(bench, contenders, say)))
    steps = {one.label: bench.search(one, epochs, say) for one in contenders}
    pace = {label: _seconds_per_epoch(bench, trials) for label, trials in steps.items()}
    ended = [label for label, trials in steps.items() if np.isfinite(best_of(trials).value)]
    known = [seconds for label in ended if (seconds := pace[label]) is not None]
    budget = epochs * min(known, default=float("nan"))
    timed = {}
    for one in contenders:
        seconds, fitting = pace[one.label], epochs
        if one.label in ended and seconds is not None:
            fitting = min(epochs, round(budget / seconds))
        timed[one.label] = steps[one.label] if fitting == epochs else bench.search(one, fitting, say) if fitting else []
    found: dict[str, Any] = {
        "reference": reference,
        "epochs": epochs,
        "steps_per_epoch": bench.steps,
        "select_on": config.select_on,
        "seed": seed,
        "curves": [_curve(bench, one, steps[one.label], pace[one.label]) for one in contenders],
        "equal_steps": None,
        "equal_seconds": None,
    }
    if known:
        untrained = bench.errors(params)
        found["equal_steps"] = {
            "steps": epochs * bench.steps,
            **_compared(contenders, reference, steps, untrained),
        }
        found["equal_seconds"] = {"seconds": budget, **_compared(contenders, reference, timed, untrained)}
    found["text"] = verdict(found)
    return found


def check_can_choose(cohort: Cohort) -> None:
    """Stop before anything is fitted where nothing could be chosen.

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
    """What the fits will take, in a sentence.

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
    for one in contenders:
        say(f"{one.label}: how long does it take")
        bench.trial(one, 1.0, 1)
        began = time.perf_counter()
        bench.trial(one, 1.0, 1)
        found[one.label] = time.perf_counter() - began
    return found


def _seconds_per_epoch(bench: Bench, trials: Sequence[Trial]) -> float | None:
    """Of training alone, in the fastest epoch: the rest is other work on the machine. None: no epoch was timed."""
    milliseconds = _milliseconds(trials)
    return 1e-3 * min(milliseconds) * bench.steps if milliseconds else None


def _milliseconds(trials: Sequence[Trial]) -> list[float]:
    """Per step, of each epoch that was timed."""
    return [row["ms_per_step"] for one in trials for row in one.history if row["ms_per_step"] is not None]


def _curve(bench: Bench, contender: Contender, trials: Sequence[Trial], seconds: float | None) -> dict[str, Any]:
    """The fit for equal steps with the chosen learning rate, epoch by epoch, and all learning rates."""
    best = best_of(trials)
    about = {
        "rule": contender.rule,
        "label": contender.label,
        "window": contender.learner.window,
        "optimiser": contender.optimiser,
        "credit": contender.credit,
        "seconds_per_epoch": seconds,
        "median_over_fastest": float(np.median(timed) / min(timed)) if (timed := _milliseconds(trials)) else None,
        "learning_rates": [one.facts() for one in sorted(trials, key=lambda one: one.factor)],
    }
    if best.diverged:
        return {**about, "diverged": best.diverged}
    passed = np.arange(1, len(best.history) + 1)
    return {
        **about,
        "learning_rate": best.learning_rate,
        "steps": (passed * bench.steps).tolist(),
        "seconds": None if seconds is None else (passed * seconds).tolist(),
        **{key: [row[key] for row in best.history] for key in MEASURES},
    }


def _compared(
    contenders: Sequence[Contender],
    reference: str,
    trials: Mapping[str, Sequence[Trial]],
    untrained: tuple[PredictionErrors, ...],
) -> dict[str, Any]:
    """What each contender ends with, on validation and on test, and its difference to the reference."""
    rules: dict[str, Any] = {}
    errors: dict[str, tuple[PredictionErrors, ...]] = {}
    for one in contenders:
        tried = trials[one.label]
        if not tried:
            # Not one epoch in the time: what it has is the start.
            errors[one.label] = untrained
            rules[one.label] = {
                "epochs": 0, "trained": False, "learning_rate": None, "validation_selection": None,
                **dict.fromkeys(MEASURES), "test": _skills(untrained),
            }  # fmt: skip
            continue
        best = best_of(tried)
        if best.errors is None or best.epoch is None:
            rules[one.label] = {"epochs": best.epochs, "diverged": best.diverged}
            continue
        errors[one.label] = best.errors
        row = best.history[max(best.epoch, 0)]
        rates = [trial.learning_rate for trial in tried]
        rules[one.label] = {
            "epochs": best.epochs,
            "trained": best.epoch >= 0,
            "chosen_epoch": best.epoch,
            "learning_rate": best.learning_rate,
            "rate_at_edge": best.epoch >= 0 and best.learning_rate in (min(rates), max(rates)),
            "validation_selection": best.value,
            **{key: row[key] if best.epoch >= 0 else None for key in MEASURES},
            "test": _skills(errors[one.label]),
        }
    for label, own in errors.items():
        if label != reference and reference in errors:
            rules[label]["difference"] = _differences(own, errors[reference])
    return {"rules": rules, "credit": _with_and_without(contenders, rules, errors)}


def _with_and_without(
    contenders: Sequence[Contender],
    rules: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, tuple[PredictionErrors, ...]],
) -> dict[str, Any] | None:
    """The best contender with and the best without credit through time, chosen on validation, and their difference."""
    chosen: dict[bool, str] = {}
    for credit in (True, False):
        known = {
            one.label: rules[one.label]["validation_selection"]
            for one in contenders
            if one.credit is credit and rules[one.label].get("validation_selection") is not None
        }
        if not known:
            return None
        chosen[credit] = max(known, key=lambda label: known[label])
    found = Contest(chosen[True], chosen[False], _differences(errors[chosen[True]], errors[chosen[False]]))
    return asdict(found)


def _skills(errors: Sequence[PredictionErrors]) -> dict[str, float | None]:
    """By horizon: skill over persistence, mean over recordings."""
    horizons = sorted({h for one in errors for h in (*one.horizons, *one.reasons)})
    skills = {h: [one.skill(h) for one in errors] for h in horizons}
    return {str(h): None if None in values else float(np.mean(np.array(values))) for h, values in skills.items()}


def _differences(ours: tuple[PredictionErrors, ...], theirs: tuple[PredictionErrors, ...]) -> dict[str, Any]:
    """By horizon: skill of one minus that of another with its 95 % interval over blocks of time."""
    found = {}
    for h in sorted(set.intersection(*(set(one.horizons) for one in (*ours, *theirs)))):
        try:
            one = paired_difference([ours], [theirs], h)
        except DataError as error:
            one = Interval(None, None, None, 0.95, 0, 0, (1, 1), str(error))
        found[str(h)] = {**asdict(one), "seeds": list(one.seeds), "excludes_zero": one.excludes_zero}
    return found
