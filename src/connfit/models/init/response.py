"""How a model about its mean activity responds to a recorded frame, for a start by regression.

Strengths are known up to a factor for each class of connections, and what each unit keeps of itself is given: then
the model is linear, and what one frame of one unit does to all units in the frames after it is a matrix per frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from connfit.models import ops
from connfit.models.base import Model
from connfit.models.init.frame_response import FrameResponse
from connfit.models.init.loop import Loop, growth_by_sweep
from connfit.models.init.persistence_drive import persistence_drive
from connfit.models.maps import SparseMap
from connfit.models.readout import Readout, overlap, own_overlap

LAGS = 3
"""Frames of the recording of which the response is followed: connections pass on less and less of older ones."""

WIDTH = 16
"""Units that are followed at a time: the operators are fastest where a neuron's columns are one cache line."""

SWEEPS = 20
"""Steps in which a pattern of rates becomes the fastest growing one."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What is looked for: a unit's own past [P], and factors [F] of the classes of connections."""

    own: Float[np.ndarray, "P"]
    factors: Float[np.ndarray, "F"]


class Response(NamedTuple):
    """What the recorded frame l frames ago adds: to what each class brings, and to what neurons keep of their state."""

    brought: Float[np.ndarray, "F L P P"]
    kept: Float[np.ndarray, "L P P"]

    @property
    def kept_of_own(self) -> Float[np.ndarray, "L P"]:
        """What a unit's neurons keep of its own frame, lag by lag."""
        return np.stack([np.diag(kept) for kept in self.kept])

    def along(
        self, past: Sequence[Float[np.ndarray, "t P"]]
    ) -> tuple[Float[np.ndarray, "t P"], Float[np.ndarray, "t P F"]]:
        """Return what neurons keep of the last frames, and what each class brings, summed over lags."""
        brought = [sum(u @ g.T for u, g in zip(past, of_class, strict=True)) for of_class in self.brought]
        kept = sum((u @ k.T for u, k in zip(past, self.kept, strict=True)), np.zeros(()))
        return kept, np.stack(brought, axis=-1)


