"""A start by regression: how much of a unit's next frame its own last frame tells, and how much the wiring adds.

Before anything is learned by gradient, the brain as its units see it is nearly linear about its mean activity. Each
recorded frame moves the neurons that its units read, connections pass it on, and what arrives is read out. With
the classes of connections c (excitatory, inhibitory) and what they receive, W_c r̃,

    ``u_k(t) ≈ (α + (1-α) e_k) u_k(t-1) + Σ_c g_c [C (1-α) W_c r̃(t-1)]_k``

holds in deviations from the mean, where r̃ is the model's own response to the recording so far, through all its
connections. The P + F numbers e ≥ 0 and g ≥ 0 that predict the training frames best are found by non-negative least
squares; as r̃ depends on them, it is computed anew until they agree. Drive, time constants and strengths start there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.sparse as sp
from jaxtyping import Array, Float

from connfit import ops
from connfit.connectome import Connectome
from connfit.models.maps import SparseMap
from connfit.models.persistence import persistence_drive
from connfit.models.rate import RateModel
from connfit.models.readout import Readout, inverse_of_overlap

LAGS = 3
"""Frames of the recording of which the response is followed: connections pass on less and less of older ones."""

ROUNDS = 3
"""Regressions one after the other, each with the response of the one before."""

Training = Sequence[tuple[Float[np.ndarray, "T P"], Float[np.ndarray, "P"]]]
"""Training frames of each recording, NaN where nothing was observed, and the weight of each unit's squared error."""


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
    own
        [P] what is left of a unit's deviation from its mean one frame later, without the connections.
    factors
        [F] by which the magnitudes of each class of connections were multiplied: excitatory and inhibitory, or all
        alike where gap junctions tie strengths across the signs.
    growth
        Of the fastest growing pattern of rates, per frame, if the model feeds on its own read-out.
    """

    magnitudes: Float[Array, "M"]
    drive: Array | None
    log_time_constants: Float[np.ndarray, "N"]
    own: Float[np.ndarray, "P"]
    factors: Float[np.ndarray, "F"]
    growth: float

    def facts(self, units: Sequence[str]) -> dict[str, Any]:
        """What was found, ready for JSON."""
        own = dict(zip(units, self.own.tolist(), strict=True))
        return {"own": own, "factors": self.factors.tolist(), "growth": self.growth}


def regression_start(
    model: RateModel,
    connectome: Connectome,
    readout: Readout,
    magnitudes: Float[Array, "M"],
    training: Training,
    *,
    time_constant_s: float,
    hidden_time_constants_s: tuple[float, float] | None = None,
    seed: int = 0,
) -> RegressionStart:
    """Parameters with which the model predicts the training frames as well as P + F numbers can.

    A unit's own past acts through the drive, if there is one, and all neurons have the same time constant; otherwise
    through the time constants of the neurons that it reads. Where the model would not be stable when it feeds on its
    own predictions, or would remember longer than the recording does, connections are weakened, all by the same
    factor, and the units' own past is found again.

    Parameters
    ----------
    model
        With free strengths.
    magnitudes
        [M] up to a factor for excitatory and one for inhibitory connections.
    training
        Frames of which the model sees one per step.
    time_constant_s
        Time constant of all neurons if there is a drive, and of hidden neurons without `hidden_time_constants_s`.
    hidden_time_constants_s, seed
        See `connfit.models.initial_parameters`.
    """
    problem = _Problem.of(model, readout, magnitudes, time_constant_s, hidden_time_constants_s, seed)
    centred = [_Centred.of(values, weights) for values, weights in training]
    found = _Coefficients(np.full(model.units, 0.5), np.zeros(problem.classes.shape[1]))
    for _ in range(ROUNDS):
        new = _regress(problem, found, centred)
        # Connections that pass on more need less strength each: half the way keeps that from swinging.
        first = not found.factors.any()
        found = new if first else _Coefficients((found.own + new.own) / 2, (found.factors + new.factors) / 2)
    growth, limit = problem.growth(found), _slowest(centred)
    if growth > limit:
        found, growth = _weakened(problem, found, growth, centred, limit)
    by_pre = jnp.asarray(problem.classes @ found.factors, magnitudes.dtype)
    return RegressionStart(
        magnitudes * by_pre[connectome.indices],
        problem.drive(found),
        np.log(problem.time_constants(found)),
        found.own,
        found.factors,
        growth,
    )


def even_rates(readout: Readout, mean: Float[np.ndarray, "P"]) -> Float[np.ndarray, "N"]:
    """Rates ≥ 0 that are read out as the mean and differ from each other as little as they can.

    With them all neurons are active about the mean, so that what a unit does there is about linear in its inputs.
    """
    level = float(np.mean(mean))
    return np.maximum(level + readout.matrix.T @ (inverse_of_overlap(readout) @ (mean - level)), 0)


@dataclass(frozen=True, eq=False)
class _Coefficients:
    """What is looked for: a unit's own past [P], and factors [F] of the classes of connections."""

    own: Float[np.ndarray, "P"]
    factors: Float[np.ndarray, "F"]


