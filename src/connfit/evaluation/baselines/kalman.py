"""Kalman filter, smoother and expectation maximisation of a linear dynamical system with independent noise per unit.

    x(t) = A x(t-1) + w(t),   w ~ N(0, Q),   x(1) ~ N(m0, V0)      latent state [d]
    y(t) = C x(t) + c + v(t), v ~ N(0, diag(R))                    observed units [P]

Sources: Kalman (1960) J. Basic Eng. 82:35; Rauch, Tung & Striebel (1965) AIAA J. 3:1445; Shumway & Stoffer (1982) J.
Time Ser. Anal. 3:253; Ghahramani & Hinton (1996) Parameter estimation for linear dynamical systems, Toronto
CRG-TR-96-2. All in float64; entries that were not observed are left out of every sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

MIN_NOISE = 1e-4
"""Least noise variance of a unit, on units of variance 1: the likelihood is unbounded where one has none."""


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """Parameters of the system.

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
class Filtered:
    """Result of the filter.

    Parameters
    ----------
    predicted_mean, predicted_covariance
        [T, d], [T, d, d] of the state of each frame, given the frames before it.
    mean, covariance
        [T, d], [T, d, d] of the same, given the frame too.
    log_likelihood
        Of all observed entries.
    """

    predicted_mean: Float[np.ndarray, "T d"]
    predicted_covariance: Float[np.ndarray, "T d d"]
    mean: Float[np.ndarray, "T d"]
    covariance: Float[np.ndarray, "T d d"]
    log_likelihood: float


def kalman_filter(system: LinearSystem, y: Float[np.ndarray, "T P"], seen: Bool[np.ndarray, "T P"]) -> Filtered:
    """Filter recorded frames; the update is in information form, d x d however many units there are."""
    frames, d = len(y), len(system.a)
    centred = np.where(seen, y - system.offset, 0.0)
    weighted = np.where(seen, 1.0 / system.r, 0.0)
    information = centred * weighted @ system.c
    outer = np.einsum("pi,pj->pij", system.c, system.c).reshape(len(system.c), -1)
    precision = (weighted @ outer).reshape(frames, d, d)
    constant = (centred**2 * weighted).sum(axis=1) + np.where(seen, np.log(2 * np.pi * system.r), 0.0).sum(axis=1)
    pm, pv = np.empty((frames, d)), np.empty((frames, d, d))
    fm, fv = np.empty((frames, d)), np.empty((frames, d, d))
    eye = np.eye(d)
    mean, cov = system.m0, system.v0
    total = 0.0
    for t in range(frames):
        if t:
            mean = system.a @ fm[t - 1]
            cov = system.a @ fv[t - 1] @ system.a.T + system.q
            cov = (cov + cov.T) / 2
        pm[t], pv[t] = mean, cov
        # (V^-1 + J)^-1 = (1 + V J)^-1 V, which needs no inverse of V.
        gain = eye + cov @ precision[t]
        posterior = np.linalg.solve(gain, cov)
        innovation = information[t] - precision[t] @ mean
        fv[t] = (posterior + posterior.T) / 2
        fm[t] = mean + fv[t] @ innovation
        # Woodbury: e' S^-1 e with e = y - C mean and S = C V C' + R.
        squared = constant[t] - 2 * mean @ information[t] + mean @ precision[t] @ mean - innovation @ fv[t] @ innovation
        total -= 0.5 * (squared + np.linalg.slogdet(gain)[1])
    return Filtered(pm, pv, fm, fv, float(total))


@dataclass(frozen=True, eq=False)
class Smoothed:
    """State of each frame given all frames: means [T, d], covariances [T, d, d], and cov(x(t), x(t-1)) [T-1, d, d]."""

    mean: Float[np.ndarray, "T d"]
    covariance: Float[np.ndarray, "T d d"]
    lagged: Float[np.ndarray, "T1 d d"]


