"""One training step: gradient of a window, penalties, clipping, optimiser, projection; compiled as one program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from connfit.config import TrainConfig
from connfit.models.base import Model, Params
from connfit.training.learners.firing_rates import FiringScore
from connfit.training.learners.learner import Learner, Memory, WindowArrays
from connfit.training.one_pass_adam import move_by_adam, sum_of_squares, takes_one_pass
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


class Share(Protocol):
    """What a step needs to know of the part of a model that it runs on."""

    def complete(self, gradient: Params) -> Params:
        """Return the gradient once the other parts have added theirs."""
        ...

    def squares(self, key: str, values: Array) -> Float[Array, ""]:
        """Return the sum of squares of a group, of all parts."""
        ...

    def size(self, key: str, values: Array) -> int:
        """Return how many numbers a group has, in all parts."""
        ...

    def own_connections(self, values: Float[Array, "M"]) -> Float[Array, "M"]:
        """Return what belongs to connections; 0 where there is none."""
        ...

    def of_all(self, firing: FiringScore) -> FiringScore:
        """Return what firing rates say once the other parts have added theirs."""
        ...

    def floors(self, model: Model) -> Mapping[str, float]:
        """Return the smallest value of the arrays of which `project` asks nothing else."""
        ...

    def project(self, model: Model, params: Params, frozen: Params) -> Params:
        """Return the nearest allowed parameters."""
        ...


class Whole:
    """The whole model, on one device."""

    def complete(self, gradient: Params) -> Params:
        return gradient

    def squares(self, key: str, values: Array) -> Float[Array, ""]:
        return sum_of_squares(values)

    def size(self, key: str, values: Array) -> int:
        return values.size

    def own_connections(self, values: Float[Array, "M"]) -> Float[Array, "M"]:
        return values

    def of_all(self, firing: FiringScore) -> FiringScore:
        return firing

    def floors(self, model: Model) -> Mapping[str, float]:
        return model.floors

    def project(self, model: Model, params: Params, frozen: Params) -> Params:
        return model.project(params, frozen)


WHOLE = Whole()

Stepped = tuple[Params, optax.OptState, Memory, Float[Array, ""], dict[str, Array], FiringScore | None]


def take_step(
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
    share: Share = WHOLE,
) -> Stepped[Memory]:
    """Take one training step: gradient of a window, optimiser, projection to allowed values.

    Parameters
    ----------
    rates
        Learning rate of each group, by the key of its array.
    share
        Which part of the model this is; default: the whole, on one device.

    Returns
    -------
    params, moments, memory
        After the window.
    loss
        Weighted squared error of the window per step.
    norms
        Gradient norm of each group, before clipping.
    firing
        Of the learner's penalty on firing rates; None without one.
    """
    result, memory = learner.step(model, {**frozen, **params}, memory, window, groups)
    k = window.inputs.shape[0]
    gradient = _add_penalties(share.complete(result.gradient), params, start, options, share, k)
    norms = {key: jnp.sqrt(share.squares(key, value)) / k for key, value in gradient.items()}
    scale: Float[Array, ""] | float = 1 / k
    if options.clip_norm is not None:
        total = jnp.sqrt(sum(norm**2 for norm in norms.values()))
        scale *= jnp.minimum(1.0, options.clip_norm / jnp.maximum(total, 1e-30))
    if takes_one_pass(options.optimiser, params):
        floors = share.floors(model)
        moved, moments = move_by_adam(params, moments, gradient, scale, rates, floors)
        done = {key: moved[key] for key in floors if key in moved}
    else:
        direction: Any
        with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
            scaled = {key: scale * value for key, value in gradient.items()}
            direction, moments = OPTIMISERS[options.optimiser].update(scaled, moments)
        moved = {key: params[key] - rates[key] * direction[key] for key in params}
        done = {}
    allowed = share.project(model, moved, frozen) | done
    firing = None if result.firing is None else share.of_all(result.firing)
    return allowed, moments, memory, result.loss / k, norms, firing


training_step = jax.jit(
    take_step, static_argnames=("learner", "groups", "options"), donate_argnames=("params", "moments", "memory")
)
"""Take one training step of a whole model, compiled; see `take_step`."""


def _add_penalties(
    gradient: Params, params: Params, start: Params | None, options: StepOptions, share: Share, steps: int
) -> Params:
    """Add slopes to sums over steps: L1 and L2 on the magnitudes, the squared distance of the drive from its start.

    Penalties are means over a group, and count once for each step.
    """
    gradient = dict(gradient)
    if "weights" in gradient and (options.l1_weights or options.l2_weights):
        w = params["weights"]
        slope = (options.l1_weights + 2 * options.l2_weights * w) / share.size("weights", w)
        gradient["weights"] += steps * share.own_connections(slope)
    if "drive" in gradient and start is not None:
        moved = params["drive"] - start["drive"]
        gradient["drive"] += 2 * steps * options.drive_distance * moved / share.size("drive", moved)
    return gradient
