"""Learning rates: relative to the size of what they move, and found on validation frames where nobody names them.

Adam moves every number by about its learning rate, whatever the size of the number: one rate for weights of 2e-4 and
for logarithms of time constants of order 1 freezes one of them or shakes the other. A rate here is a share of a group's
size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.models.base import GROUPS, INNOVATION_GAINS, Model, Params
from connfit.recordings.cohort import Cohort
from connfit.recordings.frame_blocks import frame_blocks

RATES = (1e-3, 1e-2, 1e-1)
"""Learning rates that are tried."""

BESIDE = ("bias", "drive", "inputs")
"""Groups through which activity is explained beside the wiring."""

BESIDE_FACTORS = (1.0, 0.03)
"""Factors that are tried for their rates, with each rate: they may overfit long before the weights do."""

BETWEEN = 10**0.5
"""Factor by which the best rate is at last tried to be higher and lower."""

WITHOUT_VALIDATION = 1e-2
"""The rate where there are no validation frames to find one on."""

TRIALS = 10
"""A trial has one of so many of the epochs of the first phase, at least `SHORTEST`, and a cosine of its own."""

SHORTEST = 2

TRIAL = "trial of learning rates"
"""Phase, in the history of a fit, of the epochs of the best trial; they precede those of the schedule."""


@dataclass(frozen=True)
class RateTrial:
    """A short training from the start, and the best value of its epochs on validation (None: it diverged)."""

    learning_rate: float
    rate_scale: Mapping[str, float]
    value: float | None


@dataclass(frozen=True)
class Rates:
    """Learning rates of a fit.

    Parameters
    ----------
    learning_rate
        At the start of the teacher-forced phase, as a share of each group's size.
    rate_scale
        Factor of a group; 1 for groups that are not in it.
    sizes
        Size of each group, by the key of its array (`parameter_sizes`).
    trials
        From what they were chosen; empty if they were given.
    trial_epochs
        Epochs of each trial.
    """

    learning_rate: float
    rate_scale: Mapping[str, float]
    sizes: Mapping[str, float]
    trials: tuple[RateTrial, ...] = ()
    trial_epochs: int = 0


def parameter_sizes(model: Model, params: Params, cohort: Cohort) -> dict[str, float]:
    """Measure the size of each group of parameters before training, by the key of its array.

    The root mean square of its starting values, but of logarithms 1, for they are relative already, and of biases the
    standard deviation of what was recorded, for they are as large as the mean activity that they balance. Weights that
    start near 0 count as even shares of their neuron's input, a drive that starts at 0 as one that would
    be spread evenly.

    Parameters
    ----------
    params
        All groups before training.
    cohort
        Whose training frames say how much units vary.
    """
    sizes = {
        key: 1.0 if key.startswith("log_") else float(np.sqrt(np.mean(np.square(np.asarray(value, np.float64)))))
        for key, value in params.items()
        if value.size
    }
    # What starts at 0 would not move. Gains of innovations are shares.
    sizes = {key: sizes.get(key, 0.0) or float(key not in GROUPS or key == INNOVATION_GAINS) for key in params}
    spread = []
    for recording in cohort.recordings:
        spread.append(_spread(*recording.part("train")))
    sizes["bias"] = float(np.sqrt(np.nanmean(np.concatenate(spread) ** 2)))
    if "inputs" in sizes:  # of features with variance 1
        sizes["inputs"] = sizes["bias"]
    if "weights" in sizes:
        sizes["weights"] = max(sizes["weights"], model.neurons / max(model.connections, 1))
    if "drive" in sizes:
        sizes["drive"] = max(sizes["drive"], model.neurons**-0.5)
    return sizes


def _spread(values: Float[np.ndarray, "T P"], mask: Bool[np.ndarray, "T P"]) -> Float[np.ndarray, "P"]:
    """Standard deviation of the observed values of each unit; NaN without one. Few units of a long part at a time."""
    frames, units = values.shape
    found = np.empty(units, values.dtype)
    # A single column would be added up in another order than several.
    for some in frame_blocks(0, -(-units // 2), 2 * frames):
        at = slice(2 * some.start, 2 * some.stop)
        found[at] = np.nanstd(np.where(mask[:, at], values[:, at], np.nan), axis=0)
    return found


def find_rates(
    train: Callable[[Sequence[tuple[float, Mapping[str, float]]]], Sequence[float]],
    groups: Sequence[str],
    rate_scale: Mapping[str, float],
    sizes: Mapping[str, float],
    epochs: int,
) -> Rates:
    """Choose the learning rate, whether that of `BESIDE` is lower, and a rate in between, by trainings from the start.

    Parameters
    ----------
    train
        Trains trials with a rate and factors each, and returns their best values on validation, -inf of one that
        diverges.
    groups
        That are trained.
    rate_scale
        Factors that are given; they are kept.
    sizes, epochs
        For the record.
    """
    trials: list[RateTrial] = []

    def attempt(tasks: Sequence[tuple[float, Mapping[str, float]]]) -> list[RateTrial]:
        new = [
            RateTrial(rate, dict(scale), value if np.isfinite(value) else None)
            for (rate, scale), value in zip(tasks, train(tasks), strict=True)
        ]
        trials.extend(new)
        return new

    beside = [group for group in groups if group in BESIDE and group not in rate_scale]
    scales = [
        {**rate_scale, **({} if factor == 1 else dict.fromkeys(beside, factor))} for factor in BESIDE_FACTORS
    ] if beside else [rate_scale]  # fmt: skip
    best = max(attempt([(rate, scale) for rate in RATES for scale in scales]), key=_value)
    between = [(best.learning_rate * factor, best.rate_scale) for factor in (1 / BETWEEN, BETWEEN)]
    best = max((best, *attempt(between)), key=_value)
    return Rates(best.learning_rate, best.rate_scale, sizes, tuple(trials), epochs)


def _value(trial: RateTrial) -> float:
    return float("-inf") if trial.value is None else trial.value
