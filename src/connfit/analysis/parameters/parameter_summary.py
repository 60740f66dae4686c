"""Fitted strengths and time constants of a run beside synapse counts and the start of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from connfit.analysis.criticality.continuous_tail import continuous_tail
from connfit.analysis.criticality.power_law_evidence import examine_power_law
from connfit.analysis.parameters.time_constants import time_constant_statistics
from connfit.analysis.parameters.weights import positive_magnitudes, weight_statistics
from connfit.connectome import Connectome
from connfit.errors import DataError
from connfit.models.base import Model, Params


def examine_weights(connectome: Connectome, model: Model, before: Params, after: Params) -> dict[str, Any]:
    """Statistics of strengths (`connfit.analysis.parameters.weights`) and tails of counts and strengths, with
    alternatives.
    """
    if connectome.m == 0:
        return {"statistics": None, "tails": None, "reasons": {"statistics": "the model has no connections"}}
    first, last = np.asarray(model.magnitudes(before)), np.asarray(model.magnitudes(after))
    tails: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, values in (("before", first), ("after", last)):
        try:
            tails[name] = continuous_tail(positive_magnitudes(connectome, values)).record()
        except DataError as error:
            tails[name], reasons[name] = None, str(error)
    counts = connectome.counts[~connectome.electrical]
    try:
        # Of millions of counts any law is rejected by a test of fit; what fits better is the question.
        tails["counts"] = examine_power_law(counts[counts > 0], repeats=0).record()
    except DataError as error:
        tails["counts"], reasons["counts"] = None, str(error)
    return {
        "statistics": weight_statistics(connectome, last, before=first).record(),
        "tails": tails,
        "reasons": reasons,
    }


def examine_time_constants(connectome: Connectome, model: Model, before: Params, after: Params) -> dict[str, Any]:
    """Statistics of time constants; see `connfit.analysis.parameters.time_constants`."""
    first, last = (np.exp(np.asarray(one["log_time_constants"], np.float64)) for one in (before, after))
    return time_constant_statistics(
        last, step_s=model.step_s, bounds_s=model.bounds_s, before_s=first, neurons=connectome.neurons
    ).record()
