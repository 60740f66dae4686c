"""`connfit recover`: fit students to teachers whose parameters are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from connfit._system.claim import claimed
from connfit._system.paths import user_path
from connfit.cli.terminal import draw_again, err_console, out_console
from connfit.errors import ConfigError


def recover(
    neurons: Annotated[
        int | None, typer.Option(help="Neurons of a teacher, sensory ones included.", show_default="500; quick: 200")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="What neurons are, as in model.cell.", show_default="rate")] = None,
    indicator: Annotated[
        str | None,
        typer.Option(help="Through what teachers are recorded, as in model.observation.", show_default="none"),
    ] = None,
    decay: Annotated[float | None, typer.Option(help="Decay of the indicator in seconds: decay_s.")] = None,
    rise: Annotated[float | None, typer.Option(help="Rise of the indicator in seconds: rise_s.")] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="Known external inputs: how many to draw, or a CSV file.", metavar="N|FILE", show_default="0"
        ),
    ] = None,
    input_column: Annotated[
        list[str] | None, typer.Option(help="Column of that file; may be repeated.", show_default="all")
    ] = None,
    frames: Annotated[
        list[int] | None,
        typer.Option(help="Training frames; may be repeated.", show_default="250, 1000, 4000, 16000"),
    ] = None,
    recorded: Annotated[
        list[float] | None,
        typer.Option(help="Fraction of the neurons to record; may be repeated.", show_default="1, 0.5, 0.1"),
    ] = None,
    noise: Annotated[
        list[float] | None,
        typer.Option(help="Private noise of each teacher neuron; may be repeated.", show_default="0.1, 0.5"),
    ] = None,
    observation_noise: Annotated[
        list[float] | None,
        typer.Option(help="Measurement noise, in standard deviations; may be repeated.", show_default="0, 0.3"),
    ] = None,
    strengths: Annotated[
        list[str] | None,
        typer.Option(
            help="What students learn of the weights; may be repeated.",
            show_default="free, gain_per_neuron, gain_per_type_pair, known",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of teachers.", show_default="2; quick: 1")] = None,
    updates: Annotated[
        int | None, typer.Option(help="Parameter updates of each student.", show_default="1500; quick: 500")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller brain and fewer conditions: about a minute.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", parser=user_path, metavar="DIR", help="Folder to write to.")] = Path(
        "runs", "recovery"
    ),
) -> None:
    """Fit students to SURROGATE teachers with known weights, time constants and hidden activity: what do they recover?

    One thing is varied at a time about a base case: 4,000 frames (or the nearest number given), all neurons recorded,
    noise 0.5, no measurement noise, free weights.
    """
    from connfit.analysis.recovery import Design, quick_design
    from connfit.analysis.recovery import recover as run
    from connfit.analysis.recovery.recover import FILE
    from connfit.report.figures.recovery_figure import in_words, print_recovery
    from connfit.report.result_figures import draw_recovery
    from connfit.report.run_files import RECOVERY

    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder to --out")
    design = quick_design() if quick else Design()
    drawn = None if inputs is None or not inputs.strip().lstrip("-").isdecimal() else int(inputs)
    given = {
        "neurons": neurons,
        "cell": cell,
        "indicator": indicator,
        "decay_s": decay,
        "rise_s": rise,
        "inputs": drawn,
        "input_file": inputs if drawn is None else None,
        "input_columns": input_column and tuple(input_column),
        "frames": frames and tuple(frames),
        "recorded": recorded and tuple(recorded),
        "process_noise": noise and tuple(noise),
        "observation_noise": observation_noise and tuple(observation_noise),
        "strengths": strengths and tuple(strengths),
        "seeds": seeds,
        "training": updates and replace(design.training, updates=updates),
    }
    design = replace(design, **{key: value for key, value in given.items() if value is not None})
    design = design.with_base()
    conditions = design.conditions()
    out_console.print(
        f"{len(conditions)} fits of SURROGATE teachers of {design.neurons} neurons: about "
        f"{max(1, round(design.seconds() / 60))} min on two cores",
        highlight=False,
    )
    with claimed(out):
        with err_console.status("drawing teachers") as status:
            recovery = run(
                design, out,
                on_progress=lambda at, of, each: status.update(f"{at + 1}/{of}: seed {each.seed}, {in_words(each)}"),
            )  # fmt: skip
        draw_recovery(out)
    print_recovery(recovery, out_console)
    out_console.print(f"\nwritten to {out / FILE}", highlight=False, soft_wrap=True)
    if out / FILE == out.parent / RECOVERY:  # where the report of a run looks for it
        draw_again(out.parent)
