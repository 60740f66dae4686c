"""Numbers that the report itself computes from a run's arrays, for its answers; written to `questions.json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from connfit.evaluation.metrics import fc_corr
from connfit.report.run_files import RunFiles
from connfit.report.sections.value_ranges import time_constants_at_bounds, values_below_reach, values_outside_training

Measured = dict[str, Any]


def report_numbers(run: RunFiles) -> Measured:
    """By name: `value` (None where it is not defined), `what` it is, the files that it is `from`, and a `reason`."""
    return {
        "model_fc_corr_train_vs_test": _model_connectivities(run),
        **_drive(run),
        **time_constants_at_bounds(run),
        **values_outside_training(run),
        **values_below_reach(run),
    }


def _model_connectivities(run: RunFiles) -> Measured:
    """How alike the model's own FCs of the training and of the test part are, mean over recordings."""
    about = {
        "what": "correlation of the model's free-run FC over the training part with that over the test part",
        "from": ["forecasts.npz"],
    }
    if run.forecasts is None:
        return {"value": None, **about, "reason": "there is no forecasts.npz"}
    found = [
        fc_corr(one.parts["train"].free_run_connectivity, one.parts["test"].free_run_connectivity)
        for one in run.forecasts.recordings.values()
    ]
    values = [one.value for one in found if one.value is not None]
    if not values:
        return {"value": None, **about, "reason": next((one.reason for one in found), "there are no recordings")}
    return {"value": float(np.mean(values)), **about, "recordings": len(values)}


def _drive(run: RunFiles) -> Measured:
    """Entries of a dense drive, and how many go to a neuron that the unit does not belong to."""
    drive = run.parameters.get("drive")
    recording = next(iter((run.record.get("recordings") or {}).values()), {})
    belonging = recording.get("neurons_per_unit")
    several = len({tuple(one.get("matched") or ()) for one in (run.record.get("recordings") or {}).values()}) > 1
    if drive is None or drive.ndim != 2 or not belonging or several or drive.shape[1] != len(belonging):
        return {}
    return {
        "drive_entries": {"value": int(drive.size), "what": "pairs of a neuron and a unit", "from": ["parameters.npz"]},
        "drive_entries_elsewhere": {
            "value": int(drive.size) - int(sum(belonging)),
            "what": "pairs of a neuron and a unit that the neuron does not belong to",
            "from": ["parameters.npz", "record.json"],
        },
        "drive_entries_at_zero": {
            "value": int((drive == 0).sum()),
            "what": "pairs of a neuron and a unit whose fitted drive is 0",
            "from": ["parameters.npz"],
        },
    }