class _Response(NamedTuple):
    """What the recorded frame l frames ago adds: to what each class brings, and to what neurons keep of their state."""

    brought: Float[np.ndarray, "F L P P"]
    kept: Float[np.ndarray, "L P P"]


@dataclass(frozen=True, eq=False)
class _Problem:
    """A model whose strengths are known up to factors, as it responds to deviations from the mean.

    Attributes
    ----------
    classes
        [N, F] which class of connections a presynaptic neuron belongs to, as ones.
    read
        Read-out C, with its strengths.
    inverse
        [P, P] (C Cᵀ)⁻¹.
    time_constant_s, start
        Time constant of neurons that are read, and of all [N], in seconds, before anything is known.
    """

    model: RateModel
    readout: Readout
    strengths: Array
    classes: Float[np.ndarray, "N F"]
    read: SparseMap
    shares: Array
    inverse: Array
    time_constant_s: float
    start: Float[np.ndarray, "N"]

    @classmethod
    def of(
        cls,
        model: RateModel,
        readout: Readout,
        strengths: Array,
        time_constant_s: float,
        hidden_time_constants_s: tuple[float, float] | None,
        seed: int,
    ) -> _Problem:
        matrix, real = readout.matrix, strengths.dtype
        tau = np.full(model.neurons, time_constant_s)
        if hidden_time_constants_s is not None:
            hidden = np.asarray(matrix.sum(axis=0)).ravel() == 0
            shortest, longest = np.log(hidden_time_constants_s)
            tau[hidden] = np.exp(np.random.default_rng(seed).uniform(shortest, longest, hidden.sum()))
        return cls(
            model,
            readout,
            strengths,
            _classes(model),
            SparseMap(ops.Pattern.of(matrix.indptr, matrix.indices, model.neurons)),
            jnp.asarray(matrix.data, real),
            jnp.asarray(inverse_of_overlap(readout), real),
            time_constant_s,
            tau,
        )

    def time_constants(self, found: _Coefficients) -> Float[np.ndarray, "N"]:
        """Those of the start, or without a drive, of neurons that are read: what makes each unit keep its own share."""
        if self.model.drive is not None:
            return self.start
        low, high = self.model.bounds_s
        kept = np.clip(found.own, np.exp(-self.model.step_s / low), np.exp(-self.model.step_s / high))
        matrix = self.readout.matrix
        total = np.asarray(matrix.sum(axis=0)).ravel()
        mean = (matrix.T @ (-self.model.step_s / np.log(kept))) / np.where(total > 0, total, 1)
        return np.where(total > 0, np.clip(mean, low, high), self.start)

    def decay(self, found: _Coefficients) -> Float[np.ndarray, "N"]:
        return np.exp(-self.model.step_s / self.time_constants(found))

    def drive(self, found: _Coefficients) -> Array | None:
        """Strengths of the drive by which each unit's last frame acts on its neurons."""
        if self.model.drive is None:
            return None
        gains = found.own / (1 - np.exp(-self.model.step_s / self.time_constant_s))
        support = drive_support(self.model)
        if support is None:
            return self.moved * jnp.asarray(gains, self.strengths.dtype)
        drive = persistence_drive(self.readout, support)
        return jnp.asarray(drive.data * gains[drive.indices], self.strengths.dtype)

    @cached_property
    def moved(self) -> Float[Array, "N P"]:
        """K = Cᵀ (C Cᵀ)⁻¹: how neurons move for one unit alone to move by one."""
        return self.read.adjoint(self.shares, self.inverse)

    @cached_property
    def reached_at_start(self) -> list[Float[Array, "N P"]]:
        return self.reached(np.exp(-self.model.step_s / self.start))

    def reached(self, decay: Float[np.ndarray, "N"]) -> list[Float[Array, "N P"]]:
        """What each unit receives of each neuron's rate through each class: transposed C (1-α) W_c."""
        real = self.strengths.dtype
        left = self.read.adjoint(self.shares, jnp.eye(self.model.units, dtype=real))
        through = _by_columns(_sent, self.model, self.strengths, left * jnp.asarray(1 - decay, real)[:, None])
        return [through * jnp.asarray(members, real)[:, None] for members in self.classes.T]

    def response(self, found: _Coefficients) -> _Response:
        """Follow what one recorded frame does for `LAGS` frames."""
        model, real = self.model, self.strengths.dtype
        alpha = self.decay(found)
        reached = self.reached(alpha) if model.drive is None else self.reached_at_start
        decay = jnp.asarray(alpha, real)[:, None]
        by_pre = jnp.asarray(self.classes @ found.factors, real)[:, None]
        rates = model.state_forcing * self.moved
        brought, kept = [], []
        for lag in range(LAGS):
            brought.append([np.asarray(each.T @ rates, np.float64) for each in reached])
            kept.append(np.asarray(self.read.apply(self.shares, decay * rates), np.float64))
            if lag == LAGS - 1:
                break
            received = 0.0
            if found.factors.any():
                received = (1 - decay) * _by_columns(_received, model, self.strengths, by_pre * rates)
            rates = decay * rates + received
            if lag == 0 and model.drive is not None:
                rates += self.moved * jnp.asarray(found.own, real)
            seen = self.inverse @ self.read.apply(self.shares, rates)
            rates -= model.state_forcing * self.read.adjoint(self.shares, seen)
        return _Response(np.array(brought).reshape(LAGS, -1, *kept[0].shape).swapaxes(0, 1), np.array(kept))

    def growth(self, found: _Coefficients, sweeps: int = 40) -> float:
        """Growth per step of the fastest growing pattern about the mean, if the model feeds on its own read-out."""
        real = self.strengths.dtype
        by_pre = jnp.asarray(self.classes @ found.factors, real)
        loop = _Loop(self.strengths, by_pre, jnp.asarray(self.decay(found), real), self.drive(found), self.shares)
        return float(_growth(self.model, self.read, loop, sweeps))


