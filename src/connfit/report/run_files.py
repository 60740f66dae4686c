"""What a report reads: the files of one run directory, each of which may be absent."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import ResultT, json_schema, read_arrays, read_json, read_npz, write_json
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.perturbation_results import Perturbation
from connfit.analysis.recovery.recovery_results import Recovery
from connfit.connectome import Connectome
from connfit.errors import DataError
from connfit.evaluation.evaluate_run import read_evaluation
from connfit.evaluation.evaluated import FILE as METRICS
from connfit.evaluation.evaluated import Evaluation
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.study.study import FILE as STUDY
from connfit.evaluation.study.study import Study, read_study

# What commands beside `fit` and `evaluate` leave in a run directory.
ANALYSIS = "analysis/analysis.json"
GRADIENT = "gradient_fidelity.json"
RECOVERY = "recovery/recovery.json"
SIMULATIONS = "simulations/*/perturbation.json"

RESULTS: Mapping[str, type] = {
    METRICS: Evaluation, STUDY: Study, ANALYSIS: Analysis, GRADIENT: GradientFidelity, RECOVERY: Recovery,
    SIMULATIONS: Perturbation,
}  # fmt: skip
"""Types of the results in a run directory, by their path; docs/schema/ has the JSON Schema of each."""

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
        traces, names = read_arrays(arrays) if arrays.exists() else ({}, {})
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
    analysis: Analysis | None = None
    study: Study | None = None

    def documents(self) -> dict[str, object]:
        """Return the contents of the JSON files by their path in the run directory, and of `history.csv` by column."""
        found: dict[str, object] = {METRICS: self.evaluation}
        for name, content in (
            ("config.json", self.config),
            ("record.json", self.record),
            ("history.csv", self.history),
            (STUDY, self.study),
            (ANALYSIS, self.analysis),
            (GRADIENT, self.gradients),
            (RECOVERY, self.recovery),
        ):
            if content:
                found[name] = content
        for name, simulation in self.simulations.items():
            found[SIMULATIONS.replace("*", name)] = simulation.perturbation
        return found

    @classmethod
    def read(cls, folder: str | Path) -> RunFiles:
        """Read a run directory.

        Raises
        ------
        DataError
            If the folder or its `metrics.json` is absent, or a file that is there is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError("no such run directory", path=folder, fix="Give the folder that `connfit fit --out` wrote")
        forecasts, connectome = folder / "forecasts.npz", folder / "connectome.h5"
        return cls(
            folder=folder,
            evaluation=read_evaluation(folder),
            config=_read_json(folder / "config.json"),
            record=_read_json(folder / "record.json"),
            history=_read_history(folder / "history.csv"),
            forecasts=Forecasts.load(forecasts) if forecasts.exists() else None,
            parameters=_read_arrays(folder / "parameters.npz"),
            initial_parameters=_read_arrays(folder / "parameters_initial.npz"),
            connectome=Connectome.load(connectome) if connectome.exists() else None,
            gradients=_read_result(folder / GRADIENT, GradientFidelity),
            recovery=_read_result(folder / RECOVERY, Recovery),
            simulations={path.parent.name: Simulation.read(path) for path in sorted(folder.glob(SIMULATIONS))},
            analysis=Analysis.read(folder),
            study=read_study(folder) if (folder / STUDY).exists() else None,
        )


def _read_result(path: Path, kind: type[ResultT]) -> ResultT | None:
    return read_json(path, kind, fix=UNEDITED) if path.exists() else None


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, dict[str, Any], fix=UNEDITED) if path.exists() else {}


def _read_history(path: Path) -> dict[str, list[Any]]:
    if not path.exists():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"not a table in UTF-8 ({error})", path=path, fix=UNEDITED) from error
    columns: dict[str, list[Any]] = {}
    for line, row in enumerate(rows, start=2):
        for name, text in row.items():
            if name is None:
                raise DataError(f"line {line} has more fields than the header", path=path, fix=UNEDITED)
            columns.setdefault(name, []).append(text if name == "phase" else _float(text, path, line, name))
    return columns


def _float(text: str | None, path: Path, line: int, name: str) -> float:
    if text is None or text.strip() in ("", "None"):
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise DataError(
            f"line {line}, column {name!r}: {text!r} is not a number",
            path=path,
            fix=UNEDITED,
        ) from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    arrays = read_npz(path, fix="Copy the run directory again")
    for key in [key for key in arrays if key.startswith("log_")]:
        arrays.setdefault(key.removeprefix("log_"), np.exp(arrays.pop(key)))
    return arrays


def write_schemas(folder: str | Path) -> None:
    """Write the JSON Schema of every type of `RESULTS` under the name of its file."""
    for path, kind in RESULTS.items():
        write_json(Path(folder) / Path(path).name, json_schema(kind))
