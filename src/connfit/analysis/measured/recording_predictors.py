"""What spontaneous recordings say about who responds: functional connectivity, and an autoregression's response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.measured.measured_responses import members
from connfit.analysis.measured.wiring_predictors import Predictor
from connfit.config import EvaluateConfig
from connfit.connectome import Connectome
from connfit.evaluation.baselines.var_ridge import VarRidge
from connfit.evaluation.metrics import functional_connectivity
from connfit.models import Readout
from connfit.recordings import Recording
from connfit.recordings.cohort import Cohort


def recording_predictors(
    cohort: Cohort,
    readout: Readout,
    connectome: Connectome,
    stimulated: Int[np.ndarray, "R"],
    responding: Int[np.ndarray, "R"],
    *,
    window_s: float,
    config: EvaluateConfig | None = None,
    sets: Sequence[Int[np.ndarray, "k"]] = (),
) -> Iterator[Predictor]:
    """Return what the training parts of recordings say of pairs of which both neurons were recorded together.

    - `functional_connectivity`: correlation of the two neurons; over animals the mean of Fisher's z.
    - `impulse_response`: mean response of the responding neuron over the window after a unit impulse on the stimulated
      one in a ridge vector autoregression of each animal (`connfit.evaluation.baselines.var_ridge`); over animals the
      mean. Its penalties and lags are chosen on tuning frames of the recording alone.

    Neurons that a unit reads together with others have no recording of their own and are left out. Of sets the mean
    over the pairs of their neurons that are known counts.

    Parameters
    ----------
    stimulated, responding, sets
        [R] positions of the neurons, or sets, of each pair; see `PlacedResponses`.
    window_s
        As of `connfit.models.pulse.Stimulations`.
    """
    if sets:
        yield from _of_sets(cohort, readout, connectome, stimulated, responding, window_s, config, sets)
        return
    unit_of = single_units(readout)
    pairs = np.column_stack([unit_of[responding], unit_of[stimulated]])
    fc, impulse = [], []
    for member, recording in enumerate(cohort.recordings):
        columns = cohort.columns[member]
        local = np.full(len(cohort.units) + 1, -1)
        local[columns] = np.arange(len(columns))
        at = np.where(pairs >= 0, local[pairs], -1)
        values, mask = recording.part("train")
        correlation = functional_connectivity(values, mask)
        fc.append(_taken(np.arctanh(np.clip(correlation, -0.999999, 0.999999)), at))
        frames = max(round(window_s * recording.frame_rate), 1)
        sources, number = np.unique(at[:, 1][(at >= 0).all(axis=1)], return_inverse=True)
        response = impulse_response(recording, sources, frames, config or EvaluateConfig())
        of_pair = np.full(len(at), np.nan)
        of_pair[(at >= 0).all(axis=1)] = response[at[(at >= 0).all(axis=1), 0], number]
        impulse.append(of_pair)
    yield Predictor("functional_connectivity", "functional connectivity", "recording", np.tanh(_mean(fc)), signed=True)
    yield Predictor("impulse_response", "impulse response of a ridge VAR", "recording", _mean(impulse), signed=True)


def _of_sets(
    cohort: Cohort, readout: Readout, connectome: Connectome, stimulated: Int[np.ndarray, "R"],
    responding: Int[np.ndarray, "R"], window_s: float, config: EvaluateConfig | None,
    sets: Sequence[Int[np.ndarray, "k"]],
) -> Iterator[Predictor]:  # fmt: skip
    """The same of every pair of neurons, and its mean over those of a pair of sets."""
    rows, pre, post = [], [], []
    for row, pair in enumerate(zip(stimulated, responding, strict=True)):
        one, other = (members(site, connectome.n, sets) for site in pair)
        rows += [row] * (len(one) * len(other))
        pre += np.repeat(one, len(other)).tolist()
        post += np.tile(other, len(one)).tolist()
    owner = np.array(rows)
    for each in recording_predictors(
        cohort, readout, connectome, np.array(pre), np.array(post), window_s=window_s, config=config
    ):
        known = np.isfinite(each.values)
        total = np.bincount(owner[known], each.values[known], minlength=len(stimulated))
        count = np.bincount(owner[known], minlength=len(stimulated))
        yield replace(each, values=np.where(count > 0, total / np.maximum(count, 1), np.nan))


def single_units(readout: Readout) -> Int[np.ndarray, "N"]:
    """Return for each neuron the unit that reads it and nothing else; -1 where there is none."""
    found = np.full(readout.neurons, -1)
    matrix = readout.matrix
    alone = np.flatnonzero(np.diff(matrix.indptr) == 1)
    found[matrix.indices[matrix.indptr[alone]]] = alone
    return found


def impulse_response(
    recording: Recording, impulses: Int[np.ndarray, "S"], frames: int, config: EvaluateConfig
) -> Float[np.ndarray, "p S"]:
    """Return the mean response [responding, stimulated] over some frames from a unit impulse on.

    An impulse is one standard deviation of the stimulated unit, a response in those of the responding one; the impulse
    is frame 0, whose own response counts for nobody else.

    Parameters
    ----------
    impulses
        Columns of the stimulated units.
    """
    process, lags = (forecaster := VarRidge.fit(recording, config)).process, forecaster.lags
    past = np.zeros((len(impulses), lags, len(recording.units)))
    nothing = process.predict(np.zeros((1, lags, past.shape[2])))
    past[np.arange(len(impulses)), 0, impulses] = 1
    total = past[:, 0].copy()
    for _ in range(frames - 1):
        now = process.predict(past) - nothing
        total += now
        past = np.concatenate([now[:, None], past[:, :-1]], axis=1)
    return total.T / frames


def _taken(matrix: Float[np.ndarray, "p p"], at: Int[np.ndarray, "R 2"]) -> Float[np.ndarray, "R"]:
    known = (at >= 0).all(axis=1)
    return np.where(known, matrix[at[:, 0], at[:, 1]], np.nan)


def _mean(animals: Sequence[Float[np.ndarray, "R"]]) -> Float[np.ndarray, "R"]:
    """The mean over animals in which a pair was recorded; NaN where there is none."""
    values = np.stack(animals)
    known = np.isfinite(values)
    return np.where(
        known.any(axis=0), np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
    )
