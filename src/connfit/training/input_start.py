"""Where the weights of external inputs start: a ridge regression of what the untrained model leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from connfit.models.base import Model, Params
from connfit.models.forecaster import ModelForecaster
from connfit.models.forward import forcing_of
from connfit.models.maps import DenseMap, SparseMap
from connfit.models.neuron import filled, times, total
from connfit.models.rollout import Stepped
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort

PENALTIES = tuple(float(alpha) for alpha in 10.0 ** np.arange(-2.0, 4.5, 0.5))
"""Ridge penalties that are tried, in shares of the mean square of what a feature does to a unit."""


class _Sums(NamedTuple):
    """Traces of the neurons' states, and moments of what they do to units on training and validation frames."""

    traces: tuple[Float[Array, "N F"], ...]
    gram: Float[Array, "2 P F F"]
    cross: Float[Array, "2 P F"]


def regressed_inputs(model: Model, params: Params, cohort: Cohort) -> Params:
    """Return the parameters with weights of inputs that explain what the model leaves of single recorded neurons.

    A feature's trace in a neuron is what it adds to the next prediction of that neuron, state forcing included, as in
    D-RTRL; the residual of each unit is regressed on the traces of its neuron. One penalty for all units has least
    error on validation; a very strong one leaves weights at 0. Neurons that no unit reads start at 0, as do all where
    units read several neurons, or weights are shared.
    """
    use = cohort.inputs
    allowed = None if model.inputs is None else _allowed(model)
    if use is None or allowed is None or model.read_neurons is None:
        return params
    read, p, f = np.asarray(model.read_neurons), len(cohort.units), len(use.features)
    variance = cohort.change_variance()
    train, check = np.zeros((2, p, f, f)), np.zeros((2, p, f))
    for member in range(len(cohort.recordings)):
        gram, cross = _moments(model, params, cohort, member)
        weight = np.nan_to_num(1 / variance[:, member])
        train += weight[:, None, None] * gram
        check += weight[:, None] * cross
    if not check[1].any():
        return params
    mask = allowed[read]
    best, least = np.zeros((p, f)), 0.0
    for alpha in PENALTIES:
        found = _ridge(train[0], check[0], mask, alpha)
        change = np.einsum("pf,pfg,pg->", found, train[1], found) - 2 * (found * check[1]).sum()
        if np.isfinite(change) and change < least:
            best, least = found, change
    weights = np.zeros(allowed.shape)
    weights[read] = best
    stored = weights if isinstance(model.inputs, DenseMap) else weights[np.nonzero(allowed)]
    return {**params, "inputs": jnp.asarray(stored, params["inputs"].dtype)}


def _allowed(model: Model) -> Bool[np.ndarray, "N F"] | None:
    """Which weights there are; None where they are shared."""
    if isinstance(model.inputs, DenseMap):
        return np.ones(model.inputs.strengths_shape, bool)
    if not isinstance(model.inputs, SparseMap):
        return None
    pattern = model.inputs.pattern
    found = np.zeros((pattern.rows, pattern.columns), bool)
    found[np.asarray(pattern.row_of()), np.asarray(pattern.indices)] = True
    return found


def _ridge(
    gram: Float[np.ndarray, "P F F"], cross: Float[np.ndarray, "P F"], mask: Bool[np.ndarray, "P F"], alpha: float
) -> Float[np.ndarray, "P F"]:
    among = mask[:, :, None] & mask[:, None]
    size = np.trace(gram, axis1=1, axis2=2)[:, None] / gram.shape[1]
    ridge = np.where(mask, np.maximum(alpha * size, 1e-30), 1.0)
    inside = np.where(among, gram, 0.0) + ridge[:, :, None] * np.eye(gram.shape[1])
    return np.linalg.solve(inside, np.where(mask, cross, 0.0)[..., None])[..., 0]


def _moments(
    model: Model, params: Params, cohort: Cohort, member: int
) -> tuple[Float[np.ndarray, "2 P F F"], Float[np.ndarray, "2 P F"]]:
    """Moments of training and validation frames of one recording."""
    recording, columns = cohort.recordings[member], cohort.columns[member]
    parts, p = recording.require_parts(), len(cohort.units)
    stop = max(parts.train[1], parts.validation[1])
    assert cohort.inputs is not None
    f = len(cohort.inputs.features)
    traces = tuple(jnp.zeros((model.neurons, f)) for _ in model.neuron.states)
    start = _Sums(traces, jnp.zeros((2, p, f, f)), jnp.zeros((2, p, f)))
    also = _Predicted(recording, columns, p)
    found = ModelForecaster(model, params, cohort).follow(recording, stop - 1, _add, start, also)
    return np.asarray(found.gram, np.float64), np.asarray(found.cross, np.float64)


@dataclass(frozen=True, eq=False)
class _Predicted:
    """The frames after the first: what a unit was recorded as, and whether that is of training or of validation.

    Parameters
    ----------
    columns
        Positions of the recording's units among the `units` of the model.
    """

    recording: Recording
    columns: Int[np.ndarray, "p"]
    units: int

    def __getitem__(self, at: slice, /) -> tuple[Float[np.ndarray, "t P 1"], Bool[np.ndarray, "t 2 P 1"]]:
        recording, parts = self.recording, self.recording.require_parts()
        frame = 1 + np.arange(at.start, at.stop)
        target, seen = np.zeros((len(frame), self.units, 1), np.float32), np.zeros((len(frame), self.units, 1), bool)
        mask = recording.mask[at.start + 1 : at.stop + 1]
        target[:, self.columns, 0] = np.where(mask, recording.values[at.start + 1 : at.stop + 1], 0)
        seen[:, self.columns, 0] = mask
        inside = [(frame >= part[0]) & (frame < part[1]) for part in (parts.train, parts.validation)]
        return target, np.stack([of[:, None, None] & seen for of in inside], axis=1)


def _add(model: Model, params: Params, sums: _Sums, now: Stepped, also: Any) -> tuple[_Sums, None]:
    """Add one frame: what each feature, through the state of a unit's neuron, adds to its prediction."""
    target, counted = also
    assert now.external is not None
    theta, neuron = model.constants(params), model.neuron
    step = neuron.jacobian(theta, now.seen.states, now.seen.received)
    traces = sums.traces
    forcing = jax.tree.map(lambda one: one[0], forcing_of(model, params, now.given[None]))
    fade = step.states if forcing is None else forcing.after(step.states)
    fresh = now.external[:, 0][None]
    traces = tuple(
        filled(total((*map(times, row, traces), times(by_input[0], fresh))), traces[0])
        for row, by_input in zip(fade, step.inputs, strict=True)
    )
    effect = neuron.seen(theta, now.neurons.states).along(traces)[model.read_neurons]
    left = (target - now.reading)[:, 0]
    weight = counted[..., 0].astype(effect.dtype)
    gram = sums.gram + weight[:, :, None, None] * (effect[:, :, None] * effect[:, None])
    cross = sums.cross + weight[:, :, None] * (left[:, None] * effect)
    return _Sums(traces, gram, cross), None
