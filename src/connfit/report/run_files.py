"""What a report reads: the files of one run directory, each of which may be absent."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import ResultT, present, read_arrays, read_json, read_npz
from connfit._system.paths import user_path
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.measured.scored_responses import FILE as SCORES
from connfit.analysis.measured.scored_responses import FOLDER, ScoredResponses
from connfit.analysis.perturbation_results import Perturbation
from connfit.analysis.record_next.record_next_results import RecordNext
from connfit.analysis.recovery.recovery_results import Recovery
from connfit.connectome import Connectome
from connfit.errors import DataError, unreadable
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.study.study import FILE as STUDY
from connfit.evaluation.study.study import Study, read_study
from connfit.training.learning_rates import Rates
from connfit.training.recipe import Recipe
from connfit.training.run_record import RECORD

# What commands beside `fit` and `evaluate` leave in a run directory.
ANALYSIS = "analysis/analysis.json"
GRADIENT = "gradient_fidelity.json"
RECOVERY = "recovery/recovery.json"
SIMULATIONS = "simulations/*/perturbation.json"
RECORD_NEXT = "record_next/record_next.json"
MEASURED = f"{FOLDER}/*/{SCORES}"

_HISTORY = ("epoch", "phase", "train_loss", "validation_loss", "validation_skill")
"""Columns that every version wrote into `history.csv`."""

UNEDITED = "The run's own files must not be edited"


@dataclass(frozen=True, eq=False)
class Simulation:
    """One folder that `connfit simulate` wrote.

    Parameters
    ----------
    perturbation
        Content of `perturbation.json`.
    traces
        Responses over time, as in `perturbation.npz`; empty if that is absent.
    names
        Names of their columns: `units` and `sets`.
    """

    perturbation: Perturbation
    traces: Mapping[str, np.ndarray]
    names: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Simulation:
        """Read a `perturbation.json`, and the traces beside it."""
        arrays = path.with_suffix(".npz")
        traces, names = read_arrays(arrays) if present(arrays) else ({}, {})
        return cls(read_json(path, Perturbation, fix=UNEDITED), traces, names)


@dataclass(frozen=True, eq=False)
class RunFiles:
    """Contents of a run directory; empty or None where a file is absent.

    Parameters
    ----------
    history
        Column to values, one per epoch; NaN for empty numbers.
    parameters, initial_parameters
        Group to array; `time_constants` in seconds.
    gradients, recovery
        What `connfit gradcheck` and `connfit recover` left.
    simulations
        By the name of their folder.
    measured
        Scores against tables of measured responses, by the name of their folder.
    record_next
        What `connfit record-next` left.
    analysis
        What `connfit analyze` found.
    study
        What `connfit evaluate --full` found.
    """

    folder: Path
    evaluation: Evaluation
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    history: Mapping[str, list[Any]]
    forecasts: Forecasts | None
    parameters: Mapping[str, np.ndarray]
    initial_parameters: Mapping[str, np.ndarray]
    connectome: Connectome | None
    gradients: GradientFidelity | None = None
    recovery: Recovery | None = None
    simulations: Mapping[str, Simulation] = field(default_factory=dict)
    measured: Mapping[str, ScoredResponses] = field(default_factory=dict)
    record_next: RecordNext | None = None
    analysis: Analysis | None = None
    study: Study | None = None

    def documents(self) -> dict[str, object]:
        """Return the contents of the JSON files by their path in the run directory, and of `history.csv` by column."""
        found: dict[str, object] = {METRICS: self.evaluation}
        for name, content in (
            ("config.json", self.config),
            (RECORD, self.record),
            ("history.csv", self.history),
            (STUDY, self.study),
            (ANALYSIS, self.analysis),
            (GRADIENT, self.gradients),
            (RECOVERY, self.recovery),
            (RECORD_NEXT, self.record_next),
        ):
            if content:
                found[name] = content
        for name, simulation in self.simulations.items():
            found[SIMULATIONS.replace("*", name)] = simulation.perturbation
        for name, scores in self.measured.items():
            found[MEASURED.replace("*", name)] = scores
        return found

    def without(self) -> Iterator[tuple[str, RunFiles]]:
        """Yield the name of each file that may be missing, and the contents without it."""
        for name, kept in (
            (STUDY, "study"), (ANALYSIS, "analysis"), (GRADIENT, "gradients"), (RECOVERY, "recovery"),
            (RECORD_NEXT, "record_next"),
            ("connectome.h5", "connectome"), ("forecasts.npz", "forecasts"),
        ):  # fmt: skip
            yield name, replace(self, **{kept: None})
        for name, kept in (
            ("history.csv", "history"), (RECORD, "record"), ("config.json", "config"),
            ("parameters.npz", "parameters"), ("parameters_initial.npz", "initial_parameters"),
        ):  # fmt: skip
            yield name, replace(self, **{kept: {}})
        for folder in self.simulations:
            others = {name: of for name, of in self.simulations.items() if name != folder}
            yield SIMULATIONS.replace("*", folder), replace(self, simulations=others)
        for folder in self.measured:
            kept = {name: of for name, of in self.measured.items() if name != folder}
            yield MEASURED.replace("*", folder), replace(self, measured=kept)

    @classmethod
    def read(cls, folder: str | Path) -> RunFiles:
        """Read a run directory.

        Raises
        ------
        DataError
            If the folder or its `metrics.json` is absent, or a file that is there is damaged.
        """
        folder = user_path(folder)
        if not folder.is_dir():
            raise DataError("no such run directory", path=folder, fix="Give the folder that `connfit fit --out` wrote")
        forecasts, connectome = folder / "forecasts.npz", folder / "connectome.h5"
        brain = Connectome.load(connectome) if present(connectome) else None
        return cls(
            folder=folder,
            evaluation=read_evaluation(folder),
            config=_read_json(folder / "config.json", _ShownConfig),
            record=_read_json(folder / RECORD, _ShownRecord),
            history=_read_history(folder / "history.csv"),
            forecasts=Forecasts.load(forecasts) if present(forecasts) else None,
            parameters=_read_arrays(folder / "parameters.npz", brain),
            initial_parameters=_read_arrays(folder / "parameters_initial.npz", brain),
            connectome=brain,
            gradients=_read_result(folder / GRADIENT, GradientFidelity),
            recovery=_read_result(folder / RECOVERY, Recovery),
            simulations={path.parent.name: Simulation.read(path) for path in sorted(folder.glob(SIMULATIONS))},
            measured={
                path.parent.name: read_json(path, ScoredResponses, fix=UNEDITED)
                for path in sorted(folder.glob(MEASURED))
            },
            record_next=_read_result(folder / RECORD_NEXT, RecordNext),
            analysis=Analysis.read(folder),
            study=read_study(folder) if present(folder / STUDY) else None,
        )


def _read_result(path: Path, kind: type[ResultT]) -> ResultT | None:
    return read_json(path, kind, fix=UNEDITED) if present(path) else None


@dataclass(frozen=True)
class _ShownRecording:
    """What the page shows of a recording in `record.json`."""

    steps: tuple[Mapping[str, Any], ...] | None = None
    matched: tuple[str, ...] | None = None
    unmatched: tuple[str, ...] | None = None
    left_out: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _ShownRecord:
    """What the page shows of `record.json`."""

    recordings: Mapping[str, _ShownRecording] | None = None
    held_out: Mapping[str, _ShownRecording] | None = None
    recipe: Recipe | None = None
    learning_rates: Rates | None = None
    connectome: Mapping[str, Any] | None = None
    parameters: Mapping[str, int] | None = None
    versions: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _ShownConfig:
    """What the page shows of `config.json`."""

    data: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    learner: Mapping[str, Any] | None = None
    train: Mapping[str, Any] | None = None
    evaluate: Mapping[str, Any] | None = None


def _read_json(path: Path, kind: type[_ShownRecord | _ShownConfig]) -> dict[str, Any]:
    """Everything in a file, of which what is shown has the types that it should have."""
    if not present(path):
        return {}
    read_json(path, kind, fix=UNEDITED)
    return read_json(path, dict[str, Any], fix=UNEDITED)


def _read_history(path: Path) -> dict[str, list[Any]]:
    if not present(path):
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(error, "not a table in UTF-8", path=path, fix=UNEDITED) from error
    absent = [name for name in _HISTORY if name not in header]
    if absent or len(set(header)) < len(header):
        problem = f"lacks {', '.join(absent)}" if absent else "names a column twice"
        raise DataError(f"its header {problem}", path=path, fix=UNEDITED)
    columns: dict[str, list[Any]] = {name: [] for name in header}
    for line, row in enumerate(rows, start=2):
        for name, text in row.items():
            if name is None or text is None:
                problem = f"line {line} has {'more' if name is None else 'fewer'} fields than the header"
                raise DataError(problem, path=path, fix=UNEDITED)
            columns[name].append(text if name == "phase" else _float(text, path, line, name))
    return columns


def _float(text: str, path: Path, line: int, name: str) -> float:
    if text.strip() in ("", "None"):
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise DataError(
            f"line {line}, column {name!r}: {text!r} is not a number",
            path=path,
            fix=UNEDITED,
        ) from error


def _read_arrays(path: Path, brain: Connectome | None) -> dict[str, np.ndarray]:
    if not present(path):
        return {}
    arrays = read_npz(path, fix="Copy the run directory again")
    for key in [key for key in arrays if key.startswith("log_")]:
        logarithms = arrays.pop(key)
        arrays.setdefault(key.removeprefix("log_"), np.exp(logarithms) if logarithms.dtype.kind == "f" else logarithms)
    for key, size in (("weights", brain and brain.m), ("time_constants", brain and brain.n)):
        values = arrays.get(key)
        if values is None:
            continue
        bad = values.dtype.kind != "f" or values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any()
        if bad or (size is not None and len(values) != size):
            count = "one for each" if size is None else f"{size:,}"
            raise DataError(
                f"{key} are {values.dtype} of shape {values.shape}, and must be {count}, finite and not negative",
                path=path,
                fix=UNEDITED,
            )
    return arrays
