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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from connfit.evaluation.baselines.block_tridiagonal import Row, block_tridiagonal_inverse
from connfit.evaluation.baselines.linear_system import (
    LinearSystem,
    Smoothed,
    Terms,
    maximise,
    stable,
    state_moments,
)
from connfit.evaluation.baselines.unit_scaling import Stretch

LONGEST = 2_048
"""Frames whose states and missing values are held at once."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of some frames of a stretch, and of the one after them, given all that was observed in it.

    Parameters
    ----------
    smoothed
        States.
    filled
        [t, P] observed values, and means of missing ones between a unit's first and last observed frame; 0 outside.
    used
        [t, P] the terms of the likelihood: see `informative`; what was observed, if nothing is carried over.
    first
        The terms of frames from this one on belong here: 0 at the start of the stretch, else 1.
    last
        Number of frames, without the one after them.
    cross, cross_before
        [P, d] covariances of y(t) and of y(t-1) with x(t), summed over the frames where `used`.
    variance, variance_before, covariance
        [P] variances of y(t) and y(t-1), and covariance of the two, summed likewise.
    """

    smoothed: Smoothed
    filled: Float[np.ndarray, "t P"]
    used: Bool[np.ndarray, "t P"]
    first: int
    last: int
    cross: Float[np.ndarray, "P d"]
    cross_before: Float[np.ndarray, "P d"]
    variance: Float[np.ndarray, "P"]
    variance_before: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P"]

    @property
    def before(self) -> Float[np.ndarray, "t P"]:
        """The frame before each."""
        return np.concatenate([np.zeros((1, self.filled.shape[1])), self.filled[:-1]])

    def left(self, carried: Float[np.ndarray, "P"]) -> Terms:
        """Return what is left of y(t) without D y(t-1) where `used`, with its covariances."""
        mean = np.where(self.used, self.filled - carried * self.before, 0.0)
        cross = self.cross - carried[:, None] * self.cross_before
        variance = self.variance - 2 * carried * self.covariance + carried**2 * self.variance_before
        return Terms(self.smoothed, mean, self.used, cross, variance, self.first)


