"""`connfit perturb-score`: a fitted model and its opponents against measured responses to stimulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from connfit._system.paths import user_path
from connfit.cli.terminal import RunFolder, draw_again, err_console, out_console
from connfit.errors import ConfigError


def perturb_score(
    folder: RunFolder,
    measured: Annotated[
        Path,
        typer.Option(
            parser=user_path, metavar="TABLE", help="Measured: stimulated, silenced, responding, q or responds.",
        ),
    ],
    pulse: Annotated[float, typer.Option(help="Length of the pulse on each neuron, in seconds.")] = 0.5,
    window: Annotated[
        float, typer.Option(help="Seconds from the onset of the pulse on over which responses are averaged.")
    ] = 30.0,
    strength: Annotated[
        float,
        typer.Option(
            help="Added to the stimulated neuron's input, in standard deviations of training activity; of cells that "
            "spike, 1 brings a neuron from rest to its threshold."
        ),
    ] = 1.0,
    drive: Annotated[
        str,
        typer.Option(
            help="What drives the model. own: its own predictions; mean: the units' training means; none: nothing."
        ),
    ] = "own",
    q_below: Annotated[
        float, typer.Option(help="A pair responds where its false discovery rate q is below this.")
    ] = 0.05,
    min_observations: Annotated[int, typer.Option(help="Leave out pairs that were observed less often.")] = 3,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            parser=user_path, metavar="RUN",
            help="Score this run as an opponent, too, as one on a null connectome; may be repeated.",
        ),
    ] = None,
    null: Annotated[
        list[str] | None,
        typer.Option(
            help="Score the untrained model on this null connectome, or on all; may be repeated: all, {nulls}."
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Read a neuron of the table under another name, as the connectome's; may be repeated.",
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="Rows that are scored: stimulation, silencing or silencing_at_rest.",
            show_default="the only one that the table has",
        ),
    ] = None,
    silence_at: Annotated[
        str,
        typer.Option(help="Rate of silenced neurons. floor: the lowest that their units showed; zero: 0 in its units."),
    ] = "floor",
    resamples: Annotated[
        int, typer.Option(help="Resamples of stimulated, or silenced, neurons for intervals.")
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="Folder within DIR/measured.", show_default="the table's name")
    ] = None,
) -> None:  # fmt: skip
    """Score who responds to stimulation, or changes when others are silenced, against measured responses."""
    from connfit.analysis.measured.measured_responses import ResponseRule
    from connfit.analysis.measured.score_run import measured_folder
    from connfit.analysis.measured.score_run import perturb_score as score
    from connfit.models.pulse import Stimulations
    from connfit.report.console_measured import print_measured

    with err_console.status("simulating stimulations"):
        scores = score(
            folder, measured, Stimulations(pulse, window, strength, drive),
            rule=ResponseRule(q_below, min_observations), against=against or (), nulls=null or (),
            rename=_names(rename or ()), experiment=experiment, silence_at=silence_at,
            resamples=resamples, seed=seed, name=name,
        )  # fmt: skip
    print_measured(scores, out_console)
    out_console.print(
        f"written to {measured_folder(folder, name or scores.table.name)}", highlight=False, soft_wrap=True
    )
    draw_again(folder)


def _names(given: Sequence[str]) -> dict[str, str]:
    """New names by old ones."""
    found: dict[str, str] = {}
    for text in given:
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals and new):
            raise ConfigError(f"--rename {text!r} must be OLD=NEW, as in --rename AVAL=AVA_L")
        if old in found:
            raise ConfigError(f"--rename gives {old!r} twice: {found[old]!r} and {new!r}")
        found[old] = new
    return found
