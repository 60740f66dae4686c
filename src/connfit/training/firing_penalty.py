"""Which fits can have a penalty on firing rates, and which steps of a recording count in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from connfit.config import TrainConfig
from connfit.errors import ConfigError
from connfit.models.base import Model
from connfit.training.learners.firing_rates import FiringPenalty, FiringScore
from connfit.training.learners.learner import Learner
from connfit.training.learners.windowed import WindowedLearner

Pending = tuple[Array, dict[str, Array], FiringScore | None]
"""Loss, norms and firing rates of a window, still on the device."""

HostScore = tuple[float, ...]
"""Numbers of a `FiringScore`."""


def follows_firing(learner: Learner[Any]) -> bool:
    """Return whether a learning rule can have a penalty on firing rates."""
    return isinstance(learner, WindowedLearner) and learner.through_time


def with_firing_penalty(learner: Learner[Any], model: Model, config: TrainConfig) -> Learner[Any]:
    """Return the learner with the penalty on firing rates that the configuration asks for, if any.

    Raises
    ------
    ConfigError
        If the cell sends no spikes, or the rule gives no credit to earlier steps or is of another package.
    """
    weight = config.firing_rate_penalty
    if not weight:
        return learner
    what = f"train.firing_rate_penalty = {weight:g}"
    if not model.neuron.spikes:
        cell = getattr(model.neuron, "cell", model.neuron)
        raise ConfigError(
            f"{what} counts spikes, and the cell {type(cell).__name__} sends none: set it to 0, or model.cell to one "
            "that spikes, as 'lif'"
        )
    if not isinstance(learner, WindowedLearner):
        raise ConfigError(
            f"{what}: the learning rule of {type(learner).__name__} knows of no penalty on firing rates; set it to 0, "
            "or learner.preset to a rule of connfit's own, as 'd-rtrl' or 'hybrid'"
        )
    if not learner.through_time:
        raise ConfigError(
            f"{what}: a spike follows from earlier steps, to which the learning rule gives no credit; set it to 0, or "
            "learner.preset to a rule with credit through time, as 'd-rtrl', 'pp-prop' or 'hybrid'"
        )
    low, high = config.firing_rate_band_hz
    return replace(learner, firing=FiringPenalty(weight, low, high, config.firing_rate_mean_s))


def counted_steps(first: int, steps: int, warmup: int, lengths: Sequence[int]) -> Float[np.ndarray, "K B"]:
    """Return 1 for steps of a window that count in firing rates, else 0.

    Parameters
    ----------
    first, steps
        Number of the window's first step, and K.
    warmup
        Steps before which states leave rest.
    lengths
        Steps of each recording; what fills up a shorter one does not count.
    """
    at = first + np.arange(steps)[:, None]
    return ((at >= warmup) & (at < np.asarray(lengths))).astype(np.float32)


def on_host(pending: Sequence[Pending]) -> list[HostScore]:
    """Return what windows said of firing rates; nothing where these are not penalised."""
    return [tuple(map(float, rated)) for *_, rated in pending if rated is not None]


def in_history(windows: Sequence[HostScore]) -> dict[str, float]:
    """Return what the history says of an epoch: its mean penalty, and which neurons were outside the band at the end.

    Nothing where firing rates are not penalised.
    """
    if not windows:
        return {}
    _, below, above = windows[-1]
    mean = float(np.mean([penalty for penalty, *_ in windows]))
    return {"firing_rate_penalty": mean, "below_band": below, "above_band": above}
