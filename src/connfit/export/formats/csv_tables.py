"""Tables: scores, every number of the result files, tables of the report, weights, neurons and read-out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from connfit._io import csv_text, plain
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.export.report_tables import report_tables
from connfit.export.tidy_scores import tidy_scores

ROWS = 100_000
"""Rows that become text at once: a whole fly has 15 million connections."""


def write_tables(run: ExportedRun, folder: Path) -> None:
    """Write the tables of an evaluated run as CSV, the scores as Parquet too, and a README that says what is where."""
    scores = tidy_scores(run.name, run.files.evaluation)
    write_csv(folder / "scores.csv", scores)
    scores.to_parquet(folder / "scores.parquet", index=False)
    write_csv(folder / "results.csv", pd.DataFrame(_numbers(run), columns=["file", "key", "value"]))
    listed = []
    (folder / "report").mkdir()
    for number, table in enumerate(report_tables(run.files), start=1):
        name = f"{number:02d}_{table.section}{f'_{table.words}' if table.words else ''}.csv"
        (folder / "report" / name).write_text(csv_text(table.rows), encoding="utf-8", newline="")
        listed.append(f"- `report/{name}`: {table.caption or 'without a caption'}")
    neurons, weights = run.fit.neurons_table(), run.fit.weights_table()
    write_csv(folder / "neurons.csv", neurons)
    write_csv(folder / "weights.csv", weights)
    write_csv(folder / "readout.csv", _readout(run))
    files = run.files.folder
    for name in ("history.csv", "gains.csv"):
        if (files / name).exists():
            (folder / name).write_bytes((files / name).read_bytes())
    text = _readme(run, neurons.attrs["units"], listed, (folder / "gains.csv").exists())
    (folder / "README.md").write_text(text, encoding="utf-8")


EXPORTS.register(ExportFormat(name="tables", label="tables, as CSV and Parquet", place=1, write=write_tables))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV in UTF-8; missing values are empty, numbers as short as they can be read back."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_text([table.columns]))
        for start in range(0, len(table), ROWS):
            part = table.iloc[start : start + ROWS]
            file.write(csv_text(zip(*(_texts(part[name]) for name in part), strict=True)))


def _texts(column: pd.Series) -> Any:
    known = column.notna().to_numpy()
    if known.all() and column.dtype.kind == "f":
        # In its own precision: 0.1, not the 0.10000000149011612 that 0.1 of 32 bits is in 64.
        return column.to_numpy().astype(str)
    return ["" if not there else value for value, there in zip(column, known, strict=True)]


def _numbers(run: ExportedRun) -> Iterator[tuple[str, str, object]]:
    """Every number and text of the JSON files, by its key."""
    for name, content in run.files.documents().items():
        if name.endswith(".json"):
            for key, value in _leaves(plain(content), ""):
                yield name, key, value


def _leaves(value: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _leaves(item, f"{key}[{at}]")
    elif value is not None:
        yield key, value


def _readout(run: ExportedRun) -> pd.DataFrame:
    """Which neurons each unit reads, and with what share."""
    readout = run.fit.require_job().readout
    units = np.repeat(np.array(readout.unit_names, object), np.diff(readout.matrix.indptr))
    ids = run.fit.connectome.ids[readout.matrix.indices]
    return pd.DataFrame({"unit": units, "neuron_id": ids, "share": readout.matrix.data})


def _readme(run: ExportedRun, units: Mapping[str, str], report: list[str], gains: bool) -> str:
    values = run.fit.cohort.recordings[0].value_units
    columns = "\n".join(f"  - `{name}`: {unit or 'no unit'}" for name, unit in units.items())
    return "\n".join(
        [
            "# Tables of a run",
            "",
            *run.origin(),
            "",
            "CSV is in UTF-8, with a header, and empty where a value is missing.",
            "",
            "- `scores.csv`, `scores.parquet`: all scores. `run`, `part` (train, validation, test, held_out), "
            "`recording` (empty: mean over the recordings of the fit), `predictor` (`model`, `untrained`, or a "
            "baseline), `measure` (its path in a part of metrics.json), `horizon` (frames ahead), `value`, `low` and "
            "`high` (95 % interval), `reason` (why a value is missing). Skills and correlations have no unit; MSE is "
            f"in squared units of the values ({values}).",
            "- `results.csv`: every number and text of the run's JSON files, by `file` and `key`.",
            "- `weights.csv`: one row a connection. `synapses` as counted (`source_weight` where the source has real "
            "weights), `sign` (1 for gap junctions), `weight_start` and `weight_fitted` signed, in "
            f"{values} per {values}.",
            "- `neurons.csv`: one row a neuron. `recorded`: a unit reads it. Units:",
            columns,
            "- `readout.csv`: which neurons each unit reads at the start, and with what share; they sum to 1.",
            "- `history.csv`, if the fit ran an epoch: losses and skill of each.",
            *(["- `gains.csv`: gains that connections share."] if gains else []),
            "- `report/`: the tables of the report as it shows them, rounded; `*` marks the best of a row.",
            *(f"  {line}" for line in report),
            "",
        ]
    )
