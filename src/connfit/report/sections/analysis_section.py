"""The report's section on what the fitted brain does, from `analysis/analysis.json` of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from connfit._console import literal
from connfit._typing import JSON
from connfit.analysis.analyses import ANALYSES
from connfit.analysis.brain_analysis import Analysis
from connfit.analysis.criticality.signatures import SignatureRow
from connfit.analysis.dynamics.fit_stability import EXPONENTS
from connfit.analysis.findings import SURROGATES
from connfit.report import page
from connfit.report.figures.analysis_figures import distributions_figure, scaling_figure, sensitivity_figure
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.parameter_figures import (
    branching_figure,
    eigenvalue_figure,
    time_constants_figure,
    weights_figure,
)
from connfit.report.figures.picture_budget import draw_one
from connfit.report.prose import write_prose
from connfit.report.run_files import ANALYSIS
from connfit.report.sections.fitted_spikes_section import fitted_spikes_drawings
from connfit.report.wording import number

SHOWN = ("data_units", "model_units", "model_neurons")
"""Sources that are drawn; the untrained model is in the tables."""

OF_SOURCES = {
    "avalanche_distributions": distributions_figure,
    "avalanche_sensitivity": sensitivity_figure,
    "avalanche_scaling": scaling_figure,
}
OF_ALL = {
    "branching": branching_figure,
    "eigenvalues": eigenvalue_figure,
    "weights_and_counts": weights_figure,
    "time_constants_by_group": time_constants_figure,
}
"""Figures by name; their captions are in `templates/sections/analysis.j2`."""

FEW = 6
"""Values of a list that a table shows one by one."""


def analysis_drawings(analysis: Analysis) -> list[Drawing]:
    """Return the figures of an analysis, drawn when asked for."""
    chosen, captions = shown_sources(analysis), _captions(analysis)
    drawings = [
        Drawing(name, captions[name], None, lambda draw=draw: draw(analysis, chosen))
        for name, draw in OF_SOURCES.items()
        if chosen
    ]
    return drawings + [
        Drawing(name, captions[name], None, lambda draw=draw: draw(analysis)) for name, draw in OF_ALL.items()
    ]


def _captions(analysis: Analysis) -> Mapping[str, str]:
    """Captions of figures and tables by name."""
    prose = write_prose("sections/analysis.j2", {ANALYSIS: analysis}, chosen=shown_sources(analysis))
    return {name: " ".join(str(text).split()) for name, text in prose.settings.items()}


def shown_sources(analysis: Analysis) -> dict[str, str]:
    """Return sources that were analysed, with the separation under which most cells have enough avalanches."""
    floors = {name: analysis.sources[name].floor for name in SHOWN if name in analysis.sources}
    return {name: floor for name, floor in floors.items() if floor is not None}


def analysis_blocks(analysis: Analysis) -> list[str]:
    """Return the section as HTML blocks, without its figures: findings, then tables."""
    captions = _captions(analysis)
    header, rows = _avalanche_rows(analysis)
    missing = [f"{name}: {reason}" for name, reason in _reasons(analysis)]
    return [
        page.bullets(analysis.findings),
        page.table(header, rows, caption=captions["avalanche_table"]),
        page.table(*_signature_rows(analysis), caption=captions["signature_table"]),
        page.table(*_radius_rows(analysis), caption=captions["stability_table"]),
        page.folded("What is not defined, and why", page.bullets(missing)),
    ]


def own_tables(analysis: Analysis) -> list[str]:
    """Return a table of the results of each analysis of another package."""
    return [
        page.table(["", "value"], list(_flat(result)), caption=ANALYSES.label(name).capitalize())
        for name, result in analysis.analyses.items()
    ]


def _flat(result: JSON, name: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a result, those within others after their names."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flat(value, f"{name}, {key}".removeprefix(", ").replace("_", " "))
    elif isinstance(result, Sequence) and not isinstance(result, str):
        if len(result) > FEW:
            yield name, f"{len(result):,} values"
        elif any(isinstance(value, Mapping) for value in result):
            for at, value in enumerate(result, start=1):
                yield from _flat(value, f"{name} {at}".strip())
        else:
            yield name, ", ".join(_text(value) for value in result) or "–"
    else:
        yield name, _text(result)


def _text(value: JSON) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else str(value)


def _avalanche_rows(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    rows = []
    for source in analysis.sources.values():
        for floor, kinds in source.verdict.items():
            counts = [kinds.get(kind) for kind in ("data", *SURROGATES)]
            cells = ["–" if count is None else f"{count.all} / {count.both} / {count.enough}" for count in counts]
            rows.append([f"{source.what}; {floor}", *cells])
    return ["activity; separated by", "as it is", *SURROGATES.values()], rows


def _signature_rows(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    header = ["activity", "sizes τ", "durations α", "log-log line τ, α", "γ", "(α−1)/(τ−1)", "m", "DFA"]
    rows = []
    for source in analysis.sources.values():
        for kind, found in source.reference.get(source.floor or "", {}).items():
            row = found.row
            what = source.what if kind == "data" else f"– {kind.replace('_', ' ')}"
            lines = f"{_fixed(row.size_regression)}, {_fixed(row.duration_regression)}"
            rows.append([
                what, _with_p(row, "size"), _with_p(row, "duration"), lines, _fixed(row.gamma), _fixed(row.predicted),
                _fixed(row.m_signal, 3), _fixed(row.dfa),
            ])  # fmt: skip
    return header, rows


def _with_p(row: SignatureRow, which: str) -> str:
    exponent, p = getattr(row, f"{which}_exponent"), getattr(row, f"{which}_p")
    return _fixed(exponent) + (f" (p = {p:.2f})" if p is not None else "")


def _radius_rows(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    stability = analysis.stability
    both = (stability.before, stability.after)
    rows = [
        [f"radius: {what}", *(_fixed(model.radius(name), 3) for model in both)]
        for name, what in stability.matrices.items()
    ]
    for name, what in zip(EXPONENTS, ("free run without noise", "run driven by residuals"), strict=True):
        rows.append([f"Lyapunov exponent: {what}", *(_fixed(model.per_second(name), 3) for model in both)])
    linear = stability.linear_model
    for control, what in ((linear.data, "the data"), (linear.model, "the model's driven run")):
        rows.append([f"radius: linear model of {what}", "–", _fixed(control.radius if control else None, 3)])
    return ["", "before the fit", "after"], rows


def _reasons(analysis: Analysis) -> Iterator[tuple[str, str]]:
    """What is not defined, with the reason."""
    for source in analysis.sources.values():
        if source.reason is not None:
            yield source.what, source.reason
        for what, reason in (*source.reasons.items(), *source.thresholds_left_out.items()):
            yield f"{source.what}, {what}", reason
        for floor, kinds in source.reference.items():
            for name, reason in kinds["data"].reasons.items() if "data" in kinds else ():
                yield f"{source.what}, {floor}, {name}", reason
    stability = analysis.stability
    for reasons, words in (
        (stability.before.reasons, "{} before the fit"),
        (stability.after.reasons, "{} after the fit"),
        (stability.linear_model.reasons, "linear model of {}"),
        (analysis.weights.reasons, "tail of {}"),
        (analysis.analyses_left_out, "analysis {}"),
    ):
        yield from ((words.format(name), reason) for name, reason in reasons.items())


def _fixed(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def write_figures(run_folder: str | Path) -> list[Path]:
    """Draw all figures of an analysis into `analysis/` of the run, as PNG and SVG; none where there is no analysis."""
    analysis, folder = Analysis.read(run_folder), Path(run_folder) / "analysis"
    drawings = [*analysis_drawings(analysis), *fitted_spikes_drawings(analysis)] if analysis is not None else []
    return [made for drawing in drawings if isinstance(made := draw_one(drawing, folder), Path)]


def print_analysis(analysis: Analysis, console: Console) -> None:
    """Print findings and the table of avalanches."""
    surrogate = "SURROGATE " if analysis.surrogate else ""
    console.print(literal(f"{surrogate}{analysis.dataset}: what the fitted brain does"), highlight=False)
    header, rows = _avalanche_rows(analysis)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(literal, row))
    console.print(
        "cells of thresholds and bins: power laws and scaling relation / power laws hold / enough avalanches",
        highlight=False,
    )
    console.print(table)
    for line in analysis.findings:
        console.print(literal(f"- {line}"), highlight=False, soft_wrap=True)
