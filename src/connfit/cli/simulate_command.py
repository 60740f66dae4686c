"""`connfit simulate`: stimulate or silence neurons of a fitted model."""

from __future__ import annotations

from typing import Annotated

import typer

from connfit.cli.terminal import RunFolder, draw_again, err_console, out_console


def simulate(
    folder: RunFolder,
    stimulate: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold neurons at a rate in units of the recording, as in type:LB3=1.5; may be repeated.",
            metavar="SET=RATE",
        ),
    ] = None,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            help="Add to the input of neurons, in units of the recording, as in type:LB3=0.5; may be repeated.",
            metavar="SET=INPUT",
        ),
    ] = None,
    silence: Annotated[
        list[str] | None,
        typer.Option(help="Silence these neurons, as in region:GNG_L; may be repeated.", metavar="SET"),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Put an external input at a value in its own units, as in light=1.5; may be repeated.",
            metavar="CHANNEL=VALUE",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds to simulate, from the onset on.")] = 30.0,
    readout: Annotated[
        list[str] | None,
        typer.Option(help="Also record the mean rate of these neurons; may be repeated.", metavar="SET"),
    ] = None,
    drive: Annotated[
        str,
        typer.Option(
            help="What drives the model. own: its own predictions; mean: the units' training means; none: nothing."
        ),
    ] = "own",
    silence_at: Annotated[
        str,
        typer.Option(
            help="Rate of silenced neurons. floor: the lowest that their units showed during training; zero: 0 in the "
            "units of the prepared recording."
        ),
    ] = "floor",
    name: Annotated[
        str | None, typer.Option(help="Folder within DIR/simulations.", show_default="what is done")
    ] = None,
) -> None:
    """Stimulate or silence neurons of a fitted model, or inject current, and compare with the same model left alone.

    A SET is id:ID, type:NAME, region:NAME, any other column of the neuron table, or file:PATH with a list of ids.
    """
    from connfit.analysis.perturbation import Experiment, run_experiment
    from connfit.report.figures.perturbation_figure import print_perturbation
    from connfit.report.result_figures import draw_perturbation

    experiment = Experiment(
        tuple(stimulate or ()), tuple(silence or ()), tuple(readout or ()), seconds, drive, silence_at,
        tuple(inject or ()), tuple(inputs or ()),
    )  # fmt: skip
    with err_console.status("simulating"):
        perturbation, out = run_experiment(folder, experiment, name=name)
    draw_perturbation(out)
    print_perturbation(perturbation, out_console)
    for caution in perturbation.cautions:
        out_console.print(f"caution: {caution}", style="yellow", highlight=False, soft_wrap=True)
    out_console.print(f"written to {out}", highlight=False, soft_wrap=True)
    draw_again(folder)
