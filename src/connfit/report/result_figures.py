"""Figures of results that an analysis added to a folder, drawn from the files that it wrote."""

from __future__ import annotations

from pathlib import Path

from connfit._io import read_json
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.recovery.recovery_results import Recovery
from connfit.report.figures import gradient_figure, perturbation_figure, recovery_figure
from connfit.report.run_files import GRADIENT, RECOVERY, Simulation
from connfit.report.sections.analysis_section import write_figures as draw_analysis

__all__ = ["draw_analysis", "draw_gradients", "draw_perturbation", "draw_recovery"]


def draw_gradients(folder: Path) -> None:
    """Draw `gradient_fidelity.json` of a folder into its `figures/`, as PNG and SVG."""
    gradient_figure.write_figures(read_json(folder / GRADIENT, GradientFidelity), folder / "figures")


def draw_perturbation(folder: Path) -> None:
    """Draw one simulated experiment beside its `perturbation.json`, as PNG and SVG."""
    simulation = Simulation.read(folder / "perturbation.json")
    names = {"unit": simulation.names["units"], "set": simulation.names["sets"]}
    perturbation_figure.write_figures(simulation.perturbation, simulation.traces, names, folder)


def draw_recovery(folder: Path) -> None:
    """Draw `recovery.json` of a folder into its `figures/`, as PNG and SVG."""
    recovery_figure.write_figures(read_json(folder / Path(RECOVERY).name, Recovery), folder / "figures")
