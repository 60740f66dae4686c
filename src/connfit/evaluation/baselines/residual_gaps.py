"""Frames of residuals in which some units lack one: filled, draw by draw, from what the others say."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

MIN_OF_UNIT = 3
"""Residuals that a unit must have for noise to be drawn for it."""

_FLOOR = 1e-3
"""Least eigenvalue of the correlations between units, relative to a unit's own."""


def pairwise_covariance(residuals: Float[np.ndarray, "R P"]) -> Float[np.ndarray, "P P"]:
    """Return the covariance over the frames that each pair of units shares, made positive definite.

    A pair that shares n of R frames has its correlation multiplied by n / (n + P): shrinkage towards none, as under an
    inverse Wishart prior with P degrees of freedom, and 0 for a pair that shares nothing. Eigenvalues below a floor
    are raised to it and the diagonal restored (Rousseeuw & Molenberghs 1993, Commun. Stat. Theory Methods 22:965).
    """
    known = np.isfinite(residuals)
    x = np.where(known, residuals, 0.0)
    seen = known.astype(np.float64)
    shared, count = seen.T @ seen, np.maximum(known.sum(axis=0), 1)
    std = np.sqrt((x**2).sum(axis=0) / count)
    scale = np.where(std > 0, std, 1.0)
    z = x / scale
    squares = (z**2).T @ seen
    correlation = z.T @ z / np.sqrt(np.maximum(squares * squares.T, 1e-300))
    correlation *= shared / (shared + x.shape[1])
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    correlation = (vectors * np.maximum(values, _FLOOR)) @ vectors.T
    own = np.sqrt(np.diag(correlation))
    return correlation / np.outer(own, own) * np.outer(std, std)


def fill_draws(
    residuals: Float[np.ndarray, "R P"],
    drawn: Int[np.ndarray, "runs frames"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "runs frames P"]:
    """Return the drawn frames; what a frame lacks is drawn from the normal conditional on what it has.

    Every draw of a frame is filled anew: mean and spread of what was not seen are those that the covariance of the
    residuals gives, and no entry is its unit's mean. Units with fewer than `MIN_OF_UNIT` residuals get no noise.
    """
    out = residuals[drawn]
    known = np.isfinite(residuals)
    silent = known.sum(axis=0) < MIN_OF_UNIT
    out[..., silent] = 0.0
    if np.isfinite(out).all():
        return out
    spread = np.zeros((len(silent), len(silent)))
    spread[np.ix_(~silent, ~silent)] = pairwise_covariance(residuals[:, ~silent])
    flat = out.reshape(-1, len(silent))
    source = drawn.ravel()
    order = np.argsort(source, kind="stable")
    frames, first = np.unique(source[order], return_index=True)
    for frame, copies in zip(frames, np.split(order, first[1:]), strict=True):
        has = known[frame] & ~silent
        lacks = ~known[frame] & ~silent
        if not lacks.any():
            continue
        rest, mean = spread[np.ix_(lacks, lacks)], np.zeros(int(lacks.sum()))
        if has.any():
            gain = np.linalg.solve(spread[np.ix_(has, has)] + _tiny(spread, has), spread[np.ix_(has, lacks)])
            mean = residuals[frame, has] @ gain
            rest = rest - spread[np.ix_(lacks, has)] @ gain
        values, vectors = np.linalg.eigh((rest + rest.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn_now = generator.standard_normal((len(copies), len(values)))
        flat[np.ix_(copies, np.flatnonzero(lacks))] = mean + drawn_now @ root.T
    return flat.reshape(out.shape)


def _tiny(spread: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Keeps a unit without any error, whose variance is 0, solvable."""
    own = np.diag(spread)[has]
    return np.diag(np.where(own > 0, 0.0, 1.0))
