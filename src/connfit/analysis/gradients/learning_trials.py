"""Trials of learning rules: each is fitted with several learning rates, by one procedure for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from connfit._io import finite
from connfit.analysis.gradients.gradient_results import TriedRate
from connfit.config import EvaluateConfig, TrainConfig
from connfit.errors import DivergedError
from connfit.evaluation.squared_errors import PredictionErrors, prediction_errors
from connfit.models.base import Model, Params
from connfit.models.forecaster import ModelForecaster
from connfit.recordings.cohort import Cohort
from connfit.training.firing_penalty import follows_firing
from connfit.training.fit import FitState, train
from connfit.training.learners.learner import Learner
from connfit.training.learning_rates import WITHOUT_VALIDATION

FACTORS = (1 / 3, 1.0, 3.0)
"""Learning rates that every rule is fitted with, over that of the configuration (0.01 where it says auto) ..."""
STEP = 3.0
"""... and by how much the next one is smaller or larger where the best so far is the smallest or largest ..."""
FURTHER = 2
"""... at most so many times. Where no rate improves on the start, the next one is smaller."""


@dataclass(frozen=True)
class Contender:
    """A learning rule with an optimiser.

    Parameters
    ----------
    rule
        Name of the rule.
    label
        Name in tables and figures.
    """

    rule: str
    label: str
    learner: Learner[Any]
    optimiser: str

    @property
    def credit(self) -> bool:
        """Whether errors give credit to earlier steps."""
        return self.learner.through_time


@dataclass(frozen=True, eq=False)
class Trial:
    """A fit of a contender with one learning rate.

    `params` are the best on validation, kept as long as no other trial is better; `errors` are theirs on the test part,
    of the best trial alone.
    """

    factor: float
    learning_rate: float
    epochs: int
    history: tuple[dict[str, Any], ...] = ()
    params: Params | None = None
    value: float = float("-inf")
    epoch: int | None = None
    diverged: str | None = None
    errors: tuple[PredictionErrors, ...] | None = None

    @property
    def tried(self) -> TriedRate:
        return TriedRate(self.learning_rate, finite(self.value), self.epoch, self.diverged)


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that all contenders share.

    Parameters
    ----------
    config
        `epochs` of the teacher-forced phase are run; nothing stops them early, and nothing follows them. Its learning
        rate is the middle of those that are tried, see `FACTORS`.
    evaluate
        Horizons that are scored.
    trained
        Groups of parameters; default: all.
    """

    model: Model
    params: Params
    cohort: Cohort
    config: TrainConfig
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    trained: tuple[str, ...] | None = None
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate in the middle of those that are tried."""
        given = self.config.learning_rate
        return WITHOUT_VALIDATION if given == "auto" else given

    @property
    def steps(self) -> int:
        """Model steps of an epoch."""
        parts = [recording.require_parts().train for recording in self.cohort.recordings]
        return max(stop - max(start, 1) for start, stop in parts) * self.cohort.substeps

    def trial(self, contender: Contender, factor: float, epochs: int) -> Trial:
        rate = factor * self.rate
        penalty = self.config.firing_rate_penalty if follows_firing(contender.learner) else 0.0
        config = msgspec.structs.replace(
            self.config, epochs=epochs, free_run_epochs=0, patience=None, learning_rate=rate,
            optimiser=contender.optimiser, checkpoint_every=epochs, firing_rate_penalty=penalty,
        )  # fmt: skip
        states: list[FitState] = []
        try:
            fitted = train(
                self.model, self.params, self.cohort, contender.learner, config,
                trained=self.trained, seed=self.seed, on_epoch=states.append,
            )  # fmt: skip
        except DivergedError as error:
            return Trial(factor, rate, epochs, diverged=str(error))
        last = states[-1]
        return Trial(factor, rate, epochs, fitted.history, fitted.params, last.best_value, last.best_epoch)

    def search(self, contender: Contender, epochs: int, say: Callable[[str], None]) -> list[Trial]:
        """Return the trials at `FACTORS` and, as far as needed, beyond; with the errors of the best."""
        trials: list[Trial] = []

        def at(factor: float) -> None:
            say(f"{contender.label}, learning rate {factor * self.rate:.3g}, {epochs} epochs")
            trials.append(self.trial(contender, factor, epochs))
            best = best_of(trials)
            trials[:] = [trial if trial is best else replace(trial, params=None) for trial in trials]

        for factor in FACTORS:
            at(factor)
        for _ in range(FURTHER):
            factors = [trial.factor for trial in trials]
            best = best_of(trials)
            if best.epoch in (None, -1) or best.factor == min(factors):
                at(min(factors) / STEP)
            elif best.factor == max(factors):
                at(max(factors) * STEP)
            else:
                break
        best = best_of(trials)
        if best.params is None:
            return trials
        scored = replace(best, params=None, errors=self.errors(best.params))
        return [scored if trial is best else trial for trial in trials]

    def errors(self, params: Params) -> tuple[PredictionErrors, ...]:
        """Return the errors on the test part of each recording."""
        forecaster = ModelForecaster(self.model, params, self.cohort)
        return tuple(prediction_errors(forecaster, each, "test", self.evaluate) for each in self.cohort.recordings)


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the best on validation; of equals, as where no epoch improved on the start, that with the middle rate."""
    return max(trials, key=lambda trial: (trial.value, -abs(np.log(trial.factor))))
