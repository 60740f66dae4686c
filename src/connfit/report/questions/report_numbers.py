"""Numbers that the report itself computes from a run's arrays, for its answers; written to `questions.json`."""

from __future__ import annotations

import numpy as np

from connfit.evaluation.metrics import fc_corr
from connfit.report.run_files import RunFiles
from connfit.report.sections.value_ranges import (
    OverRecordings,
    ReportNumber,
    ReportNumbers,
    time_constants_at_bounds,
    values_below_reach,
    values_outside_training,
)


def report_numbers(run: RunFiles) -> ReportNumbers:
    """Compute what a run's arrays allow."""
    return ReportNumbers(
        _model_connectivities(run),
        *_drive(run),
        time_constants_at_bounds(run),
        values_outside_training(run),
        values_below_reach(run),
    )


def _model_connectivities(run: RunFiles) -> OverRecordings:
    """How alike the model's own FCs of the training and of the test part are, mean over recordings."""
    about = (
        "correlation of the model's free-run FC over the training part with that over the test part",
        ("forecasts.npz",),
    )
    if run.forecasts is None:
        return OverRecordings(None, *about, reason="there is no forecasts.npz")
    found = [
        fc_corr(recording.parts["train"].free_run_connectivity, recording.parts["test"].free_run_connectivity)
        for recording in run.forecasts.recordings.values()
    ]
    values = [measured.value for measured in found if measured.value is not None]
    if not values:
        reason = next((measured.reason for measured in found), "there are no recordings")
        return OverRecordings(None, *about, reason=reason)
    return OverRecordings(float(np.mean(values)), *about, recordings=len(values))


def _drive(run: RunFiles) -> tuple[ReportNumber | None, ReportNumber | None, ReportNumber | None]:
    """Entries of a dense drive, how many go to a neuron that the unit does not belong to, and how many are 0."""
    drive = run.parameters.get("drive")
    recordings = list((run.record.get("recordings") or {}).values())
    belonging = recordings[0].get("neurons_per_unit") if recordings else None
    several = len({tuple(recording.get("matched") or ()) for recording in recordings}) > 1
    if drive is None or drive.ndim != 2 or not belonging or several or drive.shape[1] != len(belonging):
        return None, None, None
    pairs, fitted = "pairs of a neuron and a unit", ("parameters.npz",)
    return (
        ReportNumber(int(drive.size), pairs, fitted),
        ReportNumber(
            int(drive.size) - int(sum(belonging)),
            f"{pairs} that the neuron does not belong to",
            (*fitted, "record.json"),
        ),
        ReportNumber(int((drive == 0).sum()), f"{pairs} whose fitted drive is 0", fitted),
    )
