"""`connfit simulate`: stimulate or silence neurons of a fitted model, or of a connectome without any fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connfit._system.claim import claimed
from connfit._system.paths import user_path
from connfit.cli.terminal import draw_again, err_console, out_console
from connfit.errors import ConfigError, one_of

if TYPE_CHECKING:
    from connfit.analysis.perturbation import Experiment
    from connfit.analysis.spiking import SpikingExperiment

OF_A_RUN = ("inject", "inputs", "drive", "silence_at", "name")
"""Options that say what to do to a fitted model."""

WITHOUT_A_FIT = ("data", "trials", "seed", "step_ms", "screen", "screen_by", "out")
"""Options of `--model`."""


def simulate(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(parser=user_path, metavar="[DIR]", help="Folder of a run; none with --model."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Simulate the connectome of --data without any fit. shiu: the leaky integrate-and-fire neurons of "
            "Shiu et al. 2024.",
            metavar="MODEL",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With --model: a dataset, as fly-783-halves, or a configuration file that names a connectome.",
            metavar="DATASET|CONFIG",
        ),
    ] = None,
    stimulate: Annotated[
        list[str] | None,
        typer.Option(
            help="Hold neurons at a rate in units of the recording, as in type:LB3=1.5, or in Hz where the fit's "
            "neurons spike; with --model: Poisson events in Hz, as in type:LB3=50,100,150 for several doses. May be "
            "repeated.",
            metavar="SET=RATE",
        ),
    ] = None,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            help="Add to the input of neurons, in units of the recording, as in type:LB3=0.5, or in mV in each step "
            "where they spike; may be repeated.",
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
    seconds: Annotated[
        float | None,
        typer.Option(help="Seconds to simulate, from the onset on.", show_default="30; of a trial with --model: 1"),
    ] = None,
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
        str | None,
        typer.Option(
            help="Rate of silenced neurons. floor: the lowest that their units showed during training; zero: 0 in the "
            "units of the prepared recording.",
            show_default="floor; no spikes where neurons spike",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Folder within DIR/simulations.", show_default="what is done")
    ] = None,
    screen: Annotated[
        str | None,
        typer.Option(
            help="With --model: silence each of these neurons in turn; active:50 are the 50 that spike most.",
            metavar="SET",
        ),
    ] = None,
    screen_by: Annotated[
        str,
        typer.Option(
            help="neuron: one at a time; or a column of the neuron table, as type: all with the same word together.",
            metavar="COLUMN",
        ),
    ] = "neuron",
    trials: Annotated[int, typer.Option(help="With --model: trials of each dose.")] = 10,
    seed: Annotated[int, typer.Option(help="With --model: seed of the events.")] = 0,
    step_ms: Annotated[float, typer.Option(help="With --model: length of a step.")] = 0.1,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=user_path,
            metavar="DIR",
            help="With --model: folder to write to.",
            show_default="simulations/<what is done>",
        ),
    ] = None,
) -> None:
    """Stimulate or silence neurons, and see what changes: in a fitted model, or in a connectome without any fit.

    In a fitted model rates are held, or current is injected, and it is compared with the same model left alone. With
    --model and --data neurons of the connectome spike. A SET is id:ID, type:NAME, region:NAME, any other column of the
    neuron table, or file:PATH with a list of ids; with --model also shiu:NAME, as shiu:sugar or shiu:MN9.
    """
    _refuse_others(context, WITHOUT_A_FIT if model is None else OF_A_RUN, model)
    if model is not None:
        from connfit.analysis.spiking import MODELS, SpikingExperiment

        one_of("--model", model, MODELS)
        if run is not None:
            raise ConfigError(f"--model {model} needs no fit: leave out {run}, and name the connectome with --data")
        if data is None:
            raise ConfigError(f"--model {model} needs --data: a dataset with a connectome, or a configuration file")
        experiment = SpikingExperiment(
            tuple(stimulate or ()), tuple(silence or ()), tuple(readout or ()), screen, screen_by,
            1.0 if seconds is None else seconds, step_ms, trials, seed,
        )  # fmt: skip
        _without_a_fit(data, experiment, out)
        return
    if run is None:
        raise ConfigError(
            "what is to be simulated? Give the folder of a run, or --model shiu and --data with the name of a dataset"
        )
    from connfit.analysis.perturbation import Experiment

    length = 30.0 if seconds is None else seconds
    perturbed = Experiment(
        tuple(stimulate or ()), tuple(silence or ()), tuple(readout or ()), length, drive, silence_at,
        tuple(inject or ()), tuple(inputs or ()),
    )  # fmt: skip
    with claimed(run, make=False):
        _fitted(run, perturbed, name)


def _refuse_others(context: typer.Context, others: tuple[str, ...], model: str | None) -> None:
    """Refuse options of the other kind of simulation, which would do nothing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name) if parameter.name in others else None
        if source is not None and source.name != "DEFAULT":
            option = parameter.opts[0]
            if model is None:
                raise ConfigError(f"{option} is an option of --model, which simulates without a fit: leave it out")
            raise ConfigError(f"{option} is for fitted models: leave it out, or give the folder of a run, not --model")


def _fitted(folder: Path, experiment: Experiment, name: str | None) -> None:
    from connfit.analysis.perturbation import run_experiment
    from connfit.report.figures.perturbation_figure import print_perturbation
    from connfit.report.result_figures import draw_perturbation

    with err_console.status("simulating"):
        perturbation, out = run_experiment(folder, experiment, name=name)
    draw_perturbation(out)
    print_perturbation(perturbation, out_console)
    _say_cautions(perturbation.cautions)
    out_console.print(f"written to {out}", highlight=False, soft_wrap=True)
    draw_again(folder)


def _without_a_fit(data: str, experiment: SpikingExperiment, out: Path | None) -> None:
    from connfit.analysis.spiking import connectome_to_simulate, simulate_spiking
    from connfit.report.console_spiking import print_spiking
    from connfit.report.result_figures import draw_spiking

    folder = out or Path("simulations", experiment.folder_name(Path(data).stem))
    with claimed(folder):
        with err_console.status("reading the connectome") as status:

            def show(what: str, done: int, total: int) -> None:
                status.update(f"simulating {what}: {done:,} of {total:,} trials")

            found = simulate_spiking(connectome_to_simulate(data), experiment, folder, data=data, progress=show)
        draw_spiking(folder)
    print_spiking(found, out_console)
    _say_cautions(found.cautions)
    out_console.print(f"written to {folder}", highlight=False, soft_wrap=True)


def _say_cautions(cautions: tuple[str, ...]) -> None:
    for caution in cautions:
        out_console.print(f"caution: {caution}", style="yellow", highlight=False, soft_wrap=True)
