"""External Poisson events, as the hash says them: one number after the other in NumPy, nothing of the package."""

from __future__ import annotations

import numpy as np
from scipy import stats

MASK = np.uint64(2**32 - 1)


def mixed(x: np.ndarray) -> np.ndarray:
    """The hash of 32 bits, in 64."""
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x21F0AAAD)) & MASK
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0xD35A2D97)) & MASK
    return x ^ (x >> np.uint64(15))


def events(stream: int, steps: np.ndarray, neurons: np.ndarray, per_step: float) -> np.ndarray:
    """[T, N] how many events neurons get in steps (modulo 2^32) of a stream, of which there are `per_step` on average.

    As many as the least k whose chance of at most k events is above what is drawn.
    """
    stream, steps, neurons = (np.asarray(one).astype(np.uint64) & MASK for one in (stream, steps, neurons))
    inner = mixed(mixed(steps) ^ stream)
    outer = (mixed((stream + np.uint64(0x9E3779B9)) & MASK) + steps) & MASK
    drawn = mixed((mixed(neurons ^ inner[:, None]) + mixed(outer)[:, None]) & MASK)
    return (drawn[..., None] < np.round(2.0**32 * stats.poisson.sf(np.arange(60), per_step))).sum(axis=-1)
