"""`connfit record-next`: which neurons to record, and which to stimulate, next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connfit._system.claim import claimed
from connfit._system.paths import user_path
from connfit.cli.terminal import draw_again, err_console, out_console


def record_next(
    runs: Annotated[
        list[Path],
        typer.Argument(
            parser=user_path,
            metavar="DIR...",
            help="Runs of several seeds of one configuration, or one run with a study (connfit evaluate DIR --full).",
        ),
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="Neurons to choose.")] = 20,
    criterion: Annotated[
        str,
        typer.Option(
            help="inputs: what drives other uncertain neurons; variance: what takes most uncertainty from all "
            "candidates; information: what fits disagree on; disagreement: a neuron's own uncertainty alone."
        ),
    ] = "inputs",
    noise: Annotated[
        float, typer.Option(help="Measurement noise, in a neuron's own standard deviations over time.")
    ] = 0.5,
    among: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these neurons can be recorded or stimulated, as in type:AVA; may be repeated.",
            metavar="SET",
            show_default="all",
        ),
    ] = None,
    stimulations: Annotated[int, typer.Option(help="Neurons to stimulate at most; 0: none.")] = 512,
    pulse: Annotated[float, typer.Option(help="Length of a pulse in seconds.")] = 2.0,
    window: Annotated[
        float, typer.Option(help="Seconds from the onset of the pulse on, over which responses are averaged.")
    ] = 10.0,
    strength: Annotated[
        float, typer.Option(help="Input that a pulse adds, in the typical unit's standard deviations.")
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=user_path,
            metavar="DIR",
            help="Folder to write to.",
            show_default="record_next in the first run",
        ),
    ] = None,
) -> None:
    """Rank unrecorded neurons by what recording them would tell, and neurons by what stimulating them would.

    Fits that explain the recordings equally well disagree about what was not measured; that is what is ranked. A SET is
    id:ID, type:NAME, region:NAME, any other column of the neuron table, or file:PATH with a list of ids.
    """
    from connfit.analysis.record_next import RecordNextOptions
    from connfit.analysis.record_next import record_next as rank
    from connfit.analysis.record_next.ranking import write_record_next
    from connfit.models.pulse import Stimulations
    from connfit.report.console_record_next import print_record_next
    from connfit.report.run_files import RECORD_NEXT

    options = RecordNextOptions(
        count, criterion, noise, tuple(among or ()), stimulations, Stimulations(pulse, window, strength)
    )
    # Without --out the first run holds what is written, and its report shows it.
    own = out is None
    folder = (runs[0] / RECORD_NEXT).parent if out is None else out
    with claimed(runs[0] if own else folder, make=not own):
        with err_console.status("comparing fits"):
            found = rank(runs, options)
        path = write_record_next(found, folder)
        print_record_next(found, out_console, count)
        for caution in found.cautions:
            out_console.print(f"caution: {caution}", style="yellow", highlight=False, soft_wrap=True)
        out_console.print(f"written to {path.parent}", highlight=False, soft_wrap=True)
        if own:
            draw_again(runs[0])
