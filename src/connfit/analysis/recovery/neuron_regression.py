"""What any fit of this loss could recover with all neurons recorded: each neuron's own regression, solved directly.

With all neurons recorded and φ = 1, one step of the model is, neuron by neuron,

    r_i(t) = α_i r_i(t-1) + relu( Σ_j v_ij s_ij r_j(t-1) + c_i ),   v_ij = (1-α_i) |w_ij| ≥ 0,  c_i = (1-α_i) b_i,

because relu is homogeneous. Given which frames have the relu open, that is linear least squares with bounds; solving it
and finding the open frames again is the Gauss-Newton method. It starts at the true parameters, so that it ends in the
minimum of the training loss that belongs to them: the answer that training by gradients can be compared with.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from connfit.analysis.recovery.student import BOUNDS_FRAMES
from connfit.datasets.synthetic.known_teacher import FRAME_RATE, KnownTeacher

ROUNDS = 8


def regress(
    teacher: KnownTeacher, measured: Float[np.ndarray, "T N"]
) -> tuple[Float[np.ndarray, "M"], Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Find the weights, time constants in seconds and biases that minimise the one-step error of recorded activity.

    Parameters
    ----------
    measured
        Training frames of all neurons.

    Returns
    -------
    weights, time_constants, bias
        Those of sensory neurons are the teacher's, for they are not fitted.
    """
    brain = teacher.connectome
    weights, time_constants, bias = teacher.weights.copy(), teacher.time_constants.copy(), teacher.bias.copy()
    before, after = measured[:-1], measured[1:]
    for neuron in np.flatnonzero(~teacher.sensory):
        own = slice(brain.indptr[neuron], brain.indptr[neuron + 1])
        pre = brain.indices[own]
        inputs = np.concatenate([before[:, pre] * brain.connection_signs[own], np.ones((len(before), 1))], axis=1)
        alpha = np.exp(-1 / (FRAME_RATE * time_constants[neuron]))
        start = np.concatenate([[alpha], (1 - alpha) * np.append(weights[own], bias[neuron])])
        found = _one_neuron(before[:, neuron], inputs, after[:, neuron], start)
        weights[own], bias[neuron] = found[1:-1] / (1 - found[0]), found[-1] / (1 - found[0])
        time_constants[neuron] = -1 / (FRAME_RATE * np.log(found[0]))
    return weights, time_constants, bias


def _one_neuron(
    own: Float[np.ndarray, "T"],
    inputs: Float[np.ndarray, "T k"],
    target: Float[np.ndarray, "T"],
    start: Float[np.ndarray, "k+1"],
) -> Float[np.ndarray, "k+1"]:
    """α, v and c of one neuron: the best of some Gauss-Newton rounds."""
    low, high = (np.exp(-1 / frames) for frames in BOUNDS_FRAMES)

    def error(values: np.ndarray) -> float:
        return float(((target - values[0] * own - np.maximum(inputs @ values[1:], 0)) ** 2).sum())

    best, least, values = start, error(start), start
    is_open = np.zeros(len(own), bool)
    for _ in range(ROUNDS):
        now_open = inputs @ values[1:] >= 0
        if (now_open == is_open).all():
            break
        is_open = now_open
        design = np.concatenate([own[:, None], inputs * is_open[:, None], target[:, None]], axis=1)
        # A square root of the normal equations is the same least-squares problem in as many rows as unknowns.
        size, directions = np.linalg.eigh(design.T @ design)
        root = np.sqrt(np.maximum(size, 0))[:, None] * directions.T
        solved = _bounded(root[:, :-1], root[:, -1], low, high)
        now = error(solved)
        if now < least:
            best, least = solved, now
        values = solved
    return best


def _bounded(design: Float[np.ndarray, "m k"], target: Float[np.ndarray, "m"], low: float, high: float) -> np.ndarray:
    """Least squares with the first unknown between two bounds, the last one free and all others at least 0."""
    shifted = target - low * design[:, 0]
    found = nnls(np.concatenate([design, -design[:, -1:]], axis=1), shifted)[0]
    first = low + found[0]
    if first > high:
        first = high
        found[1:] = nnls(np.concatenate([design[:, 1:], -design[:, -1:]], axis=1), target - high * design[:, 0])[0]
    return np.concatenate([[first], found[1:-2], [found[-2] - found[-1]]])
