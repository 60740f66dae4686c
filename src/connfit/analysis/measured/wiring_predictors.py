"""What the wiring alone says about who responds: synapse counts, paths, resolvents, and distances.

All are computed for the stimulated neurons only, by products of the sparse matrix with their columns, so that a whole
fly brain costs seconds. W is [post, pre] of synapse counts, gap junctions included where the connectome has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import dijkstra

from connfit.analysis.measured.measured_responses import members, pairs_by
from connfit.connectome import Connectome

DISCOUNTS = (0.25, 0.5, 0.75)
"""Weights of a path by each connection that it is longer."""
GAINS = (0.3, 0.6, 0.9)
"""Shares of the largest gain for which the sum over all paths is finite."""
TERMS = 200
"""Longest path that is summed; 0.9^200 is 1e-9."""
SYNAPSES = "synapses"
"""Name of the measure that counts connections alone."""
FAR = 3
"""From so many connections on, distances are taken together."""

_POWER_STEPS = 60

Kept: TypeAlias = "Float[np.ndarray, 'N S'] | None"


@dataclass(frozen=True, eq=False)
class Predictor:
    """One number for each pair: the larger its size, the likelier a response.

    Attributes
    ----------
    name
        By which results know it.
    label
        For tables.
    kind
        `model`, `untrained`, `null`, `wiring`, `recording`, `sum` or `run`.
    values
        [R] NaN where it says nothing of a pair.
    signed
        Whether its sign is a prediction of the response's.
    """

    name: str
    label: str
    kind: str
    values: Float[np.ndarray, "R"]
    signed: bool = False


def wiring_predictors(
    connectome: Connectome,
    stimulated: Int[np.ndarray, "R"],
    responding: Int[np.ndarray, "R"],
    sets: Sequence[Int[np.ndarray, "k"]] = (),
) -> Iterator[Predictor]:
    """Return what the wiring says of pairs.

    - `synapses`: synapses from the stimulated to the responding neuron.
    - `two_steps`: (W/ρ + (W/ρ)²)_ij, paths of at most two steps, with ρ the spectral radius of the counts.
    - `paths_d`: Σ_k d^(k-1) (P^k)_ij, with P the counts as shares of each neuron's input: paths of every length, each
      connection more weighing d.
    - `resolvent_g`, `signed_resolvent_g`: ((1 - g W/ρ)⁻¹ - 1)_ij: the linear network's response to a constant
      input, without and with the signs of transmitters.

    Of a set that is stimulated the sum over its neurons counts, of one that responds the mean.

    Parameters
    ----------
    stimulated, responding, sets
        [R] positions of the neurons, or sets, of each pair; see `PlacedResponses`.
    """
    sources, at = pairs_by(stimulated)
    watched, to = pairs_by(responding)
    start = pulses(connectome, sources, sets)
    for each in wiring_measures(connectome):
        columns = each.of(start, None)
        yield Predictor(each.name, each.label, "wiring", read_rows(columns, watched, sets)[to, at], each.signed)


class WiringMeasure(NamedTuple):
    """What the wiring carries from some neurons to all others, in one of the ways of `wiring_predictors`.

    Attributes
    ----------
    name, label, signed
        See `Predictor`.
    of
        ``of(start, kept)`` [N, S]: what arrives, of what starts [N, S], where neurons pass on a share `kept` [N, S] of
        what they have; None: all of it.
    """

    name: str
    label: str
    signed: bool
    of: Callable[[Float[np.ndarray, "N S"], Kept], Float[np.ndarray, "N S"]]


def wiring_measures(connectome: Connectome) -> Iterator[WiringMeasure]:
    """Return the ways in which wiring is looked at, see `wiring_predictors`."""
    counts, signed = count_matrix(connectome), count_matrix(connectome, signed=True)
    yield WiringMeasure(SYNAPSES, "synapse count", True, lambda start, kept: signed @ _sent(start, kept))
    radius = spectral_radius(counts)

    def one_step(start: Float[np.ndarray, "N S"], kept: Kept) -> Float[np.ndarray, "N S"]:
        return np.asarray(counts @ _sent(start, kept) / (radius or 1.0))

    def two_steps(start: Float[np.ndarray, "N S"], kept: Kept) -> Float[np.ndarray, "N S"]:
        step = one_step(start, kept)
        return step + one_step(step, kept)

    yield WiringMeasure("two_steps", "paths of at most two steps", False, two_steps)
    inputs = np.asarray(counts.sum(axis=1)).ravel()
    shares = sp.csr_array(sp.diags_array(1 / np.where(inputs > 0, inputs, 1)) @ counts)
    for discount in DISCOUNTS:
        label = f"all paths, discount {discount:g}"
        yield WiringMeasure(f"paths_{discount:g}", label, False, partial(_discounted, shares, discount))
    for gain in GAINS if radius > 0 else ():
        label = f"resolvent, gain {gain:g}"
        yield WiringMeasure(f"resolvent_{gain:g}", label, False, partial(_resolvent, counts, gain / radius))
    for gain in GAINS if radius > 0 else ():
        label = f"signed resolvent, gain {gain:g}"
        yield WiringMeasure(f"signed_resolvent_{gain:g}", label, True, partial(_resolvent, signed, gain / radius))


def _discounted(
    shares: sp.csr_array, discount: float, start: Float[np.ndarray, "N S"], kept: Kept
) -> Float[np.ndarray, "N S"]:
    return paths(shares, start, discount, kept) / discount


def _resolvent(
    matrix: sp.csr_array, weight: float, start: Float[np.ndarray, "N S"], kept: Kept
) -> Float[np.ndarray, "N S"]:
    return paths(matrix, start, weight, kept)


def _sent(values: Float[np.ndarray, "N S"], kept: Kept) -> Float[np.ndarray, "N S"]:
    return values if kept is None else values * kept


def pulses(
    connectome: Connectome, sites: Int[np.ndarray, "S"], sets: Sequence[Int[np.ndarray, "k"]]
) -> Float[np.ndarray, "N S"]:
    """Return a column for each neuron or set: 1 at its neurons."""
    start = np.zeros((connectome.n, len(sites)))
    for number, site in enumerate(sites):
        start[members(site, connectome.n, sets), number] = 1
    return start


def count_matrix(connectome: Connectome, *, signed: bool = False) -> sp.csr_array:
    """Return [post, pre] synapse counts, gap junctions added to them, with the signs of transmitters or without."""
    counts = connectome.counts * connectome.connection_signs if signed else connectome.counts
    pairs = connectome.posts, connectome.indices
    return sp.coo_array((counts.astype(np.float64), pairs), shape=(connectome.n, connectome.n)).tocsr()


def paths(
    matrix: sp.csr_array, start: Float[np.ndarray, "N S"], weight: float, kept: Kept = None
) -> Float[np.ndarray, "N S"]:
    """Return Σ_k (weight·matrix)^k start, for k from 1 up to `TERMS` or until what is added is negligible.

    Where some is `kept` [N, S] of what neurons have, they pass on that share of it in every step.
    """
    now, total = start, np.zeros_like(start)
    for _ in range(TERMS):
        now = np.asarray(weight * (matrix @ _sent(now, kept)))
        total += now
        if np.abs(now).max(initial=0) <= 1e-12 * np.abs(total).max(initial=0):
            break
    return total


def spectral_radius(matrix: sp.csr_array) -> float:
    """Return the largest eigenvalue of a matrix without negative entries, by power iteration; 0 without cycles.

    The estimate is the geometric mean growth over the last half of the steps, from a vector of ones.
    """
    now, growth = np.ones(len(matrix.indptr) - 1), []
    for _ in range(_POWER_STEPS):
        after = matrix @ now
        size = float(np.linalg.norm(after))
        if size == 0:
            return 0.0
        growth.append(size / float(np.linalg.norm(now)))
        now = after / size
    return float(np.exp(np.mean(np.log(growth[_POWER_STEPS // 2 :]))))


def read_rows(
    columns: Float[np.ndarray, "N S"], watched: Int[np.ndarray, "W"], sets: Sequence[Int[np.ndarray, "k"]]
) -> Float[np.ndarray, "W S"]:
    """Return the rows of responding neurons, of sets their means."""
    return np.stack([columns[members(site, len(columns), sets)].mean(axis=0) for site in watched])


def distances(
    connectome: Connectome,
    stimulated: Int[np.ndarray, "R"],
    responding: Int[np.ndarray, "R"],
    sets: Sequence[Int[np.ndarray, "k"]] = (),
) -> Float[np.ndarray, "R"]:
    """Count connections on the shortest path from the stimulated to the responding neuron; inf where there is none.

    Of sets it is the shortest between any two of their neurons.
    """
    sources, at = pairs_by(stimulated)
    # From j to i, where the connectome's matrix is [post, pre]; counts are no lengths.
    graph = count_matrix(connectome).T.tocsr()
    watched, to = pairs_by(responding)
    found = np.empty(len(responding))
    for number, source in enumerate(sources):
        chosen = at == number
        starts = members(source, connectome.n, sets)
        lengths = np.asarray(dijkstra(graph, indices=starts, unweighted=True, min_only=True))
        nearest = np.array([lengths[members(site, connectome.n, sets)].min() for site in watched])
        found[chosen] = nearest[to[chosen]]
    return found
