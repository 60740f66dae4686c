"""One training step: gradient of a window, penalties, clipping, optimiser, projection; compiled as one program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from connfit.config import TrainConfig
from connfit.models.base import Model, Params
from connfit.training.learners.learner import Learner, Memory, WindowArrays
from connfit.training.optimiser import OPTIMISERS


@dataclass(frozen=True)
class StepOptions:
    """The part of the configuration that is compiled into a training step."""

    clip_norm: float | None = 1.0
    l1_weights: float = 0.0
    l2_weights: float = 0.0
    drive_distance: float = 0.0
    optimiser: str = "adam"

    @classmethod
    def of(cls, config: TrainConfig) -> StepOptions:
        """Pick the options from a training configuration."""
        return cls(config.clip_norm, config.l1_weights, config.l2_weights, config.drive_distance, config.optimiser)


@partial(jax.jit, static_argnames=("learner", "groups", "options"), donate_argnames=("params", "moments", "memory"))
def training_step(
    model: Model,
    params: Params,
    frozen: Params,
    start: Params | None,
    moments: optax.OptState,
    memory: Memory,
    window: WindowArrays,
    rates: dict[str, Float[Array, ""]],
    *,
    learner: Learner[Memory],
    groups: tuple[str, ...],
    options: StepOptions,
) -> tuple[Params, optax.OptState, Memory, Float[Array, ""], dict[str, Array]]:
    """Take one training step: gradient of a window, optimiser, projection to allowed values.

    Parameters
    ----------
    rates
        Learning rate of each group, by the key of its array.

    Returns
    -------
    params, moments, memory
        After the window.
    loss
        Weighted squared error of the window per step.
    norms
        Gradient norm of each group, before clipping.
    """
    result, memory = learner.step(model, {**frozen, **params}, memory, window, groups)
    k = window.inputs.shape[0]
    gradient = {key: value / k for key, value in result.gradient.items()}
    gradient = _add_penalties(gradient, params, start, options)
    norms = {key: jnp.sqrt((value**2).sum()) for key, value in gradient.items()}
    if options.clip_norm is not None:
        total = jnp.sqrt(sum(norm**2 for norm in norms.values()))
        scale = jnp.minimum(1.0, options.clip_norm / jnp.maximum(total, 1e-30))
        gradient = {key: scale * value for key, value in gradient.items()}
    direction: Any
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        direction, moments = OPTIMISERS[options.optimiser].update(gradient, moments)
    moved = {key: params[key] - rates[key] * direction[key] for key in params}
    return model.project(moved, frozen), moments, memory, result.loss / k, norms


def _add_penalties(gradient: Params, params: Params, start: Params | None, options: StepOptions) -> Params:
    """Add the slope of L1 and L2 on the magnitudes and of the drive's squared distance from its start (means)."""
    gradient = dict(gradient)
    if "weights" in gradient and (options.l1_weights or options.l2_weights):
        w = params["weights"]
        gradient["weights"] += (options.l1_weights + 2 * options.l2_weights * w) / w.size
    if "drive" in gradient and start is not None:
        gradient["drive"] += 2 * options.drive_distance * (params["drive"] - start["drive"]) / start["drive"].size
    return gradient
