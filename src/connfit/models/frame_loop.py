"""A loop over frames whose number is no part of a compiled program: recordings end after any number of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

CHUNK = 64
"""Model steps per call: what is held in memory does not depend on the length of a run."""

LENGTHS = (1, 4, 16, CHUNK)
"""Frames that a program is compiled for; a call with fewer is filled up, and no step is taken for what is filled."""

Carried = TypeVar("Carried")
Each = TypeVar("Each")
Entries = TypeVar("Entries")


def filled_up(entries: Entries, frames: int) -> Entries:
    """Fill arrays of K frames up with zeros to one of few lengths, so that there are few programs to compile."""
    length = next((some for some in LENGTHS if frames <= some), -(-frames // CHUNK) * CHUNK)
    if length == frames:
        return entries

    def longer(values: Array | np.ndarray) -> Array | np.ndarray:
        pad = ((0, length - frames), *[(0, 0)] * (values.ndim - 1))
        return np.pad(values, pad) if isinstance(values, np.ndarray) else jnp.pad(values, pad)

    return jax.tree.map(longer, entries)


def loop_over(
    step: Callable[[Carried, Entries], tuple[Carried, Each]],
    carried: Carried,
    entries: Entries,
    count: Array | np.int32 | None,
) -> tuple[Carried, Each]:
    """Scan over the first entries, as many as a traced `count` says; what is left of the others is 0.

    None: over all, by `jax.lax.scan`, which alone can be differentiated backwards.
    """
    if count is None:
        return jax.lax.scan(step, carried, entries)
    step = jax.jit(step, inline=True)  # traced once for the shapes and the loop
    length = jax.tree.leaves(entries)[0].shape[0]

    def entry(k: Array | int) -> Entries:
        return jax.tree.map(lambda all_of_them: jnp.asarray(all_of_them)[k], entries)

    def stepped(k: Array, now: tuple[Carried, Each]) -> tuple[Carried, Each]:
        carried, each = step(now[0], entry(k))
        return carried, jax.tree.map(lambda stacked, new: stacked.at[k].set(new), now[1], each)

    _, shapes = jax.eval_shape(step, carried, jax.eval_shape(entry, 0))
    empty = jax.tree.map(lambda of: jnp.zeros((length, *of.shape), of.dtype), shapes)
    return jax.lax.fori_loop(0, count, stepped, (carried, empty))