@dataclass(frozen=True, eq=False)
class _Centred:
    """One recording's training frames in deviations from their means, 0 where not observed, and weights [T, P]."""

    deviation: Float[np.ndarray, "T P"]
    weight: Float[np.ndarray, "T P"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "T P"], weights: Float[np.ndarray, "P"]) -> _Centred:
        seen = np.isfinite(values)
        values = np.where(seen, values, 0).astype(np.float64)
        deviation = np.where(seen, values - values.sum(axis=0) / np.maximum(seen.sum(axis=0), 1), 0)
        # A frame counts for a unit if it and the unit's own frame before were observed.
        both = seen.copy()
        both[1:] &= seen[:-1]
        return cls(deviation, np.nan_to_num(weights) * both)


def _regress(
    problem: _Problem,
    found: _Coefficients,
    training: Sequence[_Centred],
    factors: Float[np.ndarray, "F"] | None = None,
) -> _Coefficients:
    """Least squares for all coefficients, or with given factors for the own past, with the response as it is found."""
    response = problem.response(found)
    p, f = len(found.own), len(found.factors)
    driven = problem.model.drive is not None
    # Without a drive a unit's own past is what its neurons keep, whose own share is to be found anew.
    own_kept = np.zeros(p) if driven else np.diag(response.kept[0])
    own, own_brought, own_next = np.zeros(p), np.zeros((p, f)), np.zeros(p)
    brought, brought_next = np.zeros((f, f)), np.zeros(f)
    for one in training:
        past = [one.deviation[LAGS - 1 - lag : len(one.deviation) - 1 - lag] for lag in range(LAGS)]
        if not len(past[0]):
            continue
        weight, last = one.weight[LAGS:], past[0]
        left = one.deviation[LAGS:] - sum(u @ k.T for u, k in zip(past, response.kept, strict=True)) + last * own_kept
        each = np.stack([sum(u @ g.T for u, g in zip(past, g_f, strict=True)) for g_f in response.brought], axis=-1)
        own += (weight * last**2).sum(axis=0)
        own_next += (weight * last * left).sum(axis=0)
        own_brought += np.einsum("tk,tk,tkf->kf", weight, last, each)
        brought += np.einsum("tk,tkf,tkg->fg", weight, each, each)
        brought_next += np.einsum("tk,tkf,tk->f", weight, each, left)
    if factors is not None:
        alone = (own_next - own_brought @ factors) / np.maximum(own, np.finfo(float).tiny)
        return _Coefficients(np.maximum(alone, 0), factors)
    normal = np.block([[np.diag(own), own_brought], [own_brought.T, brought]])
    right = np.concatenate([own_next, brought_next])
    # Columns of unit length, for units and classes differ in size by orders of magnitude; the ridge is for classes
    # without connections.
    size = np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    root = np.linalg.cholesky(normal / np.outer(size, size) + 1e-9 * np.eye(p + f))
    solved = scipy.optimize.nnls(root.T, np.linalg.solve(root, right / size))[0] / size
    return _Coefficients(solved[:p], np.where(np.diag(brought) > 0, solved[p:], 0))


