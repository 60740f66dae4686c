"""`connfit analyze`: what the fitted brain of a run does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from connfit._console import literal
from connfit.cli.terminal import RunFolder, draw_again, err_console, out_console
from connfit.errors import ConfigError


def analyze(
    folder: RunFolder,
    eigenvalues: Annotated[
        int | None,
        typer.Option(help="Leading eigenvalues of each matrix.", show_default="64; 12 of brains above 5,000 neurons"),
    ] = None,
    neurons: Annotated[
        int | None,
        typer.Option(
            help="Neurons, drawn at random, whose simulated activity is analysed.",
            show_default="all that fit into 1.2 GB on disk, before and after the fit",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Bootstrap samples of each test and interval.")] = 100,
    power_draws: Annotated[
        int,
        typer.Option(help="Simulated recordings by which power to see criticality is estimated; 0 for none."),
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of noise, surrogates, bootstraps and samples.")] = 0,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="An analysis's own option, as name.option=value. Analyses: {analyses}."),
    ] = None,
) -> None:
    """Analyse a fitted brain: avalanches, branching, stability, weights and time constants, beside controls."""
    from connfit.analysis.analysis_options import AnalysisOptions
    from connfit.analysis.brain_analysis import FOLDER
    from connfit.analysis.pipeline import analyze as analyze_run
    from connfit.report.result_figures import draw_analysis
    from connfit.report.sections.analysis_section import print_analysis

    options = AnalysisOptions(eigenvalues, neurons, repeats, power_draws=power_draws, seed=seed, analyses=own(setting))
    with err_console.status("analysing") as status:
        analysis = analyze_run(folder, options, on_stage=lambda text: status.update(literal(text)))
    with err_console.status("drawing figures"):
        draw_analysis(folder)
    print_analysis(analysis, out_console)
    out_console.print(f"written to {folder / FOLDER}", highlight=False, soft_wrap=True)
    draw_again(folder)


def own(settings: Sequence[str] | None) -> Mapping[str, Mapping[str, Any]]:
    """Read `name.option=value` assignments; values are JSON, or text where they are not.

    Raises
    ------
    ConfigError
        If one is written otherwise.
    """
    found: dict[str, dict[str, Any]] = {}
    for setting in settings or ():
        place, equals, text = setting.partition("=")
        name, dot, option = place.strip().partition(".")
        if not (equals and dot):
            raise ConfigError(f"--set {setting}: write it as name.option=value, with the name of an analysis")
        try:
            found.setdefault(name, {})[option] = json.loads(text)
        except ValueError:
            found[name][option] = text
    return found
