"""Figures of results that an analysis added to a folder, drawn from the files that it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from connfit._io import read_arrays
from connfit.report.figures import gradient_figure, perturbation_figure, recovery_figure
from connfit.report.run_files import GRADIENT
from connfit.report.sections.analysis_section import write_figures as draw_analysis
from connfit.report.sections.recovery_section import FILE as RECOVERY_FILE

__all__ = ["draw_analysis", "draw_gradients", "draw_perturbation", "draw_recovery"]


def draw_gradients(folder: Path) -> None:
    """Draw `gradient_fidelity.json` of a folder into its `figures/`, as PNG and SVG."""
    gradient_figure.write_figures(_read(folder / GRADIENT), folder / "figures")


def draw_perturbation(folder: Path) -> None:
    """Draw one simulated experiment beside its `perturbation.json`, as PNG and SVG."""
    traces, names = read_arrays(folder / "perturbation.npz")
    named = {"unit": names["units"], "set": tuple(names["sets"])}
    perturbation_figure.write_figures(_read(folder / "perturbation.json"), traces, named, folder)


def draw_recovery(folder: Path) -> None:
    """Draw `recovery.json` of a folder into its `figures/`, as PNG and SVG."""
    recovery_figure.write_recovery_figures(_read(folder / RECOVERY_FILE), folder / "figures")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
