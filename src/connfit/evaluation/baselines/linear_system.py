"""A linear dynamical system of which units may carry over part of their last frame: parameters and their estimation.

    x(t) = A x(t-1) + w(t),   w ~ N(0, Q),   x(1) ~ N(m0, V0)           latent state [d]
    y(t) = D y(t-1) + C x(t) + c + v(t),   v ~ N(0, diag(R))            units [P], D diagonal, possibly 0

What is inferred of states and missing values is in `connfit.evaluation.baselines.system_moments`. Sources: Shumway &
Stoffer (1982) J. Time Ser. Anal. 3:253; Ghahramani & Hinton (1996) Parameter estimation for linear dynamical systems,
Toronto CRG-TR-96-2. All in float64; entries that were not observed are left out of every sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from connfit.evaluation.baselines.unit_scaling import Block, Stretch, added

MIN_NOISE = 1e-4
"""Least noise variance of a unit, on units of variance 1: the likelihood is unbounded where one has none."""


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """Parameters of the system but for D.

    Parameters
    ----------
    a, q
        [d, d] dynamics, and covariance of the noise that drives it.
    c, offset, r
        [P, d] read-out, [P] constant, and [P] variance of the noise of each unit.
    m0, v0
        [d], [d, d] mean and covariance of the first state.
    """

    a: Float[np.ndarray, "d d"]
    q: Float[np.ndarray, "d d"]
    c: Float[np.ndarray, "P d"]
    offset: Float[np.ndarray, "P"]
    r: Float[np.ndarray, "P"]
    m0: Float[np.ndarray, "d"]
    v0: Float[np.ndarray, "d d"]


@dataclass(frozen=True, eq=False)
class Smoothed:
    """State of each frame given all frames: means [T, d], covariances [T, d, d], and cov(x(t), x(t-1)) [T-1, d, d]."""

    mean: Float[np.ndarray, "T d"]
    covariance: Float[np.ndarray, "T d d"]
    lagged: Float[np.ndarray, "T1 d d"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the M step needs of some frames and the one after them.

    Parameters
    ----------
    smoothed
        States.
    y
        [t, P] frames, or their means where they are not known exactly.
    seen
        [t, P] the entries that count.
    cross, variance
        [P, d] covariance of y with the states, and [P] variance of y, summed over these entries.
    first
        Entries of frames from this one on belong here: 0 at the start of a stretch, else 1.
    """

    smoothed: Smoothed
    y: Float[np.ndarray, "t P"]
    seen: Bool[np.ndarray, "t P"]
    cross: Float[np.ndarray, "P d"] | float = 0.0
    variance: Float[np.ndarray, "P"] | float = 0.0
    first: int = 0


def state_moments(smoothed: Smoothed, seen: Bool[np.ndarray, "t P"], first: int) -> Float[np.ndarray, "P d1 d1"]:
    """Return expected second moments of [x, 1] over the entries of each unit from a frame on."""
    x, v = smoothed.mean[first:], smoothed.covariance[first:]
    d = x.shape[1]
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    moments = np.einsum("ti,tj->tij", extended, extended)
    moments[:, :d, :d] += v
    return np.einsum("tp,tij->pij", seen[first:].astype(np.float64), moments, optimize=True)


def maximise(parts: Iterable[Terms]) -> LinearSystem:
    """Take the M step: parameters of greatest expected likelihood, given the smoothed states of all frames."""
    before = after = across = gram = with_states = square = variance = 0.0
    count, pairs, start = 0, 0, None
    for part in parts:
        x, v = part.smoothed.mean, part.smoothed.covariance
        before = before + (x[:-1].T @ x[:-1] + v[:-1].sum(axis=0))
        after = after + (x[1:].T @ x[1:] + v[1:].sum(axis=0))
        across = across + (x[1:].T @ x[:-1] + part.smoothed.lagged.sum(axis=0))
        pairs += len(x) - 1
        # Each unit is regressed on [x, 1] over the frames in which it was observed.
        gram = gram + state_moments(part.smoothed, part.seen, part.first)
        own = slice(part.first, None)
        values = np.where(part.seen[own], part.y[own], 0.0)
        each = values.T @ np.concatenate([x[own], np.ones((len(x[own]), 1))], axis=1)
        each[:, :-1] += part.cross
        with_states, count = with_states + each, count + part.seen[own].astype(np.float64).sum(axis=0)
        square, variance = square + (values**2).sum(axis=0), variance + part.variance
        start = (x[0], v[0]) if part.first == 0 else start
    assert start is not None, "parts begin with the first frame"
    d = len(start[0])
    a = np.linalg.solve(np.transpose(before), np.transpose(across)).T
    q = (after - a @ np.transpose(across)) / pairs
    q = (q + q.T) / 2 + 1e-9 * np.eye(d)
    with_states = np.asarray(with_states)
    solved = np.linalg.solve(gram + 1e-9 * np.eye(d + 1), with_states[:, :, None])[:, :, 0]
    spread = square + variance - np.einsum("pi,pi->p", solved, with_states)
    r = np.where(count > 0, np.maximum(spread / np.maximum(count, 1), MIN_NOISE), 1.0)
    return LinearSystem(a, q, solved[:, :d], solved[:, d], r, start[0], start[1] + 1e-9 * np.eye(d))


