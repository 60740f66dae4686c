"""The report's section on what the fitted brain does, from `analysis/analysis.json` of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from connfit.errors import DataError
from connfit.report import page
from connfit.report.figures.analysis_figures import distributions_figure, scaling_figure, sensitivity_figure
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.parameter_figures import (
    branching_figure,
    eigenvalue_figure,
    time_constants_figure,
    weights_figure,
)
from connfit.report.figures.style import save_figure

SHOWN = ("data_units", "model_units", "model_neurons")
"""Sources that are drawn; the untrained model is in the tables."""


def read_analysis(run_folder: str | Path) -> dict[str, Any] | None:
    """`analysis/analysis.json` of a run; None where it was not analysed.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = Path(run_folder) / "analysis" / "analysis.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON ({error})", path=path, fix="Run `connfit analyze` again") from error


def analysis_drawings(run_folder: str | Path) -> list[Drawing]:
    """Figures of an analysis, drawn when asked for; none where there is no analysis."""
    record = read_analysis(run_folder)
    if record is None:
        return []
    chosen = shown_sources(record)
    threshold, surrogate = record["reference_threshold"], "SURROGATE data. " if record["surrogate"] else ""
    # The threshold "2 SD of units" reads as it stands.
    at = f"Events: values above {threshold}, in single frames"
    drawings = []
    if chosen:
        separated = "; ".join(
            f"{record['sources'][name]['what']}: {record['floors'][floor]}" for name, floor in chosen.items()
        )
        drawings += [
            Drawing(
                "avalanche_distributions",
                f"{surrogate}Sizes and durations of avalanches with maximum-likelihood fits from the xmin of the power "
                f"law on, and the same of surrogates. {at}, a threshold chosen in advance. Separation: {separated}.",
                None,
                lambda: distributions_figure(record, chosen),
            ),
            Drawing(
                "avalanche_sensitivity",
                f"{surrogate}The same question at every threshold and bin: power laws of sizes and durations over a "
                "decade or more that no alternative beats, and the scaling relation. Numbers: fitted exponent of "
                "sizes. One coloured cell proves nothing; a claim needs many, and few for surrogates.",
                None,
                lambda: sensitivity_figure(record, chosen),
            ),
            Drawing(
                "avalanche_scaling",
                f"{surrogate}Mean size of avalanches of each duration, with its exponent γ and the one that the "
                "exponents of sizes and durations predict at a critical point (95 % of a bootstrap); below, mean "
                f"courses of avalanches of each duration, rescaled to fall together. {at}.",
                None,
                lambda: scaling_figure(record, chosen),
            ),
        ]
    drawings += [
        Drawing(
            "branching",
            f"{surrogate}Left: slopes of the mean activity on itself some time before, with the exponential whose base "
            "is the branching ratio m. Right: m of the fitted model's simulated activity seen through its units and "
            "through samples of its neurons; the slope at lag 1 alone is what subsampling biases.",
            None,
            lambda: branching_figure(record),
        ),
        Drawing(
            "eigenvalues",
            f"{surrogate}Leading eigenvalues before and after the fit. Only the Jacobians are steps in time; a free "
            "run is the closed loop. " + _control(record),
            None,
            lambda: eigenvalue_figure(record),
        ),
        Drawing(
            "weights_and_counts",
            f"{surrogate}Fitted strengths and synapse counts: quantiles against quantiles and means over bins, which "
            "averaging makes agree, and rank correlations connection by connection, overall and within the largest "
            "groups of connections.",
            None,
            lambda: weights_figure(record),
        ),
        Drawing(
            "time_constants_by_group",
            f"{surrogate}Time constants before and after the fit, with the bounds (grey) and the length of a step; "
            "right: quartiles after the fit within groups of neurons.",
            None,
            lambda: time_constants_figure(record),
        ),
    ]
    return drawings


def _control(record: Mapping[str, Any]) -> str:
    control = record["stability"]["linear_model"]["data"]
    if not control:
        return "A linear model of the data is not defined."
    return f"A linear model fitted to the data from frame to frame has a radius of {control['radius']:.3f}."


def shown_sources(record: Mapping[str, Any]) -> dict[str, str]:
    """Sources that were analysed, with the separation of avalanches under which most cells have enough."""
    chosen = {}
    for name in SHOWN:
        source = record["sources"].get(name) or {}
        verdict = source.get("verdict") or {}
        floors = {floor: kinds["data"]["enough"] for floor, kinds in verdict.items() if "data" in kinds}
        if floors:
            chosen[name] = max(floors, key=lambda floor: floors[floor])
    return chosen


