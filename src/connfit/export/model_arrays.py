"""A fitted model as plain arrays: signed weights, parameters by their names, and the frames that it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from connfit.errors import ConfigError
from connfit.models.base import INNOVATION_GAINS, Model, Params
from connfit.models.cells import CELLS
from connfit.models.forecaster import ModelForecaster
from connfit.models.maps import DenseMap, GainMap, SparseMap, SynapticMap
from connfit.models.observation.observed import Observed
from connfit.models.ops import Pattern
from connfit.models.parameter import TimeConstant
from connfit.recordings import Recording
from connfit.training.fitted import Fit

Matrix = sp.csr_array | Float[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False)
class ModelArrays:
    """A fitted model as plain arrays, in the order of its neurons and units.

    Attributes
    ----------
    cell
        Name of its cell among those of connfit.
    states
        Names of the states of a neuron.
    shown
        Numbers of the states whose sum units see, and of the one that the cell itself shows.
    filters
        Names of the time constants of the indicator, in their order.
    drift
        Whether there is a baseline that moves by innovations alone.
    neuron_ids, unit_names
        In their order.
    step_s, substeps, delay, state_forcing
        Seconds of a step, steps of a frame, steps by which synapses are late, φ.
    parameters
        Of neurons, by name: [N], or [1] where all share it; time constants in seconds.
    bias
        [N].
    weights
        [N, N] signed weights of chemical synapses, rows are postsynaptic.
    junctions
        [N, N] weights of gap junctions; None without any.
    drive
        [N, P] E; None without one.
    inputs
        [N, F] of the features of external inputs; None without any.
    readout
        [P, N] C.
    read_neurons
        [P] the neuron of each unit, where units are single neurons; else None.
    own_gains
        [S, P] gains of each unit in place of φ; None without.
    """

    cell: str
    states: tuple[str, ...]
    shown: tuple[int, ...]
    cell_shows: int
    filters: tuple[str, ...]
    drift: bool
    nonlinearity: str
    neuron_ids: tuple[str, ...]
    unit_names: tuple[str, ...]
    step_s: float
    substeps: int
    delay: int
    state_forcing: float
    parameters: Mapping[str, Float[np.ndarray, "n"]]
    time_constants: tuple[str, ...]
    bias: Float[np.ndarray, "N"]
    weights: sp.csr_array
    junctions: sp.csr_array | None
    drive: Matrix | None
    inputs: Matrix | None
    readout: Matrix
    read_neurons: Int[np.ndarray, "P"] | None
    own_gains: Float[np.ndarray, "S P"] | None

    @classmethod
    def of(cls, fit: Fit) -> ModelArrays:
        """Take the arrays of a fit.

        Raises
        ------
        ConfigError
            If the cell is not one of connfit, whose equations are known to exports.
        """
        model, params = fit.model, fit.params
        seen = model.neuron if isinstance(model.neuron, Observed) else None
        cell = model.neuron if seen is None else seen.cell
        weights, junctions = _recurrent(model, params)
        by_name = {one.name: np.asarray(one.value(params[one.key])) for one in model.parameters}
        return cls(
            cell=_cell_name(cell),
            states=tuple(model.neuron.states),
            shown=tuple(model.neuron.shown),
            cell_shows=cell.shows,
            filters=() if seen is None else tuple(one.name for one in seen.filters),
            drift=seen is not None and bool(seen.drift),
            nonlinearity=getattr(cell, "nonlinearity", ""),
            neuron_ids=tuple(map(str, fit.connectome.ids)),
            unit_names=fit.cohort.units,
            step_s=model.step_s,
            substeps=fit.cohort.substeps,
            delay=model.delay,
            state_forcing=0.0 if model.own_gains else model.state_forcing,
            parameters=by_name,
            time_constants=tuple(one.name for one in model.parameters if isinstance(one, TimeConstant)),
            bias=np.asarray(params["bias"]),
            weights=weights,
            junctions=junctions,
            drive=None if model.drive is None else matrix_of(model.drive, params["drive"]),
            inputs=None if model.inputs is None else matrix_of(model.inputs, params["inputs"]),
            readout=matrix_of(model.readout, model.readout_strengths(params)),
            read_neurons=None if model.read_neurons is None else np.asarray(model.read_neurons),
            own_gains=np.asarray(params[INNOVATION_GAINS]) if model.own_gains else None,
        )


@dataclass(frozen=True, eq=False)
class ShownFrames:
    """What the model is shown of a recording, and what it predicts.

    Attributes
    ----------
    values
        [T, P] values of the model's units; NaN where a unit shows nothing.
    low, high
        [P] range of values that rates explain; what lies beyond is carried along.
    features
        [T, F] of external inputs, of the frame after each; None without any.
    blocks
        [B, 2] first frame, and the one after the last, of stretches that have a start of their own.
    predicted
        [T, P] one-step predictions of connfit; NaN where there is none, and for units that the recording lacks.
    """

    values: Float[np.ndarray, "T P"]
    low: Float[np.ndarray, "P"]
    high: Float[np.ndarray, "P"]
    features: Float[np.ndarray, "T F"] | None
    blocks: Int[np.ndarray, "B 2"]
    predicted: Float[np.ndarray, "T P"]

    @classmethod
    def of(cls, forecaster: ModelForecaster, recording: Recording) -> ShownFrames:
        """Collect the frames of a recording and predict them."""
        columns, limits = forecaster.columns(recording), forecaster.limits(recording)
        predicted = np.full((recording.frames, forecaster.model.units), np.nan, np.float32)
        predicted[:, columns] = forecaster.one_step(recording)
        values, features, blocks = np.full(predicted.shape, np.nan, np.float32), [], recording.stretches()
        for first, stop in blocks:
            # Of a block alone: lags of its inputs do not reach into the one before.
            block = recording if not recording.blocks else recording.frames_only(slice(first, stop))
            shown = forecaster.shown(replace(block, blocks=()), slice(0, stop - first))
            values[first:stop] = np.where(shown.given, shown.values, np.nan)[..., 0]
            features.append(None if shown.external is None else np.asarray(shown.external)[..., 0])
        return cls(
            values, limits.low[:, 0], limits.high[:, 0],
            None if features[0] is None else np.concatenate(features), np.array(blocks), predicted,
        )  # fmt: skip


def matrix_of(of: SynapticMap, strengths: object) -> Matrix:
    """Return the matrix [rows, sources] of a linear map with given weights, or gains."""
    values = np.asarray(strengths)
    if isinstance(of, DenseMap):
        return values
    if isinstance(of, SparseMap):
        return _csr(of.pattern, values)
    if isinstance(of, GainMap):
        branches = _csr(of.branches, values[np.asarray(of.gain_of)])
        return sp.csr_array(branches @ _csr(of.inputs, np.asarray(of.magnitudes)))
    raise ConfigError(f"a map of the kind {type(of).__name__} has no matrix that can be exported")


def _csr(pattern: Pattern, values: np.ndarray) -> sp.csr_array:
    indices, indptr = np.asarray(pattern.indices), np.asarray(pattern.indptr)
    return sp.csr_array((values, indices, indptr), shape=(pattern.rows, pattern.columns))


def _recurrent(model: Model, params: Params) -> tuple[sp.csr_array, sp.csr_array | None]:
    """Signed weights of chemical synapses, and those of gap junctions."""
    found, n = sp.csc_array(matrix_of(model.recurrent, model.recurrent_strengths(params))), model.neurons
    # The last channels are those of connections whose sign is not that of their neuron.
    of_sign = found[:, :n] - found[:, -n:] if model.mixed else found[:, :n]
    chemical = sp.csr_array(of_sign @ sp.diags_array(np.asarray(model.signs)))
    return chemical, sp.csr_array(found[:, n : 2 * n]) if model.electrical else None


def _cell_name(cell: object) -> str:
    for name, entry in CELLS.items():
        if entry.neuron is type(cell) and CELLS.package(name) == "connfit":
            return name
    raise ConfigError(
        f"the cell {type(cell).__name__} is not one of connfit, so that its equations cannot be written in another "
        "language: export tables, nwb or figures instead"
    )
