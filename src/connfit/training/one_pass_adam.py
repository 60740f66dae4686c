"""Adam in one pass over memory by native code: moments, parameters, the gradient's scale and lower bounds.

What XLA makes of `optax.scale_by_adam`, scaling and projection goes through the parameters five times. The numbers and
their state are those of optax.

References
----------
Kingma & Ba 2015, ICLR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from connfit.models.base import Params
from connfit.models.ops.choice import runs_native
from connfit.models.ops.native import handler, has

DECAYS = 0.9, 0.999
"""Of the running means of the gradient and of its square, as `optax.scale_by_adam` has them."""

EPSILON = 1e-8


def takes_one_pass(optimiser: str, params: Params) -> bool:
    """Return whether native code has this optimiser for parameters of this precision."""
    native = all(value.dtype == jnp.float32 and runs_native(value.dtype) for value in params.values())
    return optimiser == "adam" and native and has("connfit_adam")


def sum_of_squares(values: Array) -> Float[Array, ""]:
    """Return the sum of squares of an array of any shape, in an order that threads do not change."""
    if values.dtype == jnp.float32 and runs_native(values.dtype) and has("connfit_sum_of_squares"):
        return handler("connfit_sum_of_squares", ((1,), values.dtype))(values)[0][0]
    return (values**2).sum()


def move_by_adam(
    params: Params,
    state: optax.OptState,
    gradient: Params,
    scale: Float[Array, ""] | float,
    rates: Mapping[str, Float[Array, ""]],
    floors: Mapping[str, float],
) -> tuple[Params, optax.OptState]:
    """Return parameters and the optimiser's state after a step, in the memory of those before it.

    Parameters
    ----------
    scale
        What all gradients are multiplied by.
    rates
        Learning rate of each array.
    floors
        Smallest value of the arrays that have one.
    """
    assert isinstance(state, optax.ScaleByAdamState)
    count = optax.safe_increment(jnp.asarray(state.count))
    steps = jnp.asarray(count, jnp.float32)
    added = [1 - decay for decay in DECAYS]
    unbiased = [1 - jnp.float32(decay) ** steps for decay in DECAYS]
    moved: Params = {}
    first, second = dict(cast("Params", state.mu)), dict(cast("Params", state.nu))
    for key, value in params.items():
        low = floors.get(key, -jnp.inf)
        with_numbers = jnp.stack(
            [jnp.asarray(one, jnp.float32) for one in (scale, rates[key], *DECAYS, *added, *unbiased, EPSILON, low)]
        )
        shapes = ((value.shape, value.dtype),) * 3
        call = handler("connfit_adam", *shapes, aliases={1: 0, 2: 1, 3: 2})
        moved[key], first[key], second[key] = call(with_numbers, value, first[key], second[key], gradient[key])
    return moved, optax.ScaleByAdamState(jnp.asarray(count), first, second)