def analysis_blocks(run_folder: str | Path) -> list[str]:
    """The section as HTML blocks, without its figures; none where there is no analysis."""
    record = read_analysis(run_folder)
    if record is None:
        return []
    header, rows = _avalanche_rows(record)
    signs_header, signs = _sign_rows(record)
    radius_header, radii = _radius_rows(record)
    missing = [f"{name}: {reason}" for name, reason in _reasons(record)]
    return [
        page.bullets(record["findings"]),
        page.table(
            header, rows,
            caption=f"Avalanches over {len(record['bins'])} bins and all thresholds: cells in which power laws and the "
            "scaling relation stand / in which power laws stand / with avalanches enough",
        ),
        page.table(
            signs_header, signs,
            caption=f"At the reference threshold ({record['reference_threshold']}, single frames): exponents with p of "
            "the goodness of fit; the line through a log-log histogram, which is biased and reported only because "
            "papers do; branching ratio and fluctuations of the mean activity",
        ),
        page.table(radius_header, radii, caption="Spectral radii, and largest Lyapunov exponents per second"),
        page.folded("What is not defined, and why", page.bullets(missing)),
    ]  # fmt: skip


def _avalanche_rows(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    kinds = ("data", "shuffle", "phase_together")
    rows = []
    for source in record["sources"].values():
        for floor, verdict in (source.get("verdict") or {}).items():
            cells = [
                f"{verdict[k]['all']} / {verdict[k]['both']} / {verdict[k]['enough']}" if k in verdict else "–"
                for k in kinds
            ]
            rows.append([f"{source['what']}; {floor}", *cells])
    return ["activity; separated by", "as it is", "time-shuffled", "phase-randomised"], rows


def _sign_rows(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    header = ["activity", "sizes τ", "durations α", "log-log line τ, α", "γ", "(α−1)/(τ−1)", "m", "DFA"]
    rows = []
    for source in record["sources"].values():
        verdict = source.get("verdict") or {}
        floors = {floor: kinds["data"]["enough"] for floor, kinds in verdict.items() if "data" in kinds}
        if not floors:
            continue
        floor = max(floors, key=lambda one: floors[one])
        for kind, found in source["reference"][floor].items():
            one = found["row"]
            what = source["what"] if kind == "data" else f"– {kind.replace('_', ' ')}"
            lines = (one["size_regression"], one["duration_regression"])
            rows.append([
                what, _with_p(one, "size"), _with_p(one, "duration"), ", ".join(map(_number, lines)),
                _number(one["gamma"]), _number(one["predicted"]),
                _number(one["m_signal"], 3), _number(one["dfa"]),
            ])  # fmt: skip
    return header, rows


def _with_p(row: Mapping[str, Any], which: str) -> str:
    p = row[f"{which}_p"]
    return _number(row[f"{which}_exponent"]) + (f" (p = {p:.2f})" if p is not None else "")


def _radius_rows(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    stability = record["stability"]
    rows = []
    for name, what in stability["matrices"].items():
        cells = [_number((stability[when].get(name) or {}).get("radius"), 3) for when in ("before", "after")]
        rows.append([f"radius: {what}", *cells])
    for name, what in (("lyapunov_free", "free run without noise"), ("lyapunov_driven", "run driven by residuals")):
        cells = [_number((stability[when].get(name) or {}).get("per_second"), 3) for when in ("before", "after")]
        rows.append([f"Lyapunov exponent: {what}", *cells])
    for name, what in (("data", "the data"), ("model", "the model's driven run")):
        control = stability["linear_model"][name]
        rows.append([f"radius: linear model of {what}", "–", _number(control["radius"], 3) if control else "–"])
    return ["", "before the fit", "after"], rows


def _reasons(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for source in record["sources"].values():
        if source.get("grid") is None:
            found.append((source["what"], source["reason"]))
        for kind, reason in (source.get("reasons") or {}).items():
            found.append((f"{source['what']}, {kind}", reason))
        for threshold, reason in (source.get("thresholds_left_out") or {}).items():
            found.append((f"{source['what']}, {threshold}", reason))
        for floor, kinds in (source.get("reference") or {}).items():
            for name, reason in (kinds.get("data") or {}).get("reasons", {}).items():
                found.append((f"{source['what']}, {floor}, {name}", reason))
    for when in ("before", "after"):
        found += [(f"{name} {when} the fit", reason) for name, reason in record["stability"][when]["reasons"].items()]
    controls = record["stability"]["linear_model"]["reasons"]
    found += [(f"linear model of {name}", reason) for name, reason in controls.items()]
    found += [(f"tail of {name}", reason) for name, reason in record["weights"]["reasons"].items()]
    return found


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def write_figures(run_folder: str | Path) -> list[Path]:
    """Draw all figures of an analysis into `analysis/` of the run, as PNG and SVG."""
    folder = Path(run_folder) / "analysis"
    return [save_figure(one.draw(), folder, one.name)[0] for one in analysis_drawings(run_folder)]


def print_analysis(record: Mapping[str, Any], console: Console) -> None:
    """Print findings and the table of signs."""
    surrogate = "SURROGATE " if record["surrogate"] else ""
    console.print(f"{surrogate}{record['dataset']}: what the fitted brain does", highlight=False)
    header, rows = _avalanche_rows(record)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for k, name in enumerate(header):
        table.add_column(name, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(
        "cells of thresholds and bins: power laws and scaling relation / power laws stand / avalanches enough",
        highlight=False,
    )
    console.print(table)
    for line in record["findings"]:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
