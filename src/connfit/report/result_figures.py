"""Figures of results that an analysis added to a folder, drawn from the files that it wrote, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from connfit._io import read_json
from connfit.analysis.gradients.gradient_results import GradientFidelity
from connfit.analysis.recovery.recovery_results import Recovery
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.picture_budget import draw_one
from connfit.report.run_files import GRADIENT, RECOVERY, Simulation
from connfit.report.sections import gradient_section, perturbation_section, recovery_section, spiking_section
from connfit.report.sections.analysis_section import write_figures as draw_analysis

__all__ = ["draw_analysis", "draw_gradients", "draw_perturbation", "draw_recovery", "draw_spiking"]


def draw_gradients(folder: Path) -> None:
    """Draw `gradient_fidelity.json` of a folder into its `figures/`."""
    _draw(gradient_section.drawings(read_json(folder / GRADIENT, GradientFidelity)), folder / "figures")


def draw_perturbation(folder: Path) -> None:
    """Draw one simulated experiment beside its `perturbation.json`."""
    _draw(perturbation_section.drawings({folder.name: Simulation.read(folder / "perturbation.json")}), folder)


def draw_recovery(folder: Path) -> None:
    """Draw `recovery.json` of a folder into its `figures/`."""
    _draw(recovery_section.drawings(read_json(folder / Path(RECOVERY).name, Recovery)), folder / "figures")


def draw_spiking(folder: Path) -> None:
    """Draw an experiment on a spiking network beside its `spiking.json`."""
    _draw(spiking_section.drawings(folder), folder)


def _draw(drawings: Iterable[Drawing], folder: Path) -> None:
    for drawing in drawings:
        draw_one(drawing, folder)
