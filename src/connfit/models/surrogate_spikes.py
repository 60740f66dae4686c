"""Spikes, and the surrogate derivatives by which gradients pass through them.

A spike is a step function of the potential, whose derivative is 0 almost everywhere. In its place gradients take a
bump around the threshold, of a shape by name and of a width in millivolts.

References
----------
Neftci, Mostafa & Zenke 2019, IEEE Signal Processing Magazine 36:51 (surrogate gradients). Bellec et al. 2020, Nature
Communications 11:3625 (triangular). Zenke & Ganguli 2018, Neural Computation 30:1514 (fast sigmoid).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SURROGATES: Mapping[str, Callable[[Array], Array]] = {
    "triangular": lambda x: jnp.maximum(1 - jnp.abs(x), 0),
    "fast-sigmoid": lambda x: 1 / (1 + jnp.abs(x)) ** 2,
    "relu": lambda x: 0.3 * jnp.maximum(1 - jnp.abs(x), 0),
}
"""Shapes over the distance from the threshold in widths. `"relu"` is triangular and dampened to 0.3."""


def surrogate_slope(above: Float[Array, "*A"], surrogate: str, width: float) -> Float[Array, "*A"]:
    """Return what gradients take for the derivative of `spike`, in spikes per millivolt."""
    return SURROGATES[surrogate](above / width) / width


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def spike(above: Float[Array, "*A"], surrogate: str, width: float) -> Float[Array, "*A"]:
    """Return 1 where a potential lies above its threshold, else 0.

    Parameters
    ----------
    above
        Potential less threshold in millivolts.
    surrogate, width
        Shape in `SURROGATES`, and its width in millivolts.
    """
    return (above > 0).astype(above.dtype)


@spike.defjvp
def _spike_jvp(surrogate: str, width: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (above,), (moved,) = primals, tangents
    return spike(above, surrogate, width), surrogate_slope(above, surrogate, width) * moved
