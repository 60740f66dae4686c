"""`connfit gradcheck`: the gradients of all learning rules against backpropagation through time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connfit import config as configuration
from connfit._console import literal
from connfit._system.claim import claimed
from connfit.cli.terminal import Setting, dataset_config, draw_again, err_console, out_console
from connfit.errors import ConfigError, one_of


def gradcheck(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, name of a dataset, or a configuration file.", metavar="DIR|DATASET|CONFIG"
        ),
    ],
    frames: Annotated[int, typer.Option(help="Frames of a segment; BPTT keeps all of them in memory.")] = 200,
    segments: Annotated[int, typer.Option(help="Segments of the training parts to average over.")] = 8,
    window: Annotated[
        list[int] | None, typer.Option(help="Window K to compare; may be repeated.", show_default="1, 4, 16, 64")
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Epochs to fit before measuring again, where DIR holds no fit; 0: measure once.")
    ] = 20,
    free_run: Annotated[
        bool, typer.Option("--free-run", help="Run segments as in the free-running phase of a fit.")
    ] = False,
    curves: Annotated[
        int,
        typer.Option(
            help="Also fit with each rule and optimiser, at several learning rates, for this many epochs, and compare "
            "them on test after equal steps and equal time."
        ),
    ] = 0,
    optimiser: Annotated[
        list[str] | None,
        typer.Option(help="Optimiser of --curves; may be repeated.", show_default="adam and rmsprop"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to.", show_default="DIR or runs/gradcheck-<name>")
    ] = None,
    setting: Setting = None,
) -> None:
    """Compare the gradients of all learning rules with backpropagation through time, on your model and data."""
    from connfit.analysis.gradients import gradcheck as checking
    from connfit.report.figures.gradient_figure import print_fidelity
    from connfit.report.result_figures import draw_gradients
    from connfit.training import runs
    from connfit.training.optimiser import OPTIMISERS

    optimisers = [one_of("--optimiser", name, OPTIMISERS) for name in optimiser or OPTIMISERS]
    folder = Path(source)
    of_run = (folder / "config.json").exists()
    if of_run and setting:
        raise ConfigError("--set changes nothing in a finished run: leave it out, or give its dataset")
    config = None
    if not of_run:
        config = configuration.read(source) if folder.suffix in (".toml", ".json") else dataset_config(source)
        config = configuration.override(config, setting or [])
        folder = Path("runs", f"gradcheck-{folder.stem if folder.suffix else source}")
    with claimed(out or folder):
        with err_console.status("reading") as status:
            job, fitted = checking.job_of_run(folder) if config is None else (runs.prepare(config), None)
            fidelity = checking.check_gradients(
                job, out or folder, fitted=fitted, epochs=epochs, frames=frames, segments=segments, windows=window,
                free_run=free_run, curve_epochs=curves, optimisers=optimisers,
                on_plan=lambda text: err_console.print(text, highlight=False, soft_wrap=True),
                on_progress=lambda text: status.update(literal(text)),
            )  # fmt: skip
        draw_gradients(Path(out or folder))
    print_fidelity(fidelity, out_console)
    out_console.print(f"\nwritten to {out or folder}", highlight=False, soft_wrap=True)
    draw_again(out or folder)