def _weakened(
    problem: _Problem, found: _Coefficients, growth: float, training: Sequence[_Centred], limit: float
) -> tuple[_Coefficients, float]:
    """Connections with which the model grows by `limit` at most, or as it does without any; growth is about linear."""
    strongest, none = found.factors, _Coefficients(found.own, 0 * found.factors)
    low, best = 0.0, _regress(problem, none, training, none.factors)
    slowest = problem.growth(best)
    limit, high, at_high = max(limit, slowest), 1.0, growth
    for _ in range(3):
        if at_high <= slowest or limit - slowest < 3e-3:
            break
        share = low + (high - low) * (limit - slowest) / (at_high - slowest)
        tried = _regress(problem, _Coefficients(best.own, share * strongest), training, share * strongest)
        now = problem.growth(tried)
        if now <= limit:
            low, slowest, best = share, now, tried
        else:
            high, at_high = share, now
    return best, slowest


def _slowest(training: Sequence[_Centred]) -> float:
    """Autocorrelation over one frame of the units' first principal component.

    A start that remembers longer than what was recorded has taken what units share for what they do to each other.
    """
    scaled = [one.deviation * np.sqrt(one.weight.max(axis=0)) for one in training]
    covariance, lagged = sum(x.T @ x for x in scaled), sum(x[:-1].T @ x[1:] for x in scaled)
    first = np.linalg.eigh(covariance)[1][:, -1]
    return float(np.clip((first @ lagged @ first) / (first @ covariance @ first), 0, 0.999))


def _by_columns(
    function: Callable[[RateModel, Array, Array], Array],
    model: RateModel,
    strengths: Array,
    columns: Float[Array, "N P"],
) -> Float[Array, "N P"]:
    """Apply a function to some columns at a time: the operators are fastest where a neuron's are one cache line."""
    p, width = columns.shape[1], 16
    padded = jnp.pad(columns, ((0, 0), (0, -p % width)))
    parts = [function(model, strengths, padded[:, k : k + width]) for k in range(0, p, width)]
    return jnp.concatenate(parts, axis=1)[:, :p]


@jax.jit
def _received(model: RateModel, strengths: Array, rates: Float[Array, "N K"]) -> Float[Array, "N K"]:
    return model.recurrent.apply(strengths, model.outputs(rates))


@jax.jit
def _sent(model: RateModel, strengths: Array, targets: Float[Array, "N K"]) -> Float[Array, "N K"]:
    return model.outputs_adjoint(model.recurrent.adjoint(strengths, targets))


class _Loop(NamedTuple):
    """Strengths of connections, factors by presynaptic neuron, decay, drive and read-out."""

    strengths: Array
    by_pre: Float[Array, "N"]
    decay: Float[Array, "N"]
    drive: Array | None
    shares: Array


@partial(jax.jit, static_argnames="sweeps")
def _growth(model: RateModel, read: SparseMap, loop: _Loop, sweeps: int) -> Array:
    decay = loop.decay[:, None]

    def sweep(rates: Array, _: None) -> tuple[Array, Array]:
        new = model.recurrent.apply(loop.strengths, model.outputs(rates * loop.by_pre[:, None]))
        if model.drive is not None and loop.drive is not None:
            new += model.drive.apply(loop.drive, read.apply(loop.shares, rates))
        new = decay * rates + (1 - decay) * new
        norm = jnp.linalg.norm(new)
        return new / jnp.maximum(norm, 1e-30), norm / jnp.maximum(jnp.linalg.norm(rates), 1e-30)

    start = jnp.ones((model.neurons, 1), loop.strengths.dtype)
    # A rotating pattern grows unevenly: the mean of the later half of the logarithms is its growth.
    growth = jax.lax.scan(sweep, start, length=sweeps)[1]
    return jnp.exp(jnp.log(jnp.maximum(growth[sweeps // 2 :], 1e-30)).mean())


def _classes(model: RateModel) -> Float[np.ndarray, "N F"]:
    """Excitatory and inhibitory neurons; all in one where gap junctions tie strengths across the signs."""
    signs = np.asarray(model.signs)
    if model.electrical:
        return np.ones((len(signs), 1))
    each = np.stack([signs > 0, signs < 0], axis=1).astype(float)
    return each[:, each.any(axis=0)]


def drive_support(model: RateModel) -> sp.csr_array | None:
    """Which unit may drive which neuron, as a [N, P] matrix of ones; None if every unit may drive every neuron."""
    if not isinstance(model.drive, SparseMap):
        return None
    pattern = model.drive.pattern
    parts = np.ones(pattern.nnz), np.asarray(pattern.indices), np.asarray(pattern.indptr)
    return sp.csr_array(parts, shape=(model.neurons, model.units))