def smoother(system: LinearSystem, filtered: Filtered) -> Smoothed:
    """Rauch-Tung-Striebel."""
    mean, cov = filtered.mean.copy(), filtered.covariance.copy()
    lagged = np.empty((len(mean) - 1, *cov.shape[1:]))
    for t in range(len(mean) - 2, -1, -1):
        ahead = filtered.predicted_covariance[t + 1]
        back = np.linalg.solve(ahead, system.a @ filtered.covariance[t]).T
        mean[t] += back @ (mean[t + 1] - filtered.predicted_mean[t + 1])
        cov[t] += back @ (cov[t + 1] - ahead) @ back.T
        cov[t] = (cov[t] + cov[t].T) / 2
        lagged[t] = cov[t + 1] @ back.T
    return Smoothed(mean, cov, lagged)


def maximise(
    system: LinearSystem, smoothed: Smoothed, y: Float[np.ndarray, "T P"], seen: Bool[np.ndarray, "T P"]
) -> LinearSystem:
    """The M step: parameters of greatest expected likelihood, given the smoothed states."""
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
    cross = values.T @ extended
    solved = np.linalg.solve(gram, cross[:, :, None])[:, :, 0]
    spread = (values**2).sum(axis=0) - np.einsum("pi,pi->p", solved, cross)
    r = np.where(count > 0, np.maximum(spread / np.maximum(count, 1), MIN_NOISE), 1.0)
    return LinearSystem(a, q, solved[:, :d], solved[:, d], r, x[0], v[0] + 1e-9 * np.eye(d))


def subspace_start(y: Float[np.ndarray, "T P"], seen: Bool[np.ndarray, "T P"], dimension: int) -> LinearSystem:
    """A start for expectation maximisation: states that predict the next frames, from the covariances over time.

    The Hankel matrix of covariances at lags 1 to 2k is cut to rank `dimension`; read-out and dynamics follow from
    its column space: Van Overschee & De Moor (1996) Subspace Identification for Linear Systems; Katayama (2005)
    Subspace Methods for System Identification, chapter 8. Entries that were not observed count as mean.
    """
    units = y.shape[1]
    z = np.where(seen, y, 0.0)
    span = max(2, -(-2 * dimension // units))
    # Rank is limited by the number of units times lags; leading principal components keep the Hankel matrix small.
    components = min(units, max(dimension, 2 * dimension))
    basis = np.linalg.svd(z, full_matrices=False)[2][:components].T
    p = z @ basis
    covariance = [p[lag:].T @ p[: len(p) - lag] / len(p) for lag in range(2 * span)]
    hankel = np.block([[covariance[i + j + 1] for j in range(span)] for i in range(span)])
    left, s, _ = np.linalg.svd(hankel)
    observability = left[:, :dimension] * np.sqrt(s[:dimension])
    a = np.linalg.lstsq(observability[:-components], observability[components:], rcond=None)[0]
    radius = np.abs(np.linalg.eigvals(a)).max(initial=0.0)
    a = a * min(1.0, 0.98 / max(radius, 1e-12))
    c = basis @ observability[:components]
    states = np.linalg.lstsq(c, z.T, rcond=None)[0].T
    innovations = states[1:] - states[:-1] @ a.T
    q = np.cov(innovations.T).reshape(dimension, dimension) + 1e-3 * np.eye(dimension)
    residual = np.where(seen, z - states @ c.T, 0.0)
    r = np.maximum((residual**2).sum(axis=0) / np.maximum(seen.sum(axis=0), 1), 0.05)
    v0 = np.cov(states.T).reshape(dimension, dimension) + 1e-3 * np.eye(dimension)
    return LinearSystem(a, q, c, np.zeros(units), r, np.zeros(dimension), v0)


def expectation_maximisation(
    system: LinearSystem, y: Float[np.ndarray, "T P"], seen: Bool[np.ndarray, "T P"], iterations: int
) -> tuple[LinearSystem, Sequence[float]]:
    """Fit by `iterations` of E and M steps; also the log likelihood before each of them, which never falls.

    Dynamics whose largest eigenvalue leaves the unit circle are scaled back onto it: a stationary process has none.
    """
    trace = []
    for _ in range(iterations):
        filtered = kalman_filter(system, y, seen)
        trace.append(filtered.log_likelihood)
        system = maximise(system, smoother(system, filtered), y, seen)
        radius = np.abs(np.linalg.eigvals(system.a)).max(initial=0.0)
        if radius > 1:
            system = replace(system, a=system.a / radius)
    return system, trace
