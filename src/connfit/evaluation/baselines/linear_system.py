"""A linear dynamical system of which units may carry over part of their last frame: parameters and their estimation.

    x(t) = A x(t-1) + w(t),   w ~ N(0, Q),   x(1) ~ N(m0, V0)           latent state [d]
    y(t) = D y(t-1) + C x(t) + c + v(t),   v ~ N(0, diag(R))            units [P], D diagonal, possibly 0

What is inferred of states and missing values is in `connfit.evaluation.baselines.system_moments`. Sources: Shumway &
Stoffer (1982) J. Time Ser. Anal. 3:253; Ghahramani & Hinton (1996) Parameter estimation for linear dynamical systems,
Toronto CRG-TR-96-2. All in float64; entries that were not observed are left out of every sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

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


def maximise(
    smoothed: Smoothed,
    y: Float[np.ndarray, "T P"],
    seen: Bool[np.ndarray, "T P"],
    cross: Float[np.ndarray, "P d"] | float = 0.0,
    variance: Float[np.ndarray, "P"] | float = 0.0,
) -> LinearSystem:
    """Take the M step: parameters of greatest expected likelihood, given the smoothed states.

    Parameters
    ----------
    y
        Frames, or their means where they are not known exactly.
    seen
        The entries that count.
    cross, variance
        Covariance of y with the states, and variance of y, summed over these entries.
    """
    x, v = smoothed.mean, smoothed.covariance
    before = x[:-1].T @ x[:-1] + v[:-1].sum(axis=0)
    after = x[1:].T @ x[1:] + v[1:].sum(axis=0)
    across = x[1:].T @ x[:-1] + smoothed.lagged.sum(axis=0)
    a = np.linalg.solve(before.T, across.T).T
    q = (after - a @ across.T) / (len(x) - 1)
    q = (q + q.T) / 2 + 1e-9 * np.eye(len(a))
    # Each unit is regressed on [x, 1] over the frames in which it was observed.
    d = len(a)
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    moments = np.einsum("ti,tj->tij", extended, extended)
    moments[:, :d, :d] += v
    weights = seen.astype(np.float64)
    count = weights.sum(axis=0)
    values = np.where(seen, y, 0.0)
    gram = np.einsum("tp,tij->pij", weights, moments, optimize=True) + 1e-9 * np.eye(d + 1)
    with_states = values.T @ extended
    with_states[:, :d] += cross
    solved = np.linalg.solve(gram, with_states[:, :, None])[:, :, 0]
    spread = (values**2).sum(axis=0) + variance - np.einsum("pi,pi->p", solved, with_states)
    r = np.where(count > 0, np.maximum(spread / np.maximum(count, 1), MIN_NOISE), 1.0)
    return LinearSystem(a, q, solved[:, :d], solved[:, d], r, x[0], v[0] + 1e-9 * np.eye(d))


def subspace_start(y: Float[np.ndarray, "T P"], seen: Bool[np.ndarray, "T P"], dimension: int) -> LinearSystem:
    """Return a start for expectation maximisation: states that predict the next frames, from the covariances over time.

    The Hankel matrix of covariances at lags 1 to 2k is cut to rank `dimension`; read-out and dynamics follow from
    its column space: Van Overschee & De Moor (1996) Subspace Identification for Linear Systems; Katayama (2005)
    Subspace Methods for System Identification, chapter 8. Every covariance is over the frames in which both entries
    were observed; where that leaves a matrix that is none of a distribution, the nearest that is one is taken.
    """
    frames, units = y.shape
    z = np.where(seen, y, 0.0)
    span = max(2, -(-2 * dimension // units))
    # Rank is limited by the number of units times lags; leading principal components keep the Hankel matrix small.
    components = min(units, max(dimension, 2 * dimension))
    square = _pairwise(z, seen, z, seen)
    basis = np.linalg.eigh(square)[1][:, ::-1][:, :components]
    covariance = [
        basis.T @ _pairwise(z[lag:], seen[lag:], z[: frames - lag], seen[: frames - lag]) @ basis * (1 - lag / frames)
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
    now, before = (z[1:], seen[1:]), (z[:-1], seen[:-1])
    pairs = [[_centred(first, second, to_states) for second in (now, before)] for first in (now, before)]
    driven = np.concatenate([np.eye(dimension), -a], axis=1)
    q = driven @ _positive(np.block(pairs)) @ driven.T + 1e-3 * np.eye(dimension)
    rest = np.eye(units) - c @ to_states
    r = np.maximum(np.einsum("pi,ij,pj->p", rest, square, rest, optimize=True), 0.05)
    v0 = _positive(_centred((z, seen), (z, seen), to_states)) + 1e-3 * np.eye(dimension)
    return LinearSystem(a, q, c, np.zeros(units), r, np.zeros(dimension), v0)


def _pairwise(
    first: np.ndarray, first_seen: np.ndarray, second: np.ndarray, second_seen: np.ndarray
) -> Float[np.ndarray, "P P"]:
    """Mean products of two series over the frames in which both entries were observed; others must be 0."""
    count = first_seen.T.astype(np.float64) @ second_seen.astype(np.float64)
    return first.T @ second / np.maximum(count, 1)


def _centred(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], to_states: Float[np.ndarray, "d P"]
) -> Float[np.ndarray, "d d"]:
    """Covariance of the states of two series."""
    means = [z.sum(axis=0) / np.maximum(seen.sum(axis=0), 1) for z, seen in (first, second)]
    frames = len(first[0])
    product = _pairwise(*first, *second) - np.outer(*means)
    return to_states @ product @ to_states.T * (frames / max(frames - 1, 1))


def _positive(covariance: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The nearest positive semi-definite matrix (Higham 1988, Linear Algebra Appl. 103:103)."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def stable(system: LinearSystem) -> LinearSystem:
    """Scale dynamics whose largest eigenvalue leaves the unit circle back onto it."""
    radius = np.abs(np.linalg.eigvals(system.a)).max(initial=0.0)
    return replace(system, a=system.a / radius) if radius > 1 else system
