"""Expectation maximisation of a linear dynamical system, with gaps.

For the system see `connfit.evaluation.baselines.linear_system`. A missing value of a unit that carries over part of it
leaves two of the differences y(t) - D y(t-1) unknown, so that a fit to those that are known would lose most of the
data: with 40 % missing at random only 36 % of the differences are left. Here states and such values are inferred
together. Given what was observed they are jointly normal with a precision matrix that joins only neighbouring frames;
it is block tridiagonal, so that all means and covariances that the M step needs follow by one pass forward and one
back, as in `connfit.evaluation.baselines.gap_moments`. Its blocks are as large as the state with the missing values of
a frame. Sources: Dempster, Laird & Rubin (1977) J. R. Stat. Soc. B 39:1; Shumway & Stoffer (1982) J. Time Ser. Anal.
3:253; without gaps the states are those of Rauch, Tung & Striebel (1965) AIAA J. 3:1445.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.block_tridiagonal import block_tridiagonal_inverse
from connfit.evaluation.baselines.linear_system import LinearSystem, Smoothed, maximise, stable


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of a block of frames, given all that was observed in it.

    Parameters
    ----------
    smoothed
        States.
    filled
        [T, P] observed values, and means of missing ones between a unit's first and last observed frame; 0 outside.
    used
        [T, P] the terms of the likelihood: see `informative`; what was observed, if nothing is carried over.
    cross, cross_before
        [P, d] covariances of y(t) and of y(t-1) with x(t), summed over the frames where `used`.
    variance, variance_before, covariance
        [P] variances of y(t) and y(t-1), and covariance of the two, summed likewise.
    """

    smoothed: Smoothed
    filled: Float[np.ndarray, "T P"]
    used: Bool[np.ndarray, "T P"]
    cross: Float[np.ndarray, "P d"]
    cross_before: Float[np.ndarray, "P d"]
    variance: Float[np.ndarray, "P"]
    variance_before: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P"]

    @property
    def before(self) -> Float[np.ndarray, "T P"]:
        """The frame before each."""
        return np.concatenate([np.zeros((1, self.filled.shape[1])), self.filled[:-1]])

    def left(
        self, carried: Float[np.ndarray, "P"]
    ) -> tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P d"], Float[np.ndarray, "P"]]:
        """Return the mean of y(t) - D y(t-1) where `used`, its covariance with x(t) and its variance, both summed."""
        mean = np.where(self.used, self.filled - carried * self.before, 0.0)
        cross = self.cross - carried[:, None] * self.cross_before
        return mean, cross, self.variance - 2 * carried * self.covariance + carried**2 * self.variance_before

    def decay(self, carried: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
        """Return D of the joint regression of y(t) on y(t-1), x(t) and 1; as `carried` where nothing says more."""
        x, v = self.smoothed.mean, self.smoothed.covariance
        d, used = x.shape[1], self.used.astype(np.float64)
        extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        moments = np.einsum("ti,tj->tij", extended, extended)
        moments[:, :d, :d] += v
        gram = np.einsum("tp,tij->pij", used, moments, optimize=True) + 1e-9 * np.eye(d + 1)
        now, before = used * self.filled, used * self.before
        right = np.stack([now.T @ extended, before.T @ extended], axis=2)
        right[:, :d, 0] += self.cross
        right[:, :d, 1] += self.cross_before
        along = np.linalg.solve(gram, right[:, :, 1:])[:, :, 0]
        # What is left of y(t-1) by states and constant: Frisch & Waugh (1933) Econometrica 1:387.
        square = (before**2).sum(axis=0) + self.variance_before - (along * right[:, :, 1]).sum(axis=1)
        product = (now * before).sum(axis=0) + self.covariance - (along * right[:, :, 0]).sum(axis=1)
        known = square > 1e-6 * np.maximum(self.used.sum(axis=0), 1)
        return np.where(known, np.clip(product / np.where(known, square, 1.0), -1.0, 1.0), carried)


def informative(seen: Bool[np.ndarray, "T P"]) -> tuple[Bool[np.ndarray, "T P"], Bool[np.ndarray, "T P"]]:
    """Return frames of each unit that say something of the system, and missing values that have to be inferred.

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
    """Take the E step: means and covariances of states and missing values.

    Parameters
    ----------
    system
        With read-out, offset and noise on the scale of `z`.
    carried
        D.
    """
    s, (frames, units), d = system, z.shape, len(system.a)
    used, missing = informative(seen) if carried.any() else (seen, np.zeros_like(seen))
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
        np.stack([block[:d] for block in means]),
        np.stack([block[:d, :d] for block in within]),
        np.stack([block[:d, :d].T for block in across]) if across else np.zeros((0, d, d)),
    )
    filled, cross, cross_before = z.copy(), np.zeros((units, d)), np.zeros((units, d))
    variance, variance_before, covariance = np.zeros((3, units))
    for t, new in enumerate(entries):
        filled[t, new] = means[t][d:]
        # Missing values lie between observed ones, so that the terms of their frame and of the next are used.
        cross[new] += within[t][d:, :d]
        variance[new] += np.diagonal(within[t])[d:]
        variance_before[new] += np.diagonal(within[t])[d:]
        if t + 1 < frames:
            cross_before[new] += across[t][d:, :d]
            i, j = np.nonzero(new[:, None] == entries[t + 1])
            covariance[new[i]] += across[t][d + i, d + j]
    return Expected(smoothed, filled, used, cross, cross_before, variance, variance_before, covariance)


def expectation_maximisation(
    system: LinearSystem,
    carried: Float[np.ndarray, "P"],
    z: Float[np.ndarray, "T P"],
    seen: Bool[np.ndarray, "T P"],
    iterations: int,
    *,
    with_decay: bool,
) -> tuple[LinearSystem, Float[np.ndarray, "P"], Smoothed]:
    """Fit by `iterations` of E and M steps from a system and D; return them and the states under the result.

    D is estimated too, or stays as it is (not `with_decay`). The likelihood never falls, but for dynamics whose largest
    eigenvalue leaves the unit circle: they are scaled back onto it, for a stationary process has none there.
    """
    for _ in range(iterations):
        e = expected(system, carried, z, seen)
        carried = e.decay(carried) if with_decay else carried
        left, cross, variance = e.left(carried)
        system = stable(maximise(e.smoothed, left, e.used, cross, variance))
    return system, carried, expected(system, carried, z, seen).smoothed
