"""`connfit analyze`: what the fitted brain of a run does."""

from __future__ import annotations

from typing import Annotated

import typer

from connfit.cli.terminal import RunFolder, draw_again, err_console, out_console


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
            show_default="all that fit into 1.2 GB on disk",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Bootstrap samples of each test and interval.")] = 100,
    power_draws: Annotated[
        int,
        typer.Option(help="Simulated recordings by which power to see criticality is estimated; 0 for none."),
    ] = 10,
    seed: Annotated[int, typer.Option(help="Of noise, surrogates, bootstraps and samples.")] = 0,
) -> None:
    """Analyse a fitted brain: avalanches, branching, stability, strengths and time constants, beside controls."""
    from connfit.analysis.analysis_options import AnalysisOptions
    from connfit.analysis.pipeline import analyze_run
    from connfit.report.result_figures import draw_analysis
    from connfit.report.sections.analysis_section import print_analysis

    options = AnalysisOptions(
        eigenvalues=eigenvalues, neurons=neurons, repeats=repeats, power_draws=power_draws, seed=seed
    )
    with err_console.status("analysing") as status:
        record, out = analyze_run(folder, options, on_stage=status.update)
    with err_console.status("drawing figures"):
        draw_analysis(folder)
    print_analysis(record, out_console)
    out_console.print(f"written to {out}", highlight=False, soft_wrap=True)
    draw_again(folder)
