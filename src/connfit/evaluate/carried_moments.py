"""Expectation maximisation of a linear dynamical system whose units carry over part of their last frame, with gaps.

    x(t) = A x(t-1) + w(t),   w ~ N(0, Q)                        latent state [d]
    y(t) = D y(t-1) + C x(t) + c + v(t),   v ~ N(0, diag(R))     units [P], D diagonal and given

Without gaps y(t) - D y(t-1) is a linear dynamical system by itself: `connfit.evaluate.kalman`. A missing value leaves
two such differences unknown, so that a fit to those that are known would lose most of the data: with 40 % missing at
random only 36 % of the differences are left. Here states and missing values are inferred together. Given what was
observed they are jointly normal with a precision matrix that joins only neighbouring frames; it is block tridiagonal,
so that all means and covariances that the M step needs follow by one pass forward and one back, as in
`connfit.evaluate.gap_moments`. Its blocks are as large as the state with the missing values of a frame.
Sources: Dempster, Laird & Rubin (1977) J. R. Stat. Soc. B 39:1; Shumway & Stoffer (1982) J. Time Ser. Anal. 3:253.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluate.gap_moments import block_tridiagonal_inverse
from connfit.evaluate.kalman import LinearSystem, Smoothed, maximise, stable


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of a block of frames, given all that was observed in it.

    Parameters
    ----------
    smoothed
        States.
    filled
        [T, P] observed values, and means of missing ones between a unit's first and last observed frame; 0 outside.
    left
        [T, P] mean of y(t) - D y(t-1) where `used`.
    cross, variance
        [P, d], [P] covariance of that with x(t), and its variance, summed over the frames where `used`.
    used
        [T, P] the terms of the likelihood: see `informative`.
    """

    smoothed: Smoothed
    filled: Float[np.ndarray, "T P"]
    left: Float[np.ndarray, "T P"]
    cross: Float[np.ndarray, "P d"]
    variance: Float[np.ndarray, "P"]
    used: Bool[np.ndarray, "T P"]


def informative(seen: Bool[np.ndarray, "T P"]) -> tuple[Bool[np.ndarray, "T P"], Bool[np.ndarray, "T P"]]:
    """Frames of each unit that say something of the system, and missing values that have to be inferred.

    The likelihood is that of the frames after the first in which a unit was observed, given that one; after the last
    nothing is known that the system does not say. A unit that was observed once or never has neither.
    """
    begun = np.logical_or.accumulate(seen, axis=0)
    goes_on = np.logical_or.accumulate(seen[::-1], axis=0)[::-1]
    used = goes_on.copy()
    used[0], used[1:] = False, goes_on[1:] & begun[:-1]
    return used, ~seen & begun & goes_on


def expected(
    system: LinearSystem,
    carried: Float[np.ndarray, "P"],
    z: Float[np.ndarray, "T P"],
    seen: Bool[np.ndarray, "T P"],
) -> Expected:
    """The E step: means and covariances of states and missing values.

    Parameters
    ----------
    system
        With read-out, offset and noise on the scale of `z`.
    carried
        D.
    """
    s, (frames, units), d = system, z.shape, len(system.a)
    used, missing = informative(seen)
    z = np.where(seen, z, 0.0)
    before = np.concatenate([np.zeros((1, units)), z[:-1]])
    # Each term is w/2 (rest + y(t) - D y(t-1) - C x(t))² with missing y in the place of the zeros in `rest`.
    rest = np.where(used, z - carried * before - s.offset, 0.0)
    weight = np.where(used, 1.0 / s.r, 0.0)
    outer = np.einsum("pi,pj->pij", s.c, s.c).reshape(units, -1)
    precision, linear = (weight @ outer).reshape(frames, d, d), (weight * rest) @ s.c
    inverse, first = np.linalg.inv(s.q), np.linalg.inv(s.v0)
    back = s.a.T @ inverse
    entries = [np.flatnonzero(frame) for frame in missing]
    diagonal, above, right = [], [], []
    for t, new in enumerate(entries):
        block = np.zeros((d + len(new), d + len(new)))
        value = np.zeros(d + len(new))
        block[:d, :d] = precision[t] + (inverse if t else first)
        value[:d] = linear[t] + (0.0 if t else first @ s.m0)
        own = np.arange(d, d + len(new))
        block[:d, d:] = -(s.c[new] * weight[t, new][:, None]).T
        block[d:, :d] = block[:d, d:].T
        block[own, own] = weight[t, new]
        value[d:] = -weight[t, new] * rest[t, new]
        if t + 1 < frames:
            later, step = entries[t + 1], carried[new] * weight[t + 1, new]
            ahead = np.zeros((d + len(new), d + len(later)))
            block[:d, :d] += back @ s.a
            ahead[:d, :d] = -back
            ahead[d:, :d] = step[:, None] * s.c[new]
            block[own, own] += carried[new] * step
            value[d:] += step * rest[t + 1, new]
            ahead[d:, d:] = np.where(new[:, None] == later, -step[:, None], 0.0)
            above.append(ahead)
        diagonal.append(block)
        right.append(value)
    means, within, across = block_tridiagonal_inverse(diagonal, above, right)
    smoothed = Smoothed(
        np.stack([one[:d] for one in means]),
        np.stack([one[:d, :d] for one in within]),
        np.stack([one[:d, :d].T for one in across]) if across else np.zeros((0, d, d)),
    )
    filled, cross, variance = z.copy(), np.zeros((units, d)), np.zeros(units)
    for t, new in enumerate(entries):
        filled[t, new] = means[t][d:]
        # Missing values lie between observed ones, so that the terms of their frame and of the next are used.
        cross[new] += within[t][d:, :d]
        variance[new] += np.diagonal(within[t])[d:]
        if t + 1 < frames:
            later = entries[t + 1]
            cross[new] -= carried[new][:, None] * across[t][d:, :d]
            variance[new] += carried[new] ** 2 * np.diagonal(within[t])[d:]
            i, j = np.nonzero(new[:, None] == later)
            variance[new[i]] -= 2 * carried[new[i]] * across[t][d + i, d + j]
    before = np.concatenate([np.zeros((1, units)), filled[:-1]])
    return Expected(smoothed, filled, np.where(used, filled - carried * before, 0.0), cross, variance, used)


def carried_expectation_maximisation(
    system: LinearSystem,
    carried: Float[np.ndarray, "P"],
    z: Float[np.ndarray, "T P"],
    seen: Bool[np.ndarray, "T P"],
    iterations: int,
) -> tuple[LinearSystem, Smoothed]:
    """Fit by `iterations` of E and M steps, with D as it is given; and the states under the result.

    Without gaps the same as `connfit.evaluate.kalman.expectation_maximisation` of y(t) - D y(t-1).
    """
    for _ in range(iterations):
        e = expected(system, carried, z, seen)
        system = stable(maximise(e.smoothed, e.left, e.used, e.cross, e.variance))
    return system, expected(system, carried, z, seen).smoothed