def decay(parts: Iterable[Expected], carried: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
    """Return D of the joint regression of y(t) on y(t-1), x(t) and 1; as `carried` where nothing says more."""
    gram = right = square = product = count = variance = covariance = 0.0
    for e in parts:
        gram = gram + state_moments(e.smoothed, e.used, e.first)
        x, d = e.smoothed.mean[e.first :], e.smoothed.mean.shape[1]
        used = e.used[e.first :].astype(np.float64)
        extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        now, before = used * e.filled[e.first :], used * e.before[e.first :]
        each = np.stack([now.T @ extended, before.T @ extended], axis=2)
        each[:, :d, 0] += e.cross
        each[:, :d, 1] += e.cross_before
        right, count = right + each, count + e.used[e.first :].sum(axis=0)
        square, product = square + (before**2).sum(axis=0), product + (now * before).sum(axis=0)
        variance, covariance = variance + e.variance_before, covariance + e.covariance
    right = np.asarray(right)
    along = np.linalg.solve(gram + 1e-9 * np.eye(right.shape[1]), right[:, :, 1:])[:, :, 0]
    # What is left of y(t-1) by states and constant: Frisch & Waugh (1933) Econometrica 1:387.
    square = square + variance - (along * right[:, :, 1]).sum(axis=1)
    product = product + covariance - (along * right[:, :, 0]).sum(axis=1)
    known = square > 1e-6 * np.maximum(count, 1)
    return np.where(known, np.clip(product / np.where(known, square, 1.0), -1.0, 1.0), carried)


Span = tuple[Int[np.ndarray, "P"], Int[np.ndarray, "P"]]
"""First and last frame in which each unit was observed; one that never was has the last before the first."""


def observed_span(stretch: Stretch) -> Span:
    """Find them."""
    first, last = np.full(stretch.units, len(stretch)), np.full(stretch.units, -1)
    start = 0
    for _, seen in stretch.blocks():
        ever = seen.any(axis=0)
        first = np.minimum(first, np.where(ever, start + seen.argmax(axis=0), first))
        last = np.where(ever, start + len(seen) - 1 - seen[::-1].argmax(axis=0), last)
        start += len(seen)
    return first, last


def informative(
    seen: Bool[np.ndarray, "t P"], frames: Int[np.ndarray, "t"], span: Span
) -> tuple[Bool[np.ndarray, "t P"], Bool[np.ndarray, "t P"]]:
    """Return frames of each unit that say something of the system, and missing values that have to be inferred.

    The likelihood is that of the frames after the first in which a unit was observed, given that one; after the last
    nothing is known that the system does not say. A unit that was observed once or never has neither.
    """
    (begins, ends), t = span, frames[:, None]
    goes_on = t <= ends
    return goes_on & (t - 1 >= begins), ~seen & (t >= begins) & goes_on


def expected(system: LinearSystem, carried: Float[np.ndarray, "P"], stretch: Stretch, span: Span) -> Iterator[Expected]:
    """Take the E step: means and covariances of states and missing values, of parts from the last to the first.

    Parameters
    ----------
    system
        With read-out, offset and noise on the scale of the frames.
    carried
        D.
    span
        See `observed_span`.
    """
    s, units, frames, d = system, stretch.units, len(stretch), len(system.a)
    outer = np.einsum("pi,pj->pij", s.c, s.c).reshape(units, -1)
    inverse, begin = np.linalg.inv(s.q), np.linalg.inv(s.v0)
    back = s.a.T @ inverse

    @lru_cache(maxsize=2)
    def part(number: int) -> tuple[np.ndarray, ...]:
        """Values, terms, missing entries, and precision and linear term of the states of frames and the one after."""
        first, stop = number * LONGEST, min((number + 1) * LONGEST + 1, frames)
        z, seen = stretch.read(max(first - 1, 0), stop)
        z = np.where(seen, z, 0.0)
        z = np.concatenate([np.zeros((int(first == 0), units)), z])
        before, z, seen = z[:-1], z[1:], seen[first > 0 :]
        if carried.any():
            used, missing = informative(seen, np.arange(first, stop), span)
        else:
            used, missing = seen, np.zeros_like(seen)
        # Each term is w/2 (rest + y(t) - D y(t-1) - C x(t))² with missing y in the place of the zeros in `rest`.
        rest = np.where(used, z - carried * before - s.offset, 0.0)
        weight = np.where(used, 1.0 / s.r, 0.0)
        return z, used, missing, rest, weight, (weight @ outer).reshape(-1, d, d), (weight * rest) @ s.c

    def row(t: int) -> Row:
        _, _, missing, rest, weight, precision, linear = part(t // LONGEST)
        here = t % LONGEST
        new = np.flatnonzero(missing[here])
        block = np.zeros((d + len(new), d + len(new)))
        value = np.zeros(d + len(new))
        block[:d, :d] = precision[here] + (inverse if t else begin)
        value[:d] = linear[here] + (0.0 if t else begin @ s.m0)
        own = np.arange(d, d + len(new))
        block[:d, d:] = -(s.c[new] * weight[here, new][:, None]).T
        block[d:, :d] = block[:d, d:].T
        block[own, own] = weight[here, new]
        value[d:] = -weight[here, new] * rest[here, new]
        if t + 1 == frames:
            return block, None, value
        later, step = np.flatnonzero(missing[here + 1]), carried[new] * weight[here + 1, new]
        ahead = np.zeros((d + len(new), d + len(later)))
        block[:d, :d] += back @ s.a
        ahead[:d, :d] = -back
        ahead[d:, :d] = step[:, None] * s.c[new]
        block[own, own] += carried[new] * step
        value[d:] += step * rest[here + 1, new]
        ahead[d:, d:] = np.where(new[:, None] == later, -step[:, None], 0.0)
        return block, ahead, value

    for solved in block_tridiagonal_inverse(frames, row, LONGEST):
        z, used, missing, *_ = part(solved.first // LONGEST)
        means, within, across, first = solved.values, solved.within, solved.across, int(solved.first > 0)
        smoothed = Smoothed(
            np.stack([block[:d] for block in means]),
            np.stack([block[:d, :d] for block in within]),
            np.stack([block[:d, :d].T for block in across]) if across else np.zeros((0, d, d)),
        )
        filled, cross, cross_before = z.copy(), np.zeros((units, d)), np.zeros((units, d))
        variance, variance_before, covariance = np.zeros((3, units))
        entries = [np.flatnonzero(frame) for frame in missing]
        for t, new in enumerate(entries):
            filled[t, new] = means[t][d:]
            # Missing values lie between observed ones, so that the terms of their frame and of the next are used.
            if t >= first:
                cross[new] += within[t][d:, :d]
                variance[new] += np.diagonal(within[t])[d:]
            if t < len(across):
                variance_before[new] += np.diagonal(within[t])[d:]
                cross_before[new] += across[t][d:, :d]
                i, j = np.nonzero(new[:, None] == entries[t + 1])
                covariance[new[i]] += across[t][d + i, d + j]
        last = min(LONGEST, frames - solved.first)
        sums = cross, cross_before, variance, variance_before, covariance
        yield Expected(smoothed, filled, used, first, last, *sums)


def expectation_maximisation(
    system: LinearSystem, carried: Float[np.ndarray, "P"], stretch: Stretch, iterations: int, *, with_decay: bool
) -> tuple[LinearSystem, Float[np.ndarray, "P"], Float[np.ndarray, "d d"]]:
    """Fit by `iterations` of E and M steps from a system and D; return them and the second moments of the states.

    D is estimated too, or stays as it is (not `with_decay`). The likelihood never falls, but for dynamics whose largest
    eigenvalue leaves the unit circle: they are scaled back onto it, for a stationary process has none there.
    """
    span = observed_span(stretch)
    for _ in range(iterations):
        parts = expected(system, carried, stretch, span)
        now = carried
        if with_decay:
            held = list(parts) if len(stretch) <= LONGEST else None
            now = decay(held or parts, carried)
            parts = held or expected(system, carried, stretch, span)
        system, carried = stable(maximise(e.left(now) for e in parts)), now
    square = covariance = 0.0
    for e in expected(system, carried, stretch, span):
        x, v = e.smoothed.mean[: e.last], e.smoothed.covariance[: e.last]
        square, covariance = square + x.T @ x, covariance + v.sum(axis=0)
    return system, carried, np.asarray(square / len(stretch) + covariance / len(stretch))