def subspace_start(stretch: Stretch, dimension: int) -> LinearSystem:
    """Return a start for expectation maximisation: states that predict the next frames, from the covariances over time.

    The Hankel matrix of covariances at lags 1 to 2k is cut to rank `dimension`; read-out and dynamics follow from
    its column space: Van Overschee & De Moor (1996) Subspace Identification for Linear Systems; Katayama (2005)
    Subspace Methods for System Identification, chapter 8. Every covariance is over the frames in which both entries
    were observed; where that leaves a matrix that is none of a distribution, the nearest that is one is taken.
    """
    frames, units = len(stretch), stretch.units
    span = max(2, -(-2 * dimension // units))
    # Rank is limited by the number of units times lags; leading principal components keep the Hankel matrix small.
    components = min(units, max(dimension, 2 * dimension))
    square = _pairwise(stretch, 0)
    basis = np.linalg.eigh(square)[1][:, ::-1][:, :components]
    covariance = [
        basis.T @ (square if lag == 0 else _pairwise(stretch, lag)) @ basis * (1 - lag / frames)
        for lag in range(2 * span)
    ]
    hankel = np.block([[covariance[i + j + 1] for j in range(span)] for i in range(span)])
    left, s, _ = np.linalg.svd(hankel)
    observability = left[:, :dimension] * np.sqrt(s[:dimension])
    a = np.linalg.lstsq(observability[:-components], observability[components:], rcond=None)[0]
    radius = np.abs(np.linalg.eigvals(a)).max(initial=0.0)
    a = a * min(1.0, 0.98 / max(radius, 1e-12))
    c = basis @ observability[:components]
    to_states = np.linalg.pinv(c)
    pairs = [[_centred(stretch, 1, first, second, to_states) for second in (False, True)] for first in (False, True)]
    driven = np.concatenate([np.eye(dimension), -a], axis=1)
    q = driven @ _positive(np.block(pairs)) @ driven.T + 1e-3 * np.eye(dimension)
    rest = np.eye(units) - c @ to_states
    r = np.maximum(np.einsum("pi,ij,pj->p", rest, square, rest, optimize=True), 0.05)
    v0 = _positive(_centred(stretch, 0, False, False, to_states)) + 1e-3 * np.eye(dimension)
    return LinearSystem(a, q, c, np.zeros(units), r, np.zeros(dimension), v0)


def _series(stretch: Stretch, lag: int, *earlier: bool) -> Iterator[list[Block]]:
    """All frames but the last `lag` of a stretch, or but the first, for each that is asked for."""
    for z, seen in stretch.blocks(lag):
        z = np.where(seen, z, 0.0)
        cuts = [slice(0, len(z) - lag) if early else slice(lag, None) for early in earlier]
        yield [(z[at], seen[at]) for at in cuts]


def _pairwise(stretch: Stretch, lag: int, first: bool = False, second: bool = True) -> Float[np.ndarray, "P P"]:
    """Mean products of two such series, over the frames in which both entries were observed; see `_series`."""
    product = count = 0.0
    for (x, x_seen), (y, y_seen) in _series(stretch, lag, first, second):
        count = count + x_seen.T.astype(np.float64) @ y_seen.astype(np.float64)
        product = product + x.T @ y
    return product / np.maximum(count, 1)


def _centred(
    stretch: Stretch, lag: int, first: bool, second: bool, to_states: Float[np.ndarray, "d P"]
) -> Float[np.ndarray, "d d"]:
    """Covariance of the states of two such series."""
    means, frames = [], len(stretch) - lag
    for earlier in (first, second):
        total, count = None, 0
        for ((z, seen),) in _series(stretch, lag, earlier):
            total, count = added(total, z), count + seen.sum(axis=0)
        means.append(total / np.maximum(count, 1))
    product = _pairwise(stretch, lag, first, second) - np.outer(*means)
    return to_states @ product @ to_states.T * (frames / max(frames - 1, 1))


def _positive(covariance: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The nearest positive semi-definite matrix (Higham 1988, Linear Algebra Appl. 103:103)."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def stable(system: LinearSystem) -> LinearSystem:
    """Scale dynamics whose largest eigenvalue leaves the unit circle back onto it."""
    radius = np.abs(np.linalg.eigvals(system.a)).max(initial=0.0)
    return replace(system, a=system.a / radius) if radius > 1 else system