@dataclass(frozen=True, eq=False)
class LinearBrain:
    """A model whose weights are known up to factors, as it responds to deviations from the mean.

    Attributes
    ----------
    classes
        [N, F] which class of connections a presynaptic neuron belongs to, as ones.
    read
        Read-out C, with its weights.
    inverse
        [P, P] (C Cᵀ)⁻¹; of many units that share no neuron its diagonal [P].
    read_time_constants_s, start
        Time constants of the neurons that each unit reads, [P], or one for all, and of all neurons [N], in seconds,
        before anything is known.
    """

    model: Model
    readout: Readout
    strengths: Array
    classes: Float[np.ndarray, "N F"]
    read: SparseMap
    shares: Array
    inverse: Float[Array, "P P"] | Float[Array, "P"]
    read_time_constants_s: float | Float[np.ndarray, "P"]
    start: Float[np.ndarray, "N"]

    @classmethod
    def of(
        cls,
        model: Model,
        readout: Readout,
        strengths: Array,
        time_constant_s: float,
        hidden_time_constants_s: tuple[float, float] | None,
        unit_time_constants_s: Float[np.ndarray, "P"] | None,
        seed: int,
    ) -> LinearBrain:
        matrix, real = readout.matrix, strengths.dtype
        tau = np.full(model.neurons, time_constant_s)
        if hidden_time_constants_s is not None:
            hidden = np.asarray(matrix.sum(axis=0)).ravel() == 0
            shortest, longest = np.log(hidden_time_constants_s)
            tau[hidden] = np.exp(np.random.default_rng(seed).uniform(shortest, longest, hidden.sum()))
        if unit_time_constants_s is not None:
            tau[np.asarray(model.read_neurons)] = unit_time_constants_s
        return cls(
            model,
            readout,
            strengths,
            _classes(model),
            SparseMap(ops.Pattern.of(matrix.indptr, matrix.indices, model.neurons)),
            jnp.asarray(matrix.data, real),
            jnp.asarray(np.linalg.inv(overlap(readout)) if (own := own_overlap(readout)) is None else 1 / own, real),
            time_constant_s if unit_time_constants_s is None else unit_time_constants_s,
            tau,
        )

    def time_constants(self, found: Coefficients) -> Float[np.ndarray, "N"]:
        """Return the start's, or without a drive, for neurons that are read, what keeps each unit's own share."""
        if self.model.drive is not None:
            return self.start
        low, high = self.model.bounds_s
        kept = np.clip(found.own, np.exp(-self.model.step_s / low), np.exp(-self.model.step_s / high))
        matrix = self.readout.matrix
        total = np.asarray(matrix.sum(axis=0)).ravel()
        mean = (matrix.T @ (-self.model.step_s / np.log(kept))) / np.where(total > 0, total, 1)
        return np.where(total > 0, np.clip(mean, low, high), self.start)

    def decay(self, found: Coefficients) -> Float[np.ndarray, "N"]:
        return np.exp(-self.model.step_s / self.time_constants(found))

    @cached_property
    def nearest(self) -> sp.csr_array | None:
        """A drive by which reading gives the unit back as nearly as its pattern allows; None for a dense drive."""
        support = drive_support(self.model)
        return None if support is None else persistence_drive(self.readout, support)

    def drive(self, found: Coefficients, across: Float[np.ndarray, "P P"] | None = None) -> Array | None:
        """Return the drive's weights from each unit's last frame to its neurons, and by `across` to all units'."""
        if self.model.drive is None:
            return None
        real, share = self.strengths.dtype, 1 - np.exp(-self.model.step_s / self.read_time_constants_s)
        gains = found.own / share
        if self.nearest is None:
            to_units = np.zeros((len(gains), len(gains))) if across is None else across / share
            to_units[np.diag_indices(len(gains))] += gains
            if self.inverse.ndim == 1:
                return self.read.adjoint(self.shares, self.inverse[:, None] * jnp.asarray(to_units, real))
            return self.read.adjoint(self.shares, self.inverse @ jnp.asarray(to_units, real))
        return jnp.asarray(self.nearest.data * gains[self.nearest.indices], real)

    @cached_property
    def reached_at_start(self) -> Float[Array, "P N"]:
        return self.reached(np.exp(-self.model.step_s / self.start))

    def reached(self, decay: Float[np.ndarray, "N"]) -> Float[Array, "P N"]:
        """Return C (1-α) W: what each unit receives of each neuron's rate."""
        units = _in_blocks(jnp.eye(self.model.units, dtype=self.strengths.dtype))
        wired = _Wired(self.strengths, jnp.asarray(decay, self.strengths.dtype), self.shares)
        return _reached(self.model, self.read, wired, units)[: self.model.units]

    def response(self, found: Coefficients) -> Response | FrameResponse:
        """Follow what one recorded frame does for `LAGS` frames; of many units that share no neuron frame by frame."""
        by_frame = FrameResponse.of(self, found, LAGS)
        if by_frame is not None:
            return by_frame
        model, real = self.model, self.strengths.dtype
        decay = self.decay(found)
        reached = self.reached(decay) if model.drive is None else self.reached_at_start
        own = jnp.asarray(found.own if model.drive is not None else np.zeros(model.units), real)
        by_class = jnp.asarray(self.classes.T, real), jnp.asarray(found.factors, real)
        wired = _Wired(self.strengths, jnp.asarray(decay, real), self.shares)
        # One column per unit, and with it how much of its deviation it drives its own neurons with.
        columns = _in_blocks(jnp.concatenate([self.inverse, own[None]]))
        brought, kept = _follow(model, self.read, wired, self.inverse, reached, by_class, columns)
        p = model.units
        return Response(
            np.asarray(brought, np.float64)
            .transpose(2, 1, 3, 0, 4)
            .reshape(-1, LAGS, p, columns.shape[0] * WIDTH)[..., :p],
            np.asarray(kept, np.float64).transpose(1, 2, 0, 3).reshape(LAGS, p, columns.shape[0] * WIDTH)[..., :p],
        )

    def growth(
        self,
        found: Coefficients,
        pattern: Float[Array, "N 1"] | None = None,
        across: Float[np.ndarray, "P P"] | None = None,
    ) -> tuple[float, Float[Array, "N 1"]]:
        """Return the growth per step of the fastest growing pattern about the mean, fed with the model's own read-out.

        Parameters
        ----------
        pattern
            That of coefficients nearby, which few steps turn into that of these.
        across
            What the drive takes from the last frame of all units to all units, beside their own past.

        Returns
        -------
        float, Float[Array, "N 1"]
            Growth, and the pattern.
        """
        real = self.strengths.dtype
        by_pre, decay = (jnp.asarray(each, real) for each in (self.classes @ found.factors, self.decay(found)))
        loop = Loop(self.strengths, by_pre, decay, self.read, self.shares, self.model.drive, self.drive(found, across))
        if pattern is None:
            pattern = growth_by_sweep(self.model, loop, jnp.ones((self.model.neurons, 1), real), SWEEPS)[1]
        growth, last = growth_by_sweep(self.model, loop, pattern, SWEEPS)
        # A rotating pattern grows unevenly: the mean of the later half of the logarithms is its growth.
        later = np.maximum(np.asarray(growth, np.float64)[SWEEPS // 2 :], 1e-30)
        return float(np.exp(np.log(later).mean())), last


class _Wired(NamedTuple):
    """Weights of the connections, decay of the neurons, shares of the read-out."""

    strengths: Array
    decay: Float[Array, "N"]
    shares: Array


def _in_blocks(columns: Float[Array, "R P"]) -> Float[Array, "k R W"]:
    """Columns in blocks of `WIDTH`, the last filled up with zeros."""
    rows, p = columns.shape
    padded = jnp.pad(columns, ((0, 0), (0, -p % WIDTH)))
    return padded.reshape(rows, -1, WIDTH).transpose(1, 0, 2)


@jax.jit
def _reached(model: Model, read: SparseMap, wired: _Wired, units: Float[Array, "k P W"]) -> Float[Array, "kW N"]:
    def reached_by(block: Float[Array, "P W"]) -> Float[Array, "W N"]:
        targets = (1 - wired.decay[:, None]) * read.adjoint(wired.shares, block)
        return model.outputs_adjoint(model.recurrent.adjoint(wired.strengths, targets)).T

    return jax.lax.map(reached_by, units).reshape(-1, model.neurons)


@jax.jit
def _follow(
    model: Model,
    read: SparseMap,
    wired: _Wired,
    inverse: Float[Array, "P P"],
    reached: Float[Array, "P N"],
    by_class: tuple[Float[Array, "F N"], Float[Array, "F"]],
    columns: Float[Array, "k Q W"],
) -> tuple[Float[Array, "k L F P W"], Float[Array, "k L P W"]]:
    """What a frame of some units brings to all units through each class, and what these keep, lag by lag.

    Columns are those of (C Cᵀ)⁻¹, with the units' own past in one more row.
    """
    members, factors = by_class
    by_pre, decay = (factors @ members)[:, None], wired.decay[:, None]

    def responses(block: Float[Array, "Q W"]) -> tuple[Array, Array]:
        moved = read.adjoint(wired.shares, block[:-1])
        rates, brought, kept = model.state_forcing * moved, [], []
        for lag in range(LAGS):
            brought.append(jnp.stack([reached @ (each[:, None] * rates) for each in members]))
            kept.append(read.apply(wired.shares, decay * rates))
            if lag == LAGS - 1:
                break
            received = model.recurrent.apply(wired.strengths, model.outputs(by_pre * rates))
            rates = decay * rates + (1 - decay) * received
            if lag == 0:
                rates += moved * block[-1]
            error = inverse @ read.apply(wired.shares, rates)
            rates -= model.state_forcing * read.adjoint(wired.shares, error)
        return jnp.stack(brought), jnp.stack(kept)

    return jax.lax.map(responses, columns)


def _classes(model: Model) -> Float[np.ndarray, "N F"]:
    """Excitatory and inhibitory neurons; all in one where a neuron's outputs have more than one sign."""
    signs = np.asarray(model.signs)
    if model.electrical or model.mixed:
        return np.ones((len(signs), 1))
    each = np.stack([signs > 0, signs < 0], axis=1).astype(float)
    return each[:, each.any(axis=0)]


def drive_support(model: Model) -> sp.csr_array | None:
    """Return which unit may drive which neuron, as a [N, P] matrix of ones; None if each may drive all."""
    if not isinstance(model.drive, SparseMap):
        return None
    pattern = model.drive.pattern
    parts = np.ones(pattern.nnz), np.asarray(pattern.indices), np.asarray(pattern.indptr)
    return sp.csr_array(parts, shape=(model.neurons, model.units))
