"""The non-negative right inverse of a read-out: how each neuron must change for one unit alone to change by one."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from connfit.models.readout import Readout


def persistence_drive(readout: Readout, allowed: sp.csr_array | None = None, *, sweeps: int = 300) -> sp.csr_array:
    """Find a drive E ≥ 0 [N, P], only where a unit reads a neuron, for which reading it out gives the unit back.

    Minimises ``‖C E − 1‖²`` over E ≥ 0 on the support of Cᵀ by accelerated projected gradient
    (Beck & Teboulle 2009), from a start that favours neurons read by one unit alone. Where units
    share all their neurons, or may not drive neurons that they read, the result is the nearest
    possible, not exact.

    Parameters
    ----------
    allowed
        [N, P] pattern of the drive where not every unit may drive every neuron. The result then has
        exactly this pattern, with zeros where the unit does not read the neuron.
    """
    shares = sp.csr_array(readout.matrix)
    support = sp.csr_array(shares.T)
    support.sort_indices()
    if allowed is not None:
        return _on_pattern(_solve_persistence(shares, _masked(support, allowed), sweeps), allowed)
    return _solve_persistence(shares, support, sweeps)


def _solve_persistence(shares: sp.csr_array, support: sp.csr_array, sweeps: int) -> sp.csr_array:
    indptr, units, share = support.indptr, support.indices, support.data
    readout_units = len(shares.indptr) - 1
    per_neuron = np.diff(indptr)
    neuron = np.repeat(np.arange(len(per_neuron)), per_neuron)
    purity = share / np.bincount(neuron, share, len(per_neuron))[neuron]
    values = purity**4
    values /= np.bincount(units, values * share, readout_units)[units]

    # The gradient Cᵀ(CE − 1) is needed on the support of E only: one term for each pair of units that
    # a neuron is read by, instead of a dense [N, P] product.
    partners = per_neuron[neuron]
    entry = np.repeat(np.arange(len(units)), partners)
    offset = np.arange(len(entry)) - np.repeat(np.cumsum(partners) - partners, partners)
    partner = indptr[neuron[entry]] + offset
    step = 1 / np.linalg.norm(_dense(shares @ support), 2)
    momentum, t = values, 1.0
    for _ in range(sweeps):
        residual = _dense(shares @ sp.csr_array((momentum, units, indptr), shape=support.shape))
        residual -= np.eye(readout_units)
        gradient = np.bincount(entry, share[partner] * residual[units[partner], units[entry]], len(units))
        new = np.maximum(momentum - step * gradient, 0)
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        momentum = new + (t - 1) / t_new * (new - values)
        values, t = new, t_new
    return sp.csr_array((values, units, indptr), shape=support.shape)


def _dense(matrix: sp.csr_array) -> Float[np.ndarray, "P P"]:
    return matrix.toarray()


def _masked(values: sp.csr_array, pattern: sp.csr_array) -> sp.csr_array:
    """The values where the pattern has an entry."""
    masked = sp.csr_array(values.multiply(pattern != 0))
    masked.sort_indices()
    return masked


def _on_pattern(values: sp.csr_array, pattern: sp.csr_array) -> sp.csr_array:
    """The values with exactly the entries of the pattern, zeros included, in its order."""
    rows = np.repeat(np.arange(len(pattern.indptr) - 1), np.diff(pattern.indptr))
    picked = np.asarray(values[rows, pattern.indices]).ravel()
    return sp.csr_array((picked, pattern.indices, pattern.indptr), shape=pattern.shape)
