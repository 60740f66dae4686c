"""Kalman filter of a linear dynamical system of which units may carry over part of their last frame.

For the system see `connfit.evaluation.baselines.linear_system`. Where y(t-1) was observed, y(t) - D y(t-1) is all that
the state sees. Where it was not, it is part of the state itself: the state is x with those missing entries of the last
frame that are carried over, whose covariance with x says what a later value tells of both. Updates are in information
form, as large as that state. Source: Kalman (1960) J. Basic Eng. 82:35.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from connfit.evaluation.baselines.linear_system import LinearSystem
from connfit.evaluation.baselines.unit_scaling import Stretch
from connfit.recordings.frame_blocks import frame_blocks


@dataclass(frozen=True, eq=False)
class Filtered:
    """Result of the filter, by frame.

    Parameters
    ----------
    mean, variance
        [t, P] of each frame given the frames before it.
    state
        [t, d] of the latent state given the frame too.
    filled
        [t, P] the frame: observed values, and means given all frames up to it of those that are missing.
    last
        [d, d] covariance of the latent state after the last frame.
    first
        First frame.
    """

    mean: Float[np.ndarray, "t P"]
    variance: Float[np.ndarray, "t P"]
    state: Float[np.ndarray, "t d"]
    filled: Float[np.ndarray, "t P"]
    last: Float[np.ndarray, "d d"]
    first: int


def system_filter(system: LinearSystem, carried: Float[np.ndarray, "P"], stretch: Stretch) -> Iterator[Filtered]:
    """Filter recorded frames, block by block.

    Before the first frame y has mean 0 and variance 1 where there are gaps; of frames without gaps of which part is
    carried over, the first is given and says nothing about the state.

    Parameters
    ----------
    system
        With read-out, offset and noise on the scale of the frames.
    carried
        D.
    """
    units, d = stretch.units, len(system.a)
    state, last = system.m0, np.zeros(units)
    given = bool(carried.any() and stretch.whole)
    missing = np.zeros(0, int) if given else np.flatnonzero(carried)
    covariance = np.eye(d + len(missing))
    covariance[:d, :d] = system.v0
    for at in frame_blocks(0, len(stretch), units):
        z, seen = stretch.read(at.start, at.stop)
        frames, z = len(z), np.where(seen, z, 0.0)
        mean, variance = np.empty((frames, units)), np.empty((frames, units))
        states, filled = np.empty((frames, d)), np.empty((frames, units))
        for t in range(frames):
            if at.start + t:
                state = system.a @ state
                covariance[:d] = system.a @ covariance[:d]
                covariance[:, :d] = covariance[:, :d] @ system.a.T
                covariance[:d, :d] += system.q
            design = np.zeros((units, d + len(missing)))
            design[:, :d] = system.c
            design[missing, d + np.arange(len(missing))] = carried[missing]
            through = covariance @ design.T
            mean[t] = carried * last + system.c @ state + system.offset
            variance[t] = (design * through.T).sum(axis=1) + system.r
            o, gone = seen[t] & (at.start + t > 0 or not given), np.flatnonzero(~seen[t])
            weighted = design[o] / system.r[o][:, None]
            # (V^-1 + J)^-1 = (1 + V J)^-1 V, which needs no inverse of V.
            gain = np.eye(len(covariance)) + through[:, o] @ weighted
            posterior = np.linalg.solve(gain, covariance)
            posterior = (posterior + posterior.T) / 2
            step = posterior @ (weighted.T @ (z[t, o] - mean[t, o]))
            state = state + step[:d]
            filled[t] = z[t]
            filled[t, gone] = mean[t, gone] + design[gone] @ step
            new = gone[carried[gone] != 0]
            now = design[new]
            across = posterior[:d] @ now.T
            covariance = np.block(
                [[posterior[:d, :d], across], [across.T, now @ posterior @ now.T + np.diag(system.r[new])]]
            )
            missing, last, states[t] = new, filled[t], state
        yield Filtered(mean, variance, states, filled, covariance[:d, :d], at.start)
