"""NWB files: recorded activity, and beside it what the model predicted and did on its own; one file a recording."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from connfit import config as configuration
from connfit.evaluation.forecasts import PartForecast
from connfit.evaluation.held_out import HELD_OUT
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.recordings import PART_NAMES, Recording

NO_DATE = datetime(1970, 1, 1, tzinfo=UTC)
"""NWB asks for a start time, which runs do not have."""

MODULE = "connfit"


def write_nwb(run: ExportedRun, folder: Path) -> None:
    """Write `01.nwb`, `02.nwb`, ... and a README that says which recording each is of."""
    lines = []
    for number, recording in enumerate(run.recordings, start=1):
        name = f"{number:02d}.nwb"
        _write(run, recording, folder / name)
        lines.append(f"- `{name}`: {run.told(recording)}")
    text = ["# Recordings with predictions, as NWB", "", *run.origin(), "", *lines, "", *_CONTENTS, ""]
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")


EXPORTS.register(
    ExportFormat(
        name="nwb", label="NWB files with predictions beside the recording", place=3, write=write_nwb,
        package="pynwb", extra="nwb",
    )
)  # fmt: skip

_CONTENTS = (
    "In each file, activity is [time, unit], in the order of the table `units`; NaN where nothing was observed or",
    "predicted:",
    "",
    "- acquisition `activity`: as recorded, after preprocessing; `inputs`, if the model has external inputs",
    f"- processing module `{MODULE}`: `one_step_prediction` of every frame from those before it,",
    "  `free_run_without_noise` from the start of the test part on, `free_run` driven by residuals if the run was",
    "  evaluated, and the tables `units` and `neurons`",
    "- intervals `parts`: what was trained on, validated on and tested on",
    "- notes: the configuration of the run, as JSON",
    "",
    "`session_start_time` is 1970-01-01 because NWB asks for a time and a run does not know it; times are seconds of",
    "the recording.",
)


def _write(run: ExportedRun, recording: Recording, path: Path) -> None:
    with warnings.catch_warnings():
        # Of cached namespaces, and of times that are not in this century.
        warnings.simplefilter("ignore")
        import pynwb

        library: Any = pynwb  # its signatures are made at run time
        about = f"Recording {recording.name!r} with predictions of a fitted model."
        file = library.NWBFile(
            session_description=" ".join([about, *run.origin(), "session_start_time is not known."]),
            identifier=recording.name,
            session_start_time=NO_DATE,
            notes=json.dumps(_options(run)),
        )
        _add(library, file, run, recording)
        with library.NWBHDF5IO(path=str(path), mode="w") as io:
            io.write(file)


def _add(pynwb: Any, file: Any, run: ExportedRun, recording: Recording) -> None:
    units = f"columns are the rows of the table {MODULE}/units"

    def series(name: str, values: np.ndarray, about: str, start: int = 0, unit: str = "") -> Any:
        from hdmf.backends.hdf5.h5_utils import H5DataIO

        unit = unit or recording.value_units
        data: Any = H5DataIO(data=np.asarray(values, np.float32), compression=True)
        return pynwb.TimeSeries(name=name, data=data, unit=unit, description=about, **_times(recording, start, values))

    recorded = np.where(recording.mask, recording.values, np.nan)
    file.add_acquisition(series("activity", recorded, f"recorded {recording.kind}, preprocessed; {units}"))
    use = run.fit.cohort.inputs
    if use is not None and recording.inputs is not None:
        given = recording.inputs.select(use.channels)
        named = ", ".join(
            f"{name} ({unit})" if unit else name for name, unit in zip(given.channels, given.units, strict=True)
        )
        known = np.where(given.mask, given.values, np.nan)
        file.add_acquisition(series("inputs", known, f"external inputs; columns are {named}", unit="see description"))
    module = file.create_processing_module(MODULE, "Predictions and free runs of a fitted model, and its neurons.")
    predicted = np.asarray(run.fit.predict(recording.name))
    about = f"each frame predicted from the frames before it; {units}"
    module.add(series("one_step_prediction", predicted, about))
    start = recording.require_parts().test[0]
    about = f"from the frames before it on, the model runs alone; {units}"
    if start:
        module.add(series("free_run_without_noise", np.asarray(run.fit.simulate(recording.name)), about, start))
    driven = _driven(run, recording)
    if driven is not None and np.isfinite(free := np.asarray(driven.free_run[:])).any():
        about = (
            f"as free_run_without_noise, driven by {driven.free_run_noise}: the first of {driven.runs} runs; {units}"
        )
        module.add(series("free_run", free, about, driven.start))
    _add_tables(pynwb, module, run, recording)
    _add_parts(pynwb, file, recording)


def _times(recording: Recording, start: int, values: np.ndarray) -> dict[str, Any]:
    """Rate and start, or the time of each frame where the source says it."""
    if recording.times is not None:
        return {"timestamps": recording.times[start : start + len(values)]}
    return {"rate": float(recording.frame_rate), "starting_time": start / recording.frame_rate}


def _driven(run: ExportedRun, recording: Recording) -> PartForecast | None:
    """The free run of the test part as it was evaluated; None if it was not."""
    if not (run.folder / "metrics.json").exists() or run.files.forecasts is None:
        return None
    forecasts = run.files.forecasts
    if recording.name in forecasts.held_out:
        return forecasts.held_out[recording.name].parts[HELD_OUT]
    return forecasts.recordings[recording.name].parts["test"] if recording.name in forecasts.recordings else None


def _add_tables(pynwb: Any, module: Any, run: ExportedRun, recording: Recording) -> None:
    from pynwb.core import DynamicTable

    readout, ids = run.fit.require_job().readout, run.fit.connectome.ids
    reads = {
        name: ids[readout.matrix.indices[slice(*readout.matrix.indptr[k : k + 2])]].astype(str).tolist()
        for k, name in enumerate(readout.unit_names)
    }
    units = DynamicTable(name="units", description="Recorded units, in the order of the columns of all activity.")
    units.add_column(name="unit", description="its name")
    units.add_column(name="neurons", description="ids of the neurons that it reads at the start", index=True)
    for name in recording.units:
        units.add_row(unit=name, neurons=reads[name])
    module.add(units)
    table = run.fit.neurons_table()
    about = "Neurons of the model, with parameters before and after the fit."
    neurons = DynamicTable(name="neurons", description=about, id=list(range(len(table))))
    told: Mapping[str, str] = table.attrs["units"]
    for column in table:
        values = table[column].to_numpy()
        data = values.astype(str) if values.dtype.kind not in "fiub" else values
        about = f"in {told[column]}" if told.get(column) else str(column)
        # Every table of NWB has an `id` of its own, the number of the row.
        neurons.add_column(name="neuron_id" if column == "id" else str(column), description=about, data=data.tolist())
    module.add(neurons)


def _add_parts(pynwb: Any, file: Any, recording: Recording) -> None:
    from pynwb.epoch import TimeIntervals

    times = recording.times if recording.times is not None else np.arange(recording.frames) / recording.frame_rate
    intervals = TimeIntervals(name="parts", description="Parts that the fit was trained, validated and tested on.")
    intervals.add_column(name="part", description="train, validation or test")
    for part in PART_NAMES:
        block = recording.require_parts()[part]
        if block.start < block.stop:
            end = times[block.stop - 1] + 1 / recording.frame_rate
            intervals.add_row(start_time=float(times[block.start]), stop_time=float(end), part=part)
    file.add_time_intervals(intervals)


def _options(run: ExportedRun) -> Mapping[str, Any]:
    return configuration.to_dict(run.fit.require_job().config)
