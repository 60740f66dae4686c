"""Figures of the report as SVG and PDF, at the widths of a journal's columns."""

from __future__ import annotations

import warnings
from pathlib import Path

from connfit.export.exported_run import ExportedRun
from connfit.export.formats import EXPORTS, ExportFormat
from connfit.report.assemble import texts
from connfit.report.figures.journal_page import SMALLEST, WIDTHS_MM, fit_to_width, save_vector


def write_figures(run: ExportedRun, folder: Path) -> None:
    """Write each figure of an evaluated run into `85mm`, `114mm` and `174mm`, and their captions into a README.

    A figure whose labels would lie on each other at a width is left out there, which the README says.
    """
    told = []
    for millimetres in WIDTHS_MM:
        (folder / f"{millimetres}mm").mkdir()
    for section in texts(run.files)[1]:
        for drawing in section.drawings:
            told += ["", f"## {drawing.name}", "", drawing.caption]
            for millimetres in WIDTHS_MM:
                try:
                    figure = drawing.draw()
                    crowded = fit_to_width(figure, millimetres)
                    if not crowded:
                        save_vector(figure, folder / f"{millimetres}mm", drawing.name)
                # Whatever matplotlib raises costs this figure, and is said.
                except (ValueError, TypeError, RuntimeError, IndexError, KeyError) as error:
                    crowded = [f"{type(error).__name__}: {error}"]
                    warnings.warn(f"figure {drawing.name} could not be drawn ({crowded[0]})", stacklevel=2)
                if crowded:
                    told += ["", f"Not at {millimetres} mm, where there is no room for its labels."]
    text = ["# Figures of a run", "", *run.origin(), "", *_ABOUT, *told, ""]
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")


EXPORTS.register(
    ExportFormat(name="figures", label="figures as SVG and PDF at journal widths", place=4, write=write_figures)
)

_ABOUT = (
    f"SVG and PDF at {', '.join(map(str, WIDTHS_MM))} mm. Text stays text (DejaVu Sans, {SMALLEST:g} points or more), ",
    "so that it can be edited and its font changed.",
)
