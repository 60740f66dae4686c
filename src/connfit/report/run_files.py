"""What a report reads: the files of one run directory, each of which may be absent."""

from __future__ import annotations

import csv
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from connfit._io import read_arrays
from connfit.connectome import Connectome
from connfit.errors import DataError
from connfit.evaluation.forecasts import Forecasts
from connfit.evaluation.metrics_file import read_metrics
from connfit.evaluation.study.study import FILE as STUDY
from connfit.evaluation.study.study import Study, read_study

# What commands beside `fit` and `evaluate` leave in a run directory.
ANALYSIS = "analysis/analysis.json"
GRADIENT = "gradient_fidelity.json"
RECOVERY = "recovery/recovery.json"
SIMULATIONS = "simulations/*/perturbation.json"
ADDED = (ANALYSIS, GRADIENT, RECOVERY)

RESULTS: Mapping[str, type] = {STUDY: Study}
"""Types of the results in a run directory, by their path; docs/schema/ has the JSON Schema of each."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """One folder that `connfit simulate` wrote.

    Parameters
    ----------
    record
        Content of `perturbation.json`.
    traces
        Responses over time, as in `perturbation.npz`; empty if that is absent.
    names
        Names of their columns: `units` and `sets`.
    """

    record: Mapping[str, Any]
    traces: Mapping[str, np.ndarray]
    names: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class RunFiles:
    """Contents of a run directory; empty or None where a file is absent.

    Parameters
    ----------
    history
        Column to values, one per epoch; NaN for empty numbers.
    parameters, initial_parameters
        Group to array; `time_constants` in seconds.
    added
        Content of the files of `ADDED` that are there, by their path in the run directory.
    simulations
        By the name of their folder.
    study
        What `connfit evaluate --full` found.
    """

    folder: Path
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    record: Mapping[str, Any]
    history: Mapping[str, list[Any]]
    forecasts: Forecasts | None
    parameters: Mapping[str, np.ndarray]
    initial_parameters: Mapping[str, np.ndarray]
    connectome: Connectome | None
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    simulations: Mapping[str, Simulation] = field(default_factory=dict)
    study: Study | None = None

    def documents(self) -> dict[str, Any]:
        """The contents of the JSON files by their path in the run directory, and of `history.csv` by column."""
        found: dict[str, Any] = {"metrics.json": self.metrics, **self.added}
        for name, content in (
            ("config.json", self.config),
            ("record.json", self.record),
            ("history.csv", self.history),
        ):
            if content:
                found[name] = content
        if self.study is not None:
            found[STUDY] = self.study
        for name, simulation in self.simulations.items():
            found[SIMULATIONS.replace("*", name)] = simulation.record
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
            metrics=read_metrics(folder / "metrics.json"),
            config=_read_json(folder / "config.json"),
            record=_read_json(folder / "record.json"),
            history=_read_history(folder / "history.csv"),
            forecasts=Forecasts.load(forecasts) if forecasts.exists() else None,
            parameters=_read_arrays(folder / "parameters.npz"),
            initial_parameters=_read_arrays(folder / "parameters_initial.npz"),
            connectome=Connectome.load(connectome) if connectome.exists() else None,
            added={name: content for name in ADDED if (content := _read_json(folder / name))},
            simulations={path.parent.name: _read_simulation(path) for path in sorted(folder.glob(SIMULATIONS))},
            study=read_study(folder) if (folder / STUDY).exists() else None,
        )


def _read_simulation(path: Path) -> Simulation:
    arrays = path.with_suffix(".npz")
    traces, names = read_arrays(arrays) if arrays.exists() else ({}, {})
    return Simulation(_read_json(path), traces, names)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix="The run's own files must not be edited") from error
    if not isinstance(content, dict):
        raise DataError("not a JSON object", path=path, fix="The run's own files must not be edited")
    return content


def _read_history(path: Path) -> dict[str, list[Any]]:
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, list[Any]] = {}
    for line, row in enumerate(rows, start=2):
        for name, text in row.items():
            if name is None:
                raise DataError(
                    f"line {line} has more fields than the header",
                    path=path,
                    fix="The run's own files must not be edited",
                )
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
            fix="The run's own files must not be edited",
        ) from error


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"not an NPZ file, or a damaged one ({error})", path=path, fix="Copy the run directory again"
        ) from error
    if "log_time_constants" in arrays:
        arrays.setdefault("time_constants", np.exp(arrays.pop("log_time_constants")))
    return arrays
