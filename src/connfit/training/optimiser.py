"""Optimisers: what turns a gradient into the direction of a step, and their states as named arrays.

Both divide a gradient by the root of a running mean of its square, so that steps have one size whatever the size of the
gradient. Adam also averages the gradient itself; RMSprop remembers the square alone and needs half the memory.

References
----------
Kingma & Ba 2015, ICLR (Adam). Hinton, Srivastava & Swersky 2012, Neural Networks for Machine Learning, lecture 6e
(RMSprop).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from connfit.errors import DataError

RMS_DECAY = 0.9
"""Share of the running mean of squares that RMSprop keeps per step, as in the lecture: about ten steps."""

RMS_EPSILON = 1e-16
"""Added to the mean square under the root, (1e-8)²: as small beside a gradient as Adam's own 1e-8.

The gradient of one of millions of weights, clipped to a norm of 1 together with all others, is of the order of 1e-4
and less: optax's 1e-8 under the root, 1e-4 beside a gradient, would slow them down.
"""

OPTIMISERS: Mapping[str, optax.GradientTransformation] = MappingProxyType(
    {"adam": optax.scale_by_adam(), "rmsprop": optax.scale_by_rms(decay=RMS_DECAY, eps=RMS_EPSILON)}
)
"""By the name that `train.optimiser` has; the learning rate is applied beside them."""


LABELS: Mapping[str, str] = MappingProxyType({"adam": "Adam", "rmsprop": "RMSprop"})
"""As people write them."""


def moments_per_parameter(name: str) -> int:
    """Count the numbers that an optimiser remembers for each parameter."""
    return sum(isinstance(part, dict) for part in _parts(OPTIMISERS[name].init({})).values())


def state_arrays(state: optax.OptState) -> dict[str, np.ndarray]:
    """Return the state as named arrays: `mu/weights` of a part with one array per group, `count` of a single one."""
    arrays: dict[str, np.ndarray] = {}
    for part, value in _parts(state).items():
        if isinstance(value, dict):
            arrays |= {f"{part}/{key}": np.asarray(array) for key, array in value.items()}
        else:
            arrays[part] = np.asarray(value)
    return arrays


def state_from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> optax.OptState:
    """Restore the state from `state_arrays`; arrays of other names are left alone.

    Raises
    ------
    DataError
        If a single array of the optimiser's state is not among them.
    """
    empty: Any = OPTIMISERS[name].init({})
    parts: dict[str, Any] = {}
    for part, value in _parts(empty).items():
        if isinstance(value, dict):
            named = {key.removeprefix(f"{part}/"): array for key, array in arrays.items() if key.startswith(f"{part}/")}
            parts[part] = {key: jnp.asarray(array) for key, array in named.items()}
        elif part in arrays:
            parts[part] = jnp.asarray(arrays[part])
        else:
            raise DataError(f"{part!r} of the optimiser {name!r} is not there")
    return type(empty)(**parts)


def is_state_of(name: str, state: optax.OptState) -> bool:
    """Return whether a state is one of this optimiser."""
    return type(state) is type(OPTIMISERS[name].init({}))


def _parts(state: Any) -> dict[str, Any]:
    """Fields of the named tuple that optax keeps."""
    return state._asdict()
