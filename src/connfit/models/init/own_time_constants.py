"""Time constants of recorded neurons, each from its own unit's past, for a start in which they differ.

About its mean and without connections, a recorded neuron whose state follows the recording by φ and whose unit drives
it by e predicts

    ``r(t+1) = α (1-φ) r(t) + (α φ + e) u(t)``,

in deviations, so ``(α φ + e) Σ_j (α (1-φ))^j u(t-j)``: for every α one number is left, found by least squares. Of the α
of a grid each unit takes the one with which its training frames are predicted best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from connfit.models.init.centred_frames import CentredFrames

CANDIDATES = 25
"""Time constants that are compared, evenly in the logarithm between the bounds of the model."""

SLOWEST = 0.999
"""Largest share of its deviation that a unit by itself may keep over a frame."""


def own_time_constants(
    training: Sequence[CentredFrames], forcing: float, step_s: float, bounds_s: tuple[float, float]
) -> Float[np.ndarray, "P"]:
    """Find the time constant with which each unit's own past predicts its training frames best.

    Parameters
    ----------
    forcing
        φ, by which states follow the recording.
    step_s
        Length of a step, which is a frame, in seconds.
    bounds_s
        Smallest and largest time constant in seconds.

    Returns
    -------
    array
        [P] seconds. Units of which no two frames running were observed have the smallest.
    """
    candidates = np.geomspace(*bounds_s, CANDIDATES)
    decay = np.exp(-step_s / candidates)
    kept = decay * (1 - forcing)
    units = len(training[0].mean)
    squares, products = np.zeros((2, units, CANDIDATES))
    for recording in training:
        followed, last = np.zeros((units, CANDIDATES)), np.zeros(units)
        for stretch in recording.stretches(0):
            for frame, counts in zip(stretch.now, stretch.weight, strict=True):
                followed = kept * followed + last[:, None]
                squares += counts[:, None] * followed**2
                products += (counts * frame)[:, None] * followed
                last = frame
    # The drive is not negative, and a unit by itself must not grow.
    lowest, highest = decay * forcing, np.maximum(SLOWEST - kept, decay * forcing)
    gain = np.clip(products / np.maximum(squares, np.finfo(float).tiny), lowest, highest)
    explained = (2 * products - gain * squares) * gain
    return candidates[np.argmax(explained, axis=1)]
