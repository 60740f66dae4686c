"""What wiring and recordings say about whose response changes when others are silenced.

While somebody is stimulated: what the prediction of the stimulus loses when the silenced neurons are taken out of the
wiring, which is the sum over all paths through them, and beside it the paths from the silenced neurons on, for their
own activity is missing, too. At rest: these alone. Signed predictions are of the change, so that the loss of an
excitation is negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from connfit.analysis.measured.measured_responses import members, pairs_by
from connfit.analysis.measured.pair_scores import Truth
from connfit.analysis.measured.recording_predictors import recording_predictors
from connfit.analysis.measured.wiring_predictors import (
    SYNAPSES,
    Predictor,
    WiringMeasure,
    pulses,
    read_rows,
    wiring_measures,
    wiring_predictors,
)
from connfit.config import EvaluateConfig
from connfit.connectome import Connectome
from connfit.models import Readout
from connfit.recordings.cohort import Cohort

WORKING_BYTES = 64 << 20
"""Memory that a column for each experiment may take; there are about five such arrays."""
FROM_SILENCED = "from_silenced_"
"""How names of paths from the silenced neuron begin where those that are lost have the plain names."""


def silencing_wiring(connectome: Connectome, truth: Truth, *, at_rest: bool) -> Iterator[Predictor]:
    """Return what the wiring says of pairs, see `connfit.analysis.measured.wiring_predictors.wiring_predictors`.

    `synapses` are those from the silenced to the responding neuron. The others are losses of what is stimulated, at
    rest paths from the silenced neuron, which stand as `from_silenced_NAME` beside losses. The wiring that is left
    keeps its scale (spectral radius, shares of inputs), so that nothing else changes.

    Parameters
    ----------
    at_rest
        Whether nobody is stimulated.
    """
    assert truth.silenced is not None
    direct = [_of_change(each) for each in wiring_predictors(connectome, truth.silenced, truth.responding, truth.sets)]
    if at_rest:
        yield from direct
        return
    yield from (each for each in direct if each.name == SYNAPSES)
    conditions, condition = np.unique(np.stack([truth.stimulated, truth.silenced]), axis=1, return_inverse=True)
    watched, to = pairs_by(truth.responding)
    for measure in wiring_measures(connectome):
        if measure.name == SYNAPSES:
            continue
        change = np.concatenate(list(_changes(measure, connectome, conditions, watched, truth)), axis=1)
        # Without signs it is an amount that is lost; with them, what the response becomes less what it was.
        values = (change if measure.signed else 0 - change)[to, condition.ravel()]
        yield Predictor(measure.name, f"{measure.label} (lost)", "wiring", values, measure.signed)
    yield from (replace(each, name=f"{FROM_SILENCED}{each.name}") for each in direct if each.name != SYNAPSES)


def _changes(
    measure: WiringMeasure, connectome: Connectome, conditions: Int[np.ndarray, "2 C"], watched: Int[np.ndarray, "W"],
    truth: Truth,
) -> Iterator[Float[np.ndarray, "W c"]]:  # fmt: skip
    """What arrives with the silenced neurons taken out, less what arrives with them, some conditions at a time."""
    size = max(1, WORKING_BYTES // (8 * connectome.n))
    for begin in range(0, conditions.shape[1], size):
        stimulated, silenced = conditions[:, begin : begin + size]
        whole, of = pairs_by(stimulated)
        # Side by side, so that both sums end at the same term, and what no path carries is 0 exactly.
        start = pulses(connectome, np.concatenate([whole, stimulated]), truth.sets)
        kept = np.ones_like(start)
        for column, site in enumerate(silenced, len(whole)):
            kept[members(site, connectome.n, truth.sets), column] = 0
        found = read_rows(measure.of(start, kept), watched, truth.sets)
        yield found[:, len(whole) :] - found[:, of]


def silencing_recordings(
    cohort: Cohort, readout: Readout, connectome: Connectome, truth: Truth, *, window_s: float,
    config: EvaluateConfig | None = None,
) -> Iterator[Predictor]:  # fmt: skip
    """Return what recordings say of silenced and responding neuron; see `recording_predictors`."""
    assert truth.silenced is not None
    for each in recording_predictors(
        cohort, readout, connectome, truth.silenced, truth.responding, window_s=window_s, config=config,
        sets=truth.sets,
    ):  # fmt: skip
        yield _of_change(each)


def _of_change(predictor: Predictor) -> Predictor:
    """What a neuron does to others, as a prediction of the change when it does it no more."""
    values = 0 - predictor.values if predictor.signed else predictor.values
    return replace(predictor, label=f"{predictor.label} (of the silenced)", values=values)
