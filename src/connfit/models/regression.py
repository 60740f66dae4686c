"""A start by regression: how much of a unit's next frame its own last frame tells, and how much the wiring adds.

Before anything is learned by gradient, the brain as its units see it is nearly linear about its mean activity: with
K the pattern by which a unit moves its neurons, connections couple the units by ``G = C W K``. So

    ``u_k(t) ≈ a_k u_k(t-1) + Σ_c g_c (G_c s(t-1))_k``

holds in deviations from the mean, where c are the classes of connections (excitatory, inhibitory) and s is what
connections see of the recording. The P + 2 numbers a ≥ 0 and g ≥ 0 that predict the training frames best are found at
once, by non-negative least squares; drive, time constants and strengths start where the model behaves so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.sparse as sp
from jaxtyping import Array, Float

from connfit.connectome import Connectome
from connfit.models.maps import DenseMap, SparseMap
from connfit.models.persistence import persistence_drive
from connfit.models.rate import RateModel
from connfit.models.readout import Readout, inverse_of_overlap


@dataclass(frozen=True, eq=False)
class Regression:
    """What the training frames say about the strength of a unit's own past and of the wiring between units.

    Attributes
    ----------
    own
        [P] a: what is left of a unit's deviation from its mean one frame later, without the others.
    classes
        [N, F] which class of connections a presynaptic neuron belongs to, as ones.
    factors
        [F] g of each class: what its strengths have to be multiplied by.
    persistence
        Autocorrelation of the units' first principal component over one frame: how slow the slowest pattern may be.
    """

    own: Float[np.ndarray, "P"]
    classes: Float[np.ndarray, "N F"]
    factors: Float[np.ndarray, "F"]
    persistence: float

    def per_neuron(self) -> Float[np.ndarray, "N"]:
        """Factor of the strengths of every presynaptic neuron."""
        return self.classes @ self.factors


class _Sums(NamedTuple):
    """Weighted products over frames and recordings."""

    own: Float[np.ndarray, "P"]
    own_coupled: Float[np.ndarray, "P F"]
    coupled: Float[np.ndarray, "F F"]
    own_next: Float[np.ndarray, "P"]
    coupled_next: Float[np.ndarray, "F"]
    covariance: Float[np.ndarray, "P P"]
    lagged: Float[np.ndarray, "P P"]


def regress(
    model: RateModel,
    readout: Readout,
    strengths: Array,
    pattern: Float[np.ndarray, "N P"],
    recordings: Iterable[tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P"]]],
) -> Regression:
    """Regress the next frame of every unit on its own last one and on what the wiring brings from the others.

    Parameters
    ----------
    model
        Its `state_forcing` φ says what connections see of the recording: the last frame, or the one before it, of
        which the model's rates are a prediction one frame old.
    strengths
        Strengths of `model.recurrent` to which the factors refer.
    pattern
        [N, P] K, by which each unit alone moves the neurons that it reads.
    recordings
        Training frames of each recording, NaN where nothing was observed, and the weight of each unit's squared error
        (NaN or 0 where the recording lacks the unit).
    """
    classes = _classes(model)
    couplings = _couplings(model, readout, strengths, pattern, classes)
    total: _Sums | None = None
    for values, weights in recordings:
        sums = _sums(values.astype(np.float64), np.nan_to_num(weights), couplings, model.state_forcing)
        total = sums if total is None else _Sums(*(a + b for a, b in zip(total, sums, strict=True)))
    if total is None:
        raise ValueError("a regression needs one recording or more")
    p, f = total.own_coupled.shape
    normal = np.block([[np.diag(total.own), total.own_coupled], [total.own_coupled.T, total.coupled]])
    right = np.concatenate([total.own_next, total.coupled_next])
    # Columns of unit length: units and classes differ in size by orders of magnitude.
    size = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    scaled = normal / np.outer(size, size) + 1e-9 * np.eye(p + f)
    root = np.linalg.cholesky(scaled)
    found = scipy.optimize.nnls(root.T, np.linalg.solve(root, right / size))[0] / size
    first = np.linalg.eigh(total.covariance)[1][:, -1]
    persistence = (first @ total.lagged @ first) / (first @ total.covariance @ first)
    return Regression(found[:p], classes, found[p:], float(np.clip(persistence, 0, 0.999)))


@dataclass(frozen=True, eq=False)
class RegressionStart:
    """Where parameters start after a regression.

    Attributes
    ----------
    magnitudes
        [M] of free strengths.
    drive
        Strengths of the model's drive; None without one.
    log_time_constants
        [N] natural logarithm of seconds.
    regression
        What they come from.
    stable_share
        Factor of the magnitudes, included in them, that keeps the model, feeding on its own predictions, from growing
        or from remembering longer than the recording does.
    """

    magnitudes: Float[Array, "M"]
    drive: Array | None
    log_time_constants: Float[np.ndarray, "N"]
    regression: Regression
    stable_share: float


def regression_start(
    model: RateModel,
    connectome: Connectome,
    readout: Readout,
    magnitudes: Float[Array, "M"],
    recordings: Iterable[tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P"]]],
    *,
    time_constant_s: float,
    hidden_time_constants_s: tuple[float, float] | None = None,
    seed: int = 0,
) -> RegressionStart:
    """Parameters with which the model predicts what the regression predicts.

    A unit's own past acts through the drive, if there is one, and all neurons have the same time constant; otherwise
    through the time constants of the neurons that it reads.

    Parameters
    ----------
    model
        With free strengths.
    magnitudes
        [M] up to a factor for excitatory and one for inhibitory connections.
    recordings
        See `regress`.
    time_constant_s
        Time constant of all neurons if there is a drive, and of hidden neurons without `hidden_time_constants_s`.
    hidden_time_constants_s, seed
        See `connfit.models.initial_parameters`.
    """
    real = magnitudes.dtype
    pattern = np.asarray(readout.matrix.T @ inverse_of_overlap(readout)).astype(real)
    regression = regress(model, readout, magnitudes, pattern, recordings)
    log_tau, drive = np.full(model.neurons, np.log(time_constant_s)), None
    read = np.asarray(readout.matrix.sum(axis=0)).ravel() > 0
    if model.drive is not None:
        alpha = np.exp(-model.step_s / time_constant_s)
        gains = np.maximum(regression.own - alpha, 0) / (1 - alpha)
        support = drive_support(model)
        if support is None:
            drive = jnp.asarray(pattern * gains.astype(real))
        else:
            drive = drive_strengths(model, sp.csr_array(persistence_drive(readout, support) @ sp.diags_array(gains)))
    else:
        low, high = model.bounds_s
        kept = np.clip(regression.own, np.exp(-model.step_s / low), np.exp(-model.step_s / high))
        shares = readout.matrix.T @ np.stack([-model.step_s / np.log(kept), np.ones(model.units)], axis=1)
        log_tau[read] = np.log(np.clip(shares[read, 0] / shares[read, 1], low, high))
    if hidden_time_constants_s is not None:
        shortest, longest = np.log(hidden_time_constants_s)
        log_tau[~read] = np.random.default_rng(seed).uniform(shortest, longest, (~read).sum())
    alpha = np.exp(-model.step_s / np.exp(log_tau))
    by_pre, by_post = (jnp.asarray(each, real) for each in (regression.per_neuron(), 1 / (1 - alpha)))
    scaled = magnitudes * by_pre[connectome.indices] * by_post[connectome.posts]
    shares = jnp.asarray(readout.matrix.toarray(), real) if model.fixed_readout is None else model.fixed_readout
    share = stable_share(model, scaled, jnp.asarray(alpha, real), drive, shares, regression.persistence)
    return RegressionStart(share * scaled, drive, log_tau, regression, share)


def even_rates(readout: Readout, mean: Float[np.ndarray, "P"]) -> Float[np.ndarray, "N"]:
    """Rates ≥ 0 that are read out as the mean and differ from each other as little as they can.

    With them all neurons are active about the mean, so that what a unit does there is about linear in its inputs.
    """
    level = float(np.mean(mean))
    return np.maximum(level + readout.matrix.T @ (inverse_of_overlap(readout) @ (mean - level)), 0)


def _classes(model: RateModel) -> Float[np.ndarray, "N F"]:
    """Excitatory and inhibitory neurons; all in one where gap junctions tie strengths across the signs."""
    signs = np.asarray(model.signs)
    if model.electrical:
        return np.ones((len(signs), 1))
    each = np.stack([signs > 0, signs < 0], axis=1).astype(float)
    return each[:, each.any(axis=0)]


def _couplings(
    model: RateModel,
    readout: Readout,
    strengths: Array,
    pattern: Float[np.ndarray, "N P"],
    classes: Float[np.ndarray, "N F"],
) -> Float[np.ndarray, "F P P"]:
    """C W K of each class of connections."""
    moved = jnp.asarray(pattern, strengths.dtype)
    found = []
    for members in classes.T:
        received = _received(model, strengths, moved * jnp.asarray(members, strengths.dtype)[:, None])
        found.append(readout.matrix @ np.asarray(received, np.float64))
    return np.array(found).reshape(-1, model.units, model.units)


@jax.jit
def _received(model: RateModel, strengths: Array, rates: Float[Array, "N P"]) -> Float[Array, "N P"]:
    return model.recurrent.apply(strengths, model.outputs(rates))


def _sums(
    values: Float[np.ndarray, "T P"],
    weights: Float[np.ndarray, "P"],
    couplings: Float[np.ndarray, "F P P"],
    state_forcing: float,
) -> _Sums:
    observed = np.isfinite(values)
    count = np.maximum(observed.sum(axis=0), 1)
    deviation = np.where(observed, values - np.where(observed, values, 0).sum(axis=0) / count, 0)
    last, after = deviation[1:-1], deviation[2:]
    seen = state_forcing * last + (1 - state_forcing) * deviation[:-2]
    # A frame counts for a unit if it and the unit's own last frame were observed.
    weight = weights * (observed[2:] & observed[1:-1])
    coupled = np.stack([seen @ g.T for g in couplings], axis=-1)
    scaled = np.sqrt(weights)
    x, y = last * scaled, after * scaled
    return _Sums(
        own=(weight * last**2).sum(axis=0),
        own_coupled=np.einsum("tk,tk,tkf->kf", weight, last, coupled),
        coupled=np.einsum("tk,tkf,tkg->fg", weight, coupled, coupled),
        own_next=(weight * last * after).sum(axis=0),
        coupled_next=np.einsum("tk,tkf,tk->f", weight, coupled, after),
        covariance=x.T @ x,
        lagged=x.T @ y,
    )


@partial(jax.jit, static_argnames="sweeps")
def loop_growth(
    model: RateModel,
    strengths: Array,
    decay: Float[Array, "N"],
    drive: Array | None,
    shares: Array,
    shrink: Array,
    sweeps: int = 60,
) -> Array:
    """Growth per step of the fastest growing pattern of rates about the mean, if the model feeds on its own read-out.

    Parameters
    ----------
    drive
        Strengths of `model.drive`; None without drive.
    shares
        Strengths of the read-out.
    shrink
        Factor of recurrent strengths.
    """

    def sweep(rates: Array, _: None) -> tuple[Array, Array]:
        new = shrink * model.recurrent.apply(strengths, model.outputs(rates))
        if model.drive is not None and drive is not None:
            new += model.drive.apply(drive, model.readout.apply(shares, rates))
        new = decay[:, None] * rates + (1 - decay[:, None]) * new
        norm = jnp.linalg.norm(new)
        return new / jnp.maximum(norm, 1e-30), norm / jnp.maximum(jnp.linalg.norm(rates), 1e-30)

    start = jnp.ones((model.neurons, 1), strengths.dtype)
    # A rotating pattern grows unevenly: the mean of the later half of the logarithms is its growth.
    growth = jax.lax.scan(sweep, start, length=sweeps)[1]
    return jnp.exp(jnp.log(jnp.maximum(growth[sweeps // 2 :], 1e-30)).mean())


def stable_share(
    model: RateModel,
    strengths: Array,
    decay: Float[Array, "N"],
    drive: Array | None,
    shares: Array,
    growth: float,
    *,
    rounds: int = 5,
) -> float:
    """Factor s ≤ 1 of recurrent strengths for which `loop_growth` is `growth` at most, or what it is without them."""

    def growth_at(share: float) -> float:
        return float(loop_growth(model, strengths, decay, drive, shares, jnp.asarray(share, strengths.dtype)))

    share, now = 1.0, growth_at(1.0)
    if now <= growth:
        return share
    alone = growth_at(0.0)
    target = max(growth, alone)
    for _ in range(rounds):
        if now <= alone:
            break
        share = min(1.0, share * (target - alone) / (now - alone))
        now = growth_at(share)
    return share


def drive_support(model: RateModel) -> sp.csr_array | None:
    """Which unit may drive which neuron, as a [N, P] matrix of ones; None if every unit may drive every neuron."""
    if not isinstance(model.drive, SparseMap):
        return None
    pattern = model.drive.pattern
    parts = np.ones(pattern.nnz), np.asarray(pattern.indices), np.asarray(pattern.indptr)
    return sp.csr_array(parts, shape=(model.neurons, model.units))


def drive_strengths(model: RateModel, drive: sp.csr_array) -> Array:
    """A drive [N, P] as the strengths of the model's own drive."""
    real = jnp.result_type(float)
    if isinstance(model.drive, DenseMap):
        return jnp.asarray(drive.astype(real).toarray())
    strengths = drive.data if drive.nnz or model.drive is None else np.zeros(model.drive.strengths_shape)
    return jnp.asarray(strengths, real)
