"""How a run was made: the content of `record.json`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

from connfit._io import optional
from connfit._registry import plugin_versions
from connfit.connectome.connectome_summary import ConnectomeSummary
from connfit.connectome.matching import UnitMatch
from connfit.models.checked_neuron import source_fingerprint
from connfit.recordings import PART_NAMES, Recording
from connfit.recordings.recording import Parts
from connfit.training.learning_rates import Rates
from connfit.training.long_recordings import bounds
from connfit.training.problem import Job
from connfit.training.recipe import Recipe

RECORD = "record.json"
"""In a run directory."""

PACKAGES = ("connfit", "jax", "jaxlib", "numpy", "scipy", "optax")


@dataclass(frozen=True)
class ConnectomeRecord(ConnectomeSummary):
    """What identifies the connectome, with what its source says."""

    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecordingRecord:
    """One recording, as it was fitted or scored.

    Parameters
    ----------
    frames, frame_rate_hz, units, kind, value_units, parts, notes
        Of the recording after preprocessing; `units`: their number.
    steps
        Preprocessing steps with all constants.
    column, case, matched, neurons_per_unit, unmatched, suggestions, neurons_without_unit, total_neurons
        Units and the neurons that they are, see `connfit.connectome.matching.UnitMatch`.
    left_out
        Of a held-out recording: units that no other recording has.
    """

    frames: int
    frame_rate_hz: float
    units: int
    kind: str
    value_units: str
    parts: Parts
    steps: tuple[Mapping[str, Any], ...]
    notes: Mapping[str, Any]
    column: str
    case: str
    matched: tuple[str, ...]
    neurons_per_unit: tuple[int, ...]
    unmatched: tuple[str, ...]
    suggestions: Mapping[str, tuple[str, ...]]
    neurons_without_unit: int
    total_neurons: int
    left_out: tuple[str, ...] | None = optional()


@dataclass(frozen=True)
class RunRecord:
    """How a run was made.

    Parameters
    ----------
    command
        That made it.
    versions
        Of Python, connfit, what it computes with, and the packages that bring pieces.
    machine
        Its architecture.
    seed
        Of everything random.
    data_fingerprint, neurons_fingerprint
        SHA-256 of wiring, signs and prepared recordings, and of the neuron table.
    options
        Of the fit, all of `config.json`: a run keeps them.
    connectome, recordings, held_out
        What was fitted, and scored alone.
    cautions
        What in the data a rate model cannot follow.
    recipe
        What was chosen for `"auto"`, and from what.
    regression
        What a start found.
    observations, observed
        By part: values that are scored, and all.
    parameters
        Trained numbers by group.
    memory_estimate_bytes
        By use, and in total.
    learning_rates
        As given or found; written at the end of training.
    long_recordings
        What choices of the fit rest on, where that is not all training and validation frames.
    cell_fingerprint
        SHA-256 of the file of a cell that is not connfit's own.
    """

    command: str
    versions: Mapping[str, str]
    machine: str
    seed: int
    data_fingerprint: str
    neurons_fingerprint: str
    options: Mapping[str, Any]
    connectome: ConnectomeRecord
    recordings: Mapping[str, RecordingRecord]
    held_out: Mapping[str, RecordingRecord]
    cautions: tuple[str, ...]
    recipe: Recipe
    regression: Mapping[str, Any] | None
    observations: Mapping[str, int]
    observed: Mapping[str, int]
    parameters: Mapping[str, int]
    memory_estimate_bytes: Mapping[str, int]
    learning_rates: Rates | None = optional()
    long_recordings: str | None = optional()
    cell_fingerprint: str | None = optional()


def run_record(job: Job, command: str, options: Mapping[str, Any]) -> RunRecord:
    """Describe a run before its training; `options` are those of its `config.json`."""
    memory, cohort = job.memory(), job.cohort
    return RunRecord(
        command=command.encode("utf-8", "backslashreplace").decode(),
        versions={
            **{package: version(package) for package in PACKAGES},
            **plugin_versions(),
            "python": platform.python_version(),
        },
        machine=platform.machine(),
        seed=job.config.seed,
        data_fingerprint=job.fingerprint(),
        neurons_fingerprint=job.neurons_fingerprint(),
        options=options,
        connectome=ConnectomeRecord(**asdict(job.connectome.summary()), notes=dict(job.connectome.notes)),
        recordings={one.name: _recording_record(one, job.matches[one.name]) for one in cohort.recordings},
        held_out={
            one.name: replace(_recording_record(one, job.matches[one.name]), left_out=tuple(cohort.left_out[one.name]))
            for one in cohort.held_out
        },
        cautions=tuple(job.cautions()),
        recipe=job.recipe,
        regression=job.regression,
        observations=job.observations(),
        observed={part: cohort.observations(part) for part in PART_NAMES},
        parameters=job.parameter_counts(),
        memory_estimate_bytes={**memory.stage[1], "total": memory.total},
        long_recordings=bounds(cohort),
        cell_fingerprint=source_fingerprint(job.model.neuron),
    )


def _recording_record(recording: Recording, match: UnitMatch) -> RecordingRecord:
    return RecordingRecord(
        frames=recording.frames,
        frame_rate_hz=recording.frame_rate,
        units=len(recording.units),
        kind=recording.kind,
        value_units=recording.value_units,
        parts=recording.require_parts(),
        steps=tuple(dict(step) for step in recording.steps),
        notes=dict(recording.notes),
        column=match.column,
        case=match.case,
        matched=tuple(match.matched),
        neurons_per_unit=tuple(len(members) for members in match.neurons),
        unmatched=tuple(match.unmatched),
        suggestions={unit: tuple(names) for unit, names in match.suggestions.items()},
        neurons_without_unit=len(match.neurons_without_unit),
        total_neurons=match.total_neurons,
    )
