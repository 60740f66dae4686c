"""How many external events each neuron gets in a step: what a hash draws, the same by any code on any device."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8, UInt32

from connfit.models.ops.choice import runs_native
from connfit.models.ops.native import handler, has


def poisson_counts(
    stream: UInt32[Array, "B"],
    step: UInt32[Array, "B"],
    first: UInt32[Array, ""],
    neurons: int,
    thresholds: UInt32[np.ndarray, "K"],
) -> UInt8[Array, "N B"]:
    """Count the events of neurons in one step of B runs.

    A number of 32 bits follows from run, step and neuron alone. A neuron gets as many events as there are thresholds
    above its number.

    Parameters
    ----------
    stream, step
        Which numbers a run draws, and at which step of them it is.
    first, neurons
        Number of the first neuron, and how many there are.
    thresholds
        Falling, at most 255.
    """
    if runs_native(jnp.result_type(float)) and has("connfit_poisson_counts"):
        call = handler("connfit_poisson_counts", ((neurons, len(stream)), jnp.uint8))
        return call(stream, step, first[None], thresholds)[0]
    drawn = drawn_numbers(stream, step, first + jnp.arange(neurons, dtype=jnp.uint32))
    return sum((drawn < level).astype(jnp.uint8) for level in thresholds)  # pyright: ignore[reportReturnType]


def drawn_numbers(
    stream: UInt32[Array, "B"], step: UInt32[Array, "B"], neuron: UInt32[Array, "N"]
) -> UInt32[Array, "N B"]:
    """Return the numbers of neurons in one step: two rounds, each with a key of its own, as `cpp/poisson.h`.

    Within a step no two neurons have the same number.
    """
    inner, outer = _mixed(_mixed(step) ^ stream), _mixed(_mixed(stream + jnp.uint32(0x9E3779B9)) + step)
    return _mixed(_mixed(neuron[:, None] ^ inner) + outer)


def _mixed(x: Array) -> Array:
    """A bijection in which each bit of the result depends on each that is given (Wellons, hash-prospector)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0xD35A2D97)
    return x ^ (x >> 15)
