"""How a model about its mean responds to recorded frames, without matrices of all pairs of its units.

The same as `connfit.models.init.response`, followed frame by frame instead of unit by unit: what a frame of all units
does passes through the sparse wiring, in time and memory that grow with units and not with their square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from connfit.models.base import Model
from connfit.models.init.own_response import OwnLoop, signed_weights
from connfit.models.maps import SparseMap
from connfit.models.readout import own_overlap

if TYPE_CHECKING:
    from connfit.models.init.response import Coefficients, LinearBrain

WIDTH = 64
"""Frames that are followed at a time."""


class _Wiring(NamedTuple):
    """A model about its mean: weights, who belongs to which class, decay, read-out, (C Cᵀ)⁻¹, own past."""

    strengths: Array
    members: Float[Array, "F N"]
    factors: Float[Array, "F"]
    decay: Float[Array, "N 1"]
    shares: Array
    inverse: Float[Array, "P 1"]
    own: Float[Array, "P 1"]


@dataclass(frozen=True, eq=False)
class FrameResponse:
    """What recorded frames bring through each class of connections, and what neurons keep of their state.

    Parameters
    ----------
    model, read
        As of the brain.
    lags
        Frames of the recording that are followed.
    """

    model: Model
    read: SparseMap
    wiring: _Wiring
    lags: int

    @classmethod
    def of(cls, brain: LinearBrain, found: Coefficients, lags: int) -> FrameResponse | None:
        """Return the response of a brain of many units; None where they are few, or share neurons."""
        overlap = own_overlap(brain.readout)
        if overlap is None:
            return None
        real = brain.strengths.dtype
        own = found.own if brain.model.drive is not None else np.zeros(brain.model.units)
        wiring = _Wiring(
            brain.strengths,
            jnp.asarray(brain.classes.T, real),
            jnp.asarray(found.factors, real),
            jnp.asarray(brain.decay(found), real)[:, None],
            brain.shares,
            jnp.asarray(1 / overlap, real)[:, None],
            jnp.asarray(own, real)[:, None],
        )  # fmt: skip
        return cls(brain.model, brain.read, wiring, lags)

    def along(
        self, past: Sequence[Float[np.ndarray, "t P"]]
    ) -> tuple[Float[np.ndarray, "t P"], Float[np.ndarray, "t P F"]]:
        """Return what neurons keep of the last frames, and what each class brings, summed over lags."""
        frames, units = past[0].shape
        kept, brought = np.empty((frames, units)), np.empty((frames, units, len(self.wiring.factors)))
        for first in range(0, frames, WIDTH):
            some = np.stack([each[first : first + WIDTH].T for each in past])
            count = some.shape[2]
            padded = np.pad(some, ((0, 0), (0, 0), (0, WIDTH - count)))
            lasting, through = _along(self.model, self.read, self.wiring, jnp.asarray(padded, self.wiring.shares.dtype))
            kept[first : first + count] = np.asarray(lasting).T[:count]
            brought[first : first + count] = np.asarray(through).transpose(2, 1, 0)[:count]
        return kept, brought

    @cached_property
    def kept_of_own(self) -> Float[np.ndarray, "L P"]:
        """What a unit's neurons keep of its own frame, lag by lag."""
        wiring, pattern = self.wiring, self.read.pattern
        by_pre = np.asarray(wiring.factors @ wiring.members, np.float64)
        decay = np.asarray(wiring.decay[:, 0], np.float64)
        received = sp.diags_array(1 - decay) @ signed_weights(self.model, np.asarray(wiring.strengths), by_pre)
        entries = np.asarray(wiring.shares, np.float64), np.asarray(pattern.indices), np.asarray(pattern.indptr)
        readout = sp.csr_array(entries, shape=(self.model.units, self.model.neurons))
        moved = sp.csr_array(readout.T @ sp.diags_array(np.asarray(wiring.inverse[:, 0], np.float64)))
        own = np.asarray(wiring.own[:, 0], np.float64)
        loop = OwnLoop(sp.csr_array(received), decay, readout, moved, float(self.model.state_forcing), own)
        return loop.kept(self.lags)


def _moved(read: SparseMap, wiring: _Wiring, frames: Float[Array, "P W"]) -> Float[Array, "N W"]:
    return read.adjoint(wiring.shares, wiring.inverse * frames)


def _corrected(model: Model, read: SparseMap, wiring: _Wiring, rates: Float[Array, "N W"]) -> Float[Array, "N W"]:
    return rates - model.state_forcing * _moved(read, wiring, read.apply(wiring.shares, rates))


def _next(
    model: Model, read: SparseMap, wiring: _Wiring, rates: Float[Array, "N W"], driven: Float[Array, "P W"]
) -> Float[Array, "N W"]:
    """Rates one step later, with a frame that drives its units' own neurons in between."""
    by_pre = (wiring.factors @ wiring.members)[:, None]
    received = model.recurrent.apply(wiring.strengths, model.outputs(by_pre * rates))
    moved = wiring.decay * rates + (1 - wiring.decay) * received + _moved(read, wiring, wiring.own * driven)
    return _corrected(model, read, wiring, moved)


@jax.jit
def _along(
    model: Model, read: SparseMap, wiring: _Wiring, past: Float[Array, "L P W"]
) -> tuple[Float[Array, "P W"], Float[Array, "F P W"]]:
    """Follow the oldest frames, and add each later one as it comes."""
    rates = model.state_forcing * _moved(read, wiring, past[-1])
    for lag in range(len(past) - 2, -1, -1):
        rates = _next(model, read, wiring, rates, past[lag + 1]) + model.state_forcing * _moved(read, wiring, past[lag])
    brought = []
    for member in wiring.members:
        received = model.recurrent.apply(wiring.strengths, model.outputs(member[:, None] * rates))
        brought.append(read.apply(wiring.shares, (1 - wiring.decay) * received))
    return read.apply(wiring.shares, wiring.decay * rates), jnp.stack(brought)
