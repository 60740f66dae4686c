"""A folder that needs NumPy and SciPy alone: `model.py` with the equations, its parameters, and frames to try it on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import scipy.sparse as sp

from connfit._display import visible
from connfit.errors import ConfigError
from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.export.model_arrays import ModelArrays, ShownFrames
from connfit.models.readout import MANY_UNITS


def write_numpy(run: ExportedRun, folder: Path) -> None:
    """Write the script, `parameters.npz`, a file for each recording, and a README.

    Raises
    ------
    ConfigError
        If the cell has no script.
    """
    arrays = ModelArrays.of(run.fit)
    (folder / "model.py").write_text(script(arrays, run), encoding="utf-8")
    np.savez(folder / "parameters.npz", **stored(arrays))
    lines = write_frames(run, folder / "recordings")
    (folder / "README.md").write_text(_readme(run, arrays, lines), encoding="utf-8")


EXPORTS.register(ExportFormat(name="numpy", label="a NumPy script with its parameters", place=2, write=write_numpy))


def script(arrays: ModelArrays, run: ExportedRun) -> str:
    """Return the text of `model.py`: lines that this model needs, and no others."""
    name = f"cells/{arrays.cell}.j2"
    environment = templates()
    if name not in environment.list_templates():
        raise ConfigError(
            f"the cell {arrays.cell} cannot be exported as a NumPy script: export tables, nwb or figures instead"
        )
    has_inputs, use = arrays.inputs is not None, run.fit.cohort.inputs
    shown_alone = ", recording['features'][start - 1 + k]" if use and use.free_run == "recorded" else ", None"
    text = environment.get_template("model.py.j2").render(
        m=arrays,
        cell=environment.get_template(name).render().rstrip("\n"),
        two_channels=arrays.cell == "two-channel",
        own_gains=arrays.own_gains is not None,
        apart=_apart(arrays),
        first_filter=len(arrays.states) - len(arrays.filters) - arrays.drift,
        features=", features" if has_inputs else "",
        of_first=", recording['features'][first]" if has_inputs else "",
        of_t=", recording['features'][t]" if has_inputs else "",
        of_free=shown_alone if has_inputs else "",
    )
    return text.replace("['features']", '["features"]')


@cache
def templates() -> jinja2.Environment:
    """Return the templates of scripts."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("connfit.export"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def stored(arrays: ModelArrays) -> dict[str, Any]:
    """Return what `parameters.npz` holds, by name; a sparse matrix as the parts of its compressed rows."""
    found: dict[str, Any] = {
        "neuron_ids": np.array(arrays.neuron_ids), "unit_names": np.array(arrays.unit_names),
        "bias": arrays.bias, **arrays.parameters,
    }  # fmt: skip
    matrices: Mapping[str, Any] = {
        "weights": arrays.weights, "junctions": arrays.junctions, "drive": arrays.drive, "inputs": arrays.inputs,
        "readout": arrays.readout,
    }  # fmt: skip
    for name, matrix in matrices.items():
        if isinstance(matrix, sp.csr_array):
            found |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
            found[f"{name}_shape"] = np.array(matrix.shape)
        elif matrix is not None:
            found[name] = matrix
    if arrays.own_gains is not None:
        found["innovation_gains"] = arrays.own_gains
    if arrays.read_neurons is not None:
        found["read_neurons"] = arrays.read_neurons
    return found


def write_frames(run: ExportedRun, folder: Path) -> list[str]:
    """Write what the model is shown of each recording, as `01.npz`, and return a line on each."""
    folder.mkdir()
    forecaster, lines = run.fit.forecaster(), []
    for number, recording in enumerate(run.recordings, start=1):
        frames = {
            name: value for name, value in vars(ShownFrames.of(forecaster, recording)).items() if value is not None
        }
        np.savez(folder / f"{number:02d}.npz", name=np.array(recording.name), **frames)
        lines.append(
            f"- `recordings/{number:02d}.npz`: {run.told(recording)}: {recording.frames} frames at "
            f"{recording.frame_rate:.6g} Hz in {visible(recording.value_units)}"
        )
    return lines


def _apart(arrays: ModelArrays) -> bool:
    """Whether no two units share a neuron, and there are many of them."""
    readout = arrays.readout
    if len(arrays.unit_names) <= MANY_UNITS or not isinstance(readout, sp.csr_array):
        return False
    return not (np.bincount(readout.indices) > 1).any()


def _readme(run: ExportedRun, arrays: ModelArrays, recordings: list[str]) -> str:
    use = run.fit.cohort.inputs
    features = [] if arrays.inputs is None or use is None else [visible(name) for name in use.features]
    return (
        templates()
        .get_template("numpy_readme.md.j2")
        .render(origin=run.origin(), recordings=recordings, features=features)
    )
