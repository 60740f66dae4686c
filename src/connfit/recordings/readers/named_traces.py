"""Traces beside the names of their neurons: the layout of connfit's recordings in HDF5 and in Zarr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from connfit.connectome.cell_words import is_missing
from connfit.errors import DataError
from connfit.recordings import Recording
from connfit.recordings.plausibility import with_cautions
from connfit.recordings.readers.frames import (
    RATE_KEYS,
    check_units,
    frame_times,
    require_rate,
    settle_missing,
    stated_rate,
)  # fmt: skip
from connfit.recordings.readers.unit_names import unlabelled_name
from connfit.recordings.time_units import are_seconds, in_seconds, overruled

# name of the array -> (kind, unit of the values)
VALUES = {"dff": ("dff", "dimensionless"), "zscore": ("zscore", "standard deviations")}

ATTRIBUTES = ("uid", "organism", "strain", "source", *RATE_KEYS)
"""Attributes that become notes."""

OTHER_ATTRIBUTES = ("units", "n_labelled")

ARRAYS = (
    "time_s", "neuron", "neuron_class", "confidence", "frame", "f20", "label_raw", "registration_confidence",
)  # fmt: skip
"""Arrays of the layout, of which those from `confidence` on are not needed here."""


@dataclass(frozen=True, kw_only=True)
class NamedTraces:
    """What a file of this layout holds.

    Parameters
    ----------
    values
        Name of the array of traces.
    traces
        [time, trace].
    times
        [time], if there are any.
    labels
        Name of each trace, empty where it is not known. None: traces are called `column-0`, `column-1`, ...
    classes
        Class of each, if the file has them.
    attributes
        Those of `ATTRIBUTES` that it has.
    rates
        Frame rates in Hz that it has as arrays.
    cautions
        What of it is not read.
    """

    values: str
    traces: Float[np.ndarray, "T P"]
    times: Float[np.ndarray, "T"] | None
    labels: list[str] | None
    classes: list[str] | None
    attributes: Mapping[str, object]
    rates: Mapping[str, object]
    cautions: tuple[str, ...]


def recording_of_traces(
    found: NamedTraces,
    path: Path,
    *,
    name: str | None,
    kind: str,
    value_units: str,
    frame_rate: float | None,
    missing: str,
    time_unit: str | None,
) -> Recording:
    """Make a recording of traces and names.

    A trace without a name keeps a placeholder such as `unlabelled-017@<name>`; `notes["unlabelled"]` lists them.

    Raises
    ------
    DataError
        If shapes, names or times do not fit, or the frame rate is not known.
    """
    traces, times, labels, classes = found.traces, found.times, found.labels, found.classes
    if traces.ndim != 2:
        raise DataError(f"{found.values} has shape {traces.shape}", path=path, fix="It must be [time, trace]")
    if times is not None and times.shape != (len(traces),):
        raise DataError(
            f"time_s has shape {times.shape}, {found.values} {len(traces)} frames",
            path=path,
            fix="Every frame needs its time; traces must be [time, trace]",
        )
    if labels is not None and (len(labels) != traces.shape[1] or (classes is not None and len(classes) != len(labels))):
        raise DataError(
            f"{len(labels)} neuron names for {traces.shape[1]} traces",
            path=path,
            fix="neuron needs one entry per trace, empty where not known",
        )
    times = None if times is None else in_seconds(times, path, time_unit=time_unit)
    stated = stated_rate({**found.rates, **found.attributes}, frame_rate, path)
    intervals = None if times is None else frame_times(times, path, stated_rate=stated)
    rate = require_rate(stated, path) if intervals is None else intervals.frame_rate
    name = name or str(found.attributes.get("uid", path.name.rsplit(".", 1)[0]))
    units = [f"column-{k}" for k in range(traces.shape[1])] if labels is None else labels
    units = [unit or unlabelled_name(k, name) for k, unit in enumerate(units)]
    unlabelled = [unit for unit, label in zip(units, labels or units, strict=True) if not label]
    units = check_units(units, len(units), path)
    settled, mask, absent = settle_missing(traces, units, path, missing=missing)
    notes: dict[str, object] = {
        **found.attributes,
        "file": path.name,
        "values": found.values,
        **({} if intervals is None else intervals.notes()),
        "missing_values": absent,
        "unlabelled": unlabelled,
    }
    if classes is not None and labels is not None:
        notes["unlabelled_classes"] = {
            unit: known for unit, label, known in zip(units, labels, classes, strict=True) if known and not label
        }
    return Recording(
        name=name,
        values=settled,
        units=units,
        frame_rate=rate,
        kind=kind,
        value_units=value_units,
        mask=mask,
        notes=with_cautions(notes, (*found.cautions, *(() if intervals is None else intervals.cautions))),
        times=times,
    )


def other_seconds(words: Mapping[str, object], path: Path, time_unit: str | None) -> list[str]:
    """Return a caution where attributes of the times say another unit than the option `time_unit`.

    Raises
    ------
    DataError
        If there is no such option, and they say that times are no seconds.
    """
    stated = [str(words[key]).strip() for key in ("units", "unit") if key in words]
    for word in stated:
        if time_unit is None and not are_seconds(word):
            fix = "Write the times in seconds, or say what they are with time_unit"
            raise DataError(f"the unit of time_s is {word!r}", path=path, fix=fix)
    return [caution for word in stated for caution in overruled(time_unit, word)]


def cleaned(labels: list[str]) -> list[str]:
    """Return names without blanks around them; empty where a word says that there is none."""
    stripped = (label.strip() for label in labels)
    return ["" if is_missing(label) else label for label in stripped]
