"""What neurons of many units keep of their own unit's last frames, by products of sparse matrices.

A frame of one unit, l frames later and read out by the unit itself, is one number for each lag and unit. Following
every unit's frame through the wiring would cost units times connections; but where no two units share a neuron, the
first steps forward from a unit and the first steps back from its read-out are sparse, and meet in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from connfit.models.base import Model
from connfit.models.maps import SparseMap

UNITS_AT_A_TIME = 2048
"""Units whose frames are followed at a time: what one frame reaches is sparse, what all reach is not."""


@dataclass(frozen=True, eq=False)
class OwnLoop:
    """A step of a model about its mean, ``B (D + (1-D) W)``, with ``B = I - φ E C``.

    Attributes
    ----------
    received
        [N, N] ``(1-D) W``.
    decay
        [N] diagonal of D.
    readout
        [P, N] C.
    moved
        [N, P] E: how the neurons that a unit reads move when it does.
    forcing
        φ, by which states follow the recording.
    own
        [P] how much of its last frame a unit drives its own neurons with.
    """

    received: sp.csr_array
    decay: Float[np.ndarray, "N"]
    readout: sp.csr_array
    moved: sp.csr_array
    forcing: float
    own: Float[np.ndarray, "P"]

    def kept(self, lags: int) -> Float[np.ndarray, "L P"]:
        """Return what each unit's neurons keep of its own frame, for each lag."""
        units = len(self.own)
        return np.concatenate(
            [self._of(slice(first, first + UNITS_AT_A_TIME), lags) for first in range(0, units, UNITS_AT_A_TIME)],
            axis=1,
        )

    def _of(self, some: slice, lags: int) -> Float[np.ndarray, "L p"]:
        """Meet in the middle: so many steps back from the read-out, and as many or one more forward from the frame."""
        of_unit = sp.csr_array(self.moved[:, some])
        forward = [self.forcing * of_unit]
        back = [_scaled(self.decay, sp.csr_array(self.readout[some].T))]
        for lag in range(1, lags):
            if lag % 2:
                after = self._stepped(forward[-1], of_unit * self.own[some] if lag == 1 else None)
                forward.append(after)
            else:
                back.append(self._stepped_back(back[-1]))
        return np.stack([(back[lag // 2] * forward[(lag + 1) // 2]).sum(axis=0) for lag in range(lags)])

    def _stepped(self, rates: sp.csr_array, driven: sp.csr_array | None) -> sp.csr_array:
        after = _scaled(self.decay, rates) + self.received @ rates
        if driven is not None:
            after = after + driven
        return after - self.forcing * (self.moved @ (self.readout @ after))

    def _stepped_back(self, adjoint: sp.csr_array) -> sp.csr_array:
        before = adjoint - self.forcing * (self.readout.T @ (self.moved.T @ adjoint))
        return _scaled(self.decay, before) + self.received.T @ before


def signed_weights(model: Model, strengths: Float[np.ndarray, "M"], by_pre: Float[np.ndarray, "N"]) -> sp.csr_array:
    """Return the [N, N] matrix W of a model with free weights, gap junctions included.

    Parameters
    ----------
    by_pre
        Factor of what each neuron sends.
    """
    if not isinstance(model.recurrent, SparseMap):
        raise TypeError(f"{model.recurrent!r} has no weight for each connection")
    pattern, n = model.recurrent.pattern, model.neurons
    indptr, indices = np.asarray(pattern.indptr), np.asarray(pattern.indices)
    sent = np.asarray(model.signs, np.float64) * by_pre
    if model.electrical:
        sent = np.concatenate([sent, by_pre])
    if model.mixed:
        sent = np.concatenate([sent, -sent[:n]])
    data = np.asarray(strengths, np.float64) * sent[indices]
    return sp.csr_array((data, indices % n, indptr), shape=(n, n))


def _scaled(rows: Float[np.ndarray, "N"], matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(sp.diags_array(rows) @ matrix)
