"""The non-negative right inverse of a read-out: how each neuron must change for one unit alone to change by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.linalg import svds

from connfit.models.readout import MANY_UNITS, Readout

MOST_PAIRS = 1 << 25
"""Pairs of units that read a neuron together, of which each takes about 50 bytes; beyond it products are dense."""

MOST_UNITS = 4096
"""Units of which a matrix of all pairs is held."""

AT_ONCE = 1 << 20
"""Shares, zeros among them, that are made dense at a time."""


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
    if allowed is None:
        return _anywhere(readout, sweeps).copy()
    shares, support = _shares_of(readout)
    return _on_pattern(_solve_persistence(shares, _masked(support, allowed), sweeps), allowed)


@lru_cache(maxsize=1)
def _anywhere(readout: Readout, sweeps: int) -> sp.csr_array:
    """The drive of units that may drive every neuron; candidates of a start ask for the same again and again."""
    return _solve_persistence(*_shares_of(readout), sweeps)


def _shares_of(readout: Readout) -> tuple[sp.csr_array, sp.csr_array]:
    """C, and Cᵀ in the order of its indices."""
    shares = sp.csr_array(readout.matrix)
    support = sp.csr_array(shares.T)
    support.sort_indices()
    return shares, support


def _solve_persistence(shares: sp.csr_array, support: sp.csr_array, sweeps: int) -> sp.csr_array:
    indptr, units, share = support.indptr, support.indices, support.data
    readout_units = len(shares.indptr) - 1
    per_neuron = np.diff(indptr)
    neuron = np.repeat(np.arange(len(per_neuron)), per_neuron)
    purity = share / np.bincount(neuron, share, len(per_neuron))[neuron]
    values = purity**4
    values /= np.bincount(units, values * share, readout_units)[units]

    gradient_of, largest = _by_pairs(shares, support)
    step = 1 / largest
    momentum, t = values, 1.0
    for _ in range(sweeps):
        gradient = gradient_of(momentum)
        new = np.maximum(momentum - step * gradient, 0)
        if np.array_equal(new, values) and np.array_equal(new, momentum):
            break  # all further sweeps would give these same numbers, as where every unit reads a neuron of its own
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        momentum = new + (t - 1) / t_new * (new - values)
        values, t = new, t_new
    return sp.csr_array((values, units, indptr), shape=support.shape)


def _by_pairs(
    shares: sp.csr_array, support: sp.csr_array
) -> tuple[Callable[[Float[np.ndarray, "e"]], Float[np.ndarray, "e"]], float]:
    """The gradient Cᵀ(CE − 1) on the support of E, of its values there, and the largest singular value of C times it.

    One term for each pair of units that a neuron is read by, instead of a dense [N, P] product; but where most units
    read most neurons, dense products of some neurons at a time.
    """
    indptr, units, share = support.indptr, support.indices, support.data
    per_neuron, readout_units = np.diff(indptr), len(shares.indptr) - 1
    if (per_neuron.astype(np.int64) ** 2).sum() > MOST_PAIRS and readout_units <= MOST_UNITS:
        residual = _DenseResidual(sp.csr_array(shares.T), support, readout_units)
        return residual.gradient, float(np.linalg.norm(residual.product(support.data), 2))
    neuron = np.repeat(np.arange(len(per_neuron)), per_neuron)
    partners = per_neuron[neuron]
    entry = np.repeat(np.arange(len(units)), partners)
    offset = np.arange(len(entry)) - np.repeat(np.cumsum(partners) - partners, partners)
    partner = indptr[neuron[entry]] + offset
    at_pairs = _Residual(shares, units[partner], units[entry])

    def gradient(values: Float[np.ndarray, "e"]) -> Float[np.ndarray, "e"]:
        there = at_pairs.of(sp.csr_array((values, units, indptr), shape=support.shape))
        return np.bincount(entry, share[partner] * there, len(units))

    return gradient, at_pairs.largest(support)


@dataclass(frozen=True, eq=False)
class _DenseResidual:
    """CE − 1 as a matrix of all units, from dense blocks of neurons.

    Attributes
    ----------
    by_neuron
        Cᵀ [N, P].
    support
        Its entries where E may have one.
    units
        P.
    """

    by_neuron: sp.csr_array
    support: sp.csr_array
    units: int

    def gradient(self, values: Float[np.ndarray, "e"]) -> Float[np.ndarray, "e"]:
        """Return Cᵀ(CE − 1) on the support of E, of its values there."""
        residual = self.product(values) - np.eye(self.units)
        gradient = np.empty_like(values)
        for neurons, entries in self._blocks():
            shares = self.support[neurons]
            rows = np.repeat(np.arange(neurons.stop - neurons.start), np.diff(shares.indptr))
            gradient[entries] = (_dense(shares) @ residual)[rows, shares.indices]
        return gradient

    def product(self, values: Float[np.ndarray, "e"]) -> Float[np.ndarray, "P P"]:
        """Return CE."""
        total = np.zeros((self.units, self.units))
        for neurons, entries in self._blocks():
            drive = self.support[neurons]
            drive.data = values[entries]
            total += _dense(self.by_neuron[neurons]).T @ _dense(drive)
        return total

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Some neurons, and where their entries are on the support."""
        neurons, step = len(self.support.indptr) - 1, max(1, AT_ONCE // self.units)
        for first in range(0, neurons, step):
            last = min(first + step, neurons)
            yield slice(first, last), slice(int(self.support.indptr[first]), int(self.support.indptr[last]))


@dataclass(frozen=True, eq=False)
class _Residual:
    """CE − 1 at pairs of units that read a neuron together; of many units never as a matrix of all."""

    shares: sp.csr_array
    rows: Int[np.ndarray, "n"]
    columns: Int[np.ndarray, "n"]

    @property
    def many(self) -> bool:
        return len(self.shares.indptr) - 1 > MANY_UNITS

    def largest(self, support: sp.csr_array) -> float:
        """Return the largest singular value of C times a matrix on the support of E."""
        product = sp.csr_array(self.shares @ support)
        if not self.many:
            return float(np.linalg.norm(_dense(product), 2))
        if product.nnz == np.count_nonzero(product.diagonal()):
            return float(product.diagonal().max())
        values = svds(product, 1, v0=np.ones(len(product.indptr) - 1), return_singular_vectors=False)
        return float(np.asarray(values)[0])

    def of(self, drive: sp.csr_array) -> Float[np.ndarray, "n"]:
        if not self.many:
            residual = _dense(self.shares @ drive)
            residual -= np.eye(len(residual))
            return residual[self.rows, self.columns]
        product = sp.csr_array(self.shares @ drive)
        product.sort_indices()
        units = len(product.indptr) - 1
        keys = np.repeat(np.arange(units), np.diff(product.indptr)) * units + product.indices
        wanted = self.rows.astype(np.int64) * units + self.columns
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        # A product has no entries that are 0.
        return np.where(keys[at] == wanted, product.data[at], 0.0) - (self.rows == self.columns)


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
